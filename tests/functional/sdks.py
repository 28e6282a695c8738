"""What the providers' own SDKs read from a body: the oracles of our decoders.

Each SDK is driven through its public API over a transport that answers with the body; botocore has none for that, so
its parser reads the stream as its client would. Two SDKs are slow to import: whoever calls them does.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session
import httpx
import httpx2
import openai
from botocore.eventstream import EventStream
from botocore.exceptions import EventStreamError
from botocore.parsers import EventStreamJSONParser

_HEADERS = {"content-type": "text/event-stream; charset=utf-8"}


class _Served:
    """What every client's transport answers with: clients are made once, as programs make them."""

    body = b""

    @classmethod
    def httpx2_client(cls) -> httpx2.Client:
        return httpx2.Client(
            transport=httpx2.MockTransport(lambda _: httpx2.Response(200, headers=_HEADERS, content=cls.body))
        )


@cache
def _openai() -> openai.OpenAI:
    return openai.OpenAI(
        api_key="unused", base_url="http://recorded", max_retries=0, http_client=_Served.httpx2_client()
    )


@cache
def _anthropic() -> Any:
    import anthropic

    return anthropic.Anthropic(api_key="unused", max_retries=0, http_client=_Served.httpx2_client())


@cache
def _genai() -> Any:
    from google import genai

    client = httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, headers=_HEADERS, content=_Served.body))
    )
    return genai.Client(api_key="unused", http_options=genai.types.HttpOptions(httpx_client=client))


@cache
def _bedrock() -> Any:
    return botocore.session.Session().get_service_model("bedrock-runtime")


@dataclass
class SDKReading:
    """What an SDK made of one stream; tokens as we define them: all input, all output, read from a cache."""

    text: str = ""
    reasoning: str = ""
    arguments: str = ""
    finish: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    failed: bool = False


def read_with_openai(body: bytes) -> SDKReading:
    """Chat Completions, with openai."""
    _Served.body = body
    reading = SDKReading()
    usage: Any = None
    messages: Any = [{"role": "user", "content": "replayed"}]
    try:
        for chunk in _openai().chat.completions.create(model="m", messages=messages, stream=True):
            reading.model = chunk.model or reading.model
            usage = chunk.usage or usage
            for choice in chunk.choices or ():
                if choice.index == 0 and choice.delta is not None:
                    reading.text += choice.delta.content or ""
                    for call in choice.delta.tool_calls or ():
                        reading.arguments += (call.function.arguments if call.function else None) or ""
                    reading.finish = choice.finish_reason or reading.finish
    except openai.APIError:
        reading.failed = True
    if usage is not None:
        reading.input_tokens = usage.prompt_tokens
        # What the total has beside the two was counted outside of them: xAI's reasoning.
        outside = (usage.total_tokens or 0) - (usage.prompt_tokens or 0) - (usage.completion_tokens or 0)
        reading.output_tokens = usage.completion_tokens + max(0, outside)
        details = usage.prompt_tokens_details
        reading.cached_tokens = details.cached_tokens if details else None
    return reading


def read_with_openai_responses(body: bytes) -> SDKReading:
    """Responses, with openai; text that is marked as commentary is thought aloud."""
    _Served.body = body
    reading = SDKReading()
    commentary: set[int] = set()
    try:
        for event in _openai().responses.create(model="m", input="replayed", stream=True):
            match event.type:
                case "response.output_item.added":
                    if getattr(event.item, "phase", None) == "commentary":
                        commentary.add(event.output_index)
                case "response.output_text.delta" if event.output_index not in commentary:
                    reading.text += event.delta
                case "response.output_text.delta":
                    reading.reasoning += event.delta
                case "response.reasoning_text.delta" | "response.reasoning_summary_text.delta":
                    reading.reasoning += event.delta
                case "response.function_call_arguments.delta":
                    reading.arguments += event.delta
                case "response.completed" | "response.incomplete" | "response.failed":
                    response = event.response
                    details = response.incomplete_details
                    reading.finish = (details.reason if details else None) or response.status
                    reading.model = response.model
                    reading.failed = event.type == "response.failed"
                    if (usage := response.usage) is not None:
                        reading.input_tokens, reading.output_tokens = (
                            usage.input_tokens,
                            usage.output_tokens,
                        )
                        outside = usage.total_tokens - usage.input_tokens - usage.output_tokens
                        reading.output_tokens += max(0, outside)
                        reading.cached_tokens = (
                            usage.input_tokens_details.cached_tokens if usage.input_tokens_details else None
                        )
    except openai.APIError:
        reading.failed = True
    return reading


def read_with_anthropic(body: bytes) -> SDKReading:
    """Messages, with anthropic."""
    import anthropic

    _Served.body = body
    reading = SDKReading()
    messages: Any = [{"role": "user", "content": "replayed"}]
    try:
        with _anthropic().messages.stream(model="m", max_tokens=1, messages=messages) as stream:
            for event in stream:
                if event.type == "content_block_delta" and event.delta.type == "thinking_delta":
                    reading.reasoning += event.delta.thinking
                elif event.type == "content_block_delta" and event.delta.type == "text_delta":
                    reading.text += event.delta.text
            message = stream.get_final_message()
    except anthropic.APIError:
        reading.failed = True
        return reading
    usage = message.usage
    reading.finish, reading.model = message.stop_reason, message.model
    reading.input_tokens = (
        usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    )
    reading.output_tokens, reading.cached_tokens = usage.output_tokens, usage.cache_read_input_tokens
    return reading


def read_with_genai(body: bytes) -> SDKReading:
    """Gemini, with google-genai."""
    from google.genai import errors as genai_errors

    _Served.body = body
    reading = SDKReading()
    usage: Any = None
    try:
        for chunk in _genai().models.generate_content_stream(model="gemini-2.5-flash", contents="replayed"):
            reading.model = chunk.model_version or reading.model
            usage = chunk.usage_metadata or usage
            for candidate in chunk.candidates or ():
                for part in (candidate.content.parts if candidate.content else None) or ():
                    if part.text and part.thought:
                        reading.reasoning += part.text
                    elif part.text:
                        reading.text += part.text
                if candidate.finish_reason is not None:
                    reading.finish = candidate.finish_reason.value
            if chunk.prompt_feedback and chunk.prompt_feedback.block_reason and not chunk.candidates:
                reading.finish = chunk.prompt_feedback.block_reason.value
    except genai_errors.APIError:
        reading.failed = True
    if usage is not None:
        reading.input_tokens = usage.prompt_token_count and usage.prompt_token_count + (
            usage.tool_use_prompt_token_count or 0
        )
        reading.output_tokens = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        reading.cached_tokens = usage.cached_content_token_count
    return reading


def read_with_botocore(body: bytes) -> SDKReading:
    """ConverseStream, with botocore."""
    reading = SDKReading()
    servers: set[int] = set()
    try:
        for event in botocore_events("ConverseStream", body):
            [(name, value)] = event.items()
            match name:
                case "contentBlockStart" if (
                    value["start"].get("toolUse", {}).get("type") == "server_tool_use"
                ):
                    servers.add(value["contentBlockIndex"])
                case "contentBlockDelta":
                    delta = value["delta"]
                    reading.text += delta.get("text", "")
                    reading.reasoning += delta.get("reasoningContent", {}).get("text", "")
                    if value["contentBlockIndex"] not in servers:
                        reading.arguments += delta.get("toolUse", {}).get("input", "")
                case "messageStop":
                    reading.finish = value["stopReason"]
                case "metadata":
                    usage = value["usage"]
                    read = usage.get("cacheReadInputTokens")
                    reading.input_tokens = (
                        usage["inputTokens"] + (read or 0) + usage.get("cacheWriteInputTokens", 0)
                    )
                    reading.output_tokens, reading.cached_tokens = usage["outputTokens"], read
    except EventStreamError:
        reading.failed = True
    return reading


def read_invoke(body: bytes) -> SDKReading:
    """InvokeModelWithResponseStream: botocore's chunks, and of Claude's events what anthropic reads."""
    documents = [
        json.loads(event["chunk"]["bytes"])
        for event in botocore_events("InvokeModelWithResponseStream", body)
    ]
    if all("type" in document for document in documents):
        sse = "".join(f"event: {item['type']}\ndata: {json.dumps(item)}\n\n" for item in documents)
        return read_with_anthropic(sse.encode())
    reading = SDKReading()
    for document in documents:
        reading.text += document.get("outputText", "")
        reading.text += document.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
        reading.arguments += (
            document.get("contentBlockDelta", {}).get("delta", {}).get("toolUse", {}).get("input", "")
        )
        reading.finish = (
            document.get("messageStop", {}).get("stopReason")
            or document.get("completionReason")
            or reading.finish
        )
        metrics = document.get("amazon-bedrock-invocationMetrics", {})
        reading.input_tokens = metrics.get("inputTokenCount", reading.input_tokens)
        reading.output_tokens = metrics.get("outputTokenCount", reading.output_tokens)
    return reading


ORACLES: Mapping[str, Callable[[bytes], SDKReading]] = {
    "chat.completions": read_with_openai,
    "responses": read_with_openai_responses,
    "messages": read_with_anthropic,
    "gemini": read_with_genai,
    "bedrock.converse": read_with_botocore,
    "bedrock.invoke": read_invoke,
}


def botocore_events(operation: str, body: bytes) -> Iterator[dict[str, Any]]:
    """The events of a stream, as botocore's client would give them."""
    shape = _bedrock().operation_model(operation).get_event_stream_output()
    yield from EventStream(_RawStream(body), shape, EventStreamJSONParser(), operation)


class _RawStream:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body

    def close(self) -> None:
        pass
