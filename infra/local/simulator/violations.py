"""Documents with one violation, written so that the test knows where it is and when it is complete.

The violating value sits early: in the second object of the first list of objects (`/sections/1/heading` in a
blog post), or in the last property of a schema without such a list. A repeated key is the first of the
document, whose value a reader has handed on by then. `closes_at` is the offset just behind the text that
proves the violation: the wrong value, the repeated or extra one, or the brace that closes the object lacking
a key. `object_closes_at` is the end of the object that holds it, where a validator that cuts at elements can
tell.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .document import Composer, Schema
from .script import Violation

Path = tuple[str | int, ...]
_CANDIDATES: tuple[tuple[str, Any], ...] = (
    ("integer", 7),
    ("string", "not what was asked for"),
    ("array", []),
    ("object", {}),
    ("null", None),
)


@dataclass(frozen=True, slots=True)
class Document:
    """JSON text; the others tell of its violation, in characters, and are None without one."""

    text: str
    path: str | None = None
    closes_at: int | None = None
    object_closes_at: int | None = None


def render(value: Any, schema: Schema, composer: Composer, violation: Violation | None) -> Document:
    """The compact JSON text of `value`, with the violation put in."""
    if violation is None:
        return Document(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    target = _target(value, schema, composer, violation)
    writer = _Writer(target, violation, _wrong_value(_schema_at(target, schema, composer), composer))
    writer.write(value, ())
    if writer.closes_at is None:
        raise ValueError(f"violation: expected a property at {_pointer(target)!r} to violate, found none")
    shown = (*target[:-1], "unexpected") if violation == "extra_key" else target
    return Document("".join(writer.parts), _pointer(shown), writer.closes_at, writer.object_closes_at)


class _Writer:
    def __init__(self, target: Path, violation: Violation, wrong: Any) -> None:
        self.parts: list[str] = []
        self.closes_at: int | None = None
        self.object_closes_at: int | None = None
        self._target = target
        self._violation = violation
        self._wrong = wrong
        self._length = 0

    def write(self, value: Any, path: Path) -> None:
        if isinstance(value, Mapping):
            self._write_object(value, path)
        elif isinstance(value, list):
            self._put("[")
            for index, item in enumerate(value):
                self._put("," if index else "")
                self.write(item, (*path, index))
            self._put("]")
        else:
            self._put(json.dumps(value, ensure_ascii=False))

    def _write_object(self, value: Mapping[str, Any], path: Path) -> None:
        members: list[tuple[str, Any, bool]] = []  # key, value, "the violation is proved behind this one"
        is_parent = path == self._target[:-1]
        for key, item in value.items():
            if not is_parent or key != self._target[-1]:
                members.append((key, item, False))
            elif self._violation == "wrong_type":
                members.append((key, self._wrong, True))
            elif self._violation == "duplicate_key":
                members += [(key, item, False), (key, item, True)]
            elif self._violation == "extra_key":
                members += [(key, item, False), ("unexpected", True, True)]
        self._put("{")
        for index, (key, item, proves) in enumerate(members):
            self._put(("," if index else "") + json.dumps(key, ensure_ascii=False) + ":")
            self.write(item, (*path, key))
            if proves:
                self.closes_at = self._length
        self._put("}")
        if is_parent:
            self.object_closes_at = self._length
            if self._violation == "missing_key":
                self.closes_at = self._length

    def _put(self, text: str) -> None:
        self.parts.append(text)
        self._length += len(text)


def _target(value: Any, schema: Schema, composer: Composer, violation: Violation) -> Path:
    schema = composer.resolve(schema)
    properties: Mapping[str, Schema] = schema.get("properties", {})
    if violation == "duplicate_key" and properties:
        return (next(iter(properties)),)
    for name, of in properties.items():
        items = value.get(name)
        if isinstance(items, list) and len(items) > 1 and isinstance(items[1], dict) and items[1]:
            element = composer.resolve(composer.resolve(of)["items"])
            required = element.get("required") or list(items[1])
            return (name, 1, required[0])
    if not properties:
        raise ValueError("violation: expected a schema of type object with properties")
    return (list(properties)[-1],)


def _schema_at(path: Path, schema: Schema, composer: Composer) -> Schema:
    for part in path[:-1]:
        schema = composer.resolve(schema)
        schema = schema["items"] if isinstance(part, int) else schema["properties"][part]
    found: Schema = composer.resolve(schema)["properties"][path[-1]]
    return found


def _wrong_value(schema: Schema, composer: Composer) -> Any:
    allowed = _types(schema, composer)
    # A date may be read from a number and many things from a string, so a formatted string gets a list.
    order = _CANDIDATES[2:] if "format" in composer.resolve(schema) else _CANDIDATES
    return next((value for kind, value in order if kind not in allowed), {"unexpected": True})


def _types(schema: Schema, composer: Composer) -> set[str]:
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return {kind for option in options for kind in _types(option, composer)}
    kind = composer.resolve(schema).get("type", [])
    kinds = set(kind) if isinstance(kind, list) else {kind}
    return kinds | ({"integer"} if "number" in kinds or "boolean" in kinds else set())


def _pointer(path: Path) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
