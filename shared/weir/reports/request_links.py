"""From a figure to its requests: the query that lists them, of /api/requests, of the page, and of `costs requests`.

What a query says is read by params.py to the filters that it was made of: the same requests, whoever asks.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from weir.reports.queries import Filters
from weir.reports.time_buckets import local_day


def query_of(filters: Filters, zone: ZoneInfo, **beside: str) -> str:
    """The filters as a query, and what stands beside them: days where the range is whole ones, else instants."""
    return urlencode([*_members(filters, zone), *beside.items()])


def narrowed(filters: Filters, zone: ZoneInfo, by: str, name: str) -> Filters:
    """The filters of a group: a model, tenant, function; or of a day of the zone, no more than is in the range."""
    if by == "model":
        return replace(filters, served_model=name)
    if by == "tenant":
        return replace(filters, tenant=name)
    if by == "function":
        return replace(filters, function=name)
    day = date.fromisoformat(name)
    noons = (datetime(at.year, at.month, at.day, 12, tzinfo=zone) for at in (day, day + timedelta(days=1)))
    start, end = (local_day(noon, zone) for noon in noons)
    return replace(filters, start=max(filters.start, start), end=min(filters.end, end))


def _members(filters: Filters, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    for name, instant in (("from", filters.start), ("to", filters.end)):
        yield name, _when(instant, zone)
    yield "tz", zone.key
    for name in ("outcome", "model", "served_model", "function", "tenant"):
        value = getattr(filters, name)
        if value is not None:
            yield name, value
    for tag in filters.tags:
        yield "tag", tag


def _when(instant: datetime, zone: ZoneInfo) -> str:
    local = instant.astimezone(zone)
    return local.date().isoformat() if local_day(local, zone) == instant else local.isoformat()
