"""Which models are validated piece by piece and which whole: decided once per model, with the reasons.

A model is cut when assembling it from validated parts cannot be told from validating its text (see `_refusals`).
Inside, each place where a value can stand has a `Leaf`: the validator and serializer of exactly that place. A leaf
that is a list, or a model that holds lists of models, is `open` from the start: its parts are values of their own.
Any other list, dict, model or plain string is opened only when it grows huge, silently: `Leaf.huge`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel
from pydantic_core import SchemaError, SchemaSerializer, SchemaValidator, to_json

from weir.core.validation.coreschema import (
    ANY,
    Context,
    Schema,
    Shape,
    needs_instance,
    omits,
    reads_other_fields,
    shape_of,
    wrapped,
)

__all__ = ["Entries", "Items", "Leaf", "Member", "Members", "Node", "Plan", "Text", "plan_for"]

# An event of its own would be ten times the size of such an element.
SMALL = frozenset({"int", "float", "bool", "none", "decimal", "date", "time", "datetime", "timedelta", "uuid"})


CLOSERS = {"model": "}]", "dataclass": "}]", "typed-dict": "}]", "dict": "}]", "str": '"]', "list": "]"}


@dataclass(slots=True, eq=False)
class Items:
    """A list: elements are validated in batches by a list schema of their own; `finish` sees the assembled list."""

    batch: SchemaValidator
    batch_dump: SchemaSerializer
    element: Leaf
    # The elements are values of their own. Numbers and the like are not: the list is one value when it closes.
    each: bool
    # The characters that can end an element or the list.
    closers: str
    # An element may vanish from its list, so elements are validated one at a time.
    may_omit: bool
    min_length: int
    max_length: int | None
    limits: SchemaValidator
    # The after-functions, and the dump of what they return.
    finish: SchemaValidator | None
    finish_dump: SchemaSerializer


@dataclass(slots=True, eq=False)
class Entries:
    """A huge dict with text keys: entries are validated in batches by the dict schema itself."""

    batch: SchemaValidator
    batch_dump: SchemaSerializer


@dataclass(slots=True, eq=False)
class Text:
    """A huge string without conditions but its length: decoded and dumped piece by piece."""

    min_length: int
    max_length: int | None
    limits: SchemaValidator


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A field of a cut object: its name, its key in the text, its key in the dump, None where it is not dumped."""

    name: str
    dump_key: str | None
    leaf: Leaf


@dataclass(slots=True, eq=False)
class Members:
    """An object that becomes a model: members by their keys in the text, and the model's schema around `any`."""

    model: type[BaseModel]
    by_key: dict[str, Member]
    assemble: SchemaValidator
    loc_by_alias: bool
    extra: str
    extra_leaf: Leaf
    # (name, key in the dump, `"key":`) of everything dumped, in the order of the dump.
    dump_order: tuple[tuple[str, str, bytes], ...]
    computed: tuple[tuple[str, str, bytes], ...]
    # Names of what is dumped from the assembled instance: its serializer is a method of the model, or it may be left
    # out of the dump.
    late: frozenset[str]
    # Functions see the instance last and may change it, so what was dumped before must be compared.
    changeable: bool


Node = Items | Entries | Text | Members


@dataclass(eq=False)
class Leaf:
    """A place for a value: what validates and what dumps it, and how it is cut inside."""

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
    def open(self) -> Items | Members | None:
        """How the value is cut inside from its start on, its parts being values of their own; or None."""
        if needs_instance(self.schema, self.context.definitions) or _has_own_dump(self.shape):
            return None
        if self.shape.core["type"] == "list":
            return _items(self)
        if self.shape.core["type"] == "model" and _holds_list_of_models(self.shape.core, self.context, set()):
            return _members_of(self)
        return None

    @cached_property
    def huge(self) -> Node | None:
        """How the value is cut inside once it has grown huge; or None: it is validated whole."""
        if needs_instance(self.schema, self.context.definitions) or _has_own_dump(self.shape):
            return None
        kind = self.shape.core["type"]
        if kind == "list":
            return _items(self)
        if kind == "dict":
            return _entries(self)
        if kind == "str":
            return _text(self)
        return _members_of(self) if kind == "model" else None

    @property
    def opener(self) -> str:
        """The character that the value of `open` begins with; any other (`null`, say) is for `validator`."""
        return "[" if self.shape.core["type"] == "list" else "{"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How texts of `model` are validated: piece by piece under `root`, or whole, for these `reasons`."""

    model: type[BaseModel]
    root: Members | None
    reasons: tuple[str, ...] = ()
    # The model's own config opts in to NaN and Infinity by saying so; Pydantic's silent default does not count.
    allow_nan: bool = False

    @property
    def cut(self) -> bool:
        """Whether texts are cut."""
        return self.root is not None

    def describe(self) -> dict[str, str]:
        """Return for each key in the text how its value is validated: "elements", "members", "list" or "value"."""
        return {} if self.root is None else {key: _how(m.leaf) for key, m in self.root.by_key.items()}


def plan_for(model: type[BaseModel]) -> Plan:
    """Return the plan of `model`, made at the first call and kept as long as the class."""
    plan = _plans.get(model)
    if plan is None:
        _plans[model] = plan = _plan(model)
    return plan


_plans: WeakKeyDictionary[type[BaseModel], Plan] = WeakKeyDictionary()


def _how(leaf: Leaf) -> str:
    match leaf.open:
        case Items(each=True):
            return "elements"
        case Items():
            return "list"
        case Members():
            return "members"
        case _:
            return "value"


def _plan(model: type[BaseModel]) -> Plan:
    if not model.__pydantic_complete__:
        model.model_rebuild()
    allow_nan = model.model_config.get("allow_inf_nan") is True
    # Bound methods are made anew at each access; the function under them is not.
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
        root = _members(schema, definitions)
    except (LookupError, TypeError, SchemaError) as error:
        # A core schema that this version of Pydantic does not build from parts.
        root = (f"its schema cannot be taken apart: {error!r}",)
    return Plan(model, root, (), allow_nan) if isinstance(root, Members) else Plan(model, None, root, allow_nan)


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
    if _has_own_dump(shape):
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
                reasons.append(f"{name}: the default is validated" if not depth else f"{name}: a default in a wrapper")
    return tuple(reasons)


def _members_of(leaf: Leaf) -> Members | None:
    members = _members(leaf.schema, leaf.context.definitions)
    return members if isinstance(members, Members) else None


def _members(schema: Schema, definitions: Any) -> Members | tuple[str, ...]:
    shape = shape_of(schema, definitions)
    core = shape.core
    context = Context(core.get("config"), definitions)
    if reasons := _refusals(shape, context):
        return reasons
    config: Schema = core.get("config") or {}
    fields = core["schema"]
    by_key: dict[str, Member] = {}
    hollow: dict[str, Any] = {}
    dump_order: list[tuple[str, str, bytes]] = []
    late: set[str] = set()
    for name, info in fields["fields"].items():
        dump_key = None if info.get("serialization_exclude") else info.get("serialization_alias") or name
        if "serialization_exclude_if" in info or needs_instance(info["schema"], definitions):
            late.add(name)
        member = Member(name, dump_key, Leaf(info["schema"], context))
        for key in _text_keys(name, info, config):
            if by_key.setdefault(key, member) is not member:
                return (f"{name}: the key {key!r} feeds two fields",)
        if dump_key is not None:
            dump_order.append((name, dump_key, to_json(dump_key) + b":"))
        inner = info["schema"]
        hollow[name] = {**info, "schema": {**inner, "schema": ANY} if inner["type"] == "default" else ANY}
    computed = tuple(
        (c["property_name"], c.get("alias") or c["property_name"], to_json(c.get("alias") or c["property_name"]) + b":")
        for c in fields.get("computed_fields", ())
    )
    dumped = [key for _, key, _ in (*dump_order, *computed)]
    if len(set(dumped)) < len(dumped):
        return ("two members are dumped under one key",)
    extra = fields.get("extra_behavior") or config.get("extra_fields_behavior") or "ignore"
    hollow_model = {
        **{key: value for key, value in core.items() if key != "ref"},
        "schema": {**fields, "fields": hollow, "computed_fields": []},
    }
    return Members(
        model=core["cls"],
        by_key=by_key,
        assemble=context.assembler(wrapped(shape, hollow_model)),
        loc_by_alias=config.get("loc_by_alias", True),
        extra=extra,
        extra_leaf=Leaf(ANY if extra == "allow" else SYNTAX_ONLY, Context(core.get("config"), {})),
        dump_order=tuple(dump_order),
        computed=computed,
        late=frozenset(late),
        changeable=bool(shape.functions) or _has_post_init(core),
    )


# Parses any JSON and builds nothing.
SYNTAX_ONLY: Schema = {
    "type": "union",
    "mode": "left_to_right",
    "choices": [{"type": "typed-dict", "fields": {}, "extra_behavior": "ignore"}, {"type": "any"}],
}


def _text_keys(name: str, info: Schema, config: Schema) -> set[str]:
    alias = info.get("validation_alias")
    if alias is None:
        return {name}
    by_name = config.get("validate_by_name") or config.get("populate_by_name")
    by_alias = config.get("validate_by_alias", True)
    return {*({alias} if by_alias else ()), *({name} if by_name else ())}


def _has_post_init(core: Schema) -> bool:
    # Private attributes make Pydantic add a model_post_init of its own.
    return bool(core.get("post_init")) and not core["cls"].model_post_init.__module__.startswith("pydantic.")


def _items(leaf: Leaf) -> Items:
    core, context = leaf.shape.core, leaf.context
    item: Schema = core.get("items_schema") or ANY
    bare: Schema = {"type": "list", "items_schema": item}
    bounds = {key: core[key] for key in ("min_length", "max_length") if core.get(key) is not None}
    kind = shape_of(item, context.definitions).core["type"]
    return Items(
        batch=context.validator(bare),
        batch_dump=context.serializer(bare),
        element=Leaf(item, context),
        each=kind not in SMALL,
        closers=CLOSERS.get(kind, ",]"),
        may_omit=omits(item, context.definitions),
        min_length=core.get("min_length") or 0,
        max_length=core.get("max_length"),
        limits=context.assembler({"type": "list", **bounds}),
        finish=context.assembler(wrapped(leaf.shape, ANY)) if leaf.shape.functions else None,
        finish_dump=leaf.serializer,
    )


def _entries(leaf: Leaf) -> Entries | None:
    core, context = leaf.shape.core, leaf.context
    keys: Schema = core.get("keys_schema") or ANY
    # Other keys may become equal when validated, or vanish; text stays what it is.
    if {**keys, "metadata": None} != {"type": "str", "metadata": None} or omits(core, context.definitions):
        return None
    if leaf.shape.functions or "min_length" in core or "max_length" in core:
        return None
    return Entries(batch=context.validator(core), batch_dump=context.serializer(core))


def _text(leaf: Leaf) -> Text | None:
    core, config = leaf.shape.core, leaf.context.config or {}
    plain = set(core) <= {"type", "min_length", "max_length", "strict", "metadata", "ref"} and not leaf.shape.functions
    shaped = any(key.startswith("str_") for key in config)
    if not plain or shaped:
        return None
    return Text(core.get("min_length") or 0, core.get("max_length"), leaf.context.assembler(core))


def _has_own_dump(shape: Shape) -> bool:
    return any("serialization" in part for part in (*shape.wrappers, shape.core, shape.core.get("schema") or {}))


def _holds_list_of_models(schema: Schema, context: Context, seen: set[int]) -> bool:
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
            if element["type"] == "model" or _holds_list_of_models(element, context, seen):
                return True
        elif _holds_list_of_models(inner, context, seen):
            return True
    return False


