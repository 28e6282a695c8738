"""What a Pydantic core schema says about splitting: the shape under the wrappers, and what forbids a split.

A value is split where its schema is a list, a dict or a model under wrappers that a split leaves intact: defaults (they
act on absent members), nullables (they act on `null`) and after-functions (they run on the assembled value, once).
`wrapped` rebuilds those wrappers around `any`: the parts are validated already, each by its own schema, and must not
be validated twice.

The surface is semi-private (https://docs.pydantic.dev/latest/api/pydantic_core_schema/), so the versions are bounded
and the differential tests run on the oldest and the newest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import SchemaSerializer, SchemaValidator

__all__ = [
    "ANY",
    "Context",
    "Schema",
    "Shape",
    "has_own_dump",
    "has_post_init",
    "holds_list_of_models",
    "needs_instance",
    "omits",
    "reads_other_fields",
    "shape_of",
    "text_keys",
    "wrapped",
]

Schema = Mapping[str, Any]

ANY: Schema = {"type": "any"}
# Fields of these belong to an object of their own: `info.data` of their validators is not the split object's.
OWN_SCOPE = frozenset({"model", "dataclass", "typed-dict"})
FUNCTIONS = frozenset({"function-after", "function-before", "function-wrap", "function-plain"})


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What a piece of a core schema needs around it to stand alone: its model's config and the definitions."""

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
    """Look through defaults, nullables, after-functions without `info`, and references."""
    wrappers: list[Schema] = []
    while True:
        kind = schema["type"]
        if kind == "definition-ref" and schema["schema_ref"] in definitions:
            schema = definitions[schema["schema_ref"]]
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


def reads_other_fields(schema: Schema, definitions: Mapping[str, Schema]) -> bool:
    """Whether a validator or a default of this field, outside nested models, asks for `info` or validated data."""

    def asks(part: Schema) -> bool:
        if part["type"] in FUNCTIONS:
            function = part.get("function")
            return isinstance(function, Mapping) and function.get("type") == "with-info"
        return bool(part.get("default_factory_takes_data"))

    return any(asks(part) for part in _parts(schema, definitions))


def needs_instance(schema: Schema, definitions: Mapping[str, Schema]) -> bool:
    """Whether this field's serializer, outside nested models, is a method of the model or asks for `info`."""

    def asks(part: Schema) -> bool:
        how = part.get("serialization") or {}
        return bool(how.get("is_field_serializer") or how.get("info_arg"))

    return any(asks(part) for part in _parts(schema, definitions))


def omits(schema: Schema, definitions: Mapping[str, Schema]) -> bool:
    """Whether an element of this schema may vanish from its list: any function may raise `PydanticOmit`."""
    return any(
        part["type"] in FUNCTIONS or part.get("on_error") == "omit" for part in _parts(schema, definitions)
    )


def _parts(schema: Schema, definitions: Mapping[str, Schema]) -> Iterator[Schema]:
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
            if kind in OWN_SCOPE:
                continue
            if kind == "definition-ref" and item["schema_ref"] in definitions:
                stack.append(definitions[item["schema_ref"]])
        # A default is data and may look like a schema.
        stack.extend(value for key, value in item.items() if key not in _DATA)


_DATA = frozenset({"default", "metadata", "serialization", "expected", "function", "cls", "config"})


def has_post_init(core: Schema) -> bool:
    """Whether the model's author wrote a model_post_init."""
    # Private attributes make Pydantic add a model_post_init of its own.
    return bool(core.get("post_init")) and not core["cls"].model_post_init.__module__.startswith("pydantic.")


def has_own_dump(shape: Shape) -> bool:
    """Whether a serializer of the value as a whole decides what becomes of its parts."""
    return any(
        "serialization" in part for part in (*shape.wrappers, shape.core, shape.core.get("schema") or {})
    )


def text_keys(name: str, info: Schema, config: Schema) -> set[str]:
    """Return the keys under which a text may hold the field."""
    alias = info.get("validation_alias")
    if alias is None:
        return {name}
    by_name = config.get("validate_by_name") or config.get("populate_by_name")
    by_alias = config.get("validate_by_alias", True)
    return {*({alias} if by_alias else ()), *({name} if by_name else ())}


def holds_list_of_models(schema: Schema, context: Context, seen: set[int]) -> bool:
    """Whether a model holds a list of models, at any depth."""
    core = shape_of(schema, context.definitions).core
    if id(core) in seen:
        return False
    seen.add(id(core))
    if core["type"] != "model" or core["schema"]["type"] != "model-fields":
        return False
    for info in core["schema"]["fields"].values():
        inner = shape_of(info["schema"], context.definitions).core
        if inner["type"] == "list":
            element = shape_of(inner.get("items_schema") or ANY, context.definitions).core
            if element["type"] == "model" or holds_list_of_models(element, context, seen):
                return True
        elif holds_list_of_models(inner, context, seen):
            return True
    return False
