"""Corrections as finance reads them: of which request, what was booked before, and what is booked after.

A month that is closed is never edited: what comes later is booked on the day on which it is found, as differences. So a
correction alone says little, and its request's own row says what was true when the month was closed. Here the two are
put together again.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from itertools import groupby
from operator import itemgetter
from typing import Any

from weir.ledger.facts import format_timestamp
from weir.ledger.table import COLUMNS
from weir.pricing.money import MONEY, plain

type Flat = Mapping[str, Any]

# What adds up, and is not the money or time of a part that another column holds the sum of.
_QUANTITIES = tuple(column.name for column in COLUMNS if column.role == "quantity")


def changes(booked: Flat, corrections: Sequence[Flat]) -> list[dict[str, Any]]:
    """Each quantity of a request that its corrections change: before, after and the difference, in the table's order.

    Null is unknown: a difference to something unknown is what became known.
    """
    listed = []
    for name in _QUANTITIES:
        differences = [row[name] for row in corrections if row[name] is not None]
        difference = _add(differences)
        if difference:
            after = _add([value for value in (booked[name], difference) if value is not None])
            listed.append(
                {
                    "name": name,
                    "before": _text(booked[name]),
                    "difference": _text(difference),
                    "after": _text(after),
                }
            )
    return listed


def history(booked: Flat, corrections: Sequence[Flat]) -> list[dict[str, Any]]:
    """What the request cost before and after each time that something was found, the first first.

    Two rows of one instant take back under the old names and book anew under the new: they are one change.
    """
    found, before = [], booked["total"]
    with localcontext(MONEY):
        for _, rows in groupby(corrections, key=itemgetter("at_utc")):
            parts = list(rows)
            anew = max(parts, key=itemgetter("total"))
            difference = sum((row["total"] for row in parts), Decimal(0))
            found.append(
                {
                    "found_at": _instant(anew["at_utc"]),
                    "corrects": anew["corrects"],
                    "outcome": anew["outcome"],
                    "before": plain(before),
                    "difference": plain(difference),
                    "after": plain(before + difference),
                    "unpriced": json.loads(anew["unpriced"] or "[]"),
                    "price_book_version": anew["price_book_version"],
                }
            )
            before += difference
    return found


def before_and_after(correction: Flat, booked: Iterable[Flat]) -> tuple[Decimal | None, Decimal | None]:
    """What a request cost before and after one of its corrections; `booked` is all that is booked of requests.

    None and None where the request's own row is not there. Two that were found at one instant take back and book anew:
    they are one change.
    """
    own = [row for row in booked if row["request_id"] == correction["request_id"]]
    if not any(row["entry"] == "request" for row in own):
        return None, None
    with localcontext(MONEY):
        earlier = [
            row["total"] for row in own if row["entry"] == "request" or row["at_utc"] < correction["at_utc"]
        ]
        found = [
            row["total"]
            for row in own
            if row["entry"] == "correction" and row["at_utc"] == correction["at_utc"]
        ]
        before = sum(earlier, Decimal(0))
        return before, before + sum(found, Decimal(0))


def listed(rows: Sequence[Flat], booked: Sequence[Flat]) -> list[dict[str, Any]]:
    """Corrections as the API lists them: one for each request and instant at which something was found."""
    by_change: dict[tuple[str, datetime], list[Flat]] = {}
    for row in rows:
        by_change.setdefault((row["request_id"], row["at_utc"]), []).append(row)
    found = []
    for (request_id, at), parts in by_change.items():
        before, after = before_and_after(parts[0], booked)
        with localcontext(MONEY):
            difference = sum((row["total"] for row in parts), Decimal(0))
        found.append(
            {
                "request_id": request_id,
                "corrects": parts[0]["corrects"],
                "corrects_at": _instant(parts[0]["corrects_at"]),
                "found_at": _instant(at),
                "is_later": parts[0]["is_later"],
                "before": None if before is None else plain(before),
                "difference": plain(difference),
                "after": None if after is None else plain(after),
                "is_lower_bound": any(row["is_lower_bound"] for row in parts),
            }
        )
    return found


def days_of(rows: Iterable[Flat]) -> list[date]:
    """The UTC days on which the corrected requests were reported."""
    return sorted({row["corrects_at"].date() for row in rows if row["corrects_at"] is not None})


def _instant(at: datetime | None) -> str | None:
    return None if at is None else format_timestamp(at.replace(tzinfo=UTC))


def _add(values: Sequence[Any]) -> Any:
    with localcontext(MONEY):
        # By way of Decimal: differences of binary floats never add up to what they came from.
        exact = [Decimal(repr(value)) if isinstance(value, float) else value for value in values]
        return sum(exact[1:], exact[0]) if exact else None


def _text(value: Any) -> str | None:
    return (
        None if value is None else plain(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))
    )
