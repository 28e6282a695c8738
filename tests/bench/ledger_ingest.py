"""Landing objects into stored facts, on one core, against the join of the same requests in memory.

Objects are as Firehose writes them: of one request, of a minute at 10 and at 100 requests a second, and as big as it writes
any. Stored is by the real `Store`, into a folder in S3's place. The biggest is read in a process of its own, for its peak.
"""

import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.tables import Bound, Table, spread
from tests.counting_s3 import CountingS3
from tests.made_facts import made_records
from tests.made_requests import landing
from weir.ledger.ingest import ingest
from weir.ledger.join import join
from weir.ledger.store import Store
from weir.ledger.table import flat
from weir.pricing.price_book import PriceBook

SIZES = (1, 600, 6_000)  # requests in an object
RUNS = 5
JOINED = 4_000
BOUND = 1.5  # of a request's time in the join
BIGGEST = 128 * 1024**2
PEAK_MB = 1_500
_MODULE = "tests.bench.ledger_ingest"


def run() -> list[Table]:
    """Two tables: what an object takes and what a request in it does; and the biggest object there is."""
    return [_loops(), _biggest()]


def _loops() -> Table:
    landing(0, 1, 0)  # so that the made lines are there
    records, book = made_records(JOINED), PriceBook.load()
    joined: list[float] = []
    taken: dict[int, list[float]] = {size: [] for size in SIZES}
    for number in range(RUNS):
        joined.append(_ms(lambda: [flat(row) for row in join(records, book)]) / JOINED)
        for size in SIZES:
            content = landing(number * size, size, number)
            with TemporaryDirectory() as folder:
                store = Store("ledger", client=CountingS3(Path(folder)))
                taken[size].append(_ms(lambda: ingest([content], store, "us-east-1")))  # noqa: B023
    largest = SIZES[-1]
    rows = [
        (f"{size:,}", spread(taken[size], 1), spread([1e3 * ms / size for ms in taken[size]], 1))
        for size in SIZES
    ]
    return Table(
        "Landing objects into facts, one core",
        ("requests in it", "ms of CPU an object, minimum (median)", "us a request"),
        rows,
        bounds=(
            Bound(
                "a request into facts, to its join in memory",
                min(taken[largest]) / largest / min(joined),
                BOUND,
            ),
        ),
    )


def _ms(work: Callable[[], object]) -> float:
    gc.collect()
    started = time.process_time()
    work()
    return 1e3 * (time.process_time() - started)


def _biggest() -> Table:
    with TemporaryDirectory() as name:
        path = Path(name) / "landing"
        with path.open("wb") as file:
            requests = 0
            while file.tell() < BIGGEST:
                file.write(landing(requests, 2_000, requests // 2_000))
                requests += 2_000
        done = subprocess.run(
            [sys.executable, "-m", _MODULE, str(path)], check=True, stdout=subprocess.PIPE, text=True
        )
    found: dict[str, float] = json.loads(done.stdout)
    assert found["poison"] == 0 and found["records"] > 3 * requests, found
    return Table(
        "A landing object of 128 MB",
        ("requests", "seconds of CPU", "peak MB"),
        [(f"{requests:,}", found["cpu"], found["peak"])],
        bounds=[
            Bound("peak memory of the biggest object", found["peak"], PEAK_MB, "MB"),
            Bound("its time", found["cpu"], 900, "s"),
        ],
    )


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(2**18):
            yield piece


def _alone(path: Path) -> dict[str, float]:
    began = time.process_time()
    with TemporaryDirectory() as folder:
        done = ingest(_pieces(path), Store("ledger", client=CountingS3(Path(folder))), "us-east-1")
    return {
        "records": done.records,
        "poison": done.poison,
        "cpu": round(time.process_time() - began, 1),
        "peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    print(json.dumps(_alone(Path(sys.argv[1]))))
