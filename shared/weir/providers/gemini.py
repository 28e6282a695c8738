"""Google's Gemini stream (`streamGenerateContent?alt=sse`), of the Gemini API and of Vertex.

https://ai.google.dev/api/generate-content. No events are named and no mark ends the stream: the end is a chunk with a
finish reason. Without `alt=sse` the body is one JSON array of the same chunks.

Counts come in every chunk, as running totals, and members that are zero are left out; the last chunk is the one that
is billed. Candidates exclude thoughts, and both are output; tool prompts are input beside the prompt.
"""

from collections.abc import Mapping
from typing import Any

from weir.pricing.usage import Usage, read_count
from weir.providers.decoder import MAX_EVENT_BYTES
from weir.providers.events import FinishReason
from weir.providers.json_events import JSONEventsDecoder

_FINISHES: Mapping[str, FinishReason] = {
    "STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length", "SAFETY": "filtered", "RECITATION": "filtered",
    "BLOCKLIST": "filtered", "PROHIBITED_CONTENT": "filtered", "SPII": "filtered", "MODEL_ARMOR": "filtered",
    "ESCALATION": "filtered", "MALFORMED_FUNCTION_CALL": "malformed", "MALFORMED_RESPONSE": "malformed",
    "UNEXPECTED_TOOL_CALL": "malformed", "TOO_MANY_TOOL_CALLS": "malformed",
    "MISSING_THOUGHT_SIGNATURE": "malformed", "OTHER": "error", "LANGUAGE": "error", "PUP_LIMITED_DISABLED": "error",
}  # fmt: skip
_COUNTS = (
    "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount", "totalTokenCount",
    "cachedContentTokenCount",
)  # fmt: skip


class GeminiDecoder(JSONEventsDecoder):
    """Turns the body of a streamed answer of Gemini into provider events, at any chunking."""

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(max_event_bytes=max_event_bytes)
        self._counts: dict[str, int] = {}
        self._index: object = None
        self._calls = 0

    @property
    def complete(self) -> bool:
        """Whether a finish reason came with or behind the last text: earlier models name one in every chunk."""
        return not self._failed and self.finish is not None

    def _object(self, event: str, document: dict[str, Any]) -> None:
        if event == "error" or document.get("error"):
            self._reported_error(document)
            return
        self._serves(document.get("modelVersion"))
        candidates = document.get("candidates")
        if isinstance(candidates, list):
            for candidate in candidates:
                self._candidate(candidate)
        elif candidates is not None:
            self._unreadable(f"chunk: expected candidates as a list, got {type(candidates).__name__}")
        elif document.get("choices") or (not event and document.get("text")):
            self._unreadable("chunk: expected candidates, got choices")
        feedback = document.get("promptFeedback")
        if isinstance(feedback, dict) and (reason := feedback.get("blockReason")) and not candidates:
            self._count(document.get("usageMetadata"))
            self._finished("filtered", reason)
        else:
            self._count(document.get("usageMetadata"))

    def _candidate(self, candidate: object) -> None:
        if not isinstance(candidate, dict):
            self._unreadable(f"candidate: expected an object, got {type(candidate).__name__}")
            return
        index = candidate.get("index") or 0
        if self._index is None:
            self._index = index
        if index != self._index:
            return
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            self._part(part)
        if (reason := candidate.get("finishReason")) and reason != "FINISH_REASON_UNSPECIFIED":
            normal = _FINISHES.get(str(reason), "filtered" if str(reason).startswith("IMAGE_") else "other")
            self._finished("tool" if normal == "stop" and self._calls else normal, reason)

    def _part(self, part: object) -> None:
        if not isinstance(part, dict):
            self._unreadable(f"part: expected an object, got {type(part).__name__}")
            return
        text, call = part.get("text"), part.get("functionCall")
        if isinstance(text, str):
            if part.get("thought"):
                self._reasoning(text)
            else:
                self._text(text)
        elif text is not None:
            self._unreadable(f"part: expected text, got {type(text).__name__}")
        if isinstance(call, dict):
            self._tool(self._calls, call.get("id"), call.get("name"), call.get("args"))
            self._calls += 1

    def _count(self, usage: object) -> None:
        if not isinstance(usage, dict):
            return
        self._serves(tier=usage.get("serviceTier") or usage.get("trafficType"))
        reported = {name: count for name in _COUNTS if (count := read_count(usage.get(name))) is not None}
        if not reported:
            return
        largest = {name: max(count, self._counts.get(name, count)) for name, count in reported.items()}
        total = reported.get("totalTokenCount")
        agrees = total is not None and total == sum(reported.get(name, 0) for name in _COUNTS[:4])
        grows = total is not None and total >= self._counts.get("totalTokenCount", 0)
        dropped = "candidatesTokenCount" not in reported and self._counts.get("candidatesTokenCount", 0) > 0
        if agrees and grows and not dropped:
            self._counts, fell = reported, False
        else:
            # A last chunk without what earlier ones had counted: the largest that was said stands.
            fell = dropped or largest != reported
            self._counts |= largest
        self._report(_usage(self._counts, fell), instead=True)


def _usage(counts: Mapping[str, int], fell: bool) -> Usage:
    prompt, tools = counts.get("promptTokenCount"), counts.get("toolUsePromptTokenCount")
    candidates, thoughts = counts.get("candidatesTokenCount"), counts.get("thoughtsTokenCount")
    return Usage(
        input_tokens=None if prompt is None else prompt + (tools or 0),
        # Where a total is given, members that are left out are zero.
        output_tokens=(candidates or 0) + (thoughts or 0) if "totalTokenCount" in counts else candidates,
        cached_input_tokens=counts.get("cachedContentTokenCount"),
        reasoning_tokens=thoughts,
        total_tokens=counts.get("totalTokenCount"),
        source="provider",
        tool_prompt_tokens=tools,
        complete=False,
        fell=fell,
    )
