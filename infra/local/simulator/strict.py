"""The rules of each provider's structured output, OpenAI's with the wording of its API.

A schema that the real endpoint would refuse is refused here, so that it is found on a laptop.
https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from collections.abc import Mapping
from typing import Any

from .schema_subsets import objections

_NOT_PERMITTED = (
    "oneOf", "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties",
    "propertyNames", "minProperties", "maxProperties", "uniqueItems", "contains", "unevaluatedItems",
    "unevaluatedProperties", "minLength", "maxLength",
)  # fmt: skip
_MAX_DEPTH = 64


def objection(rules: str, schema: dict[str, Any], name: str) -> str | None:
    """Why a provider with these rules refuses a schema; None when it is accepted."""
    if rules == "openai":
        return _openai(schema, name)
    found = objections(rules, schema)
    return f"output_config.format.schema: Invalid schema: {'; '.join(found[:3])}" if found else None


def _openai(schema: Mapping[str, Any], name: str) -> str | None:
    if schema.get("type") != "object":
        kind = schema.get("type")
        return (
            f"Invalid schema for response_format '{name}': "
            f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
        )
    problem = _problem(schema, (), 0)
    return f"Invalid schema for response_format '{name}': {problem}" if problem else None


def _problem(schema: Any, context: tuple[str, ...], depth: int) -> str | None:
    where = "In context=" + (str(context) if context else "()")
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return f"{where}, schema must be an object nested at most {_MAX_DEPTH} deep."
    for keyword in _NOT_PERMITTED:
        if keyword in schema:
            return f"{where}, '{keyword}' is not permitted."
    if "$ref" in schema and len(schema) > 1:
        others = sorted(set(schema) - {"$ref", "$defs"})
        if others:
            return f"{where}, $ref cannot have keywords {set(others)}."
    if "default" in schema:
        return f"{where}, 'default' is not permitted."
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            return f"{where}, 'additionalProperties' is required to be supplied and to be false."
        missing = [key for key in properties if key not in schema.get("required", ())]
        if missing:
            return (
                f"{where}, 'required' is required to be supplied and to be an array including every key in "
                f"properties. Missing '{missing[0]}'."
            )
    return _nested(schema, context, depth)


def _nested(schema: Mapping[str, Any], context: tuple[str, ...], depth: int) -> str | None:
    children: list[tuple[tuple[str, ...], Any]] = []
    for group in ("properties", "$defs"):
        children += [((*context, group, key), value) for key, value in schema.get(group, {}).items()]
    children += [((*context, "anyOf", str(i)), value) for i, value in enumerate(schema.get("anyOf", ()))]
    children += [
        ((*context, "prefixItems", str(i)), value) for i, value in enumerate(schema.get("prefixItems", ()))
    ]
    if isinstance(schema.get("items"), Mapping):
        children.append(((*context, "items"), schema["items"]))
    return next((found for path, child in children if (found := _problem(child, path, depth + 1))), None)
