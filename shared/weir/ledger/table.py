"""The ledger as a table: one row a request, flat and typed, the same for Parquet, DuckDB, Athena and exports.

Types are Trino's. Money is DECIMAL(38, 15), as `Cost` rounds it, so sums are exact; times are milliseconds; null is
unknown. `entry` is `request`, or `correction`: what came after a month was closed is a row of its own, whose
quantities and money are the differences to what was booked, so that a sum over both is right.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from weir.ledger.row import Row
from weir.pricing.cost import Components
from weir.pricing.money import plain
from weir.pricing.phases import Phases

MONEY = "decimal(38,15)"
COMPONENTS = tuple(f"cost_{column.name}" for column in fields(Components))
PHASES = tuple(f"phase_{column.name}" for column in fields(Phases))


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its type in Trino, and its value in a row (JSON: text for money and instants)."""

    name: str
    type: str
    value: Callable[[Row], Any]


def _plain(name: str, kind: str) -> Column:
    return Column(name, kind, lambda row: getattr(row, name))


def _amount(name: str, group: str, member: str) -> Column:
    return Column(name, MONEY, lambda row: _decimal(getattr(getattr(row.cost, group), member)))


def _decimal(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _tokens(kind: str) -> Column:
    return Column(f"{kind}_tokens", "bigint", lambda row: getattr(row.usage, f"{kind}_tokens"))


COLUMNS: tuple[Column, ...] = (
    _plain("request_id", "varchar"),
    Column("entry", "varchar", lambda row: "request"),
    Column("corrects", "varchar", lambda row: None),  # the closed month, YYYY-MM, that a correction is for
    Column("corrects_at", "timestamp(3)", lambda row: None),  # at_utc of the row that a correction is for
    # UTC without a zone: Athena reads Parquet's timestamps so.
    Column(
        "at_utc", "timestamp(3)", lambda row: row.at.replace(tzinfo=None).isoformat(timespec="milliseconds")
    ),
    Column("day", "date", lambda row: row.day.isoformat()),
    Column("join_status", "varchar", lambda row: row.join_status.value),
    _plain("outcome", "varchar"),
    _plain("http_status", "bigint"),
    _plain("report_status", "varchar"),
    _plain("function", "varchar"),
    _plain("function_arn", "varchar"),
    _plain("region", "varchar"),
    _plain("architecture", "varchar"),
    _plain("memory_mb", "bigint"),
    _plain("initialization_type", "varchar"),
    _plain("front", "varchar"),
    _plain("model", "varchar"),
    _plain("model_returned", "varchar"),
    Column("schema_name", "varchar", lambda row: row.schema),
    _plain("tenant", "varchar"),
    Column("tags", "map(varchar,varchar)", lambda row: dict(sorted(row.tags.items()))),
    _plain("billed_ms", "bigint"),
    _plain("billed_invocations", "bigint"),
    Column("gb_s", "decimal(38,15)", lambda row: _decimal(row.gb_s)),
    *(_plain(f"{name}_ms", "double") for name in ("init", "duration", "wait", "stream", "validate", "ttft")),
    _plain("streamed_bytes", "bigint"),
    _plain("log_bytes", "bigint"),
    _plain("attempts", "bigint"),
    *(_tokens(name) for name in ("input", "cached_input", "output", "reasoning")),
    Column("usage_source", "varchar", lambda row: row.usage.source),
    _plain("violations", "bigint"),
    _plain("validated_values", "bigint"),
    _plain("saved_tokens", "bigint"),
    *(
        _amount(column, "components", member.name)
        for column, member in zip(COMPONENTS, fields(Components), strict=True)
    ),
    *(_amount(column, "phases", member.name) for column, member in zip(PHASES, fields(Phases), strict=True)),
    Column("total", MONEY, lambda row: plain(row.cost.total)),
    Column("estimate_total", MONEY, lambda row: _decimal(row.estimate_total)),
    Column("saved_total", MONEY, lambda row: _decimal(row.saved_total)),
    Column("is_estimate", "boolean", lambda row: row.cost.is_estimate),
    Column("price_book_version", "varchar", lambda row: row.cost.price_book_version),
    Column("unpriced", "array(varchar)", lambda row: list(row.cost.unpriced)),
    Column("anomalies", "array(varchar)", lambda row: list(row.anomalies)),
    _plain("records", "bigint"),
)


def flat(row: Row) -> dict[str, Any]:
    """The row as one JSON object of the table's columns."""
    return {column.name: column.value(row) for column in COLUMNS}
