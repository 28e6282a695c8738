"""The events that a caller receives, and their bytes.

`delta` and `value` are encoded here by hand: they are the hot path, and a value's JSON was serialised once, by the
validator, and is joined and not parsed again. Every stream ends with exactly one `done` or `error`.
"""

import json
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Protocol

from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.sse import encode_event

if TYPE_CHECKING:
    from weir.providers.events import ToolCall


class Wire(Protocol):
    """How events are written for a caller; this module is one, for those of `/v1/generations`.

    `repeats_text` says that the last event holds all of the text: then it is kept, and so bounded.
    """

    @property
    def repeats_text(self) -> bool: ...

    def delta(self, attempt: int, text: str, /) -> bytes:
        """Text of the model."""

    def tool_call(self, attempt: int, call: "ToolCall", /) -> bytes:
        """A piece of a call of a function, where functions were passed on."""

    def value(self, attempt: int, path: str, json_bytes: bytes, /) -> bytes:
        """A validated part of the document."""

    def retry(self, attempt: int, reason: str, discarded_paths: Iterable[str], /) -> bytes:
        """A new attempt begins."""

    def forget(self) -> None:
        """What was written has not left, and never will."""


repeats_text = False

RESULT_PART_BYTES = 32_000
"""Half of the 64 KB that an event may have: as a JSON string within the event, its quotes are escaped."""


# Kept: json.dumps makes an encoder for each call.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
# Characters that JSON lets stand in a string and at which many readers end a line: U+0085, U+2028, U+2029.
_LINE_ENDS = ((b"\xc2\x85", rb"\u0085"), (b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029"))


def dumps(value: Any) -> bytes:
    """Compact JSON on one line; a lone surrogate, which has no UTF-8, stays the escape that it came as."""
    return _on_one_line(_encode(value).encode("utf-8", "backslashreplace"))


def string(text: str) -> bytes:
    """`dumps` of text: each delta is one, and no encoder looks first what it is."""
    return _on_one_line(encode_basestring(text).encode("utf-8", "backslashreplace"))


def _on_one_line(json_bytes: bytes) -> bytes:
    if not json_bytes.isascii():
        for character, escape in _LINE_ENDS:
            json_bytes = json_bytes.replace(character, escape)
    return json_bytes


def delta(attempt: int, text: str) -> bytes:
    """Text of the model, the moment it came."""
    return b'event: delta\ndata: {"attempt":%d,"text":%b}\n\n' % (attempt, string(text))


def tool_call(attempt: int, call: "ToolCall") -> bytes:
    """Nothing: only OpenAI's endpoints pass functions on."""
    return b""


def value(attempt: int, path: str, json_bytes: bytes) -> bytes:
    """A completed, validated part of the document; `path` is a JSON Pointer into the result."""
    return b'event: value\ndata: {"attempt":%d,"path":%b,"value":%b}\n\n' % (
        attempt,
        string(path),
        _on_one_line(json_bytes),
    )


def retry(attempt: int, reason: str, discarded_paths: Iterable[str]) -> bytes:
    """A new attempt begins: earlier deltas are void, and so are the values named."""
    members = {"attempt": attempt, "reason": reason, "discarded_paths": list(discarded_paths)}
    return encode_event("retry", dumps(members))


def forget() -> None:
    """Nothing: no event hangs on another."""


def result(attempt: int, parts: Iterable[bytes]) -> Iterator[bytes]:
    """The whole document, in parts that a client joins: `json` holds a piece of its text.

    `parts` are byte strings of at most RESULT_PART_BYTES; a character that a boundary cuts moves to the next part.
    """
    from codecs import getincrementaldecoder

    decoder = getincrementaldecoder("utf-8")()
    pieces = iter(parts)
    piece = next(pieces, b"")
    number = 0
    while True:
        following = next(pieces, None)
        text = decoder.decode(piece, final=following is None)
        members = {"attempt": attempt, "part": number, "last": following is None, "json": text}
        yield encode_event("result", dumps(members))
        if following is None:
            return
        piece = following
        number += 1


def done(attempt: int, outcome: Outcome, summary: dict[str, Any]) -> bytes:
    """The final event of a request that gave what was asked; `summary` holds usage, timing and cost."""
    return encode_event("done", dumps({"attempt": attempt, "outcome": outcome, **summary}))


def error(attempt: int, problem: Problem, summary: dict[str, Any]) -> bytes:
    """The final event of every other request that began."""
    members = {**problem.as_json(), "attempt": attempt, "outcome": problem.outcome, **summary}
    return encode_event("error", dumps(members))
