"""Google's Gemini: unnamed chunks with running counts; the last one has the finish reason, and nothing comes after it.

https://ai.google.dev/api/generate-content
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
    final_usages,
    json_schema,
    reasoning,
    texts,
    with_output,
)

_FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY", "tool_calls": "STOP"}
_STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
             429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}  # fmt: skip


class Gemini(Dialect):
    """POST /v1beta/models/{model}:streamGenerateContent, and :generateContent."""

    rules = "gemini"
    content_type = "text/event-stream"

    def read(self, body: dict[str, Any], model: str | None, *, stream: bool) -> dict[str, Any]:
        config = body.get("generationConfig") or {}
        system = texts((body.get("systemInstruction") or {}).get("parts"))
        asked: dict[str, Any] = {
            "model": model,
            "messages": conversation(body.get("contents"), "parts", system=system),
            "stream": stream,
            "max_completion_tokens": config.get("maxOutputTokens"),
        }
        tools = body.get("tools")
        if "responseJsonSchema" in config:
            asked["response_format"] = json_schema(config["responseJsonSchema"])
        elif config.get("responseMimeType") == "application/json":
            asked["response_format"] = {"type": "json_object"}
        elif tools:
            tool = tools[0]["functionDeclarations"][0]
            asked |= {
                "tool": tool["name"],
                "response_format": json_schema(tool["parametersJsonSchema"], tool["name"]),
            }
            asked["response_format"]["json_schema"]["strict"] = False
        return asked

    def events(self, answer: Answer, script: Script, asked: Mapping[str, Any]) -> Iterator[Event]:
        newline = "\r\n" if script.newline == "\n" else script.newline
        if script.reasoning_tokens:
            thought = [{"text": "Let me think.", "thought": True}]
            yield 0, _event(self._chunk(answer, thought, None, with_output(answer.usage, 0)), newline)
        counted = script.usage != "none"
        for number, token in enumerate(
            () if asked.get("tool") or answer.is_refusal else answer.tokens, start=1
        ):
            running = with_output(answer.usage, number + script.reasoning_tokens) if counted else None
            yield 1, _event(self._chunk(answer, [{"text": token}], None, running), newline)
        parts: list[dict[str, Any]] = [{"text": ""}]
        if tool := asked.get("tool"):
            parts = [{"functionCall": {"name": tool, "args": json.loads(answer.text)}}]
        usages = final_usages(answer.usage, script)
        last = self._chunk(answer, parts, self._reason(answer), usages[-1] if usages else None)
        yield len(answer.tokens) if tool else 0, _event(last, newline)

    def whole(self, answer: Answer, asked: Mapping[str, Any]) -> dict[str, Any]:
        return self._chunk(answer, [{"text": answer.text}], self._reason(answer), answer.usage)

    def error(self, error: HttpError) -> tuple[object, dict[str, str]]:
        return {"error": _error(error.status, error.message)}, error.headers

    def text(self, text: str) -> bytes:
        return _event({"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}]})

    def failure(self, message: str) -> bytes:
        return _event({"error": _error(500, message)})

    def odd(self) -> bytes:
        return _event({"surprise": [None, -1]})

    def _reason(self, answer: Answer) -> str:
        return "PROHIBITED_CONTENT" if answer.is_refusal else _FINISHES[answer.finish_reason]

    def _chunk(
        self, answer: Answer, parts: list[dict[str, Any]], reason: str | None, usage: dict[str, Any] | None
    ) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}}
        if reason:
            candidate["finishReason"] = reason
        chunk: dict[str, Any] = {"candidates": [candidate | {"index": 0}]}
        if usage:
            chunk["usageMetadata"] = _usage(usage)
        return chunk | {"modelVersion": answer.model, "responseId": answer.id.removeprefix("chatcmpl-")}


def _event(value: object, newline: str = "\r\n") -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ': '))}{newline}{newline}".encode()


def _error(status: int, message: str) -> dict[str, Any]:
    return {"code": status, "message": message, "status": _STATUSES.get(status, "INVALID_ARGUMENT")}


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Members that are zero are left out, as protobuf's are."""
    thoughts = min(reasoning(usage), usage["completion_tokens"])
    members = {
        "promptTokenCount": usage["prompt_tokens"],
        "candidatesTokenCount": usage["completion_tokens"] - thoughts,
        "totalTokenCount": usage["total_tokens"],
        "cachedContentTokenCount": cached(usage),
        "thoughtsTokenCount": thoughts,
    }
    return {name: count for name, count in members.items() if count}
