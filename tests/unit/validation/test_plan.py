"""Which models are split and which are validated whole, and that a split model is assembled by its own schema."""

from typing import Annotated, Any

import pytest
from pydantic import (
    AfterValidator,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from pydantic_streaming import StreamedValidator, plan_for


class Line(BaseModel):
    text: str


class Block(BaseModel):
    lines: list[Line]


class Page(BaseModel):
    title: str
    numbers: list[int]
    lines: list[Line]
    blocks: list[Block]
    block: Block
    line: Line
    maybe: list[Line] | None = None
    by_name: dict[str, Line]
    either: list[Line] | str


def test_lists_are_split_at_elements_and_models_with_lists_of_models_at_members() -> None:
    assert plan_for(Page).split
    assert plan_for(Page).describe() == {
        "title": "value",
        "numbers": "list",
        "lines": "elements",
        "blocks": "elements",
        "block": "members",
        "line": "value",
        "maybe": "elements",
        "by_name": "entries",
        "either": "value",
    }


def test_a_plan_is_made_once() -> None:
    assert plan_for(Page) is plan_for(Page)


def before() -> type[BaseModel]:
    class M(BaseModel):
        a: int

        @model_validator(mode="before")
        @classmethod
        def see(cls, data: Any) -> Any:
            return data

    return M


def wrap() -> type[BaseModel]:
    class M(BaseModel):
        a: int

        @model_validator(mode="wrap")
        @classmethod
        def see(cls, data: Any, handler: Any) -> Any:
            return handler(data)

    return M


def own_init() -> type[BaseModel]:
    class M(BaseModel):
        a: int

        def __init__(self, **data: Any) -> None:
            super().__init__(**data)

    return M


def alias_path() -> type[BaseModel]:
    class M(BaseModel):
        a: int = Field(validation_alias=AliasPath("x", 0))

    return M


def two_fields_of_one_key() -> type[BaseModel]:
    class M(BaseModel):
        a: int = Field(alias="x")
        b: int = Field(alias="x")

    return M


def reads_others() -> type[BaseModel]:
    class M(BaseModel):
        a: int
        b: int

        @field_validator("b")
        @classmethod
        def see(cls, value: int, info: ValidationInfo) -> int:
            return value + len(info.data)

    return M


def default_of_others() -> type[BaseModel]:
    class M(BaseModel):
        a: int
        b: int = Field(default_factory=lambda data: data["a"])

    return M


def checked_defaults() -> type[BaseModel]:
    class M(BaseModel):
        model_config = ConfigDict(validate_default=True)
        a: int = 1

    return M


def own_dump() -> type[BaseModel]:
    class M(BaseModel):
        a: int

        @model_serializer
        def dump(self) -> str:
            return "dumped"

    return M


def own_validate() -> type[BaseModel]:
    class M(BaseModel):
        a: int

        @classmethod
        def model_validate_json(cls, *args: Any, **kwargs: Any) -> Any:
            return super().model_validate_json(*args, **kwargs)

    return M


def root_model() -> type[BaseModel]:
    return RootModel[list[int]]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (before, "sees or replaces the whole input"),
        (wrap, "sees or replaces the whole input"),
        (own_init, "__init__"),
        (alias_path, "alias"),
        (two_fields_of_one_key, "feeds two fields"),
        (reads_others, "validation info"),
        (default_of_others, "validation info"),
        (checked_defaults, "defaults are validated"),
        (own_dump, "serializer"),
        (own_validate, "overridden"),
        (root_model, "one value"),
    ],
)
def test_what_could_tell_the_difference_is_validated_whole(make: Any, reason: str) -> None:
    plan = plan_for(make())
    assert not plan.split
    assert any(reason in said for said in plan.reasons), plan.reasons


def test_validators_of_nested_models_and_after_validators_do_not_forbid_the_split() -> None:
    class Inner(BaseModel):
        a: int

        @model_validator(mode="before")
        @classmethod
        def see(cls, data: Any) -> Any:
            return data

    class Outer(BaseModel):
        inners: list[Inner]
        checked: Annotated[list[int], AfterValidator(sorted)]

        @model_validator(mode="after")
        def check(self) -> "Outer":
            return self

    assert plan_for(Outer).reasons == ()


def test_each_validator_of_a_split_model_runs_once() -> None:
    runs: list[str] = []

    class Inner(BaseModel):
        a: int

        @model_validator(mode="after")
        def see(self) -> "Inner":
            runs.append(f"inner {self.a}")
            return self

    class Outer(BaseModel):
        inners: list[Inner]
        name: str

        @field_validator("name")
        @classmethod
        def named(cls, value: str) -> str:
            runs.append("name")
            return value

        @model_validator(mode="after")
        def see(self) -> "Outer":
            runs.append("outer")
            return self

    validator = StreamedValidator(Outer, instances=True)
    for char in '{"inners":[{"a":1},{"a":2}],"name":"n"}':
        validator.feed(char)
    document = validator.close()
    # With the class's own validator in place of the assembling one, each of them would run again.
    assert runs == ["inner 1", "inner 2", "name", "outer"]
    assert validator.fallback == ""
    assert isinstance(document.model, Outer)


@pytest.mark.parametrize("instances", [True, False])
def test_the_model_is_what_pydantic_makes_of_the_text(instances: bool) -> None:
    validator = StreamedValidator(Page, instances=instances)
    text = '{"title":"t","numbers":[1],"lines":[{"text":"a"}],"blocks":[],"block":{"lines":[]},"line":{"text":"l"},"by_name":{},"either":"e"}'
    validator.feed(text)
    model = validator.close().model
    assert model == Page.model_validate_json(text)
    assert model.model_fields_set == Page.model_validate_json(text).model_fields_set
