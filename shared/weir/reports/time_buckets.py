"""Days and hours of a reader's time zone, over rows that know only UTC.

A zone's clock runs at one offset from UTC between two changes. The offsets of a range and their changes are worked
out here and given to the SQL as values, so both engines cut alike whatever edition of the time zones they carry.
A day is 23 or 25 hours long where the clock changes; an hour that the clock repeats is two hours here, because an hour
is told apart by its UTC instant, and a day by its date.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

_LOOK_EVERY = timedelta(hours=6)  # no zone changes its clock twice within it


class Unit(StrEnum):
    """How long a bucket is."""

    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Span:
    """A time with one offset from UTC; `until` is exclusive, UTC, and None for the last."""

    until: datetime | None
    offset: timedelta


def local_day(instant: datetime, zone: ZoneInfo) -> datetime:
    """The first instant of the day that `instant` falls on in `zone`, which need not be midnight."""
    day = instant.astimezone(zone).date()
    # Midnight that the clock skips is read at the offset before the change, which makes it the change itself.
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC).astimezone(zone)


def spans(start: datetime, end: datetime, zone: ZoneInfo) -> list[Span]:
    """The offsets of `zone` from `start` to `end`, in order."""
    found: list[Span] = []
    at, end = start.astimezone(UTC), end.astimezone(UTC)  # in UTC, an hour later is an hour later
    offset = _offset(at, zone)
    while at < end:
        following = min(at + _LOOK_EVERY, end)
        if (changed := _offset(following, zone)) != offset:
            found.append(Span(_change(at, following, zone), offset))
            offset = changed
        at = following
    return [*found, Span(None, offset)]


def buckets(
    start: datetime, end: datetime, zone: ZoneInfo, unit: Unit, within: list[Span]
) -> dict[datetime, datetime]:
    """Every bucket of a range by the value that the SQL gives it: its first instant, in `zone`."""
    found: dict[datetime, datetime] = {}
    for at in _steps(start.astimezone(UTC), end.astimezone(UTC)):
        span = next(span for span in within if span.until is None or at < span.until)
        local = (at + span.offset).replace(tzinfo=None)
        if unit is Unit.DAY:
            key = local.replace(hour=0, minute=0, second=0, microsecond=0)
            if key not in found:
                found[key] = local_day(at, zone)
        else:
            key = local.replace(minute=0, second=0, microsecond=0) - span.offset
            if key not in found:
                found[key] = key.replace(tzinfo=UTC).astimezone(zone)
    return found


def _steps(start: datetime, end: datetime) -> Iterator[datetime]:
    # Offsets are multiples of 15 minutes: no bucket begins and ends between two steps.
    at = start
    while at < end:
        yield at
        at += timedelta(minutes=15)
    yield end - timedelta(microseconds=1)


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None  # a ZoneInfo always has one
    return offset


def _change(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first whole second after `low` with the offset of `high`."""
    before = _offset(low, zone)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if _offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
