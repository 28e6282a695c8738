"""The chunks of an HTTP/1.1 body, sans IO: bytes in at any cut, the body's bytes out.

A provider writes each event of its stream as a chunk of its own. h11 makes two events of each and asks its state
machine about both, which takes as long as reading what is in it; here a chunk is one match and one slice. As strict as
h11: a test holds the two against each other.
https://www.rfc-editor.org/rfc/rfc9112#section-7.1
"""

import re

_CRLF = b"\r\n"
# Extensions say nothing to anybody here.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,20})(?:;[^\r\n]*)?[ \t]*\r\n").match
_MAX_LINE_BYTES = 16_384
_MAX_TRAILER_BYTES = 102_400


class ChunkedBody:
    """Reads one body. Once it has `ended`, `rest` holds what came behind it.

    What breaks the framing stops it for good, and `error` says what: no exception, so that the bytes before are not
    lost.
    """

    ends_with_connection = False

    def __init__(self) -> None:
        self.ended = False
        self.rest = b""
        self.error: str | None = None
        self._held = b""  # of a line, or of trailers, whose end has not come
        self._left_bytes = 0  # of a chunk, with the line end behind it
        self._in_trailer = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those of the body."""
        if self._held:
            data, self._held = self._held + data, b""
        parts: list[bytes] = []
        at, end = 0, len(data)
        while at < end and not self._in_trailer and self.error is None:
            if self._left_bytes == 0:
                line = _SIZE(data, at)
                if line is None:
                    self._hold(data[at:])
                    break
                at, size = line.end(), int(line[1], 16)
                self._in_trailer = size == 0
                self._left_bytes = size + len(_CRLF) if size else 0
                continue
            if self._left_bytes > len(_CRLF):
                part = data[at : at + self._left_bytes - len(_CRLF)]
                parts.append(part)
                at += len(part)
                self._left_bytes -= len(part)
            if self._left_bytes <= len(_CRLF):
                closing = data[at : at + self._left_bytes]
                if not _CRLF[-self._left_bytes :].startswith(closing):
                    self.error = f"expected CRLF behind a chunk, got {closing!r}"
                at += len(closing)
                self._left_bytes -= len(closing)
        if self._in_trailer:
            self._read_trailer(data[at:])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _hold(self, line: bytes) -> None:
        if _CRLF in line or len(line) > _MAX_LINE_BYTES:
            self.error = f"expected a chunk's size in hexadecimal, got {line[:40]!r}"
        self._held = line

    def _read_trailer(self, data: bytes) -> None:
        """Fields behind the last chunk, which say nothing to anybody here, up to a blank line."""
        if self.ended:
            self.rest += data
            return
        blank = 0 if data.startswith(_CRLF) else data.find(_CRLF + _CRLF)
        if blank >= 0:
            end = blank + len(_CRLF) * (1 if blank == 0 else 2)
            self.ended, self.rest = True, data[end:]
        elif len(data) > _MAX_TRAILER_BYTES:
            self.error = f"expected trailers of at most {_MAX_TRAILER_BYTES} bytes, got more"
        else:
            self._held = data
