"""What is kept of a document: its text as it came, and the JSON that it became. Neither is made twice.

The text is kept because only the whole text can tell where splitting ends; as UTF-8 in blocks, because a str with one
emoji in it takes four bytes a character, and a str for each token fifty more. The JSON is joined from bytes that were
serialised as each value closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from pydantic_core import SchemaSerializer

__all__ = ["JsonBuffer", "TextBuffer", "dump_json"]

TEXT_BLOCK_BYTES = 16384
JSON_BLOCK_BYTES = 65536


class TextBuffer:
    """Grows by `add`; `pieces` are its UTF-8, or `broken` is the text where it has none (half a surrogate pair)."""

    __slots__ = ("_blocks", "_broken", "_recent", "_recent_bytes", "chars", "size_bytes")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._recent: list[bytes] = []
        self._recent_bytes = 0
        self._broken: list[str] = []
        self.chars = 0
        self.size_bytes = 0

    @property
    def broken(self) -> str | None:
        """The whole text if it is not Unicode, else None."""
        return "".join(self._broken) if self._broken else None

    def add(self, text: str) -> str:
        """Keep `text` and return it up to the first character that has no UTF-8."""
        self.chars += len(text)
        if self._broken:
            self._broken.append(text)
            return ""
        try:
            piece = text.encode()
        except UnicodeEncodeError as error:
            self._broken = [b"".join(self.pieces()).decode(), text]
            return text[: error.start]
        self.size_bytes += len(piece)
        self._recent.append(piece)
        self._recent_bytes += len(piece)
        if self._recent_bytes >= TEXT_BLOCK_BYTES:
            self._blocks.append(b"".join(self._recent))
            self._recent.clear()
            self._recent_bytes = 0
        return text

    def pieces(self) -> Iterator[bytes]:
        """Yield the text as UTF-8."""
        return chain(self._blocks, self._recent)

    def before(self, rest: str) -> Iterator[bytes]:
        """Yield the text without `rest` at its end."""
        left = self.size_bytes - len(rest.encode())
        for piece in self.pieces():
            if left <= 0:
                return
            yield piece[:left]
            left -= len(piece)


class JsonBuffer:
    """Serialised bytes in blocks: small pieces are joined as they come, so that a million cost no million objects."""

    __slots__ = ("_blocks", "_last", "size_bytes")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._last = bytearray()
        self.size_bytes = 0

    def add(self, piece: bytes | bytearray) -> None:
        """Append `piece`."""
        self.size_bytes += len(piece)
        if len(piece) >= JSON_BLOCK_BYTES:
            self._finish()
            self._blocks.append(bytes(piece))  # no copy of what is bytes already
            return
        self._last += piece
        if len(self._last) >= JSON_BLOCK_BYTES:
            self._finish()

    def _finish(self) -> None:
        if self._last:
            self._blocks.append(bytes(self._last))  # exactly as large as it is; a bytearray grows ahead
            self._last = bytearray()

    def extend(self, other: JsonBuffer) -> None:
        """Append what `other` holds."""
        if other._blocks:
            self._finish()
            self._blocks += other._blocks
            self.size_bytes += other.size_bytes - len(other._last)
        self.add(other._last)

    def __iter__(self) -> Iterator[bytes | bytearray]:
        yield from self._blocks
        yield self._last

    def equals(self, json: bytes) -> bool:
        """Whether everything joined is `json`; nothing is copied."""
        view, at = memoryview(json), 0
        for block in self:
            if view[at : at + len(block)] != memoryview(block):
                return False
            at += len(block)
        return at == len(json)

    def joined(self) -> bytes:
        """Return everything as one."""
        return b"".join(self) if self._blocks else bytes(self._last)


def dump_json(serializer: SchemaSerializer, value: Any) -> bytes:
    """Return the JSON of `value` as `model_dump_json(by_alias=True)` writes it."""
    return serializer.to_json(value, by_alias=True, warnings=False)
