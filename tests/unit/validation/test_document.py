"""A document's JSON in parts, and where an error is in the text."""

import json
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from pydantic_streaming import Document, StreamedValidator
from pydantic_streaming.values import path_of, pointer


class Text(BaseModel):
    lines: list[str]


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(4, 40))
def test_parts_are_bounded_text_of_their_own_and_join_to_the_dump(lines: list[str], max_bytes: int) -> None:
    model = Text(lines=lines)
    validator = StreamedValidator(Text)
    validator.feed(model.model_dump_json())
    parts = list(validator.close().json_parts(max_bytes))
    assert "".join(part.decode() for part in parts) == model.model_dump_json()
    assert all(len(part) <= max_bytes for part in parts)
    assert all(len(part) > max_bytes - 4 for part in parts[:-1])


def test_a_part_is_longer_than_the_longest_character() -> None:
    document = Document([], [b"{}"], Text(lines=[]))
    with pytest.raises(ValueError, match="expected at least 4"):
        list(document.json_parts(3))


def test_the_model_is_made_once_and_only_if_asked_for() -> None:
    made: list[Text] = []

    def make() -> Text:
        made.append(Text(lines=[]))
        return made[-1]

    document = Document([], [b"{}"], make)
    assert not made
    assert document.model is document.model is made[0]


def test_pointers_are_escaped() -> None:
    assert pointer("a/b", 0, "m~n", "") == "/a~1b/0/m~0n/"


class Cat(BaseModel):
    kind: str = Field(pattern="cat")


class Dog(BaseModel):
    kind: str = Field(pattern="dog")


class Places(BaseModel):
    items: list[Cat] = []
    names: dict[str, int] = {}
    pair: tuple[int, int] = (0, 0)
    many: tuple[int, ...] = ()
    pet: Cat | Dog | None = None
    some: Annotated[Cat | None, Field(alias="so/me")] = None
    needed: int = 0


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"items": [{"kind": "cat"}, {"kind": "cow"}]}, "/items/1/kind"),
        ({"items": [{}]}, "/items/0/kind"),
        ({"names": {"a/b": "x"}}, "/names/a~1b"),
        ({"pair": [1, "x"]}, "/pair/1"),
        ({"many": [1, 2, "x"]}, "/many/2"),
        ({"so/me": {"kind": 1}}, "/so~1me/kind"),
        ({"needed": None}, "/needed"),
        ({"pet": {"kind": "cow"}}, None),
        ([], ""),
    ],
)
def test_a_loc_is_a_pointer_where_it_is_a_place_and_none_where_it_is_not(
    value: Any, path: str | None
) -> None:
    with pytest.raises(ValidationError) as caught:
        Places.model_validate_json(json.dumps(value))
    loc = caught.value.errors()[0]["loc"]
    assert path_of(Places.__pydantic_core_schema__, loc) == path
