"""What one request cost: quantities and a price book in, money out, split by component and by phase.

Laws, all tested: the components sum to the total exactly; the phases sum to the Lambda duration exactly; what
is unknown is None and named in `unpriced`, never 0; the same quantities and the same book give the same
numbers.

Every component is rounded once (money.py), and from then on only added.

Lambda bills from GB-seconds: AWS's per-millisecond tables are rounded by up to 2 %.
https://aws.amazon.com/lambda/pricing/
"""

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
    no_price,
    request_charge,
    restore_charge,
    streamed_bytes_charge,
)
from weir.pricing.money import MONEY, charge, plain
from weir.pricing.phases import Phases, split_phases
from weir.pricing.price_book import Price, PriceBook, TokenKind
from weir.pricing.quantities import UsageQuantities
from weir.pricing.usage import Usage

__all__ = [
    "API_GATEWAY_METERED_BYTES",
    "FREE_STREAMED_BYTES",
    "Components",
    "Cost",
    "UsageQuantities",
    "price_request",
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
    input_tokens: Decimal | None = None  # without the cached ones
    cached_input_tokens: Decimal | None = None
    output_tokens: Decimal | None = None


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


def price_request(usage: UsageQuantities, book: PriceBook) -> Cost:
    """Price what is known of a request, and say of the rest why it is not priced."""
    with localcontext(MONEY):  # operators below compute in it, whatever the caller's context is
        return _price_request(usage, book)


def _price_request(usage: UsageQuantities, book: PriceBook) -> Cost:
    reasons: list[str] = []
    prices = Prices(usage, book, reasons)
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
        *_tokens(usage, book, reasons),
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
    estimated = usage.is_estimate or allocated or any(part.source == "estimated" for _, part in usage.tokens)
    return Cost(components, phases, total, book.version, tuple(dict.fromkeys(reasons)), estimated)


_amounts = attrgetter(*(column.name for column in fields(Components)))


def _money_json(group: Components | Phases) -> dict[str, str | None]:
    names = (column.name for column in fields(group))
    return {name: None if (amount := getattr(group, name)) is None else plain(amount) for name in names}


def _tokens(
    usage: UsageQuantities, book: PriceBook, reasons: list[str]
) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Input without the cached tokens, cached input, output: summed over the attempts that can be priced."""
    sums: dict[TokenKind, Decimal | None] = dict.fromkeys(
        ("input", "cached_input", "output"), None if usage.tokens else Decimal(0)
    )
    for model, part in usage.tokens:
        if part.inconsistent:
            reasons.append("usage_inconsistent")
            continue
        # A provider that reports no cached part is taken to have served none: input is then priced in full.
        cached = part.cached_input_tokens
        fresh = None if part.input_tokens is None else part.input_tokens - (cached or 0)
        counts: tuple[tuple[TokenKind, int | None], ...] = (
            ("input", fresh),
            ("cached_input", cached),
            ("output", part.output_tokens),
        )
        for kind, count in counts:
            if count is None:
                if kind != "cached_input":
                    reasons.append(f"{kind}_tokens_unknown")
                continue
            amount = _token_amount(kind, count, model, part.input_tokens, usage, book)
            if amount is None:
                reasons.append(no_price("tokens", model or "(no model named)", usage))
                continue
            sums[kind] = (sums[kind] or Decimal(0)) + amount
    return sums["input"], sums["cached_input"], sums["output"]


def _token_amount(
    kind: TokenKind,
    count: int,
    model: str | None,
    input_tokens: int | None,
    usage: UsageQuantities,
    book: PriceBook,
) -> Decimal | None:
    if count == 0:
        return Decimal(0)  # nothing was bought, whatever it would have cost
    price: Price | None = book.token_price(kind, model=model, at=usage.at)
    if price is None and kind == "cached_input":
        price = book.token_price("input", model=model, at=usage.at)
    if price is None:
        return None
    return charge(Decimal(count).scaleb(-6), price.at_quantity(input_tokens or 0))


def price_saved(
    tokens: int, model: str | None, usage: Usage, at: datetime, book: PriceBook
) -> Decimal | None:
    """What output `tokens` that were not bought would have cost in an attempt of `usage`; None without a price."""
    if tokens == 0:
        return _ZERO
    price = book.token_price("output", model=model, at=at)
    return (
        None
        if price is None
        else charge(Decimal(tokens).scaleb(-6), price.at_quantity(usage.input_tokens or 0))
    )
