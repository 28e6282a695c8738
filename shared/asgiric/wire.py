"""HTTP/1.1 between a runtime and the Lambda Runtime API, without IO.

Decided here: how requests, chunks and trailers look on the wire, and what counts as an answer. The
Runtime API is one loopback peer that sends one answer for each request, so the whole protocol is three
writers (pure functions) and one reader. The reader is a generator that is fed bytes in any portions and
gives one `Response`; framing follows RFC 9112 section 6.3 (https://www.rfc-editor.org/rfc/rfc9112).
Hand framing costs about half of what a general HTTP library does per chunk; tests hold it against h11.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from asgiric.errors import PeerError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

MAX_HEAD_BYTES = 65_536

_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = frozenset(b"0123456789")
_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


class ProtocolError(PeerError):
    """The peer's bytes are not the HTTP/1.1 answer that was due (the peer's fault)."""


class Response(NamedTuple):
    """One whole answer; header names are lower case, repeated ones joined with a comma."""

    status: int
    headers: dict[str, str]
    body: bytes
    reusable: bool  # whether the connection may carry another request


def encode_request(
    method: str, target: str, host: str, headers: Iterable[tuple[str, str]] = (), *, body: bytes | None = None
) -> bytes:
    """A request head, with its body when one is given; without one, chunks may follow the head.

    Raises ValueError where a part could end its line early (request smuggling).
    """
    if not is_target(target):
        raise ValueError(f"expected a request target of visible ASCII, got {target!r}")
    lines = [f"{method} {target} HTTP/1.1", *_field_lines([("Host", host), *headers])]
    if body is not None and method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + (body or b"")


def is_target(text: str) -> bool:
    """Whether this may stand in a request line: visible ASCII alone."""
    return text.isascii() and text.isprintable() and " " not in text and text != ""


def encode_chunk(data: bytes) -> bytes:
    """One chunk. Empty data gives no bytes at all: on the wire an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def encode_last_chunk(trailers: Iterable[tuple[str, str]] = ()) -> bytes:
    """The end of a chunked body, with its trailer fields."""
    return "\r\n".join(["0", *_field_lines(trailers), "\r\n"]).encode("latin-1")


def _field_lines(fields: Iterable[tuple[str, str]]) -> list[str]:
    lines = []
    for name, value in fields:
        if not _is_token(name):
            raise ValueError(f"expected a token as header name, got {name!r}")
        if "\r" in value or "\n" in value or "\0" in value:
            raise ValueError(f"expected a one-line value for header {name}, got {value!r}")
        lines.append(f"{name}: {value}")
    return lines


@lru_cache(maxsize=64)  # the names of an exchange are the same each time
def _is_token(name: str) -> bool:
    # What is left when a token's characters are taken out; the quickest of the ways to ask.
    return name != "" and not name.encode("utf-8", "replace").translate(None, _TOKEN)


class ResponseReader:
    """Reads one answer: `feed` bytes as they come, `close` at end of file; a new reader for each answer."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at_eof = False
        self._result: Response | None = None
        self.began = False  # whether any byte of the answer has come
        self._parser = self._parse()
        next(self._parser)

    def feed(self, data: bytes | memoryview) -> Response | None:
        """Take bytes in any portions; the answer once it is whole.

        Raises ProtocolError on bytes that cannot belong to it, also after its end.
        """
        if self._result is not None and data:
            raise ProtocolError(f"expected silence after the answer, got {bytes(data[:40])!r}")
        self.began = self.began or bool(data)
        self._buffer += data
        return self._advance()

    def close(self) -> Response | None:
        """Take end of file, which ends a body of unstated length.

        Raises ProtocolError in the middle of an answer.
        """
        self._at_eof = True
        return self._advance()

    def _advance(self) -> Response | None:
        if self._result is None:
            try:
                next(self._parser)
            except StopIteration as finished:
                self._result = finished.value
                if self._buffer:
                    raise ProtocolError(
                        f"expected silence after the answer, got {bytes(self._buffer[:40])!r}"
                    ) from None
        return self._result

    def _parse(self) -> Generator[None, None, Response]:
        yield
        status = 100
        while status < 200:  # interim answers (1xx) precede the one that counts
            minor, status, headers = _parse_head((yield from self._take_until(b"\r\n\r\n", MAX_HEAD_BYTES)))
        reusable = minor == 1 and "close" not in headers.get("connection", "").lower()
        if status in (204, 304):
            return Response(status, headers, b"", reusable)
        if "transfer-encoding" in headers:
            # RFC 9112 6.1: both at once is an attempt at smuggling, or a broken peer.
            if headers["transfer-encoding"].lower() != "chunked" or "content-length" in headers:
                raise ProtocolError(f"expected Transfer-Encoding chunked alone, got {headers!r}")
            return Response(status, headers, (yield from self._take_chunks()), reusable)
        if "content-length" in headers:
            return Response(status, headers, (yield from self._take(_parse_length(headers))), reusable)
        while not self._at_eof:
            yield
        return Response(status, headers, self._pop(len(self._buffer)), False)

    def _take_chunks(self) -> Generator[None, None, bytes]:
        parts = []
        while True:
            size_line = yield from self._take_until(b"\r\n", 1024)
            digits = size_line.partition(b";")[0].rstrip(b" \t")
            if not digits or len(digits) > 8 or not _HEX_DIGITS.issuperset(digits):
                raise ProtocolError(f"expected a chunk size in hexadecimal, got {size_line[:40]!r}")
            size = int(digits, 16)
            if size == 0:
                break
            parts.append((yield from self._take(size)))
            if (end := (yield from self._take(2))) != b"\r\n":
                raise ProtocolError(f"expected CRLF after a chunk of {size} bytes, got {end!r}")
        while (yield from self._take_until(b"\r\n", MAX_HEAD_BYTES)):
            pass  # trailer fields of an answer say nothing to a runtime
        return b"".join(parts)

    def _take_until(self, mark: bytes, limit_bytes: int) -> Generator[None, None, bytes]:
        searched = 0
        while (found := self._buffer.find(mark, searched)) < 0:
            if len(self._buffer) > limit_bytes:
                raise ProtocolError(f"expected {mark!r} within {limit_bytes} bytes")
            # Seen bytes are not searched again: byte-wise feeding would be quadratic.
            searched = max(0, len(self._buffer) - len(mark) + 1)
            yield from self._more()
        return self._pop(found, len(mark))

    def _take(self, size: int) -> Generator[None, None, bytes]:
        while len(self._buffer) < size:
            yield from self._more()
        return self._pop(size)

    def _more(self) -> Generator[None, None, None]:
        if self._at_eof:
            raise ProtocolError(
                f"expected more of an answer, got end of file after {len(self._buffer)} bytes"
            )
        yield

    def _pop(self, size: int, skip: int = 0) -> bytes:
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[: size + skip]
        return data


def _parse_head(head: bytes) -> tuple[int, int, dict[str, str]]:
    status_line, *field_lines = head.decode("latin-1").split("\r\n")
    version, _, rest = status_line.partition(" ")
    code = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (code.isascii() and code.isdigit() and len(code) == 3):
        raise ProtocolError(f"expected an HTTP/1.1 status line, got {status_line[:80]!r}")
    if rest[3:4] not in ("", " ") or not 100 <= int(code) <= 599:
        raise ProtocolError(f"expected a status from 100 to 599, got {status_line[:80]!r}")
    headers: dict[str, str] = {}
    for line in field_lines:
        name, colon, value = line.partition(":")
        if not colon or not name:
            raise ProtocolError(f"expected 'name: value', got {line[:80]!r}")
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    # RFC 9112 5.1: no white space between name and colon; a line that starts with it is obsolete folding.
    if headers and not _is_token("".join(headers)):
        raise ProtocolError(f"expected tokens as header names, got {[*headers]!r:.300}")
    return int(version[-1]), int(code), headers


def _parse_length(headers: dict[str, str]) -> int:
    lengths = {value.strip() for value in headers["content-length"].split(",")}
    length = lengths.pop()
    if lengths or not length or len(length) > 18 or not _DIGITS.issuperset(length.encode("latin-1")):
        raise ProtocolError(f"expected one decimal Content-Length, got {headers['content-length']!r}")
    return int(length)
