"""Null for a field that has a default and no null of its own reads as absent, and no other null does."""

import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from weir.generate.null_as_absent import NullAsAbsent


class Inner(BaseModel):
    count: int = 3
    note: str | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    lives: int | None = 1


class Outer(BaseModel):
    title: str = "untitled"
    inner: Inner = Inner()
    many: list[Inner] = []
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    pair: tuple[Inner, int] = (Inner(), 0)
    last: int = 7


SCHEMA = Outer.model_json_schema()


def read(text: str, size: int = 10**6) -> str:
    absent = NullAsAbsent(SCHEMA)
    return "".join(absent.feed(text[at : at + size]) for at in range(0, len(text), size)) + absent.close()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"title":null}', "{}"),
        ('{"title": null, "last": 1}', '{ "last": 1}'),
        ('{"last": 1, "title": null}', '{"last": 1}'),
        ('{"title":null,"last":null,"inner":{"count":null,"note":null}}', '{"inner":{"note":null}}'),
        ('{"many":[{"count":null},{"note":null,"count":null}]}', '{"many":[{},{"note":null}]}'),
        ('{"pair":[{"count":null},null]}', '{"pair":[{},null]}'),
        ('{"pet":null}', '{"pet":null}'),
        ('{"pet":{"kind":"dog","lives":null}}', '{"pet":{"kind":"dog","lives":null}}'),
        ('{"other":null}', '{"other":null}'),
        ('{"title":"null","last":1}', '{"title":"null","last":1}'),
        ('{"ti\\u0074le":null}', "{}"),
        ("[null]", "[null]"),
        ('{"last":1,}', '{"last":1,}'),
        ('{"title":null,}', "{,}"),
        ('{"last":1,"title":null,}', '{"last":1,}'),
        ("Sorry, no", "Sorry, no"),
        ('{"title":nul', '{"title":nul'),
        ("", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_null_is_taken_out_where_it_stands_for_nothing_and_only_there(
    text: str, left: str, size: int
) -> None:
    assert read(text, size) == left


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["title", "inner", "count", "many", "last", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON, st.integers(1, 9), st.sampled_from([None, 2]))
def test_any_document_stays_json_and_loses_nothing_but_nulls(
    value: Any, size: int, indent: int | None
) -> None:
    text = json.dumps(value, indent=indent)
    left = json.loads(read(text, size))
    assert left == json.loads(read(text))
    assert _without_nulls(left) == _without_nulls(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


@given(st.text(max_size=40), st.integers(1, 5))
def test_text_that_is_no_json_is_passed_on_as_it_is_or_without_such_nulls(text: str, size: int) -> None:
    assert read(text, size) == read(text) and len(read(text)) <= len(text)


def test_the_document_has_its_defaults() -> None:
    document = Outer.model_validate_json(
        read('{"title":null,"inner":{"count":null,"note":null},"last":null}')
    )
    assert (document.title, document.inner.count, document.last) == ("untitled", 3, 7)
