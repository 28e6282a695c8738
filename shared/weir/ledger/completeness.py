"""Is every billed request in the ledger? The log groups are counted again, apart from the subscription that feeds it.

A subscription can skip: while its filter is disabled (after an AccessDenied, up to ten minutes) lines are never sent.
So `platform.report` is counted in the log group itself, hour by hour, and compared with what is stored; a line whose
event id is not stored is ingested as a batch of a subscription would be. Ids are the same on both ways, so nothing is
counted twice, and what a line must be to count is decided in one place, core.ledger.logbatch.

The last minutes are not counted (`settle`): their lines may still be on the way. A count of an hour replaces that
hour's earlier count; the hours of a day that are not counted this time stay as they were.
"""

import base64
import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any, Protocol

from weir.ledger.facts import format_timestamp
from weir.ledger.ingest import FactStore, ingest
from weir.ledger.log_records import RawRecord
from weir.ledger.log_subscription import LogBatch, read_batch

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


class Stored(Protocol):
    """An object of facts."""

    @property
    def key(self) -> str:
        """Its name."""


class CompletenessStore(FactStore, Protocol):
    """Where facts and counts are kept."""

    def fact_objects(self, first: date, last: date) -> Sequence[Stored]:
        """The objects with facts of some days."""

    def records(self, keys: Sequence[str], unreadable: list[str]) -> Iterator[RawRecord]:
        """Their records; keys that cannot be read are appended to `unreadable`."""

    def put_completeness(self, day: date, document: Mapping[str, Any]) -> None:
        """Replace a day's counts."""

    def completeness(self, first: date, last: date) -> dict[date, dict[str, Any]]:
        """The counts of some days, where there are any."""


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
    store: CompletenessStore,
    *,
    now: datetime,
    hours: int = 26,
    settle: timedelta = SETTLE,
    region: str | None = None,
    on_progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Completeness:
    """Count the last `hours` of some log groups, bring in what is missing, and write the counts of each day.

    If reading the logs or the store fails, the hours counted until then are written before the error is raised.
    """
    until = now.astimezone(UTC) - settle
    start = (until - timedelta(hours=hours)).replace(minute=0, second=0, microsecond=0)
    unreadable: list[str] = []
    counts: list[HourCount] = []
    begins = [start + _HOUR * number for number in range((until - start) // _HOUR + 1)]
    try:
        for day, of_day in groupby(begins, key=datetime.date):
            known = _known(store, day, set(groups), unreadable)
            for begin in of_day:
                on_progress(f"counting {format_timestamp(begin)}", len(counts), len(begins))
                count = HourCount(begin, min(begin + _HOUR, until))
                for group in groups:
                    _count(group, logs, store, known, count, region)
                counts.append(count)
    finally:
        _write(store, groups, counts, now)
    return Completeness(until, counts, unreadable)


@dataclass(slots=True)
class _Known:
    """The event ids of what is stored of a day."""

    # Hashes, because a day of a million requests has four million ids of 56 characters.
    ids: set[int] = field(default_factory=set)

    def add(self, record: RawRecord) -> bool:
        """Take note of a record; False if it is known."""
        found = hash((record.log_group, record.event_id))
        if found in self.ids:
            return False
        self.ids.add(found)
        return True


def _known(store: CompletenessStore, day: date, groups: set[str], unreadable: list[str]) -> _Known:
    known = _Known()
    keys = [entry.key for entry in store.fact_objects(day, day)]
    for record in store.records(keys, unreadable):
        if record.log_group in groups:
            known.add(record)
    return known


def _count(
    group: str, logs: Logs, store: CompletenessStore, known: _Known, count: HourCount, region: str | None
) -> None:
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
    group: str,
    events: list[LogEvent],
    store: CompletenessStore,
    known: _Known,
    count: HourCount,
    region: str | None,
) -> None:
    events.sort(key=lambda event: event.stream)  # stable: the order within a stream stays
    for stream, of_stream in groupby(events, key=lambda event: event.stream):
        lines = list(of_stream)
        batch = read_batch(_event(group, stream, lines), region=region)
        missing = {record.event_id for record in batch.records if known.add(record)}
        lost = sum(record.kind == _REPORT and record.event_id in missing for record in batch.records)
        reports = sum(record.kind == _REPORT for record in batch.records)
        count.reports_in_log += reports
        count.reports_stored += reports - lost
        count.set_aside += len(batch.poison)
        if not missing:
            continue
        ingest(_event(group, stream, [line for line in lines if line.id in missing]), store, region)
        for line in _poison(batch, lines):
            # One by one: a poison's name depends on its place in the batch, and must not on what else is missing.
            ingest(_event(group, stream, [line]), store, region)
        count.backfilled += lost
        count.backfilled_records += len(missing)


def _poison(batch: LogBatch, lines: Sequence[LogEvent]) -> Iterator[LogEvent]:
    aside = {poison.event_id for poison in batch.poison}
    return (line for line in lines if line.id in aside)


def _event(group: str, stream: str, lines: Iterable[LogEvent]) -> dict[str, Any]:
    """The lines as a subscription delivers them."""
    document = {
        "messageType": "DATA_MESSAGE",
        "logGroup": group,
        "logStream": stream,
        "logEvents": [
            {"id": line.id, "timestamp": line.timestamp_ms, "message": line.message} for line in lines
        ],
    }
    data = gzip.compress(json.dumps(document).encode(), compresslevel=1, mtime=0)
    return {"awslogs": {"data": base64.b64encode(data).decode()}}


def _write(
    store: CompletenessStore, groups: Sequence[str], counts: Sequence[HourCount], now: datetime
) -> None:
    for day, of_day in groupby(counts, key=lambda count: count.hour.date()):
        before = store.completeness(day, day).get(day, {})
        hours: dict[str, dict[str, Any]] = dict(before.get("hours", {}))
        for count in of_day:
            name = f"{count.hour:%Y-%m-%dT%H:00:00Z}"
            hours[name] = count.as_json(hours.get(name, {}))
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
