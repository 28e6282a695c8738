"""A subscription event becomes stored facts: an object for each kind and day, poison aside, all repeatable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from weir.ledger.log_records import Poison, RawRecord
from weir.ledger.log_subscription import read_batch

_DAY_MS = 86_400_000


class FactStore(Protocol):
    """Where raw facts are kept; writing what is there already is no error."""

    def write_facts(self, kind: str, day: date, records: list[RawRecord]) -> bool:
        """Write records of one kind and day; False if they were there."""

    def write_poison(self, poison: Poison, day: date | None) -> bool:
        """Set one poison aside; False if it was there."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of one batch; `objects_existing` were written by an earlier delivery of it."""

    records: int
    objects_written: int
    objects_existing: int
    poison: int
    ignored: Mapping[str, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


def ingest(event: Mapping[str, Any], store: FactStore, region: str | None = None) -> Ingested:
    """Store what `event` holds; a failure of the store is raised at once, and the whole batch then repeated.

    Poison is written first: if the store fails later, the repeat finds it there.
    """
    batch = read_batch(event, region=region)
    parts: dict[tuple[str, int], list[RawRecord]] = {}  # by kind and day, counted from 1970
    for record in batch.records:
        parts.setdefault((record.kind, record.timestamp_ms // _DAY_MS), []).append(record)
    earliest = min((records[0].day for records in parts.values()), default=None)
    written = [store.write_poison(poison, earliest) for poison in batch.poison]
    written += [
        store.write_facts(kind, records[0].day, records) for (kind, _), records in sorted(parts.items())
    ]
    return Ingested(
        records=len(batch.records),
        objects_written=sum(written),
        objects_existing=len(written) - sum(written),
        poison=len(batch.poison),
        ignored=batch.ignored,
        reasons=tuple(sorted({poison.reason for poison in batch.poison})),
    )
