"""Schemas: found by their file's name, and sent in the form that strict structured outputs accept."""

from typing import Any

import pytest

from tests.response_format import response_format
from weir.schemas import UnknownSchema, load_schema, schema_names


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
