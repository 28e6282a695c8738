"""A call as Amazon Bedrock's ConverseStream.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

import json
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
    "stop": "stopSequences",
    "service_tier": "serviceTier",
    "reasoning_effort": "effort",
}


def build(call: ModelCall, route: Route) -> ProviderRequest:
    """The request's path and body; Bedrock's invocation log shows our request id. Raises NotPassed."""
    instructions, turns = system_and_turns(call, route)
    inference = {route.profile.cap: call.max_output_tokens, **parameters(call, route, _NAMES)}
    tier, effort = inference.pop("serviceTier", None), inference.pop("effort", None)
    body: dict[str, Any] = {
        "messages": [{"role": role, "content": [_part(part) for part in parts]} for role, parts in turns],
        "inferenceConfig": inference,
    }
    system = [{"text": message.text} for message in instructions if message.text]
    if system:
        body["system"] = system
    if tier is not None:
        body["serviceTier"] = {"type": tier}
    if call.request_id:
        body["requestMetadata"] = {"weir_request_id": call.request_id}
    output: dict[str, Any] = {} if effort is None else {"effort": effort}
    structured = call.structured
    if structured is not None and structured.mode == "native":
        schema = json.dumps(structured.schema, ensure_ascii=False, separators=(",", ":"))
        output["textFormat"] = {
            "type": "json_schema",
            "structure": {"jsonSchema": {"schema": schema, "name": structured.name}},
        }
    elif structured is not None and structured.mode == "tool":
        tool = {"name": structured.name, "inputSchema": {"json": structured.schema}}
        body["toolConfig"] = {
            "tools": [{"toolSpec": tool}],
            "toolChoice": {"tool": {"name": structured.name}},
        }
    if output:
        body["outputConfig"] = output
    if call.extra_body or route.extra_body:
        # What a model takes beyond the common fields has a place of its own.
        extra = with_extra({}, call, route)
        body["additionalModelRequestFields"] = extra
    return ProviderRequest(f"/model/{quote(route.model, safe='')}/converse-stream", body)


def _part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"text": part.text}
    kind = (part.media_type or "").removeprefix("image/")
    return {"image": {"format": kind, "source": {"bytes": part.data}}}
