"""Who answers a query: DuckDB over files at hand, or Athena over the bucket. The SQL is the same.

DuckDB is quicker as long as a range's Parquet fits a function's memory and disk, and sees what arrived a second ago;
Athena has no such limit, knows what was compacted, and takes its time. The size of the stored rows decides.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import duckdb

from weir.errors import CallerError
from weir.ledger.duck import DuckError, duck_errors, open_ledger
from weir.ledger.rollups import open_rollups
from weir.reports.statements import Query, Source


class TooBig(CallerError):
    """A range's rows do not fit the memory that DuckDB may use; says what to do."""


type Row = dict[str, Any]


class Engine(Protocol):
    """Runs Trino's SQL over the view `ledger`."""

    @property
    def name(self) -> str:
        """What the report calls it."""

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement."""

    def rows(self, queries: Sequence[Query]) -> list[list[Row]]:
        """The rows of several statements, by the names of their columns."""


class DuckEngine:
    """DuckDB over files of rows, or of roll-ups; close it, or use it as a context manager."""

    name = "duckdb"

    def __init__(self, files: Sequence[Path], *, source: Source = "rows", **settings: Any) -> None:
        with duck_errors():
            opened = open_ledger if source == "rows" else open_rollups
            self._connection = opened(files, **settings)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement. Raises TooBig and DuckError."""
        try:
            with duck_errors():
                return self._connection.execute(sql, list(parameters)).fetchall()
        except DuckError as error:
            if not isinstance(error.__cause__, duckdb.OutOfMemoryException):
                raise
            # Sorts spill to the disk, percentiles cannot.
            raise TooBig(
                "the range has more rows than fit in memory: ask for fewer days, or let Athena answer "
                "(AthenaOverMegabytes)"
            ) from error

    def rows(self, queries: Sequence[Query]) -> list[list[Row]]:
        """The rows of several statements, one after the other: each uses all processors. Raises as `query`."""
        found = []
        for query in queries:
            rows = self.query(query.text, query.parameters)
            names = [column[0] for column in self._connection.description or ()]
            found.append([dict(zip(names, row, strict=True)) for row in rows])
        return found

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
