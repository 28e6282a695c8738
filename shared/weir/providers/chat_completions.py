"""OpenAI's Chat Completions stream: bytes in, provider events out.

https://platform.openai.com/docs/api-reference/chat-streaming, and what OpenAI, Azure, Groq, OpenRouter, DeepSeek
and others really send: `choices: []`, null deltas, usage in any chunk, errors inside a 200 stream.

A chunk whose data is not a JSON object is an error and not skipped: it may have held text, and a document with a
hole in it must not pass for the model's. Objects without choices are skipped, as the providers' own SDKs do.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weir.pricing.usage import Usage, usage_from_chat_completions
from weir.providers.sse import SSEDecoder


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text of the answer, as the provider cut it."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """The model thinks aloud: paid for as output, and no part of the answer (DeepSeek, vLLM, Groq, OpenRouter)."""

    text: str


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """Text of a refusal: not part of any document."""

    text: str


@dataclass(frozen=True, slots=True)
class UsageReported:
    """Counts so far; they are cumulative, so the last report wins."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Finished:
    """The choice ended, for this reason: stop, length, content_filter, tool_calls, function_call, or another."""

    reason: str


@dataclass(frozen=True, slots=True)
class ModelNamed:
    """The model that answers, which is the one to be priced: it may differ from the one asked for."""

    model: str


@dataclass(frozen=True, slots=True)
class ProviderFailed:
    """The provider reported an error inside the stream, or sent what is no Chat Completions stream."""

    message: str
    code: str | None = None


type ProviderEvent = (
    TextDelta | ReasoningDelta | RefusalDelta | UsageReported | Finished | ModelNamed | ProviderFailed
)


class ChatCompletionsDecoder:
    """Turns the body of a streamed completion into provider events, at any chunking.

    `terminated` is true after `data: [DONE]`; `finish_reason` holds the choice's, if one came. A body that ends
    with neither was cut off. After a `ProviderFailed` whatever follows is ignored.
    """

    def __init__(self, *, max_event_bytes: int = 1_048_576) -> None:
        self._sse = SSEDecoder(max_event_bytes=max_event_bytes)
        self._model: str | None = None
        self._failed = False
        self.terminated = False
        self.finish_reason: str | None = None

    @property
    def replaced(self) -> int:
        """How many events held invalid UTF-8, which became U+FFFD."""
        return self._sse.replaced

    def feed(self, data: bytes) -> list[ProviderEvent]:
        """Take the next bytes of the body; return what they say, in order."""
        events: list[ProviderEvent] = []
        if self._failed:
            return events
        for sse in self._sse.feed(data):
            if self.terminated or self._failed:
                break
            if sse.data == "[DONE]":
                self.terminated = True
                break
            self._chunk(sse.event, sse.data, events)
        if self._sse.error and not (self.terminated or self._failed):
            self._fail(events, self._sse.error)
        return events

    def close(self) -> bool:
        """End the body; return whether it was complete (a terminator or a finish reason came)."""
        self._sse.close()
        return self.terminated or self.finish_reason is not None

    def _fail(self, events: list[ProviderEvent], message: str, code: str | None = None) -> None:
        self._failed = True
        events.append(ProviderFailed(message, code))

    def _chunk(self, event: str, data: str, events: list[ProviderEvent]) -> None:
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            self._fail(
                events, f"stream chunk: expected a JSON object, got {len(data)} characters that are not JSON"
            )
            return
        if not isinstance(chunk, dict):
            self._fail(events, f"stream chunk: expected a JSON object, got {type(chunk).__name__}")
            return
        if isinstance(model := chunk.get("model"), str) and model and model[:200] != self._model:
            self._model = model[:200]  # as long as a request may name one: facts must fit a log line
            events.append(ModelNamed(self._model))
        choices = chunk.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict) and choice.get("index", 0) == 0:
                    self._choice(choice, events)
        usage = chunk.get("usage")
        if usage is None and isinstance(groq := chunk.get("x_groq"), dict):
            usage = groq.get("usage")
        if isinstance(usage, dict):
            events.append(UsageReported(usage_from_chat_completions(usage)))
        error = chunk.get("error")
        if error or event == "error":
            message, code = error_members(error if error else chunk)
            self._fail(events, message, code)

    def _choice(self, choice: dict[str, Any], events: list[ProviderEvent]) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            if isinstance(text := delta.get("content"), str) and text:
                events.append(TextDelta(text))
            if isinstance(text := delta.get("reasoning_content") or delta.get("reasoning"), str) and text:
                events.append(ReasoningDelta(text))
            if isinstance(text := delta.get("refusal"), str) and text:
                events.append(RefusalDelta(text))
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            self.finish_reason = reason
            events.append(Finished(reason))


def error_members(error: object) -> tuple[str, str | None]:
    """The message and code of a provider's error, whichever of the usual shapes it has."""
    if not isinstance(error, Mapping):
        return (str(error)[:500] if error else "the provider gave no message"), None
    if isinstance(inner := error.get("error"), (Mapping, str)):
        return error_members(inner)
    code = error.get("code") or error.get("type")
    message = error.get("message")
    return (
        message[:500] if isinstance(message, str) and message else "the provider gave no message",
        str(code)[:100] if code else None,
    )
