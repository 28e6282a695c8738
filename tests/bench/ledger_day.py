"""A day of the ledger, whole: landing objects, facts, units, roll-ups, a report, the month closed; what each step takes.

Requests come evenly over the day. Each leaves what generate and the platform log, as two messages of its log stream, and
Firehose writes an object a minute: gzip members one behind the other, which is what the platform sends. The ledger's own
code reads them, over a folder that counts requests in S3's place. Rows are made four times in the day, where the schedule
does it every quarter of an hour: what one run asks of S3 is in the table. Then one more request comes, and its run is a
row of its own.

`python -m tests.bench.ledger_day [REQUESTS]`, 1,000,000 without.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from tests.bench.tables import Bound, Table
from tests.counting_s3 import CountingS3
from tests.made_requests import landing
from weir.ledger.close import close
from weir.ledger.compact import compact
from weir.ledger.ingest import ingest
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook
from weir.reports.parquet_cache import RowFiles
from weir.reports.queries import Filters
from weir.reports.report import LedgerReader

REQUESTS = 1_000_000
MINUTES = 24 * 60
DAY = date(2026, 11, 22)
AFTER_THE_MONTH = datetime(2026, 12, 8, tzinfo=UTC)
GETS_AFTER_ONE, OBJECTS_A_DAY, LOOK = 100, 4_000, 200


class _Steps:
    """What was done, in order: seconds, processor seconds, and what was asked of S3."""

    def __init__(self, s3: CountingS3) -> None:
        self.s3 = s3
        self.rows: list[tuple[str, ...]] = []
        self.asked: dict[str, Counter[str]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        before, wall, cpu = Counter(self.s3.asked), time.perf_counter(), time.process_time()
        yield
        asked = Counter(self.s3.asked)
        asked.subtract(before)
        self.asked[name] = asked
        times = (f"{time.perf_counter() - wall:.1f}", f"{time.process_time() - cpu:.1f}")
        self.rows.append((name, *times, *(f"{asked[kind]:,}" for kind in ("GET", "PUT", "LIST"))))
        print("  ".join(self.rows[-1]), file=sys.stderr, flush=True)


def run(count: int = REQUESTS // 10) -> list[Table]:
    """One table, with the bounds of what one run, one look and one day ask of S3; in the benchmark a tenth of it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        s3 = CountingS3(folder / "bucket")
        store, book, steps = Store("ledger", client=s3), PriceBook.load(), _Steps(s3)
        landing_bytes = _the_day(store, book, steps, folder, count)
        objects = len(s3.sizes) + MINUTES
        with steps.step("one more request lands, and a run"):
            _ingest(store, 23 * 60 + 59, landing(count, 1, 23 * 60 + 59))
            compact(store, book, DAY - timedelta(days=2), DAY, folder)
        reader = LedgerReader(
            store,
            book,
            RowFiles(store, book, folder / "cache", lambda: AFTER_THE_MONTH),
            lambda: AFTER_THE_MONTH,
        )
        month = Filters(start=datetime(2026, 11, 1, tzinfo=UTC), end=datetime(2026, 12, 1, tzinfo=UTC))
        with steps.step("the month's report, first look"):
            report = reader.report(month, "feature", ZoneInfo("Europe/Berlin"))
        with steps.step("the month closed"):
            document = close(store, "2026-11", AFTER_THE_MONTH, folder)
        found = int(report["totals"]["requests"]), sum(unit["rows"] for unit in document["units"])
        assert found == (count + 1, count + 1), (
            f"expected {count + 1:,} requests reported and closed, got {found}"
        )
        notes = (
            f"{objects:,} objects that day, Firehose's {MINUTES:,} among them; bytes a request: {landing_bytes / count:.0f} "
            f"landed, {s3.bytes_under('facts/') / count:.0f} of facts, {s3.bytes_under('rows/') / count:.0f} of rows, "
            f"{s3.bytes_under('rollups/') / count:.1f} of roll-ups.",
            f"{found[0]:,} requests in the report, and {found[1]:,} in the closed month.",
        )
        last, look = (
            steps.asked["one more request lands, and a run"],
            steps.asked["the month's report, first look"],
        )
        return [
            Table(
                f"A day of {count:,} requests",
                ("step", "seconds", "CPU s", "GET", "PUT", "LIST"),
                steps.rows,
                bounds=(
                    Bound("GETs of a run after one new request", last["GET"], GETS_AFTER_ONE, ""),
                    Bound("requests of a look at the month", sum(look.values()), LOOK, ""),
                    Bound("objects written a day", objects, OBJECTS_A_DAY, ""),
                ),
                notes=notes,
            )
        ]


def _the_day(store: Store, book: PriceBook, steps: _Steps, folder: Path, count: int) -> int:
    """Land and store a day, with four runs of compaction; returns how many bytes landed."""
    landed = 0
    for quarter in range(4):
        minutes = range(quarter * MINUTES // 4, (quarter + 1) * MINUTES // 4)
        objects = []
        for minute in minutes:
            first, end = (count * at // MINUTES for at in (minute, minute + 1))
            objects.append((minute, landing(first, end - first, minute)))
        landed += sum(len(content) for _, content in objects)
        hours = f"{6 * quarter:02d}:00 to {6 * quarter + 6:02d}:00"
        with steps.step(f"{len(objects)} objects landed, {hours}"):
            for minute, content in objects:
                _ingest(store, minute, content)
        with steps.step(f"a run at {6 * quarter + 6:02d}:00"):
            compact(store, book, DAY - timedelta(days=2), DAY, folder)
    return landed


def _ingest(store: Store, minute: int, content: bytes) -> None:
    pieces = (content[at : at + 2**18] for at in range(0, len(content), 2**18))
    # As S3 counts it: the function reads the object that landed.
    store.client.asked["GET"] += 1
    done = ingest(pieces, store, "us-east-1")
    assert not done.poison, f"minute {minute}: expected no poison, got {done.reasons}"


if __name__ == "__main__":
    for table in run(int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS):
        print(table.markdown())
