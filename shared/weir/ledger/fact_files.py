"""Facts as Parquet files, one an hour: header columns, and the log line as it came.

The hour is that of the record, UTC. A file is sorted by a hash of the request id, so the records of a request lie
together, and a shard of a day's requests is a run of row groups in every file. Shard k of N holds the hashes from
k * 2**64 / N to (k + 1) * 2**64 / N. A file is named by what it holds, in any order: the same records delivered again
get the same name, whatever version of DuckDB writes them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import TextIO

import duckdb

from weir.ledger.duck import connect, has_columns, key_values, write_query
from weir.ledger.log_records import RawRecord
from weir.ledger.log_subscription import PoisonError, record_of
from weir.ledger.sql import text_literal

COLUMNS = {
    "hash": "UBIGINT",
    "event_id": "VARCHAR",
    "request_id": "VARCHAR",
    "kind": "VARCHAR",
    "at": "TIMESTAMP_MS",
    "log_group": "VARCHAR",
    "log_stream": "VARCHAR",
    "region": "VARCHAR",
    "bytes": "INTEGER",
    "body": "VARCHAR",
}
_ORDER = '"hash" NULLS FIRST, "at", event_id'
_ROW_GROUP = 8192
_HELD_CHARACTERS = 1024**2  # of an hour's lines in memory
_FETCHED = 2_000
_HOUR_MS = 3_600_000
_NAMES = "objects"  # of a gathered file's key-values
_NONE: Mapping[str, str] = MappingProxyType({})
_encode = json.encoder.encode_basestring_ascii


class FactsError(ValueError):
    """A file of facts that is none."""


@dataclass(frozen=True, slots=True)
class FactFile:
    """One hour's facts in a local file."""

    hour: datetime
    path: Path
    name: str
    records: int


@dataclass(slots=True)
class _Hour:
    path: Path
    held: list[str] = field(default_factory=list)
    characters: int = 0
    digest: int = 0
    records: int = 0

    def write(self) -> None:
        with self.path.open("a") as file:
            file.write("".join(self.held))
        self.held, self.characters = [], 0


class FactsWriter:
    """Takes records one by one, in memory that does not grow with them, and writes one file for each hour."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hours: dict[int, _Hour] = {}

    def add(self, record: RawRecord) -> None:
        """Take one record."""
        number = record.timestamp_ms // _HOUR_MS
        hour = self._hours.get(number)
        if hour is None:
            hour = self._hours[number] = _Hour(self._folder / f"facts-{number}.ndjson")
        line = _line(record)
        # A sum does not depend on the order in which records came.
        hour.digest += int.from_bytes(sha256(line.encode()).digest())
        hour.held.append(line)
        hour.characters += len(line)
        hour.records += 1
        if hour.characters > _HELD_CHARACTERS:
            hour.write()

    def close(self) -> Iterator[FactFile]:
        """Write the files, and name them."""
        if not self._hours:
            return
        # One database for all of them: opening it takes longer than writing an hour of few lines.
        with connect(threads=1, spill=self._folder) as connection:
            for number, hour in sorted(self._hours.items()):
                hour.write()
                path = hour.path.with_suffix(".parquet")
                _write(connection, _lines_sql(hour.path), path)
                hour.path.unlink()
                name = f"{hour.digest % 2**256:064x}"
                yield FactFile(datetime.fromtimestamp(number * 3600, UTC), path, name, hour.records)


def request_hash(request_id: str) -> int:
    """The hash by which requests are sorted, and dealt to shards."""
    return int.from_bytes(sha256(request_id.encode()).digest()[:8])


def gather(files: Sequence[Path], path: Path, folder: Path, names: Iterable[str]) -> None:
    """Write several files of facts as one that says whose `names` it holds; what two hold alike is written once."""
    with connect(threads=1, spill=folder) as connection:
        _write(
            connection,
            f"SELECT DISTINCT * FROM {facts_sql(files)}",
            path,
            {_NAMES: json.dumps(sorted(names))},
        )


def gathered_names(path: Path) -> list[str]:
    """The names of the files that a gathered one holds."""
    (listed,) = key_values([path], _NAMES)
    return list(json.loads(listed))


def is_readable(path: Path) -> bool:
    """Whether a file is one of facts."""
    return has_columns(path, COLUMNS)


def read_facts(files: Sequence[Path], condition: str = "true", *values: object) -> Iterator[RawRecord]:
    """The records of some files that meet an SQL condition, by hash, time and event id. Raises FactsError."""
    if not files:
        return
    with connect(threads=1) as connection:
        sql = (
            'SELECT event_id, epoch_ms("at"), log_group, log_stream, region, body, bytes'
            f" FROM {facts_sql(files)} WHERE {condition} ORDER BY {_ORDER}"
        )
        try:
            found = connection.execute(sql, list(values))
            while rows := found.fetchmany(_FETCHED):
                for *header, size in rows:
                    if (record := record_of(*header)) is not None:
                        record.line_bytes = size
                        yield record
        except (duckdb.Error, PoisonError) as error:
            raise FactsError(f"expected files of facts, got {type(error).__name__}: {error}") from error


def event_ids(files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Log group and id of every record of some files."""
    if files:
        with connect(threads=1) as connection:
            found = connection.execute(f"SELECT log_group, event_id FROM {facts_sql(files)}")
            while rows := found.fetchmany(_FETCHED):
                yield from rows


def reports_by_hour(files: Sequence[Path], day: date, low: int = 0, high: int = 2**64) -> list[int]:
    """How many distinct platform.report there are in each UTC hour of a day, of the hashes from `low` to `high`."""
    found = [0] * 24
    if files:
        sql = (
            'SELECT hour("at"), count(DISTINCT (log_group, event_id))'
            f" FROM {facts_sql(files)} WHERE kind = 'platform.report' AND CAST(\"at\" AS DATE) = DATE '{day}'"
            f' AND "hash" BETWEEN {low} AND {high - 1} GROUP BY 1'
        )
        with connect(threads=1) as connection:
            for hour, count in connection.execute(sql).fetchall():
                found[hour] = count
    return found


def facts_sql(files: Sequence[Path]) -> str:
    """The SQL that names the records of some files."""
    return f"read_parquet([{', '.join(text_literal(str(file)) for file in files)}])"


def write_facts(records: Iterable[RawRecord], path: Path, folder: Path) -> None:
    """Write records of any hours as one file."""
    lines = folder / f"{path.stem}.ndjson"
    with lines.open("w") as file:
        _write_lines(records, file)
    with connect(threads=1, spill=folder) as connection:
        _write(connection, _lines_sql(lines), path)
    lines.unlink()


def _write_lines(records: Iterable[RawRecord], file: TextIO) -> None:
    for record in records:
        file.write(_line(record))


def _line(record: RawRecord) -> str:
    """A record as one line of JSON for DuckDB."""
    # Put together by hand: an encoder takes longer.
    request, region, size = record.request_id, record.region, record.line_bytes
    return (
        f'{{"hash":{"null" if request is None else request_hash(request)}'
        f',"event_id":{_encode(record.event_id)}'
        f',"request_id":{"null" if request is None else _encode(request)}'
        f',"kind":"{record.kind}","at":{record.timestamp_ms}'
        f',"log_group":{_encode(record.log_group)},"log_stream":{_encode(record.log_stream)}'
        f',"region":{"null" if region is None else _encode(region)}'
        f',"bytes":{"null" if size is None else size},"body":{_encode(_text(record.line))}}}\n'
    )


def _text(line: str) -> str:
    # Half a surrogate pair cannot be written as UTF-8; JSON's own escape of one, in ASCII, is left as it is.
    return line if line.isascii() else line.encode("utf-8", "replace").decode()


def _lines_sql(path: Path) -> str:
    kinds = {**COLUMNS, "at": "BIGINT"}
    listed = ", ".join(f'"{name}": {text_literal(kind)}' for name, kind in kinds.items())
    return (
        'SELECT * REPLACE (make_timestamp_ms("at") AS "at") FROM'
        f" read_json({text_literal(str(path))}, format = 'newline_delimited', columns = {{{listed}}},"
        " maximum_object_size = 67108864)"
    )


def _write(
    connection: duckdb.DuckDBPyConnection, sql: str, path: Path, metadata: Mapping[str, str] = _NONE
) -> None:
    selected = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in COLUMNS.items())
    write_query(connection, path, f"SELECT {selected} FROM ({sql}) ORDER BY {_ORDER}", metadata, _ROW_GROUP)
