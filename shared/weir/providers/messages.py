"""Anthropic's Messages stream: from Anthropic, and from Bedrock, Vertex and Foundry, which serve the same events.

https://docs.anthropic.com/en/docs/build-with-claude/streaming. Text is any block of type text; kinds of blocks and
of deltas grow, and those that are not known are skipped, as the API asks.

`input_tokens` is what is left beside the cache: all input is the sum of three. The counts at the start hold a
placeholder of output; those at the end are cumulative, and may leave out the input or raise it.
"""

from collections.abc import Mapping
from typing import Any

from weir.pricing.usage import Usage, read_count
from weir.providers.decoder import AnswerDecoder
from weir.providers.events import FinishReason, Switched
from weir.providers.json_events import JSONEventsDecoder

_FINISHES: Mapping[str, FinishReason] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool", "refusal": "refused",
    "pause_turn": "paused", "model_context_window_exceeded": "context",
}  # fmt: skip
_INPUTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_WRITTEN = {"ephemeral_5m_input_tokens": "5m", "ephemeral_1h_input_tokens": "1h"}


class MessagesReader(AnswerDecoder):
    """Reads the events of a message, whatever frames them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._counts: dict[str, int] = {}
        self._output_is_placeholder = False
        self._tools: set[int] = set()  # indices of the blocks that call a tool of ours

    def _object(self, event: str, document: dict[str, Any]) -> None:
        match document.get("type"):
            case "content_block_delta":
                self._block_delta(document.get("index"), document.get("delta"))
            case "content_block_start":
                self._block(document.get("index"), document.get("content_block"))
            case "message_start" if isinstance(message := document.get("message"), dict):
                self._serves(message.get("model"))
                self._count(message.get("usage"), at_start=True)
            case "message_delta":
                self._message_delta(document)
            case "message_stop":
                self._end()
            case "message":  # whole, where a stream was asked for
                self._serves(document.get("model"))
                for index, block in enumerate(_list(document.get("content"))):
                    self._block(index, block)
                self._message_delta({"delta": document, "usage": document.get("usage")})
                self._end()
            case "error":
                self._reported_error(document)
            case None if event == "error" or document.get("error"):
                self._reported_error(document)
            case None if document.get("completion") or document.get("choices"):
                self._unreadable("stream event: expected a Messages event with a type, got text without one")

    def _block(self, index: object, block: object) -> None:
        if not isinstance(block, dict):
            return
        match block.get("type"):
            case "text":
                self._text_of("text", block.get("text"))
            case "thinking":
                self._reasoning(_str(block.get("thinking")))
            case "tool_use":
                self._tools.add(_index(index))
                self._tool(_index(index), block.get("id"), block.get("name"), block.get("input") or "")
            case "fallback":
                before, after = (_model(block.get(name)) for name in ("from", "to"))
                self._out.append(Switched(before, after))
                self._serves(after)

    def _block_delta(self, index: object, delta: object) -> None:
        if not isinstance(delta, dict):
            self._unreadable(f"content block delta: expected an object, got {type(delta).__name__}")
            return
        match delta.get("type"):
            case "text_delta":
                self._text_of("text_delta", delta.get("text"))
            case "input_json_delta" if _index(index) in self._tools:
                self._tool(_index(index), arguments=delta.get("partial_json"))
            case "thinking_delta":
                self._reasoning(_str(delta.get("thinking")))

    def _text_of(self, kind: str, text: object) -> None:
        if isinstance(text, str):
            self._text(text)
        elif text is not None:
            self._unreadable(f"{kind}: expected text, got {type(text).__name__}")

    def _message_delta(self, document: Mapping[str, Any]) -> None:
        delta = document.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        details = delta.get("stop_details")
        if isinstance(details, dict) and details.get("type") == "refusal":
            category = details.get("category")
            self._refusal(_str(details.get("explanation")), category if isinstance(category, str) else None)
        usage = document.get("usage")
        self._count(usage, at_start=False)
        if reason := delta.get("stop_reason"):
            self._finished(_FINISHES.get(str(reason), "other"), reason)

    def _count(self, usage: object, *, at_start: bool) -> None:
        if not isinstance(usage, dict):
            return
        tier, region = usage.get("service_tier"), usage.get("inference_geo")
        if usage.get("speed") == "fast":
            tier = "fast"
        self._serves(tier=tier, region=None if region == "not_available" else region)
        reported = _counts(usage)
        if not at_start and self._output_is_placeholder and "output_tokens" in reported:
            self._counts.pop("output_tokens", None)
            self._output_is_placeholder = False
        fell = False
        for name, count in reported.items():
            before = self._counts.get(name, count)
            fell = fell or count < before
            self._counts[name] = max(before, count)
        self._output_is_placeholder = self._output_is_placeholder or at_start
        if reported:
            self._report(_usage(self._counts, fell), instead=True)


class MessagesDecoder(MessagesReader, JSONEventsDecoder):
    """Turns the body of a streamed message into provider events, at any chunking."""


def _counts(usage: Mapping[str, Any]) -> dict[str, int]:
    """What one report says, by the API's names; of several iterations, their sum."""
    counts = _one(usage)
    iterations = [item for item in _list(usage.get("iterations")) if isinstance(item, dict)]
    if len(iterations) > 1:  # then the members beside them are the last one's only
        for name in {name for item in iterations for name in _one(item)}:
            counts[name] = sum(_one(item).get(name, 0) for item in iterations)
    return counts


def _one(usage: Mapping[str, Any]) -> dict[str, int]:
    members: dict[str, object] = {name: usage.get(name) for name in (*_INPUTS, "output_tokens")}
    if isinstance(written := usage.get("cache_creation"), dict):
        members |= {name: written.get(name) for name in _WRITTEN}
    if isinstance(details := usage.get("output_tokens_details"), dict):
        members["thinking_tokens"] = details.get("thinking_tokens")
    return {name: count for name, value in members.items() if (count := read_count(value)) is not None}


def _usage(counts: Mapping[str, int], fell: bool) -> Usage:
    inputs = [counts[name] for name in _INPUTS if name in counts]
    return Usage(
        input_tokens=sum(inputs) if "input_tokens" in counts else None,
        output_tokens=counts.get("output_tokens"),
        cached_input_tokens=counts.get("cache_read_input_tokens"),
        reasoning_tokens=counts.get("thinking_tokens"),
        source="provider",
        cache_write_tokens=counts.get("cache_creation_input_tokens"),
        cache_write_5m_tokens=counts.get("ephemeral_5m_input_tokens"),
        cache_write_1h_tokens=counts.get("ephemeral_1h_input_tokens"),
        complete=False,
        fell=fell,
    )


def _index(value: object) -> int:
    return value if isinstance(value, int) else 0


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _model(value: object) -> str | None:
    name = value.get("model") if isinstance(value, dict) else None
    return name if isinstance(name, str) else None
