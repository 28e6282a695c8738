"""The ledger over S3: days compacted, tails joined at read, months closed and corrected, prices compared."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests import log_lines as lines
from weir.ledger import s3_keys
from weir.ledger.close import CloseError, close, correct, verify
from weir.ledger.compact import Unit, build_unit, compact
from weir.ledger.duck import open_ledger
from weir.ledger.ingest import ingest
from weir.ledger.reprice import reprice
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook
from weir.reports.parquet_cache import RowFiles

BOOK = PriceBook.load()
DEARER = PriceBook.load(
    {
        "source": "a contract",
        "models": [
            {
                "model": "gpt-4o-mini",
                "equals": ["gpt-4o-mini-2024-07-18"],
                "records": [
                    {
                        "valid_from": None,
                        "valid_to": None,
                        "prices": {
                            "input": [{"up_to": None, "price": "1.15"}],
                            "cached_input": [{"up_to": None, "price": "1"}],
                            "output": [{"up_to": None, "price": "0.60"}],
                        },
                    }
                ],
            }
        ],
    }
)
DAY = lines.NOON.date()
ONE = timedelta(days=1)
MONTH = "2026-11"
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)
AFTER = datetime(2026, 12, 2, 9, tzinfo=UTC)


def log(
    store: Store, request: str, *, only: slice = slice(None), after: timedelta = timedelta(0), **members: Any
) -> None:
    """Ingest some lines of one request, `after` noon; the ids of its lines stay the same."""
    at_ms = lines.NOON_MS + after // timedelta(milliseconds=1)
    events = [
        lines.log_event(line, f"{request}-{number}", at_ms + number)
        for number, line in enumerate(lines.request(request, **members))
    ]
    ingest(lines.batch(events[only]), store, "us-east-1")


def rows(
    store: Store, folder: Path, sql: str, now: datetime = AFTER, **settings: Any
) -> list[tuple[Any, ...]]:
    """What a reader finds from November on."""
    opened = RowFiles(store, BOOK, folder / "cache", lambda: now, **settings).files(FIRST, AFTER.date())
    with open_ledger(opened.files) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def store(bucket: str) -> Store:
    return Store(bucket)


def test_a_day_is_compacted_when_its_facts_have_changed_and_not_otherwise(
    store: Store, tmp_path: Path
) -> None:
    log(store, "r1", only=slice(3))
    told: list[tuple[str, int, int]] = []
    done = compact(store, BOOK, DAY - ONE, DAY + ONE, tmp_path, lambda *step: told.append(step))
    assert (done.days, done.rows, done.skipped) == ([DAY], 1, 2)
    assert told[-1] == ("compact", 1, 1)
    assert compact(store, BOOK, DAY - ONE, DAY + ONE, tmp_path).days == []
    log(store, "r1")  # its report is late, the rest a repetition
    assert compact(store, BOOK, DAY - ONE, DAY + ONE, tmp_path).days == [DAY]
    assert rows(store, tmp_path, "SELECT join_status, billed_ms, dt FROM ledger") == [
        ("complete", 1600, str(DAY))
    ]


def test_a_day_has_the_same_rows_in_any_number_of_shards(store: Store, tmp_path: Path) -> None:
    for number in range(60):
        only = slice(3 if number % 4 == 0 else 0, None)
        log(store, f"r{number}", after=timedelta(minutes=number), only=only)
    whole = build_unit(store, BOOK, Unit(DAY), tmp_path / "whole.parquet")
    shards = [build_unit(store, BOOK, Unit(DAY, n, 5), tmp_path / f"{n}.parquet") for n in range(5)]
    assert whole.rows == sum(shard.rows for shard in shards) == 60
    assert max(shard.rows for shard in shards) < 30
    sql = "SELECT * FROM ledger ORDER BY request_id"
    with open_ledger([whole.path]) as one, open_ledger([shard.path for shard in shards]) as many:
        assert one.execute(sql).fetchall() == many.execute(sql).fetchall()
        # Where a request left a report alone, its stream's other requests say where it ran: in another shard, mostly.
        sql = "SELECT join_status, COUNT(*), COUNT(architecture) FROM ledger GROUP BY 1 ORDER BY 1"
        assert many.execute(sql).fetchall() == [("bill_only", 15, 15), ("complete", 45, 45)]


def test_a_request_over_midnight_is_one_row_on_the_day_of_its_report(store: Store, tmp_path: Path) -> None:
    log(store, "r1", only=slice(3), after=timedelta(hours=11, minutes=59))
    log(store, "r1", only=slice(3, None), after=timedelta(hours=12, minutes=1))
    compact(store, BOOK, DAY - ONE, DAY + ONE, tmp_path)
    found = rows(store, tmp_path, "SELECT request_id, join_status, dt FROM ledger")
    assert found == [("r1", "complete", str(DAY + ONE))]


def test_the_open_tail_is_joined_at_read_and_older_days_after_their_compaction(
    store: Store, tmp_path: Path
) -> None:
    log(store, "r1")
    compact(store, BOOK, DAY, DAY, tmp_path)
    log(store, "r2")
    at = lines.NOON + 2 * ONE
    sql = "SELECT request_id FROM ledger ORDER BY 1"
    assert rows(store, tmp_path, sql, at) == [("r1",), ("r2",)]
    assert rows(store, tmp_path, sql, at + ONE) == [("r1",)]
    compact(store, BOOK, DAY, DAY, tmp_path)
    assert rows(store, tmp_path, sql, at + ONE) == [("r1",), ("r2",)]


def test_a_tail_too_big_to_join_is_read_as_it_was_compacted_and_says_when(
    store: Store, tmp_path: Path
) -> None:
    log(store, "r1")
    compact(store, BOOK, DAY, DAY, tmp_path)
    log(store, "r2")
    now = lines.NOON + timedelta(hours=1)
    (entry,) = store.row_objects(DAY, DAY)
    opened = RowFiles(store, BOOK, tmp_path / "cache", lambda: now, join_at_read_bytes=10).files(DAY, DAY)
    assert opened.as_of == min(now, entry.modified)
    assert [path.stat().st_size for path in opened.files] == [entry.size]
    current = RowFiles(store, BOOK, tmp_path / "cache", lambda: now).files(DAY, DAY)
    assert current.as_of == now
    assert len(current.files) == 1 and current.files != opened.files


def test_files_are_fetched_once_and_the_cache_keeps_within_its_size(store: Store, tmp_path: Path) -> None:
    for number in range(4):
        log(store, f"r{number}", after=number * ONE)
    compact(store, BOOK, DAY, DAY + 4 * ONE, tmp_path)
    fetched: list[str] = []
    store.client.meta.events.register(
        "before-call.s3.GetObject", lambda params, **_: fetched.append(params["url_path"])
    )
    reader = RowFiles(store, BOOK, tmp_path / "cache", lambda: AFTER, cache_bytes=1)
    first = reader.files(DAY, DAY + ONE)
    assert sum("rows.parquet" in path for path in fetched) == 2
    fetched.clear()
    assert reader.files(DAY, DAY + ONE).files == first.files
    assert not any("rows.parquet" in path for path in fetched)
    second = reader.files(DAY + 2 * ONE, DAY + 3 * ONE)
    assert sorted((tmp_path / "cache").glob("dt=*/*.parquet")) == second.files


def test_an_object_that_cannot_be_read_is_named_whoever_joined_the_day(store: Store, tmp_path: Path) -> None:
    log(store, "r1")
    broken = f"facts/v2/hour={DAY}T12/broken.parquet"
    store.client.put_object(Bucket=store.bucket, Key=broken, Body=b"no gzip")
    now = lines.NOON + timedelta(hours=1)
    reader = RowFiles(store, BOOK, tmp_path / "cache", lambda: now)
    assert reader.files(DAY, DAY).unreadable == [broken]
    assert compact(store, BOOK, DAY, DAY, tmp_path).unreadable == [broken]
    assert reader.files(DAY, DAY).unreadable == [broken]


def test_rows_outlive_the_facts_that_the_bucket_expires(store: Store, tmp_path: Path) -> None:
    log(store, "r1")
    compact(store, BOOK, DAY, DAY, tmp_path)
    for entry in store.fact_objects(DAY, DAY)[:2]:
        store.client.delete_object(Bucket=store.bucket, Key=entry.key)
    assert compact(store, BOOK, DAY, DAY, tmp_path).days == []
    assert rows(store, tmp_path, "SELECT billed_ms FROM ledger", lines.NOON) == [(1600,)]


def test_no_other_price_is_booked_where_facts_have_expired(store: Store, tmp_path: Path) -> None:
    log(store, "r1", only=slice(3), after=timedelta(hours=11, minutes=59))
    log(store, "r1", only=slice(3, None), after=timedelta(hours=12, minutes=1))  # after midnight
    compact(store, BOOK, DAY, DAY + ONE, tmp_path)
    for entry in store.fact_objects(DAY, DAY):
        store.client.delete_object(Bucket=store.bucket, Key=entry.key)
    sql = "SELECT entry, total FROM ledger"
    booked = rows(store, tmp_path, sql)
    shown = reprice(store, DEARER, FIRST, LAST, AFTER, tmp_path, apply=True)
    assert (shown.written, shown.requests, shown.elsewhere) == ([], 0, 1)
    assert rows(store, tmp_path, sql) == booked
    compact(store, BOOK, FIRST, LAST, tmp_path)
    close(store, MONTH, AFTER, tmp_path)
    assert correct(store, DEARER, MONTH, AFTER, tmp_path, prices=True).number is None
    assert rows(store, tmp_path, sql) == booked


def test_two_compactions_at_once_leave_the_rows_of_one_of_them(store: Store, tmp_path: Path) -> None:
    log(store, "r1")
    compact(store, BOOK, DAY, DAY, tmp_path)
    log(store, "r2")
    inner: list[Any] = []

    def meanwhile(**_: Any) -> None:
        if not inner:
            inner.append(None)
            (tmp_path / "other").mkdir()
            inner.append(compact(Store(store.bucket), BOOK, DAY, DAY, tmp_path / "other"))

    store.client.meta.events.register("before-call.s3.PutObject", meanwhile)
    outer = compact(store, BOOK, DAY, DAY, tmp_path)
    assert (inner[1].days, outer.days, outer.skipped) == ([DAY], [], 1)
    assert rows(store, tmp_path, "SELECT COUNT(*) FROM ledger") == [(2,)]


def test_a_month_is_closed_once_it_is_over_and_compacted(store: Store, tmp_path: Path) -> None:
    log(store, "r1")
    with pytest.raises(s3_keys.MonthError, match="expected a month YYYY-MM, got 'November'"):
        close(store, "November", AFTER, tmp_path)
    with pytest.raises(CloseError, match=r"can be closed from 2026-12-02T00:00:00.000Z on"):
        close(store, MONTH, datetime(2026, 12, 1, 23, tzinfo=UTC), tmp_path)
    with pytest.raises(
        CloseError, match=r"every day compacted, got 1 .*\(2026-11-22\): compact 2026-11-01 to"
    ):
        close(store, MONTH, AFTER, tmp_path)
    with pytest.raises(CloseError, match="2026-11 is open"):
        verify(store, MONTH, tmp_path)
    compact(store, BOOK, FIRST, LAST, tmp_path)
    store.put_completeness(DAY, {"hours": {}})
    document = close(store, MONTH, AFTER, tmp_path)
    assert document["totals"]["requests"] == 1
    assert document["totals"]["billed_ms"] == 1600
    assert document["join_status"] == {"complete": 1}
    assert document["price_book_versions"] == [BOOK.version]
    assert document["completeness"] == {str(DAY): {"hours": {}}}
    assert [unit["rows_key"] for unit in document["units"]] == [s3_keys.rows_key(DAY)]
    assert document["warnings"][0].startswith("reports were not counted on 29 days: 2026-11-01, ")
    assert Decimal(document["totals"]["total"]) == sum(
        Decimal(document["totals"][name]) for name in document["totals"] if name.startswith("cost_")
    )
    assert close(store, MONTH, AFTER + ONE, tmp_path) == document
    assert verify(store, MONTH, tmp_path).as_json() == {
        "month": MONTH, "holds": True, "days": 1, "corrections": 0, "problems": [],
    }  # fmt: skip


def closed(store: Store, folder: Path) -> None:
    """November with one whole request, one without its report, one without its completion."""
    log(store, "whole")
    log(store, "unbilled", only=slice(3))
    log(store, "killed", only=slice(3, None))
    compact(store, BOOK, FIRST, LAST, folder)
    close(store, MONTH, AFTER, folder)


def test_late_facts_of_a_closed_month_become_corrections_on_the_day_they_are_found(
    store: Store, tmp_path: Path
) -> None:
    closed(store, tmp_path)
    before = {entry.key: entry.etag for entry in store.objects("closed/")}
    kept = {entry.key: entry.etag for entry in store.row_objects(FIRST, LAST)}
    log(store, "unbilled")
    log(store, "killed", outcome="stopped")
    assert compact(store, BOOK, FIRST, LAST, tmp_path).frozen == 1
    found = correct(store, BOOK, MONTH, AFTER, tmp_path)
    assert (found.number, found.days) == (1, (DAY,))
    assert {key: etag for key, etag in before.items() if "correction" not in key}.items() <= {
        (entry.key, entry.etag) for entry in store.objects("closed/")
    }
    assert {entry.key: entry.etag for entry in store.row_objects(FIRST, LAST)} == kept
    assert verify(store, MONTH, tmp_path).problems == []
    # As if nothing had been closed: the sums of rows and corrections are those of the facts.
    whole = build_unit(store, BOOK, Unit(DAY), tmp_path / "whole.parquet")
    sql = (
        "SELECT request_id, {outcome} SUM(records), SUM(billed_ms), SUM(billed_invocations), SUM(input_tokens), SUM(total)"
        " FROM ledger GROUP BY ALL ORDER BY ALL"
    )
    with open_ledger([whole.path]) as connection:
        expected = connection.execute(sql.format(outcome="")).fetchall()
        by_outcome = connection.execute(
            "SELECT outcome, SUM(total) FROM ledger GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert rows(store, tmp_path, sql.format(outcome="")) == expected
    booked = rows(
        store, tmp_path, "SELECT outcome, SUM(total) FROM ledger GROUP BY 1 HAVING SUM(total) <> 0 ORDER BY 1"
    )
    assert booked == by_outcome
    own = rows(
        store,
        tmp_path,
        "SELECT DISTINCT entry, corrects, dt, CAST(at_utc AS VARCHAR), CAST(corrects_at AS DATE) FROM ledger"
        " WHERE entry = 'correction'",
    )
    assert own == [("correction", MONTH, "2026-12-02", "2026-12-02 09:00:00", DAY)]


def test_a_correction_is_booked_once_and_finished_if_it_was_cut_off(store: Store, tmp_path: Path) -> None:
    closed(store, tmp_path)
    log(store, "unbilled")
    first = correct(store, BOOK, MONTH, AFTER, tmp_path)
    # Cut off between its two writes: the copy that readers see is missing.
    (copy,) = (entry for entry in store.row_objects(FIRST, AFTER.date()) if "correction" in entry.key)
    store.client.delete_object(Bucket=store.bucket, Key=copy.key)
    assert any("correction-0001" in problem for problem in verify(store, MONTH, tmp_path).problems)
    again = correct(store, BOOK, MONTH, AFTER + ONE, tmp_path)
    assert (first.number, again.number) == (1, None)
    assert verify(store, MONTH, tmp_path).problems == []
    assert rows(store, tmp_path, "SELECT COUNT(*) FROM ledger WHERE entry = 'correction'")[0][0] == first.rows
    log(store, "killed")
    assert correct(store, BOOK, MONTH, AFTER, tmp_path).number == 2
    assert rows(store, tmp_path, "SELECT SUM(billed_ms), SUM(records) FROM ledger") == [(3 * 1600, 12)]


def test_what_overwrites_a_closed_day_is_found_and_put_back(store: Store, tmp_path: Path) -> None:
    closed(store, tmp_path)
    stray, strange = s3_keys.rows_key(DAY), s3_keys.rows_key(DAY + ONE)
    log(store, "late")
    built = build_unit(store, BOOK, Unit(DAY), tmp_path / "built.parquet")
    for key in (stray, strange):
        store.upload(key, built.path)
    problems = verify(store, MONTH, tmp_path).problems
    assert len(problems) == 2 and stray in problems[0] and strange in problems[1]
    correct(store, BOOK, MONTH, AFTER, tmp_path)
    assert verify(store, MONTH, tmp_path).problems == []
    assert rows(store, tmp_path, "SELECT SUM(billed_ms) FROM ledger") == [(3 * 1600,)]


def test_the_same_book_changes_nothing_and_another_shows_what_by_component_and_model(
    store: Store, tmp_path: Path
) -> None:
    log(store, "r1")
    log(store, "r2", only=slice(3, None))
    compact(store, BOOK, FIRST, LAST, tmp_path)
    same = reprice(store, BOOK, FIRST, LAST, AFTER, tmp_path, apply=True)
    assert (same.requests, same.changed, same.total.difference) == (2, 0, 0)
    dearer = reprice(store, DEARER, FIRST, LAST, AFTER, tmp_path)
    assert (dearer.requests, dearer.changed, dearer.elsewhere) == (2, 1, 0)
    shown = dearer.as_json()
    assert shown["price_book"] == {"booked": [BOOK.version], "now": DEARER.version}
    assert shown["components"]["input_tokens"] == {
        "booked": "0.00015",
        "now": "0.00115",
        "difference": "0.001",
    }
    assert shown["components"]["output_tokens"]["difference"] == "0"
    assert shown["models"]["gpt-4o-mini-2024-07-18"]["difference"] == shown["total"]["difference"] == "0.001"
    assert rows(store, tmp_path, "SELECT DISTINCT price_book_version FROM ledger") == [(BOOK.version,)]
    assert reprice(store, DEARER, FIRST, LAST, AFTER, tmp_path, apply=True).written == [DAY]
    assert rows(store, tmp_path, "SELECT DISTINCT price_book_version FROM ledger") == [(DEARER.version,)]
    assert reprice(store, DEARER, FIRST, LAST, AFTER, tmp_path).changed == 0


def test_new_prices_reach_a_closed_month_as_corrections_and_only_if_asked(
    store: Store, tmp_path: Path
) -> None:
    closed(store, tmp_path)
    assert correct(store, DEARER, MONTH, AFTER, tmp_path).number is None
    log(store, "unbilled")
    # Late facts are priced with the book of their day, like all that is booked there.
    correct(store, DEARER, MONTH, AFTER, tmp_path)
    assert rows(store, tmp_path, "SELECT DISTINCT request_id FROM ledger WHERE entry <> 'request'") == [
        ("unbilled",)
    ]
    shown = reprice(store, DEARER, FIRST, LAST, AFTER, tmp_path, apply=True)
    assert (shown.changed, shown.total.difference, shown.written) == (2, Decimal("0.002"), [])
    asked = reprice(store, DEARER, FIRST, LAST, AFTER, tmp_path, closed_too=True)
    assert [(entry.number, entry.rows) for entry in asked.corrected] == [(2, 2)]
    assert reprice(store, DEARER, FIRST, LAST, AFTER, tmp_path, closed_too=True).changed == 0
    assert verify(store, MONTH, tmp_path).problems == []


def test_a_day_keeps_the_prices_that_it_was_first_made_with_until_somebody_asks_for_others(
    store: Store, tmp_path: Path
) -> None:
    def seen(book: PriceBook) -> list[tuple[Any, ...]]:
        opened = RowFiles(store, book, tmp_path / "cache", lambda: lines.NOON + ONE).files(DAY, DAY)
        with open_ledger(opened.files) as connection:
            return connection.execute(
                "SELECT price_book_version, count(*), sum(cost_lambda_request) FROM ledger GROUP BY 1"
            ).fetchall()

    log(store, "r1")
    compact(store, BOOK, DAY, DAY, tmp_path)
    [(_, _, one)] = seen(BOOK)
    log(store, "r2")
    # What comes after other prices were deployed, seen before and after it is compacted.
    assert seen(DEARER) == [(BOOK.version, 2, 2 * one)]
    compact(store, DEARER, DAY, DAY, tmp_path)
    assert seen(DEARER) == [(BOOK.version, 2, 2 * one)]
    reprice(store, DEARER, DAY, DAY, AFTER, tmp_path, apply=True)
    log(store, "r3")
    compact(store, BOOK, DAY, DAY, tmp_path)
    assert [row[:2] for row in seen(BOOK)] == [(DEARER.version, 3)]
    # A day that is made for the first time has the prices of today.
    log(store, "r4", after=ONE)
    compact(store, DEARER, DAY + ONE, DAY + ONE, tmp_path)
    assert (store.metadata(s3_keys.rows_key(DAY + ONE)) or {})["price-book"] == DEARER.version


def test_the_closing_document_is_written_last(store: Store, tmp_path: Path) -> None:
    log(store, "r1")
    compact(store, BOOK, FIRST, LAST, tmp_path)
    asked: list[str] = []
    for name in ("CopyObject", "PutObject", "GetObject"):
        store.client.meta.events.register(
            f"before-call.s3.{name}",
            lambda params, model, **_: asked.append(f"{model.name} {params['url_path'].rpartition('/')[2]}"),
        )
    document = close(store, MONTH, AFTER, tmp_path)
    wanted = document["units"][0]["rows-sha256"][:12]
    # No row is read: what the document says of them lies beside them.
    assert [call for call in asked if "parquet" in call] == [f"CopyObject rows-{wanted}.parquet"]
    assert asked[-2:] == ["PutObject close.json", "GetObject close.json"]
    assert json.loads(json.dumps(document)) == document
