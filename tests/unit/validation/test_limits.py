"""Texts made to hurt: what they cost is linear and bounded, and the verdict is still the exact one.

Times are CPU times with a wide margin: they tell linear from quadratic, not fast from slow.
"""

import json
import time
import tracemalloc
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pydantic_streaming import Document, InvalidDocument, StreamedValidator, WholeText


class Loose(BaseModel):
    v: Any = None
    text: str = ""
    items: list[Any] = []
    strings: list[str] = []
    names: dict[str, int] = {}
    number: float = 0


class Node(BaseModel):
    children: "list[Node]" = []


class Short(BaseModel):
    text: str = Field(max_length=100_000)


def run(
    model: type[BaseModel], text: str, size: int = 4096
) -> tuple[Document | InvalidDocument, StreamedValidator, float]:
    began = time.process_time()
    validator = StreamedValidator(model)
    for at in range(0, len(text), size):
        validator.feed(text[at : at + size])
    try:
        verdict: Document | InvalidDocument = validator.close()
    except InvalidDocument as error:
        verdict = error
    return verdict, validator, time.process_time() - began


def same_as_pydantic(model: type[BaseModel], text: str, verdict: Document | InvalidDocument) -> None:
    try:
        want = model.model_validate_json(text)
    except ValidationError as error:
        assert isinstance(verdict, InvalidDocument)
        assert [(v.loc, v.type, v.message) for v in verdict.violations] == [
            (e["loc"], e["type"], e["msg"]) for e in error.errors(include_url=False)
        ][:1000]
    else:
        assert isinstance(verdict, Document)
        assert verdict.model == want
        assert b"".join(verdict.json_parts()) == want.model_dump_json(by_alias=True).encode()


@pytest.mark.parametrize("before", ["", '{"v":', '{"items":[', '{"names":{"a":', '{"extra":'])
@pytest.mark.parametrize("bomb", ["[" * 100_000, '{"a":' * 100_000])
def test_a_depth_bomb_is_refused_within_its_first_batch(before: str, bomb: str) -> None:
    text = before + bomb
    validator = StreamedValidator(Loose)
    began = time.process_time()
    found = validator.feed(text)
    seconds = time.process_time() - began
    if before:
        assert found == [validator.violation]
        assert "recursion limit exceeded" in found[0].message  # type: ignore[union-attr]
    assert seconds < 0.05
    verdict, _, _ = run(Loose, text)
    same_as_pydantic(Loose, text, verdict)


def test_a_model_that_nests_itself_is_validated_whole_where_depth_matters() -> None:
    for depth in (10, 60, 90, 100, 101, 120):
        text = '{"children":[' * depth + "]}" * depth
        verdict, _, _ = run(Node, text, 7)
        same_as_pydantic(Node, text, verdict)


@pytest.mark.parametrize("size", [4, 4096, 1 << 20])
def test_a_string_of_ten_megabytes_is_linear(size: int) -> None:
    text = json.dumps({"text": 'é "quoted"\n' * 900_000}, ensure_ascii=False)
    verdict, validator, seconds = run(Loose, text, size)
    assert validator.fallback == ""
    same_as_pydantic(Loose, text, verdict)
    assert seconds < 10


def test_a_string_of_escapes_is_split_between_them() -> None:
    text = json.dumps({"text": 'é😀\\"\n' * 20_000})
    for size in (5, 1000, 1 << 20):
        verdict, validator, _ = run(Loose, text, size)
        assert validator.fallback == ""
        same_as_pydantic(Loose, text, verdict)


def test_a_huge_string_that_is_too_long_is_refused_in_pydantics_words() -> None:
    text = json.dumps({"text": "x" * 200_000})
    verdict, validator, _ = run(Short, text, 4)
    assert validator.violation is not None
    same_as_pydantic(Short, text, verdict)


@pytest.mark.parametrize("ending", ["\\u12", "\\ud800x", "\\q", "\x01"])
def test_a_huge_string_that_is_not_json_is_refused_in_the_parsers_words(ending: str) -> None:
    text = '{"text":"' + "x" * 40_000 + ending + '"}'
    verdict, validator, _ = run(Loose, text, 100)
    assert validator.violation is not None
    same_as_pydantic(Loose, text, verdict)


def test_a_dict_of_a_million_keys_is_split() -> None:
    text = '{"names":{' + ",".join(f'"k{n}":{n}' for n in range(1_000_000)) + "}}"
    verdict, validator, seconds = run(Loose, text, 512)
    assert validator.fallback == ""
    same_as_pydantic(Loose, text, verdict)
    assert seconds < 30


@pytest.mark.parametrize("name", ["k", "k{n}"])
def test_a_hundred_thousand_unknown_members_are_left_to_the_whole_text(name: str) -> None:
    text = "{" + ",".join(f'"{name.format(n=n)}":{n}' for n in range(100_000)) + "}"
    verdict, validator, seconds = run(Loose, text, 512)
    assert validator.fallback == "more than 1000 members that no field knows"
    assert isinstance(verdict, Document)
    assert verdict.model == Loose()
    assert seconds < 0.5


@pytest.mark.parametrize("digits", [4_000, 5_000, 1_000_000])
@pytest.mark.parametrize("name", ["v", "number", "items"])
def test_a_huge_number_is_validated_like_any(digits: int, name: str) -> None:
    number = "1" * digits
    text = f'{{"{name}":[{number}]}}' if name == "items" else f'{{"{name}":{number}}}'
    verdict, _, seconds = run(Loose, text)
    assert seconds < 10
    try:
        want = Loose.model_validate_json(text)
    except ValidationError as error:
        assert isinstance(verdict, InvalidDocument)
        assert [v.type for v in verdict.violations] == [e["type"] for e in error.errors()]
    else:
        assert isinstance(verdict, Document)
        assert verdict.model == want


def test_a_pattern_that_backtracks_elsewhere_is_linear() -> None:
    class Patterned(BaseModel):
        lines: list[Annotated[str, Field(pattern="^(a+)+$")]]

    text = json.dumps({"lines": ["a" * 50_000 + "!"]})
    verdict, _, seconds = run(Patterned, text)
    same_as_pydantic(Patterned, text, verdict)
    assert seconds < 2


@pytest.mark.parametrize(
    "text",
    [
        '{"v":1' + " " * 1_000_000 + "}",
        '{"' + "k" * 1_000_000 + '":1}',
        '{"items":[' + "\n" * 1_000_000 + "1]}",
        '{"text":"' + "\\\\" * 500_000 + '"}',
        '{"v":"' + '\\"' * 500_000 + '"}',
    ],
)
def test_much_of_what_is_not_a_value_is_linear(text: str) -> None:
    for size in (64, 1 << 21):
        verdict, _, seconds = run(Loose, text, size)
        same_as_pydantic(Loose, text, verdict)
        assert seconds < 10


def test_an_element_with_a_megabyte_inside_is_split_inside_and_is_one_value() -> None:
    class Inner(BaseModel):
        body: str
        rows: list[dict[str, int]]

    class Outer(BaseModel):
        inners: list[Inner]

    inner = {"body": "x" * 300_000, "rows": [{"a": n, "b": 2} for n in range(20_000)]}
    text = json.dumps({"inners": [inner, inner]})
    validator = StreamedValidator(Outer)
    found = [event for at in range(0, len(text), 512) for event in validator.feed(text[at : at + 512])]
    assert [event.path for event in found] == ["/inners/0", "/inners/1"]
    same_as_pydantic(Outer, text, validator.close())


def test_a_text_that_only_the_whole_can_tell_says_whether_it_is_large() -> None:
    validator = StreamedValidator(Loose)
    validator.feed('{"text":"' + "x" * 200_000)
    outcome = validator.end()
    assert isinstance(outcome, WholeText)
    assert outcome.large
    assert outcome.reason == "the text is not complete"
    assert b"".join(outcome.pieces) == b'{"text":"' + b"x" * 200_000


def test_what_is_huge_and_cannot_be_split_is_left_to_the_whole_text() -> None:
    class Opaque(BaseModel):
        before: str
        either: list[int] | dict[str, int]
        after: str

    text = json.dumps({"before": "b", "either": list(range(50_000)), "after": "a"})
    validator = StreamedValidator(Opaque)
    longest = 0.0
    for at in range(0, len(text), 4096):
        began = time.thread_time()
        validator.feed(text[at : at + 4096])
        longest = max(longest, time.thread_time() - began)
    assert longest < 0.005
    outcome = validator.end()
    assert isinstance(outcome, WholeText)
    assert "cannot be split inside" in outcome.reason
    assert [value.path for value in validator.finish(outcome.validate()).values] == ["/either", "/after"]


def test_a_large_document_that_its_validators_have_seen_is_not_dumped_again_on_the_loop() -> None:
    class Checked(BaseModel):
        lines: list[str]

        @model_validator(mode="after")
        def check(self) -> "Checked":
            return self

    for count, reason in ((100, ""), (40_000, "must be dumped again")):
        text = json.dumps({"lines": ["x" * 20] * count})
        validator = StreamedValidator(Checked)
        validator.feed(text)
        outcome = validator.end()
        assert reason in validator.fallback
        assert isinstance(outcome, WholeText) == bool(reason)


def test_a_thousand_of_many_errors_are_listed_and_all_are_counted() -> None:
    text = json.dumps({"strings": [1] * 5_000})
    verdict, _, _ = run(Loose, text)
    assert isinstance(verdict, InvalidDocument)
    assert (len(verdict.violations), verdict.error_count) == (1000, 5000)


class Item(BaseModel):
    a: int
    b: str


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    numbers: list[int] = []
    items: list[Item] = []
    names: dict[str, int] = {}
    by_name: dict[str, Item] = {}
    either: list[int] | dict[str, int] = []


class Seen(Strict):
    """Validated whole."""

    @model_validator(mode="before")
    @classmethod
    def see(cls, data: Any) -> Any:
        return data


MANY = 200_000
HOSTILE = {
    "wrong elements": '{"numbers":[' + ",".join(['""'] * MANY) + "]}",
    "empty objects": '{"items":[' + ",".join(["{}"] * MANY) + "]}",
    "wrong entries": '{"names":{' + ",".join(f'"{n}":""' for n in range(MANY)) + "}}",
    "empty entries": '{"by_name":{' + ",".join(f'"{n}":{{}}' for n in range(MANY)) + "}}",
    "unknown members": "{" + ",".join(f'"{n}":1' for n in range(MANY)) + "}",
    "no choice": '{"either":[' + ",".join(['""'] * MANY) + "]}",
}


@pytest.mark.parametrize("model", [Strict, Seen])
@pytest.mark.parametrize("kind", HOSTILE)
def test_errors_are_cut_while_they_are_made(model: type[BaseModel], kind: str) -> None:
    text = HOSTILE[kind]
    tracemalloc.start()
    verdict, _, _ = run(model, text, 1 << 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(verdict, InvalidDocument)
    assert 1 <= len(verdict.violations) <= verdict.error_count <= 1000
    # What Python holds, a dict of the whole for a before-validator among it; all errors would be 120 MB more.
    assert peak < 48_000_000


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_megabyte_of_anything_wrong_is_known_within_its_first_kilobytes(kind: str) -> None:
    validator = StreamedValidator(Strict)
    began = time.process_time()
    for at in range(0, 100_000, 4096):
        validator.feed(HOSTILE[kind][at : at + 4096])
        if validator.violation is not None:
            break
    assert time.process_time() - began < 0.1
    assert (validator.violation is not None and validator.chars == 4096) or kind == "no choice"
