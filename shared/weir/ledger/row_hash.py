"""What a file of rows says, apart from how it is written: a hash of its rows, and their sums.

Parquet's bytes depend on the engine's version and plan; the rows do not. A row's canonical text names each column that
is not null with its value, in order of the names: so neither the order of rows or columns nor a column that is added
later changes the hash of a file.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from weir.ledger.corrections import summed
from weir.ledger.duck import connect, parquet
from weir.ledger.table import COLUMNS
from weir.pricing.money import plain

HASH, TOTALS, STATES = "rows-sha256", "totals", "states"


def describe_rows(path: Path) -> dict[str, str]:
    """The hash of a file's rows, and the sums and counts that a closed month states, as S3 keeps them beside it."""
    rows = parquet([path])
    sums = ", ".join(f"SUM({name})" for name in summed())
    with connect(threads=1, spill=path.parent) as connection:
        ask = connection.execute
        asked = f"{_HASH_SQL}, count(*) FILTER (entry <> 'metering'), {sums}"
        digest, count, *totals = ask(f"SELECT {asked} FROM {rows}").fetchall()[0]
        statuses = ask(
            f"SELECT join_status, count(*) FROM {rows} WHERE join_status IS NOT NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
        [(unpriced,)] = ask(f"SELECT count(*) FROM {rows} WHERE cardinality(unpriced) > 0").fetchall()
        books = ask(f"SELECT DISTINCT price_book_version FROM {rows} ORDER BY 1").fetchall()
    states = {
        "join_status": dict(statuses),
        "unpriced": unpriced,
        "books": [book for (book,) in books if book],
    }
    return {
        HASH: digest,
        TOTALS: json.dumps([count, *map(_text, totals)], separators=(",", ":")),
        STATES: json.dumps(states, separators=(",", ":")),
    }


def rows_hash(path: Path) -> str:
    """The hash of a file's rows."""
    with connect(threads=1, spill=path.parent) as connection:
        return str(connection.execute(f"SELECT {_HASH_SQL} FROM {parquet([path])}").fetchall()[0][0])


def _canonical(name: str, kind: str) -> str:
    value = f"CAST({name} AS VARCHAR)"
    if kind.startswith(("map", "array")):
        value = f"CAST(to_json({name}) AS VARCHAR)"
    elif kind == "timestamp(3)":
        value = f"CAST(epoch_ms({name}) AS VARCHAR)"
    # A line each; a value that holds a line break is told apart by its length.
    return f"CASE WHEN {name} IS NOT NULL THEN '{name} ' || strlen({value}) || ' ' || {value} || chr(10) END"


def _hash_sql() -> str:
    parts = ", ".join(
        _canonical(column.name, column.type) for column in sorted(COLUMNS, key=lambda c: c.name)
    )
    row = f"sha256(concat({parts}))"  # concat passes over what is null
    return f"sha256(coalesce(string_agg({row}, '' ORDER BY {row}), ''))"


_HASH_SQL = _hash_sql()


def _text(value: Any) -> str | int | None:
    return value if value is None or isinstance(value, int) else plain(value)


def add_totals(parts: Sequence[Sequence[Any]]) -> list[Any]:
    """The sums of what `describe_rows` said of several files; null where none knows it."""
    added: list[Any] = []
    for values in zip(*parts, strict=True):
        known = [value for value in values if value is not None]
        if not known:
            added.append(None)
        elif any(isinstance(value, str) for value in known):
            added.append(plain(sum((Decimal(value) for value in known), Decimal(0))))
        else:
            added.append(sum(known))
    return added
