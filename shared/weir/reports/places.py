"""Requests that are billed alike on a day, taken together, and what their milliseconds cost there or elsewhere.

Lambda's money is linear in milliseconds by memory, so sums priced once are what they cost one by one, but for each
one's rounding at 1e-15 dollars. What has no price is not known, and said so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from weir.pricing.price_book import AwsItem
from weir.reports.memory_size import FunctionMemory
from weir.reports.supposition import Scenario
from weir.reports.unit_prices import MANAGED, MB_MS, UnitPrices, Unpriced, duration_item

type Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Range:
    """What scenarios are made of: rows of sql/scenarios.sql, functions, and how long the range was until now."""

    places: Sequence[Row]
    functions: Sequence[FunctionMemory]
    seconds: Decimal
    prices: UnitPrices


def of_each(
    made: Scenario, places: Iterable[Row], of: Callable[[Row], None], counted: str = "requests"
) -> Scenario:
    """Work a scenario out place by place; what a place lacks a price for is not known."""
    for place in places:
        try:
            of(place)
        except Unpriced as missing:
            made.leave_out(str(missing), count(place, counted))
    return made


def billed_by_time(made: Scenario, within: Range) -> Iterable[Row]:
    """The places whose milliseconds are priced; of the others the scenario says why not."""
    for place in within.places:
        requests = count(place, "requests") - count(place, "unbilled")
        made.leave_out("billed_duration_unknown", count(place, "unbilled"))
        if place["initialization_type"] == MANAGED or requests <= 0:
            continue
        if place["memory_mb"] is None or place["architecture"] is None:
            made.leave_out(
                "memory_unknown" if place["memory_mb"] is None else "architecture_unknown", requests
            )
            continue
        yield place


def started(made: Scenario, within: Range) -> Iterable[Row]:
    """The places whose environments start when a request finds none."""
    for place in billed_by_time(made, within):
        if place["initialization_type"] in (None, "on-demand"):
            made.leave_out("start_unknown", count(place, "cold_unknown"))
            yield place


def note_managed(made: Scenario, within: Range, why: str) -> None:
    """Say that requests on instances stay as they are, where there are any."""
    requests = sum(
        count(place, "requests") for place in within.places if place["initialization_type"] == MANAGED
    )
    if requests:
        made.assumptions.append(f"{requests} requests on Managed Instances stay as they are: {why}.")


def price_at(
    within: Range, place: Row, item: AwsItem, *, region: str | None = None, architecture: str | None = None
) -> Decimal:
    """What one of an item costs at a place, or in another Region, or on another architecture. Raises Unpriced."""
    return within.prices.amount(
        item, region or place["region"], architecture or place["architecture"], place["day"]
    )


def ms_cost(
    within: Range, place: Row, ms: int, *, item: AwsItem | None = None, architecture: str | None = None
) -> Decimal:
    """What milliseconds cost in the place's memory, or as another item, or on another architecture. Raises Unpriced."""
    sold_as = item or duration_item(place["initialization_type"])
    price = price_at(within, place, sold_as, architecture=architecture)
    return Decimal(ms * place["memory_mb"]) / MB_MS * price


def time_cost(within: Range, place: Row, ms: int) -> Decimal:
    """What milliseconds of streaming cost, where time is billed. Raises Unpriced."""
    if place["initialization_type"] == MANAGED or place["memory_mb"] is None or place["architecture"] is None:
        return Decimal(0)
    return ms_cost(within, place, ms)


def booked_at(place: Row, component: str) -> Decimal:
    """What is booked of a charge; nothing where none is known."""
    return place[f"cost_{component}"] or Decimal(0)


def count(place: Row, name: str) -> int:
    """A sum of the place; 0 where there was nothing to add."""
    return int(place.get(name) or 0)
