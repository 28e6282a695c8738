"""Roll-ups: rows that are alike in everything a report splits by, as one row of sums, counts and histograms.

A roll-up is written with each unit's rows, and reports read it instead of them. Its columns are made from the row's:
what a report splits, filters or counts by is kept apart, and a quantity is summed. What no report asks for (memory,
versions, statuses) is left to the rows: kept apart too, it would make nearly as many roll-ups as there are requests.
Sums are of whole numbers and decimals, so no digit is lost and the order of adding does not matter. The roll-up of
several roll-ups is the roll-up of all their rows.

Percentiles come from histograms of whole counts, whose steps grow by 2 %: the middle of a step is off by at most 1 %.
A tag with very many values would make a roll-up as long as the rows; it is left out, and named in the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from weir.ledger.duck import (
    connect,
    duck_errors,
    duck_type,
    key_values,
    lock,
    open_database,
    parquet,
    write_query,
)
from weir.ledger.sql import text_literal
from weir.ledger.table import COLUMNS, MONEY

MAX_TAG_VALUES = 1_000
ALWAYS_KEPT_TAGS = ("feature", "tenant")  # every report splits by them
LEFT_OUT = "tags-left-out"
STEP = 1.02
ZERO_STEP = -32_768
_HISTOGRAM = "map(integer,bigint)"


@dataclass(frozen=True, slots=True)
class RollupColumn:
    """A column's name and its type in Trino."""

    name: str
    type: str


# What sql/requested.sql names, filters and counts by.
_ASKED = {
    "entry", "corrects", "join_status", "outcome", "function", "model", "model_returned", "schema_name", "tenant",
    "tags", "price_book_version", "unpriced", "answered_from", "anomalies",
}  # fmt: skip
_DIMENSIONS = tuple(RollupColumn(column.name, column.type) for column in COLUMNS if column.name in _ASKED)
_SUMMED = tuple(
    RollupColumn(column.name, column.type)
    for column in COLUMNS
    if column.role == "quantity" and column.type in ("bigint", MONEY)
)
_KEYS = (
    RollupColumn("quarter_utc", "timestamp(3)"),
    *_DIMENSIONS,
    RollupColumn("is_cold", "boolean"),
    RollupColumn("is_retried", "boolean"),
    RollupColumn("is_split", "boolean"),  # a sum over some whose phases are known hides those whose are not
    RollupColumn("is_taken_back", "boolean"),  # a sum with corrections that book anew hides which of them do
)
_COUNTS = tuple(RollupColumn(name, "bigint") for name in ("rows", "requests", "rows_estimated", "rows_saved"))
_ADDED = (*_COUNTS, *_SUMMED, RollupColumn("estimated_final", MONEY))
_LARGEST = (RollupColumn("total_max", MONEY),)
_HISTOGRAMS = tuple(
    RollupColumn(f"{name}_histogram", _HISTOGRAM)
    for name in ("ttft_ms", "duration_ms", "total", "off_percent")
)
ROLLUP_COLUMNS = (*_KEYS, *_ADDED, *_LARGEST, *_HISTOGRAMS)


def middle_of(step: int) -> float:
    """The value that stands for those of a histogram's step: (STEP**(step - 1), STEP**step], or 0."""
    return 0.0 if step == ZERO_STEP else 2 * STEP**step / (1 + STEP)


def roll_up(rows: Sequence[Path], path: Path, metadata: Mapping[str, str]) -> None:
    """Write the roll-up of files of rows to `path`. Raises DuckError."""
    with duck_errors(), connect(threads=1, spill=path.parent, in_order=False) as connection:
        connection.execute(f"CREATE TEMP VIEW source AS SELECT * FROM {parquet(rows)}")
        sums = [f'CAST(sum("{column.name}") AS {_duck(column)}) AS "{column.name}"' for column in _SUMMED]
        words = {"dimensions": _names(_DIMENSIONS), "sums": ", ".join(sums)}
        _write(connection, "rollups_of_rows", words, [], path, metadata)


def merge_rollups(rollups: Sequence[Path], path: Path, metadata: Mapping[str, str]) -> None:
    """Write the roll-up of everything that several roll-ups sum to `path`. Raises DuckError."""
    left_out = sorted({name for value in key_values(rollups, LEFT_OUT) for name in json.loads(value)})
    with duck_errors(), connect(threads=1, spill=path.parent, in_order=False) as connection:
        connection.execute(f"CREATE TEMP VIEW source AS SELECT * FROM {_rollups(rollups)}")
        sums = [f'CAST(sum("{column.name}") AS {_duck(column)}) AS "{column.name}"' for column in _ADDED]
        largest = [f'max("{column.name}") AS "{column.name}"' for column in _LARGEST]
        words = {
            "named": ", ".join(f"'{column.name}': \"{column.name}\"" for column in _KEYS),
            "histograms": _names(_HISTOGRAMS),
            "quoted": ", ".join(text_literal(column.name) for column in _HISTOGRAMS),
            "any_dimensions": ", ".join(f'first("{column.name}") AS "{column.name}"' for column in _KEYS),
            "dimensions": _names(_KEYS),
            "sums": ", ".join([*sums, *largest]),
            "summed": _names((*_ADDED, *_LARGEST)),
            "added": _names(_HISTOGRAMS),
        }
        _write(connection, "rollups_of_rollups", words, left_out, path, metadata)


def open_rollups(files: Sequence[Path], **settings: Any) -> duckdb.DuckDBPyConnection:
    """A connection whose view `rollup` holds the roll-ups of `files`; it reaches nothing but their folders."""
    connection = open_database(**settings)
    lock(connection, {file.parent for file in files})
    connection.execute(f"CREATE VIEW rollup AS SELECT {_names(ROLLUP_COLUMNS)} FROM {_rollups(files)}")
    return connection


def _write(
    connection: duckdb.DuckDBPyConnection,
    statement: str,
    words: Mapping[str, str],
    left_out: Sequence[str],
    path: Path,
    metadata: Mapping[str, str],
) -> None:
    left_out = sorted({*left_out, *_tags_of_many_values(connection)})
    connection.execute("SET VARIABLE left_out = ?", [left_out])
    listed = "list_filter(map_entries(tags), lambda tag: NOT list_contains(getvariable('left_out'), tag.key))"
    kept = f"map_from_entries({listed})" if left_out else "tags"
    connection.execute(f"CREATE TEMP MACRO kept(tags) AS {kept}")
    connection.execute(
        f"CREATE TEMP MACRO step_of(value) AS CAST(CASE WHEN value = 0 THEN {ZERO_STEP} "
        f"WHEN value > 0 THEN ceil(ln(CAST(value AS DOUBLE)) / ln({STEP})) END AS INTEGER)"
    )
    text = (resources.files("weir.ledger") / f"{statement}.sql").read_text().format_map(words)
    columns = ", ".join(
        f'CAST("{column.name}" AS {_duck(column)}) AS "{column.name}"' for column in ROLLUP_COLUMNS
    )
    write_query(
        connection, path, f"SELECT {columns} FROM ({text})", {**metadata, LEFT_OUT: json.dumps(left_out)}
    )


def _tags_of_many_values(connection: duckdb.DuckDBPyConnection) -> list[str]:
    kept = ", ".join(text_literal(name) for name in ALWAYS_KEPT_TAGS)
    found = connection.execute(
        "SELECT tag.key FROM (SELECT unnest(map_entries(tags)) AS tag FROM source) "
        f"WHERE tag.key NOT IN ({kept}) GROUP BY tag.key HAVING count(DISTINCT tag.value) > {MAX_TAG_VALUES}"
    ).fetchall()
    return [name for (name,) in found]


def _rollups(files: Sequence[Path]) -> str:
    columns = ", ".join(f'CAST(NULL AS {_duck(column)}) AS "{column.name}"' for column in ROLLUP_COLUMNS)
    empty = f"SELECT {columns} WHERE false"
    if not files:
        return f"({empty})"
    listed = ", ".join(text_literal(str(file)) for file in files)
    read = f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
    return f"({empty} UNION ALL BY NAME SELECT * FROM {read})"


def _names(columns: Sequence[RollupColumn]) -> str:
    return ", ".join(f'"{column.name}"' for column in columns)


def _duck(column: RollupColumn) -> str:
    return "MAP(INTEGER, BIGINT)" if column.type == _HISTOGRAM else duck_type(column.type)
