"""A charge explained: so many of a unit, by what one costs, is the amount; with who says so, and since when.

Of one request, line by line as it was priced. Of a range, the lines that its sums are made of: what has one price is
one line, and its filters lead to its requests.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from csv import writer
from dataclasses import dataclass
from decimal import Decimal
from io import StringIO
from typing import Any

from weir.ledger.facts import format_timestamp
from weir.ledger.row import Row
from weir.pricing.charge_lines import ChargeLine
from weir.pricing.money import MONEY, plain
from weir.pricing.price_book import Price, PriceBook
from weir.pricing.token_charges import TokenCharges, priced_parts
from weir.reports.export_files import FORMULA_STARTS
from weir.reports.token_scenarios import Tokens
from weir.reports.unit_prices import ITEM_OF, UnitPrices, Unpriced, duration_item, noon

type Found = Mapping[str, Any]

COLUMNS = (
    "component", "attempt", "quantity", "unit", "unit_price", "amount", "item", "requests", "model", "seller", "tier",
    "region", "architecture", "source", "valid_from", "valid_to", "price_book_version",
)  # fmt: skip


def of_request(row: Row, lines: Iterable[ChargeLine], booked: Found) -> dict[str, Any]:
    """A request's charges taken apart; `booked` is its row as the API shows it, which need not be today's."""
    explained = [_of_request(line, row) for line in lines]
    sums: dict[str, Decimal] = {}
    for line in explained:
        sums[line["component"]] = sums.get(line["component"], Decimal(0)) + Decimal(line["amount"])
    components = booked["cost"]["components"]
    other = {
        name: amount
        for name, amount in components.items()
        if amount is not None and Decimal(amount) != sums.get(name, Decimal(0))
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


def of_range(places: Sequence[Found], tokens: Tokens, book: PriceBook) -> dict[str, Any]:
    """What the sums of a range are made of; what has no quantity in the rows, or no price, is a line without."""
    merged: dict[tuple[Any, ...], _Sum] = {}
    booked: dict[str, Decimal] = {}
    for component, key, price, unit_price, quantity, requests, amount in (
        *_aws(places, UnitPrices(book)),
        *_tokens(tokens),
    ):
        place = merged.setdefault(
            (component, *key, unit_price), _Sum(component, price, unit_price, dict(key))
        )
        place.quantity = None if quantity is None or place.quantity is None else place.quantity + quantity
        place.requests += requests
        booked[component] = booked.get(component, Decimal(0)) + amount
    lines = [
        {**found.as_json(), "price_book_version": book.version}
        for found in merged.values()
        if found.quantity or found.unit_price is None
    ]
    lines.sort(key=lambda line: (-Decimal(line["amount"] or 0), line["component"], str(line["model"])))
    explained: dict[str, Decimal] = {}
    for line in lines:
        explained[line["component"]] = explained.get(line["component"], Decimal(0)) + Decimal(
            line["amount"] or 0
        )
    return {
        "lines": lines,
        "components": [
            {"component": name, "booked": plain(amount), "explained": plain(explained.get(name, Decimal(0)))}
            for name, amount in booked.items()
            if amount or explained.get(name)
        ],
    }


@dataclass(slots=True)
class _Sum:
    """Requests whose charge has one price: their quantity together."""

    component: str
    price: Price | None
    unit_price: Decimal | None
    of: Mapping[str, str | None]
    quantity: Decimal | None = Decimal(0)
    requests: int = 0

    def as_json(self) -> dict[str, Any]:
        known = self.quantity is not None and self.unit_price is not None
        amount = MONEY.multiply(self.quantity, self.unit_price) if known else None  # type: ignore[arg-type]  # both are
        return {
            **_line(self.component, self.price, self.quantity, self.unit_price, amount),
            "attempt": None,
            "requests": self.requests,
            "seller": None,
            **self.of,
        }


type _Found = tuple[
    str, tuple[tuple[str, str | None], ...], Price | None, Decimal | None, Decimal | None, int, Decimal
]

_NO_TOKENS = (("model", None), ("tier", None))
# What each charge is a multiple of: the column of its sum, and how many of it are a unit.
_QUANTITIES = {
    "lambda_duration": ("gb_s", 1),
    "lambda_request": ("invocations", 1),
    "lambda_streamed_bytes": ("beyond_bytes", 1024**3),
    "api_gateway": ("gateway_requests", 1),
    "logs": ("log_bytes", 1024**3),
}


def _aws(places: Sequence[Found], prices: UnitPrices) -> Iterator[_Found]:
    for place in places:
        for component in (*ITEM_OF, "lambda_duration"):
            amount = place[f"cost_{component}"]
            column, per = _QUANTITIES.get(component, (None, 1))
            counted = place[column] if column else None
            if not amount and not counted:
                continue
            by_duration = component == "lambda_duration"
            item = duration_item(place["initialization_type"]) if by_duration else ITEM_OF[component]
            # A share of an instance is of its concurrency, which the rows do not have.
            is_shared = item == "managed_instances_memory"
            quantity = None if counted is None or is_shared else Decimal(counted) / per
            of = (
                ("region", place["region"]),
                ("architecture", place["architecture"] if by_duration else None),
                *_NO_TOKENS,
            )
            try:
                price = prices.record(item, place["region"], place["architecture"], place["day"])
                unit_price = prices.amount(item, place["region"], place["architecture"], place["day"])
            except Unpriced:
                price, unit_price = None, None
            yield component, of, price, unit_price, quantity, int(place["requests"]), amount or Decimal(0)


def _tokens(tokens: Tokens) -> Iterator[_Found]:
    for row in tokens.rows:
        bought, tier_input = tokens.bought(row)
        of = (
            ("region", None),
            ("architecture", None),
            ("model", row["model_known"]),
            ("tier", row["service_tier"]),
        )
        booked = {name: row[f"cost_{name}"] or Decimal(0) for name in TokenCharges._fields}
        for component, count, price in priced_parts(bought, noon(row["day"]), tokens.book, []):
            if price is not None:
                quantity, amount = Decimal(count).scaleb(-6), booked.pop(component, Decimal(0))
                unit_price = price.at_quantity(tier_input)
                yield component, of, price, unit_price, quantity, int(row["requests"]), amount
        for component, amount in booked.items():
            if amount:
                yield component, of, None, None, None, int(row["requests"]), amount


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
        **_line(line.component, line.price, line.quantity, line.unit_price, line.amount),
        "attempt": line.attempt,
        "requests": 1,
        "model": of_tokens.model if of_tokens else None,
        "seller": of_tokens.seller if of_tokens else None,
        "tier": of_tokens.usage.service_tier if of_tokens else None,
        "region": None if of_tokens else row.region,
        "architecture": row.architecture if not of_tokens and line.component == "lambda_duration" else None,
        "price_book_version": row.cost.price_book_version,
    }


def _line(
    component: str,
    price: Price | None,
    quantity: Decimal | None,
    unit_price: Decimal | None,
    amount: Decimal | None,
) -> dict[str, Any]:
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
        write.writerow([_cell(name, line.get(name)) for name in COLUMNS])
    return text.getvalue()


def _cell(name: str, value: object) -> object:
    is_text = isinstance(value, str) and name not in ("quantity", "unit_price", "amount")
    return f"'{value}" if is_text and str(value).startswith(FORMULA_STARTS) else value
