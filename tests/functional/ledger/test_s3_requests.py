"""What a look and a compaction ask of S3: bounded by what is new and by hours, never by how many objects landed."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests import log_lines as lines
from weir.ledger.compact import compact
from weir.ledger.ingest import ingest
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook
from weir.reports.parquet_cache import RowFiles

BOOK = PriceBook.load()
DAY = lines.NOON.date()
FIRST, LAST = DAY - timedelta(days=2), DAY + timedelta(days=1)
HOUR_MS = 3_600_000


@contextmanager
def counted(store: Store) -> Iterator[Counter[str]]:
    asked: Counter[str] = Counter()

    def count(model: object, **_: object) -> None:
        asked[getattr(model, "name", "")] += 1

    store.client.meta.events.register("before-call.s3", count)
    yield asked
    store.client.meta.events.unregister("before-call.s3", count)


def land(store: Store, name: str, hours: range) -> None:
    """One request in each of some hours, counted from today's noon, in one landing object; facts lie by the hour."""
    events = [
        lines.log_event(line, f"{name}{hour}-{place}", lines.NOON_MS + hour * HOUR_MS + place)
        for hour in hours
        for place, line in enumerate(lines.request(f"{name}{hour}"))
    ]
    ingest(lines.batch(events), store, "us-east-1")


@pytest.fixture
def store(bucket: str) -> Store:
    """Three days of hours with two objects each, compacted; and a newest hour with as many as are not gathered yet."""
    found = Store(bucket)
    for name in "ab":
        land(found, name, range(-60, 1))
    for number in range(10):
        land(found, f"newest{number}-", range(1))
    return found


def test_one_new_request_costs_a_compaction_less_than_a_hundred_gets(store: Store, tmp_path: Path) -> None:
    compact(store, BOOK, FIRST, LAST, tmp_path)
    with counted(store) as asked:
        assert compact(store, BOOK, FIRST, LAST, tmp_path).days == []
    assert asked["GetObject"] == 0 and sum(asked.values()) < 10
    land(store, "new", range(1))
    with counted(store) as asked:
        assert compact(store, BOOK, FIRST, LAST, tmp_path).days == [DAY]
    assert asked["GetObject"] <= 12 + 24 + 14 and sum(asked.values()) < 100
    # After midnight it may belong to a request of the day before: both are joined again.
    land(store, "early", range(-11, -10))
    with counted(store) as asked:
        assert compact(store, BOOK, FIRST, LAST, tmp_path).days == [DAY - timedelta(days=1), DAY]
    assert asked["GetObject"] < 100


def test_a_look_costs_a_few_requests_whatever_landed(store: Store, tmp_path: Path) -> None:
    compact(store, BOOK, FIRST, LAST, tmp_path)
    land(store, "new", range(1))
    reader = RowFiles(store, BOOK, tmp_path / "cache", lambda: lines.NOON + timedelta(minutes=40))
    with counted(store) as asked:
        assert len(reader.files(FIRST, LAST).files) == 3
    assert sum(asked.values()) < 200
    with counted(store) as asked:
        reader.files(FIRST, LAST)
    assert sum(asked.values()) < 20
