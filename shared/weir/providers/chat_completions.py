"""OpenAI's Chat Completions stream: bytes in, provider events out.

https://platform.openai.com/docs/api-reference/chat-streaming, and what OpenAI, Azure, Groq, OpenRouter, Mistral,
DeepSeek and others really send: `choices: []`, null deltas, content in parts, a message where a delta is due, usage
in any chunk, errors inside a 200 stream, any text as a finish reason.

A chunk that cannot be read is an error where it may have held text, because a document with a hole in it must not
pass for the model's; where it cannot have held any it is skipped, as the providers' own SDKs do.
"""

from collections.abc import Mapping
from typing import Any

from weir.providers.decoder import MAX_EVENT_BYTES, looks_like_error
from weir.providers.events import FinishReason, Text
from weir.providers.json_events import JSONEventsDecoder
from weir.providers.openai_usage import read_openai_usage

_FINISHES: Mapping[str, FinishReason] = {
    "stop": "stop", "eos": "stop", "eos_token": "stop", "end_turn": "stop", "stop_sequence": "stop",
    "completed": "stop", "done": "stop", "length": "length", "max_tokens": "length", "model_length": "length",
    "max_output_tokens": "length", "content_filter": "filtered", "safety": "filtered", "sensitive": "filtered",
    "tool_calls": "tool", "tool_use": "tool", "function_call": "tool", "refusal": "refused", "error": "error",
    "network_error": "error", "abort": "error",
}  # fmt: skip
# Parts of a content list that hold no text of the answer.
_NO_TEXT = frozenset({
    "reference", "references", "citation", "annotation", "image", "image_url", "input_image", "output_image", "audio",
    "input_audio", "file", "document_url", "tool_use", "tool_call", "tool_result", "function_call", "signature",
})  # fmt: skip
_THOUGHTS = ("thinking", "reasoning", "reasoning_content", "thought")


class ChatCompletionsDecoder(JSONEventsDecoder):
    """Turns the body of a streamed completion into provider events, at any chunking; `events.Decoder` has the rest.

    The choice that comes first is the one that is read: one was asked for. A body that ends with neither a finish
    reason nor the usage of the whole was cut off, whatever its last line says.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(max_event_bytes=max_event_bytes)
        self._index: object = None
        self._has_deltas = False
        self._counted_apart = False  # usage came in a chunk without text, behind all text
        # The last chunk, without its text, if that was all that it said.
        self._still: dict[str, Any] | None = None

    @property
    def complete(self) -> bool:
        """A finish reason that stands, or one or the end mark with the whole's usage: the mark alone proves nothing."""
        counted = self._counted_apart and self._counted_all
        ended = self.terminated or self.finish is not None
        return super().complete or (not self._failed and ended and counted)

    def _object(self, event: str, document: dict[str, Any]) -> None:
        delta, text = _text_of(document)
        if delta is not None:
            # Most chunks differ from the one before by their text: it is taken, and what is the same not read again.
            delta["content"] = ""
            document.pop("obfuscation", None)  # OpenAI's padding
            if document == self._still and event != "error":
                self._text(text)
                return
            delta["content"] = text
        self._still, said = None, len(self._out)
        self._chunk(event, document)
        if delta is not None and len(self._out) == said + 1 and isinstance(self._out[-1], Text):
            delta["content"], self._still = "", document

    def _chunk(self, event: str, document: dict[str, Any]) -> None:
        choices, pieces = document.get("choices"), self._pieces
        self._serves(document.get("model"), document.get("service_tier"))
        if isinstance(choices, list):
            for choice in choices:
                self._choice(choice)
        elif choices:
            self._unreadable(f"stream chunk: expected choices as a list, got {type(choices).__name__}")
        if self._failed:
            return
        self._count(document, bool(choices), apart=0 < self._pieces == pieces)
        groq = document.get("x_groq")
        if event == "error" or looks_like_error(document):
            self._reported_error(document.get("error") or document)
        elif isinstance(groq, dict) and groq.get("error"):
            self._reported_error(groq["error"])
        elif not choices and any(
            isinstance(text := document.get(name), str) and text
            for name in ("content", "text", "response", "delta")
        ):
            self._unreadable("stream chunk: expected choices, got text without them")

    def _count(self, document: dict[str, Any], has_choices: bool, *, apart: bool) -> None:
        usage = document.get("usage")
        if not isinstance(usage, dict) and isinstance(groq := document.get("x_groq"), dict):
            usage = groq.get("usage")
        if not isinstance(usage, dict) and has_choices and isinstance(choice := document["choices"][0], dict):
            usage = choice.get("usage")  # Moonshot
        if not isinstance(usage, dict):
            usage = document.get("timings")  # llama.cpp
        if not isinstance(usage, dict):
            return
        report = read_openai_usage(usage)
        if report.input_tokens is None and report.output_tokens is None:
            return
        self._counted_apart = apart
        self._report(report, final=apart and not has_choices)

    def _choice(self, choice: object) -> None:
        if not isinstance(choice, dict):
            if choice is not None:
                self._unreadable(f"choice: expected an object, got {type(choice).__name__}")
            return
        index = choice.get("index") or 0
        if self._index is None:
            self._index = index
        if index != self._index:
            return
        delta, message = choice.get("delta"), choice.get("message")
        if isinstance(delta, dict) and (
            delta.get("content") or any(delta.get(name) for name in delta if name != "role")
        ):
            self._has_deltas = True
            self._message(delta)
        elif isinstance(delta, str):
            self._content(delta)
        elif delta is not None and not isinstance(delta, dict):
            self._unreadable(f"delta: expected an object, got {type(delta).__name__}")
        elif not self._has_deltas:
            if isinstance(message, dict):
                self._message(message)
            elif isinstance(message := message or choice.get("text"), str):
                self._content(message)
        reason = choice.get("finish_reason")
        if reason and str(reason).lower() not in ("null", "none") and not self._failed:
            self._finished(_FINISHES.get(str(reason).lower(), "other"), reason)
        if choice.get("error"):
            self._reported_error(choice["error"])

    def _message(self, message: dict[str, Any]) -> None:
        if (content := message.get("content")) is not None:
            self._content(content)
        thoughts = message.get("reasoning_content") or message.get("reasoning") or message.get("thinking")
        if thoughts:
            self._reasoning(_texts(thoughts))
        if isinstance(refusal := message.get("refusal"), str) and refusal:
            self._refusal(refusal)
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            for position, call in enumerate(calls):
                self._call(position, call)
        elif isinstance(call := message.get("function_call"), dict):
            self._call(0, {"function": call})

    def _content(self, content: object) -> None:
        """The content of a message: text, or parts of it."""
        if isinstance(content, str):
            if content:
                self._text(content)
        elif isinstance(content, list):
            for part in content:
                self._part(part)
        elif isinstance(content, dict):
            self._part(content)
        elif content is not None:
            self._unreadable(f"content: expected text or parts, got {type(content).__name__}")

    def _part(self, part: object) -> None:
        if isinstance(part, str):
            self._content(part)
            return
        if not isinstance(part, dict):
            self._unreadable(f"content part: expected an object, got {type(part).__name__}")
            return
        kind = part.get("type")
        kind = kind if isinstance(kind, str) or kind is None else str(kind)
        if kind in _THOUGHTS:
            self._reasoning(_texts(part.get(kind) or part.get("text") or part.get("content")))
        elif kind == "refusal":
            self._refusal(_texts(part.get("refusal") or part.get("text")))
        elif kind in _NO_TEXT:
            pass
        elif kind in (None, "text", "output_text") and isinstance(text := part.get("text"), str | dict):
            self._content(text if isinstance(text, str) else text.get("value") or "")
        else:
            self._unreadable(f"content part: expected text or reasoning, got type {str(kind)[:64]!r}")

    def _call(self, position: int, call: object) -> None:
        if not isinstance(call, dict):
            return
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        index, arguments = call.get("index"), function.get("arguments")
        self._tool(
            index if isinstance(index, int) else position, call.get("id"), function.get("name"), arguments
        )


def _text_of(document: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The delta of a chunk with one choice, if its content is text, and that text."""
    choices = document.get("choices")
    choice = choices[0] if type(choices) is list and len(choices) == 1 else None
    delta = choice.get("delta") if type(choice) is dict else None
    text = delta.get("content") if type(delta) is dict else None
    return (delta, text) if type(text) is str and text else (None, "")


def _texts(thoughts: object) -> str:
    """The text of thoughts, whether they come as text, as a part or as a list of parts."""
    if isinstance(thoughts, str):
        return thoughts
    if isinstance(thoughts, list):
        return "".join(_texts(item) for item in thoughts)
    if isinstance(thoughts, dict):
        return _texts(
            next((thoughts[name] for name in ("text", *_THOUGHTS, "content") if thoughts.get(name)), "")
        )
    return ""
