"""What the tokens of a request cost: each kind by its own price, summed over the attempts that can be priced.

Kinds lie in one another: what was read from a cache, written to one or was sound is part of the input; reasoning and
sound are parts of the output. A part without a price of its own costs what contains it does: that is the seller's rule
for cached input, and a lower bound for the others, which `reasons` then says.
The arithmetic is that of https://github.com/pydantic/genai-prices, which a test holds it against.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal, localcontext
from typing import NamedTuple

from weir.pricing.charge_lines import ChargeLine
from weir.pricing.money import MONEY, charge
from weir.pricing.price_book import Price, PriceBook, TokenKind, TokenPrices
from weir.pricing.quantities import TokensBought
from weir.pricing.usage import Usage

_ZERO = Decimal(0)
_WITHOUT_PRICE = ("no_price:tokens:", "no_price:tier:")


class TokenCharges(NamedTuple):
    """USD by component; None is unknown."""

    input_tokens: Decimal | None  # without those below
    cached_input_tokens: Decimal | None
    cache_write_tokens: Decimal | None
    audio_input_tokens: Decimal | None
    output_tokens: Decimal | None  # reasoning included
    audio_output_tokens: Decimal | None


class _Part(NamedTuple):
    """Tokens that cost the same: the kinds whose price they have, the closest first."""

    component: str
    tokens: int
    kinds: Sequence[TokenKind]
    lower_bound_from: int  # from this place in `kinds` on, the price is no more than the least that it can be


def token_charges(
    bought: Iterable[TokensBought],
    at: datetime,
    book: PriceBook,
    reasons: list[str],
    lines: list[ChargeLine] | None = None,
) -> TokenCharges:
    """Price each attempt's tokens at an instant; what is not priced, or only in part, goes into `reasons`."""
    attempts = list(bought)
    sums: dict[str, Decimal | None] = dict.fromkeys(TokenCharges._fields, None if attempts else _ZERO)
    for number, attempt in enumerate(attempts, 1):
        if attempt.usage.inconsistent:
            reasons.append("usage_inconsistent")
            continue
        if not attempt.usage.complete:
            reasons.append("usage_lower_bound")
        tier_input = attempt.usage.input_tokens or 0
        for component, tokens, price in priced_parts(attempt, at, book, reasons):
            if price is None:
                sums[component] = sums[component] or _ZERO
                continue
            quantity, unit_price = Decimal(tokens).scaleb(-6), price.at_quantity(tier_input)
            amount = charge(quantity, unit_price)
            sums[component] = (sums[component] or _ZERO) + amount
            if lines is not None:
                lines.append(ChargeLine(component, quantity, unit_price, amount, price, number, attempt))
    return TokenCharges(**sums)


def price_of_sum(
    bought: TokensBought, tier_input: int, at: datetime, book: PriceBook, reasons: list[str]
) -> Decimal:
    """What the tokens of many attempts cost together, each of which pays the tier of `tier_input` tokens of input.

    Not rounded; what has no price goes into `reasons`.
    """
    total = _ZERO
    with localcontext(MONEY):
        for _, tokens, price in priced_parts(bought, at, book, reasons):
            if price is not None:
                total += Decimal(tokens).scaleb(-6) * price.at_quantity(tier_input)
    return total


def output_price(attempt: TokensBought, at: datetime, book: PriceBook) -> Price | None:
    """What a million more output tokens of an attempt would have cost; None is not known."""
    return book.token_price(
        "output",
        model=attempt.model,
        seller=attempt.seller,
        tier=attempt.usage.service_tier,
        at=at,
    )


def priced_parts(
    attempt: TokensBought, at: datetime, book: PriceBook, reasons: list[str]
) -> Iterable[tuple[str, int, Price | None]]:
    """Each component's tokens with their price; None is the price of none, whatever it would be."""
    usage, model = attempt.usage, attempt.model or "(no model named)"
    prices = book.token_prices(model=attempt.model, seller=attempt.seller, tier=usage.service_tier, at=at)
    for name, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
        if count is None:
            reasons.append(f"{name}_tokens_unknown")
    if prices is not None and prices.request_fee and not usage.nothing_bought:
        reasons.append(no_price("request_fee", model, at))
    parts = list(_parts(usage, prices))
    if any(part.tokens < 0 for part in parts):
        reasons.append("usage_inconsistent")
        return
    for part in parts:
        if part.tokens == 0:
            yield part.component, 0, None  # nothing was bought, whatever it would have cost
            continue
        if prices is not None and prices.tier_unknown:
            reasons.append(no_price("tier", f"{usage.service_tier}:{model}", at))
            continue
        place = next((n for n, kind in enumerate(part.kinds) if prices and kind in prices.kinds), None)
        if place is None or prices is None:
            reasons.append(no_price("tokens", model, at))
            continue
        if place >= part.lower_bound_from:
            reasons.append(no_price(part.kinds[0], model, at))
        yield part.component, part.tokens, prices.kinds[part.kinds[place]]


def _parts(usage: Usage, prices: TokenPrices | None) -> Iterable[_Part]:
    cached, written = usage.cached_input_tokens, usage.cache_write_tokens
    heard, spoken = usage.audio_input_tokens or 0, usage.audio_output_tokens or 0
    if cached is not None:
        yield _Part("cached_input_tokens", cached, ("cached_input", "input"), 2)
    if usage.input_tokens is not None:  # who counts the input, and no writing and no sound, sold none
        rest = usage.input_tokens - (cached or 0) - (written or 0) - heard
        yield _Part("input_tokens", rest, ("input",), 1)
        yield _Part("cache_write_tokens", 0, (), 0)
        yield _Part("audio_input_tokens", heard, ("audio_input", "input"), 1)
    yield from _writes(usage)
    if usage.output_tokens is not None:
        thought = usage.reasoning_tokens or 0 if prices and "reasoning" in prices.kinds else 0
        yield _Part("output_tokens", usage.output_tokens - spoken - thought, ("output",), 1)
        if thought:
            yield _Part("output_tokens", thought, ("reasoning",), 1)
        yield _Part("audio_output_tokens", spoken, ("audio_output", "output"), 1)


def _writes(usage: Usage) -> Iterable[_Part]:
    """What was written to a cache, by how long it is kept; nobody lists twelve hours, which cost no less than one."""
    parts: tuple[tuple[int | None, Sequence[TokenKind], int], ...] = (
        (usage.cache_write_5m_tokens, ("cache_write_5m", "cache_write", "input"), 2),
        (usage.cache_write_30m_tokens, ("cache_write", "input"), 1),
        (usage.cache_write_1h_tokens, ("cache_write_1h", "cache_write", "input"), 1),
        (usage.cache_write_12h_tokens, ("cache_write_1h", "cache_write", "input"), 0),
        (usage.cache_write_unnamed_tokens, ("cache_write", "input"), 1),
    )
    return (_Part("cache_write_tokens", tokens, kinds, bound) for tokens, kinds, bound in parts if tokens)


def tokens_are_priced(reasons: Iterable[str]) -> bool:
    """Whether a cost whose reasons these are has all tokens in it that were bought, as far as they are known."""
    return not any(
        reason.endswith("_tokens_unknown") or reason.startswith(("usage_inconsistent", *_WITHOUT_PRICE))
        for reason in reasons
    )


def no_price(item: str, of: str | None, at: datetime) -> str:
    """Why something has no price, as a reason: a key, which stays short whatever name came from outside."""
    return f"no_price:{item}:{(of or 'unknown')[:100]}:{at.date().isoformat()}"
