"""Models that can hold the loop are refused, with the field's name."""

import re
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field

from pydantic_streaming import StreamedValidator, UnsafeSchema, check_model, hazards_of
from pydantic_streaming.hazards import backtracks
from weir.schemas import load_schema, schema_names


class Deep(BaseModel):
    model_config = ConfigDict(regex_engine="python-re")
    text: Annotated[str, Field(pattern="^(a+)+$")]


@dataclass
class Between:
    deep: list[Deep]


class Model(BaseModel):
    rust: Annotated[str, Field(pattern="^(a+)+$")] = ""
    compiled: Annotated[str, Field(pattern=re.compile("(a|aa)+$"))] = ""
    by_name: dict[str, Between | None] = {}
    lazy: Iterable[int] = ()
    lazier: list[Generator[int, None, None]] = []
    again: "Model | None" = None


def test_each_hazard_is_named_by_its_field_however_deep() -> None:
    assert [hazard.split(":")[0] for hazard in hazards_of(Model)] == [
        "compiled",
        "by_name.deep.text",
        "lazy",
        "lazier",
    ]
    with pytest.raises(UnsafeSchema, match="Model: compiled: Python's re runs the pattern"):
        check_model(Model)
    with pytest.raises(UnsafeSchema, match="lazy: a lazy iterable"):
        StreamedValidator(Model)


@pytest.mark.parametrize("name", schema_names())
def test_no_schema_of_ours_can_hold_the_loop(name: str) -> None:
    check_model(load_schema(name))


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "^(a|aa)+$", "^(a?){30}a{30}$", r"\s+$", r"^\s*a*\s*$", "^(?:a{1,9}){1,9}$", r"^(\w+\s?)*$",
     r"^(?=(a+)+b)", "^(?>a)(b*)*$"],
)  # fmt: skip
def test_a_pattern_that_may_backtrack_without_end_is_refused(pattern: str) -> None:
    assert backtracks(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{3}-\d{4}$",
        "^[a-z]+$",
        "^(?!x)[a-z]*$",
        "yes|no",
        "^a*+b*+$",
        "^(?>a+)b$",
        r"^(\w)\1$",
        "a?b{2,9}",
    ],
)
def test_one_that_cannot_is_not(pattern: str) -> None:
    assert backtracks(pattern) == ""
    compiled = re.compile(pattern)
    for text in ("a" * 20_000 + "!", "ab" * 10_000, "0" * 20_000):
        began = time.process_time()
        compiled.search(text)
        assert time.process_time() - began < 0.1
