"""Usage, timing, events and requests: the values that a request's account is made of."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.generate import events
from weir.generate.accept import parse_request
from weir.generate.timing import RequestTiming
from weir.outcomes import Outcome
from weir.pricing.usage import Usage, estimate_usage
from weir.problems import Problem
from weir.providers.call import Message, TextPart
from weir.providers.sse import SSEDecoder

MS = 1_000_000


def test_phases_of_two_attempts_add_up_and_validation_is_taken_out_of_streaming() -> None:
    timing = RequestTiming(0)
    timing.called(5 * MS)
    timing.token(25 * MS)
    timing.validate_ns += 2 * MS
    timing.token(35 * MS)
    timing.ended(40 * MS)
    timing.called(50 * MS)
    timing.token(60 * MS)
    timing.ended(65 * MS)
    assert timing.as_json(70 * MS, None) == {
        "duration_ms": 70, "wait_ms": 30, "stream_ms": 18, "validate_ms": 2, "ttft_ms": 25, "ttlt_ms": 60,
        "event_loop_gap_ms": None,
    }  # fmt: skip
    assert timing.attempts == [{"wait_ms": 20, "stream_ms": 13}, {"wait_ms": 10, "stream_ms": 5}]


def test_phases_that_were_not_reached_are_unknown_and_not_zero() -> None:
    timing = RequestTiming(0)
    assert timing.as_json(MS, None)["wait_ms"] is None
    timing.called(MS)
    timing.ended(3 * MS)  # no token came: all of it was waiting
    known = timing.as_json(4 * MS, None)
    assert known["wait_ms"] == 2 and known["stream_ms"] is None and known["ttft_ms"] is None


def test_usage_adds_up_and_unknown_stays_unknown() -> None:
    counted, estimated = Usage(1, 2, 0, None, 3, "provider"), Usage(4, 5, None, None, 9, "estimated")
    assert Usage.total([counted, estimated]) == Usage(5, 7, None, None, 12, "estimated")
    assert Usage.total([counted, Usage()]) == Usage(source="none")
    assert Usage.total([]) == Usage()


@pytest.mark.parametrize(
    ("usage", "inconsistent"),
    [
        (Usage(1, 2, None, None, 3), False),
        (Usage(1, 2, None, None, 4), True),
        (Usage(-1, 2), True),
        (Usage(1, 2, 5), True),
        (Usage(0, None, 1), True),
        (Usage(None, 2, None, None, 7), False),
    ],
)
def test_counts_that_contradict_each_other_are_flagged(usage: Usage, inconsistent: bool) -> None:
    assert usage.inconsistent is inconsistent


def test_a_stopped_stream_is_estimated_from_its_deltas_and_characters() -> None:
    assert estimate_usage(Usage(), 400, 4.0, 100, 30) == Usage(
        100, 30, None, None, 130, "estimated", complete=False
    )
    assert estimate_usage(Usage(), 400, 5.0, 400, 30) == Usage(
        80, 100, None, None, 180, "estimated", complete=False
    )


@given(st.text(), st.integers(1, 9))
def test_any_text_survives_a_delta_event(text: str, attempt: int) -> None:
    [event] = SSEDecoder().feed(events.delta(attempt, text))
    assert json.loads(event.data) == {"attempt": attempt, "text": text}


def test_a_lone_surrogate_stays_the_escape_that_it_came_as() -> None:
    assert events.dumps("\ud83d") == b'"\\ud83d"'
    assert json.loads(events.dumps("\ud83d")) == "\ud83d"


LINE_ENDS = "\u0085\u2028\u2029"


def test_no_reader_of_lines_finds_one_within_an_event() -> None:
    for event in (
        events.delta(1, f"a{LINE_ENDS}ä"),
        events.value(1, f"/{LINE_ENDS}", f'"ä{LINE_ENDS}"'.encode()),
        b"".join(events.result(1, [f'"{LINE_ENDS}"'.encode()])),
    ):
        assert len(event.decode().splitlines()) == 3, event
        data = json.loads(event.decode().splitlines()[1].removeprefix("data: "))
        assert LINE_ENDS in "".join(str(member) for member in data.values())


@given(st.text(min_size=1), st.integers(1, 7))
def test_result_parts_join_to_the_document_at_any_cut(text: str, size: int) -> None:
    data = json.dumps(text, ensure_ascii=False).encode()
    stream = b"".join(events.result(1, (data[at : at + size] for at in range(0, len(data), size))))
    parts = [json.loads(event.data) for event in SSEDecoder().feed(stream)]
    assert "".join(part["json"] for part in parts) == data.decode()
    assert [part["last"] for part in parts].index(True) == len(parts) - 1


def test_every_outcome_but_ok_and_killed_has_a_status() -> None:
    for outcome in set(Outcome) - {Outcome.OK, Outcome.KILLED}:
        assert 400 <= Problem(outcome, "x").status < 600


def test_a_request_from_messages_or_a_prompt_is_one_conversation() -> None:
    by_prompt = parse_request(b'{"prompt":"hi"}', "application/json; charset=utf-8")
    by_messages = parse_request(b'{"messages":[{"role":"user","content":"hi"}]}', "application/json")
    assert by_prompt.messages == by_messages.messages == (Message("user", (TextPart("hi"),)),)
