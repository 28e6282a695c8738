"""Batches of a log subscription: what is kept, what is set aside, and what is not believed."""

import base64
import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import log_lines as lines
from weir.ledger.log_records import RawRecord
from weir.ledger.log_subscription import LogBatch, inflate

GOOD = lines.request("r1")


def whole(batch: LogBatch) -> str:
    """The reason for which a batch was set aside as a whole."""
    assert batch.records == ()
    (poison,) = batch.poison
    assert not poison.offset
    return poison.reason


def test_facts_and_platform_records_are_kept() -> None:
    batch = lines.read_batch(lines.batch(lines.log_events(GOOD)))
    assert [record.kind for record in batch.records] == [
        "platform.start",
        "request.started",
        "request.completed",
        "platform.report",
    ]
    assert {record.request_id for record in batch.records} == {"r1"}
    assert batch.poison == ()


FACT = lines.completed("r1", tags={"team": "Zoë"})
SPELLINGS: list[tuple[str, str]] = [
    ("as the function writes it", json.dumps(FACT, separators=(",", ":"))),
    ("with spaces", json.dumps(FACT)),
    ("over several lines", json.dumps(FACT, indent=2)),
    ("with carriage returns", json.dumps(FACT, indent=2).replace("\n", "\r\n")),
    ("in UTF-8", json.dumps(FACT, ensure_ascii=False)),
    ("with the fact first", json.dumps({"fact": FACT["fact"], **FACT})),
    ("with an object of that name within", json.dumps({"error": {"fact": 1, "record": {}}, **FACT})),
    ("with a member of another name behind", json.dumps({**FACT, "record": {"fact": 2}})),
]


@pytest.mark.parametrize("written", [case[1] for case in SPELLINGS], ids=[case[0] for case in SPELLINGS])
def test_a_fact_is_the_same_however_its_line_is_spelt(written: str) -> None:
    (record,) = lines.read_batch(lines.batch([lines.log_event(written, "e")])).records
    assert record.body == FACT["fact"]
    assert record.line_bytes == len(written.encode())
    assert record.line == written


def test_of_two_facts_in_one_line_the_last_counts_as_json_has_it() -> None:
    other = lines.completed("r1", outcome="deadline")["fact"]
    doubled = json.dumps(FACT)[:-1] + f', "fact": {json.dumps(other)}}}'
    (record,) = lines.read_batch(lines.batch([lines.log_event(doubled, "e")])).records
    assert record.body == other


def test_a_fact_within_another_member_is_no_fact_though_the_lines_own_is_spelt_with_an_escape() -> None:
    within = json.dumps(lines.completed("r1")["fact"])
    forged = f'{{"message":"request.completed","said":{{"fact":{within}}},"f\\u0061ct":null}}'
    assert lines.read_batch(lines.batch([lines.log_event(forged, "x")])).records == ()


def test_a_record_that_was_stored_without_its_size_is_read_and_the_size_is_unknown() -> None:
    """As the first layout stored them."""
    (record, *_) = lines.read_batch(lines.batch(lines.log_events(GOOD))).records
    before = {
        name: getattr(record, name) for name in RawRecord.__slots__ if name not in ("line_bytes", "message")
    }
    stored = RawRecord.from_line(json.dumps(before).encode())
    assert stored.line_bytes is None
    assert json.loads(stored.line)["record"] == record.body


def test_other_lines_are_counted_and_not_kept() -> None:
    others: list[Any] = [
        {"_aws": {"Timestamp": 1}, "ColdStart": 1},
        {"level": "ERROR", "message": "boom"},
        "START RequestId: 1 Version: $LATEST",
        "",
        lines.platform("initStart", None, phase="init"),
        "{not json",
    ]
    batch = lines.read_batch(lines.batch(lines.log_events(others)))
    assert (batch.records, batch.poison) == ((), ())
    assert batch.ignored == {"metrics": 1, "application": 1, "text": 3, "platform_other": 1}


def test_dropped_log_lines_are_kept_as_a_record_of_no_request() -> None:
    (record,) = lines.read_batch(
        lines.batch(lines.log_events([lines.platform("logsDropped", None, droppedRecords=3)]))
    ).records
    assert (record.kind, record.request_id) == ("platform.logsDropped", None)


def test_a_control_message_carries_no_records() -> None:
    event = lines.batch(
        [lines.log_event("CWL CONTROL MESSAGE: Checking health", "c")], messageType="CONTROL_MESSAGE"
    )
    assert lines.read_batch(event) == LogBatch(ignored={"control_message": 1})


def test_an_empty_batch_is_no_error() -> None:
    assert lines.read_batch(lines.batch([])) == LogBatch()


def test_a_batch_that_is_cut_anywhere_is_set_aside_whole_with_its_payload() -> None:
    packed = gzip.compress(json.dumps({"logEvents": lines.log_events(GOOD)}).encode())
    for end in range(1, len(packed), 7):
        batch = lines.read_batch([packed[:end]])
        assert "truncated" in whole(batch)
        assert base64.b64decode(batch.poison[0].raw) == packed[:end]


def test_a_bomb_is_set_aside_without_being_inflated() -> None:
    bomb = gzip.compress(b"\0" * 200_000_000, compresslevel=9)
    assert len(bomb) < 200_000
    assert "over 67108864 bytes when inflated" in whole(lines.read_batch([bomb]))


def test_the_cap_is_inclusive() -> None:
    assert inflate(gzip.compress(b"x" * 100), 100) == b"x" * 100
    assert "over 20 bytes" in whole(lines.read_batch(lines.batch([]), max_bytes=20))


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ([b"plain"], "not gzip"),
        ([zlib.compress(b"{}")], "not gzip"),
        ([gzip.compress(b"\xff\xfe{}")], "not UTF-8"),
        ([gzip.compress(b"{")], "not JSON"),
        ([gzip.compress(b'{"a": NaN}')], "not JSON: NaN"),
        ([gzip.compress(b"[" * 100_000)], "nested too deeply"),
        ([gzip.compress(b"[]")], "expected a JSON object, got list"),
        ([gzip.compress(b"{}")], "expected a DATA_MESSAGE"),
        (lines.batch([], logEvents=None), "expected a DATA_MESSAGE with logEvents"),
    ],
)
def test_a_batch_that_cannot_be_read_is_set_aside_with_the_reason(event: list[bytes], reason: str) -> None:
    assert reason in whole(lines.read_batch(event))


BILL = lines.report("r1", 1_000_000)
POISON: list[tuple[str, Any, str]] = [
    ("no log event", 7, "expected a log event"),
    ("no id", {"timestamp": 1, "message": "{}"}, "without an id"),
    ("no timestamp", {"id": "x", "message": "{}"}, "timestamp"),
    ("a timestamp beyond the year 9999", lines.log_event(BILL, "x", 10**15), "timestamp"),
    ("no message", {"id": "x", "timestamp": 1}, "without a message"),
    ("a report that is cut", lines.log_event(json.dumps(BILL)[:-20], "x"), "not JSON"),
    (
        "a report without a request",
        lines.log_event(lines.platform("report", None, metrics={}), "x"),
        "request id",
    ),
    ("a request id of half a character", lines.log_event(lines.report("\ud800"), "x"), "request id"),
    ("a report without metrics", lines.log_event(lines.platform("report", "r1"), "x"), "expected metrics"),
    (
        "a report with text for time",
        lines.log_event(lines.report("r1", durationMs="long"), "x"),
        "expected durationMs as a number",
    ),
    ("a report with negative time", lines.log_event(lines.report("r1", -5), "x"), "billedDurationMs"),
    ("a report with a truth for time", lines.log_event(lines.report("r1", True), "x"), "billedDurationMs"),
    ("a report with endless time", lines.log_event(lines.report("r1", 10**18), "x"), "billedDurationMs"),
    (
        "a fact of a later version",
        lines.log_event(lines.completed("r1", schema_version=3), "x"),
        "expected schema_version 1 or 2, got '3'",
    ),
    (
        "a fact of the first version without its kind",
        lines.log_event(
            {"message": "request.completed", "requestId": "r1", "fact": {"schema_version": 1}}, "x"
        ),
        "contradict",
    ),
    (
        "a fact whose request nobody names",
        lines.log_event({"message": "request.completed", "fact": {"schema_version": 2}}, "x"),
        "request id",
    ),
    (
        "a fact of another request",
        lines.log_event(lines.completed("r1") | {"requestId": "r2"}, "x"),
        "contradict",
    ),
    (
        "a fact of another kind",
        lines.log_event(lines.completed("r1", kind="request.started"), "x"),
        "contradict",
    ),
    (
        "a fact that is no object",
        lines.log_event({"message": "request.completed", "fact": []}, "x"),
        "an object",
    ),
]


def test_a_fact_of_the_second_version_is_of_the_request_and_the_kind_that_its_line_names() -> None:
    line = {"requestId": "r1", "message": "request.completed", "fact": {"schema_version": 2, "outcome": "ok"}}
    (record,) = lines.read_batch(lines.batch([lines.log_event(line, "x")])).records
    assert (record.request_id, record.kind, record.body) == ("r1", "request.completed", line["fact"])


def test_the_lines_of_an_environments_start_are_billed_to_the_request_that_it_was_started_for() -> None:
    """Metrics are in a fact's line; a text, whoever printed it, is nobody's."""
    started = [{"time": "", "type": f"platform.{kind}", "record": {}} for kind in ("initStart", "initReport")]
    written = [*started, *GOOD[:1], "a text", *GOOD[1:]]
    records = lines.read_batch(lines.batch(lines.log_events(written))).records
    sizes = [len(json.dumps(line)) for line in written if line != "a text"]
    assert [record.line_bytes for record in records] == [sum(sizes[:3]), *sizes[3:]]


@pytest.mark.parametrize(("event", "reason"), [case[1:] for case in POISON], ids=[case[0] for case in POISON])
def test_a_poison_record_is_set_aside_with_reason_and_offset_and_its_neighbours_kept(
    event: Any, reason: str
) -> None:
    good = lines.log_events(GOOD)
    batch = lines.read_batch(lines.batch([good[0], event, *good[1:]]))
    assert [record.event_id for record in batch.records] == [entry["id"] for entry in good]
    (poison,) = batch.poison
    assert reason in poison.reason
    assert poison.offset == 1
    assert json.loads(poison.raw) == event


FORGED: list[tuple[str, Any]] = [
    ("inside a message", {"level": "INFO", "message": json.dumps(BILL)}),
    ("as the message's object", {"level": "INFO", "message": BILL}),
    ("beside a message", {**BILL, "message": "hello"}),
    ("beside a level", {**BILL, "level": "INFO"}),
    ("without a time", {key: value for key, value in BILL.items() if key != "time"}),
    ("after other text", "model said: " + json.dumps(BILL)),
    ("as text in quotes", json.dumps(json.dumps(BILL))),
    ("in a list", json.dumps([BILL])),
    ("in a fact of no kind", {"message": "request.billed", "fact": BILL}),
]


@pytest.mark.parametrize("line", [case[1] for case in FORGED], ids=[case[0] for case in FORGED])
def test_a_report_that_the_application_wrote_does_not_bill(line: Any) -> None:
    batch = lines.read_batch(lines.batch(lines.log_events([line])))
    assert batch.records == ()


@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_at_all_are_read_or_set_aside(data: bytes) -> None:
    batch = lines.read_batch([data])
    assert batch.records == () and len(batch.poison) == 1
    whole(lines.read_batch([gzip.compress(data)])) if not data.startswith(b"{") else None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=5))
def test_any_log_events_at_all_are_kept_set_aside_or_counted(events: list[Any]) -> None:
    good = lines.log_events(GOOD)
    event = lines.batch([*good[:2], *events, *good[2:]])
    batch = lines.read_batch(event)
    if batch.poison and batch.poison[0].offset is None:
        assert "NaN" in batch.poison[0].reason or "Infinity" in batch.poison[0].reason
        return
    assert len(batch.records) + len(batch.poison) + sum(batch.ignored.values()) == len(good) + len(events)
    assert [record.event_id for record in batch.records][:2] == ["e00000000", "e00000001"]


@given(st.lists(json_values, max_size=5))
def test_any_lines_at_all_are_kept_set_aside_or_counted(messages: list[Any]) -> None:
    texts = [message if isinstance(message, str) else json.dumps(message) for message in messages]
    batch = lines.read_batch(lines.batch(lines.log_events(texts)))
    assert len(batch.records) + len(batch.poison) + sum(batch.ignored.values()) == len(texts)
