"""Read a body: at once where nobody could doubt it, and by the model of requests where anybody could.

The model needs Pydantic, whose import a cold start's first byte would wait for. Here only is taken what it surely takes
too, with the same values: known members of plain types, each once. Nothing is refused here.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from weir.generate.body import check_body
from weir.generate.params import GenerationParams
from weir.providers.call import Message, TextPart
from weir.schemas import schema_names

_TAG = r"[A-Za-z0-9._:/@-]{1,64}"
_HALVES = rb"\\u[dD][89a-fA-F]"  # escapes of surrogates, which may be halves of pairs
_ROLES = frozenset({"system", "developer", "user", "assistant"})
_EVENTS = frozenset({"delta", "value", "result"})


def parse_request(body: bytes, content_type: str) -> GenerationParams:
    """Read a request.

    Raises:
        Problem: 415 for another media type, 413 for a body that is too large, 400 for what is not JSON, 422 for a
            wrong field, with `errors: [{pointer, detail}]`.
    """
    check_body(body, content_type)
    return read_request(body)


def read_request(body: bytes) -> GenerationParams:
    """Read a body that has been checked. Raises Problem."""
    params = accept(body)
    if params is None:
        from weir.generate.requests import parse_body

        params = parse_body(body)
    return params


def read_json(body: bytes) -> Any:
    """The value of a body that has been checked; Pydantic's parser says what is wrong with one. Raises Problem."""
    try:
        if b"\\u" not in body or not re.search(_HALVES, body):
            return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_doubt)
    except (_Doubtful, ValueError, RecursionError):
        pass
    from weir.generate.requests import parse_json

    return parse_json(body)


class _Doubtful(Exception):
    pass


def _doubt(_: str) -> None:
    raise _Doubtful


def accept(body: bytes) -> GenerationParams | None:
    """The request, if it is surely one; None where only the model can tell."""
    try:
        given = json.loads(body.decode(), object_pairs_hook=_once)
        if type(given) is not dict or ("prompt" in given) == ("messages" in given):
            return None
        members = {name: _READ[name](value) for name, value in given.items()}
        prompt = members.pop("prompt", None)
        messages = members.pop("messages", None) or (Message("user", (TextPart(prompt),)),)
        if "schema" in members:
            members["schema_name"] = members.pop("schema")
        return GenerationParams(messages, **members)
    except (_Doubtful, KeyError, ValueError, RecursionError):
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Doubtful
    return members


def _text(value: object, most: int) -> str:
    if type(value) is not str or not 0 < len(value) <= most:
        raise _Doubtful
    value.encode()  # half a surrogate pair has no UTF-8: ValueError
    return value


def _count(value: object, most: int) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise _Doubtful
    return value


def _number(value: object, most: float) -> float:
    if type(value) not in (int, float) or not 0 <= value <= most:  # type: ignore[operator]
        raise _Doubtful
    return float(value)  # type: ignore[arg-type]


def _messages(value: object) -> tuple[Message, ...]:
    if type(value) is not list or not 0 < len(value) <= 500:
        raise _Doubtful
    return tuple(map(_message, value))


def _message(value: object) -> Message:
    if type(value) is not dict or value.keys() != {"role", "content"}:
        raise _Doubtful
    return Message(_one_of(value["role"], _ROLES), (TextPart(_text(value["content"], 1 << 30)),))


def _one_of(value: object, known: frozenset[str]) -> Any:
    if type(value) is not str or value not in known:
        raise _Doubtful
    return value


def _schema(value: object) -> str:
    if type(value) is not str or value not in schema_names():
        raise _Doubtful
    return value


def _include(value: object) -> tuple[str, ...]:
    if type(value) is not list or len(value) > 3:
        raise _Doubtful
    return tuple(_one_of(item, _EVENTS) for item in value)


def _tags(value: object) -> Mapping[str, str]:
    if type(value) is not dict or len(value) > 10:
        raise _Doubtful
    for text in (*value, *value.values()):
        if type(text) is not str or not re.fullmatch(_TAG, text):
            raise _Doubtful
    return value


# A member that is not here is left to the model: known or not.
_READ: Mapping[str, Callable[[object], Any]] = {
    "prompt": lambda value: _text(value, 1 << 30),
    "messages": _messages,
    "schema": _schema,
    "model": lambda value: _text(value, 200),
    "max_output_tokens": lambda value: _count(value, 1_000_000),
    "temperature": lambda value: _number(value, 2),
    "top_p": lambda value: _number(value, 1),
    "timeout_ms": lambda value: _count(value, 900_000),
    "include": _include,
    "release": lambda value: _one_of(value, frozenset({"raw", "validated"})),
    "on_violation": lambda value: _one_of(value, frozenset({"stop", "finish", "retry"})),
    "tags": _tags,
}
