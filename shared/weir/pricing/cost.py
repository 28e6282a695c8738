"""What one request cost: quantities and a price book in, money out, split by component and by phase.

Laws, all tested: the components sum to the total exactly; the phases sum to the Lambda duration exactly; what
is unknown is None and named in `unpriced`, never 0; the same quantities and the same book give the same
numbers.

Every component is rounded once (money.py), and from then on only added.

Lambda bills from GB-seconds: AWS's per-millisecond tables are rounded by up to 2 %.
https://aws.amazon.com/lambda/pricing/
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal, localcontext
from operator import attrgetter
from typing import Any

from weir.pricing.aws_charges import (
    API_GATEWAY_METERED_BYTES,
    FREE_STREAMED_BYTES,
    MANAGED_INSTANCES,
    Prices,
    allocated_charge,
    api_gateway_charge,
    duration_charge,
    ephemeral_storage_charge,
    logs_charge,
    managed_ms,
    request_charge,
    restore_charge,
    streamed_bytes_charge,
)
from weir.pricing.charge_lines import ChargeLine
from weir.pricing.money import MONEY, charge, plain
from weir.pricing.phases import Phases, split_phases
from weir.pricing.price_book import PriceBook
from weir.pricing.quantities import TokensBought, UsageQuantities
from weir.pricing.token_charges import output_price, token_charges

__all__ = [
    "API_GATEWAY_METERED_BYTES",
    "FREE_STREAMED_BYTES",
    "Components",
    "Cost",
    "TokensBought",
    "UsageQuantities",
    "price_request",
    "price_retries",
    "price_saved",
]

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Components:
    """The charges of a request, USD; None is unknown."""

    lambda_duration: Decimal | None = None
    lambda_request: Decimal | None = None
    lambda_streamed_bytes: Decimal | None = None
    lambda_ephemeral_storage: Decimal | None = None
    lambda_restore: Decimal | None = None  # from a snapshot (SnapStart)
    api_gateway: Decimal | None = None
    logs: Decimal | None = None  # ingestion of the lines that the ledger keeps
    input_tokens: Decimal | None = None  # without the cached, the written to a cache, and the sound
    cached_input_tokens: Decimal | None = None
    cache_write_tokens: Decimal | None = None
    audio_input_tokens: Decimal | None = None
    output_tokens: Decimal | None = None  # reasoning included
    audio_output_tokens: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """A request's cost; where `unpriced` has reasons, `total` is a lower bound: what could be priced."""

    components: Components
    phases: Phases
    total: Decimal
    price_book_version: str
    unpriced: tuple[str, ...] = ()
    is_estimate: bool = False
    currency: str = field(default="USD")

    def as_json(self) -> dict[str, Any]:
        """Money as strings in plain notation, unknown as null."""
        return {
            "components": _money_json(self.components),
            "phases": _money_json(self.phases),
            "total": plain(self.total),
            "currency": self.currency,
            "price_book_version": self.price_book_version,
            "unpriced": list(self.unpriced),
            "is_estimate": self.is_estimate,
        }


def price_request(usage: UsageQuantities, book: PriceBook, lines: list[ChargeLine] | None = None) -> Cost:
    """Price what is known of a request, and say of the rest why it is not priced.

    Each product that is in the price is written down in `lines`, where they are asked for.
    """
    with localcontext(MONEY):  # operators below compute in it, whatever the caller's context is
        return _price_request(usage, book, lines)


def _price_request(usage: UsageQuantities, book: PriceBook, lines: list[ChargeLine] | None) -> Cost:
    reasons: list[str] = []
    prices = Prices(usage, book, reasons, lines)
    managed = usage.initialization_type == MANAGED_INSTANCES
    duration = allocated_charge(usage, prices) if managed else duration_charge(usage, prices)
    components = Components(
        duration,
        request_charge(usage, prices),
        streamed_bytes_charge(usage, prices),
        ephemeral_storage_charge(usage, prices),
        restore_charge(usage, prices),
        api_gateway_charge(usage, prices),
        logs_charge(usage, prices),
        *token_charges(usage.tokens, usage.at, book, reasons, lines),
    )
    total = sum([amount for amount in _amounts(components) if amount is not None], _ZERO)
    phases = split_phases(
        duration,
        managed_ms(usage) if managed else usage.billed_ms,
        cold_start_ms=None if usage.init_ms is None else usage.init_ms + (usage.restore_ms or 0.0),
        waiting_ms=usage.wait_ms,
        streaming_ms=usage.stream_ms,
        validating_ms=usage.validate_ms,
    )
    allocated = managed and duration is not None
    estimated = (
        usage.is_estimate or allocated or any(part.usage.source == "estimated" for part in usage.tokens)
    )
    return Cost(components, phases, total, book.version, tuple(dict.fromkeys(reasons)), estimated)


_amounts = attrgetter(*(column.name for column in fields(Components)))


def _money_json(group: Components | Phases) -> dict[str, str | None]:
    names = type(group).__slots__
    return {name: None if (amount := getattr(group, name)) is None else plain(amount) for name in names}


def price_saved(tokens: int, attempt: TokensBought, at: datetime, book: PriceBook) -> Decimal | None:
    """What output `tokens` that were not bought would have cost in an attempt; None without a price."""
    if tokens == 0:
        return _ZERO
    price = output_price(attempt, at, book)
    if price is None:
        return None
    return charge(Decimal(tokens).scaleb(-6), price.at_quantity(attempt.usage.input_tokens or 0))


def price_retries(tokens: Sequence[TokensBought], at: datetime, book: PriceBook) -> Decimal | None:
    """What the tokens of attempts after the first cost; None where they are not priced in full."""
    reasons: list[str] = []
    with localcontext(MONEY):
        charges = [amount for amount in token_charges(tokens, at, book, reasons) if amount is not None]
        return None if set(reasons) - {"usage_lower_bound"} else sum(charges, _ZERO)
