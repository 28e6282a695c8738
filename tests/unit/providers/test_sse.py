"""The event-stream decoder against the WHATWG's cases, at any chunking."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.corpora import corpus
from weir.providers.sse import ServerSentEvent, SSEDecoder, encode_event


def decode(data: bytes, size: int, **options: int) -> tuple[list[ServerSentEvent], SSEDecoder]:
    decoder = SSEDecoder(**options)
    events = [event for at in range(0, len(data), size) for event in decoder.feed(data[at : at + size])]
    return events, decoder


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000_000])
def test_every_whatwg_case_gives_its_events_at_any_chunking(size: int) -> None:
    for case in json.loads(corpus("sse/whatwg_eventsource_cases.json").read_text()):
        events, _ = decode(base64.b64decode(case["bytes_base64"]), size)
        got = [{"event": event.event, "data": event.data} for event in events]
        assert got == [{"event": e["event"], "data": e["data"]} for e in case["events"]], case["name"]


@given(st.binary(max_size=300), st.integers(1, 20))
def test_any_bytes_give_the_same_events_at_any_chunking(data: bytes, size: int) -> None:
    whole, one = decode(data, max(len(data), 1))
    pieces, other = decode(data, size)
    assert pieces == whole
    assert one.replaced == other.replaced


_LINES = st.lists(st.sampled_from(["data: é…", "data:x", "event: e", "id: 1", ": c", "", "data"]))


@given(_LINES, st.sampled_from(["\n", "\r", "\r\n"]), st.integers(1, 9))
def test_all_three_line_ends_mean_the_same(lines: list[str], end: str, size: int) -> None:
    text = "".join(line + "\n" for line in lines)
    assert decode(text.replace("\n", end).encode(), size)[0] == decode(text.encode(), 1_000)[0]


@pytest.mark.parametrize("size", [1, 10, 1_000])
def test_an_endless_line_ends_the_stream_and_keeps_the_events_before_it(size: int) -> None:
    events, decoder = decode(b"data: kept\n\ndata: " + b"x" * 200, size, max_event_bytes=100)
    assert [event.data for event in events] == ["kept"]
    assert decoder.error == "server-sent event: expected at most 100 bytes, got more before its end"
    assert decoder.feed(b"\n\ndata: late\n\n") == []


def test_an_event_of_exactly_the_limit_passes() -> None:
    events, decoder = decode(b"data: 4\n\n", 1, max_event_bytes=9)
    assert [event.data for event in events] == ["4"] and decoder.error is None


def test_comments_without_end_are_bounded_too() -> None:
    assert decode(b": ping\n" * 100, 7, max_event_bytes=100)[1].error


def test_invalid_utf8_is_replaced_and_flagged() -> None:
    events, decoder = decode(b"data: a\xffb\n\n", 1)
    assert events[0].data == "a\ufffdb"
    assert decoder.replaced == 1


def test_an_unfinished_event_is_discarded_and_reported() -> None:
    events, decoder = decode(b"data: whole\n\ndata: half", 5)
    assert [event.data for event in events] == ["whole"]
    assert decoder.close()


@given(st.text())
def test_what_is_encoded_decodes_to_itself(text: str) -> None:
    data = json.dumps(text).encode()
    assert decode(encode_event("value", data), 3)[0] == [ServerSentEvent("value", data.decode())]
