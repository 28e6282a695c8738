"""What if: what a range would have cost, had one thing been another; one function a scenario.

Each scenario adds the difference between two products of a quantity and a price of the same book, never two totals:
what changes nothing costs nothing, and a rounding counts once.
"""

from decimal import Decimal

from weir.pricing.price_book import AwsItem
from weir.reports.memory_size import MARGIN, cpu_share, fits
from weir.reports.places import (
    Range,
    Row,
    billed_by_time,
    booked_at,
    count,
    ms_cost,
    note_managed,
    of_each,
    price_at,
    time_cost,
)
from weir.reports.supposition import Scenario, Supposed
from weir.reports.unit_prices import ITEM_OF, Unpriced, duration_item

_SAME_TIME = "Billed time stays as it was."
_AS_BOOKED = "Each request is priced at the list's first tier on its own day, as its row is."


def sooner(within: Range, supposed: Supposed) -> Scenario:
    """The first token comes sooner, or later."""
    ms = -supposed.ttft_ms
    what = "sooner" if ms >= 0 else "later"
    made = Scenario("ttft", f"First token {abs(ms)} ms {what}", {"ttft_ms": supposed.ttft_ms})
    made.assumptions += [
        "Each request waits so much less for its first token, once, and never less than nothing."
        if ms >= 0
        else "Each request that waited for a first token waits so much longer, once.",
        "All other time stays as it was.",
        _AS_BOOKED,
    ]
    note_managed(made, within, "an instance is billed whole, whatever a request waits")

    def wait(place: Row) -> None:
        made.leave_out("waiting_time_unknown", count(place, "wait_unknown"))
        if waited := count(place, "waited"):
            made.add(-ms_cost(within, place, count(place, "sooner_ms")), waited)

    return of_each(made, billed_by_time(made, within), wait)


def memory(within: Range, supposed: Supposed) -> Scenario:
    """Every function whose peak leaves room has another size."""
    of_function = {function.function: function for function in within.functions}
    sizes = [function.recommended_mb for function in within.functions if function.recommended_mb]
    size = supposed.memory_mb or max(sizes, default=None)
    made = Scenario("memory", f"Memory of {size} MB" if size else "Another memory size", {"memory_mb": size})
    if supposed.memory_mb is None and size:
        made.assumptions.append("The size is the smallest that fits every function's peak and adds no pause.")
    made.assumptions += [
        f"A size fits where it is {float(MARGIN - 1):.0%} larger than the highest peak of the function's requests.",
        _SAME_TIME,
    ]
    too_large: dict[str, int] = {}
    shares: set[tuple[float, float]] = set()

    def resize(place: Row) -> None:
        function, now = of_function.get(place["function_name"]), place["memory_mb"]
        peak = function.peak_mb if function else None
        if peak is None or now is None or size is None:
            made.leave_out("peak_memory_unknown", count(place, "requests"))
        elif not fits(size, peak):
            too_large[place["function_name"]] = peak
        else:
            cost = ms_cost(within, place, count(place, "billed_ms")) * (size - now) / now
            cost += booked_at(place, "lambda_restore") * (size - now) / now
            made.add(cost, count(place, "requests"))
            shares.add((cpu_share(now), cpu_share(size)))

    of_each(made, billed_by_time(made, within), resize)
    for then, given in sorted(shares):
        if given < then:
            made.assumptions.append(
                f"The share of a processor falls from {then:.2f} to {given:.2f}: what computes takes longer. It costs "
                f"less as long as requests take less than {then / given:.2f} times the time."
            )
    for name, peak in sorted(too_large.items()):
        made.assumptions.append(f"{name} stays as it is: its peak of {peak} MB does not fit {size} MB.")
    for function in within.functions:
        if 0 < function.peak_known < function.requests:
            made.assumptions.append(
                f"The peak of {function.function} is known of {function.peak_known} of {function.requests} requests."
            )
    made.is_offered = not (too_large and not made.changed)
    return made


def architecture(within: Range, supposed: Supposed) -> Scenario:
    """Everything runs on the other architecture."""
    mostly = max(within.places, key=lambda place: count(place, "billed_ms"), default={})
    other = "x86_64" if mostly.get("architecture") == "arm64" else "arm64"
    wanted = supposed.architecture or other
    made = Scenario("architecture", f"On {wanted}", {"architecture": wanted})
    made.assumptions += [f"{_SAME_TIME} Which one is faster for this code is not known.", _AS_BOOKED]

    def move(place: Row) -> None:
        if place["architecture"] != wanted:
            ms = count(place, "billed_ms")
            there = ms_cost(within, place, ms, architecture=wanted)
            made.add(there - ms_cost(within, place, ms), count(place, "requests"))

    return of_each(made, billed_by_time(made, within), move)


def no_early_stop(within: Range, supposed: Supposed) -> Scenario:
    """Streams go on after their first violation."""
    made = Scenario("early_stop_off", "No early stop at a violation")
    made.assumptions += [
        "The tokens that were not bought are the ledger's estimate, from whole documents of the same schema, and only "
        "where hanging up is known to stop the provider's meter.",
        "They come at the pace of the tokens that came.",
    ]

    def go_on(place: Row) -> None:
        made.leave_out("tokens_not_bought_unpriced", count(place, "stopped_unknown"))
        if stopped := count(place, "stopped"):
            time = time_cost(within, place, count(place, "saved_ms"))
            made.add((place["saved_total"] or Decimal(0)) + time, stopped)

    return of_each(made, within.places, go_on, "stopped")


def no_retries(within: Range, supposed: Supposed) -> Scenario:
    """Nothing is asked a second time."""
    made = Scenario("retries_off", "No retries")
    made.assumptions += [
        "Tokens of later attempts are as they were charged. Their time is taken as an equal share of waiting and "
        "streaming for each attempt.",
        "Requests that a retry mended would have failed instead.",
    ]

    def ask_once(place: Row) -> None:
        made.leave_out("cost_of_retries_unknown", count(place, "retried_unknown"))
        if retried := count(place, "retried"):
            time = time_cost(within, place, count(place, "retry_ms"))
            made.add(-(place["retry_total"] or Decimal(0)) - time, retried)

    return of_each(made, within.places, ask_once, "retried")


def other_region(within: Range, supposed: Supposed) -> Scenario:
    """The functions run in another Region."""
    wanted = supposed.to_region
    made = Scenario("region", f"In {wanted}", {"to_region": wanted})
    made.assumptions += [
        "Every charge of AWS's at that Region's price of the same day; tokens cost what they do.",
        "The way to the provider, data transfer and what stands beside the functions are left out.",
    ]

    def move(place: Row) -> None:
        if place["region"] == wanted:
            return
        added, priced = Decimal(0), False
        items = {"lambda_duration": duration_item(place["initialization_type"]), **ITEM_OF}
        for component, item in items.items():
            booked = booked_at(place, component)
            try:
                ratio = _ratio(within, place, item, wanted) if booked else Decimal(1)
            except Unpriced as missing:
                made.leave_out(str(missing), count(place, "requests"))
                continue
            added, priced = added + booked * (ratio - 1), priced or bool(booked)
        if priced:
            made.add(added, count(place, "requests"))

    return of_each(made, within.places, move)


def _ratio(within: Range, place: Row, item: AwsItem, region: str | None) -> Decimal:
    """What an item costs in a Region, as a multiple of what it costs at a place. Raises Unpriced."""
    here = price_at(within, place, item)
    if not here:
        raise Unpriced(f"sold_for_nothing:{item}")
    return price_at(within, place, item, region=region) / here
