"""Schemas that callers bring: the verdicts are `jsonschema`'s, and what is given back is the document that came."""

from typing import Any

import pytest

from tests.fuzz.caller_schema import one_case, verdict
from weir.generate.caller_schema import SchemaRefused, compile_schema, compiled
from weir.schemas import MAX_REGISTERED, is_registered


def of(properties: dict[str, Any], **more: Any) -> Any:
    return compile_schema("x", {"type": "object", "properties": properties, **more})


@pytest.mark.parametrize("first", range(0, 40, 20))
def test_verdicts_on_made_schemas_and_documents_are_those_of_jsonschema(first: int) -> None:
    for seed in range(first, first + 20):
        one_case(seed)


def test_a_member_that_did_not_come_is_not_given_back_as_null() -> None:
    model = of({"a": {"type": "string"}, "b": {"type": ["string", "null"]}})
    assert verdict(model, ["{}"]) == (True, b"{}")
    assert verdict(model, ['{"b": null}']) == (True, b'{"b":null}')
    assert verdict(model, ['{"a": null}'])[0] is False


def test_one_is_one_point_nought_and_neither_is_true() -> None:
    model = of({"a": {"enum": [0, "0", True]}})
    texts = {"0": True, "0.0": True, '"0"': True, "true": True, "false": False, "1": False, "1.0": False}
    assert {text: verdict(model, [f'{{"a": {text}}}'])[0] for text in texts} == texts


@pytest.mark.parametrize(
    ("properties", "pointer"),
    [
        ({"": {"type": "string"}}, "/properties"),
        ({"a": {"enum": [{}]}}, "/properties/a/enum"),
        ({"a": {"enum": []}}, "/properties/a/enum"),
        ({"a": {"type": "integer", "enum": [1.5]}}, "/properties/a/enum"),
        ({"a": {"type": "string", "pattern": "(?=look)"}}, ""),
        ({"a": {"oneOf": []}}, "/properties/a/oneOf"),
        ({"a": {}}, "/properties/a/type"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_is_refused_with_its_place(properties: dict[str, Any], pointer: str) -> None:
    with pytest.raises(SchemaRefused) as caught:
        of(properties)
    assert caught.value.pointer == pointer


def test_a_schema_is_compiled_once_and_only_so_many_are_kept() -> None:
    def named(number: int) -> str:
        return compiled("kept", {"type": "object", "properties": {f"a{number}": {"type": "null"}}})

    first = named(0)
    assert named(0) == first
    names = [named(number) for number in range(1, MAX_REGISTERED)]
    assert is_registered(first)  # and is the newest now
    named(MAX_REGISTERED)
    assert is_registered(first) and not is_registered(names[0])
