"""Differential fuzzing of schemas that callers bring: the compiled validator against `jsonschema`.

A case is a schema of the strict subset and a document, mostly one that nearly fits, fed in pieces as a stream comes.
Three things must hold: the verdicts are equal; what is given back is the document that came, and nothing more; and the
schema is told to a provider as the caller wrote it.
"""

from __future__ import annotations

import json
import sys
import time
from random import Random
from typing import Any

from jsonschema import Draft202012Validator

from pydantic_streaming import Document, InvalidDocument, StreamedValidator, Violation
from tests.fuzz.documents import chopped
from weir.generate.caller_schema import SchemaRefused, compile_schema

DOCUMENTS = 4  # of each schema
LONG = "of a name that is told from another one by its last letter alone, "
NAMES = ("a", "b", "model", "schema", "f0", "é", "a-b", "a/b", "~", "self", "json", f"{LONG}a", f"{LONG}b")
STRINGS = ("", "a", "ab", "abc", "zz9", "é", "1", "\n", "long enough to be cut", "\u2028", '"\\')
NUMBERS = (0, 1, 2, -1, 3, 7, 10**15, -(10**20), 0.5, 1.0, 2.0, -0.0, 0.1, 0.3, 1e3, 1e-7, 12.75)
_TYPES = {str: "string", int: "integer", bool: "boolean", type(None): "null"}
PATTERNS = ("^a", "b$", "^[a-z]+$", "[0-9]", "^.{2}$", "^(a|zz).*$")


def schema(random: Random, depth: int = 0, refs: tuple[str, ...] = ()) -> dict[str, Any]:
    """A schema of the subset."""
    kinds = ["string", "integer", "number", "boolean", "null", "enum", "const", "types"]
    if depth < 3:
        kinds += ["array", "object", "anyOf"] * 2
    if refs:
        kinds += ["ref"] * 2
    match random.choice(kinds):
        case "ref":
            return {"$ref": random.choice(refs)}
        case "enum":
            values = random.sample([*STRINGS, 0, 1, 2, -1, True, False, None], random.randint(1, 4))
            types = sorted({_TYPES[type(value)] for value in values})
            named = types if len(types) > 1 or random.random() < 0.5 else types[0]
            return {"enum": values} | ({"type": named} if random.random() < 0.4 else {})
        case "const":
            return {"const": random.choice([*STRINGS, 0, 1, True, False, None])}
        case "types":
            names = random.sample(["string", "integer", "number", "boolean", "null"], random.randint(1, 3))
            bounds = (
                {"maxLength": random.randint(0, 3)} if "string" in names and random.random() < 0.5 else {}
            )
            return {"type": names, **bounds}
        case "anyOf" if depth < 2 and random.random() < 0.4:
            return tagged(random, depth, refs)
        case "anyOf":
            return {"anyOf": [schema(random, depth + 1, refs) for _ in range(random.randint(1, 3))]}
        case "array":
            return {
                "type": "array",
                "items": schema(random, depth + 1, refs),
                **_range(random, "minItems", "maxItems"),
            }
        case "object":
            return objects(random, depth, refs)
        case "string":
            pattern = {"pattern": random.choice(PATTERNS)} if random.random() < 0.3 else {}
            return {"type": "string", **_range(random, "minLength", "maxLength"), **pattern}
        case "boolean" | "null" as kind:
            return {"type": kind}
        case kind:
            bounds = {
                name: random.choice([*NUMBERS[:6], 0.5, 0.1, 2.0])
                for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
                if random.random() < 0.15
            }
            if random.random() < 0.15:
                bounds["multipleOf"] = random.choice([1, 2, 3, 0.5, 0.1, 2.0])
            return {"type": kind, **bounds}


def tagged(random: Random, depth: int, refs: tuple[str, ...]) -> dict[str, Any]:
    """Objects that a constant tells apart, and perhaps something else."""
    kinds = []
    for number in range(random.randint(2, 3)):
        part = objects(random, depth + 1, refs)
        tag = {"const": f"k{number}"} if random.random() < 0.7 else {"enum": [f"k{number}", f"K{number}"]}
        kinds.append(
            {**part, "properties": {**part["properties"], "a": tag}, "required": [*{*part["required"], "a"}]}
        )
    others = [{"type": "null"}, {"type": "array", "items": {"type": "string"}}]
    return {"anyOf": random.sample([*kinds, *random.sample(others, random.randint(0, 2))], k=len(kinds))}


def objects(random: Random, depth: int, refs: tuple[str, ...]) -> dict[str, Any]:
    """An object's schema."""
    names = random.sample(NAMES, random.randint(0 if depth else 1, 4))
    required = [name for name in names if random.random() < 0.7]
    said: dict[str, Any] = {
        "type": "object",
        "properties": {name: schema(random, depth + 1, refs) for name in names},
        "required": required,
    }
    if random.random() < 0.8:
        said["additionalProperties"] = random.random() < 0.2
    if random.random() < 0.2:
        said["description"] = "What it is."
    return said


def root(random: Random) -> dict[str, Any]:
    """A whole schema, in half of all cases with definitions, that may hold themselves."""
    if random.random() < 0.5:
        return objects(random, 0, ())
    refs = ("#/$defs/One", "#/$defs/Two", "#/definitions/One", "#")
    return {
        **objects(random, 0, refs),
        "$defs": {"One": objects(random, 2, refs), "Two": schema(random, 3, ())},
        "definitions": {"One": schema(random, 3, ())},
    }


def _range(random: Random, least: str, most: str) -> dict[str, int]:
    first = random.randint(0, 2)
    bounds = {least: first, most: first + random.randint(0, 3)}
    return {name: bound for name, bound in bounds.items() if random.random() < 0.4}


def value(random: Random, of: Any, whole: dict[str, Any], depth: int = 0) -> Any:
    """A value that mostly fits a schema; deep ones end in null."""
    if random.random() < 0.04 or depth > 6:
        return random.choice([None, True, False, 0, 1, 1.0, "", "a", [], {}, [None], {"a": 1}])
    if "$ref" in of:
        _, where, name = of["$ref"].split("/") if "/" in of["$ref"] else ("", "", "")
        return value(random, whole[where][name] if name else whole, whole, depth + 1)
    if "anyOf" in of:
        return value(random, random.choice(of["anyOf"]), whole, depth + 1)
    if "enum" in of or "const" in of:
        chosen = random.choice(of.get("enum", [of.get("const")]))
        # 1.0 is 1 in JSON Schema, and true is not.
        return float(chosen) if type(chosen) is int and random.random() < 0.2 else chosen
    kind = of["type"] if isinstance(of["type"], str) else random.choice(of["type"])
    match kind:
        case "string":
            return random.choice(STRINGS)
        case "integer":
            return random.choice([number for number in NUMBERS if number == int(number)])
        case "number":
            return random.choice(NUMBERS)
        case "boolean":
            return random.random() < 0.5
        case "null":
            return None
        case "array":
            least = of.get("minItems", 0)
            size = random.randint(least, max(least, of.get("maxItems", least + 2)))
            return [value(random, of["items"], whole, depth + 1) for _ in range(size)]
    found = {
        name: value(random, part, whole, depth + 1)
        for name, part in of["properties"].items()
        if random.random() < (0.97 if name in of["required"] else 0.5)
    }
    if random.random() < 0.08:
        found[random.choice(NAMES)] = random.choice([None, 1, "a", [1], {"b": 2}])
    return found


def verdict(model: Any, pieces: list[str]) -> tuple[bool, bytes]:
    """Whether the pieces of a text are a document of the model, and the JSON that is given back."""
    validator = StreamedValidator(model)
    found = [item for piece in pieces for item in validator.feed(piece)]
    if any(isinstance(item, Violation) for item in found):
        return False, b""
    try:
        outcome = validator.end()
        document = outcome if isinstance(outcome, Document) else validator.finish(outcome.validate())
    except InvalidDocument:
        return False, b""
    return True, b"".join(document.json_parts(32_000))


def one_case(seed: int) -> None:
    """Check some documents of one schema. Raises AssertionError."""
    random = Random(seed)
    whole = root(random)
    try:
        model = compile_schema(f"fuzz_{seed}", whole)
    except SchemaRefused as error:
        assert "tells apart" in error.detail, f"expected a schema of the subset to be taken, got {error}"
        return
    assert model.model_json_schema() == whole
    oracle = Draft202012Validator(whole)
    for _ in range(DOCUMENTS):
        document = value(random, whole, whole)
        text = json.dumps(document, ensure_ascii=random.random() < 0.5)
        expected = oracle.is_valid(document)
        valid, given = verdict(model, chopped(random, text))
        shown = f"schema {json.dumps(whole)}\ndocument {text}"
        errors = "; ".join(error.message for error in oracle.iter_errors(document))
        assert valid == expected, f"expected {expected} ({errors}), got {valid}\n{shown}"
        if valid:
            assert _same(json.loads(given), document), (
                f"expected the document that came, got {given!r}\n{shown}"
            )


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0, and true is neither."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def run(cases: int, seconds: float | None, seed: int | None) -> None:
    """As many schemas or seconds as asked, or the one of a seed; says how many there were."""
    began, done = time.monotonic(), 0
    for number in range(cases) if seconds is None and seed is None else iter(int, 1):
        at = seed if seed is not None else done if seconds is not None else number
        try:
            one_case(at)
        except Exception as error:
            print(f"caller-schema --seed {at}: {type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)
        done += 1
        if seed is not None or (seconds is not None and time.monotonic() - began > seconds):
            break
    print(f"caller-schema: {done} schemas, {done * DOCUMENTS} documents, every verdict is jsonschema's; "
          f"{time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
