"""Where things lie in the ledger's bucket, and how a day's facts are told from another state of the same day.

    facts/v1/kind=<kind>/dt=<UTC day of the record>/<sha256>.ndjson.gz   raw facts, written once
    poison/v1/dt=<UTC day, or unknown>/<sha256>.json.gz                  what could not be read
    rows/v1/dt=<UTC day>/rows.parquet                                    the day's join, replaced while open
    rows/v1/dt=<day it was found>/correction-<YYYY-MM>-<n>-<sha>.parquet what came after that month was closed
    closed/v1/<YYYY-MM>/dt=<UTC day>-<sha>.parquet, close.json           the snapshot; close.json is written last
    closed/v1/<YYYY-MM>/correction-<n>.parquet                           each month's corrections, numbered
    exports/v1/<job>/..., status.json                                    answers that are files
    completeness/v1/dt=<UTC day>.json                                    reports counted in the log against rows

Days are UTC days. A day's join reads `MARGIN` on each side of it: the records of a request may fall on both sides of
midnight, and an async retry may come hours later (Lambda keeps an asynchronous event for six hours).
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from hashlib import sha256

from weir.errors import CallerError

MARGIN = timedelta(days=1)
ROWS = "rows.parquet"
_DAY = re.compile(r"/dt=(\d{4}-\d{2}-\d{2})[-./]")
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


class MonthError(CallerError, ValueError):
    """What should be a month is none."""


# Folders of days: a day's name follows.
POISON = "poison/v1/"
ROW_DAYS = "rows/v1/dt="
COMPLETENESS_DAYS = "completeness/v1/dt="


def fact_days(kind: str) -> str:
    """The folder of days of one kind of fact."""
    return f"facts/v1/kind={kind}/dt="


def facts_folder(kind: str, day: date) -> str:
    """The folder of one kind and day."""
    return f"{fact_days(kind)}{day.isoformat()}"


def poison_folder(day: date | None) -> str:
    """The folder of what was set aside on a day; None is not known."""
    return f"{POISON}dt={'unknown' if day is None else day.isoformat()}"


def rows_key(day: date) -> str:
    """The day's compacted rows."""
    return f"{ROW_DAYS}{day.isoformat()}/{ROWS}"


def correction_copy_key(found: date, month: str, number: int, content: str) -> str:
    """Where a closed month's correction lies among the rows: on the day it was found."""
    return f"{ROW_DAYS}{found.isoformat()}/correction-{month}-{number:04d}-{content[:12]}.parquet"


def closed_folder(month: str) -> str:
    """Everything of one closed month."""
    return f"closed/v1/{month}/"


def closed_day_key(day: date, content: str) -> str:
    """The day's rows as they were when its month was closed; `content` is their sha256."""
    return f"{closed_folder(month_of(day))}dt={day.isoformat()}-{content[:12]}.parquet"


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
