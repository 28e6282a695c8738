"""A unit's rows, quickly: plain requests are joined and priced by SQL in DuckDB, all others by the join itself.

A unit is a day and a shard of its requests. Its facts lie in Parquet files sorted by a hash of the request id. They are
taken in sub-shards, so that memory is bounded whatever the unit holds. A request is plain if its facts are
(fast_join_shapes.py, fast_join_plain.sql) and its prices fit whole numbers (fast_join_prices.py). Its row then equals
the one that `join` makes, to the last digit: a test holds the two against each other.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from weir.ledger.duck import connect, duck_errors, duck_type, parquet, write_query
from weir.ledger.fast_join_prices import PLACE_ITEMS, TOKEN_KINDS, model_rates, place_rates
from weir.ledger.fast_join_shapes import COMPLETED, EARLIER, REPORT, shape_of
from weir.ledger.join import ENVIRONMENT_LIFE_MS, join
from weir.ledger.log_records import RawRecord
from weir.ledger.log_subscription import record_of
from weir.ledger.rollups import roll_up
from weir.ledger.row import Row
from weir.ledger.sql import text_literal
from weir.ledger.table import COLUMNS, flat
from weir.outcomes import Outcome
from weir.pricing.price_book import PriceBook

SUB_SHARD_REQUESTS = 200_000  # in about a gigabyte
JOINED_AT_ONCE = 10_000  # requests that are not plain: each record is a Python object
_HASHES = 1 << 64
_RATE = "STRUCT(n HUGEINT, d HUGEINT)"
_RATES = f'STRUCT("first" {_RATE}, up_to BIGINT, beyond {_RATE})'
_NAMES = ", ".join(f'"{column.name}"' for column in COLUMNS)
_TYPES = ", ".join(f'"{column.name}": {text_literal(duck_type(column.type))}' for column in COLUMNS)


@dataclass(frozen=True, slots=True)
class JoinedUnit:
    """How many rows a unit has, and how many of them SQL made."""

    rows: int
    plain: int


def join_unit(
    facts: Sequence[Path],
    day: date,
    book: PriceBook,
    path: Path,
    *,
    rollup: Path,
    shard: int = 0,
    shards: int = 1,
    metadata: Mapping[str, str],
) -> JoinedUnit:
    """Write the rows of shard `shard` of `shards` of a UTC day to `path`, by time and id, and their roll-up beside.

    `facts` are files of facts of all shards, of the day and of the hours around it in which another record of its
    requests, or one that tells where they ran, may lie. Raises DuckError.
    """
    with (
        duck_errors(),
        TemporaryDirectory(dir=path.parent) as name,
        connect(threads=1, spill=Path(name), in_order=False) as connection,
    ):
        unit = _Unit(connection, facts, day, book, Path(name))
        sql = unit.select(shard, shards)
        write_query(connection, path, f"SELECT * FROM ({sql}) ORDER BY at_utc, request_id", metadata)
    roll_up([path], rollup, metadata)
    return JoinedUnit(unit.rows, unit.plain)


class _Unit:
    """One unit's work on one connection."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        facts: Sequence[Path],
        day: date,
        book: PriceBook,
        folder: Path,
    ) -> None:
        self.rows = self.plain = 0
        self._connection = connection
        self._day = day
        self._book = book
        self._folder = folder
        listed = ", ".join(text_literal(str(file)) for file in facts)
        connection.execute(f"CREATE TEMP VIEW all_facts AS SELECT * FROM read_parquet([{listed}])")
        for macro in _sql("macros").split(";\n"):
            connection.execute(macro)
        for name, shapes in (("completed", COMPLETED), ("report", REPORT), ("earlier", EARLIER)):
            self._let(f"{name}_paths", shapes.paths)
            self._let(f"{name}_objects", shapes.object_paths)
            self._let(f"{name}_structure", shapes.structure)
        self._let("day", day)
        self._let("environment_life", timedelta(milliseconds=ENVIRONMENT_LIFE_MS))
        self._let("outcomes", [outcome.value for outcome in Outcome])
        self._let("price_book_version", book.version)

    def select(self, shard: int, shards: int) -> str:
        """The SQL that gives the unit's rows."""
        first, end = (number * _HASHES // shards for number in (shard, shard + 1))
        within = _between(first, end)
        reports = self._one(f"SELECT count(*) FROM all_facts WHERE kind = 'platform.report' AND {within}")
        count = 1 + reports // SUB_SHARD_REQUESTS
        if count == 1:
            return self._sub_shard(first, end)
        parts = [self._folder / f"part-{number}.parquet" for number in range(count)]
        for number, part in enumerate(parts):
            low, high = (first + (end - first) * edge // count for edge in (number, number + 1))
            write_query(self._connection, part, self._sub_shard(low, high), {})
        return f"SELECT {_NAMES} FROM {parquet(parts)}"

    def _sub_shard(self, low: int, high: int) -> str:
        """The SQL that gives the rows of the requests with these hashes, `high` exclusive."""
        for table in ("requests", "plain", "plain_rows", "others"):
            # Replaced, the last sub-shard's would be there until this one's is whole: twice the memory.
            self._execute(f"DROP TABLE IF EXISTS {table}")
        within = _between(low, high)
        self._execute(f"CREATE OR REPLACE TEMP VIEW facts AS SELECT * FROM all_facts WHERE {within}")
        self._execute(_sql("requests"))
        self._keep_plain_shapes()
        self._execute(_sql("plain"))
        self._keep_prices()
        self._execute(_sql("rows"))
        plain = self._one("SELECT count(*) FROM plain_rows")
        others = self._folder / "others.ndjson"
        joined = self._join_others(others)
        self.plain += plain
        self.rows += plain + joined
        sql = f"SELECT {self._columns()} FROM plain_rows"
        if joined:
            read = f"read_json({text_literal(str(others))}, format = 'newline_delimited', columns = {{{_TYPES}}})"
            sql += f" UNION ALL SELECT {_NAMES} FROM {read}"
        return sql

    def _columns(self) -> str:
        """The table's columns out of `plain_rows`; usage that is not there is none that a plain request has."""
        known = {name for name, *_ in self._execute("DESCRIBE plain_rows").fetchall()}
        values = {
            column.name: "NULL"
            if column.path[0] == "usage" and column.name not in known
            else f'"{column.name}"'
            for column in COLUMNS
        }
        return ", ".join(
            f'CAST({values[column.name]} AS {duck_type(column.type)}) AS "{column.name}"'
            for column in COLUMNS
        )

    def _keep_plain_shapes(self) -> None:
        """The shapes of this sub-shard's facts that SQL reads exactly."""
        self._execute("CREATE OR REPLACE TEMP TABLE plain_shapes (kind VARCHAR, shape VARCHAR)")
        kinds = {"completed": COMPLETED, "report": REPORT, "started": EARLIER, "progress": EARLIER}
        for kind, shapes in kinds.items():
            sql = f"SELECT DISTINCT {kind}_shape FROM requests WHERE {kind}_shape IS NOT NULL"
            for (shape,) in self._execute(sql).fetchall():
                if shapes.is_plain(*shape_of(shape)):
                    self._insert("plain_shapes", [kind, shape])

    def _keep_prices(self) -> None:
        """The prices of the places and models of this sub-shard's plain requests."""
        items = ", ".join(f"{item} {_RATE}" for item in PLACE_ITEMS)
        self._execute(f"CREATE OR REPLACE TEMP TABLE places (region VARCHAR, architecture VARCHAR, {items})")
        for place in self._execute("SELECT DISTINCT region, architecture FROM plain").fetchall():
            if rates := place_rates(place[0], place[1], self._day, self._book):
                self._insert("places", [*place, *rates.values()])
        kinds = ", ".join(f"{kind} {_RATES}" for kind in TOKEN_KINDS)
        sold = "STRUCT(model VARCHAR, seller VARCHAR, tier VARCHAR)"
        self._execute(
            f"CREATE OR REPLACE TEMP TABLE models (sold {sold}, {kinds}, is_priced BOOLEAN, no_token_price VARCHAR)"
        )
        names = "SELECT sold FROM plain UNION SELECT first_sold FROM plain WHERE attempts = 2"
        for (by,) in self._execute(names).fetchall():
            if prices := model_rates(by["model"], by["seller"], by["tier"], self._day, self._book):
                self._insert("models", [by, *prices.values()])

    def _join_others(self, path: Path) -> int:
        """Write the rows of the requests that are not plain; returns how many."""
        self._execute(
            "CREATE TEMP TABLE others AS "
            "SELECT request_id, hash, starteds + checkpoints + completions = 0 AS is_silent, "
            f"(row_number() OVER (ORDER BY hash, request_id) - 1) // {JOINED_AT_ONCE} AS slice "
            "FROM requests WHERE request_id NOT IN (SELECT request_id FROM plain_rows)"
        )
        count = 0
        with path.open("w") as file:
            for slice_ in range(self._one("SELECT coalesce(max(slice) + 1, 0) FROM others")):
                for row in self._joined(slice_):
                    file.write(json.dumps(flat(row), separators=(",", ":")) + "\n")
                    count += 1
        return count

    def _joined(self, slice_: int) -> Iterator[Row]:
        self._let("slice", slice_)
        for name, function in (("low", "min"), ("high", "max")):
            self._execute(
                f"SET VARIABLE {name} = (SELECT {function}(hash) FROM others WHERE slice = {slice_})"
            )
        wanted = {
            request_id
            for (request_id,) in self._execute(
                "SELECT request_id FROM others WHERE slice = ?", [slice_]
            ).fetchall()
        }
        for row in join(self._records(), self._book):
            # A neighbour has a row too, made of what happens to be here: its own is elsewhere.
            if row.request_id in wanted and row.day == self._day:
                yield row

    def _records(self) -> list[RawRecord]:
        records = []
        found = self._execute(_sql("records")).fetchall()
        for event_id, at_ms, log_group, log_stream, region, line_bytes, body in found:
            record = record_of(event_id, at_ms, log_group, log_stream, region, body)
            if record is not None:
                record.line_bytes = line_bytes
                records.append(record)
        return records

    def _let(self, name: str, value: object) -> None:
        self._execute(f"SET VARIABLE {name} = ?", [value])

    def _insert(self, table: str, values: Sequence[object]) -> None:
        self._execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)

    def _one(self, sql: str) -> int:
        [(number,)] = self._execute(sql).fetchall()
        return int(number)

    def _execute(self, sql: str, values: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(sql, list(values))


def _between(low: int, high: int) -> str:
    # Of the column's own type, so that DuckDB holds them against the statistics of row groups.
    return f"hash BETWEEN CAST({low} AS UBIGINT) AND CAST({high - 1} AS UBIGINT)"


def _sql(name: str) -> str:
    return (Path(__file__).parent / f"fast_join_{name}.sql").read_text()
