"""Landing objects into stored facts, on one core, against the join of the same requests in memory.

Objects are as Firehose writes them: of one request, and of a minute at 10 and at 100 requests a second. Stored is by the
real `Store`, into a folder in S3's place.
"""

import gc
import time
from collections.abc import Callable
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


def run() -> list[Table]:
    """One table: what an object takes, and what a request in it does."""
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
    return [
        Table(
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
    ]


def _ms(work: Callable[[], object]) -> float:
    gc.collect()
    started = time.process_time()
    work()
    return 1e3 * (time.process_time() - started)
