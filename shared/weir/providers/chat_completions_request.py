"""A call as OpenAI's Chat Completions, and as the servers take it that speak it.

https://platform.openai.com/docs/api-reference/chat/create
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
from weir.providers.structured_output import StructuredOutput

_NAMES = {name: name for name in ("temperature", "top_p", "seed", "stop", "reasoning_effort", "service_tier")}


def build(call: ModelCall, route: Route) -> ProviderRequest:
    """The request's path and body. Raises NotPassed."""
    images_taken(call.messages, route)
    body: dict[str, Any] = {
        "model": route.model,
        "messages": [_message(message, route) for message in with_prompt(call.messages, call.structured)],
        "stream": True,
        "stream_options": dict(route.profile.stream_options or {"include_usage": True}),
        route.profile.cap: call.max_output_tokens,
        **parameters(call, route, _NAMES),
        **call.passed,
    }
    structured = call.structured
    if structured is not None and structured.mode == "native":
        body["response_format"] = response_format(structured)
    elif structured is not None and structured.mode == "tool":
        function = {"name": structured.name, "parameters": structured.schema}
        body["tools"] = [{"type": "function", "function": function}]
        body["tool_choice"] = {"type": "function", "function": {"name": structured.name}}
    elif structured is not None and structured.is_object and route.profile.json_mode:
        body["response_format"] = {"type": "json_object"}
    return ProviderRequest("/chat/completions", with_extra(body, call, route))


def response_format(structured: StructuredOutput) -> dict[str, Any]:
    """The member that asks for a document natively."""
    described = {"name": structured.name, "strict": structured.strict, "schema": structured.schema}
    return {"type": "json_schema", "json_schema": described}


def _message(message: Message, route: Route) -> dict[str, Any]:
    role = "system" if message.role == "developer" and not route.profile.developer else message.role
    if message.plain:
        return {"role": role, "content": message.text}
    return {"role": role, "content": [_part(part) for part in message.parts]}


def _part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": part.data_url}}
