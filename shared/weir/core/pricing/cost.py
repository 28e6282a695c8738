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
from typing import Any

from weir.core.pricing.money import MONEY, charge, plain
from weir.core.pricing.phases import Phases, split_phases
from weir.core.pricing.prices import LambdaItem, Price, PriceBook, TokenKind
from weir.core.usage import Usage

_GIB = 1024**3
FREE_STREAMED_BYTES = (
    6 * 1024**2
)  # of every response; the free 100 GiB a month are the account's, not a request's


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuantities:
    """What a request used; None is unknown. `tokens` has one (model that answered, usage) for each attempt.

    `billed_ms` is the sum over `billed_invocations` (a retried event is billed twice under one request id).
    `init_ms` 0 says that the start was warm. No attempts means that no token was bought, which is known.
    """

    at: datetime
    billed_ms: int | None
    memory_mb: int | None
    architecture: str | None
    region: str | None
    billed_invocations: int | None = 1
    initialization_type: str | None = None
    init_ms: float | None = None
    wait_ms: float | None = None
    stream_ms: float | None = None
    validate_ms: float | None = None
    streamed_bytes: int | None = None
    tokens: Sequence[tuple[str | None, Usage]] = ()
    is_estimate: bool = False


@dataclass(frozen=True, slots=True)
class Components:
    """The charges of a request, USD; None is unknown."""

    lambda_duration: Decimal | None = None
    lambda_request: Decimal | None = None
    lambda_streamed_bytes: Decimal | None = None
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
    duration = _duration(usage, book, reasons)
    components = Components(
        duration,
        _request(usage, book, reasons),
        _streamed_bytes(usage, book, reasons),
        *_tokens(usage, book, reasons),
    )
    total = Decimal(0)
    for amount in _amounts(components):
        if amount is not None:
            total += amount
    estimated = usage.is_estimate or any(part.source == "estimated" for _, part in usage.tokens)
    return Cost(
        components,
        split_phases(
            duration,
            usage.billed_ms,
            cold_start_ms=usage.init_ms,
            waiting_ms=usage.wait_ms,
            streaming_ms=usage.stream_ms,
            validating_ms=usage.validate_ms,
        ),
        total,
        book.version,
        tuple(dict.fromkeys(reasons)),
        estimated,
    )


def _amounts(group: Components | Phases) -> list[Decimal | None]:
    return [getattr(group, column.name) for column in fields(group)]


def _money_json(group: Components | Phases) -> dict[str, str | None]:
    names = (column.name for column in fields(group))
    return {name: None if (amount := getattr(group, name)) is None else plain(amount) for name in names}


def _duration(usage: UsageQuantities, book: PriceBook, reasons: list[str]) -> Decimal | None:
    if usage.initialization_type == "lambda-managed-instances":
        reasons.append(
            "managed_instances_not_allocated"
        )  # billed by instance: a request's share is allocated
        return None
    if usage.billed_ms is None or usage.billed_ms < 0:
        reasons.append("billed_duration_unknown" if usage.billed_ms is None else "billed_duration_negative")
        return None
    if usage.memory_mb is None or usage.architecture is None:
        reasons.append("memory_unknown" if usage.memory_mb is None else "architecture_unknown")
        return None
    item: LambdaItem = "duration"
    if usage.initialization_type == "provisioned-concurrency":
        item = "provisioned_duration"
        reasons.append(
            "provisioned_concurrency_not_allocated"
        )  # its standing charge belongs to no single request
    price = book.lambda_price(item, region=usage.region, architecture=usage.architecture, at=usage.at)
    if price is None:
        reasons.append(_no_price(item, f"{usage.region}/{usage.architecture}", usage))
        return None
    gb_s = Decimal(usage.billed_ms * usage.memory_mb) / Decimal(1000 * 1024)
    return charge(gb_s, price.amount)


def _request(usage: UsageQuantities, book: PriceBook, reasons: list[str]) -> Decimal | None:
    if usage.billed_invocations is None:
        reasons.append("billed_invocations_unknown")
        return None
    price = book.lambda_price("request", region=usage.region, architecture=usage.architecture, at=usage.at)
    if price is None:
        reasons.append(_no_price("request", usage.region, usage))
        return None
    return charge(Decimal(usage.billed_invocations), price.amount)


def _streamed_bytes(usage: UsageQuantities, book: PriceBook, reasons: list[str]) -> Decimal | None:
    if usage.streamed_bytes is None:
        reasons.append("streamed_bytes_unknown")
        return None
    beyond = usage.streamed_bytes - FREE_STREAMED_BYTES
    if beyond <= 0:
        return Decimal(0)
    price = book.lambda_price(
        "streamed_bytes", region=usage.region, architecture=usage.architecture, at=usage.at
    )
    if price is None:
        reasons.append(_no_price("streamed_bytes", usage.region, usage))
        return None
    return charge(Decimal(beyond) / _GIB, price.amount)


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
                reasons.append(_no_price("tokens", model or "(no model named)", usage))
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


def _no_price(item: str, of: str | None, usage: UsageQuantities) -> str:
    # A model's name comes from outside, and a reason is a key of reports: it stays short.
    return f"no_price:{item}:{(of or 'unknown')[:100]}:{usage.at.date().isoformat()}"
