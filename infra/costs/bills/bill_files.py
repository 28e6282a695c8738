"""Bill files as AWS exports them: CSV, CSV.gz or Parquet, read by DuckDB, whole or not at all.

What a file is, its first bytes say. A file that is cut, or whose lines have another number of columns, or that is not
UTF-8 in a column that is read, is refused with the line; nothing is guessed, padded or skipped.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import duckdb

from infra.costs.bills.lines import Bill, BillError, Format, add_line, check_currency, format_of
from weir.ledger.duck import connect

_MAX_HEADER_BYTES = 1024**2
_LINE = re.compile(r"CSV Error on Line: (\d+)")
_PROBLEMS = (
    (
        re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)"),
        "expected {0} columns, got {1}: a cut line?",
    ),
    (re.compile(r"unterminated quote"), "a quoted value does not end: cut?"),
    (re.compile(r"not utf-8 encoded|Invalid unicode", re.IGNORECASE), "not UTF-8"),
    (re.compile(r"Unexpected end of GZIP stream"), "the gzip data end before their end marker: cut"),
    (re.compile(r"too small to be a Parquet file|No magic bytes found at end"), "the Parquet file is cut"),
)


def read_bill(files: Sequence[Path], on_progress: Callable[[str], None] | None = None) -> Bill:
    """Read bill files as one bill. Raises BillError, naming file, line and column, and OSError."""
    bill = Bill()
    if not files:
        raise BillError("bill", "expected at least one file, got none")
    for file in files:
        if on_progress is not None:
            on_progress(file.name)
        _read(file, bill)
    if not bill.lines and not any(reason != "another service" for reason in bill.left_out):
        others = sum(entry.lines for entry in bill.left_out.values())
        raise BillError(", ".join(bill.files), f"expected lines of AWS Lambda, got none among {others}")
    return bill


def _read(file: Path, bill: Bill) -> None:
    name = file.name
    with file.open("rb") as opened:
        magic = opened.read(4)
    if not magic:
        raise BillError(name, "expected a bill, got an empty file")
    with connect(threads=2) as connection:
        try:
            if magic == b"PAR1":
                columns = _parquet_columns(connection, file)
                known = format_of(name, columns)
                source = f"read_parquet({_text(str(file))}, hive_partitioning = false)"
                first = 1  # the number of a row
            else:
                columns = _header(file, gzipped=magic[:2] == b"\x1f\x8b", bill=bill)
                known = format_of(name, columns)
                source = _csv(file, columns, gzipped=magic[:2] == b"\x1f\x8b")
                first = 2  # the number of a line, after the header (of a record, if values hold line breaks)
            _load(connection, source, known.columns(columns), first)
        except duckdb.Error as error:
            raise _error(name, str(error)) from error
        _take(connection, name, known, list(known.columns(columns)), bill)
    bill.files.append(name)


def _load(connection: duckdb.DuckDBPyConnection, source: str, columns: dict[str, str], first: int) -> None:
    chosen = ", ".join(
        f"CAST({_name(column)} AS VARCHAR) AS {_name(field)}" for field, column in columns.items()
    )
    connection.execute(
        f"CREATE TEMP TABLE bill AS SELECT row_number() OVER () + {first - 1} AS line, {chosen} FROM {source}"
    )


def _take(
    connection: duckdb.DuckDBPyConnection, name: str, known: Format, fields: list[str], bill: Bill
) -> None:
    currencies = connection.execute(
        "SELECT nullif(currency, 'NULL') AS code, min(line) FROM bill GROUP BY 1 ORDER BY 2"
    ).fetchall()
    check_currency(name, currencies, known)
    services = ", ".join(_text(service) for service in known.services)
    ours = f"coalesce(service, '') IN ({services})"
    (others,) = connection.execute(f"SELECT count(*) FROM bill WHERE NOT {ours}").fetchall()[0]
    if others:
        bill.leave_out("another service", lines=others)
    found = connection.execute(
        f"SELECT line, {', '.join(map(_name, fields))} FROM bill WHERE {ours} ORDER BY line"
    )
    while rows := found.fetchmany(10_000):
        for line, *values in rows:
            add_line(bill, name, line, known, dict(zip(fields, values, strict=True)))


def _parquet_columns(connection: duckdb.DuckDBPyConnection, file: Path) -> list[str]:
    rows = connection.execute(
        f"DESCRIBE SELECT * FROM read_parquet({_text(str(file))}, hive_partitioning = false)"
    )
    return [row[0] for row in rows.fetchall()]


def _header(file: Path, *, gzipped: bool, bill: Bill) -> list[str]:
    """The names of a CSV file's columns. Raises BillError."""
    try:
        with gzip.open(file) if gzipped else file.open("rb") as opened:
            head = opened.readline(_MAX_HEADER_BYTES)
        if not gzipped:
            with file.open("rb") as opened:
                opened.seek(-1, 2)
                if opened.read(1) != b"\n":
                    bill.warnings.append(f"{file.name}: the last line does not end: the file may be cut")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BillError(file.name, f"the gzip data are cut or broken: {error}") from error
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BillError(file.name, f"not UTF-8: {error.reason} at byte {error.start}", line=1) from error
    try:
        columns = next(csv.reader([text], strict=True), [])
    except csv.Error:
        columns = []
    if len(head) >= _MAX_HEADER_BYTES or not columns:
        raise BillError(file.name, "expected a line with the names of the columns", line=1)
    return columns


def _csv(file: Path, columns: Iterable[str], *, gzipped: bool) -> str:
    types = ", ".join(f"{_text(column)}: 'VARCHAR'" for column in columns)
    compression = "gzip" if gzipped else "none"
    # No sniffing: a bill that is not what its header says is refused.
    return (
        f"read_csv({_text(str(file))}, columns = {{{types}}}, header = true, auto_detect = false, delim = ',', "
        f"quote = '\"', escape = '\"', strict_mode = true, null_padding = false, compression = '{compression}')"
    )


def _error(name: str, text: str) -> BillError:
    found = _LINE.search(text)
    line = None if found is None else int(found[1])
    for pattern, problem in _PROBLEMS:
        if match := pattern.search(text):
            return BillError(name, problem.format(*match.groups()), line=line)
    # The first line of DuckDB's message says what, the following ones quote the file.
    return BillError(name, f"cannot be read: {text.splitlines()[0][:200]}", line=line)


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
