"""Where things lie in the ledger's bucket, and how a day's facts are told from another state of the same day.

    landing/<Firehose's name>                                    what the log subscription brought, as it came
    facts/v2/hour=<UTC hour of the record>/<content>.parquet     facts, written once
    gathered/v1/hour=<UTC hour>/facts.parquet                    an hour's facts in one object: a copy, replaced
    dropped/v1/dt=<UTC day>/<ms>-<id>.json                       that the platform lost log lines
    poison/v1/dt=<UTC day, or unknown>/<sha256>.json.gz          what could not be read
    rows/v1/dt=<UTC day>/rows.parquet                            the day's join, replaced while open
    rows/v1/dt=<UTC day>/rows-<k>-of-<N>.parquet                 the same of a big day, in shards
    rows/v1/dt=<day it was found>/correction-<YYYY-MM>-<n>-<sha>.parquet  what came after that month was closed
    rows/v1/dt=<UTC day>/metering.parquet                        what the ledger itself cost, as rows
    metering/v1/dt=<UTC day>.json                                what its functions took, hour by hour
    rollups/v1/dt=<UTC day>/rollup....parquet, metering.parquet  sums of the rows of the same name
    closed/v1/<YYYY-MM>/rows/..., close.json                     the snapshot; close.json is written last
    closed/v1/<YYYY-MM>/correction-<n>.parquet                   each month's corrections, numbered
    exports/v1/<job>/..., status.json                            answers that are files
    completeness/v1/dt=<UTC day>.json                            reports counted in the log against rows
    prices/v1/books/<version>.json.gz                            the price books that made the rows
    prices/v1/aws/<Region>.json                                  AWS's prices, as they were refreshed

The first layout kept facts as `facts/v1/kind=<kind>/dt=<UTC day>/<sha256>.ndjson.gz`; they are read as before.

Days and hours are UTC. A day's join reads `MARGIN` on each side of it: the records of a request may fall on both sides
of midnight, and an async retry may come hours later (Lambda keeps an asynchronous event for six hours).
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

from weir.errors import CallerError

MARGIN = timedelta(hours=7)
_OLD_MARGIN = timedelta(days=1)  # of the first layout, whose folders are days
ROWS = "rows.parquet"
METERING = "metering.parquet"
_DAY = re.compile(r"/(?:dt|hour)=(\d{4}-\d{2}-\d{2})[-./T]")
_HOUR = re.compile(r"/hour=(\d{4}-\d{2}-\d{2}T\d{2})/")
_SHARD = re.compile(r"/rows-(\d{5})-of-(\d{5})\.parquet$")
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


class MonthError(CallerError, ValueError):
    """What should be a month is none."""


# Folders of days: a day's name follows.
LANDING = "landing/"
FACT_HOURS = "facts/v2/hour="
GATHERED_HOURS = "gathered/v1/hour="
OLD_FACTS = "facts/v1/"
POISON = "poison/v1/"
DROPPED_DAYS = "dropped/v1/dt="
ROW_DAYS = "rows/v1/dt="
ROLLUP_DAYS = "rollups/v1/dt="
COMPLETENESS_DAYS = "completeness/v1/dt="
METERING_DAYS = "metering/v1/dt="


def old_fact_days(kind: str) -> str:
    """The folder of days of one kind of fact, in the first layout."""
    return f"{OLD_FACTS}kind={kind}/dt="


def hour_name(hour: datetime) -> str:
    """An hour as keys say it."""
    return f"{hour:%Y-%m-%dT%H}"


def fact_key(hour: datetime, name: str) -> str:
    """One file of facts; `name` says what it holds."""
    return f"{FACT_HOURS}{hour_name(hour)}/{name}.parquet"


def gathered_key(hour: str) -> str:
    """An hour's facts in one object."""
    return f"{GATHERED_HOURS}{hour}/facts.parquet"


def dropped_key(at: datetime, event_id: str) -> str:
    """That the platform lost log lines at a time."""
    return f"{DROPPED_DAYS}{at.date().isoformat()}/{round(at.timestamp() * 1000)}-{event_id}.json"


def hours_around(first: date, last: date) -> tuple[str, str]:
    """The first and the last hour that the joins of the days `first` to `last` read."""
    start = datetime(first.year, first.month, first.day, tzinfo=UTC) - MARGIN
    end = datetime(last.year, last.month, last.day, 23, tzinfo=UTC) + MARGIN
    return hour_name(start), hour_name(end)


def old_days_around(first: date, last: date) -> tuple[date, date]:
    """The first and the last day of the first layout that these joins read."""
    return first - _OLD_MARGIN, last + _OLD_MARGIN


def hour_of(key: str) -> str | None:
    """The UTC hour in a key; None where it has none."""
    found = _HOUR.search(key)
    return found[1] if found else None


def poison_folder(day: date | None) -> str:
    """The folder of what was set aside on a day; None is not known."""
    return f"{POISON}dt={'unknown' if day is None else day.isoformat()}"


def rows_key(day: date, shard: int = 0, shards: int = 1) -> str:
    """The rows of one shard of a day."""
    name = ROWS if shards == 1 else f"rows-{shard:05d}-of-{shards:05d}.parquet"
    return f"{ROW_DAYS}{day.isoformat()}/{name}"


def shard_of(key: str) -> tuple[int, int] | None:
    """Which shard's rows a key holds, and of how many; None where it holds other rows than those of requests."""
    if key.endswith(f"/{ROWS}"):
        return 0, 1
    found = _SHARD.search(key)
    return (int(found[1]), int(found[2])) if found else None


def metering_rows_key(day: date) -> str:
    """What the ledger itself cost on a day, as rows."""
    return f"{ROW_DAYS}{day.isoformat()}/{METERING}"


def metering_key(day: date) -> str:
    """What its functions took on a day."""
    return f"{METERING_DAYS}{day.isoformat()}.json"


def book_key(version: str) -> str:
    """One price book that made rows."""
    return f"prices/v1/books/{version}.json.gz"


def is_metering(key: str) -> bool:
    """Whether a key among the rows holds what the ledger itself cost."""
    return key.endswith(f"/{METERING}")


def is_correction(key: str) -> bool:
    """Whether a key among the rows holds corrections."""
    return shard_of(key) is None and not is_metering(key)


def rollup_key(rows: str) -> str:
    """The roll-up of the rows with this key."""
    return rows.replace("rows/v1/", "rollups/v1/").replace("/rows", "/rollup")


def correction_copy_key(found: date, month: str, number: int, content: str) -> str:
    """Where a closed month's correction lies among the rows: on the day it was found."""
    return f"{ROW_DAYS}{found.isoformat()}/correction-{month}-{number:04d}-{content[:12]}.parquet"


def closed_folder(month: str) -> str:
    """Everything of one closed month."""
    return f"closed/v1/{month}/"


def closed_rows_key(month: str, key: str, content: str) -> str:
    """The rows with `key` as they were when the month was closed; `content` is a hash of them."""
    folder, _, name = key.removeprefix("rows/v1/").rpartition("/")
    return f"{closed_folder(month)}rows/{folder}/{name.removesuffix('.parquet')}-{content[:12]}.parquet"


def close_key(month: str) -> str:
    """The document that says that a month is closed."""
    return f"{closed_folder(month)}close.json"


def correction_key(month: str, number: int) -> str:
    """A closed month's correction, numbered from 1: only one writer can have a number."""
    return f"{closed_folder(month)}correction-{number:04d}.parquet"


def export_key(job: str, name: str) -> str:
    """One file of an export; `status.json` tells how far it is."""
    return f"exports/v1/{job}/{name}"


def completeness_key(day: date) -> str:
    """The day's independent count."""
    return f"{COMPLETENESS_DAYS}{day.isoformat()}.json"


def price_list_key(region: str) -> str:
    """AWS's prices of a Region, as they were refreshed."""
    return f"prices/v1/aws/{region}.json"


def day_of(key: str) -> date | None:
    """The UTC day in a key; None where it has none."""
    found = _DAY.search(key)
    return date.fromisoformat(found[1]) if found else None


def days(first: date, last: date) -> Iterator[date]:
    """Every day from `first` to `last`, both included."""
    day = first
    while day <= last:
        yield day
        day += timedelta(days=1)


def month_of(day: date) -> str:
    """YYYY-MM."""
    return day.isoformat()[:7]


def month_days(month: str) -> tuple[date, date]:
    """The first and the last day of YYYY-MM. Raises MonthError."""
    if not _MONTH.fullmatch(month) or month.startswith("0000"):
        raise MonthError(f"expected a month YYYY-MM, got {month[:40]!r}")
    first = date.fromisoformat(f"{month}-01")
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def fingerprint(keys: Iterable[str]) -> str:
    """What a day's rows were made of: facts are written once, so the names of their objects say it all."""
    return sha256("\n".join(sorted(set(keys))).encode()).hexdigest()
