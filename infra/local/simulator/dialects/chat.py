"""OpenAI's Chat Completions.

Fields and their order follow recordings of OpenAI's API: a first event with the role, one per token, one with
the finish reason, the usage in an event with empty `choices` (only when `stream_options.include_usage` asked
for it), then `[DONE]`. https://platform.openai.com/docs/api-reference/chat/streaming
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..answer import Answer
from ..script import HttpError, Script
from .dialect import Dialect, Event, event, final_usages, refuse, with_output


class ChatCompletions(Dialect):
    """POST /v1/chat/completions."""

    rules = "openai"

    def read(self, body: dict[str, Any], model: str | None, *, stream: bool) -> dict[str, Any]:
        messages = body.get("messages")
        if not isinstance(body.get("model"), str):
            raise refuse("you must provide a model parameter", param="model")
        if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
            message = (
                "Missing required parameter: 'messages'."
                if messages is None
                else "Invalid type for 'messages'."
            )
            raise refuse(message, param="messages", code="missing_required_parameter")
        forced = (
            (body.get("tool_choice") or {}).get("function")
            if isinstance(body.get("tool_choice"), dict)
            else None
        )
        if body.get("n", 1) != 1 or (body.get("tools") and not forced):
            raise refuse(
                "The simulator answers one choice and calls no tools: 'n' and 'tools' are unsupported."
            )
        if body.get("stream_options") and not body.get("stream"):
            message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise refuse(message, param="stream_options")
        if forced:
            function = body["tools"][0]["function"]
            return {**body, "tool": function["name"], "response_format": _loose(function["parameters"])}
        _check_format(body.get("response_format"))
        return body

    def events(self, answer: Answer, script: Script, asked: Mapping[str, Any]) -> Iterator[Event]:
        newline, tool = script.newline, asked.get("tool")
        shared = {
            "id": answer.id,
            "object": "chat.completion.chunk",
            "created": answer.created,
            "model": answer.model,
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
        }
        include_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        usage_sent = include_usage and script.usage != "none"

        def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            return {**shared, "choices": [choice], **({"usage": None} if usage_sent else {})}

        yield 0, event(chunk({"role": "assistant", "content": "", "refusal": None}), newline)
        delta: dict[str, Any] = {"refusal" if answer.is_refusal else "content": "\0"}
        if tool:
            call = {"id": "call_1", "type": "function", "function": {"name": tool, "arguments": ""}}
            yield 0, event(chunk({"tool_calls": [{"index": 0, **call}]}), newline)
            delta = {"tool_calls": [{"index": 0, "function": {"arguments": "\0"}}]}
        running = usage_sent and script.usage == "running"
        head, tail = event(chunk(delta), newline).split(b'"\\u0000"')
        for number, token in enumerate(answer.tokens, start=1):
            # Only the token is serialised: a long document has a hundred thousand of these.
            data = head + json.dumps(token, ensure_ascii=False).encode() + tail
            if running:
                usage = with_output(answer.usage, number + script.reasoning_tokens)
                data = event({**json.loads(data.partition(b": ")[2]), "usage": usage}, newline)
            yield 1, data
        if answer.finish_reason == "tool_calls":
            call = {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
            yield 0, event(chunk({"tool_calls": [{"index": 0, **call}]}), newline)
        finish = "tool_calls" if tool and answer.finish_reason == "stop" else answer.finish_reason
        yield 0, event(chunk({}, finish), newline)
        for usage in final_usages(answer.usage, script) if include_usage else ():
            yield 0, event({**shared, "choices": [], "usage": usage}, newline)
        yield 0, event("[DONE]", newline)

    def whole(self, answer: Answer, asked: Mapping[str, Any]) -> dict[str, Any]:
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

    def error(self, error: HttpError) -> tuple[object, dict[str, str]]:
        members = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
        return {"error": members}, error.headers

    def text(self, text: str) -> bytes:
        return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})

    def failure(self, message: str) -> bytes:
        return event(
            {"error": {"message": message, "type": "server_error", "param": None, "code": "internal_error"}}
        )

    def odd(self) -> bytes:
        return event({"choices": [], "surprise": [None, -1]})


def _check_format(response_format: Any) -> None:
    if response_format is None or response_format.get("type") in ("text", "json_object"):
        return
    described = response_format.get("json_schema")
    if response_format.get("type") != "json_schema" or not isinstance(described, dict):
        raise refuse("Missing required parameter: 'response_format.json_schema'.", param="response_format")
    if not isinstance(described.get("name"), str) or not isinstance(described.get("schema"), dict):
        message = "Missing required parameter: 'response_format.json_schema.schema' or its name."
        raise refuse(message, param="response_format")


def _loose(schema: dict[str, Any]) -> dict[str, Any]:
    """A tool's parameters: the document's schema, by no strict rules."""
    return {"type": "json_schema", "json_schema": {"name": "tool", "strict": False, "schema": schema}}
