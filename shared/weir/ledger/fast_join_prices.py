"""The price book for SQL: exact ratios of whole numbers for every place and model of a unit.

A charge is a quantity by a price, rounded half-even to 1e-15 dollars (pricing/money.py). As a ratio n / d of such units
for one of the quantity, which is whole, it is exact in whole numbers too. What has no such ratio, or one so large that
the products would not fit 38 digits, is left out: its requests are priced by the join itself.
"""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from math import gcd
from typing import Any

from weir.pricing.price_book import AwsItem, Price, PriceBook, TokenKind
from weir.pricing.token_charges import no_price

type Rate = dict[str, int]

_UNITS = 10**15
_GIB = 1024**3
_MB_MS = 1000 * 1024  # of a GB-second
# The items of a plain request, and how many of the whole quantity (bytes, MB by ms, requests) their unit is.
PLACE_ITEMS: dict[AwsItem, int] = {
    "duration": _MB_MS,
    "request": 1,
    "streamed_bytes": _GIB,
    "ephemeral_storage": _MB_MS,
    "api_gateway_request": 1,
    "logs_ingestion": _GIB,
}
TOKEN_KINDS: tuple[TokenKind, ...] = ("input", "cached_input", "output", "reasoning")
_MOST = 10**18  # of a ratio's terms, so that they fit beside the largest quantity
_MOST_UNITS = {"duration": 10**5}  # phases multiply the duration's charge again


def place_rates(region: str, architecture: str, day: date, book: PriceBook) -> dict[str, Rate] | None:
    """The rate of every AWS item at a place; None where one is missing."""
    rates: dict[str, Rate] = {}
    for item, per in PLACE_ITEMS.items():
        price = book.aws_price(item, region=region, architecture=architecture, at=_start(day))
        rate = None if price is None else _rate(price.amount, per, _MOST_UNITS.get(item, _MOST))
        if rate is None:
            return None
        rates[item] = rate
    return rates


def model_rates(
    model: str, seller: str | None, tier: str | None, day: date, book: PriceBook
) -> dict[str, Any] | None:
    """The rates of a model's tokens by kind, None for a kind without a price, and the reason that a row then gives.

    None altogether where its prices are of a form that SQL does not know.
    """
    prices = book.token_prices(model=model, seller=seller, tier=tier, at=_start(day))
    kinds = {} if prices is None else prices.kinds
    if prices is not None and (prices.tier_unknown or prices.request_fee or "output" not in kinds):
        return None
    if book.varies_by_hour(model=model, seller=seller):
        return None
    found: dict[str, Price | None] = {kind: kinds.get(kind) for kind in TOKEN_KINDS}
    found["cached_input"] = found["cached_input"] or found["input"]
    rates: dict[str, Any] = {kind: None if price is None else _tiers(price) for kind, price in found.items()}
    if any(rates[kind] is None and price is not None for kind, price in found.items()):
        return None
    reason = no_price("tokens", model or "(no model named)", _start(day))
    return {**rates, "is_priced": None not in (rates["input"], rates["output"]), "no_token_price": reason}


def _tiers(price: Price) -> dict[str, Any] | None:
    first, last = price.tiers[0], price.tiers[-1]
    up_to = first.up_to
    if len(price.tiers) > 2 or (up_to is not None and up_to != int(up_to)):
        return None
    rates = [_rate(tier.amount, 10**6, 10**14) for tier in (first, last)]
    if None in rates:
        return None
    return {"first": rates[0], "up_to": None if up_to is None else int(up_to), "beyond": rates[1]}


def _rate(amount: Decimal, per: int, most_units: int) -> Rate | None:
    """What one of a quantity costs, of which a price's unit holds `per`."""
    n, d = amount.as_integer_ratio()
    divisor = gcd(n * _UNITS, d * per)
    n, d = n * _UNITS // divisor, d * per // divisor
    return {"n": n, "d": d} if 0 <= n <= _MOST and d <= _MOST and n <= most_units * d else None


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
