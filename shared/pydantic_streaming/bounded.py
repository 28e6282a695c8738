"""How many errors are made: a text of a megabyte can hold half a million, a kilobyte each, and nobody reads them.

Pydantic makes all errors of a text or, where a schema says `fail_fast`, the first of each list and dict. A text that
may hold more than `MAX_ERRORS` is validated by the same schema with `fail_fast` everywhere, and with members that no
field knows counted: errors are cut while they are made, and the verdict is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticKnownError, SchemaValidator

from pydantic_streaming.core_schema import (
    DATA,
    OWN_SCOPE,
    Schema,
    fields_of,
    kept_by_model,
    overrides_validation,
)
from pydantic_streaming.reasons import reads_other_fields

__all__ = ["MAX_ERRORS", "bounded", "may_hold_many"]

# Twenty thousand errors take 17 MB and 80 ms.
MAX_ERRORS = 20_000
# Unknown members of a text that are named; the others are not looked at, for the verdict is known.
MAX_UNKNOWN = 1000

LISTS = frozenset({"list", "set", "frozenset", "tuple", "dict"})
# What is refused inside these need not be refused outside: there no member may be left out.
FORGIVING = frozenset({"union", "function-wrap"})
_unknown: ContextVar[list[None]] = ContextVar("unknown")


def may_hold_many(model: type[BaseModel], text: str | bytes) -> bool:
    """Whether `text` may hold more errors than are made: each needs a value, and each value but one a comma."""
    if overrides_validation(model):
        return False
    comma: Any = b"," if isinstance(text, bytes) else ","
    return (text.count(comma) + 1) * _errors_a_value(model) > MAX_ERRORS


def bounded(model: type[BaseModel], text: str | bytes) -> Any:
    """Validate `text` as `model.model_validate_json` does, but for the number of errors.

    What it returns is of no use.

    Raises:
        ValidationError: as Pydantic's, with the first error of each list and dict; without what the root lacks.
    """
    token = _unknown.set([])
    try:
        return _validator(model).validate_json(text)
    finally:
        _unknown.reset(token)


@kept_by_model
def _validator(model: type[BaseModel]) -> SchemaValidator:
    schema: Any = _bounded(model.__pydantic_core_schema__, forgiven=False)
    if schema["type"] == "definitions":
        definitions = {one["ref"]: one for one in schema["definitions"]}
        root, config = _without_missing(schema["schema"], definitions)
        schema = {**schema, "schema": root}
    else:
        schema, config = _without_missing(schema, {})
    return SchemaValidator(schema, config, _use_prebuilt=False)


def _without_missing(schema: Any, definitions: Mapping[str, Schema]) -> tuple[Any, Any]:
    """Return the root's fields, none of them required, and its config.

    The error of a missing member holds the whole object; of the root that is the whole text, as Python's values, once
    for each. If nothing else is wrong, the run that makes all errors says what is missing.
    """
    root = schema
    while root["type"] == "function-after":
        root = root["schema"]
    if root["type"] != "model" or root.get("root_model") or root["schema"]["type"] != "model-fields":
        return schema, None
    fields = root["schema"]["fields"]
    if any(reads_other_fields(field["schema"], definitions) for field in fields.values()):
        return schema, None  # what is missing must be missing there, too
    absent = {"type": "default", "default": None, "validate_default": False}
    fields = {
        name: field
        if field["schema"]["type"] == "default"
        else {**field, "schema": {**absent, "schema": field["schema"]}}
        for name, field in fields.items()
    }
    return {**root["schema"], "fields": fields}, root.get("config")


def _bounded(schema: Any, *, forgiven: bool, extra: str = "") -> Any:
    """Return the schema that stops early; `extra` is what the model around it does with members it does not know."""
    if isinstance(schema, (list, tuple)):
        return [_bounded(one, forgiven=forgiven) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    kind = schema.get("type")
    forgiven = forgiven or kind in FORGIVING or schema.get("on_error", "raise") != "raise"
    if kind == "model":
        extra = (schema.get("config") or {}).get("extra_fields_behavior", "")
    copy = {
        # A definition is used in many places, of which one may forgive.
        key: part
        if key in DATA
        else _bounded(part, forgiven=forgiven or key == "definitions", extra=extra if key == "schema" else "")
        for key, part in schema.items()
    }
    if kind in LISTS:
        copy["fail_fast"] = True
    if kind == "tuple":
        copy.pop("min_length", None)  # a tuple that ends at its first wrong element would be called too short
    if kind == "model-fields" and schema.get("extra_behavior", extra) == "forbid" and not forgiven:
        copy |= {"extra_behavior": "allow", "extras_schema": REFUSE_UNKNOWN}
    return copy


def _refuse_unknown(value: Any) -> Any:
    seen = _unknown.get()
    if len(seen) >= MAX_UNKNOWN:
        return value
    seen.append(None)
    raise PydanticKnownError("extra_forbidden")


REFUSE_UNKNOWN: Schema = {
    "type": "function-plain",
    "function": {"type": "no-info", "function": _refuse_unknown},
}


@kept_by_model
def _errors_a_value(model: type[BaseModel]) -> int:
    """How many errors one value can be: an empty object lacks what it needs, a union tries every choice."""
    members = choices = 1
    stack: list[Any] = [model.__pydantic_core_schema__]
    while stack:
        item = stack.pop()
        if isinstance(item, (list, tuple)):
            stack.extend(item)
        elif isinstance(item, Mapping):
            if item.get("type") in OWN_SCOPE:
                fields = (fields_of(item) or {}).values()
                members = max(members, sum(field["schema"]["type"] != "default" for field in fields))
            elif item.get("type") == "union":
                choices = max(choices, len(item["choices"]))
            stack.extend(part for key, part in item.items() if key not in DATA)
    return members * choices
