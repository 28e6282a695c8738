"""Compaction: a day's facts become its rows, as often as its facts have changed.

The unit of work is a shard of a day: a run of the hashes of its requests. Nearly all days are one unit; a day that is
too big for one is cut into more, which may run side by side, and the rows do not depend on how many. A unit is joined
from the facts of its day and `s3_keys.MARGIN` around it. What a day's rows were made of is kept beside them as a
fingerprint of the names of the facts' objects; a day whose fingerprint still holds is left alone. The days of a closed
month are never written again: what came late becomes corrections (close.py). A day keeps the price book with which it
was first made (kept_books.py).

An hour's facts come in as many objects as landed in it. So that a day can be joined again and again, an hour with
many is gathered into one object, which is a copy and says whose facts it holds.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from weir.ledger import s3_keys
from weir.ledger.duck import write_rows
from weir.ledger.fact_files import gather, gathered_names, is_readable, reports_by_hour, write_facts
from weir.ledger.fast_join import join_unit
from weir.ledger.kept_books import book_of, keep_book, version_of
from weir.ledger.rollups import roll_up
from weir.ledger.row_hash import describe_rows
from weir.ledger.store import Store, Stored
from weir.pricing.price_book import PriceBook

# Of facts a day, compressed: about two million requests, a minute and a half of work for one function.
UNIT_BYTES = 400 * 1024**2
# An open hour is gathered when it has this many objects, and any other when it has two: a day is then read in fewer
# than a hundred requests, for at most two more objects an hour.
_GATHER_OPEN = 30
_GATHER = 2

REPORTS = "reports"  # of a unit's metadata: platform.report in each hour, as stored

type Progress = Callable[[str, int, int], None]  # what is done, how many of it are, of how many


@dataclass(frozen=True, slots=True)
class Unit:
    """One shard of a day's requests."""

    day: date
    shard: int = 0
    shards: int = 1

    @property
    def key(self) -> str:
        """Where its rows lie."""
        return s3_keys.rows_key(self.day, self.shard, self.shards)


@dataclass(frozen=True, slots=True)
class Built:
    """A unit's rows in a local file, their roll-up, and the names of facts' objects that could not be read."""

    path: Path
    rollup: Path
    rows: int
    metadata: Mapping[str, str]
    unreadable: Sequence[str]

    def object_metadata(self) -> dict[str, str]:
        """What S3 keeps beside the object, which has room for 2 KB: not for names."""
        kept = {name: value for name, value in self.metadata.items() if name != "unreadable"}
        return {**kept, **describe_rows(self.path), "unreadable": str(len(self.unreadable))}


@dataclass(slots=True)
class Compacted:
    """What one run did; a day is skipped where its facts have not changed, or another run was quicker."""

    days: list[date] = field(default_factory=list)
    rows: int = 0
    skipped: int = 0
    frozen: int = 0
    unreadable: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """Counts, and the days that were written."""
        return {
            "days": [day.isoformat() for day in self.days],
            "rows": self.rows,
            "skipped": self.skipped,
            "frozen": self.frozen,
            "unreadable": self.unreadable,
        }


def no_progress(what: str, done: int, of: int) -> None:
    """Progress that nobody watches."""


def facts_around(objects: Iterable[Stored], day: date) -> list[Stored]:
    """Of a listing of facts, what the join of `day` reads: nothing, where the day itself has none."""
    first, last = s3_keys.hours_around(day, day)
    old_first, old_last = s3_keys.old_days_around(day, day)
    found, has_own = [], False
    for entry in objects:
        hour, of_day = s3_keys.hour_of(entry.key), s3_keys.day_of(entry.key)
        if hour is not None:
            wanted = first <= hour <= last
        else:
            wanted = of_day is not None and old_first <= of_day <= old_last
        if wanted:
            found.append(entry)
            has_own = has_own or of_day == day
    return found if has_own else []


def fingerprint_of(objects: Iterable[Stored]) -> str:
    """What a day's rows would be made of."""
    return s3_keys.fingerprint(entry.key for entry in objects)


def is_stale(objects: Sequence[Stored], known: Mapping[str, str] | None) -> bool:
    """Whether rows with the metadata `known` (None: there are none) are not those of the facts in `objects`."""
    if known is None:
        return bool(objects)
    return not facts_expired(objects, known) and known.get("facts") != fingerprint_of(objects)


def facts_expired(objects: Sequence[Stored], known: Mapping[str, str]) -> bool:
    """Whether facts that rows with the metadata `known` were made of are there no more, so nobody can make them again.

    Facts are never taken away but by the bucket's lifecycle, and the rows outlive them.
    """
    return len(objects) < int(known.get("objects", 0))


def current_rows(listed: Iterable[Stored]) -> dict[date, list[Stored]]:
    """Of the objects among the rows, each day's own, by shard: those of its finest cut that is complete.

    A day that was cut anew has two sets for a while; the coarser one counts until the finer is whole.
    """
    cuts: dict[date, dict[int, dict[int, Stored]]] = {}
    for entry in listed:
        shard, day = s3_keys.shard_of(entry.key), s3_keys.day_of(entry.key)
        if shard is not None and day is not None:
            cuts.setdefault(day, {}).setdefault(shard[1], {})[shard[0]] = entry
    found = {}
    for day, of_day in cuts.items():
        whole = [shards for shards, entries in of_day.items() if len(entries) == shards]
        if whole:
            found[day] = [entry for _, entry in sorted(of_day[max(whole)].items())]
    return found


def shards_for(objects: Sequence[Stored], day: date, rows: Sequence[Stored]) -> int:
    """Into how many units a day is cut: as it was, unless it has become far too big for that."""
    size = sum(entry.size for entry in objects if s3_keys.day_of(entry.key) == day)
    now, needed = len(rows), 1 + size // UNIT_BYTES
    return now if now and needed <= 4 * now else needed


def build_unit(
    store: Store, book: PriceBook, unit: Unit, path: Path, *, objects: Sequence[Stored] | None = None
) -> Built:
    """Join one unit to a Parquet file at `path`, its roll-up beside it. Raises StoreError.

    `objects` are the facts' objects of the day and its margin, where they have been listed already.
    """
    if objects is None:
        objects = facts_around(store.fact_objects(unit.day, unit.day), unit.day)
    with TemporaryDirectory(dir=path.parent) as folder:
        facts = LocalFacts(store, objects, unit.day, Path(folder))
        return _join(facts, book, unit, path)


def _join(facts: "LocalFacts", book: PriceBook, unit: Unit, path: Path) -> Built:
    metadata = {
        "day": unit.day.isoformat(),
        "facts": fingerprint_of(facts.objects),
        "objects": str(len(facts.objects)),
        "price-book": book.version,
    }
    if facts.unreadable:
        metadata["unreadable"] = json.dumps(sorted(facts.unreadable))
    rollup = path.with_name(f"rollup-{path.name}")
    if facts.files:
        joined = join_unit(
            facts.files,
            unit.day,
            book,
            path,
            shard=unit.shard,
            shards=unit.shards,
            rollup=rollup,
            metadata=metadata,
        )
        rows = joined.rows
    else:  # none of the objects could be read
        rows = write_rows(path, (), metadata)
        roll_up([path], rollup, metadata)
    low, high = (number * 2**64 // unit.shards for number in (unit.shard, unit.shard + 1))
    reports = reports_by_hour(facts.files, unit.day, low, high)
    metadata |= {
        "rows": str(rows),
        REPORTS: json.dumps(reports, separators=(",", ":")),
    }
    return Built(path, rollup, rows, metadata, sorted(facts.unreadable))


def compact(
    store: Store,
    book: PriceBook,
    first: date,
    last: date,
    folder: Path,
    on_progress: Progress = no_progress,
) -> Compacted:
    """Write the rows of every open day from `first` to `last` whose facts have changed. Raises StoreError."""
    done = Compacted()
    stale = stale_days(store, first, last, done)
    for number, (day, (objects, shards)) in enumerate(sorted(stale.items())):
        on_progress(f"compact {day}", number, len(stale))
        compact_day(store, book, day, objects, shards, folder, done)
    on_progress("compact", len(stale), len(stale))
    return done


def stale_days(
    store: Store, first: date, last: date, done: Compacted
) -> dict[date, tuple[Sequence[Stored], int]]:
    """The open days whose facts have changed: their facts' objects, and into how many units they are cut."""
    facts = store.fact_objects(first, last)
    written = current_rows(store.row_objects(first, last))
    stale: dict[date, tuple[Sequence[Stored], int]] = {}
    for day in s3_keys.days(first, last):
        objects, rows = facts_around(facts, day), written.get(day, [])
        shards = shards_for(objects, day, rows)
        known = [store.metadata(entry.key) for entry in rows] if shards == len(rows) else [None]
        if not any(is_stale(objects, of_unit) for of_unit in known):
            done.skipped += 1
        elif store.closed(s3_keys.month_of(day)):
            done.frozen += 1
        else:
            stale[day] = (objects, shards)
    return stale


def compact_day(
    store: Store,
    book: PriceBook,
    day: date,
    objects: Sequence[Stored],
    shards: int,
    folder: Path,
    done: Compacted,
    only: int | None = None,
) -> None:
    """Write a day's units, or `only` one of them. Raises StoreError."""
    written = 0
    with TemporaryDirectory(dir=folder) as work:
        facts = LocalFacts(store, objects, day, Path(work))
        units = [Unit(day, shard, shards) for shard in range(shards) if only in (None, shard)]
        for unit in units:
            written += _compact_unit(store, book, unit, facts, Path(work), done)
        if only in (None, 0):
            facts.gather()
    if written:
        done.days.append(day)
        done.unreadable.extend(facts.unreadable)
    else:
        done.skipped += 1
    if written and shards > 1:
        _empty_other_cuts(store, day, shards, folder)


def _compact_unit(
    store: Store, book: PriceBook, unit: Unit, facts: "LocalFacts", folder: Path, done: Compacted
) -> bool:
    known = store.metadata(unit.key)
    if not is_stale(facts.objects, known):
        return False
    book = book_of(store, _made_with(store, unit, known), book)
    keep_book(store, book)
    built = _join(facts, book, unit, folder / f"{unit.day}-{unit.shard}.parquet")
    beside = built.object_metadata()
    # Asked again, because a month may be closed, and another run may end, while this one joins.
    if store.closed(s3_keys.month_of(unit.day)) or not store.upload(
        unit.key,
        built.path,
        beside,
        once=known is None,
        replaces=known["etag"] if known else None,
    ):
        return False
    # It says of which facts it is, as the rows do: where the two differ, whoever reads believes the rows.
    store.upload(s3_keys.rollup_key(unit.key), built.rollup, beside)
    done.rows += built.rows
    built.path.unlink()
    return True


def _made_with(store: Store, unit: Unit, known: Mapping[str, str] | None) -> str | None:
    """The version of the book that made the day's rows, also where it is cut anew."""
    if known is None and unit.shards > 1:
        of_day = current_rows(store.row_objects(unit.day, unit.day)).get(unit.day, ())
        known = store.metadata(of_day[0].key) if of_day else None
    return version_of(known)


def _empty_other_cuts(store: Store, day: date, shards: int, folder: Path) -> None:
    """Take the rows of a coarser cut out of Athena's sight, which reads all that lies in a day's folder."""
    cuts = [(entry, s3_keys.shard_of(entry.key)) for entry in store.row_objects(day, day)]
    if sum(shard is not None and shard[1] == shards for _, shard in cuts) < shards:
        return  # the coarser one counts until this one is whole
    for entry, shard in cuts:
        if shard is not None and shard[1] < shards and (store.metadata(entry.key) or {}).get("rows") != "0":
            path = folder / "no-rows.parquet"
            write_rows(path, (), {})
            store.upload(entry.key, path, {"rows": "0"}, replaces=entry.etag)
            path.unlink()


class LocalFacts:
    """A day's facts with those around it as files in `folder`: few requests, however many objects there are."""

    def __init__(self, store: Store, objects: Sequence[Stored], day: date, folder: Path) -> None:
        self.objects = objects
        self.unreadable: list[str] = []
        self._store = store
        self._day = day
        self._folder = folder
        self._names: dict[Path, str] = {}  # of files that are an object each
        self._gathered: dict[str, tuple[Stored, Path, list[str]]] = {}
        hours = [entry for entry in objects if s3_keys.hour_of(entry.key) is not None]
        copies = store.gathered(day, day) if hours else {}
        self._fetch_gathered(copies)
        held = {name for _, _, names in self._gathered.values() for name in names}
        wanted = {
            entry.key: folder / f"{_name(entry.key)}.parquet" for entry in hours if entry.key not in held
        }
        store.download_all(wanted)
        for key, path in wanted.items():
            if is_readable(path):
                self._names[path] = key
            else:
                self.unreadable.append(key)
        self.files = [*(path for _, path, _ in self._gathered.values()), *self._names]
        if old := [entry.key for entry in objects if s3_keys.hour_of(entry.key) is None]:
            path = folder / "old-facts.parquet"
            write_facts(store.old_records(old, self.unreadable), path, folder)
            self.files.append(path)

    def gather(self) -> None:
        """Write the day's hours that have many objects as one object each. Raises StoreError."""
        by_hour: dict[str, list[Path]] = {}
        for path, key in self._names.items():
            if s3_keys.day_of(key) == self._day:
                by_hour.setdefault(str(s3_keys.hour_of(key)), []).append(path)
        newest = max((str(s3_keys.hour_of(key)) for key in self._names.values()), default="")
        for hour, paths in by_hour.items():
            if len(paths) < (_GATHER_OPEN if hour == newest else _GATHER):
                continue
            known = self._gathered.get(hour)
            files = [*paths, *([known[1]] if known else [])]
            names = [*(self._names[path] for path in paths), *(known[2] if known else [])]
            path = self._folder / f"gathered-{hour}.parquet"
            gather(files, path, self._folder, names)
            # Another run may have been quicker: then its copy is as good.
            key = s3_keys.gathered_key(hour)
            self._store.upload(key, path, once=known is None, replaces=known[0].etag if known else None)

    def _fetch_gathered(self, copies: Mapping[str, Stored]) -> None:
        there = {entry.key for entry in self.objects}
        paths = {entry.key: self._folder / f"copy-{hour}.parquet" for hour, entry in copies.items()}
        self._store.download_all(paths)
        for hour, entry in copies.items():
            path = paths[entry.key]
            names = gathered_names(path) if is_readable(path) else []
            # A copy of objects that are not all listed would bring facts that this state of the day has not.
            if names and there.issuperset(names):
                self._gathered[hour] = (entry, path, names)


def _name(key: str) -> str:
    return f"{s3_keys.hour_of(key)}-{key.rpartition('/')[2].removesuffix('.parquet')}"
