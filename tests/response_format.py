"""The response format that asks an OpenAI-compatible server for one of our schemas."""

from typing import Any

from weir.providers.chat_completions_request import response_format as native
from weir.providers.profiles import PROFILES
from weir.providers.structured_output import structured_output
from weir.schemas import load_schema


def response_format(name: str) -> dict[str, Any]:
    """As a route with strict mode sends it."""
    schema = load_schema(name).model_json_schema()
    return native(structured_output(name, schema, PROFILES["openai"], "native"))
