"""What a retry keeps, and how the second answer is joined to it."""

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, model_validator

from pydantic_streaming import StreamedValidator, Violation
from weir.generate.retry import Splice, completed_elements, completed_members, plan_retry
from weir.schemas import load_schema

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)  # a busy machine is no mistake
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


@settings(deadline=None)  # a busy machine is no mistake
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


@settings(deadline=None)  # a busy machine is no mistake
@given(
    st.dictionaries(st.text(max_size=3), JSON, min_size=2, max_size=5),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
    st.sampled_from([None, 2]),
    st.booleans(),
    st.integers(1, 9),
)
def test_of_a_whole_document_that_comes_again_what_was_released_is_left_out(
    document: dict[str, object], many: int, random: Random, indent: int | None, escapes: bool, size: int
) -> None:
    names = list(document)
    kept = names[: min(many, len(names) - 1)]
    released = json.dumps({name: document[name] for name in kept}, indent=indent)[:-1].rstrip()
    random.shuffle(names)
    again = json.dumps({name: f"other {name}" if name in kept else document[name] for name in [*kept[:1], *names]},
                       indent=indent, ensure_ascii=escapes)  # fmt: skip
    splice = Splice(released, frozenset(kept), "", released)
    joined = "".join(splice.feed(again[at : at + size]) for at in range(0, len(again), size))
    assert splice.whole and joined.startswith(released)
    assert json.loads(joined) == document


@pytest.mark.parametrize("released", ["", '{"a":1'])
@pytest.mark.parametrize("size", [1, 4, 100])
def test_what_is_given_again_unasked_is_left_out_behind_what_was_kept(size: int, released: str) -> None:
    splice = Splice('{"a":1,"c":2', frozenset("ac"), "", released)
    answer = '{"b": [3, {"a": 4}], "c": {"d": "}"}, "e": 5, "a": 6}'
    joined = "".join(splice.feed(answer[at : at + size]) for at in range(0, len(answer), size))
    assert joined == '{"a":1,"c":2,"b": [3, {"a": 4}],"e": 5}' and not splice.whole


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize(
    ("again", "rest"),
    [
        ('{"a":2,,"b":1}', ',,"b":1}'),
        ('{"a":2,}', ",}"),
        ('{"a":2]', "]"),
        ('{"a":2} more', "} more"),
        ('{"a":"\\\\","b":"\\""}', ',"b":"\\""}'),
        ('{"a":[{"b":"]}"}],"b":{"a":1}}', ',"b":{"a":1}}'),
        ('{"a":', ""),
    ],
)
def test_what_is_wrong_behind_what_is_left_out_stays_wrong(again: str, rest: str, size: int) -> None:
    splice = Splice('{"a":1', frozenset("a"), "", '{"a":1')
    joined = "".join(splice.feed(again[at : at + size]) for at in range(0, len(again), size))
    assert joined == '{"a":1' + rest


MODEL = load_schema("blog_post")
FIELDS = tuple(MODEL.model_fields)
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


def test_the_elements_before_a_wrong_one_are_kept_and_those_that_follow_are_asked_for() -> None:
    text = '{"title": "T", "slug": "s", "summary": "S", "tags": ["a", "b", 3]'
    sent = ["/title", "/slug", "/summary", "/tags/0", "/tags/1"]
    retry = plan_retry(MODEL, text, [violation(text)], sent, FIELDS)
    assert retry.prefix == '{"title":"T","slug":"s","summary":"S","tags":["a","b"'
    assert (retry.open_list, retry.discarded_paths) == ("tags", [])
    assert retry.kept_paths == set(sent)
    assert retry.properties == {"tags", "author", "sections", "conclusion", "references"}
    assert retry.messages[0].text.endswith('"tags":["a","b"]}')
    assert "Begin with tags: give only the elements that follow the 2 above." in retry.messages[1].text


def test_values_inside_a_wrong_element_are_discarded() -> None:
    text = '{"title": "T", "slug": "s", "summary": "S", "tags": ["a", 3, "b"], "author": {"name": "A"}}'
    sent = ["/title", "/slug", "/summary", "/tags/0"]
    wrong = Violation("/tags/1", ("tags", 1), "string_type", "wrong")
    retry = plan_retry(MODEL, text, [wrong], [*sent, "/tags/1/x", "/tags/2", "/author"], FIELDS)
    assert set(sent) < retry.kept_paths
    assert retry.discarded_paths == ["/tags/1/x", "/tags/2"]


@pytest.mark.parametrize(
    ("text", "loc"),
    [
        ('{"title": "T", "slug": "s", "summary": "S", "tags": [3, "a"]', ("tags", 0)),
        ('{"title": "T", "slug": "s", "summary": "S", "tags": ["a", "a"]', ("tags",)),
        ('{"title": "T", "slug": "s", "tags": ["a", 3]', ("tags", 1)),  # the summary would be asked for first
    ],
)
def test_no_elements_are_kept_where_none_is_before_the_wrong_one_or_the_list_would_not_come_first(
    text: str, loc: tuple[str | int, ...]
) -> None:
    retry = plan_retry(MODEL, text, [Violation(None, loc, "x", "wrong")], ["/title", "/tags/0"], FIELDS)
    assert (retry.open_list, retry.discarded_paths) == ("", ["/tags/0"])


@settings(deadline=None)  # a busy machine is no mistake
@given(st.lists(JSON, max_size=4), st.integers(0, 80), st.sampled_from([None, 1]))
def test_elements_are_complete_wherever_the_text_breaks_off(
    values: list[object], cut: int, indent: int | None
) -> None:
    text = json.dumps({"a": 1, "list": values, "z": 2}, indent=indent, ensure_ascii=False)
    found = completed_elements(text[:cut], "list")
    assert [json.loads(raw) for raw in found] == values[: len(found)]
    assert len(completed_elements(text, "list")) == len(values)


@pytest.mark.parametrize("rest", [[], [3], ["x", {"y": [4]}]])
@pytest.mark.parametrize("space", ["", " ", "\n\t "])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_list_goes_on_where_it_ended(rest: list[object], space: str, size: int) -> None:
    answer = f'{space}{{{space}"list"{space}:{space}[{space}{json.dumps(rest)[1:-1]}], "z": 5}}'
    splice = Splice('{"a":1,"list":[1,2', frozenset("a"), "list")
    joined = "".join(splice.feed(answer[at : at + size]) for at in range(0, len(answer), size))
    assert json.loads(joined) == {"a": 1, "list": [1, 2, *rest], "z": 5}
    assert not splice.whole


@pytest.mark.parametrize("answer", ['{"z": 5}', "{}", '{"list": 3}', '{"a": 1, "list": [1, 2], "z": 5}'])
def test_an_answer_that_does_not_go_on_with_the_list_is_taken_alone(answer: str) -> None:
    splice = Splice('{"a":1,"list":[1,2', frozenset("a"), "list")
    assert "".join(map(splice.feed, answer)) == answer
    assert splice.whole


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
