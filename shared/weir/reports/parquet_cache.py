"""Which Parquet files a range of days is: compacted ones from S3, and the open tail joined at read.

Compacted days are fetched once and kept by their ETag. The last days (`TAIL`), whose facts still arrive, are compared
with their facts: where those have changed since the compaction, the day is joined here and now by the same `build_day`,
so a late half completes its row at the next look; compaction is that join's cache. A day that was never compacted is
joined in the same way. Where a tail is too big to be joined while somebody waits, its last compaction is used, and
`as_of` says when that was. Older days show what came late after their next compaction.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from weir.ledger import s3_keys
from weir.ledger.compact import (
    Progress,
    Unit,
    build_unit,
    current_rows,
    facts_around,
    fingerprint_of,
    is_stale,
    no_progress,
)
from weir.ledger.duck import key_values
from weir.ledger.kept_books import book_of, version_of
from weir.ledger.rollups import roll_up
from weir.ledger.store import Store, Stored
from weir.pricing.price_book import PriceBook

TAIL = timedelta(days=2)  # today and the two days before it
JOIN_AT_READ_BYTES = 24 * 1024**2  # of stored facts: what somebody may wait for
_JOIN_AT_READ_OBJECTS = 1_000  # of facts, most of which lie in copies of whole hours
_READERS = 8
CACHE_BYTES = 350 * 1024**2  # of Lambda's /tmp, where a join, a sort and an export need room beside it


@dataclass(slots=True)
class Opened:
    """A range's files. Nothing that had arrived by `as_of` is missing; `unreadable` names objects of facts.

    `as_of` is None where there are no files. `stored` are those that were not fetched.
    """

    files: list[Path] = field(default_factory=list)
    as_of: datetime | None = None
    unreadable: list[str] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)


class RowFiles:
    """Files of rows as `<cache_folder>/dt=<day>/<name>.parquet`; the folder may be thrown away between two calls."""

    def __init__(
        self,
        store: Store,
        book: PriceBook,
        cache_folder: Path,
        now: Callable[[], datetime],
        *,
        join_at_read_bytes: int = JOIN_AT_READ_BYTES,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._store = store
        self._book = book
        self._cache = cache_folder
        self._now = now
        self._join_at_read_bytes = join_at_read_bytes
        self._cache_bytes = cache_bytes

    @property
    def spill(self) -> Path:
        """A folder beside the files, for what does not fit the memory of whoever reads them."""
        return self._cache / "spill"

    def files(
        self,
        first: date,
        last: date,
        on_progress: Progress | None = None,
        *,
        corrections_until: date | None = None,
        fetch: bool = True,
        listed: Sequence[Stored] | None = None,
    ) -> Opened:
        """The rows of the UTC days `first` to `last`, both included, with the corrections that were found on them.

        With `corrections_until`, those as well that were found after, until that day. Without `fetch`, what is in S3 is
        named in `stored` and stays there. `listed` are the objects of these days where somebody has listed them.
        Raises StoreError.
        """
        tell = on_progress or no_progress
        self._cache.mkdir(parents=True, exist_ok=True)
        now = self._now()
        opened = Opened()
        listed = self._store.row_objects(first, last) if listed is None else listed
        rows = current_rows(listed)
        stale = self._stale(first, last, now.date(), rows)
        wanted = [entry for entry in listed if s3_keys.shard_of(entry.key) is None]  # corrections, metering
        wanted += [entry for day, units in rows.items() if day not in stale for entry in units]
        if corrections_until is not None and corrections_until > last:
            later = self._store.row_objects(last + timedelta(days=1), corrections_until)
            wanted += [entry for entry in later if s3_keys.is_correction(entry.key)]
        as_of = now
        steps = len(wanted) + len(stale)
        for number, (day, (objects, known)) in enumerate(sorted(stale.items())):
            if known and self._is_too_much(objects, known):
                wanted += known
                as_of = min(as_of, *(entry.modified for entry in known))
                continue
            tell(f"join {day}", number, steps)
            opened.files.append(self._joined(day, objects, known))
        if not fetch:
            opened.stored, wanted = wanted, []
        with ThreadPoolExecutor(_READERS) as pool:
            for number, path in enumerate(pool.map(self._fetched, wanted), steps - len(wanted)):
                tell(f"fetch {path.parent.name.removeprefix('dt=')}", number, steps)
                opened.files.append(path)
        tell("rows", steps, steps)
        opened.files.sort()
        opened.as_of = as_of if opened.files or opened.stored else None
        opened.unreadable = _names(key_values(opened.files, "unreadable"))
        self._forget(opened.files)
        return opened

    def corrections(self, first: date, until: date) -> Opened:
        """The corrections that were found on the UTC days `first` to `until`, both included. Raises StoreError."""
        self._cache.mkdir(parents=True, exist_ok=True)
        listed = self._store.row_objects(first, until)
        found = [entry for entry in listed if s3_keys.is_correction(entry.key)]
        return Opened(sorted(map(self._fetched, found)))

    def rollups(
        self,
        first: date,
        last: date,
        on_progress: Progress | None = None,
        *,
        listed: Sequence[Stored] | None = None,
        written: Sequence[Stored] | None = None,
    ) -> Opened:
        """The roll-ups of the UTC days `first` to `last`, both included, with the corrections found on them.

        What has none, since it was joined here and now or is a correction, is rolled up here.
        `listed` are the rows' objects of these days and `written` the roll-ups', where somebody has listed them.
        Raises StoreError.
        """
        rows = self.files(first, last, on_progress, fetch=False, listed=listed)
        found = self._store.rollup_objects(first, last) if written is None else written
        by_key = {entry.key: entry for entry in found}
        wanted: list[Stored] = []
        without: list[Stored] = []
        for entry in rows.stored:
            rollup = by_key.get(s3_keys.rollup_key(entry.key))
            # Written after its rows: one that is older is of the rows before.
            if rollup and rollup.modified >= entry.modified:
                wanted.append(rollup)
            else:
                without.append(entry)
        with ThreadPoolExecutor(_READERS) as pool:
            fetched = list(pool.map(self._fetched, [*without, *wanted]))
        rest, files = fetched[: len(without)], fetched[len(without) :]
        # Each join by itself, as it changes while the others stay; the rest, which are small and many, together.
        files += [self._rolled_up([path]) for path in rows.files]
        files += [self._rolled_up(rest)] if rest else []
        self._forget([*files, *rows.files, *rest])
        unreadable = _names(key_values(files, "unreadable"))
        return Opened(sorted(files), rows.as_of if files else None, unreadable)

    def _rolled_up(self, rows: Sequence[Path]) -> Path:
        name = s3_keys.fingerprint(f"{path.parent.name}/{path.name}" for path in rows)
        path = rows[0].with_name(f"rollup-of-{name[:32]}.parquet")
        if not path.exists():
            part = path.with_name(f"{path.name}.{uuid4().hex}.part")
            try:
                unreadable = _names(key_values(rows, "unreadable"))
                roll_up(rows, part, {"unreadable": json.dumps(unreadable)} if unreadable else {})
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        path.touch()
        return path

    def _is_too_much(self, objects: Sequence[Stored], known: Sequence[Stored]) -> bool:
        """Whether a day whose units are `known` is too big to be joined while somebody waits."""
        size = sum(entry.size for entry in objects)
        return len(known) > 1 or size > self._join_at_read_bytes or len(objects) > _JOIN_AT_READ_OBJECTS

    def _stale(
        self, first: date, last: date, today: date, rows: Mapping[date, Sequence[Stored]]
    ) -> dict[date, tuple[Sequence[Stored], Sequence[Stored]]]:
        """The days whose rows are not those of their facts: the facts' objects, and the compacted units."""
        # Tomorrow too: a clock that runs ahead must not hide a request.
        asked = list(s3_keys.days(first, min(last, today + timedelta(days=1))))
        closed = {
            month: self._store.closed(month) is not None
            for month in {s3_keys.month_of(day) for day in asked if day >= today - TAIL or day not in rows}
        }
        open_days = [day for day in asked if not closed.get(s3_keys.month_of(day))]
        looked_at = [day for day in open_days if day >= today - TAIL or day not in rows]
        if not looked_at:
            return {}
        facts = self._store.fact_objects(looked_at[0], looked_at[-1])
        stale: dict[date, tuple[Sequence[Stored], Sequence[Stored]]] = {}
        for day in looked_at:
            objects, known = facts_around(facts, day), rows.get(day, ())
            if any(is_stale(objects, self._store.metadata(entry.key)) for entry in known) or (
                objects and not known
            ):
                stale[day] = (objects, known)
        return stale

    def _joined(self, day: date, objects: Sequence[Stored], known: Sequence[Stored]) -> Path:
        made_with = version_of(self._store.metadata(known[0].key)) if known else None
        book = book_of(self._store, made_with, self._book)
        # The prices are part of the name: a process that has been deployed anew must not find the old join.
        state = s3_keys.fingerprint([fingerprint_of(objects), book.version])
        path = self._cache / f"dt={day}" / f"joined-{state[:32]}.parquet"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            part = path.with_name(f"{path.name}.{uuid4().hex}.part")
            try:
                build_unit(self._store, book, Unit(day), part, objects=objects)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        path.touch()
        return path

    def _fetched(self, entry: Stored) -> Path:
        day, name = s3_keys.day_of(entry.key), entry.key.rpartition("/")[2].removesuffix(".parquet")
        path = self._cache / f"dt={day}" / f"{name}-{entry.etag}.parquet"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            self._store.download(entry.key, path)
        path.touch()
        return path

    def _forget(self, used: Iterable[Path]) -> None:
        """Keep the cache within its size: what was not asked for longest goes first, and nothing in use."""
        keep = set(used)
        files = sorted(
            self._cache.glob("dt=*/*.parquet"), key=lambda path: path.stat().st_mtime, reverse=True
        )
        size = sum(path.stat().st_size for path in keep)
        for path in files:
            if path not in keep:
                size += path.stat().st_size
                if size > self._cache_bytes:
                    path.unlink(missing_ok=True)


def _names(lists: Iterable[str]) -> list[str]:
    return sorted({str(name) for listed in lists for name in json.loads(listed)})
