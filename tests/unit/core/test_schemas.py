"""Schemas: found by their file's name, and sent in the form that strict structured outputs accept."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from infra.schemas import stamp
from tests.response_format import response_format
from weir import schemas
from weir.generate.settings import models_checked_at_build
from weir.schemas import SchemaFileError, UnknownSchema, load_schema, schema_names


def objects(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for item in node for found in objects(item)]
    if not isinstance(node, dict):
        return []
    inside = [found for value in node.values() for found in objects(value)]
    return [node, *inside] if "properties" in node and "type" in node else inside


@pytest.mark.parametrize("name", schema_names())
def test_every_schema_is_a_model_that_strict_mode_accepts(name: str) -> None:
    schema = response_format(name)["json_schema"]["schema"]
    assert objects(schema)
    for node in objects(schema):
        assert node["additionalProperties"] is False
        assert node["required"] == list(node["properties"])
    assert set(schema["properties"]) == set(load_schema(name).model_fields)


def test_an_unknown_schema_is_named() -> None:
    with pytest.raises(UnknownSchema, match="expected one of blog_post, got 'recipe'"):
        load_schema("recipe")


@pytest.fixture
def file_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A schema's file with classes of these names, as if it lay in the folder."""

    def make(name: str, *classes: str) -> None:
        module = ModuleType(f"weir.schemas.{name}")
        vars(module).update({one: create_model(one) for one in classes}, BaseModel=BaseModel, text="FAQPage")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(schemas, "schema_names", lambda: (name,))
        schemas._of_file.cache_clear()

    yield make
    schemas._of_file.cache_clear()


@pytest.mark.parametrize(
    ("name", "classes", "found"),
    [
        ("recipe", ["Recipe", "Step"], "Recipe"),
        ("faq_page", ["FAQPage", "Question"], "FAQPage"),
        ("rest_api_call", ["RestAPICall"], "RestAPICall"),
        ("iphone", ["iPhone"], "iPhone"),
        ("faq_page", ["FAQPage", "FaqPage"], "FaqPage"),
        ("v2_order", ["V2Order"], "V2Order"),
    ],
)
def test_the_class_is_found_whatever_its_capitals(
    file_of: Any, name: str, classes: list[str], found: str
) -> None:
    file_of(name, *classes)
    assert load_schema(name).__name__ == found


@pytest.mark.parametrize(
    ("classes", "said"),
    [([], "got none"), (["Question"], "got Question"), (["FAQPage", "FAQpage"], "got FAQPage, FAQpage")],
)
def test_a_file_without_its_class_says_what_it_holds(file_of: Any, classes: list[str], said: str) -> None:
    file_of("faq_page", *classes)
    expected = "schemas/faq_page.py: expected a Pydantic model FaqPage, in whatever capitals"
    with pytest.raises(SchemaFileError, match=f"^{expected}, {said}$"):
        load_schema("faq_page")


def test_a_models_file_that_the_build_checked_is_not_checked_again_and_another_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "models.json"
    path.write_text('{"models": {"fast": {"provider": "openai", "model": "m", "structured_output": "json"}}}')
    made = json.loads(stamp(str(path)))
    monkeypatch.setattr(schemas, "_stamp", lambda: made)
    assert models_checked_at_build({"WEIR_MODELS": str(path)})
    # What it says counts, not how: the parameter may be the JSON itself.
    assert models_checked_at_build({"WEIR_MODELS": path.read_text()})
    assert not models_checked_at_build({"WEIR_MODELS": path.read_text().replace("fast", "slow")})
    assert not models_checked_at_build({})
    monkeypatch.setattr(schemas, "_stamp", dict)
    assert not models_checked_at_build({"WEIR_MODELS": str(path)})
