"""What a reader may write into the API's parameters: a question, or an error that names the field; nothing else."""

import base64
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.reports.cursors import CursorError, cursor_after, position_of
from weir.reports.params import FieldError, by_of, range_of, tags_of, zone_of
from weir.reports.row_queries import Sort

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Africa/Cairo", "America/Havana", "Pacific/Apia"]).map(
    ZoneInfo
)
# Texts that are nearly days and instants, and any at all.
TIMES = st.one_of(
    st.text(max_size=40),
    st.dates().map(str),
    st.datetimes(timezones=st.sampled_from([UTC, BERLIN])).map(lambda at: at.isoformat()),
    st.from_regex(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2}))?", fullmatch=True
    ),
)


@given(st.none() | TIMES, st.none() | TIMES, ZONES)
def test_any_two_texts_are_a_range_or_an_error_that_names_one_of_them(
    start: str | None, end: str | None, zone: ZoneInfo
) -> None:
    try:
        found = range_of(start, end, zone, NOW)
    except FieldError as error:
        assert error.field in ("from", "to")
        assert "expected" in error.message
    else:
        assert timedelta(0) < found.end - found.start <= timedelta(days=400)


@given(st.text(max_size=80))
def test_any_text_is_a_zone_or_an_error_that_names_it(name: str) -> None:
    try:
        assert zone_of(name).key == name
    except FieldError as error:
        assert error.field == "tz"


@given(st.text(max_size=140))
def test_any_text_is_a_tag_and_a_split_or_an_error_that_names_it(text: str) -> None:
    for field, read in (("tag", lambda: tags_of([text])), ("by", lambda: by_of(text))):
        try:
            read()
        except FieldError as error:
            assert error.field == field


@given(
    st.text(alphabet=st.characters(codec="ascii"), max_size=120)
    | st.binary(max_size=60).map(lambda b: b.hex())
)
def test_any_text_is_a_cursor_of_ours_or_is_refused(text: str) -> None:
    with pytest.raises(CursorError):
        position_of(text, "newest")


@pytest.mark.parametrize(
    ("sort", "position"),
    [("newest", ["x", "r"]), ("newest", ["2026-11-22 12:00:00.000+01:00", "r"]), ("newest", ["2026-11-22", "r"]),
     ("newest", ["2026-11-22 12:00:00.000", 7]), ("newest", ["2026-11-22 12:00:00.000"]), ("newest", []),
     ("newest", ["2026-W47-7", "r"]), ("newest", ["20261122T12", "r"]),
     ("newest", ["2026-11-22 12:00:00.000", "\ud800"]),
     *(("cost", [amount, "2026-11-22 12:00:00.000", "r"])
       for amount in ("NaN", "1e40", "1e-999999999", "1_0", "\u0661", " 1", 7))],
)  # fmt: skip
def test_a_cursor_whose_parts_no_engine_could_read_is_refused(sort: Sort, position: list[object]) -> None:
    made = base64.urlsafe_b64encode(json.dumps([sort, *position]).encode()).decode()
    with pytest.raises(CursorError, match="next_cursor"):
        position_of(made, sort)


def test_a_cursor_comes_back_as_the_position_it_was_made_of() -> None:
    row = {
        "at_utc": datetime.fromisoformat("2026-11-22T12:00:00.005"),
        "request_id": "it's",
        "most": Decimal("0.000000100000000"),
    }
    assert position_of(cursor_after(row, "cost"), "cost") == [
        "0.000000100000000", "2026-11-22 12:00:00.005", "it's",
    ]  # fmt: skip


def test_a_day_is_one_of_the_readers_zone_and_an_instant_is_its_own() -> None:
    found = range_of("2026-10-25", "2026-10-26", BERLIN, NOW)
    assert (found.start.isoformat(), found.end.isoformat()) == (
        "2026-10-24T22:00:00+00:00",
        "2026-10-25T23:00:00+00:00",
    )
    found = range_of("2026-10-25T00:00:00Z", "2026-10-26T00:00:00-05:00", BERLIN, NOW)
    assert (found.start.isoformat(), found.end.isoformat()) == (
        "2026-10-25T00:00:00+00:00",
        "2026-10-26T05:00:00+00:00",
    )


@pytest.mark.parametrize(
    ("now", "first", "end"),
    [
        ("2026-11-22T12:00Z", "2026-11-15T23:00Z", "2026-11-22T23:00Z"),
        ("2026-11-22T23:30Z", "2026-11-16T23:00Z", "2026-11-23T23:00Z"),  # already tomorrow in Berlin
        ("2026-10-26T12:00Z", "2026-10-19T22:00Z", "2026-10-26T23:00Z"),  # seven days of 169 hours
    ],
)
def test_by_default_it_is_seven_days_of_the_readers_calendar_with_today(
    now: str, first: str, end: str
) -> None:
    found = range_of(None, None, BERLIN, datetime.fromisoformat(now))
    assert (found.start, found.end) == (datetime.fromisoformat(first), datetime.fromisoformat(end))
    assert range_of(None, found.end.isoformat(), BERLIN, NOW) == found


def test_a_day_that_begins_when_the_clock_changes_begins_then() -> None:
    # Cairo's clocks go from 24:00 on Thursday, 23 April 2026, to 1:00 on Friday.
    found = range_of("2026-04-24", "2026-04-25", ZoneInfo("Africa/Cairo"), NOW)
    assert found.start == datetime(2026, 4, 23, 22, 0, tzinfo=UTC)
    assert found.end - found.start == timedelta(hours=23)
