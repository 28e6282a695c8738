"""JSON Schemas for the simulator's tests: the product's own, and shapes that it does not have."""

from typing import Any

from tests.response_format import response_format

BLOG_POST: dict[str, Any] = response_format("blog_post")

ODD_SHAPES: dict[str, dict[str, Any]] = {
    "bounds": {
        "type": "object",
        "additionalProperties": False,
        "required": ["count", "ratio", "even", "code", "short", "long", "kind", "fixed", "flag", "nothing"],
        "properties": {
            "count": {"type": "integer", "minimum": 3, "exclusiveMaximum": 5},
            "ratio": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "even": {"type": "integer", "multipleOf": 2, "minimum": 7, "maximum": 11},
            "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3,5}$"},
            "short": {"type": "string", "maxLength": 12},
            "long": {"type": "string", "minLength": 400},
            "kind": {"enum": ["a", "b", 3]},
            "fixed": {"const": {"v": 1}},
            "flag": {"type": "boolean"},
            "nothing": {"type": "null"},
        },
    },
    "formats": {
        "type": "object",
        "required": ["email", "site", "day", "at", "key", "ip", "host"],
        "properties": {
            "email": {"type": "string", "format": "email"},
            "site": {"type": "string", "format": "uri"},
            "day": {"type": "string", "format": "date"},
            "at": {"type": "string", "format": "date-time"},
            "key": {"type": "string", "format": "uuid"},
            "ip": {"type": "string", "format": "ipv4"},
            "host": {"type": "string", "format": "hostname"},
        },
    },
    "recursive": {
        "$ref": "#/$defs/Node",
        "$defs": {
            "Node": {
                "type": "object",
                "additionalProperties": False,
                "required": ["label", "next", "children"],
                "properties": {
                    "label": {"type": "string"},
                    "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                    "children": {
                        "type": "array",
                        "items": {"$ref": "#/$defs/Leaf"},
                        "minItems": 2,
                        "maxItems": 2,
                    },
                },
            },
            "Leaf": {
                "type": "object",
                "additionalProperties": False,
                "required": ["size"],
                "properties": {"size": {"type": ["number", "null"]}},
            },
        },
    },
    "tuples": {
        "type": "object",
        "required": ["pair", "set", "merged"],
        "properties": {
            "pair": {
                "type": "array",
                "prefixItems": [{"type": "string"}, {"type": "integer"}],
                "items": False,
            },
            "set": {"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": True, "maxItems": 2},
            "merged": {"allOf": [{"type": "string"}, {"minLength": 5}]},
        },
    },
}


def strict_format(schema: dict[str, Any]) -> dict[str, Any]:
    """The response format that asks for `schema` strictly."""
    return {"type": "json_schema", "json_schema": {"name": "odd", "strict": True, "schema": schema}}
