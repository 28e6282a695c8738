"""The chunks of a body, held against h11 as the oracle."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from weir.providers.chunked import ChunkedBody

SIZES = st.integers(min_value=1, max_value=4000)
BODIES = st.lists(st.binary(min_size=1, max_size=200), max_size=8)
# What may stand behind a size, and what may not.
BEHIND = st.sampled_from([b"", b" ", b"\t", b";a", b" ;a=b", b";a=\x80", b"x", b"\n", b"\r", b";\n", b"g1"])
ENDS = st.sampled_from(
    [b"0\r\n\r\n", b"000\r\n\r\n", b"0;x\r\na: b\r\n\r\n", b"0\r\na: b\r\nc: d\r\n\r\n", b"0\r\n", b"0", b""]
)


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def by_h11(framed: bytes, size: int) -> tuple[bytes, str]:
    """The body, and how it ended: whole, broken or open."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    connection.next_event()
    body = b""
    for piece in pieces(framed, size):
        connection.receive_data(piece)
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                return body, "broken"
            if isinstance(event, h11.EndOfMessage):
                return body, "whole"
            if not isinstance(event, h11.Data):
                break
            body += event.data
    return body, "open"


def by_ours(framed: bytes, size: int) -> tuple[bytes, str]:
    chunked, body = ChunkedBody(), b""
    for piece in pieces(framed, size):
        body += chunked.feed(piece)
        if chunked.error is not None or chunked.ended:
            break
    return body, "broken" if chunked.error else "whole" if chunked.ended else "open"


@given(BODIES, BEHIND, ENDS, SIZES)
@example([b"a"], b"", b"0\r\n\r\n", 1)
def test_any_chunks_at_any_cut_give_what_h11_gives(
    bodies: list[bytes], behind: bytes, end: bytes, size: int
) -> None:
    framed = b"".join(b"%X%b\r\n%b\r\n" % (len(body), behind, body) for body in bodies) + end
    assert by_ours(framed, size) == by_h11(framed, size)


@given(BODIES, st.integers(min_value=0, max_value=300), st.binary(min_size=1, max_size=2), SIZES)
def test_a_byte_changed_anywhere_breaks_the_framing_where_h11_says_so(
    bodies: list[bytes], at: int, other: bytes, size: int
) -> None:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in bodies) + b"0\r\n\r\n"
    damaged = framed[:at] + other + framed[at + len(other) :]
    ours, theirs = by_ours(damaged, size), by_h11(damaged, size)
    # Never more is read than by h11, which ends a trailer at a bare LF, too.
    assert ours == theirs or (theirs[1], ours[1]) in {
        ("whole", "open"),
        ("broken", "open"),
        ("broken", "whole"),
    }
    assert theirs[0].startswith(ours[0]) or ours[0].startswith(theirs[0])


@pytest.mark.parametrize("line", [b"-1", b"+1", b"0x1", b"1_0", b"", b" 1", b"1" * 21])
def test_what_is_no_size_breaks_the_framing_and_keeps_the_bytes_before_it(line: bytes) -> None:
    chunked = ChunkedBody()
    assert chunked.feed(b"1\r\na\r\n" + line + b"\r\nb\r\n") == b"a"
    assert chunked.error is not None and "size in hexadecimal" in chunked.error
    assert chunked.feed(b"1\r\na\r\n") == b""


def test_an_endless_line_and_endless_trailers_are_bounded() -> None:
    for begun in (b"1;", b"0\r\na: "):
        chunked = ChunkedBody()
        chunked.feed(begun)
        for _ in range(200):
            chunked.feed(b"x" * 1024)
        assert chunked.error is not None


def test_what_comes_behind_the_end_is_none_of_the_body() -> None:
    chunked = ChunkedBody()
    assert chunked.feed(b"1\r\na\r\n0\r\n\r\nHTTP/1.1 ") == b"a"
    assert chunked.feed(b"200 OK") == b""
    assert (chunked.ended, chunked.rest) == (True, b"HTTP/1.1 200 OK")
