"""The schema plan: which models are split and which validated whole, and how each value is split inside.

Decided once per model, with the reasons. A model is split when assembling it from validated parts cannot be told from
validating its text. Validated whole are, among others, models with before- or wrap-validators (they see the whole
input), with an `__init__` or a model serializer of their own, with alias paths, or with field validators that read
other fields: see `plan_for(Model).reasons`.

A list, a dict of objects, or an object that holds either, is `open` from its start: its parts are values of their own.
Any other array, dict, object or plain string is opened only when it grows long, and silently: what is wrong in it is
known sooner, and no call takes long. How is `inside`. Everything is made when it is first needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel
from pydantic_core import SchemaError, SchemaSerializer, SchemaValidator, to_json

from pydantic_streaming.core_schema import (
    ANY,
    Context,
    Schema,
    Shape,
    array_item,
    extra_of,
    fields_of,
    holds_objects,
    is_object,
    kept_by_model,
    named,
    overrides_validation,
    shape_of,
    text_keys,
    wrapped,
)
from pydantic_streaming.hazards import check_model
from pydantic_streaming.reasons import (
    has_own_dump,
    has_post_init,
    needs_instance,
    omits,
    reads_info,
    reasons_against,
)
from pydantic_streaming.values import pointer

__all__ = ["DictPlan", "FieldPlan", "ListPlan", "ObjectPlan", "Plan", "TextPlan", "ValueSchema", "plan_for"]


@dataclass(slots=True, eq=False)
class Bounds:
    """How many parts a value may have; `validator` says it in Pydantic's words, of a value of as many."""

    min_length: int
    max_length: int | None
    validator: SchemaValidator

    def hold(self, count: int) -> bool:
        """Whether that many are allowed."""
        return self.min_length <= count and (self.max_length is None or count <= self.max_length)


@dataclass(slots=True, eq=False)
class ListPlan:
    """A list or a tuple of any length: elements are validated in batches by a list schema of their own."""

    opener: ClassVar[str] = "["
    make: type[list[Any]] | type[tuple[Any, ...]]
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
    bounds: Bounds
    # The after-functions, which see the assembled list, and the dump of what they return.
    finish: SchemaValidator | None
    finish_dump: SchemaSerializer


@dataclass(slots=True, eq=False)
class DictPlan:
    """A dict whose keys stay what the text has: entries are validated by the dict schema itself, without its bounds."""

    opener: ClassVar[str] = "{"
    batch: SchemaValidator
    batch_dump: SchemaSerializer
    value: ValueSchema
    # The same with values of any kind, for a key whose value is split inside.
    keys: SchemaValidator
    # The entries are values of their own.
    each: bool
    bounds: Bounds
    finish: SchemaValidator | None
    finish_dump: SchemaSerializer


@dataclass(slots=True, eq=False)
class TextPlan:
    """A string without conditions but its length: decoded and dumped piece by piece."""

    opener: ClassVar[str] = '"'
    bounds: Bounds


@dataclass(frozen=True, slots=True, eq=False)
class FieldPlan:
    """A field of a split object: its name, where it is in the dump, None where it is not dumped, and its value."""

    name: str
    pointer: str | None
    value_schema: ValueSchema


@dataclass(slots=True, eq=False)
class ObjectPlan:
    """An object of named fields: a model, a dataclass or a typed dict, and its own schema around `any`."""

    opener: ClassVar[str] = "{"
    cls: type[Any]
    # Fields by the key in the text that counts first, and by those that count only where that one is absent.
    by_key: dict[str, FieldPlan]
    by_other_key: dict[str, FieldPlan]
    assemble: SchemaValidator
    dump: SchemaSerializer
    loc_by_alias: bool
    extra: str
    extra_value: ValueSchema
    # (name, key in the dump, `"key":`) of everything dumped, in the order of the dump.
    dump_order: tuple[tuple[str, str, bytes], ...]
    computed: tuple[tuple[str, str, bytes], ...]
    # Names of what is dumped from the assembled instance: its serializer is a method of the object, or it may be left
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
# An entry of a dict is a value of its own where it is one of these.
NESTING = frozenset({"model", "dataclass", "typed-dict", "dict", "list", "tuple"})
# What an element begins with, and the characters that can end it or the list, by the kind of the elements.
ENDS = {
    **dict.fromkeys(("model", "dataclass", "typed-dict", "dict"), ("{", "}", "]")),
    **dict.fromkeys(("list", "tuple"), ("[", "]", "]")),
    "str": ('"', '"', "]"),
    **dict.fromkeys(SMALL, ("-0123456789tfn", ",", "]")),
}
# Parses any JSON and builds nothing.
SYNTAX_ONLY: Schema = {
    "type": "union",
    "mode": "left_to_right",
    "choices": [{"type": "typed-dict", "fields": {}, "extra_behavior": "ignore"}, {"type": "any"}],
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
    def nests(self) -> bool:
        """Whether the value has parts with schemas of their own."""
        return self.shape.core["type"] in NESTING

    @cached_property
    def open(self) -> ListPlan | DictPlan | ObjectPlan | None:
        """How the value is split inside from its start on, its parts being values of their own; or None."""
        if is_object(self.shape.core) and not holds_objects(self.shape.core, self.context, set()):
            return None
        match self.inside:
            case TextPlan() | DictPlan(each=False) | None:
                return None
            case plan:
                return plan

    @cached_property
    def inside(self) -> ContainerPlan | None:
        """How the value can be split inside; or None: it is validated whole."""
        if needs_instance(self.schema, self.context.definitions) or has_own_dump(self.shape, self.context):
            return None
        core = self.shape.core
        if array_item(core) is not None:
            return _list_plan(self)
        if core["type"] == "dict":
            return _dict_plan(self)
        if core["type"] == "str":
            return _text_plan(self)
        return _inner_object_plan(self) if is_object(core) else None


def _inner_object_plan(value: ValueSchema) -> ObjectPlan | None:
    outer, inner = value.context.config or {}, value.shape.core.get("config") or {}
    if any(outer.get(key) != inner.get(key) for key in {*outer, *inner} if key.startswith("ser_json")):
        # What is written by its value's type and not by a schema goes by the config of the whole document.
        return None
    made = object_plan(value.schema, value.context.definitions)
    return made if isinstance(made, ObjectPlan) else None


def object_plan(schema: Schema, definitions: Any) -> ObjectPlan | tuple[str, ...]:
    """Return how an object is split, or why it is not."""
    shape = shape_of(schema, definitions)
    core = shape.core
    context = Context(core.get("config"), definitions)
    if reasons := reasons_against(shape, context):
        return reasons
    config: Schema = core.get("config") or {}
    fields = fields_of(core) or {}
    by_key: dict[str, FieldPlan] = {}
    by_other_key: dict[str, FieldPlan] = {}
    placeholders: dict[str, Any] = {}
    dump_order: list[tuple[str, str, bytes]] = []
    late: set[str] = set()
    for name, info in fields.items():
        inner = info["schema"]
        dump_key = None if info.get("serialization_exclude") else info.get("serialization_alias") or name
        if "serialization_exclude_if" in info or needs_instance(inner, definitions):
            late.add(name)
        value = ValueSchema(named(inner, name) if reads_info(inner, definitions) else inner, context)
        field = FieldPlan(name, None if dump_key is None else pointer(dump_key), value)
        for index, key in enumerate(text_keys(name, info, config) or ()):
            if key in by_key or key in by_other_key:
                return (f"{name}: the key {key!r} feeds two fields",)
            (by_other_key if index else by_key)[key] = field
        if dump_key is not None:
            dump_order.append((name, dump_key, to_json(dump_key) + b":"))
        placeholders[name] = {
            **info,
            "schema": {**inner, "schema": ANY} if inner["type"] == "default" else ANY,
        }
    inner = core if core["type"] == "typed-dict" else core["schema"]
    computed = tuple(
        (computed["property_name"], key, to_json(key) + b":")
        for computed in inner.get("computed_fields", ())
        for key in [computed.get("alias") or computed["property_name"]]
    )
    dumped = [key for _, key, _ in (*dump_order, *computed)]
    if len(set(dumped)) < len(dumped):
        return ("two members are dumped under one key",)
    extra = extra_of(core)
    return ObjectPlan(
        cls=dict if core["type"] == "typed-dict" else core["cls"],
        by_key=by_key,
        by_other_key=by_other_key,
        assemble=context.assembler(wrapped(shape, _around(core, placeholders))),
        dump=context.serializer(core),
        loc_by_alias=config.get("loc_by_alias", True),
        extra=extra,
        extra_value=ValueSchema(ANY if extra == "allow" else SYNTAX_ONLY, Context(core.get("config"), {})),
        dump_order=tuple(dump_order),
        computed=computed,
        late=frozenset(late),
        reserved=frozenset((*fields, *dumped, *(name for name, _, _ in computed))),
        changeable=bool(shape.functions) or has_post_init(core),
    )


def _around(core: Schema, placeholders: dict[str, Any]) -> Schema:
    """Return the object's schema with `placeholders` for the schemas of its fields."""
    bare = {key: value for key, value in core.items() if key != "ref"}
    match core["type"]:
        case "typed-dict":
            return {**bare, "fields": placeholders, "computed_fields": []}
        case "dataclass":
            fields: Any = list(placeholders.values())
            bare["strict"] = False  # in Python, it would want an instance
        case _:
            fields = placeholders
    return {**bare, "schema": {**core["schema"], "fields": fields, "computed_fields": []}}


def _bounds(value: ValueSchema, schema: dict[str, Any]) -> Bounds:
    core = value.shape.core
    limits = {key: core[key] for key in ("min_length", "max_length") if core.get(key) is not None}
    validator = value.context.assembler({**schema, **limits})
    return Bounds(core.get("min_length") or 0, core.get("max_length"), validator)


def _finish(value: ValueSchema) -> SchemaValidator | None:
    return value.context.assembler(wrapped(value.shape, ANY)) if value.shape.functions else None


def _list_plan(value: ValueSchema) -> ListPlan:
    core, context = value.shape.core, value.context
    item = array_item(core) or ANY
    batch: Schema = {"type": "list", "items_schema": item}
    kind = shape_of(item, context.definitions).core["type"]
    begins, closer, end = ENDS.get(kind, ("", "", ""))
    is_tuple = core["type"] == "tuple"
    any_tuple = {"type": "tuple", "items_schema": [ANY], "variadic_item_index": 0}
    return ListPlan(
        make=tuple if is_tuple else list,
        batch=context.validator(batch),
        batch_dump=context.serializer(batch),
        element=ValueSchema(item, context),
        each=kind not in SMALL,
        begins=begins,
        closers=(closer, end),
        may_omit=omits(item, context.definitions),
        bounds=_bounds(value, any_tuple if is_tuple else {"type": "list"}),
        finish=_finish(value),
        finish_dump=value.serializer,
    )


def _dict_plan(value: ValueSchema) -> DictPlan | None:
    core, context = value.shape.core, value.context
    keys: Schema = core.get("keys_schema") or ANY
    # Other keys may become equal when validated, or vanish; text stays what it is.
    plain = {**keys, "metadata": None} == {"type": "str", "metadata": None}
    literal = keys["type"] == "literal" and all(isinstance(key, str) for key in keys["expected"])
    if not (plain or literal) or omits(core, context.definitions):
        return None
    unbounded = {key: part for key, part in core.items() if key not in ("min_length", "max_length", "ref")}
    item: Schema = core.get("values_schema") or ANY
    kind = shape_of(item, context.definitions).core["type"]
    return DictPlan(
        batch=context.validator(unbounded),
        batch_dump=context.serializer(unbounded),
        value=ValueSchema(item, context),
        keys=context.validator({**unbounded, "values_schema": ANY}),
        each=kind in NESTING,
        bounds=_bounds(value, {"type": "dict"}),
        finish=_finish(value),
        finish_dump=value.serializer,
    )


def _text_plan(value: ValueSchema) -> TextPlan | None:
    core, config = value.shape.core, value.context.config or {}
    plain = set(core) <= {"type", "min_length", "max_length", "strict", "metadata", "ref"}
    shaped = any(key.startswith("str_") for key in config)
    if not plain or shaped or value.shape.functions:
        return None
    return TextPlan(_bounds(value, {"type": "str"}))


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
        """Return for each key in the text how its value is handed out.

        "elements" and "entries" are values of their own, and so are "members"; a "list" or a "value" is one value.
        """
        return {} if self.root is None else {key: _how(f.value_schema) for key, f in self.root.by_key.items()}


def _how(value: ValueSchema) -> str:
    match value.open:
        case ListPlan(each=True):
            return "elements"
        case ListPlan():
            return "list"
        case DictPlan():
            return "entries"
        case ObjectPlan():
            return "members"
        case _:
            return "value"


@kept_by_model
def plan_for(model: type[BaseModel]) -> Plan:
    """Return the plan of `model`, made at the first call and kept.

    Raises:
        UnsafeSchema: the model can hold the loop (hazards.py).
    """
    check_model(model)
    allow_nan = model.model_config.get("allow_inf_nan") is True
    if overrides_validation(model):
        return Plan(model, None, ("model_validate_json is overridden",), allow_nan)
    if model.model_dump_json is not BaseModel.model_dump_json:
        return Plan(model, None, ("model_dump_json is overridden",), allow_nan)
    schema: Schema = model.__pydantic_core_schema__
    definitions: dict[str, Schema] = {}
    if schema["type"] == "definitions":
        definitions = {d["ref"]: d for d in schema["definitions"]}
        schema = schema["schema"]
    try:
        root = object_plan(schema, definitions)
    except (LookupError, TypeError, SchemaError) as error:
        # A core schema that this version of Pydantic does not build from parts.
        root = (f"its schema cannot be taken apart: {error!r}",)
    return (
        Plan(model, root, (), allow_nan)
        if isinstance(root, ObjectPlan)
        else Plan(model, None, root, allow_nan)
    )
