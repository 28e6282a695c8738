"""Rows as they are, not summed: page by page in an order, and one request's.

A page begins after the last row of the one before, wherever that now is: rows that came since shift nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from weir.ledger.table import COLUMNS, COMPONENTS, MONEY, PHASES
from weir.reports.queries import TOKEN_RESTS, Filters, requested
from weir.reports.statements import Query, statement

type Sort = Literal[
    "newest", "cost", "cold_start", "waiting", "streaming", "validating", "rest", "lambda_duration", "lambda_request",
    "lambda_streamed_bytes", "lambda_ephemeral_storage", "lambda_restore", "api_gateway", "logs", "input_tokens",
    "cached_input_tokens", "cache_write_tokens", "audio_input_tokens", "output_tokens", "audio_output_tokens", "saved",
    "first_token", "duration",
]  # fmt: skip
SORTS: tuple[Sort, ...] = Sort.__value__.__args__

# What a request has most of in each order but the newest: the whole, a phase or a charge of it, or a time.
_MOST: dict[str, str] = {
    **{name.removeprefix("cost_"): name for name in COMPONENTS},
    **{name.removeprefix("phase_"): name for name in PHASES},
    "cost": "total",
    "saved": "saved_total",
    "first_token": "ttft_ms",
    "duration": "duration_ms",
}
_MULTIPLES = ("beyond_bytes", "gateway_requests", *TOKEN_RESTS)
_NEWEST = (("at_utc", "timestamp(3)"), ("request_id", "varchar"))
_PLACES = {"at_utc": "after_at", "request_id": "after_request_id", "most": "after_most"}
# Maps and lists come as JSON: Athena prints them in a notation of its own that cannot be read back.
_JSON = tuple(column.name for column in COLUMNS if column.type[:3] in ("map", "arr"))
_ALL = {
    "column": tuple(column.name for column in COLUMNS if column.name not in (*_JSON, "entry")),
    "json_column": _JSON,
}


def page(filters: Filters, sort: Sort, limit: int, after: Sequence[str] | None = None) -> Query:
    """At most `limit` requests with all columns; `after` is the `position` of the last row of the page before."""
    names = [_PLACES[name] for name, _ in _order(sort)]
    placed = {} if after is None else dict(zip(names, after, strict=True))
    values = {**requested(filters), **_ALL, **placed, "limit": str(int(limit)), "most": _MOST.get(sort)}
    return statement("rows_newest" if sort == "newest" else "rows_most", values)


def of_line(
    filters: Filters, narrowed: Mapping[str, str | None], limit: int, after: Sequence[str] | None = None
) -> Query:
    """At most `limit` of the rows that a line of charges is made of, with what charges are multiples of; as `page`."""
    places = (_PLACES[name] for name, _ in _order("cost"))
    placed = {} if after is None else dict(zip(places, after, strict=True))
    beside = {"beside": (*_MULTIPLES, "model_known", "is_consistent")}
    values = {**requested(filters), **_ALL, **beside, **narrowed, **placed, "limit": str(int(limit))}
    return statement("rows_of_line", values)


def position(row: Mapping[str, Any], sort: Sort) -> tuple[str, ...]:
    """Where a row stands in an order, as text that `page` casts back."""
    return tuple(_position_text(row[name]) for name, _ in _order(sort))


def position_types(sort: Sort) -> tuple[str, ...]:
    """The types of a position's members, in Trino's words."""
    return tuple(kind for _, kind in _order(sort))


def one(filters: Filters, request_id: str) -> Query:
    """The row of a request, and its corrections, with all columns."""
    return statement("request", {**requested(filters), **_ALL, "request_id": request_id})


def of_lease(filters: Filters, lease: str) -> Query:
    """What the requests of a lease cost together."""
    return statement("lease", {**requested(filters), "lease": lease})


def _order(sort: Sort) -> tuple[tuple[str, str], ...]:
    return _NEWEST if sort == "newest" else (("most", MONEY), *_NEWEST)


def _position_text(key: Any) -> str:
    if isinstance(key, datetime):
        return key.isoformat(" ", "milliseconds")
    return f"{key:f}" if isinstance(key, Decimal) else str(key)  # not 1E-7, which is no decimal in Trino
