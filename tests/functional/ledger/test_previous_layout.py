"""What the previous version stored is read as before: facts, rows, closed months, corrections, exports."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests import previous_ledger
from tests.previous_ledger import CLOSED, FIRST, LAST, NOW
from weir.ledger.close import close, correct, verify
from weir.ledger.compact import Unit, build_unit, compact
from weir.ledger.duck import open_ledger
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook
from weir.reports.parquet_cache import RowFiles

BOOK = PriceBook.load()


@pytest.fixture
def store(bucket: str) -> Store:
    found = Store(bucket)
    previous_ledger.load(found)
    return found


def ask(store: Store, folder: Path, sql: str) -> list[tuple[Any, ...]]:
    opened = RowFiles(store, BOOK, folder / "cache", lambda: NOW).files(FIRST, LAST)
    assert opened.unreadable == []
    with open_ledger(opened.files) as connection:
        return connection.execute(sql).fetchall()


def sums_hold(store: Store, folder: Path) -> None:
    wanted = previous_ledger.expected()
    sums = wanted["sums"]
    [found] = ask(store, folder, f"SELECT {', '.join(f'SUM({name})' for name in sums)} FROM ledger")
    for (name, text), value in zip(sums.items(), found, strict=True):
        assert (None if value is None else Decimal(value)) == (None if text is None else Decimal(text)), name
    by_outcome = ask(
        store,
        folder,
        "SELECT COALESCE(outcome, 'unknown'), COUNT(*), SUM(total) FROM ledger GROUP BY 1 ORDER BY 1",
    )
    assert {name: [rows, str(total)] for name, rows, total in by_outcome} == wanted["by_outcome"]
    requests = ask(
        store,
        folder,
        "SELECT request_id, entry, CAST(at_utc AS VARCHAR), join_status, CAST(total AS VARCHAR) FROM ledger"
        " ORDER BY 1, 2, 3, 4, 5",
    )
    assert [list(row) for row in requests] == wanted["requests"]


def test_rows_and_corrections_have_the_sums_that_the_code_which_wrote_them_said(
    store: Store, tmp_path: Path
) -> None:
    sums_hold(store, tmp_path)


def test_a_closed_month_is_closed_and_holds_and_nothing_is_corrected_again(
    store: Store, tmp_path: Path
) -> None:
    document = close(store, CLOSED, NOW, tmp_path)
    assert document == json.loads(
        store.client.get_object(Bucket=store.bucket, Key=f"closed/v1/{CLOSED}/close.json")["Body"].read()
    )
    assert verify(store, CLOSED, tmp_path).problems == []
    assert correct(store, BOOK, CLOSED, NOW, tmp_path).number is None
    sums_hold(store, tmp_path)


def test_compaction_finds_nothing_new_in_what_was_compacted(store: Store, tmp_path: Path) -> None:
    assert compact(store, BOOK, FIRST, LAST, tmp_path).days == []
    sums_hold(store, tmp_path)


def test_days_are_joined_anew_from_the_facts_to_the_same_requests_and_quantities(
    store: Store, tmp_path: Path
) -> None:
    """Prices may be others today; what was billed is not."""
    days = [FIRST.replace(day=30), FIRST.replace(day=31), LAST.replace(day=1)]
    files = [build_unit(store, BOOK, Unit(day), tmp_path / f"{day}.parquet").path for day in days]
    names = ("records", "billed_ms", "billed_invocations", "input_tokens", "output_tokens", "streamed_bytes")
    summed = ", ".join(f"COALESCE(SUM({name}), 0)" for name in names)
    sql = f"SELECT request_id, {summed} FROM ledger WHERE day >= DATE '2026-10-30' GROUP BY 1"
    with open_ledger(files) as connection:
        anew = connection.execute(f"{sql} ORDER BY 1").fetchall()
    booked = ask(
        store,
        tmp_path,
        sql.replace("day >=", "CAST(COALESCE(corrects_at, at_utc) AS DATE) >=") + " ORDER BY 1",
    )
    assert anew == booked


def test_an_export_is_still_there(store: Store) -> None:
    assert store.export_status("job-1") == {"id": "job-1", "status": "done"}
    names = {entry.key.rpartition(".")[2] for entry in store.objects("exports/v1/job-1/")}
    assert names == {"csv", "json"}
    assert store.count_poison() == 1
