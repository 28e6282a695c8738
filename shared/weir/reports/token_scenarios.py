"""What if it were other tokens: read from a cache, or another model's. Tokens by model, tier and size of input.

A model may cost more from some size of input on (price_book.py): requests are taken together only where all models
concerned charge them alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from weir.pricing.price_book import PriceBook
from weir.pricing.quantities import TokensBought
from weir.pricing.token_charges import no_price, price_of_sum
from weir.pricing.usage import COUNTS, Usage
from weir.reports.supposition import Scenario, Supposed
from weir.reports.unit_prices import noon

type Row = Mapping[str, Any]

_NO_SIZE = 10**15


@dataclass(frozen=True, slots=True)
class Tokens:
    """Rows of sql/tokens.sql, the sizes of input by which their `step` goes, and the book."""

    rows: Sequence[Row]
    sizes: Sequence[int]
    book: PriceBook

    def bought(self, row: Row) -> tuple[TokensBought, int]:
        """What a row's requests bought, and the input by which all of them pay."""
        usage = _usage(row)._replace(service_tier=row["service_tier"])
        return TokensBought(row["model_known"], usage), [*self.sizes, _NO_SIZE][int(row["step"])]

    def cost(self, model: str, usage: Usage, row: Row, tier: str | None) -> tuple[Decimal, list[str]]:
        """What the summed tokens of a row's requests cost at a model's prices, and what of it has no price."""
        reasons: list[str] = []
        # All requests of a step pay the same tier, which ends at its size.
        tier_input = [*self.sizes, _NO_SIZE][int(row["step"])]
        bought = TokensBought(model, usage._replace(service_tier=tier))
        return price_of_sum(bought, tier_input, noon(row["day"]), self.book, reasons), reasons


def input_sizes(models: Iterable[str | None], days: tuple[date, date], book: PriceBook) -> list[int]:
    """Every size of input beyond which some model costs more; at least one, so that there is a step."""
    sizes = {_NO_SIZE}
    for model in models:
        for day in days:
            prices = book.token_prices(model=model, at=noon(day))
            for price in prices.kinds.values() if prices else ():
                sizes |= {int(tier.up_to) for tier in price.tiers if tier.up_to is not None}
    return sorted(sizes)


def cached(tokens: Tokens, supposed: Supposed) -> Scenario:
    """A share of the input is read from the provider's cache."""
    said = supposed.cache_percent
    share = _share_read(tokens.rows) if said is None else Fraction(str(said)) / 100
    percent = None if share is None else round(float(100 * share), 2)
    made = Scenario("cache", "Input read from the provider's cache", {"cache_percent": percent})
    why = "as of your requests that did read from one" if said is None else "as you say"
    made.assumptions += [
        "It is not known how much of the input repeats."
        if share is None
        else f"Requests that read nothing from a cache read {percent} % of their input from one: {why}.",
        "What a provider charges for writing to its cache, and for keeping it, is left out.",
    ]
    if any(int(row["retried"] or 0) for row in tokens.rows):
        made.assumptions.append(_RETRIED)
    for row in tokens.rows:
        requests, usage = int(row["requests"]), _usage(row)
        if row["is_cached"] or usage.input_tokens == 0:
            continue
        if missing := _missing(row):
            made.leave_out(missing, requests)
        elif share is None:
            made.leave_out("share_of_repeated_input_unknown", requests)
        else:
            read = int(usage.input_tokens * share) if usage.input_tokens else 0
            (fresh, reasons), (reading, _) = (
                tokens.cost(
                    row["model_known"], usage._replace(cached_input_tokens=count), row, row["service_tier"]
                )
                for count in (0, read)
            )
            if reasons:
                made.leave_out(reasons[0], requests)
            else:
                made.add(reading - fresh, requests)
    return made


def other_model(tokens: Tokens, supposed: Supposed) -> Scenario:
    """Another model answers, with the same tokens."""
    of, to = supposed.from_model, supposed.to_model or ""
    made = Scenario("model", f"{of or 'Every model'} to {to}", {"from_model": of, "to_model": to})
    made.assumptions += [
        f"{to} takes and writes as many tokens, at its standard tier, and takes as long. Its own tokenizer would not.",
        "Prices go by the model's name.",
    ]
    if any(int(row["retried"] or 0) for row in tokens.rows):
        made.assumptions.append(_RETRIED)
    for row in tokens.rows:
        model, requests, usage = row["model_known"], int(row["requests"]), _usage(row)
        if model == to or (of and model != of):
            continue
        if missing := _missing(row):
            made.leave_out(missing, requests)
            continue
        amount, reasons = tokens.cost(to, usage, row, None)
        if reasons:
            made.leave_out(reasons[0], requests)
            continue
        booked = sum((row[name] or Decimal(0) for name in row if name.startswith("cost_")), Decimal(0))
        made.add(amount - booked, requests)
    return made


_RETRIED = "Where a model costs more beyond some size of input, a retried request's size is that of all its attempts."


def _missing(row: Row) -> str | None:
    """Why it is not known what a row's tokens cost now."""
    if not row["is_counted"]:
        return "tokens_unknown"
    if row["is_contradictory"]:
        return "usage_inconsistent"
    if not row["is_priced"]:
        return no_price("tokens", row["model_known"], noon(row["day"]))
    return "tokens_priced_in_part" if row["is_priced_in_part"] else None


def _share_read(rows: Sequence[Row]) -> Fraction | None:
    """Of the input of requests that read from a cache, what they read from it; None without any."""
    read, of = (
        sum(int(row[name] or 0) for row in rows if row["is_cached"])
        for name in ("cached_input_tokens", "input_tokens")
    )
    return Fraction(read, of) if of else None


def _usage(row: Row) -> Usage:
    counts: Any = {name: None if row[name] is None else int(row[name]) for name in COUNTS if name in row}
    return Usage(**counts)
