"""Where things lie in the bucket: every key tells its day, rows their shard, months have their days, and a fingerprint its facts."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.ledger import s3_keys
from weir.ledger.log_subscription import KINDS

days = st.dates(date(1970, 1, 1), date(2999, 12, 31))


@given(days)
def test_every_key_with_a_day_tells_it(day: date) -> None:
    at = datetime(day.year, day.month, day.day, 5, 59, tzinfo=UTC)
    keys = [
        *(f"{s3_keys.old_fact_days(kind)}{day}/{'a' * 64}.ndjson.gz" for kind in KINDS),
        s3_keys.fact_key(at, "a" * 64),
        s3_keys.gathered_key(s3_keys.hour_name(at)),
        s3_keys.dropped_key(at, "e1"),
        f"{s3_keys.poison_folder(day)}/{'a' * 64}.json.gz",
        s3_keys.rows_key(day),
        s3_keys.rows_key(day, 3, 12),
        s3_keys.rollup_key(s3_keys.rows_key(day, 3, 12)),
        s3_keys.closed_rows_key("2026-10", s3_keys.rows_key(day, 3, 12), "ab" * 32),
        s3_keys.correction_copy_key(day, "2026-10", 12, "ab" * 32),
        s3_keys.completeness_key(day),
    ]
    assert {s3_keys.day_of(key) for key in keys} == {day}
    assert s3_keys.day_of(s3_keys.close_key("2026-10")) is None


@given(days)
def test_a_months_days_are_those_that_name_it(day: date) -> None:
    first, last = s3_keys.month_days(s3_keys.month_of(day))
    assert first.day == 1 and first <= day <= last and (last + timedelta(days=1)).day == 1
    assert {s3_keys.month_of(inner) for inner in s3_keys.days(first, last)} == {s3_keys.month_of(day)}


@pytest.mark.parametrize(
    "month", ["", "2026", "2026-13", "2026-1", "2026-10-01", "0000-10", "2026-10\n", "../..-10"]
)
def test_what_is_no_month_is_refused(month: str) -> None:
    with pytest.raises(s3_keys.MonthError, match="expected a month YYYY-MM, got"):
        s3_keys.month_days(month)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1), unique=True))
def test_a_fingerprint_is_that_of_the_names_in_any_order(keys: list[str]) -> None:
    shuffled = [*reversed(keys), *keys[:2]]
    assert s3_keys.fingerprint(shuffled) == s3_keys.fingerprint(keys)
    assert s3_keys.fingerprint([*keys, "one more\x00"]) != s3_keys.fingerprint(keys)


def test_rows_tell_their_shard_and_corrections_have_none() -> None:
    day = date(2026, 10, 3)
    assert [s3_keys.shard_of(s3_keys.rows_key(day, *shard)) for shard in ((0, 1), (3, 12))] == [
        (0, 1),
        (3, 12),
    ]
    assert s3_keys.shard_of(s3_keys.correction_copy_key(day, "2026-10", 1, "ab" * 32)) is None


def test_a_days_join_reads_seven_hours_on_both_sides_of_it() -> None:
    assert s3_keys.hours_around(date(2026, 10, 3), date(2026, 10, 4)) == ("2026-10-02T17", "2026-10-05T06")
