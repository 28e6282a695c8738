"""A Pydantic model's JSON Schema in the subset that a provider takes, or the name of the field that it cannot take.

One transformation; what differs between providers is a `Dialect`, that is data. Three rules hold for all of them:

- What is sent may be wider than the model, and of its named fields never narrower: the finished text is validated by
  the model itself.
- A keyword that a provider refuses goes into the description ("minLength=1"): a hint is worth more than nothing.
- What no wider schema of the subset can say (a dict where objects must be closed, Any, recursion where none is
  allowed) is refused here, with the field's name, and so before the first request.

Under strict modes every property is required. A field that has a default and whose own type has no null is sent as
"this type, or null", and null then reads as absent (weir.generate.null_as_absent): the model is not made to invent,
and the caller not to pay for, a value where there is a default.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from weir.providers.profiles import SchemaNotExpressible

type Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of it a provider takes; None is no limit that is known."""

    properties: int | None = None
    depth: int | None = None
    name_chars: int | None = None
    enum_values: int | None = None
    optional: int | None = None
    unions: int | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """The subset of JSON Schema that one mode of a provider takes.

    `keywords` are the validation keywords that stay, beside the structure. `closed` objects forbid other properties;
    with `all_required` none is optional. `root_object` wants an object, and no union, at the root.
    """

    name: str
    keywords: frozenset[str]
    formats: frozenset[str] = frozenset()
    closed: bool = True
    all_required: bool = False
    root_object: bool = True
    recursion: Literal["any", "optional", "none"] = "any"
    references: bool = True
    untyped: bool = False
    constants: bool = True
    tuples: bool = False
    many_min_items: bool = True
    ordered: bool = False
    limits: Limits = Limits()


_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})

OPENAI = Dialect(
    "OpenAI's strict mode",
    _NUMBERS | {"pattern", "format", "minItems", "maxItems"},
    _FORMATS,
    all_required=True,
    limits=Limits(properties=5_000, depth=10, name_chars=120_000, enum_values=1_000),
)
ANTHROPIC = Dialect(
    "Anthropic's structured output",
    frozenset({"pattern", "format", "minItems"}),
    _FORMATS | {"uri"},
    recursion="none",
    many_min_items=False,
    limits=Limits(optional=24, unions=16),
)
BEDROCK = Dialect(
    "Bedrock's structured output",
    frozenset({"pattern", "format", "minItems"}),
    _FORMATS | {"uri"},
    recursion="none",
    references=False,
    many_min_items=False,
    limits=Limits(optional=24, unions=16),
)
GEMINI = Dialect(
    "Gemini's responseJsonSchema",
    frozenset({"format", "minItems", "maxItems", "minimum", "maximum"}),
    frozenset({"date-time", "date", "time", "duration", "uuid", "email", "uri", "ipv4", "ipv6", "hostname"}),
    closed=False,
    root_object=False,
    recursion="optional",
    constants=False,
    tuples=True,
    ordered=True,
)
# A grammar made by the server itself (llama.cpp, Ollama, vLLM), or a tool without a strict mode: any JSON Schema.
ANY = Dialect(
    "a JSON Schema",
    _NUMBERS
    | {"pattern", "format", "minItems", "maxItems", "minLength", "maxLength", "uniqueItems", "contains"}
    | {"minProperties", "maxProperties", "patternProperties", "propertyNames", "not", "default"},
    _FORMATS | {"uri", "binary", "base64", "regex", "json-string", "path"},
    closed=False,
    root_object=False,
    untyped=True,
    tuples=True,
)
TOOL = Dialect(**{name: getattr(ANY, name) for name in Dialect.__dataclass_fields__} | {"root_object": True})

DIALECTS: Mapping[str, Dialect] = {
    "openai": OPENAI, "anthropic": ANTHROPIC, "bedrock": BEDROCK, "gemini": GEMINI, "any": ANY, "tool": TOOL,
}  # fmt: skip

# Said by the schema's maker to people or to other tools.
_DROPPED = {
    "title", "$schema", "$id", "$anchor", "$comment", "discriminator", "examples", "example", "default", "deprecated",
    "readOnly", "writeOnly", "contentMediaType", "contentEncoding", "contentSchema",
}  # fmt: skip
_HINTED = _NUMBERS | {
    "pattern", "format", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "contains", "minContains",
    "maxContains", "minProperties", "maxProperties", "patternProperties", "propertyNames", "not", "if", "then", "else",
    "dependentRequired", "dependentSchemas", "unevaluatedItems", "unevaluatedProperties",
}  # fmt: skip
_BEYOND_GRAMMARS = re.compile(r"\(\?|\\[bB1-9]")  # lookaround, flags, backreferences, word boundaries
_MAX_HINT_CHARS = 200


def adapt_schema(schema: Schema, dialect: Dialect) -> Schema:
    """The form of `schema` (from `model_json_schema`) that `dialect` takes.

    Raises:
        SchemaNotExpressible: names the field, and what is taken.
    """
    adapted = _Adapter(schema, dialect).adapt()
    _count(adapted, dialect)
    return adapted


def null_is_absent(node: Schema, name: str, definitions: Mapping[str, Schema]) -> bool:
    """Whether the property `name` of object `node` has a default, and no null of its own."""
    return name not in node.get("required", ()) and not _takes_null(node["properties"][name], definitions)


def has_absent(schema: Schema) -> bool:
    """Whether any object of a schema has a property whose null would mean that it is absent."""
    definitions = schema.get("$defs", {})
    return any(
        null_is_absent(node, name, definitions)
        for node in _nodes(schema)
        for name in node.get("properties", {})
    )


def resolve(node: Any, definitions: Mapping[str, Schema]) -> Any:
    """The schema that a `$ref` stands for."""
    seen = 0
    while isinstance(node, dict) and isinstance(reference := node.get("$ref"), str) and seen < 100:
        node = definitions.get(_name(reference), {})
        seen += 1
    return node


def alternatives(node: Schema) -> list[Schema] | None:
    """The members of a union, None where it is none."""
    for keyword in ("anyOf", "oneOf"):
        if isinstance(members := node.get(keyword), list):
            return members
    return None


def _name(reference: str) -> str:
    return reference.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")


def _takes_null(node: Schema, definitions: Mapping[str, Schema], depth: int = 0) -> bool:
    node = resolve(node, definitions)
    if not isinstance(node, dict) or depth > 20:
        return True
    if (members := alternatives(node)) is not None:
        return any(_takes_null(member, definitions, depth + 1) for member in members)
    if isinstance(parts := node.get("allOf"), list):
        return all(_takes_null(part, definitions, depth + 1) for part in parts)
    if "const" in node:
        return node["const"] is None
    if "enum" in node:
        return None in node["enum"]
    kind = node.get("type")
    return kind is None or kind == "null" or (isinstance(kind, list) and "null" in kind)


class _Adapter:
    def __init__(self, schema: Schema, dialect: Dialect) -> None:
        self.dialect = dialect
        self.definitions: dict[str, Schema] = schema.get("$defs", {})
        self.root = {key: value for key, value in schema.items() if key != "$defs"}
        # A recursive root is given as a reference to itself: it stands at the root, and "#" is its name.
        self.root_name = _name(self.root["$ref"]) if "$ref" in self.root else None
        self.kept: dict[str, Schema] = {}
        self.within: list[str] = []  # definitions that are being adapted
        self.optional: list[bool] = []  # of the properties on the way here

    def adapt(self) -> Schema:
        root = self.root
        if self.root_name is not None:
            root = self.definitions.get(self.root_name, {})
            self.within.append(self.root_name)
        union = alternatives(root) is not None
        if self.dialect.root_object and (union or root.get("type") != "object"):
            raise self._refused("", "an object at the root, no list, scalar or union")
        adapted = self._node(root, "")
        if self.kept:
            adapted["$defs"] = self.kept
        return adapted

    def _refused(self, field: str, expected: str) -> SchemaNotExpressible:
        return SchemaNotExpressible(field, self.dialect.name, expected)

    def _node(self, node: Any, field: str) -> Schema:
        if node is True or node == {} or not isinstance(node, dict):
            if self.dialect.untyped:
                return {}
            raise self._refused(field, "a type for every value, not Any")
        if "$ref" in node:
            return self._reference(node, field)
        if isinstance(parts := node.get("allOf"), list):
            if len(parts) != 1:
                raise self._refused(field, "one schema in allOf")
            rest = {key: value for key, value in node.items() if key != "allOf"}
            return self._node({**resolve(parts[0], self.definitions), **rest}, field)
        adapted: Schema = {}
        if (members := alternatives(node)) is not None:
            adapted["anyOf"] = [self._node(member, field) for member in members]
        elif "const" in node:
            adapted.update(_typed(node, [node["const"]]))
            if self.dialect.constants:
                adapted["const"] = node["const"]
            else:
                adapted["enum"] = [node["const"]]
        elif "enum" in node:
            adapted.update(_typed(node, node["enum"]))
            adapted["enum"] = list(node["enum"])
        elif node.get("type") == "object" or "properties" in node:
            adapted.update(self._object(node, field))
        elif node.get("type") == "array":
            adapted.update(self._array(node, field))
        elif "type" in node:
            adapted["type"] = node["type"]
        elif not self.dialect.untyped:
            raise self._refused(field, "a type for every value, not Any")
        self._keywords(node, adapted)
        return adapted

    def _reference(self, node: Schema, field: str) -> Schema:
        name = _name(node["$ref"])
        if name not in self.definitions:
            raise self._refused(field, f"references to its own $defs, not {node['$ref']!r}")
        recursive = name in self.within
        if recursive and self.dialect.recursion == "none":
            raise self._refused(field, f"no recursion: {name} holds itself")
        if recursive and self.dialect.recursion == "optional" and not any(self.optional):
            raise self._refused(field, f"recursion through a field that may be left out: {name} holds itself")
        if not (self.dialect.references or recursive):
            adapted = self._definition(name, field)
            if description := node.get("description"):
                adapted["description"] = description
            return adapted
        if name == self.root_name:
            reference: Schema = {"$ref": "#"}
        else:
            reference = {"$ref": f"#/$defs/{name}"}
            if name not in self.kept and not recursive:
                self.kept[name] = self._definition(name, field)
        if description := node.get("description"):
            return {"anyOf": [reference], "description": description}  # nothing may stand beside a $ref
        return reference

    def _definition(self, name: str, field: str) -> Schema:
        self.within.append(name)
        try:
            return self._node(self.definitions[name], field)
        finally:
            self.within.pop()

    def _object(self, node: Schema, field: str) -> Schema:
        properties: dict[str, Schema] = node.get("properties", {})
        others = node.get("additionalProperties", True)
        if (not properties and others is not False) or "patternProperties" in node:
            if self.dialect.closed:
                raise self._refused(field, "objects of named fields, not a dict")
            adapted: Schema = {"type": "object"}
            if others is not True:
                adapted["additionalProperties"] = self._node(others, f"{field}/*") if others else False
            return adapted
        adapted = {"type": "object", "properties": {}}
        required = [name for name in dict.fromkeys(node.get("required", ())) if name in properties]
        for name, value in properties.items():
            at = f"{field}/{name.replace('~', '~0').replace('/', '~1')}"
            self.optional.append(name not in required)
            try:
                sent = self._node(value, at)
            except SchemaNotExpressible as error:
                # A field that closes a cycle may be left out where the provider wants that, required or not.
                if self.dialect.recursion != "optional" or not error.expected.startswith("recursion"):
                    raise
                self.optional[-1] = True
                sent = self._node(value, at)
                required.remove(name)
            finally:
                self.optional.pop()
            if self.dialect.all_required and null_is_absent(node, name, self.definitions):
                description = sent.pop("description", None)
                sent = {"anyOf": [*(sent["anyOf"] if set(sent) == {"anyOf"} else [sent]), {"type": "null"}]}
                if description:
                    sent["description"] = description
            adapted["properties"][name] = sent
        adapted["required"] = list(properties) if self.dialect.all_required else required
        if self.dialect.closed:
            adapted["additionalProperties"] = False
        elif isinstance(others, dict):
            adapted["additionalProperties"] = self._node(others, f"{field}/*")
        elif others is False:
            adapted["additionalProperties"] = False
        if self.dialect.ordered:
            adapted["propertyOrdering"] = list(properties)
        return adapted

    def _array(self, node: Schema, field: str) -> Schema:
        adapted: Schema = {"type": "array"}
        prefix = node.get("prefixItems")
        if isinstance(prefix, list) and prefix:
            members = [self._node(item, f"{field}/{index}") for index, item in enumerate(prefix)]
            if self.dialect.tuples:
                adapted["prefixItems"] = members
                if isinstance(rest := node.get("items"), dict):
                    adapted["items"] = self._node(rest, f"{field}/*")
                return adapted
            # Wider than a tuple: each element may be what any of them may be.
            if isinstance(rest := node.get("items"), dict):
                members.append(self._node(rest, f"{field}/*"))
            distinct = [item for at, item in enumerate(members) if item not in members[:at]]
            adapted["items"] = distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
            return adapted
        if node.get("items") is False or node.get("maxItems") == 0:
            items: Schema = {"type": "null"}  # none will come
        else:
            items = self._node(node.get("items", {}), f"{field}/*")
        if items or not self.dialect.untyped:
            adapted["items"] = items
        return adapted

    def _keywords(self, node: Schema, adapted: Schema) -> None:
        hints: list[str] = []
        for keyword, value in node.items():
            if keyword in _HINTED:
                if self._takes(keyword, value):
                    adapted[keyword] = value
                else:
                    said = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
                    hints.append(f"{keyword}={said[:_MAX_HINT_CHARS]}")
            elif keyword == "default" and "default" in self.dialect.keywords:
                adapted[keyword] = value
        description = " ".join(
            [
                *([node["description"]] if node.get("description") else []),
                *([", ".join(hints)] if hints else []),
            ]
        )
        if description:
            adapted["description"] = description

    def _takes(self, keyword: str, value: Any) -> bool:
        if keyword not in self.dialect.keywords:
            return False
        if keyword == "format":
            return value in self.dialect.formats
        if keyword == "pattern":
            return self.dialect.untyped or not _BEYOND_GRAMMARS.search(value)
        if keyword == "minItems":
            return self.dialect.many_min_items or value in (0, 1)
        return True


_JSON_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (type(None), "null"),
)  # fmt: skip


def _typed(node: Schema, values: list[Any]) -> Schema:
    """The type of constants, said by the schema or read off them: a strict mode wants one."""
    if "type" in node:
        return {"type": node["type"]}
    kinds = list(
        dict.fromkeys(next(name for kind, name in _JSON_TYPES if isinstance(value, kind)) for value in values)
    )
    return {"type": kinds[0] if len(kinds) == 1 else kinds}


def _count(schema: Schema, dialect: Dialect) -> None:
    """Hold the limits, each over the whole schema; every definition counts once."""
    limits = dialect.limits
    properties = chars = enums = optional = unions = 0
    for node in _nodes(schema):
        names = node.get("properties", {})
        properties += len(names)
        chars += sum(map(len, names)) + sum(
            len(value) for value in node.get("enum", ()) if isinstance(value, str)
        )
        enums += len(node.get("enum", ()))
        optional += len(names) - len(node.get("required", ())) if names else 0
        unions += "anyOf" in node or isinstance(node.get("type"), list)
    chars += sum(map(len, schema.get("$defs", {})))
    depth = _depth(schema, schema.get("$defs", {}), ())
    for found, limit, what in (
        (properties, limits.properties, "properties"),
        (depth, limits.depth, "levels of objects"),
        (chars, limits.name_chars, "characters of names and enum values"),
        (enums, limits.enum_values, "enum values"),
        (optional, limits.optional, "optional fields"),
        (unions, limits.unions, "fields of a union type"),
    ):
        if limit is not None and found > limit:
            raise SchemaNotExpressible("", dialect.name, f"at most {limit} {what}, got {found}")


def _nodes(node: Any) -> Iterator[Schema]:
    if not isinstance(node, dict):
        return
    yield node
    for names in ("properties", "$defs"):
        for child in node.get(names, {}).values():
            yield from _nodes(child)
    for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for child in node.get(keyword, ()):
            yield from _nodes(child)
    for keyword in ("items", "additionalProperties"):
        yield from _nodes(node.get(keyword))


def _depth(node: Any, definitions: Mapping[str, Schema], within: tuple[str, ...]) -> int:
    if not isinstance(node, dict):
        return 0
    if isinstance(reference := node.get("$ref"), str):
        name = _name(reference)
        if name in within or name not in definitions:
            return 0  # it goes as deep as the text does
        return _depth(definitions[name], definitions, (*within, name))
    children = [*node.get("anyOf", ()), *node.get("prefixItems", ()), node.get("items")]
    children += [node.get("additionalProperties"), *node.get("properties", {}).values()]
    below = max((_depth(child, definitions, within) for child in children), default=0)
    return below + (node.get("type") == "object")
