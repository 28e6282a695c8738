"""Is every billed request in the ledger? Reports are counted by other means than the subscription that feeds it.

A subscription can skip: while its filter is disabled (after an AccessDenied, up to ten minutes) lines are never sent.
CloudWatch counts `platform.report` itself, by a metric filter, hour by hour, and every unit of rows says how many are
stored. Only where the counts differ, or there is no count, is the hour's log read: a line whose event id is not stored
is then stored as the subscription's would be. Ids are the same on both ways, so nothing is counted twice, and what a
line must be to count is decided in one place, log_subscription.py.

The last minutes are not counted (`settle`): their lines may still be on the way. A count of an hour replaces that
hour's earlier count; the hours of a day that are not counted this time stay as they were.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from weir.ledger import s3_keys
from weir.ledger.compact import REPORTS, current_rows
from weir.ledger.fact_files import event_ids, is_readable
from weir.ledger.facts import format_timestamp
from weir.ledger.ingest import store_records
from weir.ledger.log_records import RawRecord
from weir.ledger.log_subscription import read_events
from weir.ledger.store import Store

SETTLE = timedelta(minutes=15)
_HOUR = timedelta(hours=1)
_REPORT = "platform.report"
# Held at a time, whatever an hour has: a batch of more than 64 MB would be refused whole, and a character takes up to
# twelve bytes of JSON.
_MAX_EVENTS, _MAX_CHARACTERS = 5_000, 4 * 1024**2


class LogEvent(Protocol):
    """One line of a log group."""

    @property
    def id(self) -> str:
        """CloudWatch's, the same in a subscription's batch."""

    @property
    def stream(self) -> str:
        """Its log stream."""

    @property
    def timestamp_ms(self) -> int:
        """Since 1970, UTC."""

    @property
    def message(self) -> str:
        """The line."""


class Logs(Protocol):
    """Log groups that can be read without the subscription."""

    def events(self, group: str, start_ms: int, end_ms: int) -> Iterable[LogEvent]:
        """Lines of the kinds that the ledger keeps, `end_ms` not included."""


class Counts(Protocol):
    """Reports as CloudWatch counts them when they are logged."""

    def reports(self, start: datetime, end: datetime) -> Mapping[datetime, int]:
        """Of each UTC hour that begins in the range; an hour without a count is not there."""


@dataclass(slots=True)
class HourCount:
    """Reports of one hour (UTC), up to `until`: in the log groups, and of these stored before this count.

    The others, `backfilled`, were brought in now, with `backfilled_records` of all kinds. `set_aside` lines claim to
    be records and are none: they are put aside as poison with what is brought in beside them.
    """

    hour: datetime
    until: datetime
    reports_in_log: int = 0
    reports_stored: int = 0
    backfilled: int = 0
    backfilled_records: int = 0
    set_aside: int = 0

    @property
    def name(self) -> str:
        """As the day's document has it."""
        return f"{self.hour:%Y-%m-%dT%H:00:00Z}"

    def as_json(self, earlier: Mapping[str, Any]) -> dict[str, Any]:
        """The hour in the day's document; what was backfilled in `earlier` counts of it is added."""
        return {
            "until": format_timestamp(self.until),
            "reports_in_log": self.reports_in_log,
            "reports_stored": self.reports_stored + self.backfilled,
            "backfilled": self.backfilled + int(earlier.get("backfilled", 0)),
            "set_aside": self.set_aside,
        }


@dataclass(frozen=True, slots=True)
class Completeness:
    """What was counted; `unreadable` names objects of facts, whose records look missing."""

    counted_until: datetime
    hours: Sequence[HourCount]
    unreadable: Sequence[str] = field(default_factory=tuple)

    @property
    def reports_in_log(self) -> int:
        """All that were counted."""
        return sum(hour.reports_in_log for hour in self.hours)

    @property
    def reports_stored(self) -> int:
        """Those of them that had arrived without this count."""
        return sum(hour.reports_stored for hour in self.hours)

    @property
    def percent(self) -> Decimal | None:
        """The share that had arrived without this count, rounded down to 4 places; None where there was no report."""
        counted = self.reports_in_log
        arrived = sum(min(hour.reports_stored, hour.reports_in_log) for hour in self.hours)
        return Decimal(arrived * 1_000_000 // counted).scaleb(-4) if counted else None

    def as_json(self) -> dict[str, Any]:
        """The sums."""
        return {
            "counted_until": format_timestamp(self.counted_until),
            "hours": len(self.hours),
            "reports_in_log": self.reports_in_log,
            "reports_stored": self.reports_stored,
            "backfilled": sum(hour.backfilled for hour in self.hours),
            "backfilled_records": sum(hour.backfilled_records for hour in self.hours),
            "set_aside": sum(hour.set_aside for hour in self.hours),
            "unreadable": list(self.unreadable),
        }


def reconcile_completeness(
    groups: Sequence[str],
    logs: Logs,
    store: Store,
    *,
    now: datetime,
    hours: int = 26,
    settle: timedelta = SETTLE,
    region: str | None = None,
    counts: Counts | None = None,
    on_progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Completeness:
    """Count the last `hours` of some log groups, bring in what is missing, and write the counts of each day.

    If reading the logs or the store fails, the hours counted until then are written before the error is raised.
    """
    until = now.astimezone(UTC) - settle
    start = (until - timedelta(hours=hours)).replace(minute=0, second=0, microsecond=0)
    counted = counts.reports(start, until) if counts is not None else {}
    unreadable: list[str] = []
    found: list[HourCount] = []
    begins = [start + _HOUR * number for number in range((until - start) // _HOUR + 1)]
    try:
        for day, of_day in groupby(begins, key=datetime.date):
            stored = _stored_reports(store, day)
            for begin in of_day:
                on_progress(f"counting {format_timestamp(begin)}", len(found), len(begins))
                count = HourCount(begin, min(begin + _HOUR, until))
                logged = counted.get(begin) if count.until == begin + _HOUR else None
                if logged is not None and logged == stored[begin.hour]:
                    count.reports_in_log = count.reports_stored = logged
                else:
                    known = _known(store, begin, unreadable)
                    for group in groups:
                        _count(group, logs, store, known, count, region)
                found.append(count)
    finally:
        _write(store, groups, found, now)
    return Completeness(until, found, unreadable)


def _stored_reports(store: Store, day: date) -> list[int]:
    """How many reports the day's rows were made of, in each hour."""
    units = current_rows(store.row_objects(day, day)).get(day, ())
    listed = [json.loads((store.metadata(entry.key) or {}).get(REPORTS, "[]")) for entry in units]
    return [sum(hour) for hour in zip(*filter(None, listed), strict=True)] or [0] * 24


@dataclass(slots=True)
class _Known:
    """The event ids of what is stored of an hour."""

    # Hashes, because an hour of a million requests has four million ids of 56 characters.
    ids: set[int] = field(default_factory=set)

    def add(self, log_group: str, event_id: str) -> bool:
        """Take note of a record; False if it is known."""
        found = hash((log_group, event_id))
        if found in self.ids:
            return False
        self.ids.add(found)
        return True


def _known(store: Store, hour: datetime, unreadable: list[str]) -> _Known:
    known, name = _Known(), s3_keys.hour_name(hour)
    listed = store.fact_objects(hour.date(), hour.date())
    keys = [entry.key for entry in listed if s3_keys.hour_of(entry.key) == name]
    with TemporaryDirectory() as folder:
        paths = {key: Path(folder) / f"{number}.parquet" for number, key in enumerate(keys)}
        store.download_all(paths)
        broken = [key for key, path in paths.items() if not is_readable(path)]
        unreadable += broken
        for group, event_id in event_ids([path for key, path in paths.items() if key not in broken]):
            known.add(group, event_id)
    old = [
        entry.key
        for entry in listed
        if s3_keys.hour_of(entry.key) is None and s3_keys.day_of(entry.key) == hour.date()
    ]
    for record in store.old_records(old, unreadable):
        known.add(record.log_group, record.event_id)
    return known


def _count(group: str, logs: Logs, store: Store, known: _Known, count: HourCount, region: str | None) -> None:
    held: list[LogEvent] = []
    characters = 0
    for event in logs.events(group, _milliseconds(count.hour), _milliseconds(count.until)):
        held.append(event)
        characters += len(event.message)
        if len(held) >= _MAX_EVENTS or characters >= _MAX_CHARACTERS:
            _compare(group, held, store, known, count, region)
            held, characters = [], 0
    _compare(group, held, store, known, count, region)


def _compare(
    group: str, events: list[LogEvent], store: Store, known: _Known, count: HourCount, region: str | None
) -> None:
    missing: list[RawRecord] = []
    for event in events:
        # One by one: a poison's name depends on its place in the batch, and must not on what else is read.
        line = {"id": event.id, "timestamp": event.timestamp_ms, "message": event.message}
        batch = read_events([line], group, event.stream, region)
        for record in batch.records:
            is_report = record.kind == _REPORT
            count.reports_in_log += is_report
            if known.add(record.log_group, record.event_id):
                missing.append(record)
                count.backfilled += is_report
            else:
                count.reports_stored += is_report
        for poison in batch.poison:
            count.set_aside += 1
            store.write_poison(poison, datetime.fromtimestamp(event.timestamp_ms / 1000, UTC).date())
    store_records(missing, store)
    count.backfilled_records += len(missing)


def _write(store: Store, groups: Sequence[str], counts: Sequence[HourCount], now: datetime) -> None:
    for day, of_day in groupby(counts, key=lambda count: count.hour.date()):
        before = store.completeness(day, day).get(day, {})
        hours: dict[str, dict[str, Any]] = dict(before.get("hours", {}))
        for count in of_day:
            hours[count.name] = count.as_json(hours.get(count.name, {}))
        document = {
            "day": day.isoformat(),
            "counted_at": format_timestamp(now),
            "counted_until": max(entry["until"] for entry in hours.values()),
            "log_groups": sorted(groups),
            "hours": hours,
        }
        store.put_completeness(day, document)


def _milliseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
