"""A body that is read without the model of requests says exactly what the model reads in it; what is doubtful is its."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.generate.accept import accept, read_json
from weir.generate.params import GenerationParams
from weir.generate.requests import GenerationRequest, parse_body, parse_json
from weir.problems import Problem

TEXTS = st.one_of(
    st.text(max_size=8), st.sampled_from(["", "hi", "blog_post", "delta", "\ud800", "\x00", "a" * 201])
)
NUMBERS = st.one_of(
    st.sampled_from([0, 1, 2, -1, True, 0.5, 2.5, -0.0, 1e400, float("nan"), 10**6, 10**6 + 1, 10**30, 900_001]),
    st.integers(), st.floats(),
)  # fmt: skip
ANYTHING = st.recursive(
    st.one_of(st.none(), NUMBERS, TEXTS), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)  # fmt: skip
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "assistant", "developer", "tool"]), "content": TEXTS | ANYTHING},
        optional={"name": TEXTS},
    ), max_size=3,
)  # fmt: skip
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "prompt": TEXTS,
    "messages": MESSAGES,
    "schema": st.sampled_from(["blog_post", "nope", None, ""]),
    "schema_name": st.sampled_from(["blog_post", None]),
    "model": TEXTS,
    "max_output_tokens": NUMBERS,
    "temperature": NUMBERS,
    "top_p": NUMBERS,
    "timeout_ms": NUMBERS,
    "seed": NUMBERS,
    "include": st.lists(st.sampled_from(["delta", "value", "result", "x"]), max_size=4),
    "release": st.sampled_from(["raw", "validated", "x", None]),
    "on_violation": st.sampled_from(["stop", "finish", "retry", "x"]),
    "tags": st.dictionaries(st.sampled_from(["a", "b:c", "ä", "", "x" * 65, "a\n"]), TEXTS, max_size=3),
    "extra": ANYTHING,
}
BODIES = st.dictionaries(st.sampled_from(sorted(MEMBERS)), st.none(), max_size=5).flatmap(
    lambda names: st.fixed_dictionaries({name: MEMBERS[name] | ANYTHING for name in names})
)


def agrees(body: bytes) -> GenerationParams | None:
    found = accept(body)
    if found is not None:
        assert repr(found) == repr(parse_body(body))
    return found


@given(BODIES, st.sampled_from([{"prompt": "hi"}, {"messages": [{"role": "user", "content": "hi"}]}, {}]))
def test_what_is_accepted_is_what_the_model_reads(members: dict[str, Any], also: dict[str, Any]) -> None:
    agrees(json.dumps(members | also).encode())
    agrees(json.dumps(members).encode())


@given(st.binary(max_size=40) | st.text(max_size=20).map(lambda text: f'{{"prompt":"{text}"}}'.encode()))
def test_bytes_that_may_be_no_json_are_taken_for_nothing_that_the_model_refuses(body: bytes) -> None:
    agrees(body)


def read(body: bytes, reader: Any) -> str:
    try:
        return repr(reader(body))
    except Problem as problem:
        return problem.detail


@given(
    ANYTHING.map(json.dumps).map(str.encode)
    | st.binary(max_size=40)
    | st.sampled_from(
        [b'{"a":1,"a":2}', b"[1e400]", b"[NaN]", b'["\\ud83d\\ude00"]', b'["\\ud83d"]', b"\xef\xbb\xbf[]"]
    )
    | st.text(max_size=20).map(lambda text: f'["{text}"]'.encode())
)
def test_a_value_read_without_pydantic_is_the_one_that_its_parser_reads(body: bytes) -> None:
    assert read(body, read_json) == read(body, parse_json)


@pytest.mark.parametrize(
    "body",
    [
        '{"prompt":"a","prompt":"b"}', '{"prompt":"\\ud800"}', '{"prompt":"a","temperature":NaN}', "[]", "null", "",
        '{"prompt":"a","temperature":"1"}', '{"prompt":"a","max_output_tokens":1.0}', '{"prompt":"a"} x', "\ufeff{}",
        '{"prompt":"a","tags":{"a":"b\\n"}}', '{"prompt":"a","model":null}', '{"prompt":"a","messages":null}',
    ],
)  # fmt: skip
def test_what_somebody_could_doubt_is_left_to_the_model(body: str) -> None:
    assert accept(body.encode()) is None


def test_usual_bodies_do_not_wait_for_the_model() -> None:
    usual = {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tëll me"}],
        "schema": "blog_post", "model": "fast", "max_output_tokens": 500, "temperature": 1, "top_p": 0.9,
        "include": ["delta"], "release": "validated", "on_violation": "retry", "tags": {"team": "a:b"}, "timeout_ms": 5,
    }  # fmt: skip
    assert agrees(json.dumps(usual).encode()) is not None
    assert agrees(json.dumps({"prompt": "x", "schema": "blog_post"}).encode()) is not None


def test_every_member_of_the_model_is_one_of_what_is_asked() -> None:
    assert set(GenerationRequest.model_fields) - {"prompt"} == set(GenerationParams._fields) - {"passed"}


def test_the_model_still_refuses() -> None:
    with pytest.raises(Problem):
        parse_body(b'{"prompt":""}')
