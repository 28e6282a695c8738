"""The text of a document as it came: kept whole, because a surprise makes the whole text the judge's business.

Kept as UTF-8 in blocks: a str with one emoji in it takes four bytes a character, a str for each token fifty more.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

__all__ = ["KeptText"]

BLOCK_BYTES = 16384


class KeptText:
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
        if self._recent_bytes >= BLOCK_BYTES:
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
