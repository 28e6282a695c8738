"""A document's schema that a caller brings: a JSON Schema becomes a Pydantic model, with the same verdicts.

Taken is the subset that structured output knows: objects whose members are declared, arrays, strings, numbers,
booleans, null, enums and constants of them, anyOf, and references into `$defs`, recursive ones too. What a keyword
forbids is refused; a keyword that is not known is refused by name, since ignoring it would accept what it forbids.
https://json-schema.org/draft/2020-12
"""

import json
import re
from collections.abc import Mapping
from fractions import Fraction
from hashlib import sha256
from math import inf
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args
from urllib.parse import unquote

from pydantic import (
    MISSING,
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    create_model,
)
from pydantic.errors import PydanticUserError
from pydantic_core import CoreSchema, PydanticCustomError, SchemaError, core_schema

from weir.errors import CallerError
from weir.generate.caller_patterns import PatternRefused, check_pattern, pattern_steps
from weir.schemas import is_registered, register_schema

MAX_NODES, MAX_DEPTH, MAX_SCHEMA_CHARS, MAX_ENUM, MAX_PATTERN_STEPS = 500, 20, 60_000, 1_000, 5_000
_SAYS_NOTHING = frozenset({
    "title", "description", "default", "examples", "$schema", "$id", "$comment", "deprecated", "readOnly", "writeOnly",
    "format", "strict", "propertyOrdering",
})  # fmt: skip
_TEXTS = frozenset({"title", "description", "format", "$schema", "$id", "$comment"})
_BY_TYPE = {
    "string": frozenset({"minLength", "maxLength", "pattern"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "boolean": frozenset(),
    "null": frozenset(),
}


class SchemaRefused(CallerError, ValueError):
    """A schema says what cannot be held here; `pointer` is the place in it."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer[:1_000] or '/'}: {detail}")
        self.pointer = pointer[:1_000]
        self.detail = detail


def compiled(name: str, schema: Mapping[str, Any]) -> str:
    """The name by which a schema, compiled when it first comes, is asked for. Raises SchemaRefused."""
    # Members in their order, in which the model writes them.
    text = json.dumps(schema, separators=(",", ":"))
    if len(text) > MAX_SCHEMA_CHARS:
        raise SchemaRefused("", f"expected at most {MAX_SCHEMA_CHARS} characters, got {len(text)}")
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)[:40] or "document"
    digest = sha256(text.encode()).hexdigest()[:12]
    own = f"{plain}~{digest}"
    if not is_registered(own):
        compiler = _Compiler(schema, f"of_{plain}_{digest}")
        register_schema(own, compiler.model(), compiler.parts)
    return own


def compile_schema(prefix: str, schema: Mapping[str, Any]) -> type[BaseModel]:
    """The schema's model; `prefix` begins the names of its classes. Raises SchemaRefused."""
    return _Compiler(schema, prefix).model()


class _Tagged(NamedTuple):
    """Lets the member `name` choose among models: each has values of its own."""

    name: str
    values: tuple[tuple[str, ...], ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        models = [handler.generate_schema(one) for one in get_args(source)]
        choices = {
            value: model for model, values in zip(models, self.values, strict=True) for value in values
        }
        return core_schema.tagged_union_schema(choices, self.name)


class _Compiler:
    def __init__(self, schema: Mapping[str, Any], prefix: str) -> None:
        self._models: dict[str, Any] = {}
        self._schema = schema
        self._prefix = prefix
        self._nodes = 0
        self._steps = 0  # of all patterns
        self._made: dict[str, str] = {}

    @property
    def parts(self) -> int:
        """How much of it there is to keep."""
        return self._nodes + self._steps

    def model(self) -> type[BaseModel]:
        """The schema's model. Raises SchemaRefused."""
        model = self._root()
        try:
            model.model_rebuild(_types_namespace=self._models)
            model.__pydantic_core_schema__  # noqa: B018 - what Pydantic does not take is found here
        except (SchemaError, PydanticUserError) as error:
            raise SchemaRefused(
                "", f"expected a schema that Pydantic takes, got {str(error)[-200:]}"
            ) from error
        # As the provider is told: the caller's own words, and not what Pydantic would make of them. mypy takes a method
        # for fixed; of a class that was made a line ago nobody has seen another one.
        text = json.dumps(self._schema)
        model.model_json_schema = classmethod(lambda cls, *_, **__: json.loads(text))  # type: ignore[assignment,method-assign]
        return model

    def _root(self) -> type[BaseModel]:
        schema, pointer = self._schema, ""
        while isinstance(schema.get("$ref"), str):
            self._only(_said(schema, pointer), {"$ref"}, pointer)
            schema, pointer = self._target(schema["$ref"], pointer)
            if pointer in self._made:
                raise SchemaRefused(pointer, "expected an object, got a reference to itself")
            self._made[pointer] = ""
        if schema.get("type") != "object":
            raise SchemaRefused(
                f"{pointer}/type", f"expected object at the root, got {schema.get('type')!r:.40}"
            )
        self._made.clear()
        name = self._object(schema, pointer, 0)
        model: type[BaseModel] = self._models[name]
        return model

    def _type(self, schema: object, pointer: str, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise SchemaRefused(
                pointer, f"expected at most {MAX_NODES} parts and {MAX_DEPTH} levels, got more"
            )
        if not isinstance(schema, Mapping):
            raise SchemaRefused(pointer, f"expected a schema, got {type(schema).__name__}")
        said = _said(schema, pointer)
        if "$ref" in said:
            self._only(said, {"$ref"}, pointer)
            target, where = self._target(schema["$ref"], pointer)
            if target.get("type") == "object" and "enum" not in target:
                return self._object(target, where, depth + 1)
            return self._type(target, where, depth + 1)
        if "anyOf" in said:
            self._only(said, {"anyOf"}, pointer)
            parts = schema["anyOf"]
            if not isinstance(parts, list) or not parts:
                raise SchemaRefused(f"{pointer}/anyOf", "expected a list of schemas")
            kinds = [self._type(part, f"{pointer}/anyOf/{n}", depth + 1) for n, part in enumerate(parts)]
            return self._union(parts, kinds, f"{pointer}/anyOf")
        if "enum" in said or "const" in said:
            word = "const" if "const" in said else "enum"
            self._only(said, {word, "type"}, pointer)
            values = [schema[word]] if word == "const" else schema[word]
            return self._enum(values, schema.get("type"), pointer, f"{pointer}/{word}")
        kinds_named = schema.get("type")
        if isinstance(kinds_named, list):
            self._check_types(kinds_named, pointer)
            of_each = [
                {key: value for key, value in schema.items() if key == "type" or key in _BY_TYPE[one]}
                | {"type": one}
                for one in kinds_named
            ]
            allowed = {"type"}.union(*(_BY_TYPE[one] for one in kinds_named))
            self._only(said, allowed, pointer)
            return Union[tuple(self._type(one, pointer, depth + 1) for one in of_each)]  # noqa: UP007  # of types that are known now
        if kinds_named is None:
            self._only(said, {"$ref", "anyOf", "const", "enum", "type"}, pointer)
        self._check_types([kinds_named], pointer)
        self._only(said, {"type", *_BY_TYPE[str(kinds_named)]}, pointer)
        return self._simple(str(kinds_named), schema, pointer, depth)

    def _union(self, parts: list[Any], kinds: list[Any], pointer: str) -> Any:
        """Choices; those that a constant tells apart are looked up by it, and not tried one after the other.

        Each choice that is tried and may hold the union itself would double the work with each level of a document.
        """
        resolved = [self._resolved(part) for part in parts]
        objects = [n for n, part in enumerate(resolved) if part.get("type") == "object"]
        tags = self._tags([resolved[n] for n in objects])
        tried = [n for n in range(len(parts)) if tags is None or n not in objects]
        holding = [n for n in range(len(parts)) if self._reaches(parts[n], parts)]
        for kind, other in (("object", "array"), ("array", "object")):
            alike = [n for n in holding if n in tried and resolved[n].get("type") != other]
            if len(alike) + (kind == "object" and any(n not in tried for n in holding)) > 1:
                detail = (
                    "expected choices that a required constant tells apart, where several may hold the same"
                )
                raise SchemaRefused(pointer, detail)
        choices = [kinds[n] for n in tried]
        if tags is not None:
            one_of: Any = Union[tuple(kinds[n] for n in objects)]  # noqa: UP007  # of a list whose length is not known
            choices.insert(0, Annotated[one_of, tags])
        return Union[tuple(choices)]  # noqa: UP007  # of types that are known now - of a list whose length is not known

    def _resolved(self, schema: Any) -> Mapping[str, Any]:
        seen = 0
        while isinstance(schema, Mapping) and "$ref" in schema and (seen := seen + 1) <= MAX_DEPTH:
            schema = self._target(schema["$ref"], "")[0]
        return schema if isinstance(schema, Mapping) else {}

    @staticmethod
    def _tags(objects: list[Mapping[str, Any]]) -> "_Tagged | None":
        """The constants by which objects are told apart: of a member that all require, texts, each once."""
        if len(objects) < 2:
            return None
        for name in objects[0].get("required", ()):
            if not all(name in one.get("required", ()) for one in objects):
                continue
            members = [one["properties"][name] for one in objects]
            values = [_constants(member) for member in members]
            told = [value for each in values for value in each]
            if all(values) and all(isinstance(value, str) for value in told) and len({*told}) == len(told):
                return _Tagged(name, tuple(map(tuple, values)))
        return None

    def _reaches(self, schema: Any, wanted: list[Any]) -> bool:
        """Whether a schema holds the union of these choices, in whatever depth."""
        seen: set[int] = set()
        left = [schema]
        while left:
            here = left.pop()
            if here is wanted:
                return True
            if not isinstance(here, Mapping | list) or id(here) in seen:
                continue
            seen.add(id(here))
            if isinstance(here, Mapping) and "$ref" in here:
                left.append(self._target(here["$ref"], "")[0])
            left += here.values() if isinstance(here, Mapping) else here
        return False

    def _simple(self, kind: str, schema: Mapping[str, Any], pointer: str, depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, pointer, depth)
            case "array":
                if "items" not in schema:
                    raise SchemaRefused(f"{pointer}/items", "expected a schema of the elements, got none")
                items: Any = self._type(schema["items"], f"{pointer}/items", depth + 1)
                return Annotated[
                    list[items],
                    Field(
                        min_length=_count(schema, "minItems", pointer),
                        max_length=_count(schema, "maxItems", pointer),
                    ),
                ]
            case "string":
                return Annotated[
                    StrictStr,
                    Field(
                        min_length=_count(schema, "minLength", pointer),
                        max_length=_count(schema, "maxLength", pointer),
                        pattern=self._pattern(schema["pattern"], f"{pointer}/pattern")
                        if "pattern" in schema
                        else None,
                    ),
                ]
            case "boolean":
                return StrictBool
            case "null":
                return None
        number: Any = (
            StrictInt | Annotated[StrictFloat, AfterValidator(_whole)]
            if kind == "integer"
            else StrictInt | StrictFloat
        )
        bounds = {name: schema[name] for name in sorted(_BY_TYPE["number"]) if name in schema}
        for name, bound in bounds.items():
            if not _is(bound, "number") or bound in (inf, -inf) or (name == "multipleOf" and bound <= 0):
                raise SchemaRefused(
                    f"{pointer}/{name}", f"expected a number that it can be, got {bound!r:.40}"
                )
        return Annotated[number, AfterValidator(_bounded(bounds))] if bounds else number

    def _object(self, schema: Mapping[str, Any], pointer: str, depth: int) -> str:
        if pointer in self._made:
            return self._made[pointer]
        self._only(_said(schema, pointer), {"type", *_BY_TYPE["object"]}, pointer)
        name = self._made[pointer] = f"{self._prefix}_{len(self._made)}"
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            raise SchemaRefused(pointer, "expected properties by name, and a list of those that are required")
        if unknown := [key for key in required if not isinstance(key, str) or key not in properties]:
            raise SchemaRefused(
                f"{pointer}/required", f"expected declared properties, got {unknown[0]!r:.60}"
            )
        more = schema.get("additionalProperties", True)
        if not isinstance(more, bool):
            raise SchemaRefused(f"{pointer}/additionalProperties", "expected true or false, got a schema")
        fields: dict[str, Any] = {}
        for number, (key, part) in enumerate(properties.items()):
            if not key:
                raise SchemaRefused(f"{pointer}/properties", "expected names, got an empty one")
            kind = self._type(part, f"{pointer}/properties/{_token(key)}", depth + 1)
            if key in required:
                fields[f"f{number}"] = (kind, Field(..., alias=key))
            else:  # a member that did not come is in no document that is given back, not as null either
                fields[f"f{number}"] = (Union[kind, MISSING], Field(MISSING, alias=key))  # noqa: UP007  # a name, maybe
        config = ConfigDict(
            extra="allow" if more else "forbid",
            defer_build=True,
            protected_namespaces=(),
            allow_inf_nan=False,  # of 1e999 nothing is left that could be given back
        )
        self._models[name] = create_model(name, __config__=config, **fields)
        return name

    def _enum(self, values: object, kind: object, pointer: str, where: str) -> Any:
        if not isinstance(values, list) or not 0 < len(values) <= MAX_ENUM:
            raise SchemaRefused(where, f"expected a list of 1 to {MAX_ENUM} values")
        if not all(value is None or isinstance(value, str | bool | int | float) for value in values):
            raise SchemaRefused(where, "expected strings, numbers, booleans or null")
        if kind is not None:
            named: list[Any] = kind if isinstance(kind, list) else [kind]
            self._check_types(named, pointer)
            if not all(any(_is(value, one) for one in named) for value in values):
                raise SchemaRefused(where, f"expected values of type {kind!r:.60}")
        # A Literal takes 1, 1.0 and true for one another; in JSON Schema 1 is 1.0, and true is neither.
        kinds: list[Any] = [None] if None in values else []
        if texts := [value for value in values if isinstance(value, str)]:
            kinds.append(Literal[tuple(texts)])
        if truths := [value for value in values if isinstance(value, bool)]:
            kinds.append(Annotated[StrictBool, AfterValidator(_one_of(truths))])
        if numbers := [value for value in values if _is(value, "number")]:
            kinds.append(Annotated[StrictInt | StrictFloat, AfterValidator(_one_of(numbers))])
        return Union[tuple(kinds)]  # noqa: UP007  # of types that are known now

    def _target(self, reference: object, pointer: str) -> tuple[Mapping[str, Any], str]:
        if reference == "#":
            return self._schema, ""
        found = re.fullmatch(r"#/(\$defs|definitions)/([^/]+)", str(reference))
        key = unquote(found[2]).replace("~1", "/").replace("~0", "~") if found else ""
        definitions = self._schema.get(found[1]) if found else None
        target = definitions.get(key) if isinstance(definitions, Mapping) else None
        if not isinstance(target, Mapping):
            raise SchemaRefused(
                f"{pointer}/$ref", f"expected a reference into $defs, got {str(reference)[:60]!r}"
            )
        return target, f"/{found[1] if found else ''}/{_token(key)}"

    def _check_types(self, kinds: list[Any], pointer: str) -> None:
        for kind in kinds or [None]:
            if not isinstance(kind, str) or kind not in _BY_TYPE:
                raise SchemaRefused(
                    f"{pointer}/type", f"expected one of {sorted(_BY_TYPE)}, got {kind!r:.40}"
                )

    def _pattern(self, pattern: object, pointer: str) -> str:
        if not isinstance(pattern, str):
            raise SchemaRefused(pointer, f"expected a pattern, got {pattern!r:.40}")
        try:
            self._steps += pattern_steps(pattern)
            if self._steps > MAX_PATTERN_STEPS:
                detail = f"expected at most {MAX_PATTERN_STEPS} steps in all patterns, got {self._steps}"
                raise SchemaRefused(pointer, f"{detail}; a length is said by maxLength")
            check_pattern(pattern)
        except PatternRefused as error:
            raise SchemaRefused(pointer, str(error)) from None
        return pattern

    def _only(self, said: set[str], allowed: set[str], pointer: str) -> None:
        if more := sorted(said - allowed):
            raise SchemaRefused(
                f"{pointer}/{_token(more[0])}", f"expected one of {sorted(allowed)}, got {more[0]!r:.60}"
            )


def _said(schema: Mapping[str, Any], pointer: str) -> set[str]:
    """The keywords of a schema that say something. Raises SchemaRefused where one that says nothing is no text."""
    for name in _TEXTS & schema.keys():
        if not isinstance(schema[name], str | None):
            raise SchemaRefused(f"{pointer}/{name}", f"expected text, got {schema[name]!r:.40}")
    return {key for key in schema if key not in _SAYS_NOTHING and key not in ("$defs", "definitions")}


def _token(key: object) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


def _constants(schema: Any) -> list[Any]:
    """What a value must be one of; none where nothing says so."""
    if not isinstance(schema, Mapping):
        return []
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return values if isinstance(values, list) else []


def _count(schema: Mapping[str, Any], name: str, pointer: str) -> int | None:
    if name not in schema:
        return None
    value = schema[name]
    if not _is(value, "integer") or value < 0:
        raise SchemaRefused(f"{pointer}/{name}", f"expected a whole number from 0 on, got {value!r:.40}")
    return min(int(value), 2**62)  # nothing is that long, and Pydantic counts no further


def _is(value: object, kind: str) -> bool:
    return {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": (isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(value, float) and value.is_integer()),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "null": value is None,
    }.get(kind, False)


def _whole(value: float) -> float:
    if not value.is_integer():
        raise PydanticCustomError("int_from_float", "Input should be a whole number")
    return value


def _one_of(values: list[Any]) -> Any:
    def check(value: Any) -> Any:
        if value not in values:
            raise PydanticCustomError("enum", f"Input should be one of {values!r:.200}")
        return value

    return check


def _bounded(bounds: Mapping[str, float]) -> Any:
    def check(value: float) -> float:
        for name, bound in bounds.items():
            held = {
                "minimum": value >= bound,
                "maximum": value <= bound,
                "exclusiveMinimum": value > bound,
                "exclusiveMaximum": value < bound,
            }.get(name)
            if held is None:
                held = _multiple(value, bound)
            if not held:
                raise PydanticCustomError("bound", f"Input should hold {name} {bound}")
        return value

    return check


def _multiple(value: float, of: float) -> bool:
    if value in (inf, -inf):
        return False
    try:
        quotient: float = value / of if isinstance(of, float) else 0.5 * bool(value % of)
        return quotient == int(quotient)
    except OverflowError:  # of one of them, or of the quotient, there is no float
        return (Fraction(value) / Fraction(of)).denominator == 1
