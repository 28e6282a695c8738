"""`python -m tests.compare`: the article's steps, what people would pick, and ours under one load. `make compare`.

Prints progress, one table and what it says in words; writes the same to tests/compare/results.md and the picture to
tests/compare/picture.svg. Exit 1 if a bound is missed, or cannot be looked at because its rows are missing.
FULL=1 adds 8 and 64 callers and documents of 40 and 400 KB, and takes most of an hour.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from tests.compare.claims import Parsing
from tests.compare.documents import SIZES, SMALL, WRONG_SHARE, Size
from tests.compare.figures import Row, priced, prices_of
from tests.compare.measure import comparison
from tests.compare.picture import draw
from tests.compare.provider import Provider
from tests.compare.report import judged, notes, points, size_table, table, words
from tests.compare.starting import MANAGED_MB, Surroundings
from tests.compare.variants import VARIANTS, Variant
from weir.pricing.price_book import PriceBook

RESULTS, PICTURE = (Path(__file__).with_name(name) for name in ("results.md", "picture.svg"))
LOADS: tuple[tuple[Size, int], ...] = ((SMALL, 32),)
FULL_LOADS = (
    (SMALL, 8),
    *LOADS,
    (SMALL, 64),
    *((size, callers) for size in SIZES[1:] for callers in (8, 64)),
)


def say(line: str) -> None:
    """One line of progress, with the time that has passed."""
    print(f"{time.monotonic() - BEGUN_S:6.1f} s  {line}", file=sys.stderr, flush=True)


BEGUN_S = time.monotonic()


async def measure(variants: Sequence[Variant], loads: Sequence[tuple[Size, int]]) -> tuple[list[Row], float]:
    """All phases; the rows, and how late the provider ever was."""
    provider = Provider()
    try:
        with tempfile.TemporaryDirectory(prefix="weir-compare-") as folder:
            here = Surroundings(provider.base_url, Path(folder))
            async with comparison(variants, here, provider, say) as compared:
                await compared.one_caller()
                for size, callers in loads:
                    await compared.many_callers(size, callers)
                await compared.knees()
                await compared.bursts()
                await compared.cold_starts()
                prices = prices_of(PriceBook.load())
                return [priced(row, prices) for row in compared.rows()], compared.late_ms
    finally:
        provider.close()


def parsing() -> Parsing | None:
    """What validating whole documents costs, in a process of its own."""
    say("parsing, inline and in a thread")
    done = subprocess.run([sys.executable, "-m", "tests.compare.parsing"], capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode != 0:
        say(f"NOT MEASURED: parsing: {done.stderr.strip().splitlines()[-1:]}")
        return None
    return Parsing(**json.loads(done.stdout))


def run(variants: Sequence[Variant], loads: Sequence[tuple[Size, int]]) -> int:
    """Measure, print, judge; write what is of all variants."""
    load = os.getloadavg()[0]
    parsed = parsing()
    rows, late_ms = uvloop.run(measure(variants, loads))
    said = notes(WRONG_SHARE, os.cpu_count() or 1, late_ms, load, MANAGED_MB)
    callers = [1, *(callers for size, callers in loads if size is SMALL)]
    parts = [
        f"CPython {platform.python_version()}, {platform.machine()}, {platform.system()}; made by `make compare`\n",
        table(rows, callers, said).markdown(),
        *(
            size_table(rows, size).markdown()
            for size in SIZES[1:]
            if any(size is other for other, _ in loads)
        ),
        words(rows, parsed),
    ]
    verdict, held = judged(rows, prices_of(PriceBook.load()))
    parts.append(verdict)
    text = "\n".join(parts)
    print(text)
    if len(variants) < len(VARIANTS):
        return 0 if held else 1
    RESULTS.write_text(text)
    if shown := points(rows):
        missing = [row.name for row in rows if row.missing]
        PICTURE.write_text(
            draw(shown, missing, f"documents of {SMALL.shown}, {max(callers)} callers; functions 8; arm64 list prices")
        )  # fmt: skip
        say(f"drawn: {PICTURE}")
    return 0 if held else 1


def main() -> int:
    """All of it, or some variants."""
    parser = argparse.ArgumentParser(prog="python -m tests.compare", description=__doc__.splitlines()[0])
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="only variants whose names hold one of these"
    )
    parser.add_argument("--full", action="store_true", help="also 8 and 64 callers, 40 and 400 KB")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is ended on the way out
    chosen = [one for one in VARIANTS if not asked.words or any(word in one.name for word in asked.words)]
    if not chosen:
        parser.error(f"expected words of {', '.join(one.name for one in VARIANTS)}, got {asked.words}")
    return run(chosen, FULL_LOADS if asked.full else LOADS)


if __name__ == "__main__":
    sys.exit(main())
