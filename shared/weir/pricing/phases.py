"""What the billed time of a request went to, in money: phases that sum to the duration's charge exactly.

The charge is shared by milliseconds; the last 1e-15 dollars go to the largest remainders, so no share is off
by more. Phases that add up to more than was billed are cut: the cold start keeps its time first, the others
shrink alike.
"""

from dataclasses import dataclass
from decimal import Decimal
from math import isfinite

from weir.pricing.money import MONEY, split

_TICK_PLACES = 25  # so that every float from 10 fs on is whole
_TICKS: int = 10**_TICK_PLACES
_THOUSANDTH: int = 10 ** (_TICK_PLACES - 3)


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
    times = {name: _ticks(ms) for name, ms in given.items() if ms is not None and isfinite(ms)}
    billed = billed_ms * _TICKS
    cold = min(times.get("cold_start", 0), billed)
    warm = sum(times.values()) - times.get("cold_start", 0)
    if warm > billed - cold:  # shrunk by (billed - cold) / warm: all shares are multiplied by warm instead
        shares = {name: ms * (billed - cold) for name, ms in times.items()}
        if "cold_start" in shares:
            shares["cold_start"] = cold * warm
        shares["rest"] = 0
    else:
        shares = times
        if "cold_start" in shares:
            shares["cold_start"] = cold
        shares["rest"] = billed - cold - warm
    return Phases(**split(duration, shares))


def _ticks(ms: float) -> int:
    """Milliseconds as the number that was written, in ticks, and at least 0."""
    thousandths = round(ms * 1000)
    if (
        thousandths / 1000 == ms and thousandths < 10**14
    ):  # three decimals, as ours have: the same, in less time
        return max(thousandths, 0) * _THOUSANDTH
    # By way of text: a float's binary tail is 55 digits long, and nobody measured them.
    return max(int(Decimal(str(ms)).scaleb(_TICK_PLACES, MONEY)), 0)
