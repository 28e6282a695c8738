"""A compressed body, decompressed in pieces of a bounded size: two kilobytes can hold a gigabyte.

We ask for none (`accept-encoding: identity`); a proxy in between may compress all the same. One layer of gzip or
deflate is read, https://www.rfc-editor.org/rfc/rfc9110#section-8.4; everything else is refused by its name.
"""

import zlib
from collections.abc import Iterator

from weir.errors import DataError

PIECE_BYTES = 65_536


class BrokenEncoding(DataError):
    """The body is not what its content-encoding says, or is encoded in a way that is not read."""


class Inflater:
    """Turns the pieces of a body into pieces of what it holds; `encoding` is the content-encoding's value.

    Raises:
        BrokenEncoding: another encoding than one layer of gzip or deflate.
    """

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in ("gzip", "x-gzip", "deflate"):
            raise BrokenEncoding(f"content-encoding: expected identity, gzip or deflate, got {name[:64]!r}")
        self._gzip = name != "deflate"
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32 if self._gzip else zlib.MAX_WBITS)
        self._first = not self._gzip

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take a piece; give what it holds, at most PIECE_BYTES at a time."""
        if self._first and data:
            self._first = False
            if data[0] & 0x0F != 8:  # no zlib header: some servers send bare deflate
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        while data:
            if self._inflate.eof:
                if not self._gzip:
                    return
                self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # another member follows
            piece = self._piece(data)
            data = self._inflate.unconsumed_tail or self._inflate.unused_data
            while piece:
                yield piece
                # What was taken in may hold more than one piece gives out.
                piece = self._piece(b"") if len(piece) == PIECE_BYTES and not data else b""

    def _piece(self, data: bytes) -> bytes:
        try:
            return self._inflate.decompress(data, PIECE_BYTES)
        except zlib.error as error:
            raise BrokenEncoding("content-encoding: expected compressed bytes, got broken ones") from error
