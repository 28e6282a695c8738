"""What a retry keeps, and how the second answer is joined to it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, model_validator

from pydantic_streaming import StreamedValidator, Violation
from weir.generate.retry import Splice, completed_members, plan_retry
from weir.schemas import load_schema

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=4), JSON, max_size=5), st.integers(0, 200), st.sampled_from([None, 2])
)
def test_members_are_complete_wherever_the_text_breaks_off(
    value: dict[str, object], cut: int, indent: int | None
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    found = completed_members(text[:cut])
    assert list(found) == list(value)[: len(found)]
    assert all(json.loads(raw) == value[name] for name, raw in found.items())
    assert len(completed_members(text)) == len(value)


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{", '{"a"', '{"a":12', '{"a":1 "b"', "{" * 100_000, '{"a":1,"a":2}']
)
def test_nothing_is_kept_of_what_is_not_complete_or_not_clear(text: str) -> None:
    assert completed_members(text) == {}


@given(
    st.dictionaries(st.text(max_size=3), JSON, min_size=1, max_size=3),
    st.dictionaries(st.text(max_size=3), JSON, max_size=3),
    st.sampled_from(["", " ", "\n\t "]),
    st.integers(1, 9),
)
def test_two_answers_are_spliced_into_one_object(
    kept: dict[str, object], rest: dict[str, object], space: str, size: int
) -> None:
    rest = {name: value for name, value in rest.items() if name not in kept}
    answer = space + "{" + space + json.dumps(rest)[1:]
    splice = Splice(json.dumps(kept)[:-1], frozenset(kept))
    joined = "".join(splice.feed(answer[at : at + size]) for at in range(0, len(answer), size))
    assert json.loads(joined) == kept | rest


def test_an_answer_that_is_no_object_is_passed_on_to_be_refused() -> None:
    splice = Splice('{"a":1', frozenset("a"))
    assert splice.feed("  ") + splice.feed("Sorry") + splice.feed(", no") == "Sorry, no"


@pytest.mark.parametrize("size", [1, 5, 100])
def test_an_answer_that_gives_everything_again_is_taken_alone(size: int) -> None:
    splice = Splice('{"a":1', frozenset("a"))
    answer = ' {"a": 2, "b": 3}'
    assert (
        "".join(splice.feed(answer[at : at + size]) for at in range(0, len(answer), size)) == answer.lstrip()
    )
    assert splice.whole


MODEL = load_schema("blog_post")
FIELDS = frozenset(MODEL.model_fields)
TEXT = '{"title": "T", "slug": "Not A Slug", "summary": "S"'


def violation(text: str) -> Violation:
    [found] = [item for item in StreamedValidator(MODEL).feed(text) if isinstance(item, Violation)]
    return found


def test_only_the_bad_and_the_missing_fields_are_asked_for_again() -> None:
    retry = plan_retry(MODEL, TEXT, [violation(TEXT)], ["/title"], FIELDS)
    assert retry.prefix == '{"title":"T"'
    assert retry.properties == set(MODEL.model_fields) - {"title"}
    assert retry.kept_paths == {"/title"} and retry.discarded_paths == []
    assert (retry.messages[0].role, retry.messages[0].text) == ("assistant", '{"title":"T"}')
    assert "slug: String should match pattern" in retry.messages[1].text


def test_elements_of_a_list_that_is_asked_for_again_are_discarded() -> None:
    text = '{"title": "T", "tags": ["a", 3]'
    retry = plan_retry(MODEL, text, [violation(text)], ["/title", "/tags/0"], FIELDS)
    assert retry.discarded_paths == ["/tags/0"]


class Checked(BaseModel):
    """Judged as a whole: no field's value stands before the last one came."""

    a: int
    b: int

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, data: object) -> object:
        return data


@pytest.mark.parametrize(
    ("model", "text", "loc"),
    [(Checked, '{"a": 1, "b": "x"}', ("b",)), (MODEL, TEXT, ()), (MODEL, "Sorry, no", ())],
)
def test_everything_is_asked_for_again_where_nothing_can_be_told_apart(
    model: type[BaseModel], text: str, loc: tuple[str, ...]
) -> None:
    retry = plan_retry(model, text, [Violation(None, loc, "x", "wrong")], ["/a"], model.model_fields)
    assert (retry.prefix, retry.properties, retry.discarded_paths) == ("", None, ["/a"])


def test_everything_is_asked_for_again_where_no_field_may_be_asked_for_apart() -> None:
    retry = plan_retry(MODEL, TEXT, [violation(TEXT)], ["/title"], ())
    assert (retry.prefix, retry.properties, retry.discarded_paths) == ("", None, ["/title"])
