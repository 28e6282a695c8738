"""HTTP/1.1 as providers are asked and answer, sans IO: the head of a request, the head of an answer, and where its body
ends; chunked.py reads a body in chunks.

h11 does the same for any peer, in a twentieth of a warm request's time and 7 ms of a cold start's imports. This is as
strict: a test holds the two against each other.
https://www.rfc-editor.org/rfc/rfc9112
"""

import re
from typing import NamedTuple

from weir.errors import DataError
from weir.providers.chunked import ChunkedBody

MAX_HEAD_BYTES = 102_400
_MAX_LENGTH_DIGITS = 20
_OF_TOKENS = b"-!#$%&'*+.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TOKEN = rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]++"
# What stands in a line, but for NUL and white space; most of what else is no text is let through, as h11 does.
_VALUE = rb"(?:[^\x00\s]++(?:[ \t]++[^\x00\s]++)*+)?+"
_REQUEST = re.compile(
    rb"%b [\x21-\x7e]++ HTTP/1\.1\r\n(?:%b: %b\r\n)*+\r\n" % (_TOKEN, _TOKEN, _VALUE)
).fullmatch
_STATUS = re.compile(rb"HTTP/([0-9]\.[0-9]) ([0-9]{3})(?: ((?:[ \t]|[^\x00\s])*+))?").fullmatch
_FIELD = re.compile(rb"(%b):[ \t]*+(%b)[ \t]*+" % (_TOKEN, _VALUE)).fullmatch
_BLANK_LINE = re.compile(rb"\n\r?\n").search

type Fields = list[tuple[bytes, bytes]]


class NotHttp(DataError):
    """Bytes that came are no HTTP/1.1, or what is to be sent would be none."""


class Head(NamedTuple):
    """An answer's head; `body` reads what is behind it, `kept` says that the peer leaves the connection open then."""

    status: int
    reason: bytes
    version: bytes
    fields: Fields
    body: "ChunkedBody | PlainBody"
    kept: bool


def encode_head(method: str, target: bytes, fields: Fields) -> bytes:
    """A request's head. Raises NotHttp, whose text quotes nothing of it: a field may be a key."""
    lines = [b"%b: %b" % field for field in fields]
    head = b"\r\n".join((b"%b %b HTTP/1.1" % (method.encode(), target), *lines, b"\r\n"))
    # One match reads all of it, where no value holds the end of a line and no name the end of a name.
    as_many = head.count(b"\r\n") == len(fields) + 2
    if (
        not as_many
        or b"".join([name for name, _ in fields]).translate(None, _OF_TOKENS)
        or not _REQUEST(head)
    ):
        raise NotHttp("request: expected a method, a target and fields that HTTP allows")
    return head


class HeadReader:
    """Reads the head of the answer to a `method` request."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._held = b""
        self._searched = 0

    def feed(self, data: bytes) -> tuple[Head, bytes] | None:
        """Take the next bytes; return the head once it is whole, and what came behind it. Raises NotHttp."""
        data = self._held + data
        while (blank := _BLANK_LINE(data, self._searched)) is not None:
            head = _read_head(data[: blank.start()], self._method)
            data, self._searched = data[blank.end() :], 0
            if head is not None:
                return head, data
        if data and data[0] <= 0x20:
            raise NotHttp(f"expected a status line, got {data[:40]!r}")
        if len(data) > MAX_HEAD_BYTES:
            raise NotHttp(f"expected a head of at most {MAX_HEAD_BYTES} bytes, got more")
        # Seen bytes are not searched again, or byte by byte a head would be quadratic.
        self._held, self._searched = data, max(0, len(data) - 2)
        return None


def _read_head(data: bytes, method: str) -> Head | None:
    """The head; None where it only tells that another one comes."""
    first, *lines = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    matched = _STATUS(first)
    if matched is None:
        raise NotHttp(f"expected a status line, got {first[:40]!r}")
    version, status, reason = matched[1], int(matched[2]), matched[3] or b""
    fields: Fields = []
    length: bytes | None = None
    chunked, kept = False, version >= b"1.1"
    for line in _unfolded(lines):
        matched = _FIELD(line)
        if matched is None:
            raise NotHttp(f"expected 'name: value', got {line[:40]!r}")
        name, value = matched.groups()
        match name.lower():
            case b"content-length":
                given = {part.strip() for part in value.split(b",")} | ({length} if length else set())
                if len(given) != 1 or not (one := given.pop()).isdigit():
                    raise NotHttp(f"expected one Content-Length, got {value[:40]!r}")
                if len(one) > _MAX_LENGTH_DIGITS:
                    raise NotHttp(f"expected a Content-Length, got {len(one)} digits")
                if length is not None:
                    continue
                length = value = one
            case b"transfer-encoding":
                value = value.lower()
                if chunked or value != b"chunked":
                    raise NotHttp(f"expected Transfer-Encoding chunked, once, got {value[:40]!r}")
                chunked = True
            case b"connection":
                kept = kept and b"close" not in (part.strip() for part in value.lower().split(b","))
        fields.append((name, value))
    if status < 200:
        if status < 100 or status == 101:
            raise NotHttp(f"expected a status of an answer, got {status}")
        return None
    if status in (204, 304) or method == "HEAD":
        return Head(status, reason, version, fields, PlainBody(0), kept)
    if chunked:
        return Head(status, reason, version, fields, ChunkedBody(), kept)
    body = PlainBody(None if length is None else int(length))
    return Head(status, reason, version, fields, body, kept and length is not None)


def _unfolded(lines: list[bytes]) -> list[bytes]:
    """Each field on a line of its own: one that begins with a blank goes on with the field before it."""
    if not any(line[:1] in (b" ", b"\t") for line in lines):
        return lines
    fields: list[list[bytes]] = []
    for line in lines:
        if line[:1] not in (b" ", b"\t"):
            fields.append([line])
        elif fields:
            fields[-1].append(line.lstrip(b" \t"))
        else:
            raise NotHttp("expected a field, got the continuation of none")
    return [b" ".join(parts) for parts in fields]


class PlainBody:
    """A body of so many bytes, or of all until the connection ends (None); to be read as a ChunkedBody."""

    error: str | None = None

    def __init__(self, length: int | None) -> None:
        self.ended = length == 0
        self.rest = b""
        self.ends_with_connection = length is None
        self._left_bytes = length

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those of the body."""
        if self._left_bytes is None:
            return data
        body, rest = data[: self._left_bytes], data[self._left_bytes :]
        self._left_bytes -= len(body)
        self.ended = self._left_bytes == 0
        self.rest += rest
        return body
