"""`POST /v1/responses`, as OpenAI's SDKs speak it; the same service underneath.

Decided here: what a body says in the words of a chat completion, as which it is then read, so that both endpoints take
the same; and how events and results are written in this protocol. Nothing is stored and nothing runs in the background:
what would hang on that is refused by name.
https://platform.openai.com/docs/api-reference/responses
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weir.generate import events
from weir.generate.chat_api import (
    ChatRequest,
    as_given,
    error_envelope,
    read_chat,
    read_members,
    refuse,
    refuse_unknown,
    usage_json,
    weir_json,
    whole_answer,
)
from weir.generate.params import GenerationParams
from weir.generate.result import Result
from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.events import ToolCall
from weir.providers.sse import encode_event

# Nothing of the answer hangs on them.
_IGNORED = (
    "user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options",
    "max_tool_calls", "stream_options",
)  # fmt: skip
# What there is one value for here.
_ONLY = {"store": False, "background": False, "truncation": "disabled", "top_logprobs": 0}
# What both protocols call the same, and what is ours.
_SAME = (
    "model", "stream", "temperature", "top_p", "service_tier", "parallel_tool_calls",
    "release", "on_violation", "tags", "max_cost", "timeout_ms", "extra_body",
)  # fmt: skip
# What a response says of its request, where that said nothing.
_UNSAID: Mapping[str, Any] = {
    "instructions": None, "max_output_tokens": None, "metadata": {}, "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None}, "temperature": None, "text": {"format": {"type": "text"}},
    "tool_choice": "auto", "tools": [], "top_p": None, "user": None,
}  # fmt: skip
# A chat completion's members, and what they are here.
_NAMES = (
    (re.compile(r"/response_format(/json_schema)?"), "/text/format"),
    (re.compile(r"(/tools/\d+)/function"), r"\1"),
    (re.compile("/max_completion_tokens"), "/max_output_tokens"),
    (re.compile("/verbosity"), "/text/verbosity"),
    (re.compile("/reasoning_effort"), "/reasoning/effort"),
    (re.compile("/messages"), "/input"),
)
_STATUS = {
    Outcome.OK: "completed",
    Outcome.REFUSED: "completed",
    Outcome.TRUNCATED_OUTPUT: "incomplete",
    Outcome.FILTERED: "incomplete",
}
_REASONS = {Outcome.TRUNCATED_OUTPUT: "max_output_tokens", Outcome.FILTERED: "content_filter"}


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """A request in the service's words, and how its answer is written.

    `chat` is the chat completion that says the same; `said` is what a response repeats of the body; `places` are the
    pointers there of the completion's messages.
    """

    chat: ChatRequest
    said: Mapping[str, Any]
    places: tuple[str, ...]

    @property
    def request(self) -> GenerationParams:
        """The request itself."""
        return self.chat.request

    @property
    def streams(self) -> bool:
        """Whether the answer comes in events."""
        return self.chat.streams


def parse_responses_request(body: bytes, content_type: str) -> ResponsesRequest:
    """Read a body. Raises Problem, with the member's name in `errors`."""
    members = read_members(body, content_type)
    said = {name: members[name] for name in _UNSAID if name in members}
    conversation = _Conversation()
    conversation.take(members.pop("instructions", None), members.pop("input", None))
    asked = {name: members.pop(name) for name in _SAME if name in members}
    asked |= {"messages": conversation.messages, **_text(members), **_tools(members)}
    if (cap := members.pop("max_output_tokens", None)) is not None:
        asked["max_completion_tokens"] = cap
    if (effort := _reasoning(members)) is not None:
        asked["reasoning_effort"] = effort
    for number, wanted in enumerate(_list(members, "include")):
        if wanted != "reasoning.encrypted_content":  # of reasoning that is in no answer
            raise refuse(f"/include/{number}", f"expected what an answer has here, got {wanted!r:.60}")
    for name, only in _ONLY.items():
        if (value := members.pop(name, only)) != only:
            shown = events.dumps(only).decode()
            raise refuse(f"/{name}", f"expected {shown} or none, got {value!r:.40}: there is nothing else")
    for name in _IGNORED:
        members.pop(name, None)
    refuse_unknown(members)
    places = tuple(conversation.places)
    try:
        chat = read_chat(asked)
    except Problem as problem:
        raise _renamed(problem, places) from None
    return ResponsesRequest(chat, said, places)


class _Conversation:
    """The messages of a chat completion, and for each where the body has it."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.places: list[str] = []

    def take(self, instructions: object, given: object) -> None:
        """Take the two members that hold it. Raises Problem."""
        if instructions is not None:
            if not isinstance(instructions, str):
                raise refuse("/instructions", "expected text")
            self._add({"role": "system", "content": instructions}, "/instructions")
        if isinstance(given, str):
            self._add({"role": "user", "content": given}, "/input")
        elif isinstance(given, list):
            for number, item in enumerate(given):
                self._item(item, f"/input/{number}")
        else:
            raise refuse("/input", "expected text, or a list of items")

    def _add(self, message: dict[str, Any], place: str) -> None:
        self.messages.append(message)
        self.places.append(place)

    def _item(self, given: object, place: str) -> None:
        if not isinstance(given, Mapping):
            raise refuse(place, "expected an object")
        match given.get("type") or "message":
            case "message":
                content = _content(given.get("content"), f"{place}/content")
                self._add({"role": given.get("role"), "content": content}, place)
            case "function_call":
                function = {name: _string(given, name, place) for name in ("name", "arguments")}
                call = {"id": _string(given, "call_id", place), "type": "function", "function": function}
                if not self.messages or self.messages[-1]["role"] != "assistant":
                    self._add({"role": "assistant", "content": None}, place)
                self.messages[-1].setdefault("tool_calls", []).append(call)
            case "function_call_output":
                content = _content(given.get("output"), f"{place}/output")
                call_id = _string(given, "call_id", place)
                self._add({"role": "tool", "tool_call_id": call_id, "content": content}, place)
            case "item_reference":
                detail = (
                    "expected the item itself: nothing is stored here (`store: false` has an SDK send it)"
                )
                raise refuse(f"{place}/type", detail)
            case kind:
                detail = f"expected message, function_call or function_call_output, got {kind!r:.40}"
                raise refuse(f"{place}/type", detail)


def _string(given: Mapping[str, Any], name: str, place: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise refuse(f"{place}/{name}", "expected text")
    return value


def _content(given: object, place: str) -> Any:
    if not isinstance(given, list):
        return given
    return [_part(part, f"{place}/{number}") for number, part in enumerate(given)]


def _part(given: object, place: str) -> dict[str, Any]:
    kind = given.get("type") if isinstance(given, Mapping) else None
    if isinstance(given, Mapping) and kind in ("input_text", "output_text"):
        return {"type": "text", "text": given.get("text")}
    if isinstance(given, Mapping) and kind == "refusal":
        return {"type": "refusal", "refusal": given.get("refusal")}
    if isinstance(given, Mapping) and kind == "input_image":
        return {"type": "image_url", "image_url": {"url": _string(given, "image_url", place)}}
    raise refuse(f"{place}/type", f"expected input_text, output_text or input_image, got {kind!r:.40}")


def _object(members: dict[str, Any], name: str) -> dict[str, Any]:
    given = members.pop(name, {})
    if not isinstance(given, Mapping):
        raise refuse(f"/{name}", "expected an object")
    return {key: value for key, value in given.items() if value is not None}


def _list(members: dict[str, Any], name: str) -> list[Any]:
    given = members.pop(name, [])
    if not isinstance(given, list):
        raise refuse(f"/{name}", "expected a list")
    return given


def _text(members: dict[str, Any]) -> dict[str, Any]:
    """The format of the answer's text."""
    text = _object(members, "text")
    asked = {"response_format": text.pop("format", {"type": "text"})}
    if "verbosity" in text:
        asked["verbosity"] = text.pop("verbosity")
    refuse_unknown(text, "/text")
    if isinstance(form := asked["response_format"], Mapping) and form.get("type") == "json_schema":
        asked["response_format"] = {"type": "json_schema", "json_schema": form}
    return asked


def _reasoning(members: dict[str, Any]) -> Any:
    reasoning = _object(members, "reasoning")
    effort = reasoning.pop("effort", None)
    refuse_unknown(reasoning, "/reasoning")
    return effort


def _tools(members: dict[str, Any]) -> dict[str, Any]:
    """Functions, and which must be called, as a chat completion nests them; of no other kind of tools."""
    asked: dict[str, Any] = {}
    if tools := _list(members, "tools"):
        asked["tools"] = list(map(_tool, tools))
    choice = members.pop("tool_choice", None)
    if isinstance(choice, Mapping):
        if choice.get("type") != "function":
            raise refuse("/tool_choice", f"expected a function, got {choice.get('type')!r:.40}")
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    if choice is not None:
        asked["tool_choice"] = choice
    return asked


def _tool(given: object) -> object:
    if not isinstance(given, Mapping) or given.get("type") != "function":
        return given  # refused where any other is
    function = {name: given[name] for name in _FUNCTION if given.get(name) is not None}
    return {"type": "function", "function": function}


_FUNCTION = ("name", "description", "parameters", "strict")


def _renamed(problem: Problem, places: tuple[str, ...]) -> Problem:
    """A problem of what was read as a chat completion, by the names of this protocol."""
    errors = [
        {**error, "pointer": _pointer(str(error["pointer"]), places)}
        for error in problem.members.get("errors", ())
    ]
    if not errors:
        return problem
    return Problem(
        problem.outcome,
        f"{errors[0]['pointer'] or 'body'}: {errors[0]['detail']}",
        status=problem.status,
        title=problem.title,
        members={**problem.members, "errors": errors},
        headers=problem.headers,
    )


def _pointer(pointer: str, places: tuple[str, ...]) -> str:
    if (found := re.match(r"/messages/(\d+)", pointer)) and int(found[1]) < len(places):
        place, below = places[int(found[1])], pointer[found.end() :].replace("/image_url/url", "/image_url")
        return place + below if place.startswith("/input/") else place
    for name, own in _NAMES:
        if found := name.match(pointer):
            return found.expand(own) + pointer[found.end() :]
    return pointer


@dataclass(slots=True)
class _Item:
    """An item of the output: a message, or the call of a function, whose text is the arguments."""

    id: str
    call: ToolCall | None = None
    texts: list[str] = field(default_factory=list)
    refusal: str | None = None
    delta: bytes = b""  # an event of its text, up to the text

    def text_part(self) -> dict[str, Any]:
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": "".join(self.texts)}

    def as_json(self, status: str) -> dict[str, Any]:
        if self.call is not None:
            kind = {"id": self.id, "type": "function_call", "status": status}
            called = {"call_id": self.call.id, "name": self.call.name}
            return {**kind, "arguments": "".join(self.texts), **called}
        content = [] if self.refusal is not None and not self.texts else [self.text_part()]
        if self.refusal is not None:
            content.append({"type": "refusal", "refusal": self.refusal})
        return {
            "id": self.id,
            "type": "message",
            "status": status,
            "content": content,
            "role": "assistant",
        }


class ResponsesWire:
    """Writes a request's events as those of a response, and its result as one.

    Items open with their first text and close at the end, which repeats all that was written.
    """

    repeats_text = True

    def __init__(
        self, request_id: str, created: int, model: str, asked: ResponsesRequest | None = None
    ) -> None:
        self._request_id = request_id
        self._call_id = f"call_{request_id}"
        self._created = created
        self._model = model
        self._said = {**_UNSAID, **(asked.said if asked else {})}
        self._tool = asked.chat.tool if asked else None
        self._asked = asked
        self.forget()

    def forget(self) -> None:
        """Write the same answer anew."""
        self._number = 2  # behind those of `begin`
        self._items: list[_Item] = []
        self._message: _Item | None = None
        self._calls: dict[int, _Item] = {}

    def begin(self) -> bytes:
        """The first events, whenever they are asked for: the response, without any output."""
        response = self._response("in_progress", [])
        return b"".join(
            _event(f"response.{kind}", number, response=response)
            for number, kind in enumerate(("created", "in_progress"))
        )

    def delta(self, attempt: int, text: str) -> bytes:
        """A piece of the answer's text, or of the arguments that it is."""
        if self._tool is not None:
            return self.tool_call(attempt, ToolCall(0, self._call_id, self._tool, text))
        opened = b""
        if self._message is None:
            self._message, opened = self._open(_Item(f"msg_{self._request_id}"))
        return opened + self._piece(self._message, text) if text else opened

    def tool_call(self, attempt: int, call: ToolCall) -> bytes:
        """A piece of a call."""
        item, opened = self._calls.get(call.number), b""
        if item is None:
            item, opened = self._open(self._call_item(call))
            self._calls[call.number] = item
        return opened + self._piece(item, call.arguments) if call.arguments else opened

    def value(self, attempt: int, path: str, json_bytes: bytes) -> bytes:
        """Nothing: this protocol has only text."""
        return b""

    def retry(self, attempt: int, reason: str, discarded_paths: Iterable[str]) -> bytes:
        """Nothing: what has left stands, and what follows goes on behind it."""
        return b""

    def end(self, result: Result) -> bytes:
        """The last events: each item as a whole, and the response; or an error, and the response that failed."""
        verdict = result.verdict
        if verdict.problem is not None and verdict.outcome not in _STATUS:
            error = self.refusal(verdict.problem)["error"]
            named = {name: error[name] for name in ("code", "message", "param")}
            # Flat as it is documented, nested as it is sent: the SDKs raise the nested one.
            told = self._next("error", **named, error=error)
            return told + self._next("response.failed", response=self._response("failed", [], result))
        out: list[bytes] = []
        if verdict.outcome is Outcome.REFUSED and verdict.problem is not None:
            out.append(self._refuse(verdict.problem.detail))
        elif not self._items:
            out.append(self.delta(result.attempt, ""))
        status = _STATUS[verdict.outcome]
        for index, item in enumerate(self._items):
            out += self._close(index, item, status)
        items = [item.as_json(status) for item in self._items]
        out.append(self._next(f"response.{status}", response=self._response(status, items, result)))
        return b"".join(out)

    def whole(self, result: Result) -> dict[str, Any]:
        """The whole answer as one object, of a result that has one."""
        content, refusal, calls = whole_answer(self._request_id, self._tool, result)
        items = []
        if content is not None or refusal is not None:
            texts = [] if content is None else [content]
            items.append(_Item(f"msg_{self._request_id}", None, texts, refusal))
        for call in calls:
            items.append(self._call_item(call))
            items[-1].texts.append(call.arguments)
        status = _STATUS[result.verdict.outcome]
        return self._response(status, [item.as_json(status) for item in items], result)

    def refusal(self, problem: Problem) -> dict[str, Any]:
        """The error's envelope."""
        if (asked := self._asked) is not None:  # else it has the names of this protocol already
            problem = _renamed(as_given(problem, asked.chat.places), asked.places)
        return error_envelope(problem)

    def _call_item(self, call: ToolCall) -> _Item:
        own = f"{self._request_id}_{call.number}"
        return _Item(f"fc_{own}", call._replace(id=call.id or f"call_{own}", name=call.name or ""))

    def _open(self, item: _Item) -> tuple[_Item, bytes]:
        index = len(self._items)
        self._items.append(item)
        shown = item.as_json("in_progress") | ({} if item.call else {"content": []})
        out = self._next("response.output_item.added", output_index=index, item=shown)
        place: dict[str, Any] = {"item_id": item.id, "output_index": index}
        kind = "response.function_call_arguments.delta"
        if item.call is None:
            place |= {"content_index": 0}
            kind = "response.output_text.delta"
            if item.refusal is None:
                out += self._next("response.content_part.added", **place, part=item.text_part())
            place |= {"logprobs": []}
        # Written once: each piece of text is an event of it.
        members = events.dumps({"type": kind, **place})[:-1]
        item.delta = b"event: %b\ndata: %b" % (kind.encode(), members)
        return item, out

    def _piece(self, item: _Item, text: str) -> bytes:
        item.texts.append(text)
        self._number += 1
        return b'%b,"sequence_number":%d,"delta":%b}\n\n' % (
            item.delta, self._number - 1, events.string(text),
        )  # fmt: skip

    def _refuse(self, detail: str) -> bytes:
        opened = b""
        if self._message is None:
            self._message, opened = self._open(_Item(f"msg_{self._request_id}", refusal=""))
        item = self._message
        place = {
            "item_id": item.id,
            "output_index": self._items.index(item),
            "content_index": int(bool(item.texts)),
        }
        part = {"type": "refusal", "refusal": ""}
        opened += self._next("response.content_part.added", **place, part=part)
        item.refusal = detail
        return opened + self._next("response.refusal.delta", **place, delta=detail)

    def _close(self, index: int, item: _Item, status: str) -> Iterable[bytes]:
        shown = item.as_json(status)
        place = {"item_id": item.id, "output_index": index}
        if item.call is not None:
            done = {"name": shown["name"], "arguments": shown["arguments"]}
            yield self._next("response.function_call_arguments.done", **place, **done)
        for number, part in enumerate(shown.get("content", ())):
            where = {**place, "content_index": number}
            if part["type"] == "refusal":
                yield self._next("response.refusal.done", **where, refusal=part["refusal"])
            else:
                yield self._next("response.output_text.done", **where, logprobs=[], text=part["text"])
            yield self._next("response.content_part.done", **where, part=part)
        yield self._next("response.output_item.done", output_index=index, item=shown)

    def _next(self, kind: str, **members: Any) -> bytes:
        self._number += 1
        return _event(kind, self._number - 1, **members)

    def _response(
        self, status: str, items: list[dict[str, Any]], result: Result | None = None
    ) -> dict[str, Any]:
        outcome = result.verdict.outcome if result else None
        reason = _REASONS.get(outcome) if outcome else None
        error, ended = None, None
        if status == "failed" and result is not None and result.verdict.problem is not None:
            code = "rate_limit_exceeded" if outcome is Outcome.RATE_LIMITED else "server_error"
            error = {"code": code, "message": result.verdict.problem.detail}
        if status == "completed" and result is not None:
            ended = self._created + round(result.summary["timing"]["duration_ms"] / 1000)
        members = {
            "id": f"resp_{self._request_id}",
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "completed_at": ended,
            "error": error,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": self._model,
            "output": items,
            "previous_response_id": None,
            "service_tier": result.summary["usage"].get("service_tier") if result else None,
            "store": False,
            "top_logprobs": 0,
            "truncation": "disabled",
            "usage": _usage(result.summary) if result else None,
            **self._said,
        }
        return members | ({"weir": weir_json(self._request_id, result)} if result else {})


def _event(kind: str, number: int, **members: Any) -> bytes:
    return encode_event(kind, events.dumps({"type": kind, "sequence_number": number, **members}))


def _usage(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Usage in this protocol's members, with the estimated cost in USD."""
    counts, written = usage_json(summary), summary["usage"].get("cache_write_tokens") or 0
    return {
        "input_tokens": counts["prompt_tokens"],
        "input_tokens_details": {**counts["prompt_tokens_details"], "cache_write_tokens": written},
        "output_tokens": counts["completion_tokens"],
        "output_tokens_details": counts["completion_tokens_details"],
        "total_tokens": counts["total_tokens"],
        "cost": counts["cost"],
    }
