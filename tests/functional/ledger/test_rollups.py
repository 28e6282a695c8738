"""A roll-up says what its rows say: the same sums to the last digit, the same counts, percentiles within one percent."""

import json
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest

from tests.made_ledger import OCTOBER_END, made_ledger, write_corrections
from weir.ledger import rollups
from weir.ledger.duck import key_values, open_ledger
from weir.ledger.rollups import LEFT_OUT, ROLLUP_COLUMNS, merge_rollups, middle_of, open_rollups, roll_up
from weir.ledger.table import COLUMNS
from weir.reports import queries
from weir.reports.engine import DuckEngine
from weir.reports.queries import Filters
from weir.reports.statements import Source
from weir.reports.time_buckets import Unit

SUMMED = [c.name for c in COLUMNS if c.role == "quantity" and c.type in ("bigint", "decimal(38,15)")]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A day and a half of made requests, some of them corrected later."""
    folder = tmp_path_factory.mktemp("rolled")
    files = made_ledger(folder / "rows", 900)
    found_at = OCTOBER_END + timedelta(days=9)
    return [*files, write_corrections(folder / "rows" / "corrections.parquet", files, 40, found_at)]


@pytest.fixture(scope="module")
def rollup(rows: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rollup") / "rollup.parquet"
    roll_up(rows, path, {"day": "made"})
    return path


def written(path: Path) -> list[tuple[object, ...]]:
    return duckdb.execute(f"SELECT * FROM '{path}' ORDER BY ALL").fetchall()


@pytest.mark.parametrize("by", ["1", "outcome", "tags['feature']", "unpriced", "quarter_utc"])
def test_sums_and_counts_of_any_split_are_the_rows_own(by: str, rows: list[Path], rollup: Path) -> None:
    sums = ", ".join(f"sum({name})" for name in SUMMED)
    of_row = by.replace("quarter_utc", "time_bucket(INTERVAL 15 MINUTE, at_utc)")
    counts = ("count(*)", "count(*) FILTER (entry = 'request')", "max(total) FILTER (entry = 'request')")
    with open_ledger(rows) as ledger:
        expected = ledger.execute(
            f"SELECT {of_row}, {', '.join(counts)}, {sums} FROM ledger GROUP BY 1 ORDER BY 1"
        ).fetchall()
    with open_rollups([rollup]) as connection:
        found = connection.execute(
            f"SELECT {by}, sum(rows), sum(requests), max(total_max), {sums} FROM rollup GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert found == expected


def test_cold_retried_estimated_and_spared_requests_are_counted(rows: list[Path], rollup: Path) -> None:
    with open_ledger(rows) as ledger:
        expected = ledger.execute(
            """
            SELECT count(*) FILTER (entry = 'request' AND init_ms > 0), count(*) FILTER (entry = 'request' AND attempts > 1),
                count(*) FILTER (entry = 'request' AND init_ms IS NOT NULL),
                count(estimate_total) FILTER (entry = 'request'),
                sum(total - coalesce(cost_logs, 0)) FILTER (entry = 'request' AND estimate_total IS NOT NULL),
                count(*) FILTER (entry = 'request' AND saved_tokens > 0)
            FROM ledger
            """
        ).fetchall()
    with open_rollups([rollup]) as connection:
        found = connection.execute(
            """
            SELECT coalesce(sum(requests) FILTER (is_cold), 0), coalesce(sum(requests) FILTER (is_retried), 0),
                sum(requests) FILTER (is_cold IS NOT NULL), sum(rows_estimated), sum(estimated_final), sum(rows_saved)
            FROM rollup
            """
        ).fetchall()
    assert found == expected
    assert expected[0][0] > 0


@pytest.mark.parametrize("totals", [(-2, 1), (-1, 2), (-1, -2), (1, 2)])
def test_corrections_that_are_alike_are_lower_bounds_each_as_its_row_is(
    totals: tuple[int, int], rows: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "corrections.parquet"
    with open_ledger(rows, writes=[tmp_path]) as ledger:
        one = "SELECT * EXCLUDE (dt) FROM ledger WHERE entry = 'request' AND len(unpriced) > 0 ORDER BY request_id LIMIT 1"
        both = " UNION ALL ".join(
            f"SELECT * REPLACE ('correction' AS entry, '{number}' AS request_id, {total} AS total) FROM ({one})"
            for number, total in enumerate(totals)
        )
        ledger.execute(f"COPY ({both}) TO '{path}' (FORMAT parquet)")
    roll_up([path], tmp_path / "rollup.parquet", {})
    asked = Filters(start=OCTOBER_END, end=OCTOBER_END + timedelta(days=30))
    utc, found = ZoneInfo("UTC"), {}
    sources: tuple[Source, ...] = ("rows", "rollups")
    for source, file in zip(sources, (path, tmp_path / "rollup.parquet"), strict=True):
        with DuckEngine([file], source=source) as engine:
            [[day]] = engine.rows([queries.sums(asked, utc, Unit.DAY, source)])
        found[source] = (day["lower_bounds"], day["lower_bounds_corrected"], day["total"])
    assert found["rollups"] == found["rows"]
    assert found["rows"][0] == sum(total > 0 for total in totals)


@pytest.mark.parametrize("column", ["ttft_ms", "duration_ms", "total"])
def test_percentiles_of_a_histogram_are_within_one_percent(
    column: str, rows: list[Path], rollup: Path
) -> None:
    with open_ledger(rows) as ledger:
        values = sorted(
            float(value)
            for (value,) in ledger.execute(
                f"SELECT {column} FROM ledger WHERE entry = 'request' AND {column} IS NOT NULL"
            ).fetchall()
        )
    with open_rollups([rollup]) as connection:
        steps = connection.execute(
            f"SELECT step.key, sum(step.value) FROM (SELECT unnest(map_entries({column}_histogram)) AS step FROM rollup)"
            "GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert sum(count for _, count in steps) == len(values)
    middles = [middle_of(step) for step, count in steps for _ in range(int(count))]
    for found, value in zip(middles, values, strict=True):
        assert abs(found - value) <= 0.01 * value


def test_roll_ups_of_parts_merge_to_the_roll_up_of_the_whole(
    rows: list[Path], rollup: Path, tmp_path: Path
) -> None:
    parts = []
    for number in range(3):
        part, rolled = tmp_path / f"rows-{number}.parquet", tmp_path / f"rollup-{number}.parquet"
        with open_ledger(rows, writes=[tmp_path]) as ledger:
            ledger.execute(
                f"COPY (SELECT * EXCLUDE (dt) FROM ledger WHERE hash(request_id) % 3 = {number}) TO '{part}' (FORMAT parquet)"
            )
        roll_up([part], rolled, {})
        parts.append(rolled)
    merge_rollups(parts, tmp_path / "merged.parquet", {})
    assert written(tmp_path / "merged.parquet") == written(rollup)
    with open_rollups([tmp_path / "merged.parquet"]) as connection:
        described = connection.execute("DESCRIBE rollup").fetchall()
    assert [name for name, *_ in described] == [column.name for column in ROLLUP_COLUMNS]


@pytest.mark.parametrize("most", [2, 5, 1_000])
def test_a_tag_of_many_values_is_left_out_and_named_alike_in_parts_and_whole(
    most: int, rows: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "MAX_TAG_VALUES", most)

    def tagged(path: str, condition: str) -> str:
        return (
            "COPY (SELECT * EXCLUDE (dt) REPLACE (map_from_entries(list_sort(list_concat(map_entries(tags), "
            "[{'key': 'run', 'value': CAST(hash(request_id) % 6 AS VARCHAR)}]))) AS tags) "
            f"FROM ledger WHERE {condition}) TO '{path}' (FORMAT parquet)"
        )

    with open_ledger(rows, writes=[tmp_path]) as ledger:
        ledger.execute(tagged(str(tmp_path / "all.parquet"), "true"))
        for number in range(2):
            ledger.execute(tagged(str(tmp_path / f"{number}.parquet"), f"hash(request_id) % 2 = {number}"))
    for name in ("all", "0", "1"):
        roll_up([tmp_path / f"{name}.parquet"], tmp_path / f"{name}-rolled.parquet", {})
    merge_rollups(
        [tmp_path / "0-rolled.parquet", tmp_path / "1-rolled.parquet"], tmp_path / "merged.parquet", {}
    )
    assert written(tmp_path / "merged.parquet") == written(tmp_path / "all-rolled.parquet")
    files = [tmp_path / "merged.parquet", tmp_path / "all-rolled.parquet"]
    assert [json.loads(value) for value in key_values(files, LEFT_OUT)] == [["run"] if most < 6 else []] * 2


def test_no_rows_make_a_roll_up_without_rows(tmp_path: Path) -> None:
    roll_up([], tmp_path / "none.parquet", {})
    merge_rollups([tmp_path / "none.parquet"], tmp_path / "merged.parquet", {})
    assert written(tmp_path / "merged.parquet") == []
