"""The report's SQL: Trino's, of columns that exist, and in DuckDB the sums that plain Python finds, in any time zone."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot.optimizer.qualify import qualify

from weir.ledger.duck import duck_type, open_database
from weir.ledger.table import COLUMNS
from weir.reports import queries, row_queries
from weir.reports.engine import DuckEngine
from weir.reports.queries import BREAKDOWNS, OTHER, TOP_GROUPS, TOP_NAMES, UNKNOWN, Filters
from weir.reports.statements import Query, rendered
from weir.reports.time_buckets import Unit, buckets, local_day, spans

BERLIN = ZoneInfo("Europe/Berlin")
# https://trino.io/docs/current/functions/list.html; what is not a function in the texts is a word of the grammar.
TRINO_FUNCTIONS = {
    "abs", "approx_percentile", "ceil", "coalesce", "contains", "count", "date_trunc", "dense_rank", "element_at", "floor",
    "greatest", "grouping", "least", "round",
    "json_format", "max", "min", "nullif", "row_number", "substr", "sum", "unnest",
}  # fmt: skip
GRAMMAR = {
    "and",
    "as",
    "by",
    "cast",
    "decimal",
    "filter",
    "from",
    "in",
    "or",
    "over",
    "parts",
    "sets",
    "timestamp",
    "then",
}
CHANGING = Filters(
    start=datetime(2026, 10, 1, tzinfo=BERLIN),
    end=datetime(2026, 11, 1, tzinfo=BERLIN),
    outcome="ok",
    model="it's",
    tenant=UNKNOWN,
    function="generate",
    tags=("team=search", "feature"),
)


def every_query(filters: Filters, zone: ZoneInfo) -> Iterator[Query]:
    yield queries.sums(filters, zone, Unit.DAY)
    yield queries.latency(filters, zone, Unit.DAY)
    yield queries.percentiles(filters)
    yield queries.breakdowns(filters)
    for dimension in (*BREAKDOWNS, "tag:team"):
        yield queries.series(filters, zone, Unit.HOUR, dimension)
    yield queries.distribution(filters)
    yield queries.reasons(filters)
    yield queries.hours(filters)
    yield queries.versions(filters)
    yield queries.spending(filters, zone, Unit.DAY)
    yield queries.phases(filters, zone)
    yield queries.charges(filters)
    yield queries.charged_tokens(filters, [200_000])
    yield queries.charged_beside(filters)
    line = {"entry": "request", "first": "2026-10-01", "last": "2026-10-02", "charge": "cost_logs",
            "multiple": "log_bytes", "line_model": "m", "line_tier": "t", "line_region": "r", "line_architecture": "a"}  # fmt: skip
    yield row_queries.of_line(filters, line, 50)
    yield row_queries.of_line(filters, line, 50, ["0.1", "2026-10-02 00:00:00.000", "r1"])
    yield queries.unpriced(filters)
    for dimension in ("tenant", "tag:team"):
        yield queries.period(filters, dimension)
    yield queries.scenarios(filters, 200)
    yield queries.tokens(filters, [200_000])
    yield queries.models(filters)
    yield queries.functions(filters)
    yield row_queries.page(filters, "newest", 50)
    yield row_queries.page(filters, "newest", 50, ["2026-10-02 00:00:00.000", "r1"])
    for sort in row_queries.SORTS[1:]:
        yield row_queries.page(filters, sort, 50, ["0.1", "2026-10-02 00:00:00.000", "r1"])
    yield row_queries.one(filters, "r1")


QUERIES = list(every_query(CHANGING, BERLIN))


def name_of(query: Query) -> str:
    """What tells a statement apart: where its own part begins."""
    return re.sub(r"\W+", "-", query.text.partition("\nWHERE true")[2])[60:100]


@pytest.mark.parametrize("query", QUERIES, ids=name_of)
def test_every_text_is_trino_over_columns_and_functions_that_exist(query: Query) -> None:
    parsed = sqlglot.parse_one(query.text, read="trino")
    schema = {"ledger": {**{column.name: column.type for column in COLUMNS}, "dt": "varchar"}}
    qualify(parsed, schema=schema, dialect="trino")  # raises for an unknown column
    without_texts = re.sub(r"'[^']*'", "''", query.text)
    called = {name.lower() for name in re.findall(r"(\w+)\s*\(", without_texts)}
    assert called <= TRINO_FUNCTIONS | GRAMMAR, called - TRINO_FUNCTIONS - GRAMMAR
    assert without_texts.count("?") == len(query.parameters)


@pytest.mark.parametrize("query", QUERIES, ids=name_of)
def test_no_text_holds_what_a_reader_wrote(query: Query) -> None:
    for written in ("it's", "search", "generate"):
        assert written not in query.text
        assert written in query.parameters


@pytest.mark.parametrize("query", QUERIES, ids=name_of)
def test_every_text_runs_on_duckdb(query: Query) -> None:
    with DuckEngine([]) as engine:
        [rows] = engine.rows([query])
    assert rows == [] or "ttft_ms_p50" in rows[0] or rows[0]["dimension"] == 15


def test_a_line_stands_for_each_value_of_its_names_and_not_at_all_without_one() -> None:
    text = "SELECT\n  sum({summed}) AS {summed},\n  1\nWHERE a = :a\n  AND b = :b"
    found = rendered(text, {"summed": ("x", "y"), "a": "it's", "b": None})
    assert found.text == "SELECT\n  sum(x) AS x,\n  sum(y) AS y,\n  1\nWHERE a = ?"
    assert found.parameters == ("it's",)


@pytest.mark.parametrize("wrong", ["a b", "x)", "", "'", "X"])
def test_what_is_written_into_a_text_is_a_word_of_ours(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected a word of ours"):
        rendered("{name}", {"name": wrong})


def ledger_of(rows: list[dict[str, Any]]) -> duckdb.DuckDBPyConnection:
    """A ledger of rows that know only what they are given."""
    columns = ", ".join(f"{column.name} {duck_type(column.type)}" for column in COLUMNS)
    connection = open_database()
    connection.execute(f"CREATE TABLE ledger ({columns}, dt VARCHAR)")
    for n, row in enumerate(rows):
        known = {"request_id": f"r{n}", "entry": "request", **row}
        known["dt"] = known["at_utc"][:10]
        known["day"] = known["dt"]
        names, marks = ", ".join(known), ", ".join("?" * len(known))
        connection.execute(f"INSERT INTO ledger ({names}) VALUES ({marks})", list(known.values()))
    return connection


def ask(ledger: duckdb.DuckDBPyConnection, query: Query) -> list[dict[str, Any]]:
    rows = ledger.execute(query.text, list(query.parameters)).fetchall()
    return [dict(zip((column[0] for column in ledger.description or ()), row, strict=True)) for row in rows]


def at(instant: datetime) -> str:
    return queries.timestamp(instant)


def week(rows: list[dict[str, Any]]) -> Callable[[Query], list[dict[str, Any]]]:
    return lambda query: ask(ledger_of(rows), query)


# Zones whose clocks change by an hour, by half of one, at midnight, and never; one 45 minutes off; one before UTC.
ZONES = [
    ZoneInfo(name)
    for name in (
        "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Africa/Cairo",
        "Asia/Kathmandu", "Pacific/Chatham", "Pacific/Apia", "UTC",
    )
]  # fmt: skip
# Around the changes of the northern and the southern autumn and spring of 2026.
MOMENTS = st.sampled_from(
    ["2026-03-08", "2026-03-29", "2026-04-05", "2026-04-24", "2026-10-04", "2026-10-25", "2026-11-01"]
)


def instants(found: dict[datetime, datetime]) -> dict[datetime, datetime]:
    """Starts in UTC: two times of one zone are equal by their clocks, also where the clock repeats an hour."""
    return {key: start.astimezone(UTC) for key, start in found.items()}


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(ZONES),
    MOMENTS,
    st.lists(st.tuples(st.integers(-72 * 3600, 72 * 3600), st.integers(0, 10**6)), max_size=12),
)
def test_p8_the_days_of_a_range_sum_to_the_range_in_any_time_zone(
    zone: ZoneInfo, middle: str, offsets: list[tuple[int, int]]
) -> None:
    noon = datetime.fromisoformat(f"{middle}T12:00Z")
    rows = [
        {"at_utc": at(noon + timedelta(seconds=seconds)), "total": Decimal(micros) / 10**6}
        for seconds, micros in offsets
    ]
    days = [local_day((noon + timedelta(days=n)).astimezone(zone), zone) for n in range(-5, 7)]
    whole = Filters(start=days[0], end=days[-1])
    with ledger_of(rows) as ledger:
        for unit in Unit:
            within = spans(whole.start, whole.end, zone)
            starts = instants(buckets(whole.start, whole.end, zone, unit, within))
            drawn = {
                starts[found["bucket"]]: found["total"]
                for found in ask(ledger, queries.spending(whole, zone, unit))
            }
            assert sum(drawn.values(), Decimal(0)) == sum((row["total"] for row in rows), Decimal(0))
            assert list(starts.values()) == sorted(set(starts.values()))
        asked = {}
        for start, end in pairwise(days):
            day = Filters(start=start, end=end)
            found = ask(ledger, queries.spending(day, zone, Unit.DAY))
            assert len(found) <= 1  # a day that is asked for alone is one bucket
            if found:
                asked[start.astimezone(UTC)] = found[0]["total"]
        within = spans(whole.start, whole.end, zone)
        starts = instants(buckets(whole.start, whole.end, zone, Unit.DAY, within))
        drawn = {
            starts[found["bucket"]]: found["total"]
            for found in ask(ledger, queries.spending(whole, zone, Unit.DAY))
        }
        assert drawn == asked


def test_a_day_has_23_or_25_hours_where_the_clock_changes() -> None:
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)):
        noon = datetime.fromisoformat(f"{day}T12:00Z")
        start, end = local_day(noon, BERLIN), local_day(noon + timedelta(days=1), BERLIN)
        assert end.astimezone(UTC) - start.astimezone(UTC) == timedelta(hours=hours)
        found = buckets(start, end, BERLIN, Unit.HOUR, spans(start, end, BERLIN))
        assert len(found) == hours


def test_an_hour_that_the_clock_repeats_is_two_buckets() -> None:
    start, end = datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 10, 25, 2, tzinfo=UTC)
    found = buckets(start, end, BERLIN, Unit.HOUR, spans(start, end, BERLIN))
    assert [local.isoformat() for local in found.values()] == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
    ]


RANGE = Filters(start=datetime(2026, 11, 16, tzinfo=UTC), end=datetime(2026, 11, 23, tzinfo=UTC))
ONE = {"at_utc": "2026-11-17 12:00:00.000", "total": Decimal("0.001")}


def test_a_correction_is_money_and_no_request() -> None:
    rows = [
        ONE | {"ttft_ms": 400.0, "outcome": "ok", "output_tokens": 10, "billed_ms": 100},
        ONE | {"entry": "correction", "corrects": "2026-10", "total": Decimal("-0.0002"), "billed_ms": 7,
               "ttft_ms": 9e9, "output_tokens": -4, "outcome": "ok"},
    ]  # fmt: skip
    [sums] = week(rows)(queries.sums(RANGE, ZoneInfo("UTC"), Unit.DAY))
    assert (sums["requests"], sums["total"], sums["billed_ms"]) == (1, Decimal("0.0008"), 107)
    assert (sums["corrections"], sums["total_corrected"]) == (1, Decimal("-0.0002"))
    [latency] = week(rows)(queries.latency(RANGE, ZoneInfo("UTC"), Unit.DAY))
    assert (sums["output_tokens"], latency["ttft_ms_p95"]) == (6, 400.0)
    [overall] = week(rows)(queries.percentiles(RANGE))
    assert (overall["ttft_ms_p99"], overall["cost_max"]) == (400.0, Decimal("0.001"))
    assert sum(row["requests"] for row in week(rows)(queries.distribution(RANGE))) == 1
    [outcome] = [row for row in week(rows)(queries.breakdowns(RANGE)) if row["shown"] == "ok"]
    assert (outcome["requests"], outcome["total"]) == (1, Decimal("0.0008"))


def test_what_no_row_knows_is_unknown_and_not_nothing() -> None:
    [sums] = week([ONE])(queries.sums(RANGE, ZoneInfo("UTC"), Unit.DAY))
    for name in (
        "billed_ms",
        "gb_s",
        "cost_logs",
        "phase_waiting",
        "output_tokens",
        "saved_total",
    ):
        assert sums[name] is None
    [latency] = week([ONE])(queries.latency(RANGE, ZoneInfo("UTC"), Unit.DAY))
    assert latency["ttft_ms_p50"] is None
    assert (sums["total_failed"], sums["total_without_outcome"]) == (None, Decimal("0.001"))


def test_an_outcome_that_is_unknown_has_not_failed() -> None:
    rows = [
        ONE | {"outcome": outcome}
        for outcome in (None, "ok", "killed", "deadline", "stopped", "client_disconnected")
    ]
    [sums] = week(rows)(queries.sums(RANGE, ZoneInfo("UTC"), Unit.DAY))
    shares = {
        name: sums[f"total_{name}"] / ONE["total"] for name in ("failed", "abandoned", "without_outcome")
    }
    assert shares == {"failed": 2, "abandoned": 2, "without_outcome": 1}


def test_names_beyond_the_top_are_summed_and_nothing_is_lost() -> None:
    rows = [
        ONE | {"tenant": f"t{n:02d}", "total": Decimal(100 - n), "tags": {"feature": OTHER[1:-1]}}
        for n in range(30)
    ]
    tenants = [
        row
        for row in week(rows)(queries.breakdowns(RANGE))
        if queries.breakdown_of(row["dimension"]) == "tenant"
    ]
    assert [row["shown"] for row in tenants] == [f"t{n:02d}" for n in range(TOP_NAMES)] + [OTHER]
    assert sum(row["total"] for row in tenants) == sum(row["total"] for row in rows)
    assert tenants[-1]["requests"] == 30 - TOP_NAMES
    drawn = week(rows)(queries.series(RANGE, ZoneInfo("UTC"), Unit.DAY, "tenant"))
    assert {row["shown"] for row in drawn} == {*(f"t{n:02d}" for n in range(TOP_GROUPS)), OTHER}
    assert sum(row["total"] for row in drawn) == sum(row["total"] for row in rows)
    features = [
        row["shown"] for row in week(rows)(queries.series(RANGE, ZoneInfo("UTC"), Unit.DAY, "feature"))
    ]
    assert features == ["other"]  # a tag that says so is not what is left


def test_a_tenant_is_who_asked_by_identity_and_a_tag_names_none() -> None:
    rows = [
        ONE | {"tenant": "acme", "tags": {"tenant": "shop"}},
        ONE | {"tags": {"tenant": "shop"}},
        ONE | {"tenant": "unknown"},
        ONE | {"tags": {}},
        ONE,
    ]
    ledger = ledger_of(rows)

    def found(tenant: str) -> int:
        wanted = Filters(start=RANGE.start, end=RANGE.end, tenant=tenant)
        return sum(row["requests"] for row in ask(ledger, queries.distribution(wanted)))

    assert [found(name) for name in ("acme", "shop", "unknown", UNKNOWN)] == [1, 0, 1, 3]


def test_edges_of_the_distribution_belong_to_the_step_above() -> None:
    rows = [ONE | {"total": Decimal(cost)} for cost in ("0", "0.001", "0.0019999", "0.002", "50", "99999")]
    counted = {row["edges"]: row["requests"] for row in week(rows)(queries.distribution(RANGE))}
    edges = [Decimal(0), *queries.COST_EDGES]
    assert {edges[step]: count for step, count in counted.items()} == {
        Decimal(0): 1, Decimal("0.001"): 2, Decimal("0.002"): 1, Decimal(50): 2,
    }  # fmt: skip


def test_every_reason_is_counted_once_for_each_request() -> None:
    rows = [
        ONE | {"unpriced": ["a_unknown", "b_unknown"]},
        ONE | {"unpriced": ["a_unknown"]},
        ONE | {"unpriced": []},
        ONE | {"unpriced": ["a_unknown"], "entry": "correction"},
    ]
    assert week(rows)(queries.reasons(RANGE)) == [
        {"reason": "a_unknown", "requests": 2},
        {"reason": "b_unknown", "requests": 1},
    ]


@pytest.mark.parametrize("sort", ["newest", "cost", "waiting", "first_token"])
def test_pages_give_every_request_once_even_where_keys_are_equal_and_no_correction(
    sort: row_queries.Sort,
) -> None:
    costs = [Decimal("0.0000001"), Decimal(0), Decimal("-0.5"), Decimal("0.5")]
    rows = [
        {"at_utc": f"2026-11-17 12:00:00.{n % 3:03d}", "total": costs[n % 4], "request_id": f"r{n // 2}",
         "phase_waiting": None if n % 5 == 0 else abs(costs[n % 4]), "ttft_ms": None if n % 3 else n / 7,
         "entry": "correction" if n % 2 else "request"}
        for n in range(24)
    ]  # fmt: skip
    ledger = ledger_of(rows)
    whole = ask(ledger, row_queries.page(RANGE, sort, 100))
    paged: list[dict[str, Any]] = []
    while part := ask(
        ledger, row_queries.page(RANGE, sort, 5, row_queries.position(paged[-1], sort) if paged else None)
    ):
        paged += part
    assert paged == whole
    assert sorted(row["request_id"] for row in whole) == sorted({row["request_id"] for row in rows})
    assert {row["entry"] for row in whole} == {"request"}


@pytest.mark.parametrize("dimension", ["model", "tenant", "function"])
def test_a_name_that_looks_like_one_of_ours_stays_apart_from_it_and_is_found(dimension: str) -> None:
    names = [OTHER, UNKNOWN, "\\(other)", "(a", "plain", None]
    columns = {"model": "model_returned", "tenant": "tenant", "function": "function"}
    ledger = ledger_of([ONE | {columns[dimension]: name} for name in names])
    found = [
        row
        for row in ask(ledger, queries.breakdowns(RANGE))
        if queries.breakdown_of(row["dimension"]) == dimension
    ]
    assert {row["shown"] for row in found} == {
        "\\(other)", "\\(unknown)", "\\\\(other)", "\\(a", "plain", UNKNOWN,
    }  # fmt: skip
    for row in found:
        narrowed = replace(RANGE, **{dimension: row["shown"]})
        if dimension == "model":
            assert ask(ledger, queries.distribution(replace(RANGE, served_model=row["shown"]))) == ask(
                ledger, queries.distribution(narrowed)
            )
        assert sum(one["requests"] for one in ask(ledger, queries.distribution(narrowed))) == 1


def test_a_sum_knows_how_many_of_its_rows_are_lower_bounds() -> None:
    rows = [
        ONE | {"tenant": "a", "unpriced": ["output_tokens_unknown"]},
        ONE | {"tenant": "a"},
        ONE | {"tenant": "b", "unpriced": []},
        ONE | {"tenant": "c", "entry": "correction", "unpriced": ["no_price"]},
    ]
    utc = ZoneInfo("UTC")
    [spent] = week(rows)(queries.spending(RANGE, utc, Unit.DAY))
    [sums] = week(rows)(queries.sums(RANGE, utc, Unit.DAY))
    assert (spent["lower_bounds"], sums["lower_bounds"], sums["rows_unpriced"]) == (2, 2, 1)
    expected = {"a": 1, "b": 0, "c": 1}
    drawn = week(rows)(queries.series(RANGE, utc, Unit.DAY, "tenant"))
    assert {row["shown"]: row["lower_bounds"] for row in drawn} == expected
    grouped = week(rows)(queries.breakdowns(RANGE))
    tenants = [row for row in grouped if queries.breakdown_of(row["dimension"]) == "tenant"]
    assert {row["shown"]: row["lower_bounds"] for row in tenants} == expected
