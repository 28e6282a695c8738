"""Why a value or a model is not split: who could tell that it was assembled from validated parts.

Validators that see the whole input, defaults and validators that see the values before them, serializers that see the
whole. Pydantic's own functions are known to look at nothing but their value.
"""

from __future__ import annotations

import dis
import inspect
import itertools
from collections.abc import Mapping
from typing import Any

from pydantic_streaming.core_schema import (
    FUNCTIONS,
    Context,
    Schema,
    Shape,
    array_item,
    extra_of,
    fields_of,
    parts_of,
    shape_of,
    text_keys,
)

__all__ = [
    "has_own_dump",
    "has_post_init",
    "needs_instance",
    "omits",
    "reads_info",
    "reads_other_fields",
    "reasons_against",
]

# What `info` says of a value by itself; the rest is about the values before it.
HARMLESS_INFO = frozenset({"config", "context", "field_name", "mode"})
VARIADIC = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
KINDS = {"model": "model", "dataclass": "dataclass", "typed-dict": "typed dict"}


def reasons_against(shape: Shape, context: Context) -> tuple[str, ...]:
    """Return why an object of this shape cannot be assembled from validated parts; nothing if it can."""
    core = shape.core
    kind = core["type"]
    if kind not in KINDS:
        return (f"a model validator of kind {kind} sees or replaces the whole input",)
    reasons: list[str] = []
    if core.get("custom_init"):
        reasons.append("the model has an __init__ of its own")
    if core.get("root_model"):
        return (*reasons, "a root model is one value")
    if has_own_dump(shape, context):
        reasons.append("a model serializer dumps the model as it likes")
    fields = fields_of(core)
    if fields is None:
        inner = core["schema"]["type"]
        return (*reasons, f"a model validator of kind {inner} sees or replaces the whole input")
    inner = core if kind == "typed-dict" else core["schema"]
    config = core.get("config") or {}
    if inner.get("extras_schema") or inner.get("extras_keys_schema"):
        reasons.append("extra members have a schema")
    if config.get("validate_default"):
        reasons.append("defaults are validated")
    if kind == "typed-dict" and shape.functions:
        reasons.append("a validator may put the members of a typed dict in another order")
    if kind == "dataclass" and extra_of(core) == "allow":
        reasons.append("a dataclass keeps extra members")
    for name, field in fields.items():
        if text_keys(name, field, config) is None:
            reasons.append(f"{name}: the alias is a path")
        if reads_other_fields(field["schema"], context.definitions):
            reasons.append(f"{name}: a validator or default reads the validation info")
        if reads_info(field["schema"], context.definitions) and not reads_info(field["schema"], {}):
            reasons.append(f"{name}: a validator that several fields share reads the validation info")
        if kind == "dataclass" and (field.get("init_only") or field.get("init") is False):
            reasons.append(f"{name}: is not both an argument and an attribute")
        for depth, wrapper in enumerate(shape_of(field["schema"], context.definitions).wrappers):
            if wrapper["type"] == "default" and (depth or wrapper.get("validate_default")):
                reasons.append(
                    f"{name}: the default is validated" if not depth else f"{name}: a default in a wrapper"
                )
    return tuple(reasons)


def reads_other_fields(schema: Schema, definitions: Mapping[str, Schema]) -> bool:
    """Whether a validator or a default of this field, outside nested objects, asks for what was validated before."""

    def asks(part: Schema) -> bool:
        if part["type"] in FUNCTIONS:
            function = part.get("function")
            return (
                isinstance(function, Mapping)
                and function.get("type") == "with-info"
                and not _ignores_data(function["function"])
            )
        return bool(part.get("default_factory_takes_data"))

    return any(asks(part) for part in parts_of(schema, definitions))


def reads_info(schema: Schema, definitions: Mapping[str, Schema]) -> bool:
    """Whether a validator that is not Pydantic's own, outside nested objects, is given `info`."""
    return any(
        part["function"].get("type") == "with-info" and not _is_pydantics(part["function"]["function"])
        for part in parts_of(schema, definitions)
        if part["type"] in FUNCTIONS and isinstance(part.get("function"), Mapping)
    )


def needs_instance(schema: Schema, definitions: Mapping[str, Schema]) -> bool:
    """Whether this field's serializer, outside nested objects, is a method of the object or asks for `info`."""

    def asks(part: Schema) -> bool:
        how = part.get("serialization") or {}
        if how.get("is_field_serializer"):
            return True
        return bool(how.get("info_arg")) and not _is_pydantics(how["function"])

    return any(asks(part) for part in parts_of(schema, definitions))


def omits(schema: Schema, definitions: Mapping[str, Schema]) -> bool:
    """Whether an element of this schema may vanish from its list: a function may raise `PydanticOmit`."""

    def may(part: Schema) -> bool:
        if part["type"] not in FUNCTIONS:
            return part.get("on_error") == "omit"
        function = part.get("function")
        return not (isinstance(function, Mapping) and _is_pydantics(function["function"]))

    return any(may(part) for part in parts_of(schema, definitions))


def _is_pydantics(function: Any) -> bool:
    """Whether a function is Pydantic's own: those look at nothing but their value, and raise nothing but errors."""
    module = getattr(function, "__module__", None) or ""
    return module.partition(".")[0] in ("pydantic", "pydantic_extra_types")


def _ignores_data(function: Any) -> bool:
    """Whether a validator with `info`, its last argument, is known to ask it only what is harmless.

    Read from its bytecode: each load of `info` must be followed by the access to one of its harmless attributes.
    """
    if _is_pydantics(function):
        return True
    code = getattr(function, "__code__", None)  # a bound method has its function's
    if code is None or function.__defaults__ or code.co_kwonlyargcount or code.co_flags & VARIADIC:
        return False
    info = code.co_varnames[code.co_argcount - 1]
    if info in code.co_cellvars:
        return False  # an inner function has it
    instructions = list(dis.get_instructions(code))
    for one, after in itertools.pairwise([*instructions, None]):
        assert one is not None
        names = one.argval if isinstance(one.argval, tuple) else (one.argval,)
        if "FAST" not in one.opname or info not in names:
            continue
        # Some instructions load two variables; the second is the one that an attribute is taken of.
        alone = one.opname.startswith("LOAD_FAST") and names[-1] == info and names.count(info) == 1
        if not (alone and after and after.opname == "LOAD_ATTR" and after.argval in HARMLESS_INFO):
            return False
    return True


def has_own_dump(shape: Shape, context: Context) -> bool:
    """Whether a serializer of the value as a whole decides what becomes of its parts."""
    how = [
        part["serialization"]
        for part in (*shape.wrappers, shape.core, shape.core.get("schema") or {})
        if "serialization" in part
    ]
    if not how:
        return False
    # Pydantic's own, of a Sequence, makes a list of Python's values; how they are written, the whole document says.
    if len(how) > 1 or array_item(shape.core) is None or not _is_pydantics(how[0].get("function")):
        return True
    configs = [
        context.config,
        *(part.get("config") for part in parts_of(shape.core, context.definitions, deep=True)),
    ]
    return any(key.startswith("ser_json") for config in configs for key in config or ())


def has_post_init(core: Schema) -> bool:
    """Whether the author of a model or a dataclass wrote what runs after its init."""
    if not core.get("post_init"):
        return False
    # Private attributes make Pydantic add a model_post_init of its own.
    return core["type"] != "model" or not core["cls"].model_post_init.__module__.startswith("pydantic.")
