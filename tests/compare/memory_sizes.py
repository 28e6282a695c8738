"""`python -m tests.compare.memory_sizes`: which memory generate needs, and what a smaller processor share costs.

Two tables. Peaks: of one environment after one document, after as much hostile text as is ever held, and after a
document of 0.9 MB that has to be validated whole, in the validator's child process. Shares: start, first token, first
value, last byte and longest pause at the share of a processor that a memory size has, held by throttle.py; Lambda is
known to give an INIT more than its share, which is not promised, so both are measured.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from infra.local.execution.code import ROOT
from tests.bench.tables import Table, spread
from tests.compare.callers import OURS, Dialect, ask
from tests.compare.documents import FAST, SMALL, Size
from tests.compare.provider import Provider
from tests.compare.running import RunningFunction, die_with_parent
from tests.compare.starting import Surroundings, generate
from tests.compare.throttle import share_of

SIZES_MB = (128, 192, 256, 512, 1_769)
ROUNDS = 3
# A schema of somebody's own whose validator wants the whole document: nothing of it can be validated as it arrives.
CHECKED = '''"""A post that is looked at as a whole."""

from typing import Any

from pydantic import model_validator

from weir.schemas.blog_post import BlogPost


class Checked(BlogPost):
    """A post whose validator wants all of it."""

    @model_validator(mode="before")
    @classmethod
    def whole(cls, data: Any) -> Any:
        """Nothing is wrong with it."""
        return data
'''
MUCH: dict[str, object] = {"max_output_tokens": 1_000_000}  # more than the caps hold
BLOG = Dialect(
    extra={"schema": "blog_post", **MUCH}, first=OURS.first, validated=OURS.validated, right=OURS.right
)
WHOLE = Dialect(extra={"schema": "checked", **MUCH}, first=OURS.first, right=OURS.right)
HOSTILE = Dialect(extra={"schema": "blog_post", **MUCH}, first=OURS.first, right=b"event: error")
PLAIN = Dialect(extra=MUCH, first=OURS.first, right=b'"outcome"')
WORST: tuple[tuple[str, Dialect, Size], ...] = (
    ("one document of 2.7 KB", BLOG, FAST),
    ("a string that never ends, in a document", HOSTILE, Size("endless", "", 0, 1.0)),
    ("text that never ends", PLAIN, Size("endless", "", 0, 1.0)),
    ("a document of 0.9 MB", BLOG, Size("post-900k", "", 0, 1.0)),
    ("the same, validated whole in the child process", WHOLE, Size("post-900k", "", 0, 1.0)),
)


async def peaks(here: Surroundings, layer: Path) -> Table:
    """Each in an environment of its own."""
    rows = []
    running = generate(here, "peaks", layer=layer)
    try:
        for name, dialect, size in WORST:
            answer = await ask(running.port, dialect, size, 0, 120)
            if not answer.as_expected:
                raise RuntimeError(f"{name}: expected an end, got {answer.said}")
            found = [round(mb) for mb in running.peaks_mb()[0]]
            rows.append((name, sum(found), " + ".join(map(str, found))))
            running.ask("drop")
    finally:
        running.close()
    return Table("Peak memory of an environment", ("after", "MB", "by process"), rows)


@contextmanager
def throttled(running: RunningFunction, memory_mb: int, after_ms: float) -> Iterator[None]:
    """Its environments at that size's share of a processor."""
    share = share_of(memory_mb)
    if share >= 1:
        yield
        return
    governor = subprocess.Popen(
        [sys.executable, "-m", "tests.compare.throttle", str(running.pid), str(share), str(after_ms)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, preexec_fn=die_with_parent,
    )  # fmt: skip
    assert governor.stdin is not None and governor.stdout is not None
    try:
        governor.stdout.readline()  # it governs
        yield
    finally:
        governor.stdin.close()
        governor.wait()
        governor.stdout.close()


async def shares(here: Surroundings) -> Table:
    """Cold and warm requests at each size's share."""
    running = generate(here, "shares")
    rows = []
    try:
        await ask(running.port, BLOG, FAST, 0, 60)
        running.ask("drop")
        full = []
        for _ in range(ROUNDS):
            await ask(running.port, BLOG, FAST, 0, 60)
            full += running.ask("drop")
        for memory_mb in SIZES_MB:
            for boosted in (False, True):
                rows.append(await _at(running, memory_mb, boosted, median(full)))
    finally:
        running.close()
    columns = ("MB", "INIT", "INIT ms", "cold TTFT ms", "cold done ms", "warm TTFT ms", "first value ms", "last byte ms", "longest pause ms")  # fmt: skip
    notes = (
        "The provider's first token comes after 300 ms; cold: 2.7 KB within 0.2 s more, warm: at 120 tokens/s.",
        f"Minimum (median) of {ROUNDS}.",
    )
    return Table("At the share of a processor that the memory has", columns, rows, notes=notes)


async def _at(
    running: RunningFunction, memory_mb: int, boosted: bool, init_ms: float
) -> tuple[str | int, ...]:
    inits, colds, dones, warm = [], [], [], []
    with throttled(running, memory_mb, init_ms if boosted else 0.0):
        for number in range(ROUNDS):
            cold = await ask(running.port, BLOG, FAST, 0, 120)
            assert cold.as_expected and cold.first_s and cold.last_s, cold.said
            colds.append(cold.first_s * 1e3)
            dones.append(cold.last_s * 1e3)
            running.ask("reports")  # answered when nothing runs any more: what follows is a warm request
            if number == ROUNDS - 1 and not boosted:
                warm.append(await ask(running.port, BLOG, SMALL, 0, 120))
            inits += running.ask("drop")
    after = [(one.first_s, one.validated_s, one.last_s, one.pause_s) for one in warm]
    shown = [f"{value * 1e3:.0f}" if value else "-" for value in after[0]] if after else [""] * 4
    how = "at full speed" if boosted else "throttled, too"
    return memory_mb, how, spread(inits), spread(colds), spread(dones), *shown


async def measure() -> list[Table]:
    """Both."""
    provider = Provider("worst")
    try:
        with tempfile.TemporaryDirectory(prefix="weir-memory-") as folder:
            here = Surroundings(provider.base_url, Path(folder))
            layer = Path(folder) / "layer"
            shutil.copytree(ROOT / "shared", layer, ignore=shutil.ignore_patterns("__pycache__"))
            (layer / "weir/schemas/checked.py").write_text(CHECKED)
            return [await peaks(here, layer), await shares(here)]
    finally:
        provider.close()


if __name__ == "__main__":
    for table in asyncio.run(measure()):
        print(table.markdown())
