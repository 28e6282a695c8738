"""A call as Google's streamGenerateContent.

https://ai.google.dev/api/generate-content
"""

from typing import Any
from urllib.parse import quote

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

_NAMES = {
    "temperature": "temperature",
    "top_p": "topP",
    "seed": "seed",
    "stop": "stopSequences",
    "reasoning_effort": "thinkingLevel",
}


def build(call: ModelCall, route: Route) -> ProviderRequest:
    """The request's path and body; without `alt=sse` it would be one JSON array. Raises NotPassed."""
    instructions, turns = system_and_turns(call, route)
    config: dict[str, Any] = {
        route.profile.cap: call.max_output_tokens,
        **parameters(call, route, _NAMES),
    }
    if (level := config.pop("thinkingLevel", None)) is not None:
        config["thinkingConfig"] = {"thinkingLevel": level}
    body: dict[str, Any] = {
        "contents": [
            {"role": "model" if role == "assistant" else "user", "parts": [_part(part) for part in parts]}
            for role, parts in turns
        ],
        "generationConfig": config,
    }
    system = [{"text": message.text} for message in instructions if message.text]
    if system:
        body["systemInstruction"] = {"parts": system}
    structured = call.structured
    if structured is not None and structured.mode == "native":
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = structured.schema
    elif structured is not None and structured.mode == "tool":
        body["tools"] = [
            {"functionDeclarations": [{"name": structured.name, "parametersJsonSchema": structured.schema}]}
        ]
        body["toolConfig"] = {
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [structured.name]}
        }
    elif structured is not None:
        config["responseMimeType"] = "application/json"
    path = f"/models/{quote(route.model.removeprefix('models/'), safe='')}:streamGenerateContent?alt=sse"
    return ProviderRequest(path, with_extra(body, call, route))


def _part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"text": part.text}
    return {"inlineData": {"mimeType": part.media_type, "data": part.data}}
