"""Closing a month: an immutable snapshot, and what comes later as corrections on the day that it is found.

`close` copies every day's rows, names the sha256 of each, and writes `close.json` last and only once: a month is closed
when it is there. From then on nobody writes the days' rows again. `correct` joins the days whose facts have changed
since, and books the differences to the snapshot and the corrections until now. Corrections are numbered, and a number
can be written once: of two runs one wins, and one that is cut off between its two writes is finished by the next.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from weir.errors import CallerError
from weir.ledger import s3_keys
from weir.ledger.compact import (
    Progress,
    are_gone,
    around,
    build_day,
    fingerprint_of,
    is_rows,
    is_stale,
    silent,
)
from weir.ledger.corrections import corrections_sql, summed, totals_sql
from weir.ledger.duck import connect, key_values, open_ledger, parquet, write_query, write_rows
from weir.ledger.facts import format_timestamp
from weir.ledger.store import Store, Stored
from weir.pricing.money import plain
from weir.pricing.price_book import PriceBook


class CloseError(CallerError, ValueError):
    """A month cannot be closed, or be corrected; says why, and what to do."""


@dataclass(slots=True)
class Verified:
    """What was compared with a month's closing document; the month holds if `problems` is empty."""

    month: str
    days: int = 0
    corrections: int = 0
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Everything, and whether it holds."""
        return {
            "month": self.month,
            "holds": not self.problems,
            "days": self.days,
            "corrections": self.corrections,
            "problems": self.problems,
        }


@dataclass(frozen=True, slots=True)
class Corrected:
    """What one look at a closed month found; without a number nothing had changed."""

    month: str
    number: int | None = None
    days: Sequence[date] = ()
    rows: int = 0

    def as_json(self) -> dict[str, Any]:
        """As it is logged and shown."""
        days = [day.isoformat() for day in self.days]
        return {"month": self.month, "number": self.number, "days": days, "rows": self.rows}


def close(
    store: Store, month: str, now: datetime, folder: Path, on_progress: Progress = silent
) -> dict[str, Any]:
    """Close YYYY-MM and return its document; that of a closed month is returned as it is.

    Raises CloseError where the month is not over (a request may run over midnight, so a day is waited for) or a day's
    rows are not those of its facts; MonthError; StoreError.
    """
    first, last = s3_keys.month_days(month)
    known = store.closed(month)
    if known is not None:
        return known
    over = datetime.combine(last + timedelta(days=1) + s3_keys.MARGIN, datetime.min.time(), UTC)
    if now < over:
        raise CloseError(
            f"{month} can be closed from {format_timestamp(over)} on; it is {format_timestamp(now)}"
        )
    rows = {s3_keys.day_of(entry.key): entry for entry in store.row_objects(first, last) if is_rows(entry)}
    days: dict[str, Any] = {}
    _refuse_stale(store, month, rows)
    with TemporaryDirectory(dir=folder) as work:
        files = []
        for number, (day, entry) in enumerate(sorted(rows.items(), key=lambda item: item[1].key)):
            on_progress(f"close {day}", number, len(rows))
            path = Path(work) / f"{day}.parquet"
            days[str(day)] = _snapshot(store, entry, path)
            files.append(path)
        document = {
            "month": month,
            "closed_at": format_timestamp(now),
            "currency": "USD",
            "days": days,
            **_totals(files),
            "completeness": _completeness(store.completeness(first, last)),
        }
    store.write_json(s3_keys.close_key(month), document, once=True)
    on_progress(f"close {month}", len(rows), len(rows))
    # Read back: where another run was quicker, its document is the month's.
    return store.closed(month) or document


def verify(store: Store, month: str, folder: Path, on_progress: Progress = silent) -> Verified:
    """Compare a closed month's files, and the rows that readers see, with its document.

    Raises CloseError where the month is open; MonthError; StoreError.
    """
    first, last = s3_keys.month_days(month)
    document = _document(store, month)
    found = Verified(month)
    rows = {
        str(s3_keys.day_of(entry.key)): entry.key
        for entry in store.row_objects(first, last)
        if is_rows(entry)
    }
    with TemporaryDirectory(dir=folder) as work:
        path = Path(work) / "day.parquet"
        for number, (day, member) in enumerate(sorted(document["days"].items())):
            on_progress(f"verify {day}", number, len(document["days"]))
            found.days += 1
            for key in (member["key"], rows.pop(day, s3_keys.rows_key(date.fromisoformat(day)))):
                actual = _sha256_of(store, key, path)
                if actual != member["sha256"]:
                    found.problems.append(
                        f"{key}: expected sha256 {member['sha256']}, got {actual or 'nothing'}"
                    )
        for key in sorted(rows.values()):
            store.download(key, path)
            if _count(path):
                found.problems.append(
                    f"{key}: expected no rows, as when the month was closed, got {_count(path)}"
                )
        for entry in _corrections(store, month):
            found.corrections += 1
            expected = _sha256_of(store, entry.key, path)
            copy = _copy_key(month, entry, path) if expected else None
            if copy is not None and _sha256_of(store, copy, path) != expected:
                found.problems.append(f"{copy}: is not {entry.key}")
    on_progress(f"verify {month}", found.days, found.days)
    return found


def correct(
    store: Store,
    book: PriceBook,
    month: str,
    now: datetime,
    folder: Path,
    on_progress: Progress = silent,
    *,
    prices: bool = False,
) -> Corrected:
    """Book what has come to a closed month since: requests whose facts are others now; with `prices`, all of them.

    Raises CloseError where the month is open; MonthError; StoreError.
    """
    first, last = s3_keys.month_days(month)
    document = _document(store, month)
    with TemporaryDirectory(dir=folder) as work:
        _restore(store, document, first, last, Path(work))
        earlier = _earlier(store, month, Path(work))
        known = {
            day: {"facts": kept["facts"], "objects": kept["objects"]}
            for day, kept in document["days"].items()
        }
        for listed in key_values(earlier, "days"):  # the files are in order of their numbers
            known.update(json.loads(listed))
        facts = store.fact_objects(first - s3_keys.MARGIN, last + s3_keys.MARGIN)
        objects = {day: around(facts, day) for day in s3_keys.days(first, last)}
        changed = [
            day
            for day, found in objects.items()
            if is_stale(found, known.get(str(day)))
            or (prices and found and not are_gone(found, known.get(str(day), {})))
        ]
        if not changed:
            return Corrected(month)
        fresh, booked = [], list(earlier)
        for number, day in enumerate(changed):
            on_progress(f"correct {day}", number, len(changed))
            fresh.append(
                build_day(store, book, day, Path(work) / f"{day}.fresh.parquet", objects=objects[day]).path
            )
            if str(day) in document["days"]:
                booked.append(Path(work) / f"{day}.booked.parquet")
                store.download(document["days"][str(day)]["key"], booked[-1])
        path = Path(work) / "correction.parquet"
        metadata = {
            "corrects": month,
            "found": now.date().isoformat(),
            "price-book": book.version,
            "days": json.dumps(
                {
                    str(day): {"facts": fingerprint_of(objects[day]), "objects": str(len(objects[day]))}
                    for day in changed
                }
            ),
        }
        with connect(threads=1, spill=Path(work)) as connection:
            sql = corrections_sql(parquet(fresh), parquet(booked), month, changed, now, prices=prices)
            write_query(connection, path, sql, metadata)
        rows = _count(path)
        if prices and not rows and not any(is_stale(objects[day], known.get(str(day))) for day in changed):
            return Corrected(month)
        number = len(earlier) + 1
        beside = {"found": now.date().isoformat(), "rows": str(rows)}
        if not store.upload(s3_keys.correction_key(month, number), path, beside, once=True):
            return Corrected(
                month
            )  # another run booked it at the same time; what it did not see, the next run does
        if rows:
            store.upload(_copy_name(month, number, now.date(), path), path, beside, once=True)
        return Corrected(month, number, tuple(changed), rows)


def closed_months(store: Store, first: date, last: date) -> list[str]:
    """The closed months among those of the days `first` to `last`. Raises StoreError."""
    months = sorted({s3_keys.month_of(day) for day in s3_keys.days(first, last)})
    return [month for month in months if store.closed(month) is not None]


def booked_files(store: Store, month: str, day: date, folder: Path) -> list[Path]:
    """The files of a closed day as they are booked, its month's corrections with them. Raises StoreError."""
    member = _document(store, month)["days"].get(str(day))
    files = _earlier(store, month, folder)
    if member:
        files.append(folder / f"{day}.booked.parquet")
        store.download(member["key"], files[-1])
    return files


def _document(store: Store, month: str) -> dict[str, Any]:
    document = store.closed(month)
    if document is None:
        raise CloseError(f"{month} is open: there is no {s3_keys.close_key(month)}")
    return document


def _refuse_stale(store: Store, month: str, rows: Mapping[date | None, Stored]) -> None:
    first, last = s3_keys.month_days(month)
    facts = store.fact_objects(first - s3_keys.MARGIN, last + s3_keys.MARGIN)
    stale = [
        day
        for day in s3_keys.days(first, last)
        if is_stale(around(facts, day), store.metadata(rows[day].key) if day in rows else None)
    ]
    if stale:
        listed = ", ".join(str(day) for day in stale[:5]) + (", ..." if len(stale) > 5 else "")
        raise CloseError(
            f"{month}: expected every day compacted, got {len(stale)} whose rows are not those of their facts"
            f" ({listed}): compact {first} to {last} first"
        )


def _restore(store: Store, document: Mapping[str, Any], first: date, last: date, folder: Path) -> None:
    """Put back the rows of a closed day that somebody has written since.

    A compaction that began before the month was closed may end after it; its facts are then late, like others.
    """
    path = folder / "frozen.parquet"
    for entry in store.row_objects(first, last):
        member = document["days"].get(str(s3_keys.day_of(entry.key)))
        if not is_rows(entry) or (member and member["etag"] == entry.etag):
            continue
        actual, frozen = _sha256_of(store, entry.key, path), member["sha256"] if member else None
        if actual == frozen or (member is None and not _count(path)):
            continue
        if member:
            store.download(member["key"], path)
        else:
            write_rows(path, (), {})
        store.upload(entry.key, path, replaces=entry.etag)


def _snapshot(store: Store, entry: Stored, path: Path) -> dict[str, Any]:
    store.download(entry.key, path)
    sha256, beside = _sha256(path), store.metadata(entry.key) or {}
    day = s3_keys.day_of(entry.key)
    assert day is not None
    # Named by content: what an attempt that was cut off left behind can neither be taken for this nor stand in its way.
    key = s3_keys.closed_day_key(day, sha256)
    store.upload(key, path, once=True)
    return {
        "key": key,
        "sha256": sha256,
        "etag": beside.get("etag"),
        "bytes": path.stat().st_size,
        "rows": int(beside.get("rows", 0)),
        "facts": beside.get("facts"),
        "objects": beside.get("objects", "0"),
        "price_book_version": beside.get("price-book"),
        "unreadable": key_values([path], "unreadable"),
    }


def _totals(files: Sequence[Path]) -> dict[str, Any]:
    with open_ledger(files) as connection:
        requests, *sums = connection.execute(totals_sql()).fetchall()[0]
        statuses = connection.execute(
            "SELECT join_status, COUNT(*) FROM ledger GROUP BY 1 ORDER BY 1"
        ).fetchall()
        (unpriced,) = connection.execute(
            "SELECT COUNT(*) FROM ledger WHERE cardinality(unpriced) > 0"
        ).fetchall()[0]
        versions = connection.execute(
            "SELECT DISTINCT price_book_version FROM ledger WHERE price_book_version IS NOT NULL ORDER BY 1"
        ).fetchall()
    totals = dict(zip(summed(), sums, strict=True))
    as_text = {
        name: None if value is None else value if isinstance(value, int) else plain(value)
        for name, value in totals.items()
    }
    return {
        "price_book_versions": [version for (version,) in versions],
        "totals": {"requests": requests, **as_text},
        "join_status": dict(statuses),
        "unpriced_rows": unpriced,
    }


def _completeness(counted: Mapping[date, Mapping[str, Any]]) -> dict[str, Any]:
    """The independent counts of the month's days as they stood, whatever is in them."""
    return {day.isoformat(): dict(document) for day, document in sorted(counted.items())}


def _corrections(store: Store, month: str) -> list[Stored]:
    return list(store.objects(f"{s3_keys.closed_folder(month)}correction-"))


def _earlier(store: Store, month: str, folder: Path) -> list[Path]:
    """The corrections until now, in order; a copy among the rows that is missing is written."""
    files = []
    for number, entry in enumerate(_corrections(store, month), 1):
        path = folder / f"earlier-{number:04d}.parquet"
        store.download(entry.key, path)
        copy = _copy_key(month, entry, path)
        if copy is not None and store.metadata(copy) is None:
            store.upload(copy, path, store.metadata(entry.key), once=True)
        files.append(path)
    return files


def _copy_key(month: str, entry: Stored, path: Path) -> str | None:
    """Where the correction at `path` lies among the rows; nowhere if it found no difference."""
    with connect() as connection:
        found = connection.execute(f"SELECT MIN(day) FROM {parquet([path])}").fetchall()[0][0]
    number = int(entry.key.rpartition("-")[2].removesuffix(".parquet"))
    return None if found is None else _copy_name(month, number, found, path)


def _copy_name(month: str, number: int, found: date, path: Path) -> str:
    return s3_keys.correction_copy_key(found, month, number, _sha256(path))


def _count(path: Path) -> int:
    with connect() as connection:
        return int(connection.execute(f"SELECT COUNT(*) FROM {parquet([path])}").fetchall()[0][0])


def _sha256_of(store: Store, key: str, path: Path) -> str | None:
    if store.metadata(key) is None:
        return None
    store.download(key, path)
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
