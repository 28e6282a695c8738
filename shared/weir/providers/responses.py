"""OpenAI's Responses stream: from OpenAI, Azure, xAI, OpenRouter and Bedrock, whose frames differ, not their objects.

https://platform.openai.com/docs/api-reference/responses-streaming. What an event is, its object's `type` says; the
`event` field may be missing, or come behind the data. The end is one of three objects, with the usage in it.

A response may have several messages: text that is marked as commentary is thought aloud, and not the answer.
"""

from collections.abc import Mapping
from typing import Any

from weir.providers.decoder import MAX_EVENT_BYTES
from weir.providers.events import FinishReason
from weir.providers.json_events import JSONEventsDecoder
from weir.providers.openai_usage import read_openai_usage

_INCOMPLETE: Mapping[str, FinishReason] = {
    "max_output_tokens": "length", "max_tokens": "length", "content_filter": "filtered", "steered": "paused",
}  # fmt: skip
_ENDS = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done"}
)
_THOUGHTS = frozenset({
    "response.reasoning_summary_text.delta", "response.reasoning_text.delta", "response.reasoning.delta",
    "response.reasoning_summary.delta",
})  # fmt: skip


class ResponsesDecoder(JSONEventsDecoder):
    """Turns the body of a streamed response into provider events, at any chunking."""

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(max_event_bytes=max_event_bytes)
        self._items: dict[int, str] = {}  # what the item at each output index is: its type, or its phase
        self._streamed: set[tuple[int, int]] = set()  # parts whose text came in deltas
        self._refused = False

    def _object(self, event: str, document: dict[str, Any]) -> None:
        kind = document.get("type")
        kind = kind if isinstance(kind, str) and kind else event
        if kind == "response.output_text.delta":
            self._streamed.add(_part_of(document))
            self._say(_index(document), document.get("delta"))
        elif kind in _THOUGHTS:
            self._reasoning(_str(document.get("delta")))
        elif kind == "response.function_call_arguments.delta":
            self._tool(_index(document), arguments=document.get("delta"))
        elif kind == "response.output_item.added":
            self._item_begins(document)
        elif kind in ("response.output_text.done", "response.content_part.done"):
            self._part_ends(document)
        elif kind == "response.refusal.delta":
            self._refuse(document.get("delta"))
        elif kind == "response.refusal.done" and not self._refused:
            self._refuse(document.get("refusal"))
        elif kind in _ENDS or document.get("object") == "response":
            self._response_ends(document.get("response") or document)
        elif kind in ("response.created", "response.in_progress", "response.queued"):
            if isinstance(response := document.get("response"), dict):
                self._serves(response.get("model"))
        elif kind == "error" or document.get("error"):
            self._reported_error(document)
        elif document.get("choices"):
            self._unreadable("stream event: expected an event of a response, got choices")

    def _say(self, index: int, text: object) -> None:
        if not isinstance(text, str):
            self._unreadable(f"output text: expected text, got {type(text).__name__}")
        elif self._items.get(index) == "commentary":
            self._reasoning(text)
        else:
            self._text(text)

    def _refuse(self, text: object) -> None:
        self._refused = True
        self._refusal(_str(text))

    def _item_begins(self, document: Mapping[str, Any]) -> None:
        item = document.get("item")
        if not isinstance(item, dict):
            return
        kind = "commentary" if item.get("phase") == "commentary" else _str(item.get("type"))
        self._items[_index(document)] = kind
        if kind == "function_call":
            self._tool(_index(document), item.get("call_id") or item.get("id"), item.get("name"))

    def _part_ends(self, document: Mapping[str, Any]) -> None:
        """Text that was not streamed comes whole at its part's end."""
        part = document.get("part", document)
        is_text = isinstance(part, dict) and part.get("type") in ("output_text", "response.output_text.done")
        if is_text and _part_of(document) not in self._streamed and (text := part.get("text")):
            self._streamed.add(_part_of(document))
            self._say(_index(document), text)

    def _response_ends(self, response: object) -> None:
        if not isinstance(response, dict):
            self._unreadable(f"end of the response: expected an object, got {type(response).__name__}")
            return
        self._serves(response.get("model"), response.get("service_tier"))
        if not self._streamed:
            self._whole_output(response.get("output"))
        if isinstance(usage := response.get("usage"), dict):
            self._report(read_openai_usage(usage), final=True)
        status, details = response.get("status"), response.get("incomplete_details")
        if response.get("error") or status == "failed":
            self._reported_error(response.get("error") or {"message": "the response failed"})
        elif status == "cancelled":
            self._finished("error", status)
        elif status == "incomplete":
            reason = details.get("reason") if isinstance(details, dict) else None
            self._finished(_INCOMPLETE.get(str(reason), "other"), reason or status)
        elif status in ("completed", None):
            calls = "function_call" in self._items.values()
            self._finished("refused" if self._refused else "tool" if calls else "stop", status or "completed")
        if not self._failed and status not in ("in_progress", "queued"):
            self._end()

    def _whole_output(self, output: object) -> None:
        """The text of a response of which nothing was streamed."""
        for index, item in enumerate(_list(output)):
            if not isinstance(item, dict):
                continue
            if item.get("type") == "function_call" and index not in self._items:
                self._items[index] = "function_call"
                self._tool(index, item.get("call_id"), item.get("name"), _str(item.get("arguments")))
            for part in _list(item.get("content")) if item.get("type") == "message" else ():
                if isinstance(part, dict) and part.get("type") == "output_text":
                    self._items.setdefault(index, _str(item.get("phase")))
                    self._say(index, part.get("text"))
                elif isinstance(part, dict) and part.get("type") == "refusal" and not self._refused:
                    self._refuse(part.get("refusal"))


def _part_of(document: Mapping[str, Any]) -> tuple[int, int]:
    return _index(document), _index(document, "content_index")


def _index(document: Mapping[str, Any], name: str = "output_index") -> int:
    index = document.get(name)
    return index if isinstance(index, int) else 0


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
