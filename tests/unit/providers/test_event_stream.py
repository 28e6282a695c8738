"""AWS's event stream, as botocore reads it; what was damaged on the way is an error and no message."""

import struct
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from infra.local.simulator.event_stream import encode_message
from tests.recordings import recordings
from weir.providers.event_stream import EventStreamDecoder, Message

HEADERS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    max_size=4,
)
MESSAGES = st.lists(st.tuples(HEADERS, st.binary(max_size=200)), min_size=1, max_size=5)
EVENT = {":message-type": "event", ":event-type": "contentBlockDelta", ":content-type": "application/json"}


def decode(data: bytes, size: int | None = None) -> tuple[list[Message], EventStreamDecoder]:
    decoder, messages = EventStreamDecoder(), []
    for start in range(0, len(data), size or max(1, len(data))):
        messages += decoder.feed(data[start : start + (size or len(data))])
    return messages, decoder


def botocores(data: bytes) -> list[Message]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [Message(dict(event.headers), event.payload) for event in buffer]


@pytest.mark.parametrize("api", ["bedrock.converse", "bedrock.invoke"])
@pytest.mark.parametrize("size", [1, 7, None])
def test_recordings_are_framed_as_botocore_frames_them(api: str, size: int | None) -> None:
    for recording in recordings(api):
        if size != 1 or len(recording.body) < 20_000:
            messages, decoder = decode(recording.body, size)
            assert messages == botocores(recording.body), recording.name
            assert decoder.error is None and not decoder.close()


@given(MESSAGES, st.integers(1, 40))
def test_what_is_encoded_is_read_again_at_any_chunking(
    messages: list[tuple[dict[str, str], bytes]], size: int
) -> None:
    data = b"".join(encode_message(headers, payload) for headers, payload in messages)
    read, decoder = decode(data, size)
    assert read == [Message(headers, payload) for headers, payload in messages]
    assert read == botocores(data)
    assert decoder.error is None


@given(st.integers(0, 10_000), st.integers(1, 50))
def test_any_bit_that_falls_over_is_an_error_and_no_message(bit: int, size: int) -> None:
    data = bytearray(encode_message(EVENT, b'{"delta":{"text":"Hello"},"contentBlockIndex":0}'))
    bit %= len(data) * 8
    data[bit // 8] ^= 1 << bit % 8
    messages, decoder = decode(bytes(data) + encode_message(EVENT, b"{}"), size)
    assert decoder.error is not None and decoder.error.startswith("event stream: expected ")
    assert messages == []


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_are_messages_an_error_or_an_unfinished_message(data: bytes, size: int) -> None:
    _, decoder = decode(data, size)
    assert decoder.error or decoder.close() or not data


def test_what_follows_an_error_is_not_read() -> None:
    _, decoder = decode(b"\xff" * 16)
    assert decoder.error and decoder.feed(encode_message(EVENT, b"{}")) == []


def test_a_message_over_the_bound_is_refused_by_its_first_bytes() -> None:
    decoder = EventStreamDecoder(max_message_bytes=1_000)
    prelude = struct.pack(">II", 1_001, 0)
    assert decoder.feed(prelude + struct.pack(">I", zlib.crc32(prelude))) == []
    assert decoder.error == "event stream: expected messages of at most 1000 bytes, got 1001"


def raw(headers: bytes) -> bytes:
    total = 16 + len(headers)
    prelude = struct.pack(">II", total, len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers
    return message + struct.pack(">I", zlib.crc32(message))


def header(name: bytes, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name + bytes([kind]) + value


@pytest.mark.parametrize(
    ("kind", "value"),
    [(0, b""), (1, b""), (2, b"\1"), (3, b"\1\2"), (4, b"1234"), (5, b"12345678"), (6, b"\0\3abc"), (8, b"12345678"), (9, b"1" * 16)],
)  # fmt: skip
def test_headers_of_other_types_are_passed_over_by_their_size(kind: int, value: bytes) -> None:
    messages, decoder = decode(raw(header(b"a", kind, value) + header(b"b", 7, b"\0\2ok")))
    assert decoder.error is None and messages == [Message({"b": "ok"}, b"")]


@pytest.mark.parametrize(
    "headers",
    [
        header(b"a", 7, b"\0\1x") * 2,  # twice
        header(b"a", 7, b"\0\5x"),  # cut
        header(b"a", 10, b""),  # no such type
        header(b"a", 4, b"12"),
        header(b"", 7, b"\0\1x"),  # no name
        header(b"a", 7, b"\0\1\xff"),  # no UTF-8
        b"\x05a",
    ],
)
def test_broken_headers_are_an_error(headers: bytes) -> None:
    messages, decoder = decode(raw(headers))
    assert messages == [] and decoder.error is not None and "headers" in decoder.error
