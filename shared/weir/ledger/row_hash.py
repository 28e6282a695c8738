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
    sums = ", ".join(f"SUM({name})" for name in summed())
    # One statement: of a small file, what takes time is to make the plan.
    asked = (
        f"{_HASH_SQL}, histogram(join_status), count(*) FILTER (cardinality(unpriced) > 0),"
        " list(DISTINCT price_book_version ORDER BY price_book_version),"
        f" count(*) FILTER (entry <> 'metering'), {sums}"
    )
    with connect(threads=1, spill=path.parent) as connection:
        found = connection.execute(f"SELECT {asked} FROM ({_hashed(path)})").fetchall()
    [(digest, statuses, unpriced, books, count, *totals)] = found
    states = {
        "join_status": statuses or {},
        "unpriced": unpriced,
        "books": [book for book in books or () if book],
    }
    return {
        HASH: digest,
        TOTALS: json.dumps([count, *map(_text, totals)], separators=(",", ":")),
        STATES: json.dumps(states, separators=(",", ":")),
    }


def rows_hash(path: Path) -> str:
    """The hash of a file's rows."""
    with connect(threads=1, spill=path.parent) as connection:
        return str(connection.execute(f"SELECT {_HASH_SQL} FROM ({_hashed(path)})").fetchall()[0][0])


def _canonical(name: str, kind: str) -> str:
    value = f"CAST({name} AS VARCHAR)"
    if kind.startswith(("map", "array")):
        value = f"CAST(to_json({name}) AS VARCHAR)"
    elif kind == "timestamp(3)":
        value = f"CAST(epoch_ms({name}) AS VARCHAR)"
    # A line each, none where the value is null; a value that holds a line break is told apart by its length.
    return f"'{name} ' || strlen({value}) || ' ' || {value} || chr(10)"


def _hashed(path: Path) -> str:
    """The SQL of a file's rows, each with the hash of its canonical text."""
    parts = ", ".join(
        _canonical(column.name, column.type) for column in sorted(COLUMNS, key=lambda c: c.name)
    )
    return f"SELECT *, sha256(concat({parts})) AS row_hash FROM {parquet([path])}"  # concat passes over what is null


_HASH_SQL = "sha256(coalesce(string_agg(row_hash, '' ORDER BY row_hash), ''))"


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
