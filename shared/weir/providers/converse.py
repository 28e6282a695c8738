"""Amazon Bedrock's two streams in AWS's framing: ConverseStream, and InvokeModelWithResponseStream.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html. Converse has one set of events
for all models; text blocks have no start. Invoke wraps the vendor's own events in base64: Claude's are those of
Messages, Nova's those of Converse in one object, Titan's a plain text each.

Input tokens exclude what was read from and written to the cache. Usage comes last, in `metadata`: a stream that ends
without it was cut off. An error is a message of its own kind, which names an exception of the API.
"""

import binascii
import json
from collections.abc import Mapping
from typing import Any

from weir.pricing.usage import Usage, read_count
from weir.providers.decoder import MAX_EVENT_BYTES, AnswerDecoder
from weir.providers.event_stream import EventStreamDecoder, Message
from weir.providers.events import FinishReason
from weir.providers.messages import MessagesReader

_FINISHES: Mapping[str, FinishReason] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool",
    "guardrail_intervened": "filtered", "content_filtered": "filtered", "malformed_model_output": "malformed",
    "malformed_tool_use": "malformed", "model_context_window_exceeded": "context", "refusal": "refused",
    "FINISH": "stop", "LENGTH": "length", "STOP_CRITERIA_MET": "stop", "CONTENT_FILTERED": "filtered",
}  # fmt: skip
_STATUSES = {
    "throttlingexception": 429, "modelnotreadyexception": 429, "serviceunavailableexception": 503,
    "internalserverexception": 500, "modelstreamerrorexception": 424, "modelerrorexception": 424,
    "validationexception": 400, "modeltimeoutexception": 408, "accessdeniedexception": 403,
    "resourcenotfoundexception": 404, "servicequotaexceededexception": 400,
}  # fmt: skip


class AWSEventsDecoder(AnswerDecoder):
    """An answer in AWS's event stream, at any chunking; a protocol's reader takes the objects."""

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(max_event_bytes=max_event_bytes)
        self._framing = EventStreamDecoder(max_message_bytes=max_event_bytes)

    def _frames(self, data: bytes) -> None:
        for message in self._framing.feed(data):
            self._message(message)
            if self._over():
                return
        if self._framing.error:
            self._unreadable(self._framing.error)

    def _message(self, message: Message) -> None:
        headers, kind = message.headers, message.headers.get(":message-type")
        if kind == "event":
            document = self._loaded(message.payload)
            if document is not None:
                self._wrapped(headers.get(":event-type", ""), document)
        elif kind in ("exception", "error"):
            name = headers.get(":exception-type") or headers.get(":error-code") or kind
            document = self._loaded(message.payload) if message.payload.strip() else {}
            if document is not None:
                said = headers.get(":error-message") or document.get("message") or document.get("Message")
                status = read_count(document.get("originalStatusCode"))
                self._reported_error({"message": said, "code": name}, _STATUSES.get(name.lower(), status))
        else:
            self._unreadable(
                f"event stream: expected an event or an exception, got message type {str(kind)[:64]!r}"
            )

    def _wrapped(self, event: str, document: dict[str, Any]) -> None:
        self._object(event, document)

    def _loaded(self, data: bytes) -> dict[str, Any] | None:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            self._unreadable(f"event: expected a JSON object, got {len(data)} bytes that are none")
            return None
        return document


class ConverseReader(AnswerDecoder):
    """Reads the events of a Converse stream."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._our_tools: set[int] = set()

    def _object(self, event: str, document: dict[str, Any]) -> None:
        match event:
            case "contentBlockDelta":
                self._delta(document)
            case "contentBlockStart":
                start = document.get("start")
                tool = start.get("toolUse") if isinstance(start, dict) else None
                if isinstance(tool, dict) and tool.get("type") != "server_tool_use":
                    self._our_tools.add(_index(document))
                    self._tool(_index(document), tool.get("toolUseId"), tool.get("name"))
            case "messageStop" if reason := document.get("stopReason"):
                self._finished(_FINISHES.get(str(reason), "other"), reason)
            case "metadata":
                self._metadata(document)

    def _delta(self, document: Mapping[str, Any]) -> None:
        delta = document.get("delta")
        if not isinstance(delta, dict):
            self._unreadable(f"content block delta: expected an object, got {type(delta).__name__}")
            return
        if (text := delta.get("text")) is not None:
            if isinstance(text, str):
                self._text(text)
            else:
                self._unreadable(f"delta: expected text, got {type(text).__name__}")
        elif isinstance(thought := delta.get("reasoningContent"), dict):
            if isinstance(text := thought.get("text"), str):
                self._reasoning(text)
        elif isinstance(tool := delta.get("toolUse"), dict) and _index(document) in self._our_tools:
            self._tool(_index(document), arguments=tool.get("input"))

    def _metadata(self, document: Mapping[str, Any]) -> None:
        tier, trace = document.get("serviceTier"), document.get("trace")
        router = trace.get("promptRouter") if isinstance(trace, dict) else None
        self._serves(
            model=router.get("invokedModelId") if isinstance(router, dict) else None,
            tier=tier.get("type") if isinstance(tier, dict) else tier,
        )
        if isinstance(usage := document.get("usage"), dict):
            self._report(_usage(usage), final=True)
        self._end()

    @property
    def complete(self) -> bool:
        """Whether the stream came to its `metadata`."""
        return self.terminated and super().complete


class ConverseDecoder(ConverseReader, AWSEventsDecoder):
    """Turns the body of a ConverseStream into provider events, at any chunking."""


class InvokeDecoder(ConverseReader, MessagesReader, AWSEventsDecoder):
    """Turns the body of an InvokeModelWithResponseStream into provider events, at any chunking."""

    def _wrapped(self, event: str, document: dict[str, Any]) -> None:
        try:
            inner = self._loaded(binascii.a2b_base64(document.get("bytes") or b"", strict_mode=True))
        except (binascii.Error, TypeError, ValueError) as error:
            self._unreadable(f"chunk: expected base64 of an event, got {error}")
            return
        if inner is not None:
            self._object(event, inner)

    def _object(self, event: str, document: dict[str, Any]) -> None:
        if "type" in document:
            MessagesReader._object(self, event, document)
        elif isinstance(text := document.get("outputText"), str):
            self._titan(text, document)
        else:
            for name, value in document.items():
                if isinstance(value, dict):
                    ConverseReader._object(self, name, value)

    def _titan(self, text: str, document: Mapping[str, Any]) -> None:
        self._text(text)
        given, taken = (
            read_count(document.get(name)) for name in ("inputTextTokenCount", "totalOutputTextTokenCount")
        )
        metrics = document.get("amazon-bedrock-invocationMetrics")
        if isinstance(metrics, dict):
            given = read_count(metrics.get("inputTokenCount")) if given is None else given
        if given is not None or taken is not None:
            self._report(Usage(given, taken, source="provider", complete=False))
        if reason := document.get("completionReason"):
            self._finished(_FINISHES.get(str(reason), "other"), reason)
            self._end()


def _usage(usage: Mapping[str, Any]) -> Usage:
    def count(*names: str) -> int | None:
        return next((found for name in names if (found := read_count(usage.get(name))) is not None), None)

    fresh, read = count("inputTokens"), count("cacheReadInputTokens", "cacheReadInputTokenCount")
    written = count("cacheWriteInputTokens", "cacheWriteInputTokenCount")
    by_duration: dict[str, int] = {}
    details = usage.get("cacheDetails")
    for entry in details if isinstance(details, list) else ():
        if isinstance(entry, dict) and (tokens := read_count(entry.get("inputTokens"))) is not None:
            duration = str(entry.get("ttl"))
            by_duration[duration] = by_duration.get(duration, 0) + tokens
    if written is None and by_duration:
        written = sum(by_duration.values())
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=count("outputTokens"),
        cached_input_tokens=read,
        total_tokens=count("totalTokens"),
        source="provider",
        cache_write_tokens=written,
        cache_write_5m_tokens=by_duration.get("5m"),
        cache_write_1h_tokens=by_duration.get("1h"),
        complete=False,
    )


def _index(document: Mapping[str, Any]) -> int:
    index = document.get("contentBlockIndex")
    return index if isinstance(index, int) else 0
