"""A variant that runs: its processes, where it listens, and what can be asked about it.

What does not start is `Missing`, with the reason that its row gives. Nothing stays behind: every process is started
in a group of its own, which is killed at the end, and dies with this one however that ends.
"""

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tests.compare.processes import cpu_s, peak_mb, reset_peak, tree
from tests.compare.watch import take_stall_ms

START_TIMEOUT_S = 90.0
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class Missing(Exception):
    """A variant that is not measured; the message says why."""


def die_with_parent() -> None:
    """Be killed when the process that starts this one ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Running:
    """One variant's processes, listening on `port`."""

    answers_lines = (
        False  # whether what it prints is for us; else it is its log, which a full pipe would stop
    )

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, stall: Path | None = None
    ) -> None:
        self._log = log
        self._stall = stall
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, env=dict(environment), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if self.answers_lines else output, stderr=output,
                start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip
        self.begun_s = time.perf_counter()
        self.start_ms = 0.0
        self.port = 0

    @property
    def pid(self) -> int:
        """Of its first process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its first process still runs."""
        return self._process.poll() is None

    def said(self) -> str:
        """The last line that it wrote to its log."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "it said nothing"

    def wait_until_listening(self, port: int) -> Self:
        """Until somebody takes connections there. Raises Missing."""
        self.port = port
        while self.alive and time.perf_counter() - self.begun_s < START_TIMEOUT_S:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                self.start_ms = (time.perf_counter() - self.begun_s) * 1e3
                return self
            time.sleep(0.005)
        ended = self._process.poll()
        self.close()
        how = f"no port within {START_TIMEOUT_S:g} s" if ended is None else f"ended with {ended}"
        raise Missing(f"{how}: {self.said()}")

    def pids(self) -> list[list[int]]:
        """Its processes, as one environment."""
        return [tree(self._process.pid)]

    def cpu_by_pid(self) -> dict[int, float]:
        """Seconds of processor time so far."""
        return {pid: cpu_s(pid) for group in self.pids() for pid in group}

    def reset(self) -> None:
        """Let peaks and stalls begin anew."""
        for group in self.pids():
            for pid in group:
                reset_peak(pid)
        self.stall_ms()

    def peaks_mb(self) -> list[list[float]]:
        """The high-water marks, by environment and process."""
        return [[peak_mb(pid) for pid in group] for group in self.pids()]

    def stall_ms(self) -> float | None:
        """The loop's longest stall since the last look; None where nothing watches it."""
        return take_stall_ms(self._stall) if self._stall else None

    def close(self) -> None:
        """End everything."""
        # What its processes started in sessions of their own goes, too.
        for pid in tree(self._process.pid)[1:]:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class RunningFunction(Running):
    """A function on the laptop's Lambda: its processes are its environments', not the host's."""

    answers_lines = True

    def read_line(self) -> str:
        """Its next line. Raises Missing where there is none."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT_S)
        line = self._process.stdout.readline().decode().strip() if ready else ""
        if not line:
            self.close()
            raise Missing(f"it did not answer: {self.said()}")
        return line

    def ask(self, what: str) -> Any:
        """What the host answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(what.encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self.read_line())

    def pids(self) -> list[list[int]]:
        return [tree(pid) for pid in self.ask("pids")]
