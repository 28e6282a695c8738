"""A place where a value can stand in the text, and how a value there is cut inside, if it is.

A list, or a model that holds lists of models, is `open` from its start: its parts are values of their own. Any other
list, dict, model or plain string is opened only when it grows huge, and silently: `huge`. Everything is made when it is
first needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic_core import SchemaSerializer, SchemaValidator, to_json

from pydantic_streaming.coreschema import (
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
from pydantic_streaming.nodes import Entries, Items, Member, Members, Node, Text

__all__ = ["Leaf", "members"]

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
        if needs_instance(self.schema, self.context.definitions) or has_own_dump(self.shape):
            return None
        if self.shape.core["type"] == "list":
            return _items(self)
        if self.shape.core["type"] == "model" and holds_list_of_models(self.shape.core, self.context, set()):
            return _members_of(self)
        return None

    @cached_property
    def huge(self) -> Node | None:
        """How the value is cut inside once it has grown huge; or None: it is validated whole."""
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


def _members_of(leaf: Leaf) -> Members | None:
    outer, inner = leaf.context.config or {}, leaf.shape.core.get("config") or {}
    if any(outer.get(key) != inner.get(key) for key in {*outer, *inner} if key.startswith("ser_json")):
        # What is written by its value's type and not by a schema goes by the config of the whole document.
        return None
    made = members(leaf.schema, leaf.context.definitions)
    return made if isinstance(made, Members) else None


def members(schema: Schema, definitions: Any) -> Members | tuple[str, ...]:
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
        for key in text_keys(name, info, config):
            if by_key.setdefault(key, member) is not member:
                return (f"{name}: the key {key!r} feeds two fields",)
        if dump_key is not None:
            dump_order.append((name, dump_key, to_json(dump_key) + b":"))
        inner = info["schema"]
        hollow[name] = {**info, "schema": {**inner, "schema": ANY} if inner["type"] == "default" else ANY}
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
        reserved=frozenset((*fields["fields"], *dumped, *(name for name, _, _ in computed))),
        changeable=bool(shape.functions) or has_post_init(core),
    )


# Parses any JSON and builds nothing.
SYNTAX_ONLY: Schema = {
    "type": "union",
    "mode": "left_to_right",
    "choices": [{"type": "typed-dict", "fields": {}, "extra_behavior": "ignore"}, {"type": "any"}],
}


def _items(leaf: Leaf) -> Items:
    core, context = leaf.shape.core, leaf.context
    item: Schema = core.get("items_schema") or ANY
    bare: Schema = {"type": "list", "items_schema": item}
    bounds = {key: core[key] for key in ("min_length", "max_length") if core.get(key) is not None}
    kind = shape_of(item, context.definitions).core["type"]
    begins, closer, end = ENDS.get(kind, ("", "", ""))
    return Items(
        batch=context.validator(bare),
        batch_dump=context.serializer(bare),
        element=Leaf(item, context),
        each=kind not in SMALL,
        begins=begins,
        closers=(closer, end),
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
    plain = (
        set(core) <= {"type", "min_length", "max_length", "strict", "metadata", "ref"}
        and not leaf.shape.functions
    )
    shaped = any(key.startswith("str_") for key in config)
    if not plain or shaped:
        return None
    return Text(core.get("min_length") or 0, core.get("max_length"), leaf.context.assembler(core))
