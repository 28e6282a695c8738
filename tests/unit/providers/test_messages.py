"""Anthropic's events: text of any text block, thoughts, tools, refusals, switches; counts merged by the API's own rules."""

import json
from typing import Any

import pytest

from weir.pricing.usage import Usage
from weir.providers.events import (
    Finished,
    ProviderEvent,
    Reasoning,
    Refusal,
    Served,
    Switched,
    Text,
    ToolCall,
    UsageReported,
)
from weir.providers.failed import Failed
from weir.providers.messages import MessagesDecoder


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def start(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"model": "claude-x", "usage": usage}}


def delta(text: str, index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}


def block(index: int = 0, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": members}


def end(reason: str | None = "end_turn", usage: Any = None, **members: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, **members}, "usage": usage}


STOP = {"type": "message_stop"}


def decode(*events: dict[str, Any]) -> tuple[list[ProviderEvent], MessagesDecoder]:
    decoder = MessagesDecoder()
    return [*decoder.feed(sse(*events)), *decoder.close()], decoder


def usage_of(*events: dict[str, Any]) -> Usage:
    found, _ = decode(*events)
    return [event.usage for event in found if isinstance(event, UsageReported)][-1]


def test_a_message_is_read_in_order() -> None:
    events, decoder = decode(
        start(input_tokens=5, output_tokens=1), {"type": "ping"}, block(type="text", text=""), delta("He"), delta("llo"),
        {"type": "content_block_stop", "index": 0}, end(usage={"output_tokens": 2}), STOP,
    )  # fmt: skip
    assert events == [
        Served("claude-x"),
        UsageReported(Usage(5, 1, source="provider", complete=False)),
        Text("He"), Text("llo"),
        UsageReported(Usage(5, 2, source="provider", complete=False)),
        Finished("stop", "end_turn"),
        UsageReported(Usage(5, 2, source="provider")),
    ]  # fmt: skip
    assert decoder.terminated and decoder.complete


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (block(type="text", text="a"), [Text("a")]),
        (block(type="thinking", thinking="h"), [Reasoning("h")]),
        ({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "h"}}, [Reasoning("h")]),
        (block(type="tool_use", id="t", name="f", input={}), [ToolCall(0, "t", "f", "")]),
        (block(type="tool_use", id="t", name="f", input={"a": "é"}), [ToolCall(0, "t", "f", '{"a":"é"}')]),
        (block(type="fallback", **{"from": {"model": "claude-x"}, "to": {"model": "claude-y"}}),
         [Switched("claude-x", "claude-y"), Served("claude-y")]),
        # Kinds grow: what is not known is passed over, and so is what is no text of the answer.
        (block(type="server_tool_use", id="s", name="web_search", input={}), []),
        (block(type="hologram", text="?"), []),
        ({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x"}}, []),
        ({"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {"cited_text": "x"}}}, []),
        ({"type": "content_block_delta", "index": 9, "delta": {"type": "input_json_delta", "partial_json": "{}"}}, []),
        ({"type": "something_new"}, []),
    ],
)  # fmt: skip
def test_blocks_and_deltas_are_what_their_type_says(
    event: dict[str, Any], expected: list[ProviderEvent]
) -> None:
    assert decode(event)[0] == expected


def test_a_tools_arguments_come_in_pieces() -> None:
    piece = {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "input_json_delta", "partial_json": '{"a":'},
    }
    events, _ = decode(block(1, type="tool_use", id="t", name="f", input={}), piece, end("tool_use"))
    assert events == [
        ToolCall(1, "t", "f", ""),
        ToolCall(1, None, None, '{"a":'),
        Finished("tool", "tool_use"),
    ]


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("tool_use", "tool"), ("refusal", "refused"),
        ("pause_turn", "paused"), ("model_context_window_exceeded", "context"), ("something_new", "other"),
    ],
)  # fmt: skip
def test_stop_reasons_have_one_set_of_words(raw: str, normal: str) -> None:
    finish = decode(delta("a"), end(raw), STOP)[1].finish
    assert finish is not None and (finish.normal, finish.raw) == (normal, raw)


def test_a_refusal_says_of_what() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "not that"}
    events, _ = decode(
        start(input_tokens=20, output_tokens=1),
        end("refusal", {"output_tokens": 0}, stop_details=details),
        STOP,
    )
    assert Refusal("not that", "cyber") in events and Finished("refused", "refusal") in events
    # The one token of the start was a placeholder: what is said at the end counts.
    assert [event.usage.output_tokens for event in events if isinstance(event, UsageReported)][-1] == 0


def test_all_input_is_the_sum_of_three_and_the_last_report_may_leave_members_out_or_raise_them() -> None:
    first = start(
        input_tokens=10, output_tokens=1, cache_creation_input_tokens=300, cache_read_input_tokens=2000, service_tier="standard",
        cache_creation={"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
    )  # fmt: skip
    assert usage_of(first, delta("a"), end(usage={"output_tokens": 7}), STOP) == Usage(
        2310, 7, 2000, source="provider", cache_write_tokens=300, cache_write_5m_tokens=100, cache_write_1h_tokens=200,
        service_tier="standard",
    )  # fmt: skip
    # A server's tools raise the input, and what they wrote to the cache is of no named duration.
    raised = usage_of(
        first, end(usage={"input_tokens": 50, "cache_creation_input_tokens": 400, "output_tokens": 9}), STOP
    )
    assert (raised.input_tokens, raised.cache_write_tokens, raised.cache_write_unnamed_tokens) == (
        2450,
        400,
        100,
    )
    assert not raised.inconsistent


def test_of_several_iterations_all_are_paid_for() -> None:
    iterations = [{"input_tokens": 10, "output_tokens": 5}, {"input_tokens": 20, "output_tokens": 7}]
    counted = usage_of(
        start(input_tokens=10, output_tokens=1),
        end(usage={"input_tokens": 20, "output_tokens": 7, "iterations": iterations}),
    )
    assert (counted.input_tokens, counted.output_tokens) == (30, 12)


def test_a_count_that_falls_is_flagged_and_the_larger_stands() -> None:
    counted = usage_of(
        start(input_tokens=10, output_tokens=1),
        end(usage={"output_tokens": 9}),
        end(usage={"output_tokens": 0}),
    )
    assert (counted.output_tokens, counted.fell) == (9, True)


def test_thoughts_are_part_of_the_output() -> None:
    counted = usage_of(
        end(usage={"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}})
    )
    assert (counted.output_tokens, counted.reasoning_tokens) == (9, 4)


@pytest.mark.parametrize(
    ("events", "kind", "message"),
    [
        ([delta("a"), {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}], "overloaded", "Overloaded"),
        ([{"type": "error", "error": {"type": "rate_limit_error", "message": "m"}}], "rate_limited", "m"),
        ([{"type": "content_block_delta", "delta": {"type": "text_delta", "text": 5}}], "unreadable", "text_delta: expected text, got int"),
        ([{"type": "content_block_delta", "delta": 5}], "unreadable", "content block delta: expected an object, got int"),
    ],
)  # fmt: skip
def test_an_error_in_the_stream_is_one(events: list[dict[str, Any]], kind: str, message: str) -> None:
    found, decoder = decode(*events, delta("late"), STOP)
    failed = found[-1]
    assert (
        isinstance(failed, Failed)
        and (failed.kind, failed.message) == (kind, message)
        and not decoder.complete
    )


def test_a_message_that_came_whole_is_read() -> None:
    message = {
        "type": "message", "model": "claude-x", "content": [{"type": "thinking", "thinking": "h"}, {"type": "text", "text": "a"}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 5, "output_tokens": 2},
    }  # fmt: skip
    decoder = MessagesDecoder()
    events = [*decoder.feed(json.dumps(message).encode()), *decoder.close()]
    assert events[1:3] == [Reasoning("h"), Text("a")] and decoder.complete


@pytest.mark.parametrize(
    "events",
    [[start(input_tokens=1)], [delta("a")], [delta("a"), {"type": "content_block_stop", "index": 0}]],
)
def test_a_message_without_its_end_was_cut_off(events: list[dict[str, Any]]) -> None:
    assert not decode(*events)[1].complete
