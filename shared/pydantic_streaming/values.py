"""What streamed validation hands out, completed values and violations, and where each is.

A `Value` points into the *result* (`model_dump(mode="json", by_alias=True)`); a `Violation` points into the *text*,
because what is wrong may never become part of a result. The two differ only where a field's alias for validation
and its alias for serialization do.

The `loc` of an error mixes places (members, indices) with names of what was tried (a union's member, a function,
`[key]`). The core schema says which is which; where it cannot say for sure there is no pointer, because a wrong one is
worse than none.

JSON Pointer: https://www.rfc-editor.org/rfc/rfc6901
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Value", "Violation", "path_of", "pointer"]


class Value(NamedTuple):
    """One completed, validated part of the document: where it belongs and its JSON, serialised once.

    A tuple and not a dataclass: there may be one for every few tokens.
    """

    path: str
    json: bytes


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong, as Pydantic reports it: `loc`, `type` and `message` are Pydantic's own.

    `path` is the JSON Pointer into the text where `loc` amounts to one, and None where it does not: the loc of a
    union names the member that was tried, and that is no place in the text.
    """

    path: str | None
    loc: tuple[int | str, ...]
    type: str
    message: str


def pointer(*tokens: str | int) -> str:
    """Return the JSON Pointer of `tokens`, escaped as RFC 6901 section 3 says."""
    # "Because the characters '~' and '/' have special meanings in JSON Pointer, '~' needs to be encoded as '~0'
    # and '/' needs to be encoded as '~1'": in this order, or '/' would become '~01'.
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


# Schemas that add nothing to a loc and pass their value on to one inner schema.
TRANSPARENT = frozenset(
    {"default", "nullable", "function-after", "function-before", "model", "dataclass", "json-or-python"}
)

Schema = Mapping[str, Any]


def path_of(schema: Schema, loc: tuple[int | str, ...]) -> str | None:
    """Return the JSON Pointer that `loc` amounts to under `schema`, or None where it is not one."""
    definitions: dict[str, Schema] = {}
    if schema["type"] == "definitions":
        definitions = {d["ref"]: d for d in schema["definitions"]}
    at: Schema | None = schema
    for item in loc:
        if at is None:
            # Below a value that any JSON is good for nothing is refused; a loc that goes on is not a place.
            return None
        at = _step(resolve(at, definitions), item)
        if at is _NOWHERE:
            return None
    return pointer(*loc)


def resolve(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Return what `schema` stands for once references and wrappers without a loc of their own are looked through."""
    while True:
        kind = schema["type"]
        if kind == "definitions":
            schema = schema["schema"]
        elif kind == "definition-ref":
            schema = definitions.get(schema["schema_ref"], _UNKNOWN)
        elif kind == "json-or-python":
            schema = schema["json_schema"]
        elif kind in TRANSPARENT:
            schema = schema["schema"]
        else:
            return schema


_UNKNOWN: Schema = {"type": "unknown"}
_NOWHERE: Schema = {"type": "nowhere"}


def _step(schema: Schema, item: int | str) -> Schema | None:
    kind = schema["type"]
    if kind in ("model-fields", "typed-dict"):
        for name, field in schema["fields"].items():
            if item in names_of(name, field):
                inner: Schema = field["schema"]
                return inner
        extras: Schema | None = schema.get("extras_schema")
        # A key that no field knows is an extra one: forbidden (the loc ends there) or of any kind.
        return extras if isinstance(item, str) else _NOWHERE
    if kind == "dataclass-args":
        for field in schema["fields"]:
            if item in names_of(field["name"], field):
                inner = field["schema"]
                return inner
        return None if isinstance(item, str) else _NOWHERE
    if kind in ("list", "set", "frozenset") and isinstance(item, int):
        inner = schema.get("items_schema") or _UNKNOWN
        return inner
    if kind == "tuple" and isinstance(item, int):
        items = schema["items_schema"]
        variadic = schema.get("variadic_item_index")
        if variadic is None and item < len(items):
            inner = items[item]
            return inner
        return _NOWHERE if variadic is None or item < variadic or len(items) != 1 else items[0]
    if kind == "dict" and isinstance(item, str):
        # `{"[key]": 1}` and a refused key look alike; a loc that could be the latter is no pointer.
        return _NOWHERE if item == "[key]" else schema.get("values_schema") or _UNKNOWN
    return _NOWHERE


def names_of(name: str, field: Schema) -> Iterator[int | str]:
    """Yield every single name under which the text may hold the field."""
    yield name
    alias = field.get("validation_alias")
    choices: Iterable[Any] = alias if isinstance(alias, list) else [alias]
    for choice in choices:
        if isinstance(choice, str):
            yield choice
        elif isinstance(choice, list) and len(choice) == 1:
            yield choice[0]
