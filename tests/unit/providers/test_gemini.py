"""Gemini's chunks: parts of a candidate, running counts of which the last stands, ends without an end mark."""

import json
from typing import Any

import pytest

from weir.providers.events import Finished, ProviderEvent, Reasoning, Text, ToolCall, UsageReported
from weir.providers.failed import Failed
from weir.providers.gemini import GeminiDecoder


def chunk(
    *parts: dict[str, Any], finish: str | None = None, usage: Any = None, **members: Any
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return (
        {"candidates": [candidate], "modelVersion": "gemini-x"}
        | ({"usageMetadata": usage} if usage else {})
        | members
    )


def decode(*chunks: dict[str, Any]) -> tuple[list[ProviderEvent], GeminiDecoder]:
    decoder = GeminiDecoder()
    data = b"".join(b"data: " + json.dumps(item).encode() + b"\r\n\r\n" for item in chunks)
    return [*decoder.feed(data), *decoder.close()][1:], decoder  # the first says which model


def test_text_and_thoughts_are_told_apart() -> None:
    events, decoder = decode(
        chunk({"text": "h", "thought": True}),
        chunk({"text": "a"}, {"thoughtSignature": "x"}),
        chunk({"text": "b"}, finish="STOP"),
    )
    assert events == [Reasoning("h"), Text("a"), Text("b"), Finished("stop", "STOP")] and decoder.complete


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("STOP", "stop"), ("MAX_TOKENS", "length"), ("CONTINUATION", "length"), ("SAFETY", "filtered"), ("SPII", "filtered"),
        ("IMAGE_SAFETY", "filtered"), ("IMAGE_SOMETHING_NEW", "filtered"), ("MALFORMED_RESPONSE", "malformed"), ("OTHER", "error"),
        ("SOMETHING_NEW", "other"),
    ],
)  # fmt: skip
def test_finish_reasons_have_one_set_of_words(raw: str, normal: str) -> None:
    finish = decode(chunk({"text": "a"}, finish=raw))[1].finish
    assert finish is not None and (finish.normal, finish.raw) == (normal, raw)


def test_a_call_of_a_tool_comes_whole_and_finishes_so() -> None:
    call = {"functionCall": {"name": "f", "args": {"city": "Zürich"}}}
    events, _ = decode(chunk(call), chunk({"text": ""}, finish="STOP"))
    assert events == [ToolCall(0, None, "f", '{"city":"Zürich"}'), Finished("tool", "STOP")]


def test_a_blocked_prompt_is_filtered() -> None:
    _, decoder = decode(
        {
            "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            "modelVersion": "gemini-x",
            "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5},
        }
    )
    assert decoder.finish == Finished("filtered", "PROHIBITED_CONTENT") and decoder.complete


def counts(*reports: dict[str, int]) -> Any:
    chunks = [chunk({"text": "a"}, usage=report) for report in reports[:-1]]
    events, _ = decode(*chunks, chunk({"text": "b"}, finish="STOP", usage=reports[-1]))
    return [event.usage for event in events if isinstance(event, UsageReported)][-1]


def test_thoughts_are_output_and_tool_prompts_are_input() -> None:
    usage = counts({
        "promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 20, "toolUsePromptTokenCount": 7,
        "cachedContentTokenCount": 4, "totalTokenCount": 42,
    })  # fmt: skip
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (17, 25, 20)
    assert (usage.tool_prompt_tokens, usage.cached_input_tokens, usage.total_tokens) == (7, 4, 42)
    assert usage.complete and not usage.inconsistent


@pytest.mark.parametrize(
    ("last", "expected", "fell"),
    [
        # The last chunk is billed: it may correct the prompt down, where its own sum holds.
        ({"promptTokenCount": 18, "candidatesTokenCount": 5, "totalTokenCount": 23}, (18, 5), False),
        # It may not leave out what was counted, nor end with nothing: the largest that was said stands.
        ({"promptTokenCount": 19, "totalTokenCount": 19}, (19, 4), True),
        ({"promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0}, (19, 4), True),
    ],
)
def test_of_running_counts_the_last_stands_where_it_can(
    last: dict[str, int], expected: Any, fell: bool
) -> None:
    usage = counts({"promptTokenCount": 19, "candidatesTokenCount": 4, "totalTokenCount": 23}, last)
    assert (usage.input_tokens, usage.output_tokens) == expected and usage.fell is fell


def test_counts_before_the_end_are_a_lower_bound() -> None:
    events, _ = decode(chunk({"text": "a"}, usage={"promptTokenCount": 9, "totalTokenCount": 9}))
    [usage] = [event.usage for event in events if isinstance(event, UsageReported)]
    assert not usage.complete and usage.output_tokens == 0


def test_a_body_that_is_one_array_is_read() -> None:
    body = json.dumps([chunk({"text": "a"}), chunk({"text": "b"}, finish="STOP")]).encode()
    decoder = GeminiDecoder()
    events = [*decoder.feed(body), *decoder.close()]
    assert [event.text for event in events if isinstance(event, Text)] == ["a", "b"] and decoder.complete


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b'data: {"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}\n\n', "overloaded", "m"),
        (b'{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}', "rate_limited", "m"),
        (b'[{"error": {"code": 400, "message": "API key not valid. Please pass one.", "status": "INVALID_ARGUMENT"}}]', "key",
         "API key not valid. Please pass one."),
        (b'data: {"candidates": {"0": {}}}\n\n', "unreadable", "chunk: expected candidates as a list, got dict"),
        (b'data: {"candidates": [{"content": {"parts": [{"text": 5}]}}]}\n\n', "unreadable", "part: expected text, got int"),
        (b'data: {"candidates": ["a"]}\n\n', "unreadable", "candidate: expected an object, got str"),
    ],
)  # fmt: skip
def test_an_error_in_the_stream_is_one(data: bytes, kind: str, message: str) -> None:
    decoder = GeminiDecoder()
    [failed] = [*decoder.feed(data), *decoder.close()]
    assert (
        isinstance(failed, Failed)
        and (failed.kind, failed.message) == (kind, message)
        and not decoder.complete
    )


def test_parts_that_are_no_text_are_passed_over() -> None:
    events, _ = decode(
        chunk({"inlineData": {"data": "x"}}, {"executableCode": {"code": "1"}}, {"somethingNew": {}})
    )
    assert events == []


def test_a_finish_reason_in_every_chunk_is_that_of_the_last() -> None:
    events, decoder = decode(chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"}, finish="STOP"))
    assert [event.text for event in events if isinstance(event, Text)] == ["a", "b"] and decoder.complete
