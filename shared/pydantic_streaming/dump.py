"""Serialised bytes, kept as they were made: the document's JSON is joined from them and never dumped again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import SchemaSerializer

__all__ = ["Dump", "dumped"]

BLOCK_BYTES = 65536


class Dump:
    """Serialised bytes in blocks: small pieces are joined as they come, so that a million cost no million objects."""

    __slots__ = ("_blocks", "_last", "size_bytes")

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._last = bytearray()
        self.size_bytes = 0

    def add(self, piece: bytes | bytearray) -> None:
        """Append `piece`."""
        self.size_bytes += len(piece)
        if len(piece) >= BLOCK_BYTES:
            self._finish()
            self._blocks.append(bytes(piece))  # no copy of what is bytes already
            return
        self._last += piece
        if len(self._last) >= BLOCK_BYTES:
            self._finish()

    def _finish(self) -> None:
        if self._last:
            self._blocks.append(bytes(self._last))  # exactly as large as it is; a bytearray grows ahead
            self._last = bytearray()

    def extend(self, other: Dump) -> None:
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


def dumped(serializer: SchemaSerializer, value: Any) -> bytes:
    """Return the JSON of `value` as `model_dump_json(by_alias=True)` writes it."""
    return serializer.to_json(value, by_alias=True, warnings=False)
