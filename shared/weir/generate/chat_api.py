"""`POST /v1/chat/completions` and `GET /v1/models`, as OpenAI's SDKs speak them; the same service underneath.

Decided here: what a body means, and how the service's events and results are written in that protocol. Where a schema
is known, only validated text leaves, and a violation is retried behind what has left: the SDK sees one document.
`release: "raw"` is for those who want the first bytes. A member that is not known is refused by name if it changes what
is asked for, and ignored if it does not.
https://platform.openai.com/docs/api-reference/chat
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from weir.generate import events
from weir.generate.requests import GenerationRequest, parse_body, parse_json
from weir.generate.result import Result
from weir.outcomes import Outcome
from weir.problems import Problem

# Nothing of the answer hangs on them.
_IGNORED = frozenset({
    "user", "metadata", "store", "parallel_tool_calls", "safety_identifier", "prompt_cache_key", "logit_bias",
    "verbosity", "prompt_cache_retention",
})  # fmt: skip
_PASSED = {"temperature": "temperature", "top_p": "top_p", "seed": "seed", "reasoning_effort": "reasoning_effort",
           "service_tier": "service_tier", "release": "release", "on_violation": "on_violation", "tags": "tags",
           "max_cost": "max_cost",
           "timeout_ms": "timeout_ms", "extra_body": "extra_body"}  # fmt: skip
_TO_PROVIDER = ("frequency_penalty", "presence_penalty")
_FINISH = {
    Outcome.OK: "stop",
    Outcome.TRUNCATED_OUTPUT: "length",
    Outcome.FILTERED: "content_filter",
    Outcome.REFUSED: "stop",
}
_KINDS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
          413: "invalid_request_error", 422: "invalid_request_error", 429: "rate_limit_error"}  # fmt: skip
# What the SDKs would repeat by themselves, and buy again.
_SDK_RETRIES = frozenset({408, 409, 429})


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request in the service's words, and how its answer is written."""

    request: GenerationRequest
    streams: bool
    include_usage: bool


def parse_chat_request(body: bytes, content_type: str) -> ChatRequest:
    """Read a body. Raises Problem, with the member's name in `errors`."""
    given = parse_json(body, content_type)
    if not isinstance(given, dict):
        raise _refuse("", f"expected an object, got {type(given).__name__}")
    members = {key: value for key, value in given.items() if value is not None and key not in _IGNORED}
    streams = members.pop("stream", False) is True
    options = members.pop("stream_options", {})
    asked: dict[str, Any] = {}
    for name in ("max_completion_tokens", "max_tokens"):  # the newer name wins
        if (cap := members.pop(name, None)) is not None:
            asked.setdefault("max_output_tokens", cap)
    if (stop := members.pop("stop", None)) is not None:
        asked["stop"] = [stop] if isinstance(stop, str) else stop
    if members.pop("n", 1) != 1:
        raise _refuse("/n", "expected 1: one answer a request")
    if members.pop("modalities", ["text"]) != ["text"]:
        raise _refuse("/modalities", 'expected ["text"]')
    for name in ("logprobs", "top_logprobs"):
        if members.pop(name, False):
            raise _refuse(f"/{name}", "expected none: they are not passed on")
    asked["messages"] = _messages(members.pop("messages", None))
    if "model" in members:
        asked["model"] = members.pop("model")
    schema = _schema(members.pop("response_format", {"type": "text"}))
    if schema is not None:
        asked |= {"schema": schema, "release": "validated", "on_violation": "retry"}
    if extra := {name: members.pop(name) for name in _TO_PROVIDER if name in members}:
        asked["extra_body"] = extra
    for name, own in _PASSED.items():
        if name in members:
            value = members.pop(name)
            if name == "extra_body" and isinstance(value, dict):
                value = {**asked.get("extra_body", {}), **value}
            asked[own] = value
    if members:
        name = sorted(members)[0]
        raise _refuse(
            f"/{name}"[:80], "expected a member that is known here; this one changes what is asked for"
        )
    asked["include"] = ["delta"]
    include_usage = isinstance(options, Mapping) and options.get("include_usage") is True
    return ChatRequest(parse_body(json.dumps(asked).encode()), streams, include_usage)


def _messages(given: object) -> list[dict[str, Any]]:
    if not isinstance(given, list):
        raise _refuse("/messages", "expected a list of messages")
    return [_message(message, f"/messages/{number}") for number, message in enumerate(given)]


def _message(given: object, pointer: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise _refuse(pointer, "expected an object")
    for name in ("tool_calls", "function_call", "audio"):
        if given.get(name):
            raise _refuse(f"{pointer}/{name}", "expected none: tools are not passed on")
    content = given.get("content")
    if isinstance(content, list):
        content = [_part(part, f"{pointer}/content/{number}") for number, part in enumerate(content)]
    return {"role": given.get("role"), "content": content}


def _part(given: object, pointer: str) -> dict[str, Any]:
    kind = given.get("type") if isinstance(given, Mapping) else None
    if isinstance(given, Mapping) and kind in ("text", "refusal"):
        return {"type": "text", "text": given.get("text") or given.get("refusal")}
    if isinstance(given, Mapping) and kind == "image_url" and isinstance(given.get("image_url"), Mapping):
        url = str(given["image_url"].get("url"))
        if not url.startswith("data:"):
            return {"type": "image", "url": url}
        head, _, data = url.removeprefix("data:").partition(",")
        return {"type": "image", "data": data, "media_type": head.removesuffix(";base64")}
    raise _refuse(f"{pointer}/type", f"expected text or image_url, got {kind!r:.40}")


def _schema(given: object) -> str | None:
    """The name of the schema that a response format asks for; None for plain text."""
    kind = given.get("type") if isinstance(given, Mapping) else None
    if kind == "text":
        return None
    if (
        kind != "json_schema"
        or not isinstance(given, Mapping)
        or not isinstance(given.get("json_schema"), Mapping)
    ):
        detail = f"expected text, or json_schema with a schema, got {kind!r:.40}"
        raise _refuse("/response_format", detail)
    named = given["json_schema"]
    name, schema = str(named.get("name", "")), named.get("schema")
    from weir.schemas import register_schema, schema_names

    if schema is None:
        if name not in schema_names():
            detail = f"expected a schema, or a name of {', '.join(schema_names())}, got {name!r:.60}"
            raise _refuse("/response_format/json_schema/name", detail)
        return name
    from weir.generate.caller_schema import SchemaRefused, compile_schema

    if not isinstance(schema, Mapping):
        raise _refuse("/response_format/json_schema/schema", "expected a JSON Schema")
    try:
        own, model = compile_schema(name, schema)
    except SchemaRefused as error:
        raise _refuse(f"/response_format/json_schema/schema{error.pointer}", error.detail) from None
    register_schema(own, model)
    return own


def _refuse(pointer: str, detail: str) -> Problem:
    members = {"errors": [{"pointer": pointer, "detail": detail}]}
    return Problem(Outcome.BAD_REQUEST, f"{pointer or 'body'}: {detail}", status=400, members=members)


class ChatWire:
    """Writes a request's events as chunks of a chat completion."""

    def __init__(self, request_id: str, created: int, model: str, include_usage: bool) -> None:
        head = {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._head = events.dumps(head)[:-1]
        self._usage = b',"usage":null' if include_usage else b""
        self._include_usage = include_usage

    def delta(self, attempt: int, text: str) -> bytes:
        """A piece of the answer's text."""
        return self._chunk(b'{"content":%b}' % events.dumps(text))

    def value(self, attempt: int, path: str, json_bytes: bytes) -> bytes:
        """Nothing: this protocol has only text."""
        return b""

    def retry(self, attempt: int, reason: str, discarded_paths: Iterable[str]) -> bytes:
        """Nothing: what has left stands, and what follows goes on behind it."""
        return b""

    def begin(self) -> bytes:
        """The first chunk, which names the role."""
        return self._chunk(b'{"role":"assistant","content":""}')

    def end(self, request_id: str, result: Result) -> bytes:
        """The last chunks: why the answer ended, its usage if that was asked for, and [DONE]; or one error."""
        outcome, problem = result.verdict.outcome, result.verdict.problem
        if problem is not None and outcome not in _FINISH:
            return b"data: %b\n\n" % events.dumps(error_envelope(problem))
        delta = (
            b"{}"
            if outcome is not Outcome.REFUSED or problem is None
            else b'{"refusal":%b}' % events.dumps(problem.detail)
        )
        finish = events.dumps(_FINISH.get(outcome, "stop"))
        ended = self._chunk(delta, finish)
        if self._include_usage:
            account = events.dumps({"usage": usage_json(result.summary), "weir": _weir(request_id, result)})[
                1:
            ]
            ended += b'data: %b,"choices":[],%b\n\n' % (self._head, account)
        return ended + b"data: [DONE]\n\n"

    def _chunk(self, delta: bytes, finish: bytes = b"null") -> bytes:
        return b'data: %b,"choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]%b}\n\n' % (
            self._head, delta, finish, self._usage,
        )  # fmt: skip


def completion(request_id: str, created: int, model: str, result: Result) -> dict[str, Any]:
    """The whole answer as one object; `result` has no problem that `_FINISH` does not know."""
    verdict = result.verdict
    refused = verdict.outcome is Outcome.REFUSED
    content = result.text
    if verdict.document is not None:
        content = b"".join(verdict.document.json_parts(events.RESULT_PART_BYTES)).decode()
    message = {
        "role": "assistant",
        "content": None if refused else content,
        "refusal": verdict.problem.detail if refused and verdict.problem else None,
    }
    return {
        "id": f"chatcmpl-{request_id}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH[verdict.outcome]}
        ],
        "usage": usage_json(result.summary),
        "weir": _weir(request_id, result),
    }


def is_answer(result: Result) -> bool:
    """Whether this protocol has an answer for the outcome, and not an error."""
    return result.verdict.outcome in _FINISH


def usage_json(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Usage in this protocol's members, with the estimated cost in USD."""
    usage, cost = summary["usage"], summary["cost"]
    prompt, output = usage["input_tokens"] or 0, usage["output_tokens"] or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": usage["cached_input_tokens"] or 0},
        "completion_tokens_details": {"reasoning_tokens": usage["reasoning_tokens"] or 0},
        "cost": float(cost["total"]) if cost else None,
    }


def error_envelope(problem: Problem) -> dict[str, Any]:
    """A problem as OpenAI's SDKs read errors; `param` is the first wrong member."""
    errors = problem.members.get("errors") or [{}]
    pointer = str(errors[0].get("pointer", "")).strip("/").replace("/", ".")
    kind = _KINDS.get(problem.status, "api_error")
    return {
        "error": {
            "message": problem.detail,
            "type": kind,
            "param": pointer or None,
            "code": problem.outcome.value,
        }
    }


def should_retry(problem: Problem) -> bool:
    """Whether an SDK that repeats by itself should: never what was paid for, or is refused for good."""
    return (
        problem.status in _SDK_RETRIES and problem.outcome is Outcome.RATE_LIMITED
    ) or problem.status == 503


def models_json(names: Iterable[str], created: int) -> dict[str, Any]:
    """The list of models that callers may ask for."""
    data = [{"id": name, "object": "model", "created": created, "owned_by": "weir"} for name in names]
    return {"object": "list", "data": data}


def _weir(request_id: str, result: Result) -> dict[str, Any]:
    cost = result.summary["cost"]
    return {
        "request_id": request_id,
        "outcome": result.verdict.outcome.value,
        "cost_estimate": cost["total"] if cost else None,
    }
