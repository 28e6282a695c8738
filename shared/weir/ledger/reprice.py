"""Pricing again: what the rows that are booked would cost with the book of today, by component and by model.

Only prices are compared: a request whose facts have changed since it was booked is counted apart, since compaction
prices it anew anyway. The same book gives the same numbers, so nothing differs. Open days are written again if asked
for; closed months stay as they are, and become corrections if that is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from weir.ledger import s3_keys
from weir.ledger.close import Corrected, booked_files, closed_months, correct
from weir.ledger.compact import (
    Progress,
    Unit,
    build_unit,
    current_rows,
    facts_around,
    facts_expired,
    no_progress,
)
from weir.ledger.corrections import amounts, differences_sql, shard_condition
from weir.ledger.duck import connect, parquet
from weir.ledger.kept_books import keep_book
from weir.ledger.store import Store, Stored
from weir.pricing.money import plain
from weir.pricing.price_book import PriceBook


@dataclass(slots=True)
class Change:
    """One amount as booked and as it would be, USD."""

    booked: Decimal = Decimal(0)
    now: Decimal = Decimal(0)

    @property
    def difference(self) -> Decimal:
        """What the new prices add; negative, if they take."""
        return self.now - self.booked

    def as_json(self) -> dict[str, str]:
        """Money as strings."""
        return {"booked": plain(self.booked), "now": plain(self.now), "difference": plain(self.difference)}


@dataclass(slots=True)
class Repriced:
    """The comparison: `requests` with the same facts, `changed` of them with other money, `elsewhere` not compared."""

    version: str
    booked_versions: list[str] = field(default_factory=list)
    days: int = 0
    requests: int = 0
    changed: int = 0
    elsewhere: int = 0
    total: Change = field(default_factory=Change)
    components: dict[str, Change] = field(default_factory=dict)
    models: dict[str, Change] = field(default_factory=dict)
    written: list[date] = field(default_factory=list)
    corrected: list[Corrected] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The comparison as it is shown; money as strings in USD."""
        return {
            "price_book": {"booked": sorted(self.booked_versions), "now": self.version},
            "days": self.days,
            "requests": self.requests,
            "changed": self.changed,
            "not_compared": self.elsewhere,
            "currency": "USD",
            "total": self.total.as_json(),
            "components": _json(self.components),
            "models": _json(self.models),
            "written": [day.isoformat() for day in self.written],
            "corrected": [entry.as_json() for entry in self.corrected],
        }


def reprice(
    store: Store,
    book: PriceBook,
    first: date,
    last: date,
    now: datetime,
    folder: Path,
    on_progress: Progress = no_progress,
    *,
    apply: bool = False,
    closed_too: bool = False,
) -> Repriced:
    """Compare the booked days `first` to `last` with what `book` makes of them; nothing is written unless asked.

    `apply` writes open days anew, where their facts are all still there; `closed_too` books closed months' differences
    as corrections, for the whole month, because a month has one chain of them. Raises StoreError.
    """
    done = Repriced(book.version)
    rows = current_rows(store.row_objects(first, last))
    facts = store.fact_objects(first, last)
    closed = closed_months(store, first, last)
    versions: set[str] = set()
    for number, day in enumerate(sorted(rows)):
        on_progress(f"reprice {day}", number, len(rows))
        for shard, entry in enumerate(rows[day]):
            unit = Unit(day, shard, len(rows[day]))
            _compare(
                store, book, unit, entry, facts_around(facts, day), closed, folder, done, versions, apply
            )
        done.days += 1
    done.booked_versions = sorted(versions)
    if closed_too:
        done.corrected = [
            correct(store, book, month, now, folder, on_progress, prices=True) for month in closed
        ]
    on_progress("reprice", len(rows), len(rows))
    return done


def _compare(
    store: Store,
    book: PriceBook,
    unit: Unit,
    entry: Stored,
    objects: Sequence[Stored],
    closed: Sequence[str],
    folder: Path,
    done: Repriced,
    versions: set[str],
    apply: bool,
) -> None:
    day = unit.day
    frozen = s3_keys.month_of(day) in closed
    with TemporaryDirectory(dir=folder) as work:
        built = build_unit(store, book, unit, Path(work) / "fresh.parquet", objects=objects)
        booked = _booked(store, entry, day, frozen, Path(work))
        with connect(spill=Path(work)) as connection:
            of_unit = f"(SELECT * FROM {parquet(booked)} WHERE {shard_condition(unit.shard, unit.shards)})"
            compared = connection.execute(differences_sql(parquet([built.path]), of_unit, day)).fetchall()
            known = connection.execute(
                f"SELECT DISTINCT price_book_version FROM {of_unit} WHERE price_book_version IS NOT NULL"
            ).fetchall()
        versions.update(version for (version,) in known)
        same = 0
        for model, requests, changed, *sums in compared:
            same += requests
            done.changed += changed
            for name, old, new in zip(amounts(), sums[::2], sums[1::2], strict=True):
                if name == "total":
                    _add(done.total, old, new)
                    _add(done.models.setdefault(model, Change()), old, new)
                else:
                    component = name.removeprefix("cost_")
                    _add(done.components.setdefault(component, Change()), old, new)
        done.requests += same
        beside = store.metadata(entry.key) or {}
        done.elsewhere += max(built.rows, int(beside.get("rows", 0))) - same
        if apply:
            keep_book(store, book)
        if (
            apply
            and not frozen
            and not facts_expired(objects, beside)
            and store.upload(entry.key, built.path, built.object_metadata(), replaces=entry.etag)
        ):
            done.written.append(day)


def _booked(store: Store, entry: Stored, day: date, frozen: bool, folder: Path) -> list[Path]:
    if frozen:
        return booked_files(store, s3_keys.month_of(day), day, folder)
    path = folder / "booked.parquet"
    store.download(entry.key, path)
    return [path]


def _add(change: Change, booked: Decimal | None, now: Decimal | None) -> None:
    change.booked += booked or Decimal(0)
    change.now += now or Decimal(0)


def _json(changes: Mapping[str, Change]) -> dict[str, dict[str, str]]:
    return {name: change.as_json() for name, change in sorted(changes.items())}
