"""A month's budget: what is spent of it, and what the month will come to if it goes on as it did.

The forecast is what was spent, and for each day that is left the mean of the last seven whole days: each day of the
week is in it once, so a quiet weekend is neither missed nor counted for more. Days before the ledger's first request do
not count as days without cost. Before the first whole day there is no forecast: unknown is not a guess.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

from weir.errors import ConfigurationError
from weir.pricing.money import MONEY, PLACES, plain

LEVELS = (100, 90, 70)  # percent
WHOLE_DAYS = 7
METHOD = "spent, and for each day left the mean of the last {days} whole days"
NO_METHOD = "no whole day has passed since the first request"
OVER = "the month is over: what was spent"


@dataclass(frozen=True, slots=True)
class Budget:
    """USD and percent of `limit`; `level` is the highest of 70, 90 and 100 that is reached, or "ok".

    What is spent, and the forecast, are at least so much where a day of theirs holds rows that are not priced in full.
    """

    month: str
    limit: Decimal
    spent: Decimal
    forecast: Decimal | None
    percent: float
    forecast_percent: float | None
    level: str
    forecast_level: str | None
    method: str
    is_lower_bound: bool
    forecast_is_lower_bound: bool

    def as_json(self) -> dict[str, Any]:
        """Money as strings in plain notation, unknown as null."""
        forecast = None if self.forecast is None else plain(self.forecast)
        return {**asdict(self), "limit": plain(self.limit), "spent": plain(self.spent), "forecast": forecast}


def budget_from(name: str, text: str) -> Decimal | None:
    """A month's limit, in US dollars, from text; nothing and 0 are None. Raises ConfigurationError naming `name`."""
    try:
        amount = Decimal(text or 0)
    except InvalidOperation:
        amount = Decimal("nan")
    if not amount.is_finite() or amount < 0:
        raise ConfigurationError(f"{name}: expected US dollars, 0 or more, got {text[:40]!r}")
    return amount or None


def first_day(month: date) -> date:
    """The first day whose cost `budget` wants to know: a week before the month."""
    return month.replace(day=1) - timedelta(days=WHOLE_DAYS)


def budget(
    limit: Decimal,
    month: date,
    today: date,
    daily: Mapping[date, Decimal],
    lower_bounds: Collection[date] = (),
) -> Budget:
    """The budget of the month that `month` is in, on the day `today`, from what each day cost.

    `daily` has the days from `first_day(month)` on; a day that is not in it cost nothing. On the days of `lower_bounds`
    it was at least so much. `limit` is above 0.
    """
    first = month.replace(day=1)
    after = (first + timedelta(days=32)).replace(day=1)
    with localcontext(MONEY):
        spent = sum((cost for day, cost in daily.items() if first <= day < after), Decimal(0))
        forecast, method = _forecast(spent, after, today, daily)
        return Budget(
            month=f"{first:%Y-%m}",
            limit=limit,
            spent=spent,
            forecast=forecast,
            percent=_percent(spent, limit),
            forecast_percent=None if forecast is None else _percent(forecast, limit),
            level=_level(spent, limit),
            forecast_level=None if forecast is None else _level(forecast, limit),
            method=method,
            is_lower_bound=any(first <= day < after for day in lower_bounds),
            forecast_is_lower_bound=any(day < after for day in lower_bounds),
        )


def _forecast(
    spent: Decimal, after: date, today: date, daily: Mapping[date, Decimal]
) -> tuple[Decimal | None, str]:
    if today >= after:
        return spent, OVER
    begun = min((day for day in daily if day < today), default=today)
    whole = min((today - begun).days, WHOLE_DAYS)
    if not whole:
        return None, NO_METHOD
    mean = (
        sum((daily.get(today - timedelta(days=n), Decimal(0)) for n in range(1, whole + 1)), Decimal(0))
        / whole
    )
    # Today is as the other days are, unless it has cost more already.
    rest_of_today = max(mean - daily.get(today, Decimal(0)), Decimal(0))
    forecast = spent + rest_of_today + mean * ((after - today).days - 1)
    return forecast.quantize(PLACES), METHOD.format(days=whole)


def _percent(amount: Decimal, limit: Decimal) -> float:
    return round(float(100 * amount / limit), 2)


def _level(amount: Decimal, limit: Decimal) -> str:
    return next((str(level) for level in LEVELS if 100 * amount >= level * limit), "ok")
