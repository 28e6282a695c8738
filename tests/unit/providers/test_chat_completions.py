"""What Chat Completions chunks mean, and what is no Chat Completions stream."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.pricing.usage import Usage
from weir.providers.chat_completions import ChatCompletionsDecoder
from weir.providers.events import Failed, Finished, ProviderEvent, Refusal, Served, Text, UsageReported

OBJECT = "stream chunk: expected a JSON object"


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


def choice(delta: Any = None, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def decode(data: bytes, size: int = 1_000_000) -> list[ProviderEvent]:
    decoder = ChatCompletionsDecoder()
    return [event for at in range(0, len(data), size) for event in decoder.feed(data[at : at + size])]


def test_text_refusal_model_and_finish_are_read_in_order() -> None:
    data = sse(
        {"model": "m-1"} | choice({"role": "assistant", "content": ""}),
        {"model": "m-1"} | choice({"content": "a"}),
        {"model": "m-1"} | choice({"refusal": "no"}),
        choice({}, "stop"),
    )
    assert decode(data) == [Served("m-1"), Text("a"), Refusal("no"), Finished("stop", "stop")]


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": []},
        {"choices": None},
        choice(None),
        choice({"content": None}),
        {"prompt_filter_results": []},
        {"model": 3},
        {"usage": None},
    ],
)  # fmt: skip
def test_chunks_without_text_are_passed_over(chunk: Any) -> None:
    assert decode(sse(chunk)) == []


def test_usage_is_read_from_any_chunk_and_any_nesting() -> None:
    counted = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    details = {
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert decode(sse(choice({"content": "a"}) | {"usage": counted | details})) == [
        Text("a"),
        UsageReported(Usage(9, 3, 4, 1, 12, "provider", complete=False)),
    ]
    assert decode(sse({"choices": [], "x_groq": {"usage": counted}})) == [
        UsageReported(Usage(9, 3, None, None, 12, "provider", complete=False))
    ]
    assert decode(sse({"usage": counted | {"prompt_cache_hit_tokens": 2}})) == [
        UsageReported(Usage(9, 3, 2, None, 12, "provider", complete=False))
    ]


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b"data: {\n\n", None, f"{OBJECT}, got 1 characters that are not JSON"),
        (b"data: [1]\n\n", None, f"{OBJECT}, got list"),
        (b"data: " + b"[" * 100_000 + b"\n\n", None, f"{OBJECT}, got 100000 characters that are not JSON"),
        (sse({"error": {"message": "m", "code": "c"}}), "c", "m"),
        (sse({"error": {"message": "m", "type": "t"}}), "t", "m"),
        (sse({"error": "plain"}), None, "plain"),
        (b'event: error\ndata: {"error":{"message":"m","code":5}}\n\n', "5", "m"),
        (b'event: error\ndata: {"detail":1}\n\n', None, "the provider gave no message"),
    ],
)  # fmt: skip
def test_errors_and_garbage_end_the_stream(data: bytes, code: str | None, message: str) -> None:
    [failed] = decode(data + sse(choice({"content": "late"})))
    assert isinstance(failed, Failed) and (failed.message, failed.code) == (message, code)


def test_what_follows_the_terminator_is_ignored() -> None:
    decoder = ChatCompletionsDecoder()
    assert decoder.feed(b"data: [DONE]\n\n" + sse(choice({"content": "late"}))) == []
    assert decoder.terminated and not decoder.complete


def test_a_body_without_finish_reason_and_terminator_was_cut_off() -> None:
    decoder = ChatCompletionsDecoder()
    decoder.feed(sse(choice({"content": "a"})))
    assert decoder.close() == [] and not decoder.complete


@given(st.lists(st.text(min_size=1), max_size=10), st.integers(1, 30))
def test_text_is_the_same_at_any_chunking(texts: list[str], size: int) -> None:
    data = sse(*(choice({"content": text}) for text in texts))
    assert decode(data, size) == [Text(text) for text in texts]


@given(st.binary(max_size=200), st.integers(1, 20))
def test_any_bytes_give_events_and_never_an_exception(data: bytes, size: int) -> None:
    assert decode(b"data: " + data + b"\n\n", size) == decode(b"data: " + data + b"\n\n")
