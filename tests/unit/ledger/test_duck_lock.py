"""What a statement may reach: the rows that it was opened over, and nothing else of the machine."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from tests.made_ledger import made_ledger
from weir.ledger.duck import DuckError, duck_errors, open_ledger
from weir.reports.engine import DuckEngine

OUTSIDE = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('{rows}/../secret.txt')",
    "SELECT * FROM glob('/etc/*')",
    "COPY ledger TO '{outside}/stolen.parquet'",
    "ATTACH '{outside}/other.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SELECT * FROM read_parquet('https://127.0.0.1:9/x.parquet')",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "RESET lock_configuration",
]


@pytest.mark.parametrize("sql", OUTSIDE)
def test_no_statement_reaches_another_file_the_network_or_a_setting(sql: str, tmp_path: Path) -> None:
    rows, outside = tmp_path / "rows", tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    files = made_ledger(rows, 3, start=datetime(2026, 11, 1, tzinfo=UTC), hours=1)
    with DuckEngine(files) as engine:
        assert engine.query("SELECT count(*) FROM ledger") == [(3,)]
        with pytest.raises(DuckError, match="DuckDB: "):
            engine.query(sql.format(rows=rows, outside=outside))
    assert list(outside.iterdir()) == []


def test_what_is_to_be_written_is_written_where_it_was_said(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with open_ledger([], writes=[out]) as connection:
        connection.execute(f"COPY (SELECT 1 AS one) TO '{out}/one.parquet'")
        with duck_errors(), pytest.raises(duckdb.Error):
            connection.execute(f"COPY (SELECT 1 AS one) TO '{tmp_path}/one.parquet'")
    assert [path.name for path in out.iterdir()] == ["one.parquet"]
