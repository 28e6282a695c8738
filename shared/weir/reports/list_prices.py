"""What the list asks for what a contract's prices were paid for: the ratio of the two, by charge and what it was for.

A row keeps what was charged, by the contract where one holds. FOCUS wants the list's cost beside it. Both prices are in
the books of today, so their ratio is known, and the charge times the ratio is what the list would have asked. Where
either has no price, or they are one, there is no ratio, and the list's cost is the charge.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, localcontext
from typing import Any

from weir.pricing.money import MONEY
from weir.pricing.price_book import AwsItem, PriceBook, TokenKind

_ITEMS: Mapping[str, AwsItem] = {
    "lambda_duration": "duration",
    "lambda_request": "request",
    "lambda_streamed_bytes": "streamed_bytes",
    "lambda_ephemeral_storage": "ephemeral_storage",
    "lambda_restore": "snapstart_restore",
    "api_gateway": "api_gateway_request",
    "logs": "logs_ingestion",
}
_KINDS: Mapping[str, TokenKind] = {
    "input_tokens": "input",
    "cached_input_tokens": "cached_input",
    "cache_write_tokens": "cache_write",
    "audio_input_tokens": "audio_input",
    "output_tokens": "output",
    "audio_output_tokens": "audio_output",
}


@dataclass(frozen=True, slots=True)
class Charged:
    """What tells one price from another: of rows, all nullable but the day (UTC)."""

    model: str | None
    service_tier: str | None
    region: str | None
    architecture: str | None
    day: date


@dataclass(frozen=True, slots=True)
class Ratio:
    """What the list asks for one unit of money that was charged for `component`."""

    component: str
    of: Charged
    value: Decimal


def ratios(charged: Iterable[Charged], book: PriceBook, listed: PriceBook) -> Iterator[Ratio]:
    """The ratios that are known, and not 1; none at all where `book` is the list."""
    if book.version == listed.version:
        return
    for of in charged:
        at = datetime.combine(of.day, time(12), UTC)
        for component in (*_ITEMS, *_KINDS):
            paid, asked = (_price(component, of, at, one) for one in (book, listed))
            if paid and asked is not None and asked != paid:
                with localcontext(MONEY):
                    yield Ratio(component, of, asked / paid)


def _price(component: str, of: Charged, at: datetime, book: PriceBook) -> Decimal | None:
    price: Any
    if component in _ITEMS:
        price = book.aws_price(_ITEMS[component], region=of.region, architecture=of.architecture, at=at)
    else:
        price = book.token_price(_KINDS[component], model=of.model, tier=of.service_tier, at=at)
    return None if price is None else price.amount
