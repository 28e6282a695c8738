"""What each provider's schema subset refuses, written from its documentation and apart from the rules that build one.

`objections(dialect, schema)` lists what the provider would answer 400 to; an empty list is an accepted schema.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

type Node = dict[str, Any]

STRUCTURE = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "anyOf",
    "enum",
    "$ref",
    "$defs",
    "description",
}
OPENAI = STRUCTURE | {
    "const",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
}
CLAUDE = STRUCTURE | {"const", "pattern", "format", "minItems"}
GEMINI = STRUCTURE | {
    "$id", "$anchor", "format", "title", "prefixItems", "minItems", "maxItems", "minimum", "maximum", "oneOf",
    "propertyOrdering",
}  # fmt: skip
FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}


def objections(dialect: str, schema: Node) -> list[str]:
    """Everything that the provider would refuse, with its place."""
    return list(_RULES[dialect](schema))


def walk(node: Any, place: str = "#") -> Iterator[tuple[str, Node]]:
    """Every schema in a schema, with its place."""
    if not isinstance(node, dict):
        return
    yield place, node
    for names in ("properties", "$defs"):
        for name, child in node.get(names, {}).items():
            yield from walk(child, f"{place}/{names}/{name}")
    for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for at, child in enumerate(node.get(keyword, ())):
            yield from walk(child, f"{place}/{keyword}/{at}")
    for keyword in ("items", "additionalProperties", "not"):
        yield from walk(node.get(keyword), f"{place}/{keyword}")


def _keywords(schema: Node, allowed: set[str]) -> Iterator[str]:
    for place, node in walk(schema):
        for keyword in set(node) - allowed:
            yield f"{place}: keyword {keyword}"
        if "$ref" in node and set(node) - {"$ref", "$defs"}:
            yield f"{place}: siblings of $ref"
        if "$ref" in node:
            target = node["$ref"].removeprefix("#/$defs/")
            if node["$ref"] != "#" and target not in schema.get("$defs", {}):
                yield f"{place}: $ref to nothing"
        if node.get("type") == "array" and not (node.get("items") or node.get("prefixItems")):
            yield f"{place}: array without item type"
        if not ({"type", "anyOf", "oneOf", "$ref", "enum", "const"} & set(node)):
            yield f"{place}: no type"
        if re.search(r"\(\?[=!<]|\\[1-9]", str(node.get("pattern", ""))):
            yield f"{place}: lookaround or backreference"


def _closed(schema: Node, *, all_required: bool) -> Iterator[str]:
    for place, node in walk(schema):
        if node.get("type") == "object" or "properties" in node:
            if node.get("additionalProperties") is not False:
                yield f"{place}: additionalProperties is not false"
            if "properties" not in node:
                yield f"{place}: an object without properties"
            missing = set(node.get("properties", {})) - set(node.get("required", ()))
            if all_required and missing:
                yield f"{place}: optional {sorted(missing)}"
        if node.get("format", "date") not in FORMATS | (set() if all_required else {"uri"}):
            yield f"{place}: format {node['format']}"


def _openai(schema: Node) -> Iterator[str]:
    yield from _keywords(schema, OPENAI)
    yield from _closed(schema, all_required=True)
    if schema.get("type") != "object" or "anyOf" in schema:
        yield "#: the root is no object"
    nodes = [node for _, node in walk(schema)]
    if sum(len(node.get("properties", {})) for node in nodes) > 5_000:
        yield "#: more than 5,000 properties"
    if sum(len(node.get("enum", ())) for node in nodes) > 1_000:
        yield "#: more than 1,000 enum values"


def _claude(schema: Node) -> Iterator[str]:
    yield from _keywords(schema, CLAUDE)
    yield from _closed(schema, all_required=False)
    nodes = [node for _, node in walk(schema)]
    if any(node.get("minItems", 0) not in (0, 1) for node in nodes):
        yield "#: minItems above 1"
    if _cyclic(schema, lambda _node, _name: True):
        yield "#: recursion"
    if sum(len(node.get("properties", {})) - len(node.get("required", ())) for node in nodes) > 24:
        yield "#: more than 24 optional"
    if sum("anyOf" in node or isinstance(node.get("type"), list) for node in nodes) > 16:
        yield "#: more than 16 unions"


def _gemini(schema: Node) -> Iterator[str]:
    yield from _keywords(schema, GEMINI)
    if _cyclic(schema, lambda node, name: name is None or name in node.get("required", ())):
        yield "#: a cycle in required properties alone"


def _cyclic(schema: Node, follow: Callable[[Node, str | None], bool]) -> bool:
    """Whether references lead in a circle through the edges that `follow` takes; a property's edge has its name."""

    def visit(node: Any, within: frozenset[str]) -> bool:
        if not isinstance(node, dict):
            return False
        if "$ref" in node:
            target = node["$ref"]
            definition = (
                schema if target == "#" else schema.get("$defs", {}).get(target.removeprefix("#/$defs/"), {})
            )
            return target in within or visit(
                {k: v for k, v in definition.items() if k != "$defs"}, within | {target}
            )
        named = [child for name, child in node.get("properties", {}).items() if follow(node, name)]
        others = [*node.get("anyOf", ()), *node.get("prefixItems", ()), node.get("items")]
        others.append(node.get("additionalProperties"))
        return any(visit(child, within) for child in [*named, *(others if follow(node, None) else [])])

    roots = [("#", schema), *((f"#/$defs/{name}", node) for name, node in schema.get("$defs", {}).items())]
    return any(
        visit({k: v for k, v in node.items() if k != "$defs"}, frozenset({name})) for name, node in roots
    )


_RULES: dict[str, Callable[[Node], Iterator[str]]] = {
    "openai": _openai, "anthropic": _claude, "bedrock": _claude, "gemini": _gemini,
}  # fmt: skip
