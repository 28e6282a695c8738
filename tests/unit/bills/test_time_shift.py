"""A shift in time is found from the figures, and only where it explains every hour that it is given for."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import assume, given
from hypothesis import strategies as st

from infra.costs.bills.time_shift import Figures, shifted_hours

START = datetime(2026, 10, 25, tzinfo=UTC)
HOUR = timedelta(hours=1)


def same(one: Figures, other: Figures) -> bool:
    return one == other


def figures(count: int, seconds: int) -> Figures:
    return Decimal(count), Decimal(seconds)


# GB-seconds down to the millisecond do not repeat by chance.
hours = st.lists(
    st.integers(1, 50).flatmap(lambda count: st.tuples(st.just(count), st.integers(10**6, 10**9))),
    min_size=6, max_size=40, unique_by=lambda entry: entry[1],
)  # fmt: skip


@given(day=hours, distance=st.integers(-12, 14).filter(bool))
def test_a_bill_that_is_moved_as_a_whole_is_found(day: list[tuple[int, int]], distance: int) -> None:
    ledger = {START + HOUR * n: figures(*entry) for n, entry in enumerate(day)}
    bill = {hour + HOUR * distance: entry for hour, entry in ledger.items()}
    found = shifted_hours(ledger, bill, same)
    assert found.keys() == ledger.keys() | bill.keys()
    assert all(f"{distance:+d} h away" in detail for detail in found.values())


@given(
    day=hours,
    change=st.integers(2, 4),
    before=st.integers(-11, 13).filter(lambda hours: abs(hours) > 1),
    later=st.sampled_from([-1, 1]),
)
def test_a_change_of_clocks_within_it_is_found(
    day: list[tuple[int, int]], change: int, before: int, later: int
) -> None:
    after = before + later
    ledger = {START + HOUR * n: figures(*entry) for n, entry in enumerate(day)}
    bill: dict[datetime, Figures] = {}
    for number, (hour, entry) in enumerate(ledger.items()):
        target = hour + HOUR * (before if number < change else after)
        here = bill.get(target, (Decimal(0), Decimal(0)))
        bill[target] = here[0] + entry[0], here[1] + entry[1]
    found = shifted_hours(ledger, bill, same)
    assert found.keys() == ledger.keys() | bill.keys()
    assert all("daylight saving time" in detail for detail in found.values())


@given(day=hours, lost=st.sets(st.integers(0, 39), min_size=1))
def test_requests_that_are_missing_are_no_shift(day: list[tuple[int, int]], lost: set[int]) -> None:
    bill = {START + HOUR * n: figures(*entry) for n, entry in enumerate(day)}
    ledger = {
        hour: (count - 1, seconds - 999_983) if number in lost else (count, seconds)
        for number, (hour, (count, seconds)) in enumerate(bill.items())
    }
    assume(
        not {entry[1] for entry in ledger.values()}
        & {bill[hour][1] for hour in bill if ledger[hour] != bill[hour]}
    )
    assert shifted_hours(ledger, bill, same) == {}


def test_an_hour_that_fits_another_by_chance_is_no_shift() -> None:
    # What the ledger has at 00:00 the bill has at 01:00, but at 00:00 it has something else.
    ledger = {START: figures(5, 100), START + HOUR: figures(7, 130)}
    bill = {START: figures(6, 120), START + HOUR: figures(5, 100)}
    assert shifted_hours(ledger, bill, same) == {}
