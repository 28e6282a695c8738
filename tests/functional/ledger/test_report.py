"""The report over stored facts: the figures that plain sums over the joined rows give, in any time zone, and kept."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from tempfile import gettempdir
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from starlette.testclient import TestClient

from functions.finance import app as finance
from functions.ledger import app as ledger
from tests import log_lines as lines
from tests.buckets import facts_of, landed, prepare_bucket
from tests.made_ledger import row_as_json
from weir.ledger.close import close, correct
from weir.ledger.compact import compact
from weir.ledger.join import join
from weir.ledger.row import Row
from weir.ledger.store import Store
from weir.pricing.money import plain
from weir.pricing.price_book import PriceBook
from weir.reports import report_math
from weir.reports.engine import DuckEngine, TooBig

NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
OUTCOMES = ["ok", "ok", "ok", "invalid_output", "client_disconnected", "stopped", "upstream_error"]
FIRST = datetime(2026, 10, 23, 21, 40, tzinfo=UTC)
EVERY = timedelta(hours=4, minutes=7)
COUNT = 50


class At(finance.Services):
    """The real services at a fixed time."""

    def now(self) -> datetime:
        return NOW


def events() -> list[dict[str, Any]]:
    """Fifty requests over the days on which Berlin's and New York's clocks change, and some that are half known."""
    found: list[dict[str, Any]] = []
    for n in range(COUNT):
        members: dict[str, Any] = {
            "outcome": OUTCOMES[n % len(OUTCOMES)],
            "model_returned": ["gpt-4o-mini-2024-07-18", "gpt-4o-2024-11-20", "no-such-model"][n % 3],
            "tenant": ["acme", None, "it's", "globex"][n % 4],
            "tags": [{}, {"feature": "search"}, {"feature": "other", "tenant": "shop"}][n % 3],
            "usage": lines.usage(900 + n, None if n % 11 == 5 else 40 * n),
            "cost": {"total": f"0.00{n:02d}"},
        }
        written = lines.request(f"r{n:02d}", 1000 + 17 * n, **members)
        if n % 13 == 4:
            written = written[:3]  # no report
        if n % 13 == 6:
            written = [written[0], written[3]]  # no facts
        at_ms = round((FIRST + n * EVERY).timestamp() * 1000)
        found += [lines.log_event(line, f"e{n:03d}{part}", at_ms + part) for part, line in enumerate(written)]
    return found


@pytest.fixture
def client(bucket: str, context: Any) -> Iterator[TestClient]:
    ledger._store.cache_clear()
    ledger.handler(landed(lines.batch(events())), context)
    with TestClient(finance.create_app(At())) as made:
        yield made


@contextmanager
def written_ledger(moto_url: str) -> Iterator[tuple[str, TestClient]]:
    """A bucket with the events in an account of its own, and a client of finance over it."""
    with pytest.MonkeyPatch.context() as patch:
        bucket = prepare_bucket(moto_url, patch)
        ledger._store.cache_clear()
        ledger.handler(landed(lines.batch(events())), SimpleNamespace(aws_request_id="7f0c1c4e"))
        with TestClient(finance.create_app(At())) as made:
            yield bucket, made


# For tests that only read: joining the events anew for each of them took most of the time.


@pytest.fixture(scope="module")
def read_ledger(moto_url: str) -> Iterator[tuple[str, TestClient]]:
    with written_ledger(moto_url) as made:
        yield made


@pytest.fixture
def read_bucket(read_ledger: tuple[str, TestClient], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("WEIR_LEDGER_BUCKET", read_ledger[0])
    return read_ledger[0]


@pytest.fixture
def reading(read_ledger: tuple[str, TestClient], read_bucket: str) -> TestClient:
    return read_ledger[1]


@pytest.fixture(scope="module")
def october(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bucket with the events, whose October is compacted; `compacted` copies it."""
    with pytest.MonkeyPatch.context() as patch:
        bucket = prepare_bucket(moto_url, patch)
        ledger._store.cache_clear()
        ledger.handler(landed(lines.batch(events())), SimpleNamespace(aws_request_id="7f0c1c4e"))
        folder = tmp_path_factory.mktemp("october")
        compact(Store(bucket), PriceBook.load(), date(2026, 10, 1), date(2026, 10, 31), folder)
        return bucket


def copy_ledger(source: str, target: str) -> None:
    s3 = boto3.client("s3")
    listed = s3.list_objects_v2(Bucket=source)["Contents"]
    # As they were written: a roll-up that is older than its rows is not believed.
    for key in sorted((entry["Key"] for entry in listed), key=lambda key: (key.startswith("rollups/"), key)):
        s3.copy_object(Bucket=target, Key=key, CopySource={"Bucket": source, "Key": key})
    ledger._store.cache_clear()


@pytest.fixture
def compacted(october: str, bucket: str) -> Iterator[TestClient]:
    """A client of finance over a bucket of its own, whose October is compacted."""
    copy_ledger(october, bucket)
    with TestClient(finance.create_app(At())) as made:
        yield made


def report(
    client: TestClient, start: str = "2026-10-20", end: str = "2026-11-02", **query: Any
) -> dict[str, Any]:
    return ask(client, "/api/report", start, end, **query)


def overview(
    client: TestClient, start: str = "2026-10-20", end: str = "2026-11-02", **query: Any
) -> dict[str, Any]:
    """The report's totals and series, by a part of its statements."""
    return ask(client, "/api/overview", start, end, **query)


def ask(client: TestClient, path: str, start: str, end: str, **query: Any) -> dict[str, Any]:
    answer = client.get(path, params={"from": start, "to": end, **query})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def rows_of(bucket: str) -> list[Row]:
    """The join itself, without Parquet, SQL or API."""
    return join(facts_of(Store(bucket), date(2026, 10, 1), date(2026, 11, 30)), PriceBook.load())


def total(rows: list[Row]) -> Decimal:
    return sum((row.cost.total for row in rows), Decimal(0))


def known(values: list[Any]) -> Any:
    found = [value for value in values if value is not None]
    return sum(found[1:], found[0]) if found else None


def test_every_figure_is_the_plain_sum_over_the_joined_rows(reading: TestClient, read_bucket: str) -> None:
    rows, found = rows_of(read_bucket), report(reading)
    totals = found["totals"]
    assert (totals["requests"], Decimal(totals["total"])) == (COUNT, total(rows))
    assert totals["components"]["metering"] is None  # the ledger's own cost is counted in no log here
    for part in ("components", "phases"):
        for name, amount in totals[part].items():
            if name == "metering":
                continue
            expected = known([getattr(getattr(row.cost, part), name) for row in rows])
            assert (amount and Decimal(amount)) == expected, name
    assert Decimal(totals["total"]) == known(
        [amount and Decimal(amount) for amount in totals["components"].values()]
    )
    assert totals["billed_ms"] == known([row.billed_ms for row in rows])
    assert totals["tokens"]["output"] == known([row.usage.output_tokens for row in rows])
    assert totals["unpriced"]["rows"] == sum(bool(row.cost.unpriced) for row in rows)
    assert totals["unpriced"]["reasons"] == {
        reason: sum(reason in row.cost.unpriced for row in rows)
        for reason in sorted({reason for row in rows for reason in row.cost.unpriced})
    }
    for status in ("complete", "bill_only", "usage_only", "started_only"):
        assert found["completeness"][status] == sum(row.join_status == status for row in rows)


def test_waste_and_unit_economics_are_what_they_say(reading: TestClient, read_bucket: str) -> None:
    rows, found = rows_of(read_bucket), report(reading)
    wasted = {entry["name"]: Decimal(entry["total"]) for entry in found["waste"]}
    kept = ("ok", "client_disconnected", "stopped")
    assert wasted["failed"] == total([row for row in rows if row.outcome not in (None, *kept)])
    assert wasted["abandoned"] == total([row for row in rows if row.outcome in kept[1:]])
    assert wasted["unknown"] == total([row for row in rows if row.outcome is None])
    assert wasted["waiting"] == known([row.cost.phases.waiting for row in rows])
    documents = [row for row in rows if row.schema]
    per = found["unit_economics"]
    valid = sum(row.outcome == "ok" for row in documents)
    assert Decimal(per["per_validated_document"]) == (total(documents) / valid).quantize(Decimal("1e-15"))
    assert Decimal(per["per_1000_requests"]) == (total(rows) * 1000 / COUNT).quantize(Decimal("1e-15"))
    delivered = known([row.usage.output_tokens for row in rows if row.outcome == "ok"])
    assert Decimal(per["per_million_output_tokens"]) == (total(rows) * 10**6 / delivered).quantize(
        Decimal("1e-15")
    )


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland"])
def test_p8_days_asked_for_alone_and_days_drawn_sum_to_the_range(reading: TestClient, zone: str) -> None:
    days = [(date(2026, 10, 23) + timedelta(days=n)).isoformat() for n in range(11)]
    whole = report(reading, days[0], days[-1], tz=zone)
    alone = [overview(reading, start, end, tz=zone) for start, end in pairwise(days)]
    drawn = whole["series"]["points"]
    assert [point["start"][:10] for point in drawn] == days[:-1]
    for day, point in zip(alone, drawn, strict=True):
        assert (day["totals"]["requests"], day["totals"]["total"]) == (point["requests"], point["total"])
        assert day["series"]["bucket"] == "hour"
        hours = [Decimal(hour["total"]) for hour in day["series"]["points"]]
        assert sum(hours) == Decimal(point["total"])
        start, end = (datetime.fromisoformat(day["range"][name]) for name in ("from", "to"))
        assert len(hours) == (end.astimezone(UTC) - start.astimezone(UTC)) // timedelta(hours=1)
    assert sum(day["totals"]["requests"] for day in alone) == whole["totals"]["requests"] == COUNT
    assert sum(Decimal(day["totals"]["total"]) for day in alone) == Decimal(whole["totals"]["total"])


@pytest.mark.parametrize(
    "by", ["component", "outcome", "tenant", "feature", "model", "function", "tag:feature"]
)
def test_the_groups_of_a_series_sum_to_its_points_and_to_the_breakdown(reading: TestClient, by: str) -> None:
    found = report(reading, by=by)
    series = found["series"]
    for point in series["points"]:
        assert set(point["groups"]) <= set(series["groups"])
        assert known([Decimal(part) for part in point["groups"].values() if part] or [Decimal(0)]) == Decimal(
            point["total"]
        )
    names = found["breakdowns"].get(by.removeprefix("tag:"))
    if names:
        assert [group["name"] for group in names] == series["groups"]
        for group in names:
            drawn = [Decimal(point["groups"].get(group["name"], "0")) for point in series["points"]]
            assert sum(drawn) == Decimal(group["total"])


@pytest.mark.parametrize("by", ["component", "tenant", "tag:feature"])
def test_the_overview_is_the_reports_own_totals_and_series(reading: TestClient, by: str) -> None:
    whole = report(reading, by=by, tz="Asia/Kolkata", tenant="acme")
    found = overview(reading, by=by, tz="Asia/Kolkata", tenant="acme")
    for said in (found, whole):
        for name in ("error_p50_percent", "error_p99_percent"):
            said["totals"]["estimates"].pop(name)
    for point in whole["series"]["points"]:
        for name in [name for name in point if name.endswith("_ms")]:
            del point[name]
    assert found == {name: whole[name] for name in found}
    assert found["totals"]["requests"] > 0


def test_a_name_finds_its_rows_and_the_unknown_find_theirs(reading: TestClient) -> None:
    found = report(reading)
    for dimension in ("outcome", "model", "tenant", "function"):
        for group in found["breakdowns"][dimension]:
            alone = overview(reading, **{dimension: group["name"]})["totals"]
            assert alone["requests"] >= group["requests"]
            if dimension != "model":  # a model is found by the requested name, too
                assert (alone["requests"], alone["total"]) == (group["requests"], group["total"])
    assert {group["name"] for group in found["breakdowns"]["tenant"]} >= {"it's", "globex", "(unknown)"}
    assert {group["name"] for group in found["breakdowns"]["feature"]} == {"search", "other", "(no tag)"}


def test_rows_by_cost_and_by_time_are_the_rows_of_the_join(reading: TestClient, read_bucket: str) -> None:
    expected = {row.request_id: row for row in rows_of(read_bucket)}
    for sort, key in (
        ("newest", lambda row: (row.at, row.request_id)),
        ("cost", lambda row: (row.cost.total, row.at)),
    ):
        got: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            query = {"from": "2026-10-20", "to": "2026-11-02", "limit": 7, "sort": sort, **cursor}
            answer = reading.get("/api/requests", params=query).json()
            got += answer["rows"]
            if answer["next_cursor"] is None:
                break
            cursor = {"cursor": answer["next_cursor"]}
        assert [row["request_id"] for row in got] == [
            row.request_id for row in sorted(expected.values(), key=key, reverse=True)
        ]
        for row in got:
            booked = row_as_json(expected[row["request_id"]])
            assert row == json.loads(json.dumps(booked))


def test_a_cursor_of_another_order_is_refused(reading: TestClient) -> None:
    first = reading.get("/api/requests", params={"from": "2026-10-20", "to": "2026-11-02", "limit": 1}).json()
    answer = reading.get("/api/requests", params={"cursor": first["next_cursor"], "sort": "cost"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/cursor")


def test_a_timeline_holds_the_known_phases_in_order_up_to_what_was_billed(reading: TestClient) -> None:
    query = {"from": "2026-10-20", "to": "2026-11-02"}
    found = reading.get("/api/requests/r00", params=query).json()
    phases = [(part["phase"], part["start_ms"], part["end_ms"]) for part in found["timeline"]]
    assert phases == [
        ("cold_start", 0.0, 0.0),
        ("waiting", 0.0, 400.0),
        ("streaming", 400.0, 1300.0),
        ("validating", 1300.0, 1320.0),
        ("rest", 1320.0, 1320.0),
    ]
    costs = [Decimal(part["cost"]) for part in found["timeline"]]
    assert sum(costs) == Decimal(found["row"]["cost"]["components"]["lambda_duration"])
    unbilled = reading.get("/api/requests/r04", params=query).json()
    assert [part["phase"] for part in unbilled["timeline"]] == ["waiting", "streaming", "validating"]
    assert {part["cost"] for part in unbilled["timeline"]} == {None}


def test_a_budget_is_the_months_whatever_is_filtered(
    reading: TestClient, read_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert report(reading)["budget"] is None
    monkeypatch.setenv("WEIR_MONTHLY_BUDGET_USD", "0.01")
    found = report(reading, outcome="killed", end="2026-11-01")["budget"]
    october = [row for row in rows_of(read_bucket) if row.at < datetime(2026, 11, 1, tzinfo=UTC)]
    assert (found["month"], Decimal(found["spent"])) == ("2026-10", total(october))
    assert (found["level"], found["method"]) == ("100", "the month is over: what was spent")
    november = report(reading, start="2026-11-01")["budget"]
    assert november["month"] == "2026-11"
    assert Decimal(november["forecast"]) > Decimal(november["spent"])
    assert "last 7 whole days" in november["method"]


def test_hours_are_held_against_the_independent_count(client: TestClient, bucket: str) -> None:
    counted = {
        "2026-10-24T01:00:00Z": {"reports_in_log": 3},
        "2026-10-24T02:00:00Z": {"reports_in_log": 1},
        "2026-10-24T09:00:00Z": {"reports_in_log": 0},
    }
    document = {"hours": counted, "counted_until": "2026-10-24T10:00:00Z"}
    Store(bucket).put_completeness(date(2026, 10, 24), document)
    found = report(client, "2026-10-24", "2026-10-25", outcome="ok")["completeness"]
    assert found["counted_until"] == "2026-10-24T10:00:00Z"
    hours = {hour["hour"]: hour for hour in found["hours"]}
    assert hours["2026-10-24T01:00:00.000Z"] == {
        "hour": "2026-10-24T01:00:00.000Z", "reports_in_log": 3, "rows": 1, "missing": 2,
    }  # fmt: skip
    assert hours["2026-10-24T02:00:00.000Z"]["missing"] == 1
    assert hours["2026-10-24T09:00:00.000Z"]["missing"] == 0
    assert hours["2026-10-24T05:00:00.000Z"]["missing"] is None  # rows, and nobody has counted


def test_the_same_question_is_asked_of_the_engine_once_until_a_row_changes(
    client: TestClient, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    rows = DuckEngine.rows

    def counting(self: DuckEngine, queries: Any) -> Any:
        asked.append(len(queries))
        return rows(self, queries)

    monkeypatch.setattr(DuckEngine, "rows", counting)
    query = {"start": "2026-10-31", "end": "2026-11-03"}
    before = report(client, **query)["totals"]["requests"]
    assert len(asked) == 1
    assert report(client, **query)["totals"]["requests"] == before
    assert len(asked) == 1
    at_ms = round(NOW.timestamp() * 1000) - 60_000
    late = [lines.log_event(line, f"late{n}", at_ms + n) for n, line in enumerate(lines.request("late"))]
    ledger.handler(landed(lines.batch(late)), context)
    assert report(client, **query)["totals"]["requests"] == before + 1
    assert len(asked) == 2


def test_what_comes_after_a_close_is_money_of_the_day_it_was_partand_stays_with_its_request(
    compacted: TestClient, bucket: str, context: Any, tmp_path: Path
) -> None:
    client, store, book = compacted, Store(bucket), PriceBook.load()
    close(store, "2026-10", NOW, tmp_path)
    october = report(client, end="2026-11-01")["totals"]
    at_ms = round((FIRST + 4 * EVERY).timestamp() * 1000)
    late = lines.log_event(lines.report("r04", 1068), "late", at_ms + 9)
    ledger.handler(landed(lines.batch([late])), context)
    correct(store, book, "2026-10", NOW, tmp_path)
    assert report(client, end="2026-11-01")["totals"] == october
    after = report(client, "2026-11-01", "2026-11-03")
    found = after["corrections"]
    assert found["rows"] >= 1 and Decimal(found["total"]) > 0
    assert after["totals"]["requests"] == report(client, "2026-11-01", "2026-11-02")["totals"]["requests"]
    one = client.get("/api/requests/r04", params={"from": "2026-10-20", "to": "2026-11-03"}).json()
    assert (one["row"]["entry"], one["row"]["billed_ms"]) == ("request", None)
    assert {found["corrects"] for found in one["corrections"]} == {"2026-10"}
    assert sum(Decimal(part["difference"]) for part in one["corrections"]) == Decimal(found["total"])


@pytest.fixture(scope="module")
def corrected_ledger(
    moto_url: str, october: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, TestClient, str, str]]:
    with pytest.MonkeyPatch.context() as patch:
        bucket = prepare_bucket(moto_url, patch)
        copy_ledger(october, bucket)
        with TestClient(finance.create_app(At())) as made:
            yield bucket, made, *correct_october(bucket, tmp_path_factory.mktemp("corrected"))


@pytest.fixture
def corrected(
    corrected_ledger: tuple[str, TestClient, str, str], monkeypatch: pytest.MonkeyPatch
) -> tuple[TestClient, str, str]:
    """October is closed; then r04's report comes. A client, what it cost before, and what it costs after."""
    bucket, *rest = corrected_ledger
    monkeypatch.setenv("WEIR_LEDGER_BUCKET", bucket)
    return tuple(rest)


def correct_october(bucket: str, tmp_path: Path) -> tuple[str, str]:
    store, book = Store(bucket), PriceBook.load()
    before = next(row for row in rows_of(bucket) if row.request_id == "r04").cost.total
    close(store, "2026-10", NOW, tmp_path)
    at_ms = round((FIRST + 4 * EVERY).timestamp() * 1000)
    late = lines.log_event(lines.report("r04", 1068), "late", at_ms + 9)
    ledger.handler(landed(lines.batch([late])), SimpleNamespace(aws_request_id="7f0c1c4e"))
    correct(store, book, "2026-10", NOW, tmp_path)
    after = next(row for row in rows_of(bucket) if row.request_id == "r04").cost.total
    assert after > before
    return plain(before), plain(after)


@pytest.mark.parametrize(
    "query",
    [
        {},  # looked for in the whole ledger
        {"from": "2026-10-20", "to": "2026-11-01"},  # the request's own month
        {"from": "2026-10-24", "to": "2026-10-25"},  # its day
        {"from": "2026-11-02", "to": "2026-11-03"},  # a range that holds the correction alone
    ],
)
def test_a_corrected_request_shows_before_and_after_wherever_it_is_opened_from(
    corrected: tuple[TestClient, str, str], query: dict[str, str]
) -> None:
    client, before, after = corrected
    found = client.get("/api/requests/r04", params=query).json()
    assert (found["row"]["entry"], found["row"]["cost"]["total"]) == ("request", before)
    assert found["corrections"][0]["before"] == before
    assert (found["corrections"][-1]["after"], found["corrected_total"]) == (after, after)
    changed = {change["name"]: change for change in found["changes"]}
    assert (changed["billed_ms"]["before"], changed["billed_ms"]["after"]) == (None, "1068")
    assert (changed["total"]["before"], changed["total"]["after"]) == (before, after)
    assert "outcome" not in changed and "output_tokens" not in changed


@pytest.mark.parametrize(
    ("query", "is_later"),
    [
        ({"from": "2026-10-20", "to": "2026-11-01"}, True),  # the month that is corrected
        ({"from": "2026-11-02", "to": "2026-11-03"}, False),  # the day on which it was found
    ],
)
def test_corrections_are_listed_where_they_were_partand_where_their_requests_are_and_are_no_requests(
    corrected: tuple[TestClient, str, str], query: dict[str, str], is_later: bool
) -> None:
    client, before, after = corrected
    listed = client.get("/api/corrections", params=query).json()
    [one] = listed["corrections"]
    difference = Decimal(after) - Decimal(before)
    assert (one["request_id"], one["corrects"], one["is_later"]) == ("r04", "2026-10", is_later)
    assert (one["before"], one["after"], Decimal(one["difference"])) == (before, after, difference)
    [month] = listed["months"]
    assert (month["month"], month["requests"], Decimal(month["total"])) == ("2026-10", 1, difference)
    assert report(client, query["from"], query["to"])["corrections"]["months"] == [month]
    rows = client.get("/api/requests", params={**query, "limit": 500}).json()["rows"]
    assert {row["entry"] for row in rows} <= {"request"}


def test_a_request_that_came_as_a_whole_after_the_close_is_explained_by_its_own_records(
    compacted: TestClient, bucket: str, context: Any, tmp_path: Path
) -> None:
    client, store, book = compacted, Store(bucket), PriceBook.load()
    close(store, "2026-10", NOW, tmp_path)
    at_ms = round((FIRST + 4 * EVERY).timestamp() * 1000)
    whole = [lines.log_event(line, f"late{n}", at_ms + n) for n, line in enumerate(lines.request("late"))]
    ledger.handler(landed(lines.batch(whole)), context)
    correct(store, book, "2026-10", NOW, tmp_path)
    booked = client.get("/api/requests/late").json()["row"]
    assert (booked["entry"], booked["corrects"]) == ("correction", "2026-10")
    found = client.get("/api/requests/late/charges").json()
    assert (found["total"], found["differs"]) == (booked["cost"]["total"], [])
    assert sum(Decimal(line["amount"]) for line in found["lines"]) == Decimal(found["total"]) > 0
    assert found["at"] == booked["corrects_at"]


def test_a_request_is_partby_its_id_at_any_age_and_nobody_else_is(
    compacted: TestClient, bucket: str, context: Any, tmp_path: Path
) -> None:
    client = compacted
    at_ms = round(datetime(2025, 2, 3, 12, tzinfo=UTC).timestamp() * 1000)
    old = [lines.log_event(line, f"old{n}", at_ms + n) for n, line in enumerate(lines.request("old"))]
    ledger.handler(landed(lines.batch(old)), context)
    for first in (date(2025, 2, 1), date(2026, 10, 20)):
        compact(Store(bucket), PriceBook.load(), first, first + timedelta(days=13), tmp_path)
    assert client.get("/api/requests/old").json()["row"]["day"] == "2025-02-03"
    assert client.get("/api/requests/r00").json()["row"]["request_id"] == "r00"
    missing = client.get("/api/requests/nobody")
    assert (missing.status_code, "in the ledger" in missing.json()["detail"]) == (404, True)
    outside = client.get("/api/requests/old", params={"from": "2026-10-01", "to": "2026-11-01"})
    assert (outside.status_code, "on the UTC days" in outside.json()["detail"]) == (404, True)


def test_every_line_that_is_a_lower_bound_says_so(reading: TestClient, read_bucket: str) -> None:
    rows, found = rows_of(read_bucket), report(reading, by="model")
    assert found["totals"]["is_lower_bound"] and found["unit_economics"]["is_lower_bound"]
    for group in found["breakdowns"]["model"]:
        own = [row for row in rows if (row.model_returned or row.model or "(unknown)") == group["name"]]
        assert group["is_lower_bound"] == any(row.cost.unpriced for row in own), group["name"]
    assert [group["name"] for group in found["series"]["totals"]] == found["series"]["groups"]
    assert {group["name"]: group["is_lower_bound"] for group in found["series"]["totals"]} == {
        group["name"]: group["is_lower_bound"] for group in found["breakdowns"]["model"]
    }
    for point in found["series"]["points"]:
        own = [row for row in rows if row.day.isoformat() == point["start"][:10]]
        assert point["is_lower_bound"] == any(row.cost.unpriced for row in own)
    left_out = {reason for row in rows for reason in row.cost.unpriced}
    for name in found["totals"]["unpriced"]["components"]:
        assert any(name in report_math.charges_of(reason) for reason in left_out)
    assert "output_tokens" in found["totals"]["unpriced"]["components"]


def test_the_report_says_which_price_books_made_its_rows(reading: TestClient) -> None:
    found = report(reading)["price_book"]
    assert found["versions_in_rows"] == [PriceBook.load().version]
    assert report(reading, "2025-01-01", "2025-01-02")["price_book"]["versions_in_rows"] == []


def test_what_does_not_fit_the_memory_goes_to_the_disk_or_is_refused_in_words(tmp_path: Path) -> None:
    with DuckEngine([], memory="32MB", spill=tmp_path / "spill") as engine:
        text = "repeat('x', 100) || number"
        sort = f"SELECT count(*) FROM (SELECT {text} AS a FROM range(1000000) AS n(number) ORDER BY a LIMIT 900000)"
        assert engine.query(sort) == [(900_000,)]
        with pytest.raises(TooBig, match="fewer days"):
            engine.query("SELECT approx_percentile(number, 0.5) FROM range(20000000) AS n(number)")


def test_a_report_needs_no_folder_that_can_be_written_but_its_own(
    reading: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[dict[str, Any]] = []

    class Seen(DuckEngine):
        def __init__(self, files: Any, **settings: Any) -> None:
            super().__init__(files, **settings)
            opened.append({"folder": self.query("SELECT current_setting('temp_directory')")[0][0]})

    monkeypatch.setattr("weir.reports.report.DuckEngine", Seen)
    report(reading, "2026-10-19")  # which nobody has asked for
    assert all(Path(entry["folder"]).is_relative_to(gettempdir()) for entry in opened) and opened


def test_a_range_that_is_too_big_for_the_memory_is_a_400_that_says_what_to_do(
    reading: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weir.reports.report._MEMORY", "1MB")
    # Nobody has asked for these days.
    answer = reading.get("/api/report", params={"from": "2026-10-01", "to": "2026-11-22"})
    assert (answer.status_code, "AthenaOverMegabytes" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WEIR_MONTHLY_BUDGET_USD", "much"),
        ("WEIR_MONTHLY_BUDGET_USD", "-1"),
        ("WEIR_ATHENA_OVER_BYTES", "1 GB"),
        ("WEIR_PRICE_OVERRIDES", "{no JSON"),
    ],
)
def test_a_setting_that_is_wrong_is_named(
    reading: TestClient, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    answer = reading.get("/api/report")
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith(f"{variable}: expected")


@pytest.fixture(scope="module")
def compacted_ledger(
    moto_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, TestClient]]:
    with written_ledger(moto_url) as (bucket, made):
        folder = tmp_path_factory.mktemp("compacted")
        compact(Store(bucket), PriceBook.load(), date(2026, 10, 1), date(2026, 10, 29), folder)
        yield bucket, made


@pytest.mark.parametrize(
    ("by", "more"),
    [("component", {}), ("model", {"tenant": "acme"}), ("tag:feature", {"tag": "feature=search"})],
)
def test_roll_ups_give_what_rows_give_and_percentiles_to_one_percent(
    compacted_ledger: tuple[str, TestClient], monkeypatch: pytest.MonkeyPatch, by: str, more: dict[str, str]
) -> None:
    bucket, client = compacted_ledger
    monkeypatch.setenv("WEIR_LEDGER_BUCKET", bucket)
    rolled = report(client, tz="Europe/Berlin", by=by, **more)
    # A range that ends within a quarter of an hour is asked of the rows.
    rows = report(client, "2026-10-20", "2026-11-01T23:00:01Z", tz="Europe/Berlin", by=by, **more)
    exact = ("unit_economics", "waste", "breakdowns", "completeness", "corrections", "price_book")
    assert {name: rolled[name] for name in exact} == {name: rows[name] for name in exact}
    for found in (rolled, rows):
        for name in ("error_p50_percent", "error_p99_percent"):
            found["totals"]["estimates"].pop(name)
    assert rolled["totals"] == rows["totals"]
    assert rolled["series"]["totals"] == rows["series"]["totals"]
    for one, other in zip(
        rolled["series"]["points"], rows["series"]["points"][: len(rolled["series"]["points"])], strict=True
    ):
        for name in ("start", "requests", "total", "is_lower_bound", "groups"):
            assert one[name] == other[name]
    # Every request's time lies within one percent of its step's middle; interpolation between two is not repeated.
    assert rolled["latency"]["ttft_ms"]["p50"] == pytest.approx(rows["latency"]["ttft_ms"]["p50"], rel=0.02)
    assert rolled["latency"]["cold_start_percent"] == rows["latency"]["cold_start_percent"]
    assert rolled["distribution"]["max"] == rows["distribution"]["max"]
    assert sum(one["requests"] for one in rolled["distribution"]["buckets"]) == rolled["totals"]["requests"]


def test_a_month_of_roll_ups_costs_fewer_than_200_requests_of_s3(compacted: TestClient, bucket: str) -> None:
    client = compacted
    asked: list[str] = []
    store = finance._store(bucket)
    store.client.meta.events.register("before-send.s3", lambda request, **_: asked.append(request.url))
    assert report(client, "2026-10-01", "2026-11-01")["totals"]["requests"] > 0
    assert 0 < len(asked) < 200
    assert not [url for url in asked if "/rows/" in url and "rows.parquet" in url and "2026-10-2" in url]
    asked.clear()
    assert report(client, "2026-10-01", "2026-11-01")["totals"]["requests"] > 0
    assert len(asked) < 60
