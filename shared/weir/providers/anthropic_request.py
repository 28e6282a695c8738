"""A call as Anthropic's Messages.

https://docs.anthropic.com/en/api/messages
"""

from typing import Any

from weir.providers.call import (
    ImagePart,
    ModelCall,
    ProviderRequest,
    TextPart,
    parameters,
    system_and_turns,
    with_extra,
)
from weir.providers.routes import Route

VERSION = "2023-06-01"
_NAMES = {
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop_sequences",
    "reasoning_effort": "effort",
    "service_tier": "service_tier",
}


def build(call: ModelCall, route: Route) -> ProviderRequest:
    """The request's path, body and version header. Raises NotPassed."""
    instructions, turns = system_and_turns(call, route)
    system = "\n\n".join(message.text for message in instructions)
    given = parameters(call, route, _NAMES)
    output: dict[str, Any] = {}
    if (effort := given.pop("effort", None)) is not None:
        output["effort"] = effort
    body: dict[str, Any] = {
        "model": route.model,
        "messages": [{"role": role, "content": [_part(part) for part in parts]} for role, parts in turns],
        "stream": True,
        route.profile.cap: call.max_output_tokens,
        **given,
    }
    if system:
        body["system"] = system
    structured = call.structured
    if structured is not None and structured.mode == "native":
        output["format"] = {"type": "json_schema", "schema": structured.schema}
    elif structured is not None and structured.mode == "tool":
        body["tools"] = [{"name": structured.name, "input_schema": structured.schema}]
        body["tool_choice"] = {"type": "tool", "name": structured.name}
    if output:
        body["output_config"] = output
    return ProviderRequest("/messages", with_extra(body, call, route), {"anthropic-version": VERSION})


def _part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if part.url is not None:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": part.data}}
