"""A call as Anthropic's Messages.

https://docs.anthropic.com/en/api/messages
"""

from typing import Any

from weir.providers.call import (
    ImagePart,
    ModelCall,
    NotPassed,
    ProviderRequest,
    TextPart,
    alternate,
    images_taken,
    parameters,
    with_extra,
    with_prompt,
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
    images_taken(call.messages, route)
    messages = with_prompt(call.messages, call.structured)
    system = "\n\n".join(message.text for message in messages if message.role in ("system", "developer"))
    turns = alternate([message for message in messages if message.role in ("user", "assistant")])
    if not turns:
        raise NotPassed(
            "/messages", f"model {route.name!r} is served by anthropic, which wants a turn of the user"
        )
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
