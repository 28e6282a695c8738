"""Schemas in each provider's subset: accepted by its rules, wide enough for the model, or refused by the field's name."""

import json
from random import Random
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, create_model

from infra.local.simulator.schema_subsets import objections, walk
from tests.fuzz.documents import document
from tests.fuzz.models import model as generated_model
from weir.providers.profiles import PROFILES, SchemaNotExpressible
from weir.providers.schema_rules import DIALECTS, adapt_schema
from weir.providers.structured_output import structured_output

SUBSETS = ("openai", "anthropic", "bedrock", "gemini")


class Author(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=40)]
    site: str | None = None
    role: str = "writer"


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]
    age: Annotated[int, Field(gt=0)] = 1


class Post(BaseModel):
    """Every form that strict modes stumble over."""

    author: Author = Field(description="who wrote it")
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    pair: tuple[int, str]
    tags: Annotated[set[str], Field(max_length=5)]
    code: Annotated[str, Field(pattern=r"^\w+\b")]
    level: Literal["low", 2]


class Tree(BaseModel):
    value: int
    children: list["Tree"]


class Holder(BaseModel):
    tree: Tree


@pytest.mark.parametrize("dialect", SUBSETS)
def test_a_model_of_every_form_is_accepted_and_wide_enough(dialect: str) -> None:
    sent = adapt_schema(Post.model_json_schema(), DIALECTS[dialect])
    assert objections(dialect, sent) == []
    author = {"name": "Ada", "site": None, "role": "editor"}
    pair = [1, "a"]
    whole = {
        "author": author,
        "pet": {"kind": "dog", "age": 3},
        "pair": pair,
        "tags": ["x"],
        "code": "ab",
        "level": 2,
    }
    Post.model_validate(whole)
    jsonschema.validate(whole, sent)


@pytest.mark.parametrize("dialect", SUBSETS)
def test_what_is_dropped_is_said_in_the_description(dialect: str) -> None:
    sent = adapt_schema(Post.model_json_schema(), DIALECTS[dialect])
    said = [node["description"] for _, node in walk(sent) if "description" in node]
    assert any("minLength=1" in text and "maxLength=40" in text for text in said)
    assert any("uniqueItems=true" in text for text in said)
    assert any(r"pattern=^\w+\b" in text for text in said)
    assert "who wrote it" in said


def test_a_field_with_a_default_may_be_null_under_a_strict_mode_and_stays_optional_elsewhere() -> None:
    strict = adapt_schema(Author.model_json_schema(), DIALECTS["openai"])
    assert strict["required"] == ["name", "site", "role"]
    assert strict["properties"]["role"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert strict["properties"]["site"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    loose = adapt_schema(Author.model_json_schema(), DIALECTS["anthropic"])
    assert loose["required"] == ["name"] and loose["properties"]["role"] == {"type": "string"}


def test_recursion_is_kept_where_it_is_allowed_and_refused_by_the_fields_name_where_not() -> None:
    assert adapt_schema(Tree.model_json_schema(), DIALECTS["openai"])["properties"]["children"]["items"] == {
        "$ref": "#"
    }
    nested = adapt_schema(Holder.model_json_schema(), DIALECTS["openai"])
    assert nested["$defs"]["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    for schema, field in ((Tree, "/children/*"), (Holder, "/tree/children/*")):
        with pytest.raises(SchemaNotExpressible) as refused:
            adapt_schema(schema.model_json_schema(), DIALECTS["anthropic"])
        assert refused.value.field == field
    # Gemini follows a circle only through fields that may be left out: this one then may.
    assert adapt_schema(Tree.model_json_schema(), DIALECTS["gemini"])["required"] == ["value"]


class Free(BaseModel):
    anything: Any


class Counts(BaseModel):
    counts: dict[str, int]


class Bare(BaseModel):
    items: list


class Root(RootModel[list[int]]):
    pass


@pytest.mark.parametrize(
    ("model", "field"), [(Free, "/anything"), (Counts, "/counts"), (Bare, "/items/*"), (Root, "")]
)
def test_what_a_strict_mode_cannot_say_is_refused_by_the_fields_name(
    model: type[BaseModel], field: str
) -> None:
    for dialect in ("openai", "anthropic", "bedrock"):
        with pytest.raises(SchemaNotExpressible) as refused:
            adapt_schema(model.model_json_schema(), DIALECTS[dialect])
        assert refused.value.field == field
        assert refused.value.expected in str(refused.value)


def test_limits_are_counted_and_named() -> None:
    optional = {f"f{n}": (int, 0) for n in range(25)}
    many: Any = create_model("Many", **optional)
    with pytest.raises(SchemaNotExpressible, match="at most 24 optional fields, got 25"):
        adapt_schema(many.model_json_schema(), DIALECTS["anthropic"])
    values = Literal[tuple(f"v{n}" for n in range(1_001))]  # type: ignore[valid-type]
    wide: Any = create_model("Wide", choice=(values, ...))
    with pytest.raises(SchemaNotExpressible, match="at most 1000 enum values, got 1001"):
        adapt_schema(wide.model_json_schema(), DIALECTS["openai"])
    inner: Any = create_model("L0", x=(int, ...))
    for n in range(1, 11):
        inner = create_model(f"L{n}", x=(inner, ...))
    with pytest.raises(SchemaNotExpressible, match="at most 10 levels of objects, got 11"):
        adapt_schema(inner.model_json_schema(), DIALECTS["openai"])


@pytest.mark.parametrize("dialect", SUBSETS)
def test_generated_models_are_accepted_by_each_subset_or_refused_by_name(dialect: str) -> None:
    accepted = refused = held = 0
    for seed in range(150):
        random = Random(seed)
        model = generated_model(random)
        try:
            schema = model.model_json_schema()
        except Exception:  # a feature of Pydantic that has no JSON Schema has none for anybody
            continue
        try:
            sent = adapt_schema(schema, DIALECTS[dialect])
        except SchemaNotExpressible as error:
            refused += 1
            assert error.field == "" or error.field.startswith("/")
            continue
        accepted += 1
        assert objections(dialect, sent) == [], (seed, sent)
        jsonschema.Draft202012Validator.check_schema(sent)
        if dialect != "gemini":
            continue
        # Objects are open there: whatever the model takes, the schema must take, too.
        validator = jsonschema.Draft202012Validator(sent)
        original = jsonschema.Draft202012Validator(schema)
        for _ in range(5):
            text = document(random, model)
            try:
                value = json.loads(text)
                model.model_validate_json(text)
            except (ValueError, ValidationError):
                continue
            if original.is_valid(value):
                held += 1
                assert validator.is_valid(value), (seed, text, sent)
    assert accepted > 20 and refused > 5
    assert dialect != "gemini" or held > 50


def test_the_first_mode_that_can_say_it_is_taken_and_what_was_passed_over_is_said() -> None:
    openai = PROFILES["openai"]
    assert structured_output("author", Author.model_json_schema(), openai).mode == "native"
    free = structured_output("free", Free.model_json_schema(), openai)
    assert free.mode == "tool" and free.passed_over[0][0] == "native"
    assert "/anything: OpenAI's strict mode takes a type" in free.passed_over[0][1]
    root = structured_output("root", Root.model_json_schema(), openai)
    assert root.mode == "json" and not root.is_object and '"type":"array"' in (root.prompt or "")
    with pytest.raises(SchemaNotExpressible, match="/anything"):
        structured_output("free", Free.model_json_schema(), openai, "native")


def test_a_server_whose_model_does_not_see_the_schema_has_it_in_the_prompt() -> None:
    for name in ("vllm", "ollama", "llama.cpp"):
        found = structured_output("author", Author.model_json_schema(), PROFILES[name])
        assert found.mode == "native" and found.schema is not None and '"minLength":1' in (found.prompt or "")


def test_deepseek_is_asked_by_a_tool_and_never_natively() -> None:
    assert structured_output("author", Author.model_json_schema(), PROFILES["deepseek"]).mode == "tool"


class Aliased(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(alias="the/name")]


def test_fields_are_named_as_the_text_names_them() -> None:
    sent = adapt_schema(Aliased.model_json_schema(by_alias=True), DIALECTS["openai"])
    assert list(sent["properties"]) == ["the/name"] and sent["additionalProperties"] is False
