"""Generated texts for a model: valid ones by its JSON Schema, then mutated as values and as text, and chopped."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from pydantic import BaseModel

STRINGS = (
    "",
    "a",
    "ab",
    "abc",
    "red",
    "cat",
    "robot",
    "2020-01-01",
    "2020-01-01T00:00:00Z",
    "YWJj",
    "[1, 2]",
    "12",
    "1.5",
    '"',
    "\\",
    '\\"',
    "}",
    "]",
    "{[",
    ",",
    "\n",
    "\x00",
    "\x7f",
    "é",
    "😀",
    "\u2028",
    "NaN",
    "Infinity",
    "a b ",
    "12345678-1234-5678-1234-567812345678",
    "bad",
    "x" * 40,
    "\ufeff",
)
NUMBERS = (
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "99",
    "100",
    "1.5",
    "-0.0",
    "1e5",
    "1E-7",
    "1e400",
    "9" * 25,
    "-" + "9" * 20,
    "0.1",
)
WRONG = (
    "01",
    "1.",
    "-",
    "tru",
    "nul",
    "NaN",
    "Infinity",
    "-Infinity",
    "+1",
    "'a'",
    "{,}",
    "[1 2]",
    "[1,]",
    '{"a" 1}',
    "]",
    "}",
)
KEYS = (
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    "d/e",
    "f~g",
    "é",
    "items",
    "x y",
    "😀",
    "z",
    "n",
    "x",
    "title",
    "Title",
)


class Raw(str):
    """Text that stands for itself in a document."""


def scalar(random: Random) -> Any:
    """Draw a scalar."""
    match random.randrange(6):
        case 0:
            return None
        case 1:
            return random.random() < 0.5
        case 2 | 3:
            return Raw(random.choice(NUMBERS))
        case _:
            return random.choice(STRINGS)


def anything(random: Random, depth: int = 0) -> Any:
    """Draw any value."""
    kind = random.randrange(8 if depth < 4 else 5)
    if kind < 5:
        return scalar(random)
    if kind == 5:
        return {random.choice(KEYS): anything(random, depth + 1) for _ in range(random.randrange(4))}
    return [anything(random, depth + 1) for _ in range(random.randrange(4))]


def fitting(random: Random, schema: dict[str, Any], defs: dict[str, Any], depth: int = 0) -> Any:
    """Draw a value that JSON Schema `schema` likely accepts."""
    if random.random() < 0.015:
        return anything(random, depth)
    while "$ref" in schema:
        schema = defs[schema["$ref"].rsplit("/", 1)[1].replace("~1", "/").replace("~0", "~")]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return fitting(random, random.choice(schema[key]), defs, depth)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return random.choice(schema["enum"])
    match schema.get("type"):
        case "object":
            value: dict[str, Any] = {}
            required = schema.get("required", ())
            for key, inner in schema.get("properties", {}).items():
                if key in required or random.random() < (0.7 if depth < 5 else 0.1):
                    value[key] = fitting(random, inner, defs, depth + 1)
            inner = schema.get("additionalProperties")
            if isinstance(inner, dict):
                for _ in range(random.randrange(4)):
                    key = str(random.randrange(9)) if random.random() < 0.5 else random.choice(KEYS)
                    if names := schema.get("propertyNames", {}).get("enum"):
                        key = random.choice(names)
                    value.setdefault(key, fitting(random, inner, defs, depth + 1))
            if random.random() < 0.1:
                value.setdefault(random.choice(KEYS), anything(random, depth + 1))
            if value and random.random() < 0.15:  # the same under another name, or instead of it
                taken = random.choice(list(value))
                other = random.choice((*KEYS, taken.lower(), taken.upper()))
                value[other] = value[taken] if random.random() < 0.5 else value.pop(taken)
            items = list(value.items())
            if random.random() < 0.3:
                random.shuffle(items)
            return dict(items)
        case "array":
            if "prefixItems" in schema:
                return [fitting(random, inner, defs, depth + 1) for inner in schema["prefixItems"]]
            low, high = schema.get("minItems", 0), schema.get("maxItems", 5)
            count = random.randrange(low, max(high, low) + 1) if depth < 5 else low
            return [fitting(random, schema.get("items", {}), defs, depth + 1) for _ in range(count)]
        case "string":
            match schema.get("format"):
                case "date":
                    return "2020-01-01"
                case "date-time":
                    return "2020-01-01T00:00:00Z"
                case "uuid":
                    return "12345678-1234-5678-1234-567812345678"
                case "duration":
                    return "PT5S"
                case "json-string":
                    return "[1, 2, 3]"
                case "base64" | "binary" | "base64url":
                    return "YWJj"
                case "uri":
                    return random.choice(("http://a.b/c", "https://é.example/?q", "x:y"))
                case _:
                    if "pattern" in schema and "a-z" in schema["pattern"]:
                        return "abc"
                    return random.choice(("abc", "ab", random.choice(STRINGS)))
        case "integer":
            return random.randrange(50)
        case "number":
            return Raw(random.choice(NUMBERS))
        case "boolean":
            return random.random() < 0.5
        case "null":
            return None
        case _:
            return anything(random, depth + 1)


def text_of(random: Random, value: Any) -> str:
    """Write `value` as JSON, in one of the ways in which it can be written."""
    gap = random.choice(("", "", " ", "\n  ", "\t\r\n "))
    ascii_only = random.random() < 0.3
    repeat = random.random() < 0.03

    def write(item: Any) -> str:
        if isinstance(item, Raw):
            return str(item)
        if isinstance(item, dict):
            members = [
                f"{json.dumps(k, ensure_ascii=ascii_only)}{gap}:{gap}{write(v)}" for k, v in item.items()
            ]
            if repeat and members:
                members.append(random.choice(members))
            return f"{{{gap}{f'{gap},{gap}'.join(members)}{gap}}}"
        if isinstance(item, list):
            return f"[{gap}{f'{gap},{gap}'.join(map(write, item))}{gap}]"
        return json.dumps(item, ensure_ascii=ascii_only)

    return random.choice(("", "", "\n")) + write(value) + random.choice(("", "", "\n "))


def mutated(random: Random, text: str) -> str:
    """Return `text` as something that is likely not JSON any more."""
    at = random.randrange(len(text) + 1)
    match random.randrange(8):
        case 0 | 1:
            return text[:at]
        case 2:
            return text[:at] + text[at + 1 :]
        case 3:
            return text[:at] + random.choice('{}[]":,\\ \n0a-éN\x01') + text[at:]
        case 4:
            return text[:at] + random.choice(WRONG) + text[at:]
        case 5:
            end = random.randrange(at, len(text) + 1)
            return text[:end] + text[at:end] + text[end:]
        case 6:
            return (
                random.choice(("Sure! ", "```json\n", "\ufeff"))
                + text
                + random.choice(("", "\n```", " done", "{}", "]"))
            )
        case _:
            return (
                text[:at]
                + random.choice(("\\u12", "\\ud800", "\\ud83d\\ude00", "\\x", "\ud800", "\\"))
                + text[at:]
            )


def document(random: Random, model: type[BaseModel]) -> str:
    """Draw a text for `model`: mostly valid, sometimes wrong, sometimes not JSON."""
    text = text_of(random, fitting(random, *schema_of(model)))
    if random.random() < 0.3:
        text = mutated(random, text)
    return text


_schemas: dict[type[BaseModel], tuple[dict[str, Any], dict[str, Any]]] = {}


def schema_of(model: type[BaseModel]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the JSON Schema of `model` and its definitions, an open one where it has none."""
    if model not in _schemas:
        try:
            schema = model.model_json_schema()
        except Exception:  # a type without a JSON Schema
            schema = {"type": "object", "properties": {name: {} for name in model.model_fields}}
        _schemas[model] = schema, schema.get("$defs", {})
    return _schemas[model]


def chopped(random: Random, text: str) -> list[str]:
    """Cut `text` into pieces as a stream might."""
    size = random.choice((1, 1, 2, 4, 7, 30, 10_000))
    if random.random() < 0.5:
        return [text[i : i + size] for i in range(0, len(text), size)]
    pieces, at = [], 0
    while at < len(text):
        step = random.randrange(0, size + 2)
        pieces.append(text[at : at + step])
        at += step
    return pieces
