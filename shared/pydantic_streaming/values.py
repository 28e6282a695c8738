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


Schema = Mapping[str, Any]

# Schemas that add nothing to a loc and pass their value on to one inner schema. Not a before-function: what it makes of
# its value need not be in the text.
TRANSPARENT = frozenset({"default", "nullable", "function-after", "model", "dataclass"})
UNKNOWN: Schema = {"type": "unknown"}


def path_of(schema: Schema, loc: tuple[int | str, ...]) -> str | None:
    """Return the JSON Pointer that `loc` amounts to under `schema`, or None where it is not one."""
    definitions: dict[str, Schema] = {}
    if schema["type"] == "definitions":
        definitions = {d["ref"]: d for d in schema["definitions"]}
    at = schema
    places: list[int | str] = []
    in_dict = False
    config: Schema = {}
    for item in loc:
        at, config = _resolved(at, definitions, config)
        # Behind a dict's key, "[key]" says that the key is wrong; it looks like one inside the value.
        step = None if item == "[key]" and in_dict else _step(at, item, config)
        in_dict = at["type"] == "dict"
        if step is None:
            return None
        place, at = step
        places.append(place)
    return pointer(*places)


def _resolved(schema: Schema, definitions: Mapping[str, Schema], config: Schema) -> tuple[Schema, Schema]:
    """Return what `schema` stands for behind references and wrappers, and the config of the object that it is in."""
    while True:
        kind = schema["type"]
        if kind in ("model", "dataclass", "typed-dict"):
            config = schema.get("config") or {}
        if kind == "definitions":
            schema = schema["schema"]
        elif kind == "definition-ref":
            schema = definitions.get(schema["schema_ref"], UNKNOWN)
        elif kind == "json-or-python":
            schema = schema["json_schema"]
        elif kind == "default" and schema.get("validate_default", config.get("validate_default")):
            return UNKNOWN, config  # what is wrong may be in the default, and that is not in the text
        elif kind in TRANSPARENT:
            schema = schema["schema"]
        else:
            return schema, config


def _step(schema: Schema, item: int | str, config: Schema) -> tuple[int | str, Schema] | None:
    """Return where `item` of a loc is in the text, and the schema of what is there; None where it is no place."""
    kind = schema["type"]
    if kind in ("model-fields", "typed-dict", "dataclass-args"):
        by_alias = config.get("loc_by_alias", True)
        fields = schema["fields"]
        if not isinstance(fields, Mapping):
            fields = {field["name"]: field for field in fields}
        keys = {name: list(_keys_of(field)) for name, field in fields.items()}
        known = [name for name in keys if item == name or (by_alias and item in keys[name])]
        if not known:
            # A key that no field knows is an extra one: forbidden (the loc ends there) or of any kind.
            return (item, schema.get("extras_schema") or UNKNOWN) if isinstance(item, str) else None
        inner = fields[known[0]]["schema"] if len(known) == 1 else UNKNOWN
        if by_alias:
            return item, inner
        # One of several keys, or the field's own name, and it cannot be said which.
        candidates = keys[known[0]]
        if config.get("validate_by_name") or config.get("populate_by_name"):
            candidates = [*candidates, item]
        return None if len(candidates) > 1 else ((*candidates, item)[0], inner)
    if kind in ("list", "set", "frozenset") and isinstance(item, int):
        return item, schema.get("items_schema") or UNKNOWN
    if kind == "tuple" and isinstance(item, int):
        items = schema["items_schema"]
        variadic = schema.get("variadic_item_index")
        if variadic is None and item < len(items):
            return item, items[item]
        return None if variadic is None or item < variadic or len(items) != 1 else (item, items[0])
    if kind == "dict" and isinstance(item, str):
        return item, schema.get("values_schema") or UNKNOWN
    return None


def _keys_of(field: Schema) -> Iterator[int | str]:
    """Yield every single key under which the text may hold the field, but its name."""
    alias = field.get("validation_alias")
    choices: Iterable[Any] = alias if isinstance(alias, list) else [] if alias is None else [alias]
    for choice in choices:
        if isinstance(choice, str):
            yield choice
        elif isinstance(choice, list) and len(choice) == 1:
            yield choice[0]
