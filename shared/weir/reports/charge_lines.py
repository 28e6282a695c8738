"""A charge explained: so many of a unit, by what one costs, is the amount; with who says so, and since when.

Of one request, line by line as it was priced (charge_sums.py has those of a range); and lines as CSV, with the address
of the requests that make each.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from csv import writer
from decimal import Decimal
from io import StringIO
from typing import Any
from urllib.parse import quote

from weir.ledger.facts import format_timestamp
from weir.ledger.row import Row
from weir.pricing.charge_lines import ChargeLine
from weir.pricing.money import plain
from weir.pricing.price_book import Price
from weir.reports.export_files import FORMULA_STARTS

type Found = Mapping[str, Any]

COLUMNS = (
    "component", "entry", "attempt", "quantity", "unit", "unit_price", "amount", "booked", "item", "requests", "model",
    "seller", "tier", "region", "architecture", "source", "valid_from", "valid_to", "price_book_version", "requests_at",
)  # fmt: skip
REQUEST_COLUMNS = (
    "request_id", "at", "entry", "component", "quantity", "unit", "unit_price", "amount", "booked", "outcome", "model",
    "tenant", "function", "tags", "price_book_version", "request_at",
)  # fmt: skip
_NUMBERS = ("attempt", "quantity", "unit_price", "amount", "booked", "requests")


def of_request(row: Row, lines: Iterable[ChargeLine], booked: Found) -> dict[str, Any]:
    """A request's charges taken apart; `booked` is its row as the API shows it, which need not be today's."""
    explained = [_of_request(line, row) for line in lines]
    sums: dict[str, Decimal] = {}
    for line in explained:
        sums[line["component"]] = sums.get(line["component"], Decimal(0)) + Decimal(line["amount"])
    # What had no price when it was booked may have one today.
    other = {
        name: amount
        for name, amount in booked["cost"]["components"].items()
        if Decimal(amount or 0) != sums.get(name, Decimal(0))
    }
    return {
        "request_id": row.request_id,
        "at": format_timestamp(row.at),
        "total": booked["cost"]["total"],
        "booked_with": booked["cost"]["price_book_version"],
        "explained_with": row.cost.price_book_version,
        "lines": explained,
        "differs": [
            {"component": name, "booked": amount, "explained": plain(sums.get(name, Decimal(0)))}
            for name, amount in other.items()
        ],
        "unpriced": list(booked["cost"]["unpriced"]),
    }


def unexplained(booked: Found) -> dict[str, Any]:
    """A request whose records are no longer kept: what is booked, without its factors."""
    cost = booked["cost"]
    return {
        "request_id": booked["request_id"],
        "at": booked["at"],
        "total": cost["total"],
        "booked_with": cost["price_book_version"],
        "explained_with": None,
        "lines": [],
        "differs": [
            {"component": name, "booked": amount, "explained": None}
            for name, amount in cost["components"].items()
            if amount is not None and Decimal(amount)
        ],
        "unpriced": list(cost["unpriced"]),
    }


def _of_request(line: ChargeLine, row: Row) -> dict[str, Any]:
    of_tokens = line.bought
    return {
        **price_json(line.component, line.price, line.quantity, line.unit_price, line.amount),
        "id": None,
        "entry": "request",
        "booked": None,
        "attempt": line.attempt,
        "requests": 1,
        "requests_query": None,
        "model": of_tokens.model if of_tokens else None,
        "seller": of_tokens.seller if of_tokens else None,
        "tier": of_tokens.usage.service_tier if of_tokens else None,
        "region": None if of_tokens else row.region,
        "architecture": row.architecture if not of_tokens and line.component == "lambda_duration" else None,
        "price_book_version": row.cost.price_book_version,
    }


def price_json(
    component: str,
    price: Price | None,
    quantity: Decimal | None,
    unit_price: Decimal | None,
    amount: Decimal | None,
) -> dict[str, Any]:
    """A product and the record that its price is of, as the API shows them."""
    return {
        "component": component,
        "item": None if price is None else price.item,
        "quantity": None if quantity is None else plain(quantity),
        "unit": None if price is None else price.unit,
        "unit_price": None if unit_price is None else plain(unit_price),
        "amount": None if amount is None else plain(amount),
        "source": None if price is None else price.source,
        "valid_from": price.valid_from.isoformat() if price and price.valid_from else None,
        "valid_to": price.valid_to.isoformat() if price and price.valid_to else None,
    }


def as_csv(lines: Iterable[Found]) -> str:
    """The lines as CSV; a text that a spreadsheet would run is one."""
    text = StringIO(newline="")
    write = writer(text)
    write.writerow(COLUMNS)
    for line in lines:
        query = line.get("requests_query")
        at = f"/api/charges/requests?{query}&format=csv" if query else None
        write.writerow(_cells(COLUMNS, {**line, "requests_at": at}))
    return text.getvalue()


def requests_as_csv(line: Found, shares: Iterable[Found]) -> Iterator[str]:
    """A line's requests as CSV, part by part: their shares add up to the line."""
    text = StringIO(newline="")
    write = writer(text)
    write.writerow(REQUEST_COLUMNS)
    for share in shares:
        row = share["row"]
        at = f"/requests/{quote(row['request_id'], safe='')}?from={row['day']}&tz=UTC"
        flat = {
            **{name: line[name] for name in ("component", "unit", "unit_price")},
            **row,
            **{name: share[name] for name in ("quantity", "amount", "booked")},
            "model": row["model_returned"] or row["model"],
            "tags": json.dumps(row["tags"], ensure_ascii=False),
            "price_book_version": row["cost"]["price_book_version"],
            "request_at": at,
        }
        write.writerow(_cells(REQUEST_COLUMNS, flat))
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


def _cells(names: Sequence[str], values: Found) -> list[object]:
    return [_cell(name, values.get(name)) for name in names]


def _cell(name: str, value: object) -> object:
    is_text = isinstance(value, str) and name not in _NUMBERS
    return f"'{value}" if is_text and str(value).startswith(FORMULA_STARTS) else value
