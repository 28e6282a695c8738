"""Files for other people's programs, written by DuckDB from a query: CSV and Parquet.

CSV is RFC 4180 in UTF-8 with a header line. A text cell that a spreadsheet would run as a formula (it begins with
= + - @, tab or carriage return) gets a leading apostrophe; numbers are never text, so a negative one stays a number.
Null is an empty cell, an empty text is "". https://owasp.org/www-community/attacks/CSV_Injection
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb

from weir.ledger.sql import text_literal

type Progress = Callable[[int, int], None]

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_POLL_S = 0.25


def write_csv(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    sql: str,
    parameters: Sequence[Any],
    rows: int,
    on_progress: Progress,
) -> int:
    """Write what a query gives as CSV, and return how many rows.

    Instants with a zone end in Z, lists and maps are JSON.
    """
    columns = connection.execute(f"DESCRIBE {sql}", parameters).fetchall()
    cells = ", ".join(f'{_cell(name, kind)} AS "{name}"' for name, kind, *_ in columns)
    options = "FORMAT csv, HEADER true, NEW_LINE '\\r\\n', OVERWRITE_OR_IGNORE true"
    return _copy(connection, f"SELECT {cells} FROM ({sql})", path, options, parameters, rows, on_progress)


def write_parquet(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    sql: str,
    parameters: Sequence[Any],
    metadata: Mapping[str, str],
    rows: int,
    on_progress: Progress,
) -> int:
    """Write what a query gives as Parquet with its own types, and `metadata` as the file's key-values.

    Returns how many rows it has.
    """
    values = ", ".join(f"{text_literal(name)}: {text_literal(value)}" for name, value in metadata.items())
    options = f"FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{values}}}"
    return _copy(connection, sql, path, options, parameters, rows, on_progress)


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        hashed = sha256()
        while block := file.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()


def _cell(name: str, kind: str) -> str:
    quoted = f'"{name}"'
    if kind == "VARCHAR":
        starts = ", ".join(f"chr({ord(character)})" for character in FORMULA_STARTS)
        return f"CASE WHEN left({quoted}, 1) IN ({starts}) THEN '''' || {quoted} ELSE {quoted} END"
    if kind == "TIMESTAMP":
        return f"strftime({quoted}, '%Y-%m-%dT%H:%M:%S.%g')"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"strftime({quoted}, '%Y-%m-%dT%H:%M:%SZ')"
    if kind.startswith("MAP") or kind.endswith("[]"):
        return f"json_format(CAST({quoted} AS json))"
    return quoted


def _copy(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    path: Path,
    options: str,
    parameters: Sequence[Any],
    rows: int,
    on_progress: Progress,
) -> int:
    """Run COPY, and say now and then how far it is: DuckDB knows it in percent. Returns how many rows it wrote."""
    statement = f"COPY ({sql}) TO {text_literal(str(path))} ({options})"
    on_progress(0, rows)
    with ThreadPoolExecutor(1) as pool:
        running: Future[Any] = pool.submit(connection.execute, statement, parameters)
        while not wait([running], timeout=_POLL_S).done:
            if (percent := connection.query_progress()) > 0:
                on_progress(min(rows, round(rows * percent / 100)), rows)
        running.result()
    on_progress(rows, rows)
    return int(connection.fetchall()[0][0])
