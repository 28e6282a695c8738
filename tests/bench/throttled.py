"""A cold start on a small function: full speed in INIT, as Lambda gives it, and from the first poll on a share.

Two ways of the same build: the provider is asked first and the rest is imported meanwhile, or INIT imports all of it,
as with provisioned concurrency. What is moved out of INIT is done at the small share, so the first text has to be earlier
by more than that, and what `done` pays for it is shown. The provider takes its time for the first token, then writes at
a usual pace; processes are held to their share by signals, as on Lambda in periods of 20 ms.
"""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.bench.artifacts import Artifacts, interpreter, sources
from tests.bench.ends import cpu_s
from tests.bench.relay import Process
from tests.bench.script import blog_post, deltas, sse_events
from tests.bench.tables import Bound, Table, spread
from tests.compare.throttle import Quota, share_of

MEMORY_MB = 512
TTFTS_MS = (0, 150, 300)
TOKENS_PER_S = 120
RUNS = 8
FIRST_DELTA_BOUND = 0.8
EARLY, PLAIN = "asked first", "all imported in INIT"
_TYPES = {EARLY: "on-demand", PLAIN: "provisioned-concurrency"}
_LOOK_S = 0.001


@dataclass
class Figures:
    """Milliseconds from the start of the process, one a run."""

    first_ms: list[float] = field(default_factory=list)
    done_ms: list[float] = field(default_factory=list)


def run() -> list[Table]:
    """Both ways in turn, at each of the provider's times to its first token."""
    chunks = list(sse_events(deltas(blog_post())))
    figures = {(way, ttft_ms): Figures() for ttft_ms in TTFTS_MS for way in _TYPES}
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name:
        kind, python = sources(Path(name) / "compiled", bytecode=True), interpreter(Path(name) / "python")
        for number in range(RUNS + 1):
            for (way, ttft_ms), of in figures.items():
                first_s, done_s = _start(kind, python, way, ttft_ms, chunks)
                if number:  # the first round fills the page cache
                    of.first_ms.append(first_s * 1e3)
                    of.done_ms.append(done_s * 1e3)
    rows = [(way, ttft_ms, spread(of.first_ms), spread(of.done_ms)) for (way, ttft_ms), of in figures.items()]
    early, plain = figures[EARLY, 300], figures[PLAIN, 300]
    ratio = median(ours / theirs for ours, theirs in zip(early.first_ms, plain.first_ms, strict=True))
    name = f"first delta at {MEMORY_MB} MB, provider at 300 ms, {EARLY} / {PLAIN}, median of runs"
    return [
        Table(
            f"Cold start at {MEMORY_MB} MB ({share_of(MEMORY_MB):.2f} of a processor) after INIT",
            ("way", "provider's first token ms", "first delta ms", "done ms"),
            rows,
            (Bound(name, ratio, FIRST_DELTA_BOUND),),
            (f"{RUNS} runs of each in turn, minimum (median), from the start of the process.",),
        )
    ]


def _start(kind: Artifacts, python: str, way: str, ttft_ms: int, chunks: list[bytes]) -> tuple[float, float]:
    """Start a process and serve its first request: when the first delta came, and the last byte."""
    command = [str(kind.generate / "bootstrap"), python, "bootstrap.py"]
    delta, done = b"event: delta", b"event: done"
    variables = {
        "PYTHONPATH": str(kind.layer),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MB),
        "AWS_LAMBDA_INITIALIZATION_TYPE": _TYPES[way],
        "AWS_REGION": "us-east-1",
    }
    began_s = time.perf_counter()
    process = Process(command, kind.generate, delta, done, variables=variables)
    try:
        with held(process.pid, share_of(MEMORY_MB)):
            _, arrived_s = process.ends.invoke(chunks, delta, done, 1 / TOKENS_PER_S, first_s=ttft_ms / 1e3)
    finally:
        process.close()
    return arrived_s[0] - began_s, process.ends.ended_s - began_s


@contextmanager
def held(pid: int, share: float) -> Iterator[None]:
    """Hold a process to its share of one processor."""
    over = threading.Event()
    quota = Quota(share, time.monotonic(), cpu_s(pid))

    def hold() -> None:
        runs = True
        while not over.wait(_LOOK_S):
            if (may := quota.may_run(time.monotonic(), cpu_s(pid))) != runs:
                runs = may
                os.kill(pid, signal.SIGCONT if runs else signal.SIGSTOP)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        yield
    finally:
        over.set()
        holder.join()
