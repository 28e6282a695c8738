"""Rows as they are, not summed: page by page in an order, and one request's.

A page begins after the last row of the one before, wherever that now is: rows that came since shift nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from weir.ledger.table import COLUMNS, MONEY
from weir.reports.queries import Filters, Query, select, where

type Sort = Literal["newest", "cost"]

# The last keys tell two corrections of one request apart, of which one takes back what the other books anew.
_TIES = (("at_utc", "timestamp(3)"), ("request_id", "varchar"), ("entry", "varchar"))
_SORTS: dict[Sort, tuple[tuple[str, str], ...]] = {
    "newest": (*_TIES, ("total", MONEY)),
    "cost": (("total", MONEY), *_TIES),
}
# Maps and lists come as JSON: Athena prints them in a notation of its own that cannot be read back.
_ALL = {
    column.name: f"json_format(CAST({column.name} AS json))"
    if column.type[:3] in ("map", "arr")
    else column.name
    for column in COLUMNS
}


def page(filters: Filters, sort: Sort, limit: int, after: Sequence[str] | None = None) -> Query:
    """At most `limit` rows with all columns; `after` is the `position` of the last row of the page before."""
    condition, values = where(filters)
    keys = _SORTS[sort]
    if after is not None:
        # (a, b) < (x, y) written out: the first key that differs decides.
        parts, placed = [], []
        for n, (name, kind) in enumerate(keys):
            equal = [f"{other} = CAST(? AS {type_})" for other, type_ in keys[:n]]
            parts.append("(" + " AND ".join([*equal, f"{name} < CAST(? AS {kind})"]) + ")")
            placed += [*after[:n], after[n]]
        condition += f" AND ({' OR '.join(parts)})"
        values += placed
    order = ", ".join(f"{name} DESC" for name, _ in keys)
    return select(_ALL, f"FROM ledger WHERE {condition} ORDER BY {order} LIMIT {int(limit)}", values)


def position(row: Mapping[str, Any], sort: Sort) -> tuple[str, ...]:
    """Where a row stands in an order, as text that `page` casts back."""
    return tuple(_position_text(row[name]) for name, _ in _SORTS[sort])


def position_types(sort: Sort) -> tuple[str, ...]:
    """The types of a position's members, in Trino's words."""
    return tuple(kind for _, kind in _SORTS[sort])


def one(filters: Filters, request_id: str) -> Query:
    """The row of a request, and its corrections, with all columns."""
    condition, values = where(filters)
    return select(
        _ALL,
        f"FROM ledger WHERE {condition} AND request_id = ? ORDER BY entry DESC, at_utc",
        [*values, request_id],
    )


def _position_text(key: Any) -> str:
    if isinstance(key, datetime):
        return key.isoformat(" ", "milliseconds")
    return f"{key:f}" if isinstance(key, Decimal) else str(key)  # not 1E-7, which is no decimal in Trino
