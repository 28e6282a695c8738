"""Bedrock's two streams: Converse's events, the vendors' in base64, and exceptions as messages of their own."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.simulator.event_stream import encode_message
from tests.recordings import recordings
from weir.pricing.usage import Usage
from weir.providers.converse import ConverseDecoder, InvokeDecoder
from weir.providers.events import Finished, ProviderEvent, Reasoning, Served, Text, ToolCall, UsageReported
from weir.providers.failed import Failed


def message(event: str, document: Any, kind: str = "event") -> bytes:
    headers = {f":{kind}-type": event, ":content-type": "application/json", ":message-type": kind}
    return encode_message(headers, json.dumps(document).encode())


def say(text: str) -> bytes:
    return message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}, "p": "abcd"})


def stop(reason: str = "end_turn") -> bytes:
    return message("messageStop", {"stopReason": reason})


def metadata(**usage: Any) -> bytes:
    return message("metadata", {"usage": usage, "metrics": {"latencyMs": 5}})


def decode(
    data: bytes, decoder: ConverseDecoder | None = None
) -> tuple[list[ProviderEvent], ConverseDecoder]:
    decoder = decoder or ConverseDecoder()
    return [*decoder.feed(data), *decoder.close()], decoder


def test_a_conversation_is_read_in_order() -> None:
    data = (
        message("messageStart", {"role": "assistant"})
        + say("He")
        + say("llo")
        + message("contentBlockStop", {})
        + stop()
    )
    events, decoder = decode(data + metadata(inputTokens=5, outputTokens=2, totalTokens=7))
    assert events == [
        Text("He"), Text("llo"), Finished("stop", "end_turn"), UsageReported(Usage(5, 2, None, None, 7, "provider")),
    ]  # fmt: skip
    assert decoder.terminated and decoder.complete


def test_a_stream_without_its_metadata_was_cut_off() -> None:
    assert not decode(say("a") + stop())[1].complete


def test_input_is_the_sum_of_three_and_a_true_total_agrees() -> None:
    events, _ = decode(say("a") + stop() + metadata(
        inputTokens=10, outputTokens=2, totalTokens=412, cacheReadInputTokens=100, cacheWriteInputTokens=300,
        cacheDetails=[{"ttl": "5m", "inputTokens": 100}, {"ttl": "1h", "inputTokens": 200}],
    ))  # fmt: skip
    [usage] = [event.usage for event in events if isinstance(event, UsageReported)]
    assert (usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens) == (410, 100, 300)
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens, usage.total_tokens) == (100, 200, 412)
    assert not usage.inconsistent


def test_the_tier_and_a_routers_model_are_told() -> None:
    data = message("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}, "serviceTier": {"type": "flex"},
                                "trace": {"promptRouter": {"invokedModelId": "anthropic.claude-x"}}})  # fmt: skip
    events, _ = decode(stop() + data)
    assert Served("anthropic.claude-x", "flex") in events


def test_thoughts_and_tools() -> None:
    data = (
        message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "h"}}})
        + message(
            "contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "x"}}}
        )
        + message(
            "contentBlockStart",
            {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}},
        )
        + message("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{}"}}})
        + message(
            "contentBlockStart",
            {
                "contentBlockIndex": 2,
                "start": {"toolUse": {"toolUseId": "s", "name": "g", "type": "server_tool_use"}},
            },
        )
        + message("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": "{}"}}})
        + stop("tool_use")
    )
    assert decode(data)[0] == [
        Reasoning("h"), ToolCall(1, "t", "f", ""), ToolCall(1, None, None, "{}"), Finished("tool", "tool_use"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("end_turn", "stop"), ("max_tokens", "length"), ("guardrail_intervened", "filtered"), ("content_filtered", "filtered"),
        ("malformed_tool_use", "malformed"), ("model_context_window_exceeded", "context"), ("something_new", "other"),
    ],
)  # fmt: skip
def test_stop_reasons_have_one_set_of_words(raw: str, normal: str) -> None:
    finish = decode(stop(raw))[1].finish
    assert finish is not None and (finish.normal, finish.raw) == (normal, raw)


@pytest.mark.parametrize(
    ("exception", "kind", "status", "retryable"),
    [
        ("throttlingException", "rate_limited", 429, "yes"),
        ("serviceUnavailableException", "overloaded", 503, "yes"),
        ("internalServerException", "server", 500, "yes"),
        ("modelStreamErrorException", "server", 424, "yes"),
        ("modelTimeoutException", "timeout", 408, "yes"),
        ("validationException", "request", 400, "no"),
        ("somethingNewException", "server", None, "unknown"),
    ],
)
def test_exceptions_are_messages_of_their_own(
    exception: str, kind: str, status: int | None, retryable: str
) -> None:
    events, decoder = decode(say("a") + message(exception, {"message": "m"}, "exception") + say("late"))
    failed = events[-1]
    assert isinstance(failed, Failed) and not decoder.complete
    assert (failed.kind, failed.status, failed.retryable, failed.message, failed.code) == (
        kind,
        status,
        retryable,
        "m",
        exception,
    )


def test_an_error_has_its_text_in_the_headers() -> None:
    headers = {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "m"}
    [failed] = decode(encode_message(headers, b""))[0]
    assert isinstance(failed, Failed) and (failed.message, failed.code) == ("m", "InternalFailure")


@pytest.mark.parametrize(
    "data",
    [
        encode_message({":message-type": "event", ":event-type": "contentBlockDelta"}, b"not JSON"),
        encode_message({":message-type": "event", ":event-type": "contentBlockDelta"}, b"[1]"),
        encode_message({":message-type": "event", ":event-type": "contentBlockDelta"}, b"[" * 100_000),
        encode_message({":message-type": "hologram"}, b"{}"),
        encode_message({}, b"{}"),
        message("contentBlockDelta", {"delta": 5}),
        message("contentBlockDelta", {"delta": {"text": 5}}),
        message("messageStart", {})[:-1] + b"?",
    ],
)
def test_what_cannot_be_read_is_an_error_that_says_what_was_expected(data: bytes) -> None:
    [failed] = decode(data)[0]
    assert isinstance(failed, Failed) and failed.kind == "unreadable"
    assert "expected" in failed.message and "got" in failed.message


def test_a_body_of_json_is_an_error() -> None:
    [failed] = decode(b'{"message": "The model is not ready"}')[0]
    assert isinstance(failed, Failed) and failed.message == "The model is not ready"


def wrapped(document: Any) -> bytes:
    return message(
        "chunk", {"bytes": base64.b64encode(json.dumps(document).encode()).decode(), "p": "abcdefgh"}
    )


def test_claudes_events_come_in_base64() -> None:
    data = b"".join(map(wrapped, (
        {"type": "message_start", "message": {"model": "claude-x", "usage": {"input_tokens": 5, "output_tokens": 1}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )))  # fmt: skip
    decoder = InvokeDecoder()
    events = [*decoder.feed(data), *decoder.close()]
    assert [event.text for event in events if isinstance(event, Text)] == ["a"] and decoder.complete
    assert [event.usage for event in events if isinstance(event, UsageReported)][-1] == Usage(
        5, 2, source="provider"
    )


@pytest.mark.parametrize(
    "payload", [{"bytes": "?"}, {"bytes": 5}, {}, {"bytes": base64.b64encode(b"[").decode()}]
)
def test_a_chunk_that_holds_no_event_is_an_error(payload: Any) -> None:
    [failed] = InvokeDecoder().feed(message("chunk", payload))
    assert isinstance(failed, Failed) and failed.kind == "unreadable"


@given(st.data())
def test_a_recording_with_one_bit_fallen_over_is_never_whole(data: st.DataObject) -> None:
    recording = data.draw(
        st.sampled_from([item for item in recordings("bedrock.converse") if len(item.body) < 6_000])
    )
    body = bytearray(recording.body)
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    body[bit // 8] ^= 1 << bit % 8
    events, decoder = decode(bytes(body))
    assert not decoder.complete
    assert any(isinstance(event, Failed) for event in events)
