"""The documents that can be asked for: one Pydantic model a file, found by the file's name.

Adding a schema is adding a file: `recipe.py` with a class `Recipe` is asked for as `"schema": "recipe"`. A schema
is imported when it is first asked for, so that a cold start pays for none that it does not use.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from weir.errors import CallerError


class UnknownSchema(CallerError, LookupError):
    """No file in this folder has the name that was asked for."""


@cache
def schema_names() -> tuple[str, ...]:
    """The names that can be asked for, sorted."""
    return tuple(sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py")))


@cache
def load_schema(name: str) -> type[BaseModel]:
    """The model of that name: class `BlogPost` in `blog_post.py` for `blog_post`.

    Raises:
        UnknownSchema: no such file here.
    """
    if name not in schema_names():
        raise UnknownSchema(f"schema: expected one of {', '.join(schema_names())}, got {name[:64]!r}")
    model = getattr(import_module(f"{__name__}.{name}"), "".join(map(str.capitalize, name.split("_"))))
    assert isinstance(model, type) and issubclass(model, BaseModel)
    return model


@cache
def response_format(name: str, properties: frozenset[str] | None = None) -> dict[str, Any]:
    """The strict `json_schema` response format that asks a model for this document, or for some of its fields.

    Strict mode wants every property required and no other allowed, and knows no lengths or defaults:
    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    What is dropped here is still validated, by us.
    """
    schema = load_schema(name).model_json_schema()
    if properties is not None:
        schema["properties"] = {
            key: value for key, value in schema["properties"].items() if key in properties
        }
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": _strict(schema)}}


_UNSUPPORTED = {"default", "title", "minLength", "maxLength", "uniqueItems"}


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    strict = {key: _strict(value) for key, value in node.items() if key not in _UNSUPPORTED}
    for names in ("properties", "$defs"):  # their keys are names, not keywords
        if names in node:
            strict[names] = {key: _strict(value) for key, value in node[names].items()}
    if "properties" in node:
        strict["required"] = list(node["properties"])
        strict["additionalProperties"] = False
    return strict
