"""A database that is kept for the next use: nothing of one use is found by another."""

from pathlib import Path

import duckdb
import pytest

from weir.ledger import duck
from weir.ledger.duck import connect


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """None is at hand; the memory of each that is opened."""
    found: list[str] = []
    original = duck.open_database

    def counted(memory: str, threads: int) -> duckdb.DuckDBPyConnection:
        found.append(memory)
        return original(memory, threads)

    monkeypatch.setattr(duck, "_UNUSED", {})
    monkeypatch.setattr(duck, "open_database", counted)
    return found


SETTINGS = (
    "SELECT current_setting('temp_directory'), current_setting('preserve_insertion_order'), "
    "current_setting('TimeZone')"
)


def test_the_next_finds_nothing_of_what_the_last_made_or_set(opened: list[str], tmp_path: Path) -> None:
    with connect() as connection:
        default, *_ = connection.execute(SETTINGS).fetchall()[0]
    with connect(spill=tmp_path, in_order=False) as connection:
        assert connection.execute(SETTINGS).fetchall() == [(str(tmp_path), False, "UTC")]
        connection.execute("CREATE TEMP TABLE made AS SELECT 1 AS one")
        connection.execute("CREATE TEMP MACRO said() AS 2")
        connection.execute("SET VARIABLE known = 3")
        connection.execute("SET TimeZone = 'Asia/Tokyo'")
    with connect() as connection:
        assert connection.execute(SETTINGS).fetchall() == [(default, True, "UTC")]
        assert connection.execute("SELECT getvariable('known')").fetchall() == [(None,)]
        assert connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() == []
        with pytest.raises(duckdb.CatalogException, match="said"):
            connection.execute("SELECT said()")
    assert len(opened) == 1


def test_two_at_once_have_one_each_and_another_size_is_another(opened: list[str]) -> None:
    with connect() as one, connect() as other:
        one.execute("CREATE TEMP TABLE made AS SELECT 1 AS one")
        assert other.execute("SELECT table_name FROM duckdb_tables()").fetchall() == []
    assert len(opened) == 2
    with connect("50MB") as small:
        assert small.execute("SELECT current_setting('memory_limit')").fetchall() == [("47.6 MiB",)]
    with connect(), connect():
        assert len(opened) == 3


def test_one_that_failed_is_not_used_again(opened: list[str]) -> None:
    with pytest.raises(duckdb.BinderException), connect() as connection:
        connection.execute("SELECT nothing")
    with connect() as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
    assert len(opened) == 2


def test_one_that_spilled_lets_its_folder_go(opened: list[str], tmp_path: Path) -> None:
    with connect("50MB", threads=1, spill=tmp_path) as connection:
        connection.execute("CREATE TEMP TABLE much AS SELECT md5(CAST(range AS VARCHAR)) FROM range(2000000)")
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []
    with connect("50MB", threads=1, spill=tmp_path / "other") as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
    assert len(opened) == 2
