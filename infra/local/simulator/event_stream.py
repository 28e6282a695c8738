"""Messages in AWS's event stream encoding, as Bedrock sends them.

https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html
"""

import struct
import zlib
from collections.abc import Mapping

_STRING = 7


def encode_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message as bytes."""
    raw = b"".join(_field(name, 1) + bytes([_STRING]) + _field(value, 2) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(raw) + len(payload), len(raw))
    message = prelude + _sum(prelude) + raw + payload
    return message + _sum(message)


def _field(text: str, size_bytes: int) -> bytes:
    data = text.encode()
    return len(data).to_bytes(size_bytes) + data


def _sum(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))
