"""`python -m tests.compare.throttle PID SHARE [AFTER_MS]`: holds what PID starts to a share of one processor.

Lambda gives processor time in proportion to memory (1,769 MB are one processor), in periods of 20 ms: who has used his
part waits for the next period. Here the processes below PID are stopped and continued by signals, so that it takes
neither root nor cgroups; what a period was overrun by is taken from the next ones. A process is left alone for its
first AFTER_MS, as Lambda leaves an INIT. Ends with its stdin.
"""

import os
import select
import signal
import sys
import time
from contextlib import suppress

from tests.compare.processes import cpu_s, tree

PERIOD_S, LOOK_S = 0.02, 0.0005


def share_of(memory_mb: int) -> float:
    """The part of one processor that a memory size has; at most one, since what is looked at has one thread."""
    return min(1.0, memory_mb / 1_769)


class Quota:
    """The account of one process: how much it may use until when. Instants and processor times are given."""

    def __init__(self, share: float, now_s: float, used_s: float) -> None:
        self._share = share
        self._begun_s = now_s
        self._periods = 0
        # What is left of the current period's part; negative where it was overrun.
        self._left_s = share * PERIOD_S
        self._used_s = used_s

    def may_run(self, now_s: float, used_s: float) -> bool:
        """Whether it may run now, having used so much."""
        self._left_s -= used_s - self._used_s
        self._used_s = used_s
        begun = int((now_s - self._begun_s) / PERIOD_S)
        if begun > self._periods:
            # A period's part does not outlast it; a debt does.
            self._left_s = min(
                self._share * PERIOD_S, self._left_s + (begun - self._periods) * self._share * PERIOD_S
            )
            self._periods = begun
        return self._left_s > 0


def govern(root: int, share: float, after_s: float) -> None:
    """Until stdin ends."""
    quotas: dict[int, Quota] = {}
    seen_s: dict[int, float] = {}
    stopped: set[int] = set()
    print("governing", flush=True)
    while not select.select([sys.stdin], [], [], LOOK_S)[0]:
        now_s = time.monotonic()
        for pid in tree(root)[1:]:
            if now_s - seen_s.setdefault(pid, now_s) < after_s:
                continue
            used_s = cpu_s(pid)
            quota = quotas.setdefault(pid, Quota(share, now_s, used_s))
            runs = quota.may_run(now_s, used_s)
            if runs == (pid in stopped):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT if runs else signal.SIGSTOP)
                (stopped.discard if runs else stopped.add)(pid)
    for pid in stopped:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


if __name__ == "__main__":
    govern(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]) / 1e3 if len(sys.argv) > 3 else 0.0)
