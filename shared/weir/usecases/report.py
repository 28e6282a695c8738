"""Rows for a reader: joined from the raw facts of a range, filtered, paged, summed.

The join happens at read, so a late half completes its row at the next look. The two halves of a request may
fall on both sides of midnight, and an async retry may come hours later: a range is read with a day's margin
on each side, and then cut by the rows' own time.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from weir.core.ledger.join import join
from weir.core.ledger.rawrecords import RawRecord
from weir.core.ledger.rows import Row
from weir.core.ledger.summary import summarise
from weir.core.pricing.prices import PriceBook

_MARGIN = timedelta(days=1)


class CursorError(ValueError):
    """A cursor that no page gave out."""


class FoundFacts(Protocol):
    """Raw records of some days, and the names of objects that could not be read."""

    @property
    def records(self) -> list[RawRecord]:
        """In any order, possibly repeated."""

    @property
    def unreadable(self) -> list[str]:
        """Empty, if all is well."""


class FactSource(Protocol):
    """Where raw facts are read from."""

    def facts(self, first: date, last: date) -> FoundFacts:
        """Every raw record of the days `first` to `last`, both included."""

    def count_poison(self) -> int:
        """How many records and batches were set aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which rows: from `start` (inclusive) to `end` (exclusive), UTC; None or empty does not filter.

    `outcome` "unknown" finds rows without one. Each of `tags` is `name=value`, or `name` for any value; all
    must hold.
    """

    start: datetime
    end: datetime
    outcome: str | None = None
    model: str | None = None
    tags: Sequence[str] = ()

    def hold(self, row: Row) -> bool:
        """Whether `row` is one of those asked for."""
        if not self.start <= row.at < self.end:
            return False
        if self.outcome is not None and (row.outcome or "unknown") != self.outcome:
            return False
        if self.model is not None and self.model not in (row.model_returned, row.model):
            return False
        return all(_has(row, tag) for tag in self.tags)


@dataclass(frozen=True, slots=True)
class Report:
    """The rows that were asked for, newest first, and what the reading could not read."""

    rows: list[Row]
    unreadable: list[str]
    logs_dropped: int  # platform.logsDropped records: the platform itself says that lines are missing


def read(source: FactSource, book: PriceBook, filters: Filters) -> Report:
    """The rows of a range. Raises what the source raises."""
    first, last = (filters.start - _MARGIN).date(), (filters.end + _MARGIN).date()
    found = source.facts(first, last)
    rows = [row for row in join(found.records, book) if filters.hold(row)]
    dropped = sum(
        record.kind == "platform.logsDropped" and filters.start <= record.at < filters.end
        for record in found.records
    )
    return Report(rows[::-1], found.unreadable, dropped)


def page(rows: Sequence[Row], cursor: str | None, limit: int) -> tuple[list[Row], str | None]:
    """At most `limit` rows after `cursor`, and the next page's cursor; rows that came since do not shift it.

    Raises CursorError.
    """
    if cursor is not None:
        before = _from_cursor(cursor)
        rows = [row for row in rows if _position(row) < before]
    listed = list(rows[:limit])
    return listed, _to_cursor(listed[-1]) if len(rows) > limit else None


def summary(source: FactSource, book: PriceBook, filters: Filters) -> dict[str, Any]:
    """The totals of a range, with how complete they are. Raises what the source raises."""
    report = read(source, book, filters)
    totals = summarise(report.rows, book.version)
    totals["completeness"] |= {
        "logs_dropped": report.logs_dropped,
        "set_aside": source.count_poison(),
        "unreadable_objects": len(report.unreadable),
    }
    return totals


def _has(row: Row, tag: str) -> bool:
    name, equals, value = tag.partition("=")
    return name in row.tags and (not equals or row.tags[name] == value)


def _position(row: Row) -> tuple[int, str]:
    return round(row.at.timestamp() * 1000), row.request_id


def _to_cursor(row: Row) -> str:
    at_ms, request_id = _position(row)
    return base64.urlsafe_b64encode(f"{at_ms}|{request_id}".encode()).decode().rstrip("=")


def _from_cursor(cursor: str) -> tuple[int, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at_ms, _, request_id = text.partition("|")
        return int(at_ms), request_id
    except (binascii.Error, ValueError) as error:
        raise CursorError("expected the next_cursor of an earlier page") from error


def utc(day_or_instant: date | datetime) -> datetime:
    """A day as its first instant in UTC; an instant in UTC."""
    if isinstance(day_or_instant, datetime):
        return day_or_instant.astimezone(UTC)
    return datetime(day_or_instant.year, day_or_instant.month, day_or_instant.day, tzinfo=UTC)
