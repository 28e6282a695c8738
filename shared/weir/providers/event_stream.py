"""AWS's event stream encoding (`application/vnd.amazon.eventstream`): bytes in, messages out.

https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html. A message is

    u32 total length | u32 headers' length | u32 CRC-32 of these | headers | payload | u32 CRC-32 of all before

and a header is u8 name length, name, u8 type, value. Both sums are checked, so one bit that fell over is an error and
no text; what follows a message that cannot be trusted cannot be found, so the decoder stops for good.
"""

import struct
import zlib
from dataclasses import dataclass

_PRELUDE = struct.Struct(">III")
_U32 = struct.Struct(">I")
_LEAST_BYTES = 16
_MAX_HEADERS_BYTES = 16_384
_STRING = 7
# Bytes that a value of each type takes; strings and byte arrays say their length, and booleans are in the type.
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_KNOWN_HEADERS = 64


@dataclass(slots=True)  # not frozen: thousands a stream, and making one takes half as long
class Message:
    """One message: its headers of type string, and its payload."""

    headers: dict[str, str]
    payload: bytes


class EventStreamDecoder:
    """Turns the bytes of an event stream into messages, at any chunking.

    `max_message_bytes` bounds one message. `error` says why it stopped: an attribute and no exception, so that the
    messages before are not lost.
    """

    def __init__(self, *, max_message_bytes: int = 1_048_576) -> None:
        self.max_message_bytes = max_message_bytes
        self.error: str | None = None
        self._pieces: list[
            bytes
        ] = []  # joined when a message is whole: += per chunk is O(n^2) for one long message
        self._size = 0
        self._wanted = 12  # bytes that must be there before it is worth looking
        self._headers: dict[
            bytes, dict[str, str]
        ] = {}  # a stream has few kinds of events, and says each anew

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes; return the messages that they complete, in order."""
        messages: list[Message] = []
        if self.error or not data:
            return messages
        self._pieces.append(data)
        self._size += len(data)
        if self._size < self._wanted:
            return messages
        buffer = data if len(self._pieces) == 1 else b"".join(self._pieces)
        start = 0
        while not self.error:
            left = len(buffer) - start
            if left < 12:
                self._wanted = 12
                break
            total, headers_size, prelude_sum = _PRELUDE.unpack_from(buffer, start)
            if not self._prelude_holds(buffer, start, total, headers_size, prelude_sum):
                break
            if left < total:
                self._wanted = total
                break
            if (message := self._message(buffer, start, total, headers_size)) is not None:
                messages.append(message)
            start += total
        rest = buffer[start:]
        self._pieces, self._size = [rest] if rest else [], len(rest)
        return messages

    def close(self) -> bool:
        """End the stream; return whether it broke off inside a message."""
        return self._size > 0

    def _prelude_holds(
        self, buffer: bytes, start: int, total: int, headers_size: int, expected_sum: int
    ) -> bool:
        if zlib.crc32(buffer[start : start + 8]) != expected_sum:
            self.error = "event stream: expected a message's prelude with its checksum, got another"
        elif total > self.max_message_bytes:
            self.error = (
                f"event stream: expected messages of at most {self.max_message_bytes} bytes, got {total}"
            )
        elif headers_size > _MAX_HEADERS_BYTES or total < _LEAST_BYTES + headers_size:
            self.error = f"event stream: expected headers within a message of {total} bytes, got {headers_size} of them"
        return self.error is None

    def _message(self, buffer: bytes, start: int, total: int, headers_size: int) -> Message | None:
        end = start + total - 4
        if zlib.crc32(buffer[start:end]) != _U32.unpack_from(buffer, end)[0]:
            self.error = "event stream: expected a message with its checksum, got another"
            return None
        raw = buffer[start + 12 : start + 12 + headers_size]
        headers = self._headers.get(raw)
        if headers is None:
            try:
                headers = _read_headers(raw)
            except (ValueError, IndexError, struct.error) as error:
                self.error = f"event stream: expected headers, got {error}"
                return None
            if len(self._headers) < _KNOWN_HEADERS:
                self._headers[raw] = headers
        return Message(headers, buffer[start + 12 + headers_size : end])


def _read_headers(raw: bytes) -> dict[str, str]:
    """The headers of type string; others are skipped by their size. Raises ValueError: cut, unknown or repeated."""
    headers: dict[str, str] = {}
    names: set[bytes] = set()
    at = 0
    while at < len(raw):
        name = raw[at + 1 : at + 1 + raw[at]]
        at += 1 + raw[at]
        kind = raw[at]
        at += 1
        if not name or name in names:
            raise ValueError(f"the name {name[:64]!r} {'twice' if name else ''}".rstrip())
        names.add(name)
        if kind in (6, _STRING):
            size = int.from_bytes(raw[at : at + 2])
            at += 2
            if kind == _STRING:
                headers[name.decode()] = raw[at : at + size].decode()
            at += size
        elif kind in _SIZES:
            at += _SIZES[kind]
        else:
            raise ValueError(f"a value of type {kind}")
        if at > len(raw):
            raise ValueError("a value that goes beyond them")
    return headers
