"""A unit of the ledger: stored facts into rows and their roll-up, against the join of the same requests in memory.

The facts are those that a day of requests leaves, warm and cold, of one or two attempts, stopped and killed, in a file an
hour as the landing writes them. The reference has its records in memory already; the unit reads, joins, prices, sorts and
writes. Both are measured in turn in one process of one thread. Peak memory is that of a process of its own, with a unit
so big that it is cut into sub-shards.
"""

import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.tables import Bound, Table, spread
from tests.made_facts import DAY, made_facts, made_records
from weir.ledger.fast_join import SUB_SHARD_REQUESTS, join_unit
from weir.ledger.join import join
from weir.ledger.rollups import merge_rollups
from weir.ledger.table import flat
from weir.pricing.price_book import PriceBook

REQUESTS = 100_000
JOINED = 10_000  # as many as are made one by one
BIG_REQUESTS = 2 * SUB_SHARD_REQUESTS + 100_000
RUNS = 3
RATIO = 1.9  # rows a second that a unit makes, to those of the join in memory
PEAK_MB = 1_500
_MODULE = "tests.bench.ledger_units"


def run() -> list[Table]:
    """Two tables: the loops, and the memory."""
    return [_loops(), _memory()]


def _loops() -> Table:
    book = PriceBook.load()
    records = made_records(JOINED)
    with TemporaryDirectory() as name:
        folder = Path(name)
        files = made_facts(folder, REQUESTS)
        rows, rollup = folder / "rows.parquet", folder / "rollup.parquet"
        joined: list[float] = []
        whole: list[float] = []
        merged: list[float] = []
        for _ in range(RUNS):
            joined.append(_us(lambda: len([flat(row) for row in join(records, book)])))
            whole.append(_us(lambda: join_unit(files, DAY, book, rows, rollup=rollup, metadata={}).rows))
            merged.append(
                _us(lambda: merge_rollups([rollup, rollup], folder / "m.parquet", {}) or 2 * REQUESTS)
            )
        plain = join_unit(files, DAY, book, rows, rollup=rollup, metadata={}).plain
        sizes = _sizes(folder / "others", book)
    ratio = min(joined) / min(whole)
    return Table(
        f"A unit of {REQUESTS:,} requests, one core",
        ("what", "us of CPU a request, minimum (median)", "bytes a request"),
        (
            ("join of records in memory (the reference)", spread(joined, 1), None),
            (
                "facts to rows and roll-up",
                spread(whole, 1),
                f"{sizes[0]:.0f} to {sizes[1]:.0f} and {sizes[2]:.0f}",
            ),
            ("roll-ups merged", spread(merged, 1), f"{sizes[2]:.0f}"),
        ),
        bounds=(Bound("the reference's rows/s to a unit's", 1 / ratio, round(1 / RATIO, 3)),),
        notes=(
            f"{plain / REQUESTS:.1%} of the rows by SQL; {ratio:.2f} times as many rows a second as the reference.",
        ),
    )


def _sizes(folder: Path, book: PriceBook) -> list[float]:
    """Bytes a request of facts, rows and roll-up, where no request is a copy of another: copies compress too well."""
    folder.mkdir()
    files = made_facts(folder, JOINED)
    rows, rollup = folder / "rows.parquet", folder / "rollup.parquet"
    join_unit(files, DAY, book, rows, rollup=rollup, metadata={})
    return [sum(file.stat().st_size for file in some) / JOINED for some in (files, [rows], [rollup])]


def _memory() -> Table:
    command = [sys.executable, "-m", _MODULE]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return Table(
        "Memory of a unit",
        ("requests", "seconds of CPU", "peak MB"),
        [(f"{BIG_REQUESTS:,}", found["cpu"], found["peak"])],
        bounds=[Bound("peak memory of a unit", found["peak"], PEAK_MB, "MB")],
    )


def _us(work: Callable[[], int]) -> float:
    """Microseconds of CPU time for each of what `work` counts."""
    gc.collect()
    started = time.process_time()
    items = work()
    return 1e6 * (time.process_time() - started) / items


def _big_unit(folder: Path, files: list[Path], day: date) -> dict[str, float]:
    began = time.process_time()
    join_unit(
        files, day, PriceBook.load(), folder / "rows.parquet", rollup=folder / "rollup.parquet", metadata={}
    )
    return {
        "cpu": round(time.process_time() - began, 1),
        "peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    # The facts are made in a process of their own: what it took is not the unit's.
    if len(sys.argv) > 1:
        made_facts(Path(sys.argv[1]), BIG_REQUESTS)
    else:
        with TemporaryDirectory() as made:
            subprocess.run([sys.executable, "-m", _MODULE, made], check=True)
            print(json.dumps(_big_unit(Path(made), sorted(Path(made).glob("hour-*.parquet")), DAY)))
