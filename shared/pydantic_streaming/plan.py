"""The schema plan: which models are split and which validated whole, and how each value is split inside.

Decided once per model, with the reasons. A model is split when assembling it from validated parts cannot be told from
validating its text. Validated whole are, among others, models with before- or wrap-validators (they see the whole
input), with an `__init__` or a model serializer of their own, with alias paths, or with field validators that read
other fields: see `plan_for(Model).reasons`.

A list, or a model that holds lists of models, is `open` from its start: its parts are values of their own. Any other
list, dict, model or plain string is opened only when it grows huge, and silently: `huge`. Everything is made when it is
first needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar

from pydantic import BaseModel
from pydantic_core import SchemaError, SchemaSerializer, SchemaValidator, to_json

from pydantic_streaming.core_schema import (
    ANY,
    Context,
    Schema,
    Shape,
    has_own_dump,
    has_post_init,
    holds_list_of_models,
    needs_instance,
    omits,
    reads_other_fields,
    shape_of,
    text_keys,
    wrapped,
)

__all__ = ["DictPlan", "FieldPlan", "ListPlan", "ObjectPlan", "Plan", "TextPlan", "ValueSchema", "plan_for"]


@dataclass(slots=True, eq=False)
class ListPlan:
    """A list: elements are validated in batches by a list schema of their own; `finish` sees the assembled list."""

    opener: ClassVar[str] = "["
    batch: SchemaValidator
    batch_dump: SchemaSerializer
    element: ValueSchema
    # The elements are values of their own. Numbers and the like are not: the list is one value when it closes.
    each: bool
    # What an element begins with, if nothing else will do, and the characters that can end it or the list.
    begins: str
    closers: tuple[str, str]
    # An element may vanish from its list, so elements are validated one at a time.
    may_omit: bool
    min_length: int
    max_length: int | None
    limits: SchemaValidator
    # The after-functions, and the dump of what they return.
    finish: SchemaValidator | None
    finish_dump: SchemaSerializer


@dataclass(slots=True, eq=False)
class DictPlan:
    """A huge dict with text keys: entries are validated in batches by the dict schema itself."""

    opener: ClassVar[str] = "{"
    batch: SchemaValidator
    batch_dump: SchemaSerializer


@dataclass(slots=True, eq=False)
class TextPlan:
    """A huge string without conditions but its length: decoded and dumped piece by piece."""

    opener: ClassVar[str] = '"'
    min_length: int
    max_length: int | None
    limits: SchemaValidator


@dataclass(frozen=True, slots=True, eq=False)
class FieldPlan:
    """A field of a split object: its name, its key in the text, its key in the dump, None where it is not dumped."""

    name: str
    dump_key: str | None
    value_schema: ValueSchema


@dataclass(slots=True, eq=False)
class ObjectPlan:
    """An object that becomes a model: members by their keys in the text, and the model's schema around `any`."""

    opener: ClassVar[str] = "{"
    model: type[BaseModel]
    by_key: dict[str, FieldPlan]
    assemble: SchemaValidator
    loc_by_alias: bool
    extra: str
    extra_value: ValueSchema
    # (name, key in the dump, `"key":`) of everything dumped, in the order of the dump.
    dump_order: tuple[tuple[str, str, bytes], ...]
    computed: tuple[tuple[str, str, bytes], ...]
    # Names of what is dumped from the assembled instance: its serializer is a method of the model, or it may be left
    # out of the dump.
    late: frozenset[str]
    # What fields are called, in the class and in the dump.
    reserved: frozenset[str]
    # Functions see the instance last and may change it, so what was dumped before must be compared.
    changeable: bool

    @property
    def needs_parts(self) -> bool:
        """Whether something is computed from the instance, so that it must have its parts."""
        return bool(self.changeable or self.late or self.computed)


ContainerPlan = ListPlan | DictPlan | TextPlan | ObjectPlan


# An event of its own would be ten times the size of such an element.
SMALL = frozenset(
    {"int", "float", "bool", "none", "decimal", "date", "time", "datetime", "timedelta", "uuid"}
)


# What an element begins with, and the characters that can end it or the list, by the kind of the elements.
ENDS = {
    "model": ("{", "}", "]"),
    "dataclass": ("{", "}", "]"),
    "typed-dict": ("{", "}", "]"),
    "dict": ("{", "}", "]"),
    "list": ("[", "]", "]"),
    "str": ('"', '"', "]"),
    **dict.fromkeys(SMALL, ("-0123456789tfn", ",", "]")),
}


@dataclass(eq=False)
class ValueSchema:
    """A place for a value: what validates and what dumps it, and how it is split inside."""

    schema: Schema
    context: Context

    @cached_property
    def validator(self) -> SchemaValidator:
        """The validator of this place, wrappers and all."""
        return self.context.validator(self.schema)

    @cached_property
    def serializer(self) -> SchemaSerializer:
        """The serializer of this place."""
        return self.context.serializer(self.schema)

    @cached_property
    def shape(self) -> Shape:
        """The schema seen through its wrappers."""
        return shape_of(self.schema, self.context.definitions)

    @cached_property
    def open(self) -> ListPlan | ObjectPlan | None:
        """How the value is split inside from its start on, its parts being values of their own; or None."""
        if needs_instance(self.schema, self.context.definitions) or has_own_dump(self.shape):
            return None
        if self.shape.core["type"] == "list":
            return _items(self)
        if self.shape.core["type"] == "model" and holds_list_of_models(self.shape.core, self.context, set()):
            return _members_of(self)
        return None

    @cached_property
    def huge(self) -> ContainerPlan | None:
        """How the value is split inside once it has grown huge; or None: it is validated whole."""
        if needs_instance(self.schema, self.context.definitions) or has_own_dump(self.shape):
            return None
        kind = self.shape.core["type"]
        if kind == "list":
            return _items(self)
        if kind == "dict":
            return _entries(self)
        if kind == "str":
            return _text(self)
        return _members_of(self) if kind == "model" else None


def _refusals(shape: Shape, context: Context) -> tuple[str, ...]:
    """Return why an object of this schema cannot be assembled from validated parts."""
    core = shape.core
    if core["type"] != "model":
        return (f"a model validator of kind {core['type']} sees or replaces the whole input",)
    reasons: list[str] = []
    if core.get("custom_init"):
        reasons.append("the model has an __init__ of its own")
    if core.get("root_model"):
        return (*reasons, "a root model is one value")
    if has_own_dump(shape):
        reasons.append("a model serializer dumps the model as it likes")
    fields = core["schema"]
    if fields["type"] != "model-fields":
        return (*reasons, f"a model validator of kind {fields['type']} sees or replaces the whole input")
    if fields.get("extras_schema") or fields.get("extras_keys_schema"):
        reasons.append("extra members have a schema")
    if (core.get("config") or {}).get("validate_default"):
        reasons.append("defaults are validated")
    for name, info in fields["fields"].items():
        alias = info.get("validation_alias")
        if alias is not None and not isinstance(alias, str):
            reasons.append(f"{name}: the alias is a path or a choice")
        if reads_other_fields(info["schema"], context.definitions):
            reasons.append(f"{name}: a validator or default reads the validation info")
        for depth, wrapper in enumerate(shape_of(info["schema"], context.definitions).wrappers):
            if wrapper["type"] == "default" and (depth or wrapper.get("validate_default")):
                reasons.append(
                    f"{name}: the default is validated" if not depth else f"{name}: a default in a wrapper"
                )
    return tuple(reasons)


def _members_of(value_schema: ValueSchema) -> ObjectPlan | None:
    outer, inner = value_schema.context.config or {}, value_schema.shape.core.get("config") or {}
    if any(outer.get(key) != inner.get(key) for key in {*outer, *inner} if key.startswith("ser_json")):
        # What is written by its value's type and not by a schema goes by the config of the whole document.
        return None
    made = members(value_schema.schema, value_schema.context.definitions)
    return made if isinstance(made, ObjectPlan) else None


def members(schema: Schema, definitions: Any) -> ObjectPlan | tuple[str, ...]:
    shape = shape_of(schema, definitions)
    core = shape.core
    context = Context(core.get("config"), definitions)
    if reasons := _refusals(shape, context):
        return reasons
    config: Schema = core.get("config") or {}
    fields = core["schema"]
    by_key: dict[str, FieldPlan] = {}
    placeholders: dict[str, Any] = {}
    dump_order: list[tuple[str, str, bytes]] = []
    late: set[str] = set()
    for name, info in fields["fields"].items():
        dump_key = None if info.get("serialization_exclude") else info.get("serialization_alias") or name
        if "serialization_exclude_if" in info or needs_instance(info["schema"], definitions):
            late.add(name)
        member = FieldPlan(name, dump_key, ValueSchema(info["schema"], context))
        for key in text_keys(name, info, config):
            if by_key.setdefault(key, member) is not member:
                return (f"{name}: the key {key!r} feeds two fields",)
        if dump_key is not None:
            dump_order.append((name, dump_key, to_json(dump_key) + b":"))
        inner = info["schema"]
        placeholders[name] = {
            **info,
            "schema": {**inner, "schema": ANY} if inner["type"] == "default" else ANY,
        }
    computed = tuple(
        (
            c["property_name"],
            c.get("alias") or c["property_name"],
            to_json(c.get("alias") or c["property_name"]) + b":",
        )
        for c in fields.get("computed_fields", ())
    )
    dumped = [key for _, key, _ in (*dump_order, *computed)]
    if len(set(dumped)) < len(dumped):
        return ("two members are dumped under one key",)
    extra = fields.get("extra_behavior") or config.get("extra_fields_behavior") or "ignore"
    around_placeholders = {
        **{key: value for key, value in core.items() if key != "ref"},
        "schema": {**fields, "fields": placeholders, "computed_fields": []},
    }
    return ObjectPlan(
        model=core["cls"],
        by_key=by_key,
        assemble=context.assembler(wrapped(shape, around_placeholders)),
        loc_by_alias=config.get("loc_by_alias", True),
        extra=extra,
        extra_value=ValueSchema(ANY if extra == "allow" else SYNTAX_ONLY, Context(core.get("config"), {})),
        dump_order=tuple(dump_order),
        computed=computed,
        late=frozenset(late),
        reserved=frozenset((*fields["fields"], *dumped, *(name for name, _, _ in computed))),
        changeable=bool(shape.functions) or has_post_init(core),
    )


# Parses any JSON and builds nothing.
SYNTAX_ONLY: Schema = {
    "type": "union",
    "mode": "left_to_right",
    "choices": [{"type": "typed-dict", "fields": {}, "extra_behavior": "ignore"}, {"type": "any"}],
}


def _items(value_schema: ValueSchema) -> ListPlan:
    core, context = value_schema.shape.core, value_schema.context
    item: Schema = core.get("items_schema") or ANY
    bare: Schema = {"type": "list", "items_schema": item}
    bounds = {key: core[key] for key in ("min_length", "max_length") if core.get(key) is not None}
    kind = shape_of(item, context.definitions).core["type"]
    begins, closer, end = ENDS.get(kind, ("", "", ""))
    return ListPlan(
        batch=context.validator(bare),
        batch_dump=context.serializer(bare),
        element=ValueSchema(item, context),
        each=kind not in SMALL,
        begins=begins,
        closers=(closer, end),
        may_omit=omits(item, context.definitions),
        min_length=core.get("min_length") or 0,
        max_length=core.get("max_length"),
        limits=context.assembler({"type": "list", **bounds}),
        finish=context.assembler(wrapped(value_schema.shape, ANY)) if value_schema.shape.functions else None,
        finish_dump=value_schema.serializer,
    )


def _entries(value_schema: ValueSchema) -> DictPlan | None:
    core, context = value_schema.shape.core, value_schema.context
    keys: Schema = core.get("keys_schema") or ANY
    # Other keys may become equal when validated, or vanish; text stays what it is.
    if {**keys, "metadata": None} != {"type": "str", "metadata": None} or omits(core, context.definitions):
        return None
    if value_schema.shape.functions or "min_length" in core or "max_length" in core:
        return None
    return DictPlan(batch=context.validator(core), batch_dump=context.serializer(core))


def _text(value_schema: ValueSchema) -> TextPlan | None:
    core, config = value_schema.shape.core, value_schema.context.config or {}
    plain = (
        set(core) <= {"type", "min_length", "max_length", "strict", "metadata", "ref"}
        and not value_schema.shape.functions
    )
    shaped = any(key.startswith("str_") for key in config)
    if not plain or shaped:
        return None
    return TextPlan(core.get("min_length") or 0, core.get("max_length"), value_schema.context.assembler(core))


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How texts of `model` are validated: piece by piece under `root`, or whole, for these `reasons`."""

    model: type[BaseModel]
    root: ObjectPlan | None
    reasons: tuple[str, ...] = ()
    # The model's own config opts in to NaN and Infinity by saying so; Pydantic's silent default does not count.
    allow_nan: bool = False

    @property
    def split(self) -> bool:
        """Whether texts are split."""
        return self.root is not None

    def describe(self) -> dict[str, str]:
        """Return for each key in the text how its value is validated: "elements", "members", "list" or "value"."""
        return {} if self.root is None else {key: _how(m.value_schema) for key, m in self.root.by_key.items()}


def _how(value_schema: ValueSchema) -> str:
    match value_schema.open:
        case ListPlan(each=True):
            return "elements"
        case ListPlan():
            return "list"
        case ObjectPlan():
            return "members"
        case _:
            return "value"


@cache
def plan_for(model: type[BaseModel]) -> Plan:
    """Return the plan of `model`, made at the first call and kept for good."""
    if not model.__pydantic_complete__:
        model.model_rebuild()
    allow_nan = model.model_config.get("allow_inf_nan") is True
    # Bound methods are made anew at each access; the function under them is not. (mypy takes them for plain functions.)
    if model.model_validate_json.__func__ is not BaseModel.model_validate_json.__func__:  # type: ignore[attr-defined]
        return Plan(model, None, ("model_validate_json is overridden",), allow_nan)
    if model.model_dump_json is not BaseModel.model_dump_json:
        return Plan(model, None, ("model_dump_json is overridden",), allow_nan)
    schema: Schema = model.__pydantic_core_schema__
    definitions: dict[str, Schema] = {}
    if schema["type"] == "definitions":
        definitions = {d["ref"]: d for d in schema["definitions"]}
        schema = schema["schema"]
    try:
        root = members(schema, definitions)
    except (LookupError, TypeError, SchemaError) as error:
        # A core schema that this version of Pydantic does not build from parts.
        root = (f"its schema cannot be taken apart: {error!r}",)
    return (
        Plan(model, root, (), allow_nan)
        if isinstance(root, ObjectPlan)
        else Plan(model, None, root, allow_nan)
    )
