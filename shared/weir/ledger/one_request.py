"""The records of one request, found again: those of the hours around its report, by its id.

An hour's facts are few objects, and those who ask know when the request was reported. An hour with more than somebody
waits for is not read.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from weir.ledger import s3_keys
from weir.ledger.fact_files import gathered_names, is_readable, read_facts, request_hash
from weir.ledger.join import distinct, row_of
from weir.ledger.log_records import RawRecord
from weir.ledger.row import Row
from weir.ledger.store import Store, Stored
from weir.pricing.charge_lines import ChargeLine
from weir.pricing.price_book import PriceBook

_AROUND = timedelta(
    hours=1
)  # a request's first record lies no further from its report: Lambda runs 15 minutes
_MAX_BYTES = 64 * 1024**2


def explain(
    store: Store, request_id: str, at: datetime, book: PriceBook, folder: Path
) -> tuple[Row, list[ChargeLine]] | None:
    """The row that a request's records make today, and the products that its price is the sum of.

    None where its records are no longer kept, or are too many to be looked through. Raises StoreError.
    """
    records = distinct(_records(store, request_id, at, folder))
    if not records:
        return None
    lines: list[ChargeLine] = []
    return row_of(request_id, records, {}, book, lines), lines


def _records(store: Store, request_id: str, at: datetime, folder: Path) -> list[RawRecord]:
    day = at.date()
    hours = {f"{at + step:%Y-%m-%dT%H}" for step in (-_AROUND, timedelta(0), _AROUND)}
    wanted: dict[str, Stored] = {
        entry.key: entry
        for entry in store.fact_objects(day, day)
        if (s3_keys.hour_of(entry.key) or "")[:13] in hours
    }
    copies = [entry for hour, entry in store.gathered(day, day).items() if hour[:13] in hours]
    if sum(entry.size for entry in (*wanted.values(), *copies)) > _MAX_BYTES:
        return []
    files = _fetched(store, {entry.key: entry for entry in copies}, folder)
    held = {name for file in files for name in gathered_names(file)}
    files += _fetched(store, {key: entry for key, entry in wanted.items() if key not in held}, folder)
    return list(read_facts(files, "hash = ? AND request_id = ?", request_hash(request_id), request_id))


def _fetched(store: Store, wanted: Mapping[str, Stored], folder: Path) -> list[Path]:
    paths = {key: folder / f"{number}-{len(wanted)}.parquet" for number, key in enumerate(wanted)}
    store.download_all(paths)
    return [path for path in paths.values() if is_readable(path)]
