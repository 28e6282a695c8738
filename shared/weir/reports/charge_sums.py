"""What the sums of a range are made of: lines of one price each; and what a line is made of: requests.

A request's share of a line is what the same sums give of that request alone. Quantities are plain sums of what rows
hold, so the shares add up to their line to the last digit: in quantity, in amount, and in what is booked. What is
booked, corrections and the ledger's own cost included, adds up to the total of the report.
"""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Any

from weir.ledger.table import COMPONENTS
from weir.pricing.money import MONEY, plain
from weir.pricing.price_book import Price, PriceBook
from weir.pricing.token_charges import TokenCharges, priced_parts
from weir.reports.charge_lines import price_json
from weir.reports.queries import MULTIPLES
from weir.reports.token_scenarios import Tokens
from weir.reports.unit_prices import ITEM_OF, UnitPrices, Unpriced, duration_item, noon

type Found = Mapping[str, Any]

_GIB = 1024**3
# How many of what rows count are a unit, where that is not one.
_PER = {"lambda_streamed_bytes": _GIB, "logs": _GIB}
_MTOK = Decimal(10**6)
_TOKENS_UNIT = "1000000 tokens"


@dataclass(frozen=True, slots=True)
class _Part:
    """What rows that are charged alike come to; `of` is what tells their line from others, beside its price."""

    component: str
    entry: str
    of: Mapping[str, str | None]
    day: date
    requests: int
    booked: Decimal | None
    quantity: Decimal | None = None
    price: Price | None = None
    unit_price: Decimal | None = None

    @property
    def line_id(self) -> str:
        """The name of the line: the same as long as what is charged, by whom, and the price stay the same."""
        price = self.price
        record = (
            None if price is None else [price.item, price.source, str(price.valid_from), str(self.unit_price)]
        )
        told = json.dumps([self.component, self.entry, sorted(self.of.items()), record])
        return sha256(told.encode()).hexdigest()[:16]


class Line:
    """Rows whose charge has one price, together."""

    def __init__(self, part: _Part) -> None:
        self.part = part
        self.first = self.last = part.day
        self.requests = 0
        self.booked: Decimal | None = None
        self._quantities: list[Decimal | None] = []

    def add(self, part: _Part) -> None:
        """Take a part in."""
        self.requests += part.requests
        self.first, self.last = min(self.first, part.day), max(self.last, part.day)
        if part.booked is not None:
            self.booked = (self.booked or Decimal(0)) + part.booked
        self._quantities.append(part.quantity)

    @property
    def quantity(self) -> Decimal | None:
        """How many units; None where the rows do not have it."""
        known = [quantity for quantity in self._quantities if quantity is not None]
        return sum(known, Decimal(0)) if known and len(known) == len(self._quantities) else None

    @property
    def amount(self) -> Decimal | None:
        """Quantity by unit price, not rounded; None where either is not known."""
        quantity, unit_price = self.quantity, self.part.unit_price
        return None if quantity is None or unit_price is None else MONEY.multiply(quantity, unit_price)

    @property
    def narrowed(self) -> dict[str, str | None]:
        """What finds its rows and few others, by the names of sql/rows_of_line.sql."""
        part, charge = self.part, f"cost_{self.part.component}"
        # Beside requests it is the money alone that makes a line.
        multiple = MULTIPLES.get(part.component, charge) if part.entry == "request" else charge
        return {
            "entry": part.entry,
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "charge": charge,
            "multiple": multiple,
            **{f"line_{name}": value for name, value in part.of.items() if value is not None},
        }

    def as_json(self, version: str, link: Callable[["Line"], str | None]) -> dict[str, Any]:
        """The line as the API shows it."""
        part, of = self.part, self.part.of
        is_tokens = part.component in TokenCharges._fields and self.quantity is not None
        shown = price_json(part.component, part.price, self.quantity, part.unit_price, self.amount)
        return {
            **shown,
            "unit": shown["unit"] or (_TOKENS_UNIT if is_tokens else None),
            "id": part.line_id,
            "entry": part.entry,
            "booked": None if self.booked is None else plain(self.booked),
            "attempt": None,
            "requests": self.requests,
            "seller": None,
            **{name: of.get(name) for name in ("model", "tier", "region", "architecture")},
            "price_book_version": version,
            "requests_query": link(self),
        }


def lines_of(
    places: Iterable[Found], tokens: Tokens, beside: Iterable[Found], book: PriceBook
) -> dict[str, Line]:
    """The lines of rows of sql/charges.sql, sql/charged_tokens.sql and sql/charged_beside.sql, by their ids."""
    found: dict[str, Line] = {}
    for part in (*_aws(places, UnitPrices(book)), *_tokens(tokens), *_beside(beside)):
        found.setdefault(part.line_id, Line(part)).add(part)
    return found


def shown(lines: Mapping[str, Line], version: str, link: Callable[[Line], str | None]) -> dict[str, Any]:
    """The lines, the dearest first, and each charge's sum; together they are the total of the report."""
    listed = sorted(
        (line.as_json(version, link) for line in lines.values()),
        key=lambda line: (-Decimal(line["booked"] or line["amount"] or 0), line["component"], line["id"]),
    )
    sums = {name.removeprefix("cost_"): [Decimal(0)] * 3 for name in COMPONENTS}
    for line in lines.values():
        of = sums[line.part.component]
        of[0] += line.booked or 0
        of[1] += line.amount or 0
        of[2] += line.booked or 0 if line.part.entry == "correction" else 0
    return {
        "total": plain(sum((booked for booked, *_ in sums.values()), Decimal(0))),
        "lines": listed,
        "components": [
            {
                "component": name,
                "booked": plain(booked),
                "explained": plain(explained),
                "corrections": plain(later),
            }
            for name, (booked, explained, later) in sums.items()
            if booked or explained or later
        ],
    }


def share_of(row: Found, line_id: str, sizes: Sequence[int], book: PriceBook) -> Line | None:
    """A row's share of a line, by what sql/rows_of_line.sql has of it; None where it has none."""
    one = {**row, "requests": 1, "step": bisect_left(sizes, row["input_tokens"] or 0)}
    one |= {f"of_{name.removeprefix('cost_')}": 1 for name in COMPONENTS}
    request, other = ([one], []) if row["entry"] == "request" else ([], [one])
    return lines_of(request, Tokens(request, sizes, book), other, book).get(line_id)


def _aws(places: Iterable[Found], prices: UnitPrices) -> Iterator[_Part]:
    for place in places:
        for component in (*ITEM_OF, "lambda_duration"):
            booked, column = place[f"cost_{component}"], MULTIPLES.get(component)
            counted = place[column] if column else None
            if not booked and not counted:
                continue
            by_duration = component == "lambda_duration"
            item = duration_item(place["initialization_type"]) if by_duration else ITEM_OF[component]
            # A share of an instance is of its concurrency, which the rows do not have.
            is_shared = item == "managed_instances_memory"
            of = {"region": place["region"], "architecture": place["architecture"] if by_duration else None}
            try:
                price = prices.record(item, place["region"], place["architecture"], place["day"])
                unit_price = prices.amount(item, place["region"], place["architecture"], place["day"])
            except Unpriced:
                price, unit_price = None, None
            yield _Part(
                component,
                "request",
                of,
                place["day"],
                int(place[f"of_{component}"]),
                booked or None,
                None if counted is None or is_shared else Decimal(counted) / _PER.get(component, 1),
                price,
                unit_price,
            )


def _tokens(tokens: Tokens) -> Iterator[_Part]:
    for row in tokens.rows:
        bought, tier_input = tokens.bought(row)
        of = {"model": row["model_known"], "tier": row["service_tier"]}
        day, requests = row["day"], int(row["requests"])
        booked = {name: row[f"cost_{name}"] for name in TokenCharges._fields}
        seen: set[str] = set()
        lines: set[str] = set()
        # Counts that contradict each other were not priced, and no sum of them can be.
        parts = priced_parts(bought, noon(day), tokens.book, []) if row["is_consistent"] else ()
        for component, count, price in parts:
            if price is None:
                continue
            # A charge of two prices is booked as one sum: the first line of it has that, and the other has none.
            once = None if component in seen else booked.pop(component)
            seen.add(component)
            unit_price = price.at_quantity(tier_input)
            part = _Part(
                component,
                "request",
                of,
                day,
                requests,
                once or None,
                Decimal(count) / _MTOK,
                price,
                unit_price,
            )
            yield replace(part, requests=0) if part.line_id in lines else part
            lines.add(part.line_id)
        for component, amount in booked.items():
            left = row[MULTIPLES[component]] if row["is_consistent"] else None
            if amount or left:
                quantity = None if left is None else Decimal(left) / _MTOK
                yield _Part(component, "request", of, day, requests, amount or None, quantity)


def _beside(rows: Iterable[Found]) -> Iterator[_Part]:
    for row in rows:
        for name in COMPONENTS:
            component = name.removeprefix("cost_")
            if entries := row[f"of_{component}"] if row[name] is not None else 0:
                yield _Part(component, row["entry"], {}, row["day"], int(entries), row[name])
