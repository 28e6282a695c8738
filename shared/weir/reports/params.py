"""What a reader asked for, from text: a range in a time zone, filters, an order; what is wrong names its field."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from weir.errors import CallerError
from weir.reports.queries import BREAKDOWNS, Filters
from weir.reports.time_buckets import local_day

DEFAULT_DAYS = 7  # of the reader's calendar, today included
MAX_RANGE = timedelta(days=400)  # thirteen months
_YEARS = (2000, 2999)  # a calendar's ends leave no room for the margin with which a day is joined
_NAME = r"[A-Za-z0-9._:/@-]{1,64}"
_TAG = re.compile(rf"{_NAME}(={_NAME})?")
_BY = re.compile(rf"component|{'|'.join(BREAKDOWNS)}|tag:{_NAME}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}")


type ExportFormat = Literal["csv", "parquet", "xlsx", "focus", "focus-csv"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = ExportFormat.__value__.__args__


class FieldError(CallerError, ValueError):
    """A parameter that is not valid, by itself or with the others."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


@lru_cache(64)
def zone_of(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises FieldError."""
    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (
        KeyError,
        ValueError,
        OSError,
    ):  # ZoneInfoNotFoundError is a KeyError; a folder's name is an OSError
        pass
    raise FieldError("tz", f"expected an IANA time zone such as Europe/Berlin, got {name[:80]!r}")


def range_of(start: str | None, end: str | None, zone: ZoneInfo, now: datetime) -> Filters:
    """A range from two texts, each a day of `zone` or an instant with its zone.

    By default it is the last seven days of the zone's calendar, today included: the same for the page, the API and the
    command line, and the same for whoever is told to ask again. Raises FieldError.
    """
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    until = _first_instant(tomorrow, zone) if end is None else _instant("to", end, zone)
    last = (until - timedelta(microseconds=1)).astimezone(zone).date()
    default = last - timedelta(days=DEFAULT_DAYS - 1)
    since = _first_instant(default, zone) if start is None else _instant("from", start, zone)
    if since >= until:
        raise FieldError("from", f"expected an instant before {until.isoformat()}, got {since.isoformat()}")
    if until - since > MAX_RANGE:
        raise FieldError("from", f"expected at most {MAX_RANGE.days} days, got {(until - since).days}")
    return Filters(start=since, end=until)


def period_before(filters: Filters, start: str | None, end: str | None, zone: ZoneInfo) -> Filters:
    """The period that a range is compared with, by default the one that ends where it begins.

    As many whole months of the zone's calendar before whole months, else as long. The filters are the same.
    Raises FieldError.
    """
    until = filters.start if end is None else _instant("before_to", end, zone)
    if start is not None:
        since = _instant("before_from", start, zone)
    else:
        since = until - (filters.end - filters.start)
        first, last = (at.astimezone(zone) for at in (filters.start, filters.end))
        if end is None and (first.day, last.day) == (1, 1) and first.time() == last.time() == time():
            months = 12 * (last.year - first.year) + last.month - first.month
            place = 12 * first.year + first.month - 1 - months
            since = _first_instant(date(place // 12, place % 12 + 1, 1), zone)
    if since >= until:
        raise FieldError(
            "before_from", f"expected an instant before {until.isoformat()}, got {since.isoformat()}"
        )
    if until - since > MAX_RANGE:
        raise FieldError("before_from", f"expected at most {MAX_RANGE.days} days, got {(until - since).days}")
    return replace(filters, start=since, end=until)


def tags_of(given: Sequence[str]) -> tuple[str, ...]:
    """Tags as they are asked for. Raises FieldError."""
    for tag in given:
        if not _TAG.fullmatch(tag):
            raise FieldError(
                "tag", f"expected name=value or name, of letters, digits and . _ : / @ -, got {tag[:140]!r}"
            )
    return tuple(given)


def by_of(given: str) -> str:
    """What a series is split by. Raises FieldError."""
    if not _BY.fullmatch(given):
        names = ", ".join(BREAKDOWNS)
        raise FieldError("by", f"expected component, {names} or tag:NAME, got {given[:80]!r}")
    return given


def check_names(
    given: Iterable[tuple[str, str]], known: Collection[str], *, repeated: Collection[str] = ()
) -> None:
    """Refuse a parameter that nobody reads, and one that is given twice where one is read. Raises FieldError."""
    seen: set[str] = set()
    for name, _ in given:
        if name not in known:
            raise FieldError(name[:80], f"expected {nearest(name, known)}")
        if name in seen and name not in repeated:
            raise FieldError(name, "expected it once")
        seen.add(name)


def nearest(name: str, known: Collection[str]) -> str:
    """What was probably meant by a name that is none of the known: in words, for a message."""
    meant = get_close_matches(name, known, 1, 0.5)
    return f"{meant[0]}?" if meant else f"one of {', '.join(sorted(known))}"


def _instant(field: str, text: str, zone: ZoneInfo) -> datetime:
    try:
        if _DAY.fullmatch(text):
            day = date.fromisoformat(text)
            _check_year(field, day.year)
            return _first_instant(day, zone)
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        if isinstance(error, FieldError):
            raise
        raise FieldError(field, _EXPECTED.format(f"{text[:80]!r}")) from None
    if instant.tzinfo is None:
        raise FieldError(field, _EXPECTED.format(f"{text[:80]!r}, which has no zone"))
    _check_year(field, instant.year)
    return instant.astimezone(UTC)


def _first_instant(day: date, zone: ZoneInfo) -> datetime:
    # Noon is on the day wherever the clock is changed.
    return local_day(datetime(day.year, day.month, day.day, 12, tzinfo=zone), zone).astimezone(UTC)


_EXPECTED = "expected a day (2026-11-22) or an instant with its zone (2026-11-22T12:00:00Z), got {}"


def _check_year(field: str, year: int) -> None:
    if not _YEARS[0] <= year <= _YEARS[1]:
        raise FieldError(field, f"expected a year from {_YEARS[0]} to {_YEARS[1]}, got {year}")
