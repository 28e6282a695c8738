"""The capacity model: its tables stand in infra's README, its constants have a source, and its figures meet their bounds."""

import json
from pathlib import Path

import pytest

from infra.capacity.__main__ import tables
from infra.capacity.model import RATES, Capacity, constants
from weir.pricing.price_book import PriceBook

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model() -> Capacity:
    return Capacity(constants(), PriceBook.load())


def test_the_readme_shows_the_tables_that_the_command_prints() -> None:
    page = (ROOT / "infra/README.md").read_text()
    for table in tables().split("\n\n"):
        assert table.strip() in page, "infra/README.md: expected what `make capacity` prints"


def test_every_constant_names_a_command_or_a_file_that_measures_it_or_says_that_it_is_assumed() -> None:
    listed = json.loads((ROOT / "infra/capacity/constants.json").read_text())
    for name, entry in listed.items():
        by = entry["measured_by"]
        known = by == "assumed" or by.startswith(("make ledger-day", "python -m tests.bench ledger_"))
        assert known or (ROOT / by).exists(), f"{name}: expected a command or a file, got {by!r}"
        assert entry["what"] and entry["unit"]


@pytest.mark.parametrize(("rate", "percent"), [(1, 6.0), (100, 3.5), (10_000, 2.5)])
def test_a_ledger_costs_a_small_share_of_what_it_meters(rate: float, percent: float, model: Capacity) -> None:
    assert 100 * model.day(rate).share <= percent


@pytest.mark.parametrize("rate", [1, 10, 100])
def test_objects_are_bounded_by_time_up_to_a_hundred_requests_a_second(rate: float, model: Capacity) -> None:
    assert model.day(rate).objects <= 4_000


def test_a_hundred_requests_a_day_cost_cents_a_month(model: Capacity) -> None:
    assert 30 * sum(model.day(100 / 86_400).usd.values()) < 0.5


def test_more_requests_cost_more_and_each_of_them_less(model: Capacity) -> None:
    costs = [sum(model.day(rate).usd.values()) for rate in RATES]
    assert costs == sorted(costs)
    each = [cost / rate for cost, rate in zip(costs, RATES, strict=True)]
    assert each == sorted(each, reverse=True)


def test_each_part_that_breaks_says_where(model: Capacity) -> None:
    assert all("never" in where or "requests/s" in where for _, where in model.breaks())
