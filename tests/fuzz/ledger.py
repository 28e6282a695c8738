"""The ledger's twelve properties over random worlds, against an oracle that counts by other means.

A case is one world (ledger_worlds.py), delivered as subscriptions deliver: doubled, reordered, split, spoiled, some
lines late and some never. After each stage every row is compared with the oracle's in all that the oracle knows, which
holds P1 (none lost), P2 (none twice), P3 (any order and split), P4 (late halves), P5 (sums), P11 (whatever was billed
costs something) and P12 (absent is unknown); the others are asked for by name. A case that fails is made smaller.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from random import Random

from tests.fuzz.ledger_oracle import Expected, expected
from tests.fuzz.ledger_worlds import HOUR_MS, Line, World, landings, make_world
from weir.ledger import join as joining
from weir.ledger.landing import read_landing
from weir.ledger.log_records import RawRecord
from weir.ledger.row import Row
from weir.pricing.price_book import PriceBook

BOOK = PriceBook.load()
AGAIN = PriceBook.load()
MIDNIGHT = datetime(2026, 10, 31, tzinfo=UTC)
MIDNIGHT_MS = round(MIDNIGHT.timestamp() * 1000)
DAY = timedelta(days=1)


class MemoryStore:
    """Facts and poison as they arrived; a record that is delivered twice is there twice."""

    def __init__(self) -> None:
        self.facts: list[RawRecord] = []

    def records(self, first: date, last: date) -> list[RawRecord]:
        """What the days hold."""
        return [record for record in self.facts if first <= record.day <= last]

    def everything(self) -> list[RawRecord]:
        """All records."""
        return self.records(date.min, date.max)


def one_case(seed: int) -> None:
    """Draw a world and check it. Raises AssertionError that says what was expected."""
    check(draw(Random(seed)), seed)


def draw(random: Random) -> World:
    """A world around a midnight, or within a day."""
    return make_world(random, MIDNIGHT_MS + random.choice((0, 12)) * HOUR_MS)


def check(world: World, seed: int) -> None:
    """One world, delivered as `seed` says."""
    random, store = Random(seed), MemoryStore()
    early = [line for line in world.lines if line.fate == "early"]
    deliver(random, store, early)
    first = joining.join(store.everything(), BOOK)
    compare(first, expected(world, early))
    arrived = [line for line in world.lines if line.fate != "lost"]
    # What comes later, with some of what was there already: a replay.
    late = [line for line in arrived if line.fate == "late" or random.random() < 0.2]
    deliver(random, store, late)
    rows = joining.join(store.everything(), BOOK)
    compare(rows, expected(world, arrived))
    _days_give_the_range(store, rows, random)
    _completeness(world, arrived, rows)


def deliver(random: Random, store: MemoryStore, given: list[Line]) -> None:
    """Let `given` lines land; P6: what is poison is set aside at its offset, and everything else is read once."""
    for chunks, members in landings(random, given):
        batches = list(read_landing(chunks, "us-east-1"))
        aside = [poison for batch in batches for poison in batch.poison]
        parts = [part for _, part in members if part is not None]
        offsets = [number for part in parts for number, line in enumerate(part) if line.poison]
        found = [poison.offset for poison in aside if poison.log_group is not None]
        same("P6: offsets of what is set aside", found, offsets)
        same("P6: reasons", all(poison.reason and poison.raw for poison in aside), True)
        if None in [part for _, part in members]:
            same("P6: a broken member is set aside", len(aside) > len(offsets), True)
        records = [record for batch in batches for record in batch.records]
        told = [line for part in parts for line in part if line.request is not None]
        same("P6: records beside it", len(records), len(told))
        store.facts += records


def compare(rows: list[Row], wanted: dict[str, Expected]) -> None:
    """P1 to P5, P11, P12: each row against the oracle's."""
    same("P1, P2: the requests", sorted(row.request_id for row in rows), sorted(wanted))
    for row in rows:
        compare_row(row, wanted[row.request_id])


def compare_row(row: Row, one: Expected) -> None:
    """One row against the oracle's."""
    where = f"row {row.request_id}: "
    same(where + "P1, P2 records", row.records, one.records)
    same(where + "P3 at", row.at, one.at)
    same(where + "P4 join_status", row.join_status.value, one.join_status)
    same(where + "P4 outcome", row.outcome, one.outcome)
    same(where + "P5 billed_ms", row.billed_ms, one.billed_ms)
    same(where + "P5 billed_invocations", row.billed_invocations, one.invocations)
    same(where + "P12 streamed_bytes", row.streamed_bytes, one.streamed_bytes)
    used = {name: getattr(row.usage, name) for name in one.tokens}
    same(where + "P12 tokens", used, one.tokens)
    components, phases = row.cost.components, row.cost.phases
    amounts = {name: _units(getattr(components, name)) for name in components.__slots__}
    same(where + "P12 components in 1e-15 USD", amounts, one.amounts)
    same(where + "P5 total", _units(row.cost.total), one.total)
    split = [_units(getattr(phases, name)) for name in phases.__slots__]
    if amounts["lambda_duration"] is None:
        same(where + "P5 phases", set(split), {None})
    else:
        same(where + "P5 phases", sum(part or 0 for part in split), amounts["lambda_duration"])
    if one.billed_ms:
        same(where + "P11: billed and free", one.total > 0 and amounts["lambda_duration"] != 0, True)
    unknown = [name for name, amount in amounts.items() if amount is None and name != "cached_input_tokens"]
    if unknown:
        same(where + f"P12: no reason for {unknown}", bool(row.cost.unpriced), True)


def _days_give_the_range(store: MemoryStore, rows: list[Row], random: Random) -> None:
    """P7, P8, P9: days joined alone, in another order, with the book read again; any zone's days sum to the range."""
    apart: list[Row] = []
    for day in sorted({record.day for record in store.facts}):
        records = store.records(day - DAY, day + DAY)
        random.shuffle(records)
        apart += [row for row in joining.join(records, AGAIN) if row.day == day]
    same("P7, P8, P9: days joined alone", apart, rows)
    zone = timezone(timedelta(minutes=random.randint(-12 * 60, 14 * 60)))
    local: dict[date, Decimal] = {}
    for row in rows:
        day = row.at.astimezone(zone).date()
        local[day] = local.get(day, Decimal(0)) + row.cost.total
    whole = sum((row.cost.total for row in rows), Decimal(0))
    same("P8: local days", sum(local.values(), Decimal(0)), whole)


def _completeness(world: World, arrived: list[Line], rows: list[Row]) -> None:
    """P10: the reports in the log, counted without the ledger, are those in the rows and those that never came."""
    logged = {line.id for line in world.lines if line.kind == "platform.report"}
    missing = logged - {line.id for line in arrived}
    same("P10: reports", sum(row.billed_invocations for row in rows), len(logged) - len(missing))


def same(what: str, got: object, wanted: object) -> None:
    """Raises AssertionError unless both are equal."""
    if got != wanted:
        raise AssertionError(f"{what}: expected {wanted!r}, got {got!r}")


def _units(amount: Decimal | None) -> int | None:
    if amount is None:
        return None
    units = int(amount.scaleb(15))
    if Decimal(units).scaleb(-15) != amount:
        raise AssertionError(f"P5: expected money in 1e-15 USD, got {amount}")
    return units


def smallest(world: World, seed: int, fails: Callable[[World, int], None] = check) -> tuple[World, str]:
    """The world without every line that the failure does not need, and what is wrong with it."""
    said = _failure(world, seed, fails)
    size = len(world.lines)
    while size > 1:
        size = -(-size // 2)
        start = 0
        while start < len(world.lines):
            kept = world.lines[:start] + world.lines[start + size :]
            without = World(world.architecture, world.memory_mb, world.storage_mb, world.front, kept)
            found = _failure(without, seed, fails)
            if found is None:
                start += size
            else:
                world, said = without, found
    return world, said or "it does not fail again"


def _failure(world: World, seed: int, fails: Callable[[World, int], None]) -> str | None:
    try:
        fails(world, seed)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
