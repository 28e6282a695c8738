"""What finance asks of the ledger, as SQL that Athena (Trino) and DuckDB run from the same text.

Trino's subset, with a question mark for every value that a reader chose; what is written into a text is ours, or one of
a closed set. Three laws hold in all of them:

- Null is unknown. Sums and percentiles are over the rows that know the value, and null where none does.
- A correction is money and quantities, not a request: it is in sums, and in no count and no percentile.
- Money is added here, which is exact in DECIMAL, and divided in Python: engines disagree on what a quotient is.

Trino's approx_percentile is off by about 1 % of the rank; DuckDB's stand-in for it is exact.
https://trino.io/docs/current/functions/aggregate.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from weir.ledger.sql import text_literal
from weir.ledger.table import COMPONENTS, PHASES

UNKNOWN = "(unknown)"  # parentheses cannot be in a tenant or a tag
OTHER = "(other)"
NO_OUTCOME = "unknown"
BREAKDOWNS = ("outcome", "model", "tenant", "feature", "function")
TOP_NAMES = 20
TOP_GROUPS = 8
ABANDONED = ("client_disconnected", "stopped")

# Cost per request is drawn between these, and below and above them.
COST_EDGES = tuple(Decimal(f"{digit}e{power}") for power in range(-7, 2) for digit in (1, 2, 5))

_REQUEST = "entry = 'request'"
_QUANTITIES = (
    "billed_ms", "gb_s", "streamed_bytes", "input_tokens", "cached_input_tokens", "output_tokens",
    "reasoning_tokens", "saved_tokens", "saved_total",
)  # fmt: skip
_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_UNPRICED = "element_at(unpriced, 1) IS NOT NULL"
# What callers are told leaves the log's own cost out: the line that tells it is not written yet.
_ESTIMATED = f"{_REQUEST} AND estimate_total IS NOT NULL AND element_at(unpriced, 1) IS NULL"
_FINAL = "(total - coalesce(cost_logs, 0))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which rows: from `start` (inclusive) to `end` (exclusive), aware; None or empty does not filter.

    `outcome` "unknown", and `model`, `tenant` and `function` "(unknown)", find rows without one. Each of `tags` is
    `name=value`, or `name` for any value; all must hold.
    """

    start: datetime
    end: datetime
    outcome: str | None = None
    model: str | None = None
    tenant: str | None = None
    function: str | None = None
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Keep both in UTC: Python subtracts two times of one zone by their clocks, an hour off where those change."""
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))

    @property
    def days(self) -> tuple[date, date]:
        """The first and the last UTC day that the range touches."""
        return self.start.date(), (self.end - timedelta(microseconds=1)).date()


@dataclass(frozen=True, slots=True)
class Query:
    """One statement: `parameters` are its question marks in order, all text; `columns` name what it gives."""

    text: str
    columns: tuple[str, ...]
    parameters: tuple[str, ...] = ()

    def named(self, rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
        """Its rows by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in rows]


def where(filters: Filters) -> tuple[str, list[str]]:
    """The condition of `filters`, without the word WHERE, and its parameters; `dt` spares reading other days."""
    first, last = filters.days
    parts = ["dt BETWEEN ? AND ?", "at_utc >= CAST(? AS timestamp(3))", "at_utc < CAST(? AS timestamp(3))"]
    values = [
        first.isoformat(),
        last.isoformat(),
        timestamp(filters.start),
        timestamp(filters.end),
    ]
    if filters.outcome is not None:
        parts.append(f"coalesce(outcome, '{NO_OUTCOME}') = ?")
        values.append(filters.outcome)
    if filters.model is not None:
        parts.append(f"(model = ? OR model_returned = ? OR {name_sql('model')} = ?)")
        values += [filters.model] * 3
    for column, value in (("tenant", filters.tenant), ("function", filters.function)):
        if value is not None:
            parts.append(f"{name_sql(column)} = ?")
            values.append(value)
    for tag in filters.tags:
        name, equals, value = tag.partition("=")
        parts.append("element_at(tags, ?) = ?" if equals else "element_at(tags, ?) IS NOT NULL")
        values += [name, value] if equals else [name]
    return " AND ".join(parts), values


def name_sql(dimension: str) -> str:
    """The name of a row in one of `BREAKDOWNS`, or in `tag:NAME`; never null."""
    if dimension == "outcome":
        return f"coalesce(outcome, '{NO_OUTCOME}')"
    if dimension == "model":
        known = "model_returned, model"
    elif dimension == "tenant":
        known = "tenant, element_at(tags, 'tenant')"
    elif dimension == "feature":
        known = "element_at(tags, 'feature')"
    elif dimension == "function":
        known = "function"
    else:
        known = f"element_at(tags, {text_literal(dimension.removeprefix('tag:'))})"
    return f"coalesce({known}, '{UNKNOWN}')"


def sums(filters: Filters, bucket: str) -> Query:
    """Every sum and count of the report by `bucket` (an expression), with the percentiles of each bucket."""
    columns = {
        "bucket": bucket,
        "requests": f"count(*) FILTER (WHERE {_REQUEST})",
        "total": "sum(total)",
        **{name: f"sum({name})" for name in (*COMPONENTS, *PHASES, *_QUANTITIES)},
        **_conditional_sums(),
        **_counts(),
    }
    for measure in ("ttft_ms", "duration_ms"):
        for share in ("p50", "p95"):
            columns[f"{measure}_{share}"] = _percentile(measure, _PERCENTILES[share])
    condition, values = where(filters)
    return select(columns, f"FROM ledger WHERE {condition} GROUP BY 1", values)


def percentiles(filters: Filters) -> Query:
    """Percentiles over the whole range: latency, cost per request, and how far the estimates were off."""
    columns = {
        f"{measure}_{name}": _percentile(measure, share)
        for measure in ("ttft_ms", "duration_ms")
        for name, share in _PERCENTILES.items()
    }
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        columns[f"cost_{name}"] = _percentile("CAST(total AS double)", share)
    columns["cost_max"] = f"max(total) FILTER (WHERE {_REQUEST})"
    off = f"100 * abs(CAST(estimate_total - {_FINAL} AS double)) / nullif(CAST({_FINAL} AS double), 0)"
    for name in ("p50", "p99"):
        columns[f"error_{name}"] = _percentile(off, _PERCENTILES[name], _ESTIMATED)
    condition, values = where(filters)
    return select(columns, f"FROM ledger WHERE {condition}", values)


def breakdowns(filters: Filters) -> Query:
    """The most expensive names of every breakdown, and the others together; one pass over the rows."""
    condition, values = where(filters)
    names = ", ".join(f"{name_sql(name)} AS by_{name}" for name in BREAKDOWNS)
    by = [f"by_{name}" for name in BREAKDOWNS]
    inner = (
        f"SELECT grouping({', '.join(by)}) AS dimension, coalesce({', '.join(by)}) AS name, "
        f"count(*) FILTER (WHERE {_REQUEST}) AS requests, sum(total) AS total "
        f"FROM (SELECT {names}, entry, total FROM ledger WHERE {condition}) AS named "
        f"GROUP BY GROUPING SETS ({', '.join(f'({name})' for name in by)})"
    )
    ranked = (
        "SELECT dimension, name, requests, total, "
        f"row_number() OVER (PARTITION BY dimension ORDER BY total DESC, name) AS place FROM ({inner}) AS grouped"
    )
    shown = f"CASE WHEN place <= {TOP_NAMES} THEN name ELSE '{OTHER}' END"
    columns = {
        "dimension": "dimension",
        "name": shown,
        "place": "min(place)",
        "requests": "sum(requests)",
        "total": "sum(total)",
    }
    return select(columns, f"FROM ({ranked}) AS ranked GROUP BY 1, 2 ORDER BY 1, 3", values)


def breakdown_of(dimension: int) -> str:
    """The name of a breakdown by the bits of `grouping`: a bit is 0 for the column that was grouped by."""
    bits = len(BREAKDOWNS)
    return next(
        name for n, name in enumerate(BREAKDOWNS) if dimension == (2**bits - 1) ^ (1 << (bits - 1 - n))
    )


def series(filters: Filters, bucket: str, dimension: str) -> Query:
    """Cost by bucket and name: the most expensive names of the range, and the others together."""
    condition, values = where(filters)
    inner = (
        f"SELECT {bucket} AS bucket, {name_sql(dimension)} AS name, sum(total) AS total "
        f"FROM ledger WHERE {condition} GROUP BY 1, 2"
    )
    summed = f"SELECT bucket, name, total, sum(total) OVER (PARTITION BY name) AS of_name FROM ({inner}) AS grouped"
    ranked = (
        "SELECT bucket, name, total, dense_rank() OVER (ORDER BY of_name DESC, name) AS place "
        f"FROM ({summed}) AS summed"
    )
    columns = {
        "bucket": "bucket",
        "name": f"CASE WHEN place <= {TOP_GROUPS} THEN name ELSE '{OTHER}' END",
        "place": "min(place)",
        "total": "sum(total)",
    }
    return select(columns, f"FROM ({ranked}) AS ranked GROUP BY 1, 2", values)


def distribution(filters: Filters) -> Query:
    """How many requests cost how much: the number of edges of `COST_EDGES` that each request reaches."""
    condition, values = where(filters)
    steps = " ".join(f"WHEN total < {edge:f} THEN {n}" for n, edge in enumerate(COST_EDGES))
    columns = {"edges": f"CASE {steps} ELSE {len(COST_EDGES)} END", "requests": "count(*)"}
    return select(columns, f"FROM ledger WHERE {condition} AND {_REQUEST} GROUP BY 1", values)


def reasons(filters: Filters) -> Query:
    """Why requests are not priced in full, and how many for each reason."""
    condition, values = where(filters)
    # Grouped before they are taken apart: there are few combinations, and many rows.
    inner = (
        f"SELECT unpriced, count(*) AS requests FROM ledger WHERE {condition} AND {_REQUEST} AND {_UNPRICED} "
        "GROUP BY unpriced"
    )
    columns = {"reason": "reason", "requests": "sum(requests)"}
    taken = f"FROM ({inner}) AS combined CROSS JOIN UNNEST(unpriced) AS parts(reason) GROUP BY 1 ORDER BY 1"
    return select(columns, taken, values)


def hours(filters: Filters) -> Query:
    """Reports that rows account for in each UTC hour, and rows; to be held against another count."""
    condition, values = where(filters)
    columns = {
        "hour": "date_trunc('hour', at_utc)",
        "rows": f"count(*) FILTER (WHERE {_REQUEST})",
        # A correction lies in the hour in which it was found, not in that of its report.
        "reports": f"sum(billed_invocations) FILTER (WHERE {_REQUEST})",
    }
    return select(columns, f"FROM ledger WHERE {condition} GROUP BY 1 ORDER BY 1", values)


def spending(filters: Filters, bucket: str) -> Query:
    """What was spent by bucket, and nothing else."""
    condition, values = where(filters)
    return select(
        {"bucket": bucket, "total": "sum(total)"}, f"FROM ledger WHERE {condition} GROUP BY 1", values
    )


def timestamp(instant: datetime) -> str:
    """An instant as the table has it: UTC, milliseconds, no zone."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")


def _conditional_sums() -> dict[str, str]:
    abandoned = ", ".join(map(text_literal, ABANDONED))
    conditions = {
        "failed": f"outcome NOT IN ('ok', {abandoned})",  # null is neither in nor out
        "abandoned": f"outcome IN ({abandoned})",
        "retried": "attempts > 1",
        "without_outcome": "outcome IS NULL",
        "of_documents": "schema_name IS NOT NULL",
        "corrected": "entry = 'correction'",
    }
    return {
        **{f"total_{name}": f"sum(total) FILTER (WHERE {text})" for name, text in conditions.items()},
        "delivered_tokens": "sum(output_tokens) FILTER (WHERE outcome = 'ok')",
        "estimated": f"sum(estimate_total) FILTER (WHERE {_ESTIMATED})",
        "estimated_final": f"sum({_FINAL}) FILTER (WHERE {_ESTIMATED})",
    }


def _counts() -> dict[str, str]:
    conditions = {
        "corrections": "entry = 'correction'",
        "documents": f"{_REQUEST} AND schema_name IS NOT NULL AND outcome = 'ok'",
        "rows_unpriced": f"{_REQUEST} AND {_UNPRICED}",
        "rows_estimated": _ESTIMATED,
        "rows_saved": f"{_REQUEST} AND saved_tokens > 0",
        "rows_with_anomalies": f"{_REQUEST} AND element_at(anomalies, 1) IS NOT NULL",
        "starts_known": f"{_REQUEST} AND init_ms IS NOT NULL",
        "cold_starts": f"{_REQUEST} AND init_ms > 0",
        **{
            status: f"{_REQUEST} AND join_status = '{status}'"
            for status in ("complete", "bill_only", "usage_only", "started_only")
        },
    }
    return {name: f"count(*) FILTER (WHERE {text})" for name, text in conditions.items()}


def _percentile(expression: str, share: float, condition: str = _REQUEST) -> str:
    return f"approx_percentile(CASE WHEN {condition} THEN {expression} END, {share})"


def select(columns: Mapping[str, str], rest: str, values: Sequence[str]) -> Query:
    """A query of expressions by their names, with what comes after them."""
    listed = ", ".join(
        expression if expression == name else f"{expression} AS {name}"
        for name, expression in columns.items()
    )
    return Query(f"SELECT {listed} {rest}", tuple(columns), tuple(values))
