"""Schemas that can hold the loop: refused, with the field's name, before a text can show what they cost.

A pattern is run by Pydantic's own engine in linear time, unless Python's `re` is asked for (`regex_engine="python-re"`,
or a compiled pattern). That one backtracks: 24 characters can take half a second, and 40 a day. It is accepted where it
cannot: where nothing that can match in several ways is repeated, and at most one repetition has no end, behind the
start of the text.

A lazy iterable (`Iterable`, `Generator`) is validated while it is dumped, so no error of it is ever the text's.

https://docs.pydantic.dev/latest/api/config/#pydantic.config.ConfigDict.regex_engine
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from pydantic_streaming.core_schema import DATA, Schema
from pydantic_streaming.errors import UnsafeSchema

__all__ = ["check_model", "hazards_of"]

# A repetition that ends sooner cannot take long, unless many of them are inside each other.
ENDLESS = 64


def check_model(model: type[BaseModel]) -> None:
    """Refuse a model that can hold the loop.

    Raises:
        UnsafeSchema: it can; says by which fields, and why.
    """
    if hazards := hazards_of(model):
        raise UnsafeSchema(f"{model.__name__}: {'; '.join(hazards)}")


def hazards_of(model: type[BaseModel]) -> tuple[str, ...]:
    """Return what can hold the loop while texts of `model` are validated, each with the field's name."""
    if not model.__pydantic_complete__:
        model.model_rebuild()
    schema: Schema = model.__pydantic_core_schema__
    definitions: dict[str, Schema] = {}
    if schema["type"] == "definitions":
        definitions = {d["ref"]: d for d in schema["definitions"]}
    return tuple(dict.fromkeys(_hazards(schema, definitions, (), {}, set())))


def _hazards(
    schema: Any, definitions: Mapping[str, Schema], place: tuple[str, ...], config: Any, seen: set[int]
) -> Iterator[str]:
    if isinstance(schema, (list, tuple)):
        for one in schema:
            yield from _hazards(one, definitions, place, config, seen)
    if not isinstance(schema, Mapping):
        return
    kind = schema.get("type")
    if kind == "definition-ref":
        schema = definitions.get(schema["schema_ref"], {})
    if "ref" in schema:  # nothing else can hold itself
        if id(schema) in seen:
            return
        seen.add(id(schema))
    config = schema.get("config") or config
    where = ".".join(place) or "the model"
    if schema.get("type") == "generator":
        yield f"{where}: a lazy iterable is validated when it is read; expected a list"
    pattern = schema.get("pattern") if schema.get("type") == "str" else None
    by_python = isinstance(pattern, re.Pattern) or (
        (schema.get("regex_engine") or config.get("regex_engine")) == "python-re"
    )
    if pattern is not None and by_python and (reason := backtracks(pattern)):
        said = pattern.pattern if isinstance(pattern, re.Pattern) else pattern
        yield f"{where}: Python's re runs the pattern {said!r}, and {reason}; expected Pydantic's own engine"
    for key, part in schema.items():
        if key == "fields" and isinstance(part, Mapping):
            for name, field in part.items():
                yield from _hazards(field, definitions, (*place, name), config, seen)
        elif key == "fields" and isinstance(part, list) and schema.get("type") == "dataclass-args":
            for field in part:
                yield from _hazards(field, definitions, (*place, field["name"]), config, seen)
        elif key not in DATA and key != "definitions":
            yield from _hazards(part, definitions, place, config, seen)


def backtracks(pattern: str | re.Pattern[str]) -> str:
    """Return why Python's `re` may take long for `pattern`, "" where it cannot."""
    compiled = pattern if isinstance(pattern, re.Pattern) else re.compile(pattern)
    parser: Any = re._parser  # type: ignore[attr-defined]
    tree = parser.parse(compiled.pattern, compiled.flags)
    choices = list(_choices(tree, repeated=False))
    endless = sum(most > ENDLESS for most, _ in choices)
    if any(repeated for _, repeated in choices):
        return "what is repeated can match in several ways"
    if endless > 1:
        return "several repetitions may share a text in every way"
    if endless and not _anchored(tree):
        return "a repetition may begin at each character"
    return ""


def _choices(tree: Any, *, repeated: bool) -> Iterator[tuple[int, bool]]:
    """Yield whatever can match in several ways: how often at most, and whether it is inside a repetition."""
    for operation, argument in tree:
        match str(operation):
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, body = argument
                if least != most:
                    yield int(most), repeated
                yield from _choices(body, repeated=repeated or int(most) > 1)
            case "POSSESSIVE_REPEAT":
                yield from _choices(argument[2], repeated=repeated)
            case "ATOMIC_GROUP":
                yield from _choices(argument, repeated=repeated)
            case "BRANCH":
                if repeated:
                    yield 1, True
                for branch in argument[1]:
                    yield from _choices(branch, repeated=repeated)
            case "SUBPATTERN":
                yield from _choices(argument[-1], repeated=repeated)
            case "ASSERT" | "ASSERT_NOT":
                yield from _choices(argument[1], repeated=repeated)
            case "GROUPREF_EXISTS":
                for branch in argument[1:]:
                    yield from _choices(branch or (), repeated=repeated)


def _anchored(tree: Any) -> bool:
    first = next(iter(tree), None)
    return (
        first is not None
        and str(first[0]) == "AT"
        and str(first[1]) in ("AT_BEGINNING", "AT_BEGINNING_STRING")
    )
