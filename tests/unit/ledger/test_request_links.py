"""A figure's query is read back to the filters of its requests, whatever the names, the zone and the hour."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from weir.reports.params import range_of, tags_of, zone_of
from weir.reports.queries import Filters
from weir.reports.request_links import narrowed, query_of

# Midnight that the clock skips, a day of 25 hours, offsets that are no whole hours, and none.
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "Africa/Cairo", "America/Havana", "Asia/Kathmandu", "Australia/Lord_Howe"]
)
INSTANTS = st.integers(0, 360 * 86_400_000).map(
    lambda ms: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
NAMES = st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


def read(query: str) -> Filters:
    """What the API makes of a query."""
    given = parse_qs(query, keep_blank_values=True, strict_parsing=True)
    [start], [end], [zone] = given["from"], given["to"], given["tz"]
    names = {name: given.get(name, [None])[0] for name in ("model", "served_model", "tenant", "function")}
    found = range_of(start, end, zone_of(zone), datetime(2027, 1, 1, tzinfo=UTC))
    return replace(found, tags=tags_of(given.get("tag", [])), **names)


@given(ZONES, INSTANTS, st.integers(1, 10**9), NAMES, NAMES)
def test_a_query_is_read_back_to_its_filters(
    zone: str, start: datetime, seconds: int, model: str | None, tenant: str | None
) -> None:
    end = start + timedelta(milliseconds=seconds)
    filters = Filters(
        start=start, end=end, served_model=model, tenant=tenant, tags=("team=search", "feature")
    )
    assert read(query_of(filters, ZoneInfo(zone), sort="waiting")) == filters


@given(ZONES, INSTANTS, st.integers(1, 10))
def test_the_days_of_a_range_are_the_range(zone: str, start: datetime, days: int) -> None:
    """None twice, none left out: each begins where the one before ends."""
    whole = Filters(start=start, end=start + timedelta(days=days, hours=5))
    local = ZoneInfo(zone)
    at, last = start.astimezone(local).date(), whole.end.astimezone(local).date()
    expected = whole.start
    while at <= last:
        day = narrowed(whole, local, "day", at.isoformat())
        if day.start < day.end:
            assert read(query_of(day, local)) == day and day.start == expected
            expected = day.end
        at = date.fromordinal(at.toordinal() + 1)
    assert expected == whole.end


def test_a_whole_day_is_written_as_one() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    day = Filters(start=datetime(2026, 11, 21, 23, tzinfo=UTC), end=datetime(2026, 11, 22, 23, tzinfo=UTC))
    assert (
        query_of(day, berlin, sort="newest") == "from=2026-11-22&to=2026-11-23&tz=Europe%2FBerlin&sort=newest"
    )
