"""OpenAI's Responses: every event is named twice, numbered, and has the whole response in its first and last.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..answer import Answer
from ..script import HttpError, Script
from .dialect import Dialect, Event, cached, conversation, event, final_usages, json_schema, reasoning, refuse

_ENDS = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Responses(Dialect):
    """POST /v1/responses."""

    rules = "openai"

    def read(self, body: dict[str, Any], model: str | None, *, stream: bool) -> dict[str, Any]:
        if not isinstance(body.get("model"), str):
            raise refuse("Missing required parameter: 'model'.", param="model")
        asked: dict[str, Any] = {
            "model": body["model"],
            "messages": conversation(body.get("input"), "content", system=body.get("instructions") or ""),
            "stream": bool(body.get("stream")),
            "max_completion_tokens": body.get("max_output_tokens"),
        }
        form = (body.get("text") or {}).get("format") or {}
        if form.get("type") == "json_schema":
            asked["response_format"] = json_schema(form.get("schema"), form.get("name", "document"))
            asked["response_format"]["json_schema"]["strict"] = bool(form.get("strict"))
        elif form.get("type") == "json_object":
            asked["response_format"] = {"type": "json_object"}
        if body.get("tools"):
            tool = body["tools"][0]
            asked |= {"tool": tool["name"], "response_format": json_schema(tool["parameters"], tool["name"])}
            asked["response_format"]["json_schema"]["strict"] = bool(tool.get("strict"))
        return asked

    def events(self, answer: Answer, script: Script, asked: Mapping[str, Any]) -> Iterator[Event]:
        number, newline, tool = 0, script.newline, asked.get("tool")

        def said(kind: str, **members: Any) -> bytes:
            nonlocal number
            number += 1
            return _event(kind, newline, **members, sequence_number=number - 1)

        response = self._response(answer, asked, "in_progress", None)
        yield 0, said("response.created", response=response)
        yield 0, said("response.in_progress", response=response)
        item = self._item(answer, asked, whole=False)
        yield 0, said("response.output_item.added", item=item, output_index=0)
        place: dict[str, Any] = {"item_id": item["id"], "output_index": 0}
        if tool:
            kind = "response.function_call_arguments"
        else:
            kind = "response.refusal" if answer.is_refusal else "response.output_text"
            place["content_index"] = 0
            yield 0, said("response.content_part.added", **place, part=_part(answer, ""))
        logprobs: dict[str, list[Any]] = {"logprobs": []} if kind == "response.output_text" else {}
        for token in answer.tokens:
            # Only the token is serialised: a long document has a hundred thousand of these.
            head, tail = said(f"{kind}.delta", **place, **logprobs, delta="\0").split(b'"\\u0000"')
            yield 1, head + json.dumps(token, ensure_ascii=False).encode() + tail
        name = {"response.output_text": "text", "response.refusal": "refusal"}.get(kind, "arguments")
        yield 0, said(f"{kind}.done", **place, **logprobs, **{name: answer.text})
        if not tool:
            yield 0, said("response.content_part.done", **place, part=_part(answer, answer.text))
        yield 0, said("response.output_item.done", item=self._item(answer, asked, whole=True), output_index=0)
        status = "incomplete" if answer.finish_reason in _ENDS else "completed"
        usages = final_usages(answer.usage, script)
        usage = _usage(usages[-1]) if usages else None
        yield 0, said(f"response.{status}", response=self._response(answer, asked, status, usage))

    def whole(self, answer: Answer, asked: Mapping[str, Any]) -> dict[str, Any]:
        status = "incomplete" if answer.finish_reason in _ENDS else "completed"
        return self._response(answer, asked, status, _usage(answer.usage))

    def error(self, error: HttpError) -> tuple[object, dict[str, str]]:
        members = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
        return {"error": members}, error.headers

    def text(self, text: str) -> bytes:
        place = {"content_index": 0, "item_id": "msg_1", "output_index": 0}
        return _event("response.output_text.delta", "\n", **place, delta=text, logprobs=[], sequence_number=4)

    def failure(self, message: str) -> bytes:
        return _event("error", "\n", code="server_error", message=message, param=None, sequence_number=4)

    def odd(self) -> bytes:
        return _event("response.surprise", "\n", surprise=[None, -1], sequence_number=4)

    def _item(self, answer: Answer, asked: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
        status = "completed" if whole else "in_progress"
        if tool := asked.get("tool"):
            arguments = answer.text if whole else ""
            return {"id": f"fc_{_seed(answer)}", "type": "function_call", "status": status, "arguments": arguments,
                    "call_id": "call_1", "name": tool}  # fmt: skip
        content = [_part(answer, answer.text)] if whole else []
        return {
            "id": f"msg_{_seed(answer)}",
            "type": "message",
            "status": status,
            "content": content,
            "role": "assistant",
        }

    def _response(
        self, answer: Answer, asked: Mapping[str, Any], status: str, usage: dict[str, Any] | None
    ) -> dict[str, Any]:
        reason = _ENDS.get(answer.finish_reason) if status == "incomplete" else None
        return {
            "id": f"resp_{_seed(answer)}", "object": "response", "created_at": answer.created, "status": status,
            "background": False, "completed_at": None, "error": None, "frequency_penalty": 0.0,
            "incomplete_details": {"reason": reason} if reason else None, "instructions": None,
            "max_output_tokens": asked.get("max_completion_tokens"), "max_tool_calls": None, "model": answer.model,
            "output": [] if status == "in_progress" else [self._item(answer, asked, whole=True)],
            "parallel_tool_calls": True, "presence_penalty": 0.0, "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None}, "service_tier": "auto" if usage is None else "default",
            "store": False, "temperature": 1.0, "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled",
            "usage": usage, "user": None, "metadata": {},
        }  # fmt: skip


def _event(kind: str, newline: str, **members: Any) -> bytes:
    """One event; behind its type, its members are in alphabetical order."""
    return event({"type": kind, **dict(sorted(members.items()))}, newline, kind)


def _seed(answer: Answer) -> str:
    return answer.id.removeprefix("chatcmpl-")


def _part(answer: Answer, text: str) -> dict[str, Any]:
    if answer.is_refusal:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": cached(usage)},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": reasoning(usage)},
        "total_tokens": usage["total_tokens"],
    }
