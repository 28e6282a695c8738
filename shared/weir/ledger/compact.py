"""Compaction: a day's raw facts become its rows, one Parquet file a day, as often as its facts have changed.

A day is joined from its own facts and those of `layout.MARGIN` around it, cut into shards by request id, so that memory
is bounded by a shard and not by the day. The result does not depend on the number of shards, nor on the order of
anything: the same facts and the same price book give the same bytes. What a day's rows were made of is kept beside them
as a fingerprint of the names of the facts' objects; a day whose fingerprint still holds is left alone. The days of a
closed month are never written again: what came late becomes corrections (close.py).
"""

import gzip
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

from weir.ledger import s3_keys
from weir.ledger.duck import write_rows
from weir.ledger.join import ENVIRONMENT_LIFE_MS, join
from weir.ledger.log_records import RawRecord
from weir.ledger.row import Row
from weir.ledger.store import Store, Stored
from weir.pricing.price_book import PriceBook

# Stored bytes of facts that are joined at once: compressed, they are many times that in memory.
SHARD_BYTES = 2 * 1024**2

type Progress = Callable[[str, int, int], None]  # what is done, how many of it are, of how many


@dataclass(frozen=True, slots=True)
class Built:
    """A day's rows in a local file, and the names of facts' objects that could not be read."""

    path: Path
    rows: int
    metadata: Mapping[str, str]
    unreadable: Sequence[str]


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


def silent(what: str, done: int, of: int) -> None:
    """Progress that nobody watches."""


def around(objects: Iterable[Stored], day: date) -> list[Stored]:
    """Of a listing of facts, what the join of `day` reads: nothing, where the day itself has none."""
    first, last = day - s3_keys.MARGIN, day + s3_keys.MARGIN
    dated = [(s3_keys.day_of(entry.key), entry) for entry in objects]
    if not any(of == day for of, _ in dated):
        return []
    return [entry for of, entry in dated if of is not None and first <= of <= last]


def fingerprint_of(objects: Iterable[Stored]) -> str:
    """What a day's rows would be made of."""
    return s3_keys.fingerprint(entry.key for entry in objects)


def is_stale(objects: Sequence[Stored], known: Mapping[str, str] | None) -> bool:
    """Whether rows with the metadata `known` (None: there are none) are not those of the facts in `objects`."""
    if known is None:
        return bool(objects)
    return not are_gone(objects, known) and known.get("facts") != fingerprint_of(objects)


def are_gone(objects: Sequence[Stored], known: Mapping[str, str]) -> bool:
    """Whether facts that rows with the metadata `known` were made of are there no more, so nobody can make them again.

    Facts are never taken away but by the bucket's lifecycle, and the rows outlive them.
    """
    return len(objects) < int(known.get("objects", 0))


def build_day(
    store: Store,
    book: PriceBook,
    day: date,
    path: Path,
    *,
    objects: Sequence[Stored] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Built:
    """Join one UTC day to a Parquet file at `path`. Raises StoreError.

    `objects` are the facts' objects of the day and its margin, where they have been listed already.
    """
    if objects is None:
        objects = store.fact_objects(day - s3_keys.MARGIN, day + s3_keys.MARGIN)
    unreadable: list[str] = []
    shards = 1 + sum(entry.size for entry in objects) // shard_bytes
    metadata = {
        "day": day.isoformat(),
        "facts": fingerprint_of(objects),
        "objects": str(len(objects)),
        "price-book": book.version,
    }
    with TemporaryDirectory(dir=path.parent) as folder:
        read = _Shards(Path(folder), shards, day)
        own_first = sorted(objects, key=lambda entry: (s3_keys.day_of(entry.key) != day, entry.key))
        read.fill(store.lines([entry.key for entry in own_first], unreadable))
        if unreadable:
            metadata["unreadable"] = json.dumps(sorted(unreadable))
        rows = write_rows(path, read.rows(book), metadata)
    return Built(path, rows, metadata, sorted(unreadable))


def compact(
    store: Store, book: PriceBook, first: date, last: date, folder: Path, on_progress: Progress = silent
) -> Compacted:
    """Write the rows of every open day from `first` to `last` whose facts have changed. Raises StoreError."""
    done = Compacted()
    facts = store.fact_objects(first - s3_keys.MARGIN, last + s3_keys.MARGIN)
    written = {s3_keys.day_of(entry.key): entry for entry in store.row_objects(first, last) if is_rows(entry)}
    wanted = list(s3_keys.days(first, last))
    for number, day in enumerate(wanted):
        on_progress(f"compact {day}", number, len(wanted))
        _compact_day(store, book, day, around(facts, day), written.get(day), folder, done)
    on_progress("compact", len(wanted), len(wanted))
    return done


def is_rows(entry: Stored) -> bool:
    """Whether an object among the rows is a day's join, and not a correction."""
    return entry.key.endswith(f"/{s3_keys.ROWS}")


def _compact_day(
    store: Store,
    book: PriceBook,
    day: date,
    objects: Sequence[Stored],
    written: Stored | None,
    folder: Path,
    done: Compacted,
) -> None:
    key = s3_keys.rows_key(day)
    known = store.metadata(key) if written else None
    if not is_stale(objects, known):
        done.skipped += 1
        return
    if store.closed(s3_keys.month_of(day)):
        done.frozen += 1
        return
    path = folder / f"{day}.parquet"
    built = build_day(store, book, day, path, objects=objects)
    try:
        # Told twice, because a month may be closed, and another run may end, while this one joins.
        if store.closed(s3_keys.month_of(day)) or not store.upload(
            key, path, of_object(built), once=known is None, replaces=known["etag"] if known else None
        ):
            done.skipped += 1
            return
    finally:
        path.unlink()
    done.days.append(day)
    done.rows += built.rows
    done.unreadable.extend(built.unreadable)


def of_object(built: Built) -> dict[str, str]:
    """What S3 keeps beside the object, which has room for 2 KB: not for names."""
    kept = {name: value for name, value in built.metadata.items() if name != "unreadable"}
    return {**kept, "rows": str(built.rows), "unreadable": str(len(built.unreadable))}


class _Shards:
    """Raw records by a hash of their request id: one shard in memory, several as compressed files in `folder`.

    Only requests with a record on `day` itself can have their row there; of the days around it the others' records
    are looked at for where a request ran, at most, and not joined.
    """

    def __init__(self, folder: Path, count: int, day: date) -> None:
        self._count = count
        self._paths = [folder / f"shard-{number}.gz" for number in range(count)] if count > 1 else []
        self._records: list[RawRecord] = []
        self._day = day
        self._first_ms, self._end_ms = _midnight_ms(day), _midnight_ms(day + timedelta(days=1))

    def fill(self, lines: Iterator[tuple[bytes, RawRecord]]) -> None:
        """Take the records, the day's own before the others; those without a request id make no row."""
        needed = self._needed(lines)
        if not self._paths:
            self._records = [record for _, record in needed]
            return
        with ExitStack() as stack:
            files = [stack.enter_context(gzip.open(path, "wb", compresslevel=1)) for path in self._paths]
            for line, record in needed:
                files[crc32(str(record.request_id).encode()) % self._count].write(line + b"\n")

    def _needed(self, lines: Iterator[tuple[bytes, RawRecord]]) -> Iterator[tuple[bytes, RawRecord]]:
        requests: set[int] = set()  # hashes: 60 bytes a request; one too many that agrees does no harm
        for line, record in lines:
            if record.request_id is None:
                continue
            if self._first_ms <= record.timestamp_ms < self._end_ms:
                requests.add(hash(record.request_id))
            elif not _is_fact(record) and hash(record.request_id) not in requests:
                continue  # of another day's request, which can tell where one of this day ran by its facts only
            yield line, record

    def rows(self, book: PriceBook) -> Iterator[Row]:
        """The day's rows, shard by shard."""
        neighbours = self._neighbours()
        for number in range(self._count):
            own, wanted = self._of_day(number)
            streams = {(record.log_group, record.log_stream) for record in own}
            near = [record for stream in streams for record in neighbours.get(stream, ())]
            for row in join([*own, *near], book):
                # A neighbour has a row too, made of what happens to be here: its own is elsewhere.
                if row.request_id in wanted and row.day == self._day:
                    yield row

    def _neighbours(self) -> dict[tuple[str, str], list[RawRecord]]:
        """For every record of a request without facts, the fact of its log stream that tells where it ran.

        The join takes the first within hours among the records that it is given; here it may be in another shard.
        """
        instants: dict[tuple[str, str], list[int]] = {}
        for number in range(self._count):
            own, _ = self._of_day(number)
            told = {record.request_id for record in own if _is_fact(record)}
            for record in own:
                if record.request_id not in told:
                    instants.setdefault((record.log_group, record.log_stream), []).append(record.timestamp_ms)
        for found in instants.values():
            found.sort()
        nearest: dict[tuple[str, str], dict[int, RawRecord]] = {}
        for number in range(self._count if instants else 0):
            for record in self._read(number):
                stream = (record.log_group, record.log_stream)
                if stream in instants and _is_fact(record):
                    _offer(record, instants[stream], nearest.setdefault(stream, {}))
        return {stream: list(found.values()) for stream, found in nearest.items()}

    def _of_day(self, number: int) -> tuple[list[RawRecord], set[str | None]]:
        """A shard's records of the requests that have one on the day, and these requests."""
        records = self._read(number)
        wanted = {
            record.request_id for record in records if self._first_ms <= record.timestamp_ms < self._end_ms
        }
        return [record for record in records if record.request_id in wanted], wanted

    def _read(self, number: int) -> list[RawRecord]:
        if not self._paths:
            return self._records
        with gzip.open(self._paths[number]) as file:
            return [RawRecord.from_line(line) for line in file]


def _midnight_ms(day: date) -> int:
    return (day - date(1970, 1, 1)).days * 86_400_000


def _offer(fact: RawRecord, instants: Sequence[int], nearest: dict[int, RawRecord]) -> None:
    first = bisect_left(instants, fact.timestamp_ms - ENVIRONMENT_LIFE_MS)
    last = bisect_right(instants, fact.timestamp_ms + ENVIRONMENT_LIFE_MS)
    for instant in instants[first:last]:
        other = nearest.get(instant)
        if other is None or _order(fact) < _order(other):
            nearest[instant] = fact


def _is_fact(record: RawRecord) -> bool:
    return not record.kind.startswith("platform.")


def _order(record: RawRecord) -> tuple[int, str, str]:
    return record.timestamp_ms, record.event_id, record.content()
