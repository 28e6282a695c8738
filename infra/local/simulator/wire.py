"""An answer as bytes: the events of a chat.completions stream, and how they are cut into writes.

Fields and their order follow recordings of OpenAI's API: a first event with the role, one per token, one with
the finish reason, the usage in an event with empty `choices` (only when `stream_options.include_usage` asked
for it), then `[DONE]`. https://platform.openai.com/docs/api-reference/chat/streaming
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .answer import Answer
from .script import Script

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that leave together, and the number of tokens whose event ends in them."""

    tokens: int
    data: bytes


def writes(answer: Answer, script: Script, *, include_usage: bool) -> Iterator[Write]:
    """The whole stream, in the writes of the script's chunking."""
    tokens, pending, events = 0, b"", 0
    carried = _BYTE_ORDER_MARK if script.byte_order_mark else b""
    for count, data in _events(answer, script, include_usage=include_usage):
        tokens, pending, events = tokens + count, pending + data, events + 1
        if events < script.deltas_per_write:
            continue
        cut = _inside_character(pending) if script.cut_inside_characters else None
        if cut is not None:
            # The token whose event is cut is counted with the write that completes it.
            data, carried, pending = carried + pending[:cut], pending[cut:], b""
            yield Write(tokens - 1 if tokens else 0, data)
            tokens, events = (1 if tokens else 0), 0
            continue
        yield Write(tokens, carried + pending)
        tokens, events, carried, pending = 0, 0, b"", b""
    if carried or pending:
        yield Write(tokens, carried + pending)


def completion(answer: Answer) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if answer.is_refusal else answer.text,
        "refusal": answer.text if answer.is_refusal else None,
        "annotations": [],
    }
    return {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        ],
        "usage": answer.usage,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def event(value: object, newline: str = "\n") -> bytes:
    """One server-sent event; a string goes out as it is, anything else as JSON in UTF-8."""
    data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"data: {data}{newline}{newline}".encode()


def _events(answer: Answer, script: Script, *, include_usage: bool) -> Iterator[tuple[int, bytes]]:
    newline = script.newline
    shared = {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }
    usage_sent = include_usage and script.usage != "none"

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**shared, "choices": [choice], **({"usage": None} if usage_sent else {})}

    yield 0, event(chunk({"role": "assistant", "content": "", "refusal": None}), newline)
    key = "refusal" if answer.is_refusal else "content"
    running = usage_sent and script.usage == "running"
    head, tail = event(chunk({key: "\0"}), newline).split(b'"\\u0000"')
    for number, token in enumerate(answer.tokens, start=1):
        if running:
            usage = _with_output(answer.usage, number + script.reasoning_tokens)
            yield 1, event({**chunk({key: token}), "usage": usage}, newline)
        else:
            # Only the token is serialised: a long document has a hundred thousand of these.
            yield 1, head + json.dumps(token, ensure_ascii=False).encode() + tail
    if answer.finish_reason == "tool_calls":
        call = {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
        yield 0, event(chunk({"tool_calls": [{"index": 0, **call}]}), newline)
    yield 0, event(chunk({}, answer.finish_reason), newline)
    if usage_sent:
        for usage in _final_usages(answer.usage, script):
            yield 0, event({**shared, "choices": [], "usage": usage}, newline)
    yield 0, event("[DONE]", newline)


def _final_usages(usage: dict[str, Any], script: Script) -> list[dict[str, Any]]:
    match script.usage:
        case "twice":
            return [_with_output(usage, usage["completion_tokens"] // 2), usage]
        case "inconsistent":
            return [{**usage, "completion_tokens": -1, "total_tokens": 10 * usage["total_tokens"]}]
    return [usage]


def _with_output(usage: dict[str, Any], output_tokens: int) -> dict[str, Any]:
    total = usage["prompt_tokens"] + output_tokens
    return {**usage, "completion_tokens": output_tokens, "total_tokens": total}


def _inside_character(data: bytes) -> int | None:
    # 0b10xxxxxx is a continuation byte: cutting in front of one leaves half a character on either side.
    return next((index for index, byte in enumerate(data) if byte & 0xC0 == 0x80), None)
