"""A call as OpenAI's Responses.

https://platform.openai.com/docs/api-reference/responses/create
"""

from typing import Any

from weir.providers.call import (
    ImagePart,
    Message,
    ModelCall,
    ProviderRequest,
    TextPart,
    images_taken,
    parameters,
    with_extra,
    with_prompt,
)
from weir.providers.routes import Route

_NAMES = {name: name for name in ("temperature", "top_p", "service_tier")} | {"reasoning_effort": "effort"}


def build(call: ModelCall, route: Route) -> ProviderRequest:
    """The request's path and body; nothing is stored at the provider. Raises NotPassed."""
    images_taken(call.messages, route)
    given = parameters(call, route, _NAMES)
    effort = given.pop("effort", None)
    body: dict[str, Any] = {
        "model": route.model,
        "input": [_message(message) for message in with_prompt(call.messages, call.structured)],
        "stream": True,
        "stream_options": {"include_obfuscation": False},
        "store": False,
        route.profile.cap: call.max_output_tokens,
        **given,
    }
    if effort is not None:
        body["reasoning"] = {"effort": effort}
    structured = call.structured
    if structured is not None and structured.mode == "native":
        body["text"] = {
            "format": {
                "type": "json_schema",
                "name": structured.name,
                "strict": structured.strict,
                "schema": structured.schema,
            }
        }
    elif structured is not None and structured.mode == "tool":
        body["tools"] = [
            {"type": "function", "name": structured.name, "parameters": structured.schema, "strict": False}
        ]
        body["tool_choice"] = {"type": "function", "name": structured.name}
    elif structured is not None and structured.is_object:
        body["text"] = {"format": {"type": "json_object"}}
    return ProviderRequest("/responses", with_extra(body, call, route))


def _message(message: Message) -> dict[str, Any]:
    if message.plain:
        return {"role": message.role, "content": message.text}
    said = "output_text" if message.role == "assistant" else "input_text"
    return {"role": message.role, "content": [_part(part, said) for part in message.parts]}


def _part(part: TextPart | ImagePart, said: str) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": said, "text": part.text}
    return {"type": "input_image", "image_url": part.data_url}
