"""What the billed time of a request went to, in money: phases that sum to the duration's charge exactly.

The charge is shared by milliseconds; the last 1e-15 dollars go to the largest remainders, so no share is off
by more. Phases that add up to more than was billed are cut: the cold start keeps its time first, the others
shrink alike.
"""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from math import isfinite

from weir.core.pricing.money import MONEY, split


@dataclass(frozen=True, slots=True)
class Phases:
    """The Lambda duration's charge by what the time went to, USD; None is unknown and then part of `rest`."""

    cold_start: Decimal | None = None
    waiting: Decimal | None = None
    streaming: Decimal | None = None
    validating: Decimal | None = None
    rest: Decimal | None = None


def split_phases(
    duration: Decimal | None,
    billed_ms: int | None,
    *,
    cold_start_ms: float | None,
    waiting_ms: float | None,
    streaming_ms: float | None,
    validating_ms: float | None,
) -> Phases:
    """Split the `duration` charge of `billed_ms`; where either is unknown, so are all phases."""
    if duration is None or billed_ms is None:
        return Phases()
    given = {
        "cold_start": cold_start_ms,
        "waiting": waiting_ms,
        "streaming": streaming_ms,
        "validating": validating_ms,
    }
    with localcontext(MONEY):
        # By way of text: Decimal(0.1) would be the float's binary tail, 55 digits of it.
        times = {
            name: max(Decimal(str(ms)), Decimal(0))
            for name, ms in given.items()
            if ms is not None and isfinite(ms)
        }
        billed = Decimal(billed_ms)
        cold = min(times.get("cold_start", Decimal(0)), billed)
        warm = sum((ms for name, ms in times.items() if name != "cold_start"), Decimal(0))
        scale = (billed - cold) / warm if warm > billed - cold else Decimal(1)
        shares = {name: cold if name == "cold_start" else ms * scale for name, ms in times.items()}
        shares["rest"] = max(billed - sum(shares.values(), Decimal(0)), Decimal(0))
        return Phases(**split(duration, shares))
