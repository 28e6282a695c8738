"""Heads of requests and answers, and where a body ends, held against h11 as the oracle."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from weir.providers.http1 import MAX_HEAD_BYTES, HeadReader, NotHttp, encode_head

STATUSES = st.sampled_from([
    *[b"HTTP/1.1 200 OK"] * 8, b"HTTP/1.0 200 OK", b"HTTP/2.0 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 204 None",
    b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 429 Too  Many\t", b"HTTP/1.1 999 \x80", b"HTTP/1.1 200 a\x00", b"HTTP/1.1 200 a\rb",
    b"HTTP/1.1 099 no", b"HTTP/1.1 101 Switching", b"http/1.1 200 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000", b"HTTP/1.1  200 OK",
    b"HTTP/11 200 OK", b"", b" HTTP/1.1 200 OK", b"\x16\x03\x01", b"HTTP/1.1 200 OK\r",
])  # fmt: skip
LENGTHS = st.sampled_from(
    [b"0", b"3", b"3,3", b"3, 3", b"3, 4", b"+3", b"-1", b"", b"3 3", b"\xb2", b"1" * 21, b"03"]
)
FIELDS = st.one_of(
    st.tuples(st.sampled_from([b"X-A", b"x", b"Set-Cookie", b"x y", b"", b"x\x80", b"x:", b"\tx"]), st.binary(max_size=6)),
    st.tuples(st.sampled_from([b"Content-Length", b"content-length"]), LENGTHS),
    st.tuples(st.just(b"Transfer-Encoding"), st.sampled_from([b"chunked", b"Chunked", b"gzip", b"gzip, chunked", b""])),
    st.tuples(st.just(b"Connection"), st.sampled_from([b"close", b"Keep-Alive", b"x,CLOSE ,y", b"closed", b""])),
)  # fmt: skip
COLONS = st.sampled_from([b": ", b": ", b":", b":\t ", b" :", b"", b":\r\n ", b": a \r\n\tb"])
LINE_ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r\r\n"])
LINES = st.lists(st.tuples(FIELDS, COLONS, LINE_ENDS), max_size=4)
INTERIM = st.sampled_from(
    [b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nlink: a\r\n\r\n"]
)
BODIES = st.sampled_from([b"", b"abc", b"abcdef", b"3\r\nabc\r\n0\r\n\r\n", b"3\r\nab"])
SIZES = st.integers(min_value=1, max_value=200)
METHODS = st.sampled_from(["POST", "POST", "GET", "HEAD"])

type Answer = tuple[str, tuple[object, ...] | None, bytes, bool]


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def by_h11(method: str, data: bytes, size: int) -> Answer:
    """How it ended (whole, broken or open), the head, the body, and whether the connection may be used again."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
    connection.send(h11.EndOfMessage())
    head: tuple[object, ...] | None = None
    body = b""
    for piece in [*pieces(data, size), b""]:
        connection.receive_data(piece)
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                return "broken", head, body, False
            if isinstance(event, h11.Response):
                head = event.status_code, event.reason, event.http_version, event.headers.raw_items()
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                is_done = connection.their_state is h11.DONE and not connection.trailing_data[0]
                return "whole", head, body, is_done and piece != b""
            elif not isinstance(event, h11.InformationalResponse):
                break
    return "open", head, body, False


def by_ours(method: str, data: bytes, size: int) -> Answer:
    reader, head, body = HeadReader(method), None, b""
    for piece in pieces(data, size):
        if head is None:
            try:
                found = reader.feed(piece)
            except NotHttp:
                return "broken", None, b"", False
            if found is None:
                continue
            head, piece = found
        body += head.body.feed(piece) if piece else b""
        if head.body.ended or head.body.error:
            break
    if head is None:
        return "broken", None, b"", False  # the connection has ended
    how = "whole" if head.body.ended or head.body.ends_with_connection else "broken"
    reusable = how == "whole" and head.kept and not head.body.rest
    return how, (head.status, head.reason, head.version, head.fields), body, reusable


def answer(status: bytes, lines: list[tuple[tuple[bytes, bytes], bytes, bytes]], end: bytes) -> bytes:
    fields = b"".join(name + colon + value + line_end for (name, value), colon, line_end in lines)
    return status + b"\r\n" + fields + end


@given(METHODS, INTERIM, STATUSES, LINES, LINE_ENDS, BODIES, SIZES)
@example("POST", b"", b"HTTP/1.1 200 OK", [((b"Content-Length", b"3"), b": ", b"\n")], b"\n", b"abcdef", 1)
@example(
    "POST",
    b"",
    b"HTTP/1.1 200 OK",
    [((b"Transfer-Encoding", b"Chunked"), b": ", b"\r\n")],
    b"\r\n",
    b"3\r\nabc\r\n0\r\n\r\n",
    7,
)
def test_any_answer_at_any_cut_is_what_h11_reads(
    method: str,
    interim: bytes,
    status: bytes,
    lines: list[tuple[tuple[bytes, bytes], bytes, bytes]],
    end: bytes,
    body: bytes,
    size: int,
) -> None:
    data = interim + answer(status, lines, end) + body
    assert by_ours(method, data, size) == by_h11(method, data, size)


@given(st.binary(max_size=60), st.integers(min_value=0, max_value=60), SIZES)
def test_any_bytes_in_the_place_of_some_of_an_answer_are_what_h11_makes_of_them(
    other: bytes, at: int, size: int
) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Some: thing\r\n\r\nabc"
    damaged = data[:at] + other + data[at + len(other) :]
    assert by_ours("POST", damaged, size) == by_h11("POST", damaged, size)


@pytest.mark.parametrize("size", [1, 1000])
def test_an_endless_head_is_broken_where_h11_breaks_it(size: int) -> None:
    begun = b"HTTP/1.1 200 OK\r\nx: "
    for length in (MAX_HEAD_BYTES, MAX_HEAD_BYTES + 1):
        reader = HeadReader("POST")
        parts = pieces(begun + b"a" * (length - len(begun)), size)
        for part in parts[:-1]:
            assert reader.feed(part) is None
        if length > MAX_HEAD_BYTES:
            with pytest.raises(NotHttp, match="at most"):
                reader.feed(parts[-1])
        else:
            assert reader.feed(parts[-1]) is None


@given(
    st.sampled_from(["POST", "GET", "P T", "", "PÖST", "A\r\nB"]) | st.text(max_size=3),
    st.sampled_from([b"/", b"/v1?a=b", b"", b"/ /", b"/\x80", b"/\r\nx"]) | st.binary(max_size=4),
    st.lists(
        st.tuples(
            st.sampled_from([b"accept", b"X-Key", b"x y", b"", b"a: b", b"a\r\nb", b"a\x80"]) | st.binary(max_size=3),
            st.sampled_from([b"a", b"", b"a b", b" a", b"a ", b"a\tb", b"a\r\nb: c", b"a\nb", b"a\x00", b"\x80"])
            | st.binary(max_size=5),
        ),
        max_size=4,
    ),
)  # fmt: skip
def test_a_request_goes_out_as_by_h11_or_not_at_all(
    method: str, target: bytes, fields: list[tuple[bytes, bytes]]
) -> None:
    fields = [(b"Host", b"example.org"), *fields]
    try:
        theirs = h11.Connection(h11.CLIENT).send(h11.Request(method=method, target=target, headers=fields))
    except (h11.LocalProtocolError, UnicodeEncodeError):
        theirs = None
    try:
        ours = encode_head(method, target, fields)
    except NotHttp as error:
        assert "example.org" not in str(error)
        ours = None
    assert ours == theirs
