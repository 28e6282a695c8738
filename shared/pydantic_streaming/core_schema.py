"""How a Pydantic core schema is read: the shape under the wrappers, the fields, the elements.

A value is split where its schema is an array, a dict or an object under wrappers that a split leaves intact: defaults
(they act on absent members), nullables (they act on `null`) and after-functions (they run on the assembled value,
once). `wrapped` rebuilds those wrappers around `any`: the parts are validated already, each by its own schema, and must
not be validated twice.

The surface is semi-private (https://docs.pydantic.dev/latest/api/pydantic_core_schema/), so the versions are bounded
and the differential tests run on the oldest and the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from pydantic import BaseModel
from pydantic_core import SchemaSerializer, SchemaValidator

__all__ = [
    "ANY",
    "DATA",
    "FUNCTIONS",
    "OWN_SCOPE",
    "Context",
    "Schema",
    "Shape",
    "array_item",
    "extra_of",
    "fields_of",
    "holds_objects",
    "is_object",
    "kept_by_model",
    "named",
    "overrides_validation",
    "parts_of",
    "shape_of",
    "text_keys",
    "wrapped",
]

Schema = Mapping[str, Any]

ANY: Schema = {"type": "any"}
# What is no schema, though it may look like one.
DATA = frozenset({"default", "metadata", "serialization", "expected", "function", "cls", "config"})
# Fields of these belong to an object of their own: `info.data` of their validators is not the split object's.
OWN_SCOPE = frozenset({"model", "dataclass", "typed-dict"})
FUNCTIONS = frozenset({"function-after", "function-before", "function-wrap", "function-plain"})


def kept_by_model[Made](make: Callable[[type[BaseModel]], Made]) -> Callable[[type[BaseModel]], Made]:
    """Make something of a model once, and let the model keep it: programs that make models as they run have no end of
    them, and a cache here would keep each alive."""
    name = f"__{make.__module__}_{make.__name__}__".replace(".", "_")

    @wraps(make)
    def find(model: type[BaseModel]) -> Made:
        if name not in model.__dict__:  # a parent's is another model's
            setattr(model, name, make(model))
        made: Made = model.__dict__[name]
        return made

    return find


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What a piece of a core schema needs around it to stand alone: its object's config and the definitions."""

    config: Any
    definitions: Mapping[str, Schema]

    def around(self, schema: Schema) -> Any:
        """Return `schema` with the definitions that its references need."""
        if not self.definitions:
            return schema
        return {"type": "definitions", "schema": schema, "definitions": list(self.definitions.values())}

    def validator(self, schema: Schema) -> SchemaValidator:
        """Return the validator of a field or an element; nested models bring their class's own, as in their parent."""
        return SchemaValidator(self.around(schema), self.config)

    def assembler(self, schema: Schema) -> SchemaValidator:
        """Return the validator that assembles already validated parts.

        `_use_prebuilt=False` because a schema of type "model" would otherwise be replaced by the validator that its
        class carries, and that one knows nothing of parts (pydantic >= 2.13).
        """
        return SchemaValidator(schema, self.config, _use_prebuilt=False)

    def serializer(self, schema: Schema) -> SchemaSerializer:
        """Return the serializer of a field or an element."""
        return SchemaSerializer(self.around(schema), self.config)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A schema seen through its wrappers: `wrappers` from the outside in, then `core`."""

    wrappers: tuple[Schema, ...]
    core: Schema

    @property
    def functions(self) -> tuple[Schema, ...]:
        """The after-functions among the wrappers."""
        return tuple(w for w in self.wrappers if w["type"] == "function-after")


def shape_of(schema: Schema, definitions: Mapping[str, Schema]) -> Shape:
    """Look through defaults, nullables, after-functions without `info`, references, and what is for Python alone."""
    wrappers: list[Schema] = []
    while True:
        kind = schema["type"]
        if kind == "definition-ref" and schema["schema_ref"] in definitions:
            schema = definitions[schema["schema_ref"]]
            continue
        if kind == "json-or-python":
            wrappers.append(schema)
            schema = schema["json_schema"]
            continue
        if (
            kind == "nullable"
            or (kind == "default" and schema.get("on_error", "raise") == "raise")
            or (kind == "function-after" and schema["function"]["type"] == "no-info")
        ):
            wrappers.append(schema)
            schema = schema["schema"]
            continue
        return Shape(tuple(wrappers), schema)


def wrapped(shape: Shape, core: Schema) -> Schema:
    """Return `core` inside the after-functions of `shape`."""
    schema = core
    for wrapper in reversed(shape.functions):
        schema = {"type": "function-after", "function": wrapper["function"], "schema": schema}
    return schema


def is_object(core: Schema) -> bool:
    """Whether values are objects of named fields: a model, a dataclass, a typed dict."""
    return core["type"] in OWN_SCOPE and fields_of(core) is not None


def fields_of(core: Schema) -> Mapping[str, Schema] | None:
    """Return the fields of an object by name, None where something else is between it and its fields."""
    inner = core if core["type"] == "typed-dict" else core.get("schema") or {}
    match inner.get("type"):
        case "model-fields" | "typed-dict":
            fields: Mapping[str, Schema] = inner["fields"]
            return fields
        case "dataclass-args":
            return {field["name"]: field for field in inner["fields"]}
        case _:
            return None


def overrides_validation(model: type[BaseModel]) -> bool:
    """Whether the model has a `model_validate_json` of its own, of which its core schema says nothing."""
    # Bound methods are made anew at each access; the function under them is not.
    own: Any = model.model_validate_json
    base: Any = BaseModel.model_validate_json
    return own.__func__ is not base.__func__


def extra_of(core: Schema) -> str:
    """Return what becomes of members that no field knows: "ignore", "forbid" or "allow"."""
    inner = core if core["type"] == "typed-dict" else core["schema"]
    behavior = inner.get("extra_behavior") or (core.get("config") or {}).get("extra_fields_behavior")
    return behavior or "ignore"


def array_item(core: Schema) -> Schema | None:
    """Return the schema of the elements of a list, or of a tuple of any length, which all have the same; else None."""
    if core["type"] == "list":
        item: Schema = core.get("items_schema") or ANY
        return item
    if core["type"] == "tuple" and len(core["items_schema"]) == 1 and core.get("variadic_item_index") == 0:
        item = core["items_schema"][0]
        return item
    return None


def parts_of(schema: Schema, definitions: Mapping[str, Schema], *, deep: bool = False) -> Iterator[Schema]:
    """Yield `schema` and every schema in it; only if `deep`, those in the fields of nested objects."""
    seen: set[int] = set()
    stack: list[Any] = [schema]
    while stack:
        item = stack.pop()
        if isinstance(item, (list, tuple)):
            stack.extend(item)
        if not isinstance(item, Mapping) or id(item) in seen:
            continue
        seen.add(id(item))
        kind = item.get("type")
        if isinstance(kind, str):
            yield item
            if kind in OWN_SCOPE and not deep:
                continue
            if kind == "definition-ref" and item["schema_ref"] in definitions:
                stack.append(definitions[item["schema_ref"]])
        stack.extend(value for key, value in item.items() if key not in DATA)


def named(schema: Any, name: str) -> Any:
    """Return `schema` with the field's name in every validator that is given `info`, outside nested objects.

    Pydantic gives it by way of the object; a field that is validated by itself has none around it.
    """
    if isinstance(schema, (list, tuple)):
        return [named(one, name) for one in schema]
    if not isinstance(schema, Mapping) or schema.get("type") in OWN_SCOPE:
        return schema
    copy = {key: value if key in DATA else named(value, name) for key, value in schema.items()}
    if schema.get("type") in FUNCTIONS and copy["function"].get("type") == "with-info":
        copy["function"] = {**copy["function"], "field_name": name}
    return copy


def text_keys(name: str, info: Schema, config: Schema) -> list[str] | None:
    """Return the keys under which a text may hold the field, the one that counts first; None where one is a path."""
    alias = info.get("validation_alias")
    if alias is None:
        return [name]
    choices = [alias] if isinstance(alias, str) else alias
    keys: list[str] = []
    for choice in choices:
        path = [choice] if isinstance(choice, str) else choice
        # `["x", 0]` is a path, `[["x"], ["y"]]` are two choices.
        if not isinstance(alias, str) and isinstance(choice, (str, int)):
            return None
        if len(path) != 1 or not isinstance(path[0], str):
            return None
        keys.append(path[0])
    if not config.get("validate_by_alias", True):
        keys = []
    if config.get("validate_by_name") or config.get("populate_by_name"):
        keys.append(name)
    return list(dict.fromkeys(keys))


def holds_objects(schema: Schema, context: Context, seen: set[int]) -> bool:
    """Whether an object holds a list or a dict of objects, at any depth."""
    core = shape_of(schema, context.definitions).core
    if id(core) in seen:
        return False
    seen.add(id(core))
    for info in (fields_of(core) or {}).values():
        inner = shape_of(info["schema"], context.definitions).core
        items = array_item(inner) or (inner.get("values_schema") if inner["type"] == "dict" else None)
        if items is not None:
            element = shape_of(items, context.definitions).core
            if is_object(element) or holds_objects(element, context, seen):
                return True
        elif holds_objects(inner, context, seen):
            return True
    return False
