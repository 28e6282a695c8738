"""A month's budget: what is spent, where it goes if it goes on, and the levels at which somebody should look."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from weir.reports.budget import budget, first_day

MONTH = date(2026, 11, 1)


def days(first: date, count: int, cost: str) -> dict[date, Decimal]:
    return {first + timedelta(days=n): Decimal(cost) for n in range(count)}


def test_days_that_are_left_cost_what_the_last_seven_whole_days_cost() -> None:
    daily = days(MONTH, 21, "1") | {date(2026, 11, 22): Decimal("0.25")}
    found = budget(Decimal(100), MONTH, date(2026, 11, 22), daily)
    assert (found.spent, found.forecast) == (Decimal("21.25"), Decimal(30))
    assert (found.percent, found.forecast_percent) == (21.25, 30.0)


def test_a_day_that_cost_more_than_the_mean_already_is_not_counted_for_less() -> None:
    daily = days(MONTH, 21, "1") | {date(2026, 11, 22): Decimal(5)}
    assert budget(Decimal(100), MONTH, date(2026, 11, 22), daily).forecast == 21 + 5 + 8


def test_a_quiet_weekend_is_in_the_mean_once() -> None:
    daily = {day: Decimal(7) for day in days(MONTH, 21, "0") if day.weekday() < 5}
    assert budget(Decimal(1000), MONTH, date(2026, 11, 22), daily).forecast == sum(daily.values()) + 9 * 5


def test_the_week_before_counts_at_the_beginning_of_a_month_and_is_not_spent_in_it() -> None:
    daily = days(first_day(MONTH), 7, "2")
    found = budget(Decimal(100), MONTH, MONTH, daily)
    assert (found.spent, found.forecast) == (0, Decimal(60))


def test_days_before_the_first_request_are_not_days_without_cost() -> None:
    daily = days(date(2026, 11, 20), 2, "3")
    found = budget(Decimal(100), MONTH, date(2026, 11, 22), daily)
    assert found.forecast == 6 + 9 * 3
    assert "last 2 whole days" in found.method


@pytest.mark.parametrize("daily", [{}, {date(2026, 11, 22): Decimal(1)}])
def test_before_the_first_whole_day_there_is_no_forecast(daily: dict[date, Decimal]) -> None:
    found = budget(Decimal(100), MONTH, date(2026, 11, 22), daily)
    assert (found.forecast, found.forecast_percent, found.forecast_level) == (None, None, None)
    assert found.method == "no whole day has passed since the first request"


@pytest.mark.parametrize(
    ("unpriced", "spent", "forecast"),
    [([], False, False), ([date(2026, 10, 31)], False, True), ([date(2026, 11, 3)], True, True)],
)
def test_what_is_spent_and_forecast_is_at_least_so_much_where_a_day_of_it_is(
    unpriced: list[date], spent: bool, forecast: bool
) -> None:
    daily = days(first_day(MONTH), 14, "1")
    found = budget(Decimal(100), MONTH, date(2026, 11, 8), daily, unpriced)
    assert (found.is_lower_bound, found.forecast_is_lower_bound) == (spent, forecast)


def test_a_month_that_is_over_comes_to_what_was_spent() -> None:
    daily = days(date(2026, 10, 1), 31, "1")
    found = budget(Decimal(31), date(2026, 10, 15), date(2026, 11, 22), daily)
    assert (found.month, found.spent, found.forecast, found.level) == ("2026-10", 31, 31, "100")


@pytest.mark.parametrize(
    ("spent", "level"),
    [("69.999999999999999", "ok"), ("70", "70"), ("89.99", "70"), ("90", "90"), ("99.999", "90"), ("100", "100"), ("250", "100")],
)  # fmt: skip
def test_a_level_is_reached_at_its_percentage_exactly(spent: str, level: str) -> None:
    daily = {date(2026, 11, 3): Decimal(spent)}
    assert budget(Decimal(100), MONTH, date(2026, 12, 1), daily).level == level
