"""Work on the ledger that is cut off wherever it can be, meets a day cut anew, or a month of many units: nothing is lost.

S3's refusals are raised where boto3 would raise them, in front of each request in turn.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from tests import log_lines as lines
from tests.counting_s3 import CountingS3
from weir.ledger.close import close, correct, verify
from weir.ledger.compact import Compacted, compact, compact_day, current_rows, stale_days
from weir.ledger.duck import open_ledger
from weir.ledger.ingest import ingest
from weir.ledger.store import Store, StoreError
from weir.pricing.price_book import PriceBook
from weir.reports.parquet_cache import RowFiles

BOOK = PriceBook.load()
DAY = lines.NOON.date()
MONTH, FIRST, LAST = "2026-11", date(2026, 11, 1), date(2026, 11, 30)
AFTER = datetime(2026, 12, 2, 9, tzinfo=UTC)
SUMS = "SELECT request_id, SUM(records), SUM(billed_ms), SUM(input_tokens), SUM(total) FROM ledger GROUP BY 1 ORDER BY 1"


class Refusing(CountingS3):
    """Refuses the request with one number, by how S3 does it."""

    at = -1
    refusal: Callable[[], Exception]

    def _count(self, what: str) -> None:
        super()._count(what)
        if sum(self.asked.values()) == self.at:
            raise self.refusal()


def error(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "any")  # type: ignore[typeddict-item]


REFUSALS: dict[str, tuple[Callable[[], Exception], str]] = {
    "throttled": (lambda: error("SlowDown", 503), "SlowDown"),
    "denied": (lambda: error("AccessDenied", 403), "AccessDenied"),
    "slow": (lambda: ReadTimeoutError(endpoint_url="https://s3"), "cannot be reached"),
}


def log(store: Store, request: str, *, only: slice = slice(None), hours: int = 0) -> None:
    """Store some lines of one request, some hours after noon."""
    events = [
        lines.log_event(line, f"{request}-{number}", lines.NOON_MS + hours * 3_600_000 + number)
        for number, line in enumerate(lines.request(request))
    ]
    ingest(lines.batch(events[only]), store, "us-east-1")


def sums(store: Store, folder: Path) -> list[tuple[Any, ...]]:
    """What a reader finds from November on, request by request."""
    opened = RowFiles(store, BOOK, folder / "cache", lambda: AFTER).files(FIRST, AFTER.date())
    with open_ledger(opened.files) as connection:
        return connection.execute(SUMS).fetchall()


@pytest.mark.parametrize("name", REFUSALS)
def test_a_life_of_a_month_that_s3_cuts_off_at_any_request_ends_as_if_it_had_not(
    name: str, tmp_path: Path
) -> None:
    refusal, said = REFUSALS[name]

    def life(store: Store) -> None:
        compact(store, BOOK, FIRST, LAST, tmp_path)
        if store.closed(MONTH) is None:
            close(store, MONTH, AFTER, tmp_path)
            log(store, "late")
            log(store, "half")
        correct(store, BOOK, MONTH, AFTER, tmp_path)

    def opened(folder: str) -> tuple[Refusing, Store]:
        s3 = Refusing(tmp_path / folder)
        store = Store(folder, client=s3)  # a name of its own: what is known of a bucket is kept
        log(store, "whole")
        log(store, "half", only=slice(3))
        return s3, store

    s3, store = opened("whole")
    before = sum(s3.asked.values())
    life(store)
    requests = sum(s3.asked.values()) - before
    wanted = sums(store, tmp_path / "whole-read")
    assert len(wanted) == 3
    first = 1 + 6 * list(REFUSALS).index(name)  # others for each, so that together they are many
    for number in range(first, requests + 1, 17):
        s3, store = opened(f"cut-{number}")
        s3.at, s3.refusal = sum(s3.asked.values()) + number, refusal
        try:
            life(store)
        except StoreError as raised:
            assert said in str(raised)
        else:
            pytest.fail(f"request {number} was refused, and nobody said so")
        log(store, "late")  # the landing object is delivered again
        log(store, "half")
        life(store)
        correct(store, BOOK, MONTH, AFTER, tmp_path)
        assert sums(store, tmp_path / f"read-{number}") == wanted, (
            f"cut off at request {number} of {requests}"
        )
        assert verify(store, MONTH, tmp_path).problems == []


def test_a_day_that_is_cut_anew_is_read_as_it_was_until_its_last_unit_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store("ledger", client=CountingS3(tmp_path / "bucket"))
    for number in range(8):
        log(store, f"r{number:02d}", hours=number)
    compact(store, BOOK, DAY, DAY, tmp_path)
    [whole] = current_rows(store.row_objects(DAY, DAY))[DAY]
    before = sums(store, tmp_path / "before")
    log(store, "r99", hours=9)
    size = sum(entry.size for entry in store.fact_objects(DAY, DAY))
    monkeypatch.setattr("weir.ledger.compact.UNIT_BYTES", size // 5)
    [(day, (objects, shards))] = stale_days(store, DAY, DAY, Compacted()).items()
    assert shards == 6
    for shard in range(shards - 1):
        compact_day(store, BOOK, day, objects, shards, tmp_path, Compacted(), only=shard)
        assert current_rows(store.row_objects(DAY, DAY))[DAY] == [whole]
    compact_day(store, BOOK, day, objects, shards, tmp_path, Compacted(), only=shards - 1)
    assert len(current_rows(store.row_objects(DAY, DAY))[DAY]) == shards
    after = sums(store, tmp_path / "after")
    assert after[:-1] == before and after[-1][0] == "r99"
    # Athena reads all that lies in the folder: of the coarser cut nothing is left.
    with open_ledger([store.client._path(entry.key) for entry in store.row_objects(DAY, DAY)]) as connection:
        assert connection.execute(SUMS).fetchall() == after
    # A cut is kept, also where a day would fit into fewer now.
    monkeypatch.setattr("weir.ledger.compact.UNIT_BYTES", 10**9)
    log(store, "r98", hours=9)
    compact(store, BOOK, DAY, DAY, tmp_path)
    assert len(current_rows(store.row_objects(DAY, DAY))[DAY]) == shards
    assert len(sums(store, tmp_path / "kept")) == 10


def test_a_correction_takes_as_many_units_as_fit_one_function_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store("ledger", client=CountingS3(tmp_path / "bucket"))
    for number in range(2):
        log(store, f"r{number}", hours=24 * number)
    compact(store, BOOK, FIRST, LAST, tmp_path)
    close(store, MONTH, AFTER, tmp_path)
    for number in range(2):
        log(store, f"late{number}", hours=24 * number)
    monkeypatch.setattr("weir.ledger.close._RUN_BYTES", 1)
    found = [correct(store, BOOK, MONTH, AFTER, tmp_path) for _ in range(3)]
    assert [entry.days for entry in found] == [*((DAY + timedelta(days=n),) for n in range(2)), ()]
    assert len(sums(store, tmp_path)) == 4
