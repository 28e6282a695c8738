"""The ledger's own functions are metered: their logs are read hour by hour, and become rows of their days.

What was counted of a day is kept as a document, hour by hour: a count of an hour replaces that hour's earlier one, as
the last lines of an hour come late. The day's rows are made of the whole document. Nobody writes a closed month.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from weir.ledger import s3_keys
from weir.ledger.duck import write_flat
from weir.ledger.facts import format_timestamp
from weir.ledger.metering import Quantities, metering_rows
from weir.ledger.rollups import roll_up
from weir.ledger.row_hash import describe_rows
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook

_HOUR = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Line(Protocol):
    """One line of a log group."""

    @property
    def timestamp_ms(self) -> int:
        """Since 1970, UTC."""

    @property
    def message(self) -> str:
        """The line."""


class Logs(Protocol):
    """Log groups that can be read whole."""

    def lines(self, group: str, start_ms: int, end_ms: int) -> Iterable[Line]:
        """Every line, `end_ms` not included."""


@dataclass(frozen=True, slots=True)
class Metered:
    """What one run counted: the hours up to `until`, and how many rows their days have."""

    until: datetime
    hours: int
    rows: int
    frozen: Sequence[date]

    def as_json(self) -> dict[str, Any]:
        """As it is logged and shown."""
        return {
            "metered_until": format_timestamp(self.until),
            "hours": self.hours,
            "rows": self.rows,
            "frozen": [day.isoformat() for day in self.frozen],
        }


def meter(
    groups: Sequence[str],
    logs: Logs,
    store: Store,
    book: PriceBook,
    *,
    now: datetime,
    hours: int,
    settle: timedelta,
    region: str | None,
    architecture: str | None,
    folder: Path,
    on_progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Metered:
    """Count the last `hours` of the ledger's own log groups, and write their days' rows. Raises LogsError, StoreError.

    A group's last part names its function. The last minutes (`settle`) are not counted: lines may be on their way.
    """
    until = now.astimezone(UTC) - settle
    start = (until - timedelta(hours=hours)).replace(minute=0, second=0, microsecond=0)
    counted: dict[datetime, dict[str, Quantities]] = {
        start + _HOUR * number: {} for number in range((until - start) // _HOUR + 1)
    }
    for number, group in enumerate(groups):
        on_progress(f"metering {group}", number, len(groups))
        function = group.rpartition("/")[2]
        for line in logs.lines(group, _milliseconds(start), _milliseconds(until)):
            at = _EPOCH + timedelta(milliseconds=line.timestamp_ms)
            hour = at.replace(minute=0, second=0, microsecond=0)
            counted[hour].setdefault(function, Quantities()).add_line(line.message)
    written, frozen = 0, []
    for day in sorted({hour.date() for hour in counted}):
        if store.closed(s3_keys.month_of(day)):
            frozen.append(day)
            continue
        of_day = {hour: found for hour, found in counted.items() if hour.date() == day}
        hours_of_day = _remember(store, day, of_day, until, now)
        written += _write_rows(
            store, day, hours_of_day, book, region=region, architecture=architecture, folder=folder
        )
    return Metered(until, len(counted), written, frozen)


def _remember(
    store: Store,
    day: date,
    counted: Mapping[datetime, Mapping[str, Quantities]],
    until: datetime,
    now: datetime,
) -> dict[str, Any]:
    known = store.read_json(s3_keys.metering_key(day)) or {}
    hours: dict[str, Any] = dict(known.get("hours", {}))
    for hour, functions in counted.items():
        hours[f"{hour:%Y-%m-%dT%H:00:00Z}"] = {
            name: found.as_json() for name, found in sorted(functions.items())
        }
    document = {
        "day": day.isoformat(),
        "counted_at": format_timestamp(now),
        "counted_until": format_timestamp(until),
        "hours": hours,
    }
    store.write_json(s3_keys.metering_key(day), document)
    return hours


def _write_rows(
    store: Store,
    day: date,
    hours: Mapping[str, Any],
    book: PriceBook,
    *,
    region: str | None,
    architecture: str | None,
    folder: Path,
) -> int:
    key = s3_keys.metering_rows_key(day)
    known = store.metadata(key)
    rows = list(metering_rows(hours, book, region=region, architecture=architecture))
    if not rows and known is None:
        return 0
    with TemporaryDirectory(dir=folder) as work:
        path = Path(work) / "metering.parquet"
        written = write_flat(path, rows, {"day": day.isoformat(), "price-book": book.version})
        # Asked again, because a month may be closed meanwhile. Where another run was quicker, the next one goes on.
        if not store.closed(s3_keys.month_of(day)):
            beside = {"rows": str(written), **describe_rows(path)}
            if store.upload(key, path, beside, once=known is None, replaces=known["etag"] if known else None):
                # After the rows, as a unit's: reports take no roll-up that is older than its rows.
                rollup = path.with_name("rollup.parquet")
                roll_up([path], rollup, {})
                store.upload(s3_keys.rollup_key(key), rollup)
    return written


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)
