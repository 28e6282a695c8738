"""Closing, verifying and correcting a month of a billion requests, by its manifest: 5,000 units of 200,000 requests.

One day is real: 200,000 requests, made and compacted. The other units are objects beside which stands what compaction
leaves there: closing, and verifying by checksums, read that and no row. The month
is then corrected with a request that came late to the real day. Seconds are this machine's; what is asked of S3 is what
it would be there, and its wait is added: 30 ms a request, sixteen at a time where they are.
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.tables import Bound, Table
from tests.counting_s3 import CountingS3
from tests.made_facts import DAY, made_facts
from tests.made_requests import landing
from weir.ledger import s3_keys
from weir.ledger.close import close, correct, verify
from weir.ledger.compact import compact
from weir.ledger.ingest import ingest
from weir.ledger.row_hash import TOTALS
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook

UNIT = 200_000
SHARDS = 173  # of each of the other 29 days
MONTH, FIRST, LAST = "2026-11", date(2026, 11, 1), date(2026, 11, 30)
AFTER = datetime(2026, 12, 8, tzinfo=UTC)
LIMIT_S, ASKED_S, AT_ONCE = 900, 0.03, 16


def run() -> list[Table]:
    """One table: seconds and requests of each step, with the bound of a function's time."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        s3 = CountingS3(folder / "bucket")
        store, book = Store("ledger", client=s3), PriceBook.load()
        for hour, path in enumerate(made_facts(folder, UNIT)):
            store.upload(
                s3_keys.fact_key(datetime(DAY.year, DAY.month, DAY.day, hour, tzinfo=UTC), "made"), path
            )
        compact(store, book, DAY, DAY, folder)
        units = 1 + _others(store)
        rows: list[tuple[str, str, str, str, str]] = []
        waits: dict[str, float] = {}

        def step(what: str, work: Callable[[], Any], at_once: int = AT_ONCE) -> Any:
            before, began = Counter(s3.asked), time.perf_counter()
            done = work()
            took = time.perf_counter() - began
            asked = {kind: count - before[kind] for kind, count in s3.asked.items()}
            waits[what] = took + ASKED_S * sum(asked.values()) / at_once
            rows.append(
                (what, f"{took:.1f}", *(f"{asked.get(kind, 0):,}" for kind in ("GET", "PUT", "LIST")))
            )
            return done

        document = step("closed", lambda: close(store, MONTH, AFTER, folder))
        requests = document["totals"]["requests"]
        assert (len(document["units"]), requests) == (units, units * UNIT), f"{units} units, got {requests:,}"
        found = step("verified by checksums", lambda: verify(store, MONTH, folder, rows_too=False), 1)
        assert not found.problems, found.problems[:3]
        ingest([landing(UNIT, 1, 720)], store, "us-east-1")
        corrected = step("one late request booked", lambda: correct(store, book, MONTH, AFTER, folder), 1)
        assert (corrected.number, corrected.days, corrected.rows) == (1, (DAY,), 1), corrected
        size = len(json.dumps(document))
        return [
            Table(
                f"A month of {units:,} units of {UNIT:,} requests",
                ("step", "seconds", "GET", "PUT", "LIST"),
                rows,
                bounds=[Bound(f"{what}, with S3's time", took, LIMIT_S, "s") for what, took in waits.items()],
                notes=(f"The closing document: {size / 1e6:.1f} MB, {requests:,} requests.",),
            )
        ]


def _others(store: Store) -> int:
    """Write the units of the other days, with what compaction left beside the real one's rows; returns how many."""
    [real] = store.row_objects(DAY, DAY)
    beside = {name: value for name, value in (store.metadata(real.key) or {}).items() if name != "etag"}
    assert json.loads(beside[TOTALS])[0] == UNIT
    found = 0
    for other in s3_keys.days(FIRST, LAST):
        if other == DAY:
            continue
        for shard in range(SHARDS):
            store.client.put_object(
                Bucket=store.bucket,
                Key=s3_keys.rows_key(other, shard, SHARDS),
                Body=f"{other} {shard}".encode(),
                Metadata=beside,
            )
            found += 1
    return found


if __name__ == "__main__":
    for table in run():
        print(table.markdown())
