"""Documents composed from JSON Schemas, judged by the jsonschema package, and their violations."""

import dataclasses
import json
import math
import random
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.simulator import SCRIPTS, Script
from infra.local.simulator.answer import compose
from infra.local.simulator.patterns import matching
from infra.local.simulator.script import Fault

from .schemas import BLOG_POST, ODD_SHAPES, strict_format

CHECKER = jsonschema.FormatChecker()
VIOLATING = ["sim-invalid", "sim-invalid-missing", "sim-invalid-extra"]


def request(prompt: str, response_format: dict[str, Any], model: str = "sim-fast") -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "response_format": response_format,
    }


def errors(text: str, schema: dict[str, Any]) -> list[jsonschema.ValidationError]:
    return list(jsonschema.Draft202012Validator(schema, format_checker=CHECKER).iter_errors(json.loads(text)))


@pytest.mark.parametrize("name", [*ODD_SHAPES, "blog_post"])
@given(prompt=st.text(max_size=80))
def test_a_composed_document_is_valid_for_any_prompt(name: str, prompt: str) -> None:
    described = BLOG_POST if name == "blog_post" else strict_format(ODD_SHAPES[name])
    answer = compose(SCRIPTS["sim-fast"], request(prompt, described))
    assert errors(answer.text, described["json_schema"]["schema"]) == []


def test_the_same_prompt_gives_the_same_answer_and_another_prompt_another() -> None:
    one, again = (compose(SCRIPTS["sim-1"], request("about tea", BLOG_POST)) for _ in range(2))
    other = compose(SCRIPTS["sim-1"], request("about coffee", BLOG_POST))
    assert one == again
    assert one.text != other.text


def test_a_document_carries_characters_of_two_three_and_four_bytes() -> None:
    answer = compose(SCRIPTS["sim-long"], request("about tea", BLOG_POST))
    assert {len(character.encode()) for character in answer.text} == {1, 2, 3, 4}


@pytest.mark.parametrize("model", VIOLATING)
@given(topic=st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=20))
def test_a_violation_is_where_the_answer_says_and_complete_when_it_says(model: str, topic: str) -> None:
    schema = BLOG_POST["json_schema"]["schema"]
    answer = compose(SCRIPTS[model], request(f"Write about {topic}", BLOG_POST, model))
    (error,) = errors(answer.text, schema)
    assert answer.violation_path is not None and answer.closes_at_token is not None
    where = "".join(f"/{part}" for part in error.absolute_path)
    assert answer.violation_path.startswith(where)
    assert answer.violation_path.startswith("/sections/1/")
    proved_at = end_of_proof(answer.text, SCRIPTS[model].violation)
    assert answer.closes_at_token == math.ceil(proved_at / SCRIPTS[model].characters_per_token)
    assert answer.object_closes_at_token is not None
    assert answer.closes_at_token <= answer.object_closes_at_token < len(answer.tokens)


def end_of_proof(text: str, violation: str | None) -> int:
    """The offset behind the wrong value, the extra one, or the object that lacks a key."""
    if violation == "missing_key":
        decoder = json.JSONDecoder()
        start = text.index('"sections":[') + len('"sections":[')
        _, first_end = decoder.raw_decode(text, start)
        return decoder.raw_decode(text, first_end + 1)[1]
    mark = {"wrong_type": '"heading":7', "extra_key": '"unexpected":true'}[violation or ""]
    return text.index(mark) + len(mark)


def test_a_repeated_key_is_no_violation_of_the_schema_but_of_the_text() -> None:
    answer = compose(SCRIPTS["sim-duplicate-key"], request("about tea", BLOG_POST, "sim-duplicate-key"))
    assert errors(answer.text, BLOG_POST["json_schema"]["schema"]) == []
    pairs = json.loads(answer.text, object_pairs_hook=list)
    assert [key for key, _ in pairs].count("title") == 2
    assert answer.violation_path == "/title"


def test_a_schema_without_a_list_of_objects_is_violated_in_its_last_property() -> None:
    script = dataclasses.replace(SCRIPTS["sim-invalid"], name="flat")
    schema = {**ODD_SHAPES["tuples"], "additionalProperties": False}
    answer = compose(script, request("about tea", strict_format(schema)))
    assert answer.violation_path == "/merged"
    assert [error.path[0] for error in errors(answer.text, schema)] == ["merged"]


@pytest.mark.parametrize(
    "pattern", [r"^[a-z0-9]+(-[a-z0-9]+)*$", r"^\d{4}-\d{2}$", r"^(red|green) [^ ]+$", r"^v?\w+$"]
)
@given(seed=st.integers(0, 1000))
def test_patterns_are_matched_within_the_bounds_of_length(pattern: str, seed: int) -> None:
    text = matching(pattern, random.Random(seed), min_length=2, max_length=40)
    assert 2 <= len(text) <= 40
    jsonschema.validate(text, {"type": "string", "pattern": pattern})


def test_an_impossible_pattern_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"\^a\{5\}\$"):
        matching("^a{5}$", random.Random(1), max_length=3)


def test_scripts_survive_the_way_to_the_other_process() -> None:
    for script in SCRIPTS.values():
        assert Script.from_json(json.loads(json.dumps(script.as_json()))) == script


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Fault("cut", at=1.0), "0.0 <= at < 1.0"),
        (lambda: Script(name="x", tokens_per_s=0), "tokens_per_s: expected more than 0"),
        (lambda: Script(name="x", sections=0), "sections: expected at least 1"),
        (lambda: Script(name="x", share=1.5), "share: expected 0.0 to 1.0"),
    ],
)
def test_a_script_that_cannot_be_played_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
