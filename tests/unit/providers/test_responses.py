"""OpenAI's Responses events: what an object's type says, whatever frames it; text that was not streamed; the three ends."""

import json
from typing import Any

import pytest

from weir.providers.events import Finished, ProviderEvent, Reasoning, Refusal, Text, ToolCall, UsageReported
from weir.providers.failed import Failed
from weir.providers.responses import ResponsesDecoder


def frame(event: dict[str, Any], framing: str = "event first") -> bytes:
    data = json.dumps(event)
    return {
        "event first": f"event: {event['type']}\ndata: {data}\n\n",
        "data first": f"data: {data}\nevent: {event['type']}\n\n",
        "data alone": f"data: {data}\n\n",
    }[framing].encode()


def say(text: str, index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "output_index": index, "content_index": 0, "delta": text}


def item(index: int = 0, **members: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": members}


USAGE = {
    "input_tokens": 100, "output_tokens": 20, "total_tokens": 120, "input_tokens_details": {"cached_tokens": 80},
    "output_tokens_details": {"reasoning_tokens": 5},
}  # fmt: skip


def end(status: str = "completed", **members: Any) -> dict[str, Any]:
    response = {
        "object": "response",
        "status": status,
        "model": "m",
        "usage": USAGE,
        "service_tier": "default",
        **members,
    }
    return {"type": f"response.{status}", "response": response}


def decode(
    *events: dict[str, Any], framing: str = "event first", tail: bytes = b""
) -> tuple[list[ProviderEvent], ResponsesDecoder]:
    decoder = ResponsesDecoder()
    data = b"".join(frame(event, framing) for event in events) + tail
    return [*decoder.feed(data), *decoder.close()], decoder


@pytest.mark.parametrize("framing", ["event first", "data first", "data alone"])
@pytest.mark.parametrize("tail", [b"", b"data: [DONE]\n\n"])
def test_a_response_reads_the_same_in_any_frame(framing: str, tail: bytes) -> None:
    events, decoder = decode(
        {"type": "response.created", "response": {"model": "m", "service_tier": "auto"}}, item(type="message"), say("a"), say("b"),
        {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "ab"},
        {"type": "response.content_part.done", "output_index": 0, "content_index": 0, "part": {"type": "output_text", "text": "ab"}},
        end(), framing=framing, tail=tail,
    )  # fmt: skip
    assert [event.text for event in events if isinstance(event, Text)] == ["a", "b"]
    [usage] = [event.usage for event in events if isinstance(event, UsageReported)]
    assert (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.reasoning_tokens) == (
        100,
        80,
        20,
        5,
    )
    assert (
        usage.complete and usage.service_tier == "default"
    )  # the tier that served, not the one that was asked for
    assert decoder.finish == Finished("stop", "completed") and decoder.complete and decoder.terminated


@pytest.mark.parametrize(
    ("ending", "normal", "raw"),
    [
        (
            end("incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "length",
            "max_output_tokens",
        ),
        (end("incomplete", incomplete_details={"reason": "content_filter"}), "filtered", "content_filter"),
        (end("incomplete", incomplete_details={"reason": "steered"}), "paused", "steered"),
        (end("incomplete", incomplete_details={"reason": "something_new"}), "other", "something_new"),
        (end("incomplete", incomplete_details=None), "other", "incomplete"),
        (end("cancelled"), "error", "cancelled"),
    ],
)
def test_the_ends_have_one_set_of_words(ending: dict[str, Any], normal: str, raw: str) -> None:
    _, decoder = decode(say("a"), ending)
    assert decoder.finish is not None and (decoder.finish.normal, decoder.finish.raw) == (normal, raw)


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "a"}, end()],
        [{"type": "response.content_part.done", "output_index": 0, "content_index": 0, "part": {"type": "output_text", "text": "a"}},
         end()],
        [end(output=[{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": "a"}]}])],
    ],
)  # fmt: skip
def test_text_that_was_not_streamed_is_not_lost(events: list[dict[str, Any]]) -> None:
    found, _ = decode(*events)
    assert [event.text for event in found if isinstance(event, Text)] == ["a"]


def test_a_response_that_came_whole_is_read() -> None:
    body = json.dumps(
        end(output=[{"type": "message", "content": [{"type": "output_text", "text": "a"}]}])["response"]
    ).encode()
    decoder = ResponsesDecoder()
    assert Text("a") in [*decoder.feed(body), *decoder.close()] and decoder.complete


def test_commentary_is_thought_aloud() -> None:
    events, _ = decode(
        item(0, type="message", phase="commentary"),
        say("hm", 0),
        item(1, type="message", phase="final_answer"),
        say("a", 1),
    )
    assert events == [Reasoning("hm"), Text("a")]


@pytest.mark.parametrize("kind", ["response.reasoning_text.delta", "response.reasoning_summary_text.delta"])
def test_thoughts_are_thoughts(kind: str) -> None:
    assert decode({"type": kind, "delta": "h"})[0] == [Reasoning("h")]


def test_a_refusal_is_one_however_it_comes() -> None:
    in_pieces, decoder = decode(
        {"type": "response.refusal.delta", "delta": "no"},
        {"type": "response.refusal.done", "refusal": "no"},
        end(),
    )
    assert [event for event in in_pieces if isinstance(event, Refusal)] == [Refusal("no")]
    assert decoder.finish == Finished("refused", "completed")
    whole, _ = decode({"type": "response.refusal.done", "refusal": "no"}, end())
    assert [event for event in whole if isinstance(event, Refusal)] == [Refusal("no")]


def test_calls_of_tools_are_told_and_finish_so() -> None:
    events, decoder = decode(
        item(2, type="function_call", call_id="c", name="f", arguments=""),
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{}"},
        {"type": "response.function_call_arguments.done", "output_index": 2, "arguments": "{}"},
        end(),
    )
    assert events[:2] == [ToolCall(2, "c", "f", ""), ToolCall(2, None, None, "{}")]
    assert decoder.finish == Finished("tool", "completed")


@pytest.mark.parametrize(
    ("event", "kind", "message"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "m", "param": None}, "rate_limited", "m"),
        ({"type": "error", "error": {"type": "server_error", "code": "server_error", "message": "m"}}, "server", "m"),
        (end("failed", error={"code": "server_error", "message": "m"}), "server", "m"),
        (end("failed", error={"code": "bio_policy", "message": "m"}), "filtered", "m"),
        (end("failed", error=None), "server", "the response failed"),
        ({"type": "response.output_text.delta", "delta": {"text": "a"}}, "unreadable", "output text: expected text, got dict"),
        ({"type": "response.completed", "response": 5}, "unreadable", "end of the response: expected an object, got int"),
    ],
)  # fmt: skip
def test_an_error_in_the_stream_is_one(event: dict[str, Any], kind: str, message: str) -> None:
    events, decoder = decode(event, say("late"))
    failed = [found for found in events if isinstance(found, Failed)]
    assert [(found.kind, found.message) for found in failed] == [(kind, message)] and not decoder.complete


@pytest.mark.parametrize(
    "kind",
    ["response.something_new", "response.web_search_call.searching", "keepalive", "response.audio.delta"],
)
def test_events_that_are_not_known_are_passed_over(kind: str) -> None:
    assert decode({"type": kind, "delta": "?"})[0] == []


def test_a_response_without_its_end_was_cut_off() -> None:
    assert not decode(item(type="message"), say("a"))[1].complete
