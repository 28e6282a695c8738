"""Schemas that callers bring: the verdicts are `jsonschema`'s, and what is given back is the document that came."""

import gc
import json
from typing import Any
from weakref import ref

import pytest

from tests.fuzz.caller_schema import one_case, verdict
from weir.generate.caller_patterns import PatternRefused, pattern_steps
from weir.generate.caller_schema import MAX_PATTERN_STEPS, SchemaRefused, compile_schema, compiled
from weir.schemas import MAX_REGISTERED_PARTS, is_registered, load_schema


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
        ({"a": {"const": {"b": 1}}}, "/properties/a/const"),
        ({"a": {"type": "integer", "enum": [1.5]}}, "/properties/a/enum"),
        ({"a": {"type": "string", "pattern": "(?=look)"}}, "/properties/a/pattern"),
        ({"a": {"type": "string", "pattern": "("}}, "/properties/a/pattern"),
        ({"a": {"type": "string", "pattern": 5}}, "/properties/a/pattern"),
        ({"a": {"type": []}}, "/properties/a/type"),
        ({"a": {"type": {}}}, "/properties/a/type"),
        ({"a": {"type": ["string", ["null"]]}}, "/properties/a/type"),
        ({"a": {"enum": ["x"], "type": {}}}, "/properties/a/type"),
        ({"a": {"enum": ["x"], "const": "x"}}, "/properties/a/enum"),
        ({"a": {"type": "string", "minLength": -1}}, "/properties/a/minLength"),
        ({"a": {"type": "number", "multipleOf": 0}}, "/properties/a/multipleOf"),
        ({"a": {"type": "string", "format": {}}}, "/properties/a/format"),
        ({"a": {"type": "object", "description": ["x"]}}, "/properties/a/description"),
        ({"a": {"type": "number", "maximum": float("inf")}}, "/properties/a/maximum"),
        ({"a": {"oneOf": []}}, "/properties/a/oneOf"),
        ({"a": {}}, "/properties/a/type"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_is_refused_with_its_place(properties: dict[str, Any], pointer: str) -> None:
    with pytest.raises(SchemaRefused) as caught:
        of(properties)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "object", "properties": {"a": {"type": "null"}}, "required": [["a"]]}, "/required"),
        ({"type": [], "properties": {}}, "/type"),
        ({"$ref": "#/$defs/A", "required": ["b"], "$defs": {"A": {"type": "object"}}}, "/required"),
        ({"$ref": "https://example.org/schema.json"}, "/$ref"),
        ({"$ref": "#"}, ""),
    ],
)
def test_a_root_of_any_shape_is_refused_with_its_place(schema: Any, pointer: str) -> None:
    with pytest.raises(SchemaRefused) as caught:
        compile_schema("x", schema)
    assert caught.value.pointer == pointer


def test_any_json_in_a_schemas_place_is_refused_and_is_no_error_of_ours() -> None:
    garbage: list[Any] = [
        None,
        True,
        0,
        -1,
        1.5,
        "",
        "string",
        [],
        [[]],
        [{}],
        ["null", 1],
        {},
        {"type": []},
        {"a": {}},
    ]
    words = ["type", "enum", "const", "anyOf", "$ref", "properties", "required", "additionalProperties", "items",
             "minItems", "maxItems", "minLength", "maxLength", "pattern", "minimum", "multipleOf", "$defs"]  # fmt: skip
    whole = {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}
    for word in words:
        for value in garbage:
            for schema in ({**whole, word: value}, {**whole, "properties": {"a": {word: value}}},
                           {**whole, "$defs": {"A": {"type": ["array", "string", "number"], "items": {}, word: value}}}):  # fmt: skip
                try:
                    compile_schema("x", schema)
                except SchemaRefused:
                    pass


@pytest.mark.parametrize("name", ["2024-report", "", "class", "é", "~", "a" * 300, "None"])
def test_a_schema_of_any_name_that_holds_itself_is_compiled(name: str) -> None:
    more = {"more": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}
    own = compiled(name, {"type": "object", "properties": more, "required": ["more"], "title": None})
    assert verdict(load_schema(own), ['{"more": {"more": null}}'])[0]
    assert not verdict(load_schema(own), ['{"more": {"more": 1}}'])[0]


def held(**members: Any) -> Any:
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}


TREE = {
    "Add": held(kind={"const": "add"}, left={"$ref": "#/$defs/Tree"}, right={"$ref": "#/$defs/Tree"}),
    "Mul": held(kind={"enum": ["mul", "times"]}, left={"$ref": "#/$defs/Tree"}, right={"$ref": "#/$defs/Tree"}),
    "Number": held(kind={"const": "number"}, value={"type": "number"}),
    "Tree": {"anyOf": [{"$ref": "#/$defs/Add"}, {"$ref": "#/$defs/Mul"}, {"$ref": "#/$defs/Number"}, {"type": "null"}]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("leaf", "valid"),
    [({"kind": "number", "value": 1}, True), (None, True), ({"kind": "number", "value": "x"}, False),
     ({"kind": "other"}, False), ({"value": 1}, False), ({"kind": 1, "value": 1}, False), (5, False)],
)  # fmt: skip
def test_choices_that_a_constant_tells_apart_are_not_tried_one_after_the_other(
    leaf: Any, valid: bool
) -> None:
    model = compile_schema("tree", {**held(tree={"$ref": "#/$defs/Tree"}), "$defs": TREE})
    for depth in (0, 1, 40):  # tried one after the other, forty would take 2 to the 40th
        tree = leaf
        for number in range(depth):
            tree = {"kind": ("add", "times")[number % 2], "left": tree, "right": None}
        assert verdict(model, [json.dumps({"tree": tree})])[0] is valid


@pytest.mark.parametrize("several", [
    {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}, {"type": "null"}]},
    {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/A"}}, {"type": "array", "items": {"$ref": "#/$defs/B"}}]},
])  # fmt: skip
def test_several_choices_that_may_hold_the_same_and_look_alike_are_refused(several: Any) -> None:
    with pytest.raises(SchemaRefused, match="tells apart"):
        compile_schema(
            "x", {**held(a={"$ref": "#/$defs/A"}), "$defs": {"A": held(x=several), "B": held(x=several)}}
        )


@pytest.mark.parametrize("one", [
    {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    {"anyOf": [{"$ref": "#"}, {"type": "array", "items": {"$ref": "#"}}, {"type": "string"}]},
    {"anyOf": [{"$ref": "#"}, held(other={"type": "string"})]},
])  # fmt: skip
def test_one_choice_of_a_kind_that_holds_the_same_is_taken(one: Any) -> None:
    model = compile_schema("x", held(a=one, b={"type": ["string", "null"]}))
    inner = {"a": None, "b": "x"}
    assert verdict(model, [json.dumps({"a": inner, "b": None})])[0] is ({"type": "null"} in one["anyOf"])


def test_names_that_differ_in_their_last_letter_are_two_definitions() -> None:
    long = "x" * 100
    parts = {f"{long}1": {"type": "string"}, f"{long}2": {"type": "number"}}
    one, other = ({"type": "object", "properties": {"a": part}, "required": ["a"]} for part in parts.values())
    model = of({f"{long}1": one, f"{long}2": other})
    assert verdict(model, [f'{{"{long}1": {{"a": "x"}}, "{long}2": {{"a": 1}}}}'])[0]
    assert not verdict(model, [f'{{"{long}2": {{"a": "x"}}}}'])[0]


def test_a_reference_is_an_escaped_pointer_into_the_definitions_that_it_names() -> None:
    model = compile_schema("x", {
        "type": "object",
        "properties": {"a": {"$ref": "#/definitions/A"}, "b": {"$ref": "#/$defs/A%20~1~0"}},
        "$defs": {"A": {"type": "number"}, "A /~": {"type": "boolean"}}, "definitions": {"A": {"type": "string"}},
    })  # fmt: skip
    assert verdict(model, ['{"a": "x", "b": true}'])[0]
    assert not verdict(model, ['{"a": 1}'])[0] and not verdict(model, ['{"b": 1}'])[0]


def test_numbers_of_any_size_have_verdicts() -> None:
    model = of({"a": {"type": "number", "multipleOf": 0.5}, "b": {"type": "number", "multipleOf": 10**400},
                "c": {"type": "string", "maxLength": 10**30, "minLength": 1.0}})  # fmt: skip
    huge = "1" + "0" * 400
    for text, valid in [(f'{{"a": {huge}}}', True), ('{"a": 1e308}', True), ('{"a": 1e999}', False), (f'{{"b": {huge}}}', True),
                        ('{"b": 1.5}', False), ('{"b": 0.0}', True), ('{"c": "x"}', True), ('{"c": ""}', False)]:  # fmt: skip
        assert verdict(model, [text])[0] is valid, text


@pytest.mark.parametrize(
    ("pattern", "steps"),
    [
        ("^[a-z]{2,63}$", 65),
        (r"\w{90}", 4_500),
        (r"(?:\d{4}){3}", 120),
        (r"(a|b{2}){10}", 40),
        (r"\w*{90}", 4_501),
        (r"\w{9}{9}", 4_050),
        (r"\{90\}", 4),
        (r"[\w.]{2}", 100),
        ("a{3,}", 4),
    ],
)
def test_the_steps_of_a_pattern_are_those_that_its_repetitions_unroll_to(pattern: str, steps: int) -> None:
    assert pattern_steps(pattern) in (steps, steps - 1)


@pytest.mark.parametrize("pattern", ["(?i)a", "(?x)a {90}", "(?<=a)b", "[[a]b]", "[a&&b]", "[a--b]", "[]a]", "[^]a]", "a{ 90 }", "a{9", ")"])  # fmt: skip
def test_a_pattern_that_the_engine_reads_as_something_else_is_refused(pattern: str) -> None:
    with pytest.raises(PatternRefused):
        pattern_steps(pattern)


def test_patterns_that_would_take_minutes_to_build_are_refused_before_they_are_built() -> None:
    with pytest.raises(SchemaRefused) as caught:
        of({f"a{number}": {"type": "string", "pattern": r"\w{90}"} for number in range(490)})
    assert caught.value.pointer == "/properties/a1/pattern" and str(MAX_PATTERN_STEPS) in caught.value.detail


def test_a_schema_is_compiled_once_and_the_oldest_are_forgotten_when_all_are_too_large() -> None:
    def named(number: int) -> str:
        members = {f"a{number}_{each}": {"type": "null"} for each in range(299)}
        return compiled("kept", {"type": "object", "properties": members})

    first = named(0)
    assert named(0) == first
    names = [named(number) for number in range(1, MAX_REGISTERED_PARTS // 300)]
    assert is_registered(first)  # and is the newest now
    held = load_schema(names[0])
    names += [named(1_000), named(1_001)]
    assert is_registered(first) and not is_registered(names[0]) and not is_registered(names[1])
    assert load_schema(names[0]) is held  # as long as a request that brought it runs


def test_what_is_forgotten_leaves_the_memory() -> None:
    def name_and_model() -> tuple[str, Any]:
        name = compiled("gone", {"type": "object", "properties": {"gone": {"type": "string"}}})
        assert verdict(load_schema(name), ['{"gone": "x"}'])[0]  # its plan and validators are made
        return name, ref(load_schema(name))

    name, model = name_and_model()
    for number in range(2):
        members = {f"b{number}_{each}": {"type": "null"} for each in range(499)}
        compiled(
            "large",
            {"type": "object", "properties": {**members, "p": {"type": "string", "pattern": "a{2900}"}}},
        )
    assert not is_registered(name)
    gc.collect()
    assert model() is None
