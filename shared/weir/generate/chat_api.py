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
from weir.generate.accept import read_json, read_request
from weir.generate.body import check_body
from weir.generate.chat_tools import Function, ToolsRefused, take_tools, told, without_tools
from weir.generate.params import GenerationParams
from weir.generate.result import Result
from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.events import ToolCall
from weir.schemas import load_schema, schema_names

# Nothing of the answer hangs on them.
_IGNORED = frozenset({
    "user", "metadata", "store", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prediction",
})  # fmt: skip
_PASSED = {"temperature": "temperature", "top_p": "top_p", "seed": "seed", "reasoning_effort": "reasoning_effort",
           "service_tier": "service_tier", "release": "release", "on_violation": "on_violation", "tags": "tags",
           "max_cost": "max_cost",
           "timeout_ms": "timeout_ms", "extra_body": "extra_body"}  # fmt: skip
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
    """A request in the service's words, and how its answer is written.

    `document` is the model of a schema that the caller brought: it is not forgotten while somebody has the request.
    `places` says where the caller has what the request has elsewhere.
    """

    request: GenerationParams
    document: type[Any] | None
    streams: bool
    include_usage: bool
    tool: str | None  # the function whose arguments the document is
    places: Mapping[str, str]


def parse_chat_request(body: bytes, content_type: str) -> ChatRequest:
    """Read a body. Raises Problem, with the member's name in `errors`."""
    members = read_members(body, content_type)
    return read_chat({name: value for name, value in members.items() if name not in _IGNORED})


def read_members(body: bytes, content_type: str) -> dict[str, Any]:
    """The members of a body, but for those that are null. Raises Problem."""
    check_body(body, content_type)
    given = read_json(body)
    if not isinstance(given, dict):
        raise refuse("", f"expected an object, got {type(given).__name__}")
    return {name: value for name, value in given.items() if value is not None}


def read_chat(members: dict[str, Any]) -> ChatRequest:
    """Read members that all say something; takes them out. Raises Problem, with the member's name in `errors`."""
    streams = members.pop("stream", False)
    if not isinstance(streams, bool):
        raise refuse("/stream", f"expected true or false, got {streams!r:.40}")
    options = members.pop("stream_options", {})
    asked: dict[str, Any] = {}
    places: dict[str, str] = {}
    for name in ("max_completion_tokens", "max_tokens"):  # the newer name wins
        if (cap := members.pop(name, None)) is not None and "max_output_tokens" not in asked:
            asked["max_output_tokens"], places["/max_output_tokens"] = _whole(cap), f"/{name}"
    if "seed" in members:
        members["seed"] = _whole(members["seed"])
    if (stop := members.pop("stop", None)) is not None:
        asked["stop"] = [stop] if isinstance(stop, str) else stop
        places |= {"/stop/0": "/stop"} if isinstance(stop, str) else {}
    if members.pop("n", 1) != 1:
        raise refuse("/n", "expected 1: one answer a request")
    if members.pop("modalities", ["text"]) != ["text"]:
        raise refuse("/modalities", 'expected ["text"]')
    for name in ("logprobs", "top_logprobs"):
        if members.pop(name, False):
            raise refuse(f"/{name}", "expected none: they are not passed on")
    messages = members.pop("messages", None)
    asked["messages"] = _messages(messages, places)
    if "model" in members:
        asked["model"] = members.pop("model")
    try:
        forced, passed = take_tools(members)
    except ToolsRefused as error:
        raise refuse(error.pointer, error.detail) from None
    response_format = members.pop("response_format", {"type": "text"})
    tool, schema = None, None
    if isinstance(response_format, Mapping) and response_format.get("type") == "json_object":
        passed["response_format"] = response_format
    elif forced is not None:  # then no text is written, whatever format it would have
        schema = _compiled_arguments(forced)
        if schema is not None:
            tool, passed = forced.name, without_tools(passed)
    else:
        schema = _schema(response_format)
        if schema is not None and passed.get("tool_choice") == "none":
            passed = without_tools(passed)
        if schema is not None and "tools" in passed:
            raise refuse("/tools", "expected none beside a schema for the answer")
    if passed and (passed.keys() & {"tools", "response_format"}):
        passed["messages"] = messages
    if schema is not None:
        asked |= {"schema": schema, "release": "validated", "on_violation": "retry"}
    for name, own in _PASSED.items():
        if name in members:
            asked[own] = members.pop(name)
    refuse_unknown(members)
    asked["include"] = ["delta"]
    include_usage = isinstance(options, Mapping) and options.get("include_usage") is True
    try:
        request = read_request(json.dumps(asked).encode())._replace(passed=passed)
    except Problem as problem:
        raise as_given(problem, places) from None
    document = load_schema(schema) if schema is not None and "~" in schema else None
    return ChatRequest(request, document, streams, include_usage, tool, places)


def _whole(number: object) -> object:
    """A count as an integer, where a caller's language has floats alone."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def as_given(problem: Problem, places: Mapping[str, str]) -> Problem:
    """A refusal that names the members as the caller did."""
    errors = []
    for error in problem.members.get("errors", ()):
        pointer = error["pointer"]
        own = max((place for place in places if f"{pointer}/".startswith(f"{place}/")), key=len, default="")
        errors.append({**error, "pointer": places.get(own, "") + pointer.removeprefix(own)})
    if not errors:
        return problem
    return refuse(errors[0]["pointer"], errors[0]["detail"])


def _messages(given: object, places: dict[str, str]) -> list[dict[str, Any]]:
    """The turns that say something; OpenAI takes empty ones, and other protocols do not."""
    if not isinstance(given, list):
        raise refuse("/messages", "expected a list of messages")
    said: list[dict[str, Any]] = []
    for number, message in enumerate(given):
        own, pointer = f"/messages/{len(said)}", f"/messages/{number}"
        role, content = _message(message, pointer)
        if isinstance(content, list):
            parts: list[dict[str, Any]] = []
            for at, part in enumerate(content):
                if (taken := _part(part, f"{pointer}/content/{at}")) is not None:
                    places[f"{own}/content/{len(parts)}"] = f"{pointer}/content/{at}"
                    for name in ("url", "data", "media_type"):
                        places[f"{own}/content/{len(parts)}/{name}"] = f"{pointer}/content/{at}/image_url/url"
                    parts.append(taken)
            content = parts
        if content is None or content in ("", []):
            continue
        places[own] = pointer
        said.append({"role": role, "content": content})
    if not said:
        raise refuse("/messages", "expected a message that says something")
    return said


def _message(given: object, pointer: str) -> tuple[object, Any]:
    if not isinstance(given, Mapping):
        raise refuse(pointer, "expected an object")
    for name in ("function_call", "audio"):
        if given.get(name):
            raise refuse(f"{pointer}/{name}", "expected none: it is not passed on")
    return told(given)


def _part(given: object, pointer: str) -> dict[str, Any] | None:
    """A part of a message; None where it says nothing."""
    kind = given.get("type") if isinstance(given, Mapping) else None
    if isinstance(given, Mapping) and kind in ("text", "refusal"):
        text = given.get(str(kind))
        return {"type": "text", "text": text} if text not in ("", None) else None
    if isinstance(given, Mapping) and kind == "image_url" and isinstance(given.get("image_url"), Mapping):
        url = str(given["image_url"].get("url"))
        if not url.startswith("data:"):
            return {"type": "image", "url": url}
        head, _, data = url.removeprefix("data:").partition(",")
        return {"type": "image", "data": data, "media_type": head.removesuffix(";base64")}
    raise refuse(f"{pointer}/type", f"expected text or image_url, got {kind!r:.40}")


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
        raise refuse("/response_format", detail)
    named = given["json_schema"]
    name, schema = str(named.get("name", "")), named.get("schema")
    if schema is None:
        if name not in schema_names():
            detail = f"expected a schema, or a name of {', '.join(schema_names())}, got {name!r:.60}"
            raise refuse("/response_format/json_schema/name", detail)
        return name
    from weir.generate.caller_schema import SchemaRefused, compiled

    if not isinstance(schema, Mapping):
        raise refuse("/response_format/json_schema/schema", "expected a JSON Schema")
    try:
        return compiled(name, schema)
    except SchemaRefused as error:
        raise refuse(f"/response_format/json_schema/schema{error.pointer}", error.detail) from None


def _compiled_arguments(function: Function) -> str | None:
    """The name of the schema of a function's arguments; None where they cannot be held, and are passed on."""
    from weir.generate.caller_schema import SchemaRefused, compiled

    try:
        return compiled(function.name, function.schema)
    except SchemaRefused:
        return None


def refuse_unknown(members: Mapping[str, Any], below: str = "") -> None:
    """Refuse what is left of the members of a body, or of its member `below`. Raises Problem."""
    if members:
        detail = "expected a member that is known here; this one changes what is asked for"
        raise refuse(f"{below}/{min(members)}"[:80], detail)


def refuse(pointer: str, detail: str) -> Problem:
    """The answer to a body whose member is not what it should be."""
    members = {"errors": [{"pointer": pointer, "detail": detail}]}
    return Problem(Outcome.BAD_REQUEST, f"{pointer or 'body'}: {detail}", status=400, members=members)


class ChatWire:
    """Writes a request's events as chunks of a chat completion, and its result as one."""

    repeats_text = False

    def __init__(self, request_id: str, created: int, model: str, asked: ChatRequest | None = None) -> None:
        self._request_id = request_id
        self._about = {"id": f"chatcmpl-{request_id}", "created": created, "model": model}
        self._head = events.dumps({"object": "chat.completion.chunk", **self._about})[:-1]
        self._include_usage = asked is not None and asked.include_usage
        self._usage = b',"usage":null' if self._include_usage else b""
        self._tool = asked.tool if asked else None
        self._places = asked.places if asked else {}

    def delta(self, attempt: int, text: str) -> bytes:
        """A piece of the answer's text, or of the arguments that it is."""
        if self._tool is not None:
            return self._chunk(
                b'{"tool_calls":[{"index":0,"function":{"arguments":%b}}]}' % events.string(text)
            )
        return self._chunk(b'{"content":%b}' % events.string(text))

    def tool_call(self, attempt: int, call: ToolCall) -> bytes:
        """A piece of a call, as it was passed on."""
        return self._chunk(events.dumps({"tool_calls": [{"index": call.number, **call_json(call)}]}))

    def value(self, attempt: int, path: str, json_bytes: bytes) -> bytes:
        """Nothing: this protocol has only text."""
        return b""

    def retry(self, attempt: int, reason: str, discarded_paths: Iterable[str]) -> bytes:
        """Nothing: what has left stands, and what follows goes on behind it."""
        return b""

    def forget(self) -> None:
        """Nothing: no chunk hangs on another."""

    def begin(self) -> bytes:
        """The first chunk, which names the role."""
        if self._tool is None:
            return self._chunk(b'{"role":"assistant","content":""}')
        call = call_json(ToolCall(0, f"call_{self._request_id}", self._tool, ""))
        delta = {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **call}]}
        return self._chunk(events.dumps(delta))

    def end(self, result: Result) -> bytes:
        """The last chunks: why the answer ended, its usage if that was asked for, and [DONE]; or one error."""
        outcome, problem = result.verdict.outcome, result.verdict.problem
        if problem is not None and outcome not in _FINISH:
            return b"data: %b\n\n" % events.dumps(self.refusal(problem))
        delta = (
            b"{}"
            if outcome is not Outcome.REFUSED or problem is None
            else b'{"refusal":%b}' % events.dumps(problem.detail)
        )
        finish = events.dumps(_finish_reason(result, self._tool))
        ended = self._chunk(delta, finish)
        if self._include_usage:
            account = events.dumps(
                {"usage": usage_json(result.summary), "weir": weir_json(self._request_id, result)}
            )
            ended += b'data: %b,"choices":[],%b\n\n' % (self._head, account[1:])
        return ended + b"data: [DONE]\n\n"

    def whole(self, result: Result) -> dict[str, Any]:
        """The whole answer as one object, of a result that has one."""
        content, refusal, calls = whole_answer(self._request_id, self._tool, result)
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal}
        if calls:
            message["tool_calls"] = [call_json(call) for call in calls]
        finish = _finish_reason(result, self._tool)
        return {
            "object": "chat.completion",
            **self._about,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": usage_json(result.summary),
            "weir": weir_json(self._request_id, result),
        }

    def refusal(self, problem: Problem) -> dict[str, Any]:
        """The error's envelope."""
        return error_envelope(as_given(problem, self._places))

    def _chunk(self, delta: bytes, finish: bytes = b"null") -> bytes:
        return b'data: %b,"choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]%b}\n\n' % (
            self._head, delta, finish, self._usage,
        )  # fmt: skip


def call_json(call: ToolCall) -> dict[str, Any]:
    """A call or the first piece of one, which names the function; or a later piece, of its arguments."""
    function: dict[str, Any] = {"arguments": call.arguments}
    if call.name is not None:
        function = {"name": call.name, **function}
    return {"function": function} if call.id is None else {
        "id": call.id, "type": "function", "function": function
    }  # fmt: skip


def _finish_reason(result: Result, tool: str | None) -> str:
    if result.verdict.outcome is Outcome.OK and (tool is not None or result.tool_calls):
        return "tool_calls"
    return _FINISH[result.verdict.outcome]


def whole_answer(
    request_id: str, tool: str | None, result: Result
) -> tuple[str | None, str | None, tuple[ToolCall, ...]]:
    """What was answered, of a result that has an answer: text, a refusal's text, and calls of functions."""
    verdict = result.verdict
    if verdict.outcome is Outcome.REFUSED:
        return None, verdict.problem.detail if verdict.problem else None, result.tool_calls
    content = result.text
    if verdict.document is not None:
        content = b"".join(verdict.document.json_parts(events.RESULT_PART_BYTES)).decode()
    if tool is not None:
        return None, None, (ToolCall(0, f"call_{request_id}", tool, content or ""),)
    return None if result.tool_calls and not content else content, None, result.tool_calls


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


def weir_json(request_id: str, result: Result) -> dict[str, Any]:
    """What no member of the protocol says: the request by our id, its outcome and what it cost."""
    cost = result.summary["cost"]
    return {
        "request_id": request_id,
        "outcome": result.verdict.outcome.value,
        "cost_estimate": cost["total"] if cost else None,
        **{name: result.summary[name] for name in ("replayed",) if name in result.summary},
    }
