"""Which `loc` of an error is a place in the text, and which JSON Pointer it then is.

A loc mixes places (members, indices) with names of what was tried (a union's member, a function, `[key]`). The core
schema says which is which; where it cannot say for sure there is no pointer, because a wrong one is worse than none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic_streaming.values import pointer

__all__ = ["TRANSPARENT", "path_of", "resolve"]

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
