"""What a protocol is to the simulator: how it asks, how it answers, and how it fails."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from ..answer import Answer
from ..script import HttpError, Script

type Event = tuple[int, bytes]  # how many tokens end in it


class RequestError(Exception):
    """The request is answered with an error of the API, not of the script."""

    def __init__(self, error: HttpError) -> None:
        super().__init__(error.message)
        self.error = error


def refuse(message: str, *, status: int = 400, **members: Any) -> RequestError:
    """The error of a request that the API does not take."""
    return RequestError(HttpError(status, message, **members))


class Dialect(ABC):
    """One protocol. `rules` names the subset of JSON Schema that its native structured output takes."""

    rules: str
    content_type = "text/event-stream; charset=utf-8"

    @abstractmethod
    def read(self, body: dict[str, Any], model: str | None, *, stream: bool) -> dict[str, Any]:
        """The request in Chat Completions' words; `model` and `stream` where the path says them.

        `tool` is the name of the tool that is forced, whose arguments are then the document. Raises RequestError.
        """

    @abstractmethod
    def events(self, answer: Answer, script: Script, asked: Mapping[str, Any]) -> Iterator[Event]:
        """The whole stream, event by event."""

    @abstractmethod
    def whole(self, answer: Answer, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The body of an answer that is not streamed."""

    @abstractmethod
    def error(self, error: HttpError) -> tuple[object, dict[str, str]]:
        """The body and the headers of an error before the stream."""

    @abstractmethod
    def text(self, text: str) -> bytes:
        """One event with a piece of text."""

    @abstractmethod
    def failure(self, message: str) -> bytes:
        """An error inside the stream."""

    @abstractmethod
    def odd(self) -> bytes:
        """An event that is JSON, of a shape that nobody knows, and without text."""

    def ping(self) -> bytes:
        """What keeps a connection alive and holds no text."""
        return b": ping\n\n"

    def garbage(self) -> bytes:
        """An event whose data is not JSON."""
        return self.text("\0").replace(b'"\\u0000"', b"<not JSON>")

    def invalid_utf8(self) -> bytes:
        """A piece of text whose bytes are no UTF-8."""
        return self.text("\0").replace(b"\\u0000", b"caf\xe9 \xff\xfe \xf0\x9f\x98")

    def endless(self) -> bytes:
        """The beginning of an event that never ends."""
        return self.text("\0").partition(b"\\u0000")[0]


def event(value: object, newline: str = "\n", name: str | None = None) -> bytes:
    """One server-sent event; a string goes out as it is, anything else as JSON in UTF-8."""
    data = value if isinstance(value, str) else dumps(value)
    named = f"event: {name}{newline}" if name else ""
    return f"{named}data: {data}{newline}{newline}".encode()


def dumps(value: object) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def final_usages(usage: dict[str, Any], script: Script) -> list[dict[str, Any]]:
    """What is reported at the end, in Chat Completions' words; nothing where the script says so."""
    match script.usage:
        case "none":
            return []
        case "twice":
            return [with_output(usage, usage["completion_tokens"] // 2), usage]
        case "inconsistent":
            return [{**usage, "completion_tokens": -1, "total_tokens": 10 * usage["total_tokens"]}]
    return [usage]


def with_output(usage: dict[str, Any], output_tokens: int) -> dict[str, Any]:
    """The same usage after so many tokens of output."""
    total = usage["prompt_tokens"] + output_tokens
    return {**usage, "completion_tokens": output_tokens, "total_tokens": total}


def cached(usage: Mapping[str, Any]) -> int:
    """Input tokens that came from the cache."""
    tokens: int = usage["prompt_tokens_details"]["cached_tokens"]
    return tokens


def reasoning(usage: Mapping[str, Any]) -> int:
    """Output tokens that went into thoughts."""
    tokens: int = usage["completion_tokens_details"]["reasoning_tokens"]
    return tokens


def conversation(turns: Any, parts_at: str, *, system: str = "") -> list[dict[str, Any]]:
    """Turns with their texts joined; those of images are counted by nobody here."""
    messages = [{"role": "system", "content": system}] if system else []
    if isinstance(turns, str):
        return [*messages, {"role": "user", "content": turns}]
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise refuse("expected a list of messages")
    for turn in turns:
        role = "assistant" if turn.get("role") in ("assistant", "model") else turn.get("role", "user")
        messages.append({"role": role, "content": texts(turn.get(parts_at))})
    return messages


def texts(parts: Any) -> str:
    """The text of a message's content, whether it is one or a list of parts."""
    if isinstance(parts, str):
        return parts
    return " ".join(
        part["text"] for part in parts or () if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


def json_schema(schema: Any, name: str = "document") -> dict[str, Any]:
    """A structured output in Chat Completions' words."""
    if not isinstance(schema, dict):
        raise refuse("expected a JSON Schema as an object")
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}
