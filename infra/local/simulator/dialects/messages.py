"""Anthropic's Messages: blocks with a start and a stop, counts at both ends, pings anywhere.

https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..answer import Answer
from ..script import HttpError, Script
from .dialect import (
    Dialect,
    Event,
    cached,
    conversation,
    event,
    final_usages,
    json_schema,
    reasoning,
    refuse,
    texts,
)

_FINISHES = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
}
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
          429: "rate_limit_error", 500: "api_error", 504: "timeout_error", 529: "overloaded_error"}  # fmt: skip


class Messages(Dialect):
    """POST /v1/messages."""

    rules = "anthropic"

    def read(self, body: dict[str, Any], model: str | None, *, stream: bool) -> dict[str, Any]:
        if not isinstance(body.get("model"), str):
            raise refuse("model: Field required")
        if not isinstance(body.get("max_tokens"), int):
            raise refuse("max_tokens: Field required")
        turns = body.get("messages")
        if isinstance(turns, list) and any(
            isinstance(turn, dict) and turn.get("role") not in ("user", "assistant") for turn in turns
        ):
            raise refuse('messages: Unexpected role. Allowed roles are "user" or "assistant".')
        asked: dict[str, Any] = {
            "model": body["model"],
            "messages": conversation(turns, "content", system=texts(body.get("system") or "")),
            "stream": bool(body.get("stream")),
            "max_completion_tokens": body["max_tokens"],
        }
        form = (body.get("output_config") or {}).get("format") or {}
        if form.get("type") == "json_schema":
            asked["response_format"] = json_schema(form.get("schema"))
        elif body.get("tools"):
            tool = body["tools"][0]
            asked |= {
                "tool": tool["name"],
                "response_format": json_schema(tool["input_schema"], tool["name"]),
            }
            asked["response_format"]["json_schema"]["strict"] = bool(tool.get("strict"))
        return asked

    def events(self, answer: Answer, script: Script, asked: Mapping[str, Any]) -> Iterator[Event]:
        newline, tool = script.newline, asked.get("tool")

        def said(kind: str, **members: Any) -> bytes:
            return event({"type": kind, **members}, newline, kind)

        yield 0, said("message_start", message=self._message(answer, [], None, _usage(answer.usage, 1)))
        index = 0
        if script.reasoning_tokens:
            yield (
                0,
                said(
                    "content_block_start",
                    index=0,
                    content_block={"type": "thinking", "thinking": "", "signature": ""},
                ),
            )
            yield 0, event({"type": "ping"}, newline, "ping")
            yield (
                0,
                said(
                    "content_block_delta",
                    index=0,
                    delta={"type": "thinking_delta", "thinking": "Let me think."},
                ),
            )
            yield (
                0,
                said(
                    "content_block_delta",
                    index=0,
                    delta={"type": "signature_delta", "signature": "c2ltdWxhdGVk"},
                ),
            )
            yield 0, said("content_block_stop", index=0)
            index = 1
        block: dict[str, Any] = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": "\0"}
        if tool:
            block = {"type": "tool_use", "id": "toolu_1", "name": tool, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": "\0"}
        yield 0, said("content_block_start", index=index, content_block=block)
        yield 0, event({"type": "ping"}, newline, "ping")
        head, tail = said("content_block_delta", index=index, delta=delta).split(b'"\\u0000"')
        for token in () if answer.is_refusal else answer.tokens:  # of a refusal there is no text
            # Only the token is serialised: a long document has a hundred thousand of these.
            yield 1, head + json.dumps(token, ensure_ascii=False).encode() + tail
        yield 0, said("content_block_stop", index=index)
        end = {
            "stop_reason": self._reason(answer, asked),
            "stop_sequence": None,
            "stop_details": _details(answer),
        }
        usages: list[dict[str, Any] | None] = [*final_usages(answer.usage, script)]
        for usage in usages or [None]:
            yield (
                0,
                said(
                    "message_delta", delta=end, usage=_usage(usage, None) if usage else {"output_tokens": 0}
                ),
            )
        yield 0, said("message_stop")

    def whole(self, answer: Answer, asked: Mapping[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = {"type": "text", "text": answer.text}
        if tool := asked.get("tool"):
            content = {"type": "tool_use", "id": "toolu_1", "name": tool, "input": json.loads(answer.text)}
        return self._message(answer, [content], self._reason(answer, asked), _usage(answer.usage, None))

    def error(self, error: HttpError) -> tuple[object, dict[str, str]]:
        kind = _TYPES.get(error.status, "invalid_request_error")
        body = {
            "type": "error",
            "error": {"type": kind, "message": error.message},
            "request_id": "req_simulated",
        }
        return body, {"request-id": "req_simulated", **error.headers}

    def text(self, text: str) -> bytes:
        kind = "content_block_delta"
        return event({"type": kind, "index": 0, "delta": {"type": "text_delta", "text": text}}, name=kind)

    def failure(self, message: str) -> bytes:
        return event({"type": "error", "error": {"type": "api_error", "message": message}}, name="error")

    def odd(self) -> bytes:
        return event({"type": "surprise", "surprise": [None, -1]}, name="surprise")

    def ping(self) -> bytes:
        return event({"type": "ping"}, name="ping")

    def _reason(self, answer: Answer, asked: Mapping[str, Any]) -> str:
        if answer.is_refusal:
            return "refusal"
        if asked.get("tool") and answer.finish_reason == "stop":
            return "tool_use"
        return _FINISHES[answer.finish_reason]

    def _message(
        self, answer: Answer, content: list[dict[str, Any]], reason: str | None, usage: dict[str, Any]
    ) -> dict[str, Any]:
        seed = answer.id.removeprefix("chatcmpl-")
        return {
            "model": answer.model, "id": f"msg_{seed}", "type": "message", "role": "assistant", "content": content,
            "stop_reason": reason, "stop_sequence": None, "stop_details": _details(answer) if reason else None,
            "usage": usage,
        }  # fmt: skip


def _details(answer: Answer) -> dict[str, Any] | None:
    if not answer.is_refusal:
        return None
    return {"type": "refusal", "category": None, "explanation": answer.text}


def _usage(usage: Mapping[str, Any], output_tokens: int | None) -> dict[str, Any]:
    """The counts of the start, which hold more about the cache, or those of the end."""
    read = cached(usage)
    members: dict[str, Any] = {
        "input_tokens": usage["prompt_tokens"] - read,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": read,
    }
    if output_tokens is not None:
        members["cache_creation"] = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
        return members | {
            "output_tokens": output_tokens,
            "service_tier": "standard",
            "inference_geo": "not_available",
        }
    members["output_tokens"] = usage["completion_tokens"]
    if thoughts := reasoning(usage):
        members["output_tokens_details"] = {"thinking_tokens": thoughts}
    return members
