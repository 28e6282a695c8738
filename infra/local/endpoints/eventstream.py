"""AWS's binary event stream (application/vnd.amazon.eventstream): how chunks reach callers of the Lambda API.

A message is: total length, length of headers, CRC32 of these two, headers, payload, CRC32 of all before it.
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
"""

import struct
from zlib import crc32

CONTENT_TYPE = "application/vnd.amazon.eventstream"
MAX_PAYLOAD_BYTES = 1024 * 1024  # a message may hold 16 MB; parts of answers are smaller anyhow
_TEXT = 7


def encode_event(kind: str, payload: bytes, content_type: str) -> bytes:
    """One event of that type."""
    headers = b"".join(
        struct.pack("!B", len(name)) + name + struct.pack("!BH", _TEXT, len(value)) + value
        for name, value in (
            (b":event-type", kind.encode()),
            (b":content-type", content_type.encode()),
            (b":message-type", b"event"),
        )
    )
    sizes = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = sizes + struct.pack("!I", crc32(sizes)) + headers + payload
    return message + struct.pack("!I", crc32(message))
