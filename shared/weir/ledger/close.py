"""Closing a month: an immutable snapshot, and what comes later as corrections on the day that it is found.

`close` has S3 copy every unit's rows, and writes `close.json` last and only once: a month is closed when it is there.
That document is a manifest: of each unit the name, the hash of its rows (row_hash.py, which no engine's version
changes), S3's ETag and the sums, as compaction left them beside the rows. So closing, and looking whether everything
is still as it was, reads no row, however many there are.

From then on nobody writes the days' rows again. `correct` joins the units whose facts have changed since, and books the
differences to the snapshot and the corrections until now. Corrections are numbered, and a number can be written once:
of two runs one wins, and one that is cut off between its two writes is finished by the next.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from weir.errors import CallerError
from weir.ledger import s3_keys
from weir.ledger.compact import (
    UNIT_BYTES,
    Progress,
    Unit,
    build_unit,
    current_rows,
    facts_around,
    facts_expired,
    fingerprint_of,
    is_stale,
    no_progress,
)
from weir.ledger.corrections import corrections_sql, shard_condition, summed
from weir.ledger.duck import (
    DuckError,
    connect,
    duck_errors,
    key_values,
    parquet,
    write_query,
    write_rows,
)
from weir.ledger.facts import format_timestamp
from weir.ledger.kept_books import book_of
from weir.ledger.row_hash import HASH, STATES, TOTALS, add_totals, describe_rows, rows_hash
from weir.ledger.store import Store, Stored
from weir.pricing.price_book import PriceBook

_SETTLED = timedelta(days=1)  # after a month, until it can be closed: a request may run over midnight
_WORKERS = 16
# Corrected in one run, and the next one goes on: of units, and of their facts' bytes, about five minutes.
MAX_UNITS = 16
_RUN_BYTES = 3 * UNIT_BYTES // 2

# A unit of a closed month, as its document has it.
type Member = Mapping[str, Any]


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
    store: Store, month: str, now: datetime, folder: Path, on_progress: Progress = no_progress
) -> dict[str, Any]:
    """Close YYYY-MM and return its document; that of a closed month is returned as it is.

    Raises CloseError where the month is not over, a day's rows are not those of its facts, or they change meanwhile;
    MonthError; StoreError.
    """
    first, last = s3_keys.month_days(month)
    known = store.closed(month)
    if known is not None:
        return known
    over = datetime.combine(last + timedelta(days=1) + _SETTLED, datetime.min.time(), UTC)
    if now < over:
        raise CloseError(
            f"{month} can be closed from {format_timestamp(over)} on; it is {format_timestamp(now)}"
        )
    listed = store.row_objects(first, last)
    rows = current_rows(listed)
    entries = [entry for day in sorted(rows) for entry in rows[day]]
    entries += [entry for entry in listed if s3_keys.is_metering(entry.key)]
    beside = dict(zip((entry.key for entry in entries), _each(store.metadata, entries), strict=True))
    _refuse_stale(store, month, rows, beside)

    def snapshot(entry: Stored) -> dict[str, Any]:
        return _snapshot(store, month, entry, beside[entry.key] or {}, folder)

    units = []
    with ThreadPoolExecutor(_WORKERS) as pool:
        for number, unit in enumerate(pool.map(snapshot, entries)):
            on_progress(f"close {unit['rows_key']}", number, len(entries))
            units.append(unit)
    counted = store.completeness(first, last)
    document = {
        "month": month,
        "closed_at": format_timestamp(now),
        "currency": "USD",
        "units": units,
        **_totals(units),
        "completeness": {day.isoformat(): dict(found) for day, found in sorted(counted.items())},
    }
    document["warnings"] = list(_warnings(document, first, last))
    store.write_json(s3_keys.close_key(month), document, once=True)
    on_progress(f"close {month}", len(units), len(units))
    # Read back: where another run was quicker, its document is the month's.
    return store.closed(month) or document


def verify(
    store: Store, month: str, folder: Path, on_progress: Progress = no_progress, *, rows_too: bool = True
) -> Verified:
    """Compare a closed month's files, and the rows that readers see, with its document.

    By S3's own checksums, which are in two listings; with `rows_too` every row is read as well. Raises CloseError where
    the month is open; MonthError; StoreError.
    """
    first, last = s3_keys.month_days(month)
    document = _document(store, month)
    found = Verified(month)
    there = {
        entry.key: entry for entry in store.row_objects(first, last) if not s3_keys.is_correction(entry.key)
    }
    snapshots = {entry.key: entry for entry in store.objects(s3_keys.closed_folder(month))}
    members = list(_members(document))
    days = set()
    with TemporaryDirectory(dir=folder) as work:
        path = Path(work) / "unit.parquet"
        for number, member in enumerate(members):
            on_progress(f"verify {member['rows_key']}", number, len(members))
            days.add(s3_keys.day_of(member["rows_key"]))
            seen = there.pop(member["rows_key"], None)
            for key, entry in ((member["key"], snapshots.get(member["key"])), (member["rows_key"], seen)):
                if problem := _problem(store, member, key, entry, path, rows_too):
                    found.problems.append(problem)
        for key in sorted(there):
            store.download(key, path)
            if count := _count(path):
                found.problems.append(f"{key}: expected no rows, as when the month was closed, got {count}")
        for entry in _corrections(store, month):
            found.corrections += 1
            store.download(entry.key, path)
            expected = _sha256(path)
            copy = _copy_key(month, entry, path)
            if copy is not None and _sha256_of(store, copy, path) != expected:
                found.problems.append(f"{copy}: is not {entry.key}")
    found.days = len(days)
    on_progress(f"verify {month}", len(members), len(members))
    return found


def correct(
    store: Store,
    book: PriceBook,
    month: str,
    now: datetime,
    folder: Path,
    on_progress: Progress = no_progress,
    *,
    prices: bool = False,
) -> Corrected:
    """Book what has come to a closed month since: requests whose facts are others now; with `prices`, all of them.

    At most `MAX_UNITS` units at a time, fewer where they are big: as many as fit one function. Raises CloseError
    where the month is open; MonthError; StoreError.
    """
    first, last = s3_keys.month_days(month)
    document = _document(store, month)
    with TemporaryDirectory(dir=folder) as name:
        work = Path(name)
        _restore(store, document, first, last, work)
        earlier = _earlier(store, month, work)
        state = _state(document, earlier)
        facts = store.fact_objects(first, last)
        objects = {day: facts_around(facts, day) for day in s3_keys.days(first, last)}
        units = _units(document, objects)
        stale = [unit for unit in units if is_stale(objects[unit.day], state.get(_unit_name(unit)))]
        if prices:
            changed = [
                unit
                for unit in units
                if objects[unit.day] and not facts_expired(objects[unit.day], state.get(_unit_name(unit), {}))
            ]
        else:
            changed = _of_one_run(stale, objects)
        if not changed:
            return Corrected(month)
        parts = []
        for number, unit in enumerate(changed):
            on_progress(f"correct {unit.day}", number, len(changed))
            part = work / f"part-{number}.parquet"
            _differences(store, book, document, unit, objects[unit.day], earlier, part, now, prices)
            parts.append(part)
        path = work / "correction.parquet"
        metadata = {
            "corrects": month,
            "found": now.date().isoformat(),
            "price-book": book.version,
            "days": json.dumps(
                {
                    _unit_name(unit): {
                        "facts": fingerprint_of(objects[unit.day]),
                        "objects": str(len(objects[unit.day])),
                    }
                    for unit in changed
                }
            ),
        }
        with connect(threads=1, spill=work) as connection:
            write_query(
                connection, path, f"SELECT * FROM {parquet(parts)} ORDER BY request_id, corrects_at", metadata
            )
        rows = _count(path)
        if prices and not rows and not stale:
            return Corrected(month)
        number = len(earlier) + 1
        beside = {"found": now.date().isoformat(), "rows": str(rows)}
        if not store.upload(s3_keys.correction_key(month, number), path, beside, once=True):
            # Another run booked it at the same time; what it did not see, the next run does.
            return Corrected(month)
        if rows:
            store.upload(_copy_name(month, number, now.date(), path), path, beside, once=True)
        days = sorted({unit.day for unit in changed})
        return Corrected(month, number, tuple(days), rows)


def _of_one_run(stale: Sequence[Unit], objects: Mapping[date, Sequence[Stored]]) -> list[Unit]:
    """The first of the units, at least one, as many as one function joins in its time."""
    taken: list[Unit] = []
    size = 0.0
    for unit in stale[:MAX_UNITS]:
        size += sum(entry.size for entry in objects[unit.day]) / unit.shards
        if taken and size > _RUN_BYTES:
            break
        taken.append(unit)
    return taken


def _differences(
    store: Store,
    book: PriceBook,
    document: Mapping[str, Any],
    unit: Unit,
    objects: Sequence[Stored],
    earlier: Sequence[Path],
    path: Path,
    now: datetime,
    prices: bool,
) -> None:
    """Write what one unit is now, less what is booked of it."""
    with TemporaryDirectory(dir=path.parent) as name:
        work = Path(name)
        if not prices:  # what came late costs what it would have cost then
            book = book_of(store, _booked_with(document, unit), book)
        fresh = build_unit(store, book, unit, work / "fresh.parquet", objects=objects).path
        booked = list(earlier)
        for member in _members(document):
            if s3_keys.day_of(member["rows_key"]) == unit.day and s3_keys.shard_of(member["rows_key"]) == (
                unit.shard,
                unit.shards,
            ):
                booked.append(work / "booked.parquet")
                store.download(member["key"], booked[-1])
        within = shard_condition(unit.shard, unit.shards)
        sql = corrections_sql(
            parquet([fresh]),
            f"(SELECT * FROM {parquet(booked)} WHERE {within})",
            document["month"],
            [unit.day],
            now,
            prices=prices,
        )
        with connect(threads=1, spill=work) as connection:
            write_query(connection, path, sql, {})


def _booked_with(document: Mapping[str, Any], unit: Unit) -> str | None:
    """The version of the one book that made a unit's rows; None where there are several, or it is not known."""
    for member in _members(document):
        if member["rows_key"] == unit.key:
            books = member.get("states", {}).get("books", ())
            return str(books[0]) if len(books) == 1 else None
    return None


def closed_months(store: Store, first: date, last: date) -> list[str]:
    """The closed months among those of the days `first` to `last`. Raises StoreError."""
    months = sorted({s3_keys.month_of(day) for day in s3_keys.days(first, last)})
    return [month for month in months if store.closed(month) is not None]


def booked_files(store: Store, month: str, day: date, folder: Path) -> list[Path]:
    """The files of a closed day as they are booked, its month's corrections with them. Raises StoreError."""
    files = _earlier(store, month, folder)
    for number, member in enumerate(_members(_document(store, month))):
        if s3_keys.day_of(member["rows_key"]) == day:
            files.append(folder / f"{day}-{number}.booked.parquet")
            store.download(member["key"], files[-1])
    return files


def _document(store: Store, month: str) -> dict[str, Any]:
    document = store.closed(month)
    if document is None:
        raise CloseError(f"{month} is open: there is no {s3_keys.close_key(month)}")
    return document


def _members(document: Mapping[str, Any]) -> Iterator[Member]:
    """The units of a closed month; in the first layout a day was one, with a hash of its bytes."""
    yield from document.get("units", ())
    for day, member in sorted(document.get("days", {}).items()):
        yield {**member, "rows_key": s3_keys.rows_key(date.fromisoformat(day))}


def _unit_name(unit: Unit) -> str:
    return str(unit.day) if unit.shards == 1 else f"{unit.day}/{unit.shard}-of-{unit.shards}"


def _state(document: Mapping[str, Any], earlier: Sequence[Path]) -> dict[str, Mapping[str, str]]:
    """Of which facts each unit is booked, by name."""
    state: dict[str, Mapping[str, str]] = {}
    for member in _members(document):
        day, shard = s3_keys.day_of(member["rows_key"]), s3_keys.shard_of(member["rows_key"])
        if day is not None and shard is not None:
            state[_unit_name(Unit(day, *shard))] = {"facts": member["facts"], "objects": member["objects"]}
    for listed in key_values(earlier, "days"):  # the files are in order of their numbers
        state.update(json.loads(listed))
    return state


def _units(document: Mapping[str, Any], objects: Mapping[date, Sequence[Stored]]) -> list[Unit]:
    """The month's units: as they were when it was closed, and a whole day where it had no rows then."""
    closed = [
        (s3_keys.day_of(member["rows_key"]), s3_keys.shard_of(member["rows_key"]))
        for member in _members(document)
    ]
    units = [Unit(day, *shard) for day, shard in closed if day is not None and shard is not None]
    days = {unit.day for unit in units}
    return sorted(
        [*units, *(Unit(day) for day in objects if day not in days)], key=lambda unit: (unit.day, unit.shard)
    )


def _refuse_stale(
    store: Store,
    month: str,
    rows: Mapping[date, Sequence[Stored]],
    beside: Mapping[str, Mapping[str, str] | None],
) -> None:
    first, last = s3_keys.month_days(month)
    facts = store.fact_objects(first, last)
    stale = []
    for day in s3_keys.days(first, last):
        objects = facts_around(facts, day)
        known = [beside[entry.key] for entry in rows.get(day, ())] or [None]
        if any(is_stale(objects, of_unit) for of_unit in known):
            stale.append(day)
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
    members = {member["rows_key"]: member for member in _members(document)}
    path = folder / "frozen.parquet"
    for entry in store.row_objects(first, last):
        if s3_keys.is_correction(entry.key):
            continue
        member = members.get(entry.key)
        if member is not None and _problem(store, member, entry.key, entry, path, False) is None:
            continue
        if member is None:
            store.download(entry.key, path)
            if not _count(path):
                continue
            write_rows(path, (), {})
        else:
            store.download(member["key"], path)
        store.upload(entry.key, path, replaces=entry.etag)


def _problem(
    store: Store, member: Member, key: str, entry: Stored | None, path: Path, rows_too: bool
) -> str | None:
    """What is wrong with one file of a unit; None if nothing is. Bytes that are others may hold the same rows."""
    wanted = member.get(HASH) or member["sha256"]
    if entry is None:
        return f"{key}: expected {wanted}, got nothing"
    if entry.etag == member["etag"] and not rows_too:
        return None
    store.download(key, path)
    try:
        with duck_errors():
            actual = rows_hash(path) if HASH in member else _sha256(path)
    except DuckError:
        return f"{key}: expected {wanted}, got a file that holds no rows"
    return None if actual == wanted else f"{key}: expected {wanted}, got {actual}"


def _snapshot(
    store: Store, month: str, entry: Stored, beside: Mapping[str, str], folder: Path
) -> dict[str, Any]:
    if HASH not in beside:  # the rows are older than the hash
        with TemporaryDirectory(dir=folder) as name:
            path = Path(name) / "unit.parquet"
            store.download(entry.key, path)
            beside = {**beside, **describe_rows(path)}
    # Named by content: what an attempt that was cut off left behind can neither be taken for this nor stand in its way.
    key = s3_keys.closed_rows_key(month, entry.key, beside[HASH])
    if not store.copy(entry.key, key, entry.etag):
        raise CloseError(f"{entry.key} was written while {month} was being closed: close it again")
    totals = json.loads(beside[TOTALS])
    return {
        "rows_key": entry.key,
        "key": key,
        HASH: beside[HASH],
        "etag": entry.etag,
        "bytes": entry.size,
        "rows": totals[0],
        "totals": totals,
        "states": json.loads(beside[STATES]),
        "facts": beside.get("facts"),
        "objects": beside.get("objects", "0"),
        "unreadable": int(beside.get("unreadable", 0)),
    }


def _totals(units: Sequence[Member]) -> dict[str, Any]:
    requests, *sums = add_totals([unit["totals"] for unit in units]) or [0, *(None for _ in summed())]
    states = [unit["states"] for unit in units]
    statuses: dict[str, int] = {}
    for state in states:
        for name, count in state["join_status"].items():
            statuses[name] = statuses.get(name, 0) + count
    return {
        "price_book_versions": sorted({book for state in states for book in state["books"]}),
        "totals": {"requests": requests, **dict(zip(summed(), sums, strict=True))},
        "join_status": dict(sorted(statuses.items())),
        "unpriced_rows": sum(state["unpriced"] for state in states),
    }


def _warnings(document: Mapping[str, Any], first: date, last: date) -> Iterator[str]:
    """What whoever signs the month should know."""
    if count := document["unpriced_rows"]:
        yield f"{count} rows are not priced in full: the total is at least what it says"
    if count := sum(unit["unreadable"] for unit in document["units"]):
        yield f"{count} objects of facts could not be read"
    if len(document["price_book_versions"]) > 1:
        yield f"several price books: {', '.join(document['price_book_versions'])}"
    counted = document["completeness"]
    days = [str(day) for day in s3_keys.days(first, last) if str(day) not in counted]
    if days:
        yield f"reports were not counted on {len(days)} days: {', '.join(days[:5])}{', ...' if len(days) > 5 else ''}"
    hours = [hour for found in counted.values() for hour in found.get("hours", {}).items()]
    if missing := [name for name, hour in hours if hour["reports_in_log"] > hour["reports_stored"]]:
        yield f"reports are missing in {len(missing)} hours: {', '.join(missing[:5])}"


def _each(call: Any, entries: Iterable[Stored]) -> list[Any]:
    with ThreadPoolExecutor(_WORKERS) as pool:
        return list(pool.map(lambda entry: call(entry.key), entries))


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
