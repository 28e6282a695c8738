"""A document made from a JSON Schema, the same one for the same prompt.

The simulator knows no schema of the product: whatever arrives as `response_format` is composed, so that
adding a schema file needs nothing here. Strings follow the name of their field; `format`, `pattern`, `enum`,
`const` and all bounds are respected. Lists of objects have the script's number of `sections`, within minItems
and maxItems.

https://json-schema.org/draft/2020-12/json-schema-validation
"""

import random
import re
import uuid
from collections.abc import Mapping
from typing import Any

from .patterns import matching
from .prose import Prose, slug

Schema = Mapping[str, Any]
_MAX_DEPTH = 12


class Composer:
    """Composes values for one schema; `sections` is the wished length of lists of objects."""

    def __init__(self, schema: Schema, source: random.Random, prose: Prose, *, sections: int) -> None:
        self._root = schema
        self._source = source
        self._prose = prose
        self._sections = sections

    def compose(self) -> Any:
        """A value that the schema accepts. Raises ValueError for keywords outside the subset, naming them."""
        return self._value(self._root, "", 0)

    def resolve(self, schema: Schema) -> Schema:
        """The schema behind $ref, and the first alternative that is not null behind anyOf or oneOf."""
        for _ in range(_MAX_DEPTH):
            if "$ref" in schema:
                schema = self._target(schema["$ref"])
            elif schema.get("allOf"):
                merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
                for part in schema["allOf"]:
                    merged = {**self.resolve(part), **merged}
                schema = merged
            elif schema.get("anyOf") or schema.get("oneOf"):
                options = schema.get("anyOf") or schema["oneOf"]
                schema = next((option for option in options if option.get("type") != "null"), options[0])
            else:
                return schema
        raise ValueError(f"$ref: expected a chain of at most {_MAX_DEPTH}, got a longer one or a loop")

    def _target(self, ref: str) -> Schema:
        if not ref.startswith("#"):
            raise ValueError(f"$ref: expected a reference into the same schema (#/...), got {ref!r}")
        target: Any = self._root
        for part in ref.removeprefix("#").split("/")[1:]:
            target = target[part.replace("~1", "/").replace("~0", "~")]
        resolved: Schema = target
        return resolved

    def _nullable(self, schema: Schema) -> bool:
        options = schema.get("anyOf") or schema.get("oneOf") or ()
        kind = schema.get("type")
        return any(option.get("type") == "null" for option in options) or (
            isinstance(kind, list) and "null" in kind
        )

    def _value(self, schema: Schema, name: str, depth: int) -> Any:
        if depth > _MAX_DEPTH and self._nullable(schema):
            return None
        schema = self.resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._source.choice(list(schema["enum"]))
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((option for option in kind if option != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "string":
                return self._string(schema, name)
            case "integer" | "number":
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return self._source.random() < 0.5
            case "null":
                return None
        raise ValueError(f"type: expected a JSON Schema type, got {kind!r} at {name!r}")

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties: Mapping[str, Schema] = schema.get("properties", {})
        required = schema.get("required", ())
        return {
            key: self._value(value, key, depth + 1)
            for key, value in properties.items()
            if key in required or depth < _MAX_DEPTH
        }

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        low, high = schema.get("minItems", 0), schema.get("maxItems")
        fixed = [self._value(item, name, depth + 1) for item in schema.get("prefixItems", ())]
        if "items" not in schema or schema["items"] is False:
            return fixed
        of_objects = "properties" in self.resolve(schema["items"])
        wanted = self._sections if of_objects else 3
        wanted = low if depth > _MAX_DEPTH else max(wanted, low)
        if high is not None:
            wanted = min(wanted, high)
        values = [self._value(schema["items"], name, depth + 1) for _ in range(wanted - len(fixed))]
        if schema.get("uniqueItems"):
            values = [value for index, value in enumerate(values) if value not in values[:index]]
        return fixed + values

    def _string(self, schema: Schema, name: str) -> str:
        low, high = schema.get("minLength", 0), schema.get("maxLength")
        if "pattern" in schema:
            suggestion = slug(self._prose.text(name)) if name == "slug" else self._prose.text(name)
            return self._fitting(schema["pattern"], suggestion, low, high)
        if "format" in schema:
            return self._formatted(schema["format"], name)
        text = self._prose.text(name)
        while len(text) < low:
            text = f"{text} {self._prose.paragraph(1)}"
        if high is not None and len(text) > high:
            cut = text[:high].rsplit(" ", 1)[0]
            text = cut if len(cut) >= low else text[:high]
        return text

    def _fitting(self, pattern: str, suggestion: str, low: int, high: int | None) -> str:
        # A readable text is preferred where it happens to match, as a slug does.
        if (
            re.search(pattern, suggestion)
            and low <= len(suggestion)
            and (high is None or len(suggestion) <= high)
        ):
            return suggestion
        return matching(pattern, self._source, min_length=low, max_length=high)

    def _formatted(self, kind: str, name: str) -> str:
        match kind:
            case "email" | "idn-email":
                return self._prose.text("email")
            case "uri" | "url" | "iri" | "uri-reference":
                return self._prose.url()
            case "date":
                return f"2026-{self._source.randint(1, 12):02}-{self._source.randint(1, 28):02}"
            case "date-time":
                return f"{self._formatted('date', name)}T{self._formatted('time', name)}"
            case "time":
                return f"{self._source.randint(0, 23):02}:{self._source.randint(0, 59):02}:00Z"
            case "duration":
                return f"PT{self._source.randint(1, 59)}M"
            case "uuid":
                return str(uuid.UUID(int=self._source.getrandbits(128), version=4))
            case "ipv4":
                return f"192.0.2.{self._source.randint(1, 254)}"
            case "ipv6":
                return f"2001:db8::{self._source.randint(1, 9999)}"
            case "hostname":
                return "example.org"
        return self._prose.text(name)

    def _number(self, schema: Schema, *, whole: bool) -> int | float:
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        if low is None:
            low = min(1, high - 100) if high is not None else 1
        if high is None:
            high = low + 100
        step = schema.get("multipleOf", 1 if whole else 0)
        if step:
            first = -(-low // step) + (1 if low == schema.get("exclusiveMinimum") and low % step == 0 else 0)
            last = high // step - (1 if high == schema.get("exclusiveMaximum") and high % step == 0 else 0)
            chosen = self._source.randint(int(first), int(max(first, last))) * step
            return int(chosen) if whole else chosen
        return float(round(low + (high - low) * (0.1 + 0.8 * self._source.random()), 4))
