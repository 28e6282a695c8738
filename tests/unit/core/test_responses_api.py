"""What `/v1/responses` writes, event by event: by the types of OpenAI's SDK, and beside recorded streams of OpenAI's."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

from tests.corpora import corpus
from weir.generate.responses_api import ResponsesWire, parse_responses_request
from weir.generate.result import Result, Verdict
from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.events import ToolCall
from weir.providers.sse import SSEDecoder

USAGE = {
    "input_tokens": 12,
    "output_tokens": 5,
    "cached_input_tokens": None,
    "reasoning_tokens": 2,
    "service_tier": "default",
}
SUMMARY: dict[str, Any] = {"usage": USAGE, "cost": {"total": "0.002"}, "timing": {"duration_ms": 2_600.0}}
TYPES: dict[str, type[BaseModel]] = {
    get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in get_args(get_args(ResponseStreamEvent)[0])
}
OK = Verdict(Outcome.OK)
CUT = Verdict(Outcome.TRUNCATED_OUTPUT)
REFUSED = Verdict.failed(Problem(Outcome.REFUSED, "the model refused"))
BROKEN = Verdict.failed(Problem(Outcome.UPSTREAM_ERROR, "the provider failed"))
CALLS = (ToolCall(0, "c0", "f", "{"), ToolCall(0, None, None, "}"), ToolCall(4, None, "g", "{}"))


def parsed(**members: Any) -> Any:
    return parse_responses_request(json.dumps({"input": "Write.", **members}).encode(), "application/json")


def wire(**members: Any) -> ResponsesWire:
    return ResponsesWire("r-1", 1_790_000_000, "fast", parsed(**members))


def written(
    made: ResponsesWire, pieces: tuple[str | ToolCall, ...], verdict: Verdict
) -> list[dict[str, Any]]:
    """The data of a stream's events, each held against the SDK's type of it."""
    said = made.begin()
    for piece in pieces:
        said += made.delta(1, piece) if isinstance(piece, str) else made.tool_call(1, piece)
    return read(said + made.end(Result(1, verdict, SUMMARY)))


def read(stream: bytes) -> list[dict[str, Any]]:
    events = []
    for event in SSEDecoder().feed(stream):
        data = json.loads(event.data)
        assert data["type"] == event.event
        TYPES[event.event].model_validate(data, strict=True)
        events.append(data)
    return events


CASES: list[Any] = [
    pytest.param({}, ("Hel", "lo"), OK, id="text"),
    pytest.param({}, (), OK, id="nothing"),
    pytest.param({}, ("Hel",), CUT, id="cut"),
    pytest.param({}, ("Hel",), Verdict(Outcome.FILTERED), id="filtered"),
    pytest.param({}, (), REFUSED, id="refused"),
    pytest.param({}, ("Hel",), REFUSED, id="refused behind text"),
    pytest.param({}, ("Hel",), BROKEN, id="failed"),
    pytest.param({}, (), BROKEN, id="failed at once"),
    pytest.param({}, CALLS, OK, id="calls"),
    pytest.param({}, ("See.", *CALLS), OK, id="text and calls"),
    pytest.param(
        {"tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}],
         "tool_choice": "required"},
        ("{", "}"), OK, id="a function that must be called",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("members", "pieces", "verdict"), CASES)
def test_events_are_the_sdks_in_order_and_add_up_to_the_last_one(
    members: dict[str, Any], pieces: tuple[str | ToolCall, ...], verdict: Verdict
) -> None:
    events = written(wire(**members), pieces, verdict)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    last = events[-1]["response"]
    Response.model_validate(last, strict=True)
    failed = verdict is BROKEN
    assert events[-1]["type"] == f"response.{last['status']}"
    assert (last["status"] == "failed", events[-2]["type"] == "error") == (failed, failed)
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert items == last["output"]
    for index, item in enumerate(items):
        of = [event for event in events if event.get("output_index") == index]
        texts = [event["delta"] for event in of if event["type"].endswith(("text.delta", "arguments.delta"))]
        assert of[0]["item"]["id"] == item["id"] and {"item_id": item["id"]}.items() <= of[1].items()
        shown = item["arguments"] if item["type"] == "function_call" else item["content"][0].get("text", "")
        assert "".join(texts) == shown
        for part in item.get("content", ()):
            assert part in [event["part"] for event in of if event["type"] == "response.content_part.done"]


@pytest.mark.parametrize(
    ("verdict", "pieces", "status", "reason"),
    [
        (OK, ("Hel",), "completed", None),
        (CUT, ("Hel",), "incomplete", {"reason": "max_output_tokens"}),
        (Verdict(Outcome.FILTERED), ("Hel",), "incomplete", {"reason": "content_filter"}),
        (REFUSED, (), "completed", None),
    ],
)
def test_whole_it_is_what_a_stream_ends_with(
    verdict: Verdict, pieces: tuple[str, ...], status: str, reason: Any
) -> None:
    made = wire(instructions="Be brief.", metadata={"a": "b"}, temperature=0.5, max_output_tokens=9)
    whole = made.whole(Result(1, verdict, SUMMARY, "".join(pieces)))
    Response.model_validate(whole, strict=True)
    assert whole == written(made, pieces, verdict)[-1]["response"]
    assert (whole["status"], whole["incomplete_details"]) == (status, reason)
    assert (whole["instructions"], whole["metadata"], whole["store"]) == ("Be brief.", {"a": "b"}, False)
    assert (whole["temperature"], whole["max_output_tokens"], whole["top_p"]) == (0.5, 9, None)
    assert whole["usage"] == {
        "input_tokens": 12, "output_tokens": 5, "total_tokens": 17, "cost": 0.002,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 2},
    }  # fmt: skip
    assert whole["weir"] == {"request_id": "r-1", "outcome": verdict.outcome, "cost_estimate": "0.002"}
    assert whole["completed_at"] == (1_790_000_003 if status == "completed" else None)


def test_what_is_forgotten_leaves_no_trace() -> None:
    made = wire()
    first = written(made, ("Hel", "lo"), OK)
    made.forget()
    assert written(made, ("Hel", "lo"), OK) == first


def test_a_line_end_in_text_ends_no_event() -> None:
    text = 'a\n\u2028\u0085"\\ \ud83d'
    events = written(wire(), (text,), OK)
    assert events[4]["delta"] == events[-1]["response"]["output"][0]["content"][0]["text"] == text


def recorded() -> Iterator[dict[str, Any]]:
    for folder in ("streams", "streams2"):
        for path in sorted(corpus(folder).glob("responses-*.sse")):
            events = SSEDecoder().feed(path.read_bytes())
            yield from (json.loads(event.data) for event in events if event.data != "[DONE]")


def test_members_are_those_that_openai_sends() -> None:
    """Of what clients read: an event, its item and its response have each member that a recorded one always has."""
    always: dict[str, set[str]] = {}

    def parts(event: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        yield event["type"], event
        for name in ("response", "item", "part"):
            if isinstance(held := event.get(name), dict):
                yield f"{name} {held.get('type', '')}", held

    for event in recorded():
        for name, held in parts(event):
            always[name] = always.get(name, set(held)) & set(held)
    ours = [event for case in CASES for event in written(wire(**case.values[0]), *case.values[1:])]
    seen = {name: held for event in ours for name, held in parts(event)}
    known = seen.keys() & always.keys()
    assert {"response ", "item message", "item function_call", "response.incomplete"} <= known
    missing = {name: always[name] - set(seen[name]) for name in known if always[name] - set(seen[name])}
    assert missing == {}
