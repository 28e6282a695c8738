"""The ledger's properties through S3 (moto's, in this process) and DuckDB: compaction, closing, corrections, backfill.

A case is twenty worlds in one bucket at the end of a month, taken through a month's life: facts arrive, days are compacted, more facts
arrive and are seen at once, the month is closed, what never came is found in the log group and brought in, and becomes
corrections. After each stage the table is compared with the oracle of ledger_oracle.py.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from moto import mock_aws

from tests import log_lines as lines
from tests.fuzz.ledger import AGAIN, BOOK, DAY, MIDNIGHT, same
from tests.fuzz.ledger_oracle import Expected, expected
from tests.fuzz.ledger_worlds import HOUR_MS, Line, World, landings, make_world
from weir.ledger import s3_keys
from weir.ledger.close import close, correct, verify
from weir.ledger.compact import Unit, build_unit, compact, current_rows
from weir.ledger.completeness import reconcile_completeness
from weir.ledger.duck import open_ledger
from weir.ledger.ingest import ingest
from weir.ledger.log_groups import FoundEvent
from weir.ledger.reprice import reprice
from weir.ledger.store import Store
from weir.reports.parquet_cache import RowFiles

MONTH = "2026-10"
WORLDS = 20
FIRST, LAST = date(2026, 10, 29), date(2026, 11, 3)
CLOSED_AT = datetime(2026, 11, 3, 12, tzinfo=UTC)
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
)
AMOUNTS = (
    "lambda_duration lambda_request lambda_streamed_bytes lambda_ephemeral_storage lambda_restore api_gateway logs"
    " input_tokens cached_input_tokens output_tokens"
).split()


@contextmanager
def in_memory_s3() -> Iterator[None]:
    """S3 in this process, with keys that open nothing."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    before = {name: os.environ.get(name) for name in (*keys, "AWS_ENDPOINT_URL", "AWS_PROFILE")}
    os.environ.update(keys)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        os.environ.pop(name, None)
    try:
        with mock_aws():
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def one_case(seed: int) -> None:
    """Draw a world and check it, within `in_memory_s3`. Raises AssertionError that says what was expected."""
    random = Random(seed)
    check(draw(random), seed)


def draw(random: Random) -> World:
    """`WORLDS` worlds at the end of a day, within one, or at the end of the month."""
    around_ms = round(MIDNIGHT.timestamp() * 1000) + random.choice((0, 12, 24)) * HOUR_MS
    return make_world(random, around_ms, WORLDS)


def check(world: World, seed: int) -> None:
    """Take a world through the life of a month."""
    store = Store(f"ledger-{seed}")
    store.client.create_bucket(Bucket=store.bucket)
    try:
        with TemporaryDirectory() as folder:
            _Life(world, Random(seed), store, Path(folder)).run()
    finally:
        for entry in list(store.objects("")):
            store.client.delete_object(Bucket=store.bucket, Key=entry.key)
        store.client.delete_bucket(Bucket=store.bucket)


class _Life:
    """One month; `arrived` are the lines that were delivered until now."""

    def __init__(self, world: World, random: Random, store: Store, folder: Path) -> None:
        self.world = world
        self.random = random
        self.store = store
        self.folder = folder
        self.arrived: list[Line] = []
        self.now = CLOSED_AT - 2 * DAY

    def run(self) -> None:
        early = [line for line in self.world.lines if line.fate == "early"]
        late = [line for line in self.world.lines if line.fate == "late"]
        in_time = self.random.sample(late, self.random.randint(0, len(late)))
        self.deliver(early)
        self.compact()
        self.rows_are_the_oracles()
        # Seen at once, by the join at read, before any compaction.
        self.deliver(in_time)
        self.rows_are_the_oracles()
        self.compact()
        self.close()
        self.deliver([line for line in late if line not in in_time])
        if self.random.random() < 0.5:
            self.backfill()
        self.correct()
        self.sums_are_the_oracles()
        if self.random.random() < 0.3:
            self.reprice()

    def deliver(self, given: list[Line]) -> None:
        """Lines arrive, with some of those that were there already."""
        replayed = [line for line in self.arrived if self.random.random() < 0.1]
        for chunks, _ in landings(self.random, [*given, *replayed], most=50):
            ingest(chunks, self.store, "us-east-1", self.folder)
        self.arrived += given

    def compact(self) -> None:
        """P7: compaction again does nothing, and a day built again has the same rows, in any number of units."""
        compact(self.store, BOOK, FIRST, LAST, self.folder)
        if self.random.random() < 0.5:
            same("P7: compaction again", compact(self.store, AGAIN, FIRST, LAST, self.folder).days, [])
        days = list(current_rows(self.store.row_objects(FIRST, LAST)))
        for day in self.random.sample(days, min(len(days), 1)):
            shards = self.random.choice((1, 1, 2, 3))
            built = [
                build_unit(self.store, AGAIN, Unit(day, n, shards), self.folder / f"again-{n}.parquet")
                for n in range(shards)
            ]
            stored = self.folder / "stored.parquet"
            self.store.download(s3_keys.rows_key(day), stored)
            if shards == 1:
                same(f"P7: bytes of {day}", built[0].path.read_bytes() == stored.read_bytes(), True)
            sql = "SELECT * FROM ledger ORDER BY at_utc, request_id"
            with open_ledger([one.path for one in built]) as again, open_ledger([stored]) as once:
                same(
                    f"P7: rows of {day} in {shards}",
                    again.execute(sql).fetchall(),
                    once.execute(sql).fetchall(),
                )

    def close(self) -> None:
        """The month's snapshot, which holds, and is the same when it is closed again."""
        self.now = CLOSED_AT
        document = close(self.store, MONTH, self.now, self.folder)
        same("closed again", close(self.store, MONTH, CLOSED_AT + DAY, self.folder), document)
        same("verify", verify(self.store, MONTH, self.folder).problems, [])

    def backfill(self) -> None:
        """P10: the count is that of the log group, and what it finds missing is brought in."""
        reports = [line for line in self.world.lines if line.kind == "platform.report"]
        missing = [line for line in reports if line not in self.arrived]
        last_ms = max((line.at_ms for line in self.world.lines), default=0)
        counted = reconcile_completeness(
            [lines.GROUP],
            _Log(self.world.lines),
            self.store,
            now=datetime.fromtimestamp(last_ms / 1000, UTC) + timedelta(hours=1),
            hours=36,
            region="us-east-1",
        )
        same("P10: reports in the log", counted.reports_in_log, len(reports))
        same("P10: reports stored", counted.reports_stored, len(reports) - len(missing))
        self.arrived = list(self.world.lines)

    def correct(self) -> None:
        """P4: what came after the close is a correction, once; the snapshot and the rows stay as they are."""
        correct(self.store, BOOK, MONTH, CLOSED_AT, self.folder)
        again = correct(self.store, AGAIN, MONTH, CLOSED_AT + timedelta(hours=1), self.folder)
        same("P4: corrected again", (again.number, again.rows), (None, 0))
        compact(self.store, BOOK, FIRST, LAST, self.folder)
        same("P4: verify", verify(self.store, MONTH, self.folder).problems, [])

    def reprice(self) -> None:
        """P9: the same prices change nothing."""
        done = reprice(self.store, AGAIN, FIRST, LAST, CLOSED_AT, self.folder, closed_too=True)
        same("P9: changed", (done.changed, done.total.difference, done.elsewhere), (0, Decimal(0), 0))
        same("P9: corrections", [entry.rows for entry in done.corrected], [0])

    def rows_are_the_oracles(self) -> None:
        """P1 to P5, P11, P12: each row is the oracle's."""
        names = (
            "request_id, records, at_utc, join_status, outcome, billed_ms, billed_invocations, streamed_bytes,"
            " input_tokens, output_tokens"
        )
        amounts = ", ".join(f"cost_{name}" for name in AMOUNTS)
        rows = self.query(f"SELECT {names}, {amounts}, total FROM ledger ORDER BY request_id")
        wanted = expected(self.world, self.arrived)
        same("P1, P2: the requests", [row[0] for row in rows], sorted(wanted))
        for row in rows:
            same(f"row {row[0]}", _in_units(row), _as_row(row[0], wanted[row[0]]))

    def sums_are_the_oracles(self) -> None:
        """P2, P4, P5, P8: rows and corrections sum to what there is, by request, outcome and local day."""
        amounts = ", ".join(f"COALESCE(SUM(cost_{name}), 0)" for name in AMOUNTS)
        wanted = expected(self.world, self.arrived)
        rows = self.query(
            "SELECT request_id, SUM(records), COALESCE(SUM(billed_ms), 0), SUM(billed_invocations),"
            f" {amounts}, SUM(total) FROM ledger GROUP BY request_id ORDER BY request_id"
        )
        same("P1: the requests in the end", [row[0] for row in rows], sorted(wanted))
        for row in rows:
            one = wanted[row[0]]
            sums = [one.records, one.billed_ms or 0, one.invocations]
            sums += [one.amounts[name] or 0 for name in AMOUNTS]
            same(f"sums of {row[0]}", _in_units(row), (row[0], *sums, one.total))
        by_outcome: dict[str, int] = {}
        for one in wanted.values():
            name = one.outcome or "unknown"
            by_outcome[name] = by_outcome.get(name, 0) + one.total
        found = self.query("SELECT COALESCE(outcome, 'unknown'), SUM(total) FROM ledger GROUP BY 1")
        sums_by = {name: units for name, units in map(_in_units, found) if units}
        same("P4: money by outcome", sums_by, {name: units for name, units in by_outcome.items() if units})
        zone = self.random.choice(ZONES)
        local = self.query(
            f"SELECT CAST(at_utc AT TIME ZONE 'UTC' AT TIME ZONE '{zone}' AS DATE), SUM(total) FROM ledger GROUP BY 1"
        )
        total = sum(one.total for one in wanted.values())
        same(f"P8: days in {zone}", sum(units for _, units in map(_in_units, local)), total)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the ledger as a reader has them."""
        files = RowFiles(self.store, BOOK, self.folder / "cache", lambda: self.now)
        opened = files.files(FIRST, LAST)
        same("unreadable objects", opened.unreadable, [])
        with open_ledger(opened.files) as connection:
            return connection.execute(sql).fetchall()


class _Log:
    """The function's log group, which nobody skips."""

    def __init__(self, logged: Iterable[Line]) -> None:
        self._lines = list(logged)

    def events(self, group: str, start_ms: int, end_ms: int) -> Iterator[FoundEvent]:
        """The lines of some time."""
        for line in self._lines:
            if start_ms <= line.event["timestamp"] < end_ms:
                yield FoundEvent(line.id, line.stream, line.event["timestamp"], line.event["message"])


def _in_units(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Money in 1e-15 USD."""
    return tuple(int(value.scaleb(15)) if isinstance(value, Decimal) else value for value in row)


def _as_row(name: str, one: Expected) -> tuple[Any, ...]:
    tokens = (one.tokens["input_tokens"], one.tokens["output_tokens"])
    told = (one.join_status, one.outcome, one.billed_ms, one.invocations, one.streamed_bytes)
    amounts = (one.amounts[amount] for amount in AMOUNTS)
    return (name, one.records, one.at.replace(tzinfo=None), *told, *tokens, *amounts, one.total)
