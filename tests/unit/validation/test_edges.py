"""Features at the edge of what can be split: what Pydantic says of them, streamed, and how early."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AnyUrl,
    Base64Str,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    HttpUrl,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from pydantic_streaming import Document, InvalidDocument, StreamedValidator, Value, Violation, plan_for


class Note(BaseModel):
    text: str = Field(min_length=1)


@dataclass
class Shelf:
    notes: list[Note]
    label: str = "l"


class Drawer(TypedDict, total=False):
    notes: list[Note]
    label: str


class Loose(BaseModel):
    n: int = 0


class Kept(BaseModel):
    model_config = ConfigDict(extra="allow")
    n: int = 0


class Spelled(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    notes: list[Note] = Field(alias="Notes")
    n: int = Field(default=0, validation_alias=AliasChoices("N", "number"))


class Quiet(BaseModel):
    model_config = ConfigDict(loc_by_alias=False)
    one: int = Field(alias="so/me", default=0)
    many: int = Field(validation_alias=AliasChoices("m", "n"), default=0)


def doubled(value: Any) -> Any:
    return value * 2 if isinstance(value, list) else value


class Before(BaseModel):
    wrong: Annotated[list[int], BeforeValidator(doubled)]
    right: list[int]


class Home(BaseModel):
    shelves: list[Shelf]
    drawer: Drawer
    by_name: dict[str, Note]
    by_kind: dict[Literal["a", "b"], Shelf]
    sequence: Sequence[Note]
    many: tuple[Note, ...]


def stream(
    model: type[BaseModel], text: str, size: int = 3
) -> tuple[list[Value | Violation], Document | InvalidDocument]:
    validator = StreamedValidator(model, instances=True)
    events = [event for at in range(0, len(text), size) for event in validator.feed(text[at : at + size])]
    try:
        return events, validator.close()
    except InvalidDocument as error:
        return events, error


def violation(model: type[BaseModel], text: str) -> Violation | None:
    return next((event for event in stream(model, text)[0] if isinstance(event, Violation)), None)


def same(model: type[BaseModel], text: str) -> None:
    """Whatever the pieces, the verdict is Pydantic's."""
    for size in (1, 5, 10_000):
        _, got = stream(model, text, size)
        try:
            want = model.model_validate_json(text)
        except ValidationError as error:
            assert isinstance(got, InvalidDocument)
            assert [(v.loc, v.type, v.message) for v in got.violations] == [
                (e["loc"], e["type"], e["msg"]) for e in error.errors()
            ]
        else:
            assert isinstance(got, Document)
            assert repr(got.model) == repr(want)
            assert b"".join(got.json_parts()) == want.model_dump_json(by_alias=True).encode()


class NamedApart(BaseModel):
    n: int = Field(alias="N")


@pytest.mark.parametrize("extra", ["ignore", "forbid", "allow"])
@pytest.mark.parametrize("text", ['{"N":1,"n":2}', '{"n":2,"N":1}', '{"N":1,"n":"x"}', '{"n":2}'])
def test_a_key_that_is_a_fields_name_and_not_its_alias_is_what_pydantic_takes_it_for(
    extra: Literal["ignore", "forbid", "allow"], text: str
) -> None:
    """Pydantic 2.13 takes no notice of it in JSON; 2.14 counts it as extra."""
    model = type("Model", (NamedApart,), {"model_config": ConfigDict(extra=extra)})
    same(model, text)
    assert violation(model, '{"N":1,"n":2}') is None


@pytest.mark.parametrize("model", [Loose, Kept])
def test_a_repeated_unknown_key_is_no_violation(model: type[BaseModel]) -> None:
    text = '{"x":1,"n":2,"x":{"y":[3]}}'
    assert violation(model, text) is None
    same(model, text)


def test_a_wrong_value_under_the_lesser_of_two_keys_is_a_violation_when_no_better_key_came() -> None:
    assert violation(Spelled, '{"notes":"wrong","Notes":[{"text":"a"}]}') is None
    assert violation(Spelled, '{"number":"x","N":1,"Notes":[]}') is None
    found = violation(Spelled, '{"notes":"wrong"}')
    assert found is not None and found.path == "/notes"
    for text in (
        '{"notes":[{"text":"a"}]}',
        '{"notes":[{"text":"a"}],"Notes":[]}',
        '{"Notes":[],"notes":"wrong"}',
        '{"Notes":[],"number":2}',
        '{"Notes":[],"N":1,"number":"x"}',
    ):
        same(Spelled, text)


def test_under_the_first_of_its_keys_a_value_is_handed_out_at_once_and_under_another_with_its_object() -> (
    None
):
    assert Value("/Notes/0", b'{"text":"a"}') in stream(Spelled, '{"Notes":[{"text":"a"}')[0]
    assert stream(Spelled, '{"notes":[{"text":"a"}]')[0] == []
    assert Value("/Notes", b'[{"text":"a"}]') in stream(Spelled, '{"notes":[{"text":"a"}]} ')[0]


def test_where_locs_are_names_a_pointer_is_the_key_in_the_text_or_none() -> None:
    one = violation(Quiet, '{"so/me":"x"}')
    assert one is not None and (one.loc, one.path) == (("one",), "/so~1me")
    many = violation(Quiet, '{"m":"x"}')
    assert many is not None and (many.loc, many.path) == (("many",), None)
    same(Quiet, '{"so/me":"x","n":"y"}')


def test_behind_a_before_validator_no_loc_is_a_place_in_the_text() -> None:
    wrong = violation(Before, '{"wrong":[1,"x"]}')
    assert wrong is not None and (wrong.loc, wrong.path) == (("wrong", 1), None)
    right = violation(Before, '{"right":[1,"x"],"wrong":[]}')
    assert right is not None and (right.loc, right.path) == (("right", 1), "/right/1")


@pytest.mark.parametrize("key", ["c", "é"])
def test_a_wrong_key_of_a_dict_is_no_place(key: str) -> None:
    class Model(BaseModel):
        names: dict[Literal["a"], Note]

    text = json.dumps({"names": {key: {"text": "t"}}})
    found = violation(Model, text)
    assert found is not None and (found.loc, found.path) == (("names", key, "[key]"), None)
    same(Model, text)


def test_beside_too_many_elements_a_wrong_one_is_a_violation_and_at_the_end_there_is_one_error() -> None:
    class Model(BaseModel):
        notes: Annotated[list[Note], Field(max_length=2)]

    text = '{"notes":[{"text":""},{"text":"a"},{"text":"a"}]}'
    found = violation(Model, text)
    assert found is not None and (found.path, found.type) == ("/notes/0/text", "string_too_short")
    same(Model, text)


def test_what_has_parts_hands_them_out_whatever_it_becomes() -> None:
    note: Any = {"text": "a"}
    text = json.dumps(
        {
            "shelves": [{"notes": [note], "label": "x"}],
            "drawer": {"notes": [note], "label": "x"},
            "by_name": {"o/ne": note},
            "by_kind": {"b": {"notes": [note]}},
            "sequence": [note],
            "many": [note],
        }
    )
    events, _ = stream(Home, text)
    assert [event.path for event in events] == [
        "/shelves/0/notes/0",
        "/shelves/0/label",
        "/drawer/notes/0",
        "/drawer/label",
        "/by_name/o~1ne",
        "/by_kind/b/notes/0",
        "/by_kind/b/label",
        "/sequence/0",
        "/many/0",
    ]
    same(Home, text)


def test_a_repeated_key_of_a_dict_whose_entries_were_handed_out_is_a_violation() -> None:
    class Model(BaseModel):
        by_name: dict[str, Note]

    text = '{"by_name":{"a":{"text":"1"},"a":{"text":"2"}}}'
    found = violation(Model, text)
    assert found is not None and (found.path, found.type) == ("/by_name/a", "duplicate_key")
    same(Model, text)


def test_an_empty_or_too_small_array_or_dict_is_judged_like_any() -> None:
    class Model(BaseModel):
        many: Annotated[tuple[Note, ...], Field(min_length=1)]
        names: Annotated[dict[str, Note], Field(min_length=1, max_length=1)]

    one: Any = {"text": "a"}
    for many in ([], [one], [one, one]):
        for names in ({}, {"a": one}, {"a": one, "b": one}):
            same(Model, json.dumps({"many": many, "names": names}))


class Harmless(BaseModel):
    data: Base64Str
    url: AnyUrl
    site: list[HttpUrl]
    size: ByteSize
    path: Path
    n: int = Field(validation_alias=AliasChoices("n", "m"))
    named: int = 0

    @field_validator("named", "size")
    @classmethod
    def see(cls, value: int, info: ValidationInfo) -> int:
        if info.mode == "json" and info.field_name == "named" and value > 9:
            raise ValueError(f"{info.field_name} is too large")
        return value


def test_validators_that_look_at_nothing_but_their_value_and_its_field_do_not_forbid_the_split() -> None:
    assert plan_for(Harmless).reasons == ()
    text = '{"data":"YWJj","url":"x:y","site":["http://a.b"],"size":"1kb","path":"p","m":1,"named":12}'
    found = violation(Harmless, text)
    assert found is not None and found.message == "Value error, named is too large"
    same(Harmless, text)
    same(Harmless, text.replace("12", "1"))


def reads_data(value: Any, info: ValidationInfo) -> Any:
    return value if info.data else None


def gives_it_away(value: Any, info: ValidationInfo) -> Any:
    return repr((value, info))


def keeps_it(value: Any, info: ValidationInfo) -> Any:
    return (lambda: (value, info.mode))()


def has_a_default(value: Any, info: ValidationInfo, other: Any = None) -> Any:
    return value, info.data, other


@pytest.mark.parametrize("function", [reads_data, gives_it_away, keeps_it, has_a_default])
def test_validators_of_which_that_cannot_be_said_do(function: Any) -> None:
    class Model(BaseModel):
        a: int
        b: Annotated[Any, AfterValidator(function)]

    assert any("validation info" in reason for reason in plan_for(Model).reasons)


class Section(BaseModel):
    heading: str = Field(min_length=2)
    body: str
    tags: list[str] = []


class Essay(BaseModel):
    sections: list[Section]
    last: Section

    @model_validator(mode="after")
    def seen(self) -> "Essay":
        return self


@pytest.mark.parametrize(
    "begun", ['{"sections":[{"heading":"x","body":"', '{"sections":[],"last":{"heading":"x","body":"']
)
def test_a_wrong_leaf_of_a_long_element_is_known_long_before_the_element_closes(begun: str) -> None:
    validator = StreamedValidator(Essay)
    text = begun + "words " * 2000
    for at in range(0, len(text), 4):
        validator.feed(text[at : at + 4])
        if validator.violation is not None:
            break
    assert validator.violation is not None and validator.violation.loc[-1] == "heading"
    assert validator.chars - len(begun) < 1040


@pytest.mark.parametrize("size", [1, 4, 100, 10_000])
def test_what_is_wrong_first_does_not_depend_on_the_pieces(size: int) -> None:
    wrong: Any = {"tags": ["a", 1], "body": "b" * 2000, "heading": "x"}
    events, _ = stream(Essay, json.dumps({"sections": [{"heading": "ok", "body": "b"}, wrong]}), size)
    assert [event.path for event in events] == ["/sections/0", "/sections/1/tags/1"]


@pytest.mark.parametrize("root", ["[", '"', "1", "-", "t", "n", " \n["])
def test_a_root_of_another_kind_is_known_with_its_first_character(root: str) -> None:
    found = violation(Essay, root)
    assert found is not None and (found.type, found.loc, found.path) == ("model_type", (), "")
    assert found.message == "Input should be an object"
    for text in ("[]", '["a", {"sections": []}]', '"text"', "12", "-1.5", "true", "null", "[1 true", "nul"):
        same(Essay, text)


@dataclass
class Node:
    name: str
    children: "list[Node]" = field(default_factory=list)


class Tree(BaseModel):
    root: Node


def test_a_dataclass_that_nests_itself_is_split() -> None:
    same(Tree, json.dumps({"root": {"name": "a", "children": [{"name": "b", "children": [{"name": "c"}]}]}}))
