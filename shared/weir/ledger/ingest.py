"""A landing object becomes stored facts: one file for each hour, poison aside, all repeatable."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from weir.ledger.fact_files import FactFile, FactsWriter
from weir.ledger.landing import read_landing
from weir.ledger.log_records import Poison, RawRecord
from weir.ledger.metering import firehose_bytes

DROPPED = "platform.logsDropped"


class FactStore(Protocol):
    """Where facts are kept; writing what is there already is no error."""

    def write_facts(self, file: FactFile) -> bool:
        """Write one hour's records; False if they were there."""

    def write_poison(self, poison: Poison, day: date | None) -> bool:
        """Set one poison aside; False if it was there."""

    def write_dropped(self, record: RawRecord) -> bool:
        """Keep that the platform lost log lines; False if it was known."""


@dataclass(slots=True)
class Ingested:
    """What became of one object; `objects_existing` were written by an earlier delivery of it.

    `firehose_bytes` are those that Data Firehose bills for it.
    """

    records: int = 0
    objects_written: int = 0
    objects_existing: int = 0
    poison: int = 0
    firehose_bytes: int = 0
    ignored: dict[str, int] = field(default_factory=dict)
    reasons: set[str] = field(default_factory=set)

    def ignore(self, counted: Mapping[str, int]) -> None:
        """Add lines that are no facts, by kind."""
        for kind, lines in counted.items():
            self.ignored[kind] = self.ignored.get(kind, 0) + lines

    def count_record(self, size: int) -> None:
        """Count one record that Firehose took."""
        self.firehose_bytes += firehose_bytes(size)

    def keep(self, written: bool) -> None:
        """Count an object."""
        self.objects_written += written
        self.objects_existing += not written


def ingest(
    chunks: Iterable[bytes], store: FactStore, region: str | None = None, folder: Path | None = None
) -> Ingested:
    """Store what the object with these bytes holds; a failure of the store is raised, and the whole then repeated."""
    done = Ingested()
    with TemporaryDirectory(dir=folder) as work:
        writer = FactsWriter(Path(work))
        for batch in read_landing(chunks, region, on_record=done.count_record):
            done.ignore(batch.ignored)
            day = min((record.day for record in batch.records), default=None)
            for poison in batch.poison:
                done.keep(store.write_poison(poison, day))
                done.poison += 1
                done.reasons.add(poison.reason)
            for record in batch.records:
                writer.add(record)
                done.records += 1
                if record.kind == DROPPED:
                    done.keep(store.write_dropped(record))
        for file in writer.close():
            done.keep(store.write_facts(file))
    return done


def store_records(records: Iterable[RawRecord], store: FactStore, folder: Path | None = None) -> int:
    """Store records that were found by another way than a landing object; returns how many objects were written."""
    written = 0
    with TemporaryDirectory(dir=folder) as work:
        writer = FactsWriter(Path(work))
        for record in records:
            writer.add(record)
            if record.kind == DROPPED:
                store.write_dropped(record)
        for file in writer.close():
            written += store.write_facts(file)
    return written
