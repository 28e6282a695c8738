"""Amazon Bedrock's ConverseStream: messages in AWS's framing, each padded to a random length, the usage last.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from ..answer import Answer
from ..event_stream import encode_message
from ..script import HttpError, Script
from .dialect import Dialect, Event, cached, conversation, dumps, final_usages, json_schema, refuse, texts

_FINISHES = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "content_filtered",
    "tool_calls": "tool_use",
}
_TYPES = {400: "ValidationException", 401: "UnrecognizedClientException", 403: "AccessDeniedException",
          404: "ResourceNotFoundException", 408: "ModelTimeoutException", 424: "ModelErrorException",
          429: "ThrottlingException", 500: "InternalServerException", 503: "ServiceUnavailableException"}  # fmt: skip
_PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_ENDLESS_BYTES = 1 << 31


class Converse(Dialect):
    """POST /model/{modelId}/converse-stream, and /converse."""

    rules = "bedrock"
    content_type = "application/vnd.amazon.eventstream"

    def read(self, body: dict[str, Any], model: str | None, *, stream: bool) -> dict[str, Any]:
        turns = body.get("messages")
        if (
            isinstance(turns, list)
            and turns
            and isinstance(turns[0], dict)
            and turns[0].get("role") != "user"
        ):
            raise refuse(
                "A conversation must start with a user message. Try again with a conversation that starts with one."
            )
        inference = body.get("inferenceConfig") or {}
        asked: dict[str, Any] = {
            "model": model,
            "messages": conversation(turns, "content", system=texts(body.get("system") or ())),
            "stream": stream,
            "max_completion_tokens": inference.get("maxTokens"),
        }
        if any(not message["content"] for message in asked["messages"]):
            raise refuse(
                "The text field in the ContentBlock object is blank. Add text to the text field, and try again."
            )
        form = (body.get("outputConfig") or {}).get("textFormat") or {}
        tools = (body.get("toolConfig") or {}).get("tools")
        if form.get("type") == "json_schema":
            described = form["structure"]["jsonSchema"]
            if not isinstance(described.get("schema"), str):
                raise refuse("outputConfig.textFormat.structure.jsonSchema.schema: expected a JSON string")
            asked["response_format"] = json_schema(
                json.loads(described["schema"]), described.get("name", "document")
            )
        elif tools:
            tool = tools[0]["toolSpec"]
            asked |= {
                "tool": tool["name"],
                "response_format": json_schema(tool["inputSchema"]["json"], tool["name"]),
            }
            asked["response_format"]["json_schema"]["strict"] = bool(tool.get("strict"))
        return asked

    def events(self, answer: Answer, script: Script, asked: Mapping[str, Any]) -> Iterator[Event]:
        tool, pieces = asked.get("tool"), 0

        def said(kind: str, **members: Any) -> bytes:
            nonlocal pieces
            pieces += 1
            return _message(kind, members, pieces)

        yield 0, said("messageStart", role="assistant")
        index = 0
        if script.reasoning_tokens:
            delta: dict[str, Any] = {"reasoningContent": {"text": "Let me think."}}
            yield 0, said("contentBlockDelta", contentBlockIndex=0, delta=delta)
            yield 0, said("contentBlockStop", contentBlockIndex=0)
            index = 1
        if tool:
            start = {"toolUse": {"name": tool, "toolUseId": "tooluse_1"}}
            yield 0, said("contentBlockStart", contentBlockIndex=index, start=start)
        for token in () if answer.is_refusal else answer.tokens:  # of a refusal there is no text
            delta = {"toolUse": {"input": token}} if tool else {"text": token}
            yield 1, said("contentBlockDelta", contentBlockIndex=index, delta=delta)
        yield 0, said("contentBlockStop", contentBlockIndex=index)
        yield 0, said("messageStop", stopReason=self._reason(answer, asked))
        for usage in final_usages(answer.usage, script)[-1:]:
            yield 0, said("metadata", metrics={"latencyMs": 500}, usage=_usage(usage))

    def whole(self, answer: Answer, asked: Mapping[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = {"text": answer.text}
        if tool := asked.get("tool"):
            content = {"toolUse": {"toolUseId": "tooluse_1", "name": tool, "input": json.loads(answer.text)}}
        return {
            "metrics": {"latencyMs": 500},
            "output": {"message": {"content": [content], "role": "assistant"}},
            "stopReason": self._reason(answer, asked),
            "usage": _usage(answer.usage),
        }

    def error(self, error: HttpError) -> tuple[object, dict[str, str]]:
        kind = _TYPES.get(error.status, "ValidationException")
        headers = {"x-amzn-errortype": kind, "x-amzn-requestid": "00000000-0000-4000-8000-000000000000"}
        return {"message": error.message}, {**headers, **error.headers}

    def text(self, text: str) -> bytes:
        return _message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}}, 1)

    def failure(self, message: str) -> bytes:
        headers = {":exception-type": "internalServerException", ":content-type": "application/json"}
        return encode_message({**headers, ":message-type": "exception"}, dumps({"message": message}).encode())

    def odd(self) -> bytes:
        return _message("surprise", {"surprise": [None, -1]}, 1)

    def ping(self) -> bytes:
        return _message("initial-response", {}, 1)

    def garbage(self) -> bytes:
        return encode_message(_headers("contentBlockDelta"), b'{"contentBlockIndex":0,"delta":<not JSON>}')

    def invalid_utf8(self) -> bytes:
        payload = b'{"contentBlockIndex":0,"delta":{"text":"caf\xe9 \xff\xfe \xf0\x9f\x98"}}'
        return encode_message(_headers("contentBlockDelta"), payload)

    def endless(self) -> bytes:
        prelude = struct.pack(">II", _ENDLESS_BYTES, 0)
        return prelude + struct.pack(">I", zlib.crc32(prelude))

    def _reason(self, answer: Answer, asked: Mapping[str, Any]) -> str:
        if answer.is_refusal:
            return "content_filtered"
        if asked.get("tool") and answer.finish_reason == "stop":
            return "tool_use"
        return _FINISHES[answer.finish_reason]


def _headers(kind: str) -> dict[str, str]:
    return {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}


def _message(kind: str, members: Mapping[str, Any], number: int) -> bytes:
    # Bedrock pads each event, so that its length does not tell what is in it; its members are in alphabetical order.
    padded = {**members, "p": _PADDING[: 1 + number * 7 % len(_PADDING)]}
    return encode_message(_headers(kind), dumps(dict(sorted(padded.items()))).encode())


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    read = cached(usage)
    members = {
        "inputTokens": usage["prompt_tokens"] - read,
        "outputTokens": usage["completion_tokens"],
        "serverToolUsage": {},
        "totalTokens": usage["total_tokens"],
    }
    return {"cacheReadInputTokens": read, "cacheWriteInputTokens": 0, **members} if read else members
