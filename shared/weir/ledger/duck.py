"""DuckDB over the ledger's Parquet: writes rows as files, and runs the same SQL that Athena runs.

The SQL is Trino's; what Trino calls by another name is a macro here, so the text is the same for both engines.
https://duckdb.org/docs/stable/data/parquet/overview
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from weir.errors import StorageError
from weir.ledger.row import Row
from weir.ledger.sql import text_literal
from weir.ledger.table import COLUMNS, flat

# Trino's names for what DuckDB has under others.
_MACROS = (
    "CREATE MACRO approx_percentile(value, share) AS quantile_cont(value, share)",
    "CREATE MACRO element_at(map, key) AS map[key]",
    "CREATE MACRO json_format(value) AS CAST(value AS VARCHAR)",
)
# Databases that nobody uses at the moment, by memory and threads.
_UNUSED: dict[tuple[str, int], list[duckdb.DuckDBPyConnection]] = {}


class DuckError(StorageError):
    """DuckDB could not do what it was asked to; says what it said, shortly."""


@contextmanager
def duck_errors() -> Iterator[None]:
    """Raise what DuckDB raises as DuckError."""
    try:
        yield
    except duckdb.Error as error:
        first = str(error).partition("\n")[0]
        raise DuckError(f"DuckDB: {first[:300]}") from error


def duck_type(trino: str) -> str:
    """A column's type in DuckDB's words."""
    words = {
        "timestamp(3)": "TIMESTAMP",
        "map(varchar,varchar)": "MAP(VARCHAR, VARCHAR)",
        "array(varchar)": "VARCHAR[]",
    }
    return words.get(trino, trino.upper())


def open_database(
    memory: str = "700MB", threads: int = 2, spill: Path | None = None, *, in_order: bool = True
) -> duckdb.DuckDBPyConnection:
    """A database in memory that installs nothing, keeps times in UTC, and spills to `spill` if that is given.

    Not `in_order`, what it writes without ORDER BY may lie in another order than what it read, which takes less memory.
    """
    config: dict[str, Any] = {
        "memory_limit": memory, "threads": threads, "preserve_insertion_order": in_order,
    }  # fmt: skip
    if spill is not None:
        config["temp_directory"] = str(spill)
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET autoinstall_known_extensions = false")
    for macro in _MACROS:
        connection.execute(macro)
    _set_up(connection)
    return connection


@contextmanager
def connect(
    memory: str = "700MB", threads: int = 2, spill: Path | None = None, *, in_order: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The same as a context, which has the database to itself and may make nothing in it but what is TEMP.

    Opening one takes longer than most statements over a small day, so it is kept for the next.
    """
    unused = _UNUSED.setdefault((memory, threads), [])
    try:
        database = unused.pop()
    except IndexError:
        database = open_database(memory, threads)
    try:
        database.execute(f"SET preserve_insertion_order = {in_order}")
        if spill is not None:
            database.execute(f"SET temp_directory = {text_literal(str(spill))}")
        with database.cursor() as connection:
            _set_up(connection)
            yield connection
    except BaseException:
        database.close()
        raise
    if _is_as_new(database):
        unused.append(database)
    else:
        database.close()


def _is_as_new(database: duckdb.DuckDBPyConnection) -> bool:
    try:
        database.execute("RESET temp_directory")
    except duckdb.Error:  # it has spilled, and holds on to a folder that is about to go
        return False
    return True


def _set_up(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("SET TimeZone = 'UTC'")
    # Long work asks how far it is; nothing is printed.
    connection.execute("SET enable_progress_bar = true")
    connection.execute("SET enable_progress_bar_print = false")


def write_rows(path: Path, rows: Iterable[Row], metadata: Mapping[str, str]) -> int:
    """Write rows, by time and id, as one Parquet file with `metadata` as its key-values; returns how many.

    The same rows in any order give the same bytes; they are never all in memory.
    """
    return write_flat(path, map(flat, rows), metadata)


def write_flat(path: Path, rows: Iterable[Mapping[str, Any]], metadata: Mapping[str, str]) -> int:
    """The same of rows that are flat already: each a JSON object of the table's columns."""
    with TemporaryDirectory(dir=path.parent) as folder:
        lines = Path(folder) / "rows.ndjson"
        written = 0
        with lines.open("w") as file:
            for row in rows:
                file.write(json.dumps(row, separators=(",", ":")) + "\n")
                written += 1
        columns = ", ".join(f'"{column.name}": {text_literal(duck_type(column.type))}' for column in COLUMNS)
        source = (
            f"read_json({text_literal(str(lines))}, format = 'newline_delimited', columns = {{{columns}}})"
        )
        with connect(threads=1, spill=Path(folder)) as connection:
            write_query(connection, path, f"SELECT * FROM {source} ORDER BY at_utc, request_id", metadata)
    return written


def write_query(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    sql: str,
    metadata: Mapping[str, str],
    row_group: int = 122_880,
) -> None:
    """Write what a query gives as one Parquet file with `metadata` as its key-values."""
    values = ", ".join(
        f"{text_literal(name)}: {text_literal(value)}" for name, value in sorted(metadata.items())
    )
    connection.execute(
        f"COPY ({sql}) TO {text_literal(str(path))} (FORMAT parquet, COMPRESSION zstd,"
        f" ROW_GROUP_SIZE {row_group}, KV_METADATA {{{values}}})"
    )


def key_values(files: Sequence[Path], key: str) -> list[str]:
    """The value of one metadata key in each of the Parquet files that has it."""
    if not files:
        return []
    listed = ", ".join(text_literal(str(file)) for file in files)
    sql = f"SELECT value FROM parquet_kv_metadata([{listed}]) WHERE key = CAST(? AS BLOB) ORDER BY file_name"
    with connect(threads=1) as connection:
        return [value.decode() for (value,) in connection.execute(sql, [key]).fetchall()]


def has_columns(file: Path, names: Iterable[str]) -> bool:
    """Whether a file is Parquet and has these columns."""
    try:
        with connect(threads=1) as connection:
            found = connection.execute("SELECT name FROM parquet_schema(?)", [str(file)]).fetchall()
    except duckdb.Error:
        return False
    return {name for (name,) in found} >= set(names)


def parquet(files: Sequence[Path], options: str = "hive_partitioning = false") -> str:
    """The SQL that names the rows of some files, with every column: null where a file is older than the column."""
    columns = ", ".join(f'CAST(NULL AS {duck_type(column.type)}) AS "{column.name}"' for column in COLUMNS)
    empty = f"SELECT {columns} WHERE false"
    if not files:
        return f"({empty})"
    listed = ", ".join(text_literal(str(file)) for file in files)
    return (
        f"({empty} UNION ALL BY NAME SELECT * FROM read_parquet([{listed}], union_by_name = true, {options}))"
    )


def open_ledger(
    files: Sequence[Path], *, writes: Sequence[Path] = (), **settings: Any
) -> duckdb.DuckDBPyConnection:
    """A connection whose view `ledger` holds the rows of `files`, with `dt`, the partition, as Athena has it.

    It reads nothing but the folders of `files`, and writes nothing but those of `writes`: whatever a statement
    holds, it reaches no other file, no network and no setting.
    """
    connection = open_database(**settings)
    lock(connection, {file.parent for file in files} | set(writes))
    names = ", ".join(f'"{column.name}"' for column in COLUMNS)
    if files and all(file.parent.name.startswith("dt=") for file in files):
        # From the folder's name, so that a condition on it passes over whole files, as Athena does.
        dt, source = "dt", parquet(files, "hive_partitioning = true, hive_types = {'dt': VARCHAR}")
    else:
        dt, source = "CAST(day AS VARCHAR) AS dt", parquet(files)
    connection.execute(f"CREATE VIEW ledger AS SELECT {names}, {dt} FROM {source}")
    return connection


def lock(connection: duckdb.DuckDBPyConnection, folders: Iterable[Path]) -> None:
    """Let a connection reach nothing but `folders` from now on: no other file, no network, no setting.

    https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview
    """
    listed = ", ".join(text_literal(f"{folder.resolve()}/") for folder in sorted(folders))
    connection.execute(f"SET allowed_directories = [{listed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
