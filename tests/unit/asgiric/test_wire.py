"""The hand-framed HTTP/1.1, held against h11 as the oracle."""

from itertools import pairwise

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asgiric.wire import (
    MAX_HEAD_BYTES,
    ProtocolError,
    Response,
    ResponseReader,
    encode_chunk,
    encode_last_chunk,
    encode_request,
)

TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_!#$%&'*+.^`|~", min_size=1, max_size=20)
VALUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)
# Names that mean something to the framing are chosen by the tests themselves.
FIELDS = st.lists(
    st.tuples(
        TOKEN.filter(
            lambda name: (
                name.lower()
                not in {
                    "content-length",
                    "transfer-encoding",
                    "connection",
                    "host",
                    "expect",
                    "upgrade",
                    "trailer",
                }
            )
        ),
        VALUE,
    ),
    max_size=8,
)


def portions(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes, cut at these positions (modulo their number)."""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


def read(pieces: list[bytes]) -> Response | None:
    reader = ResponseReader()
    response = None
    for piece in pieces:
        response = reader.feed(piece)
    return response


def as_server(data: bytes) -> tuple[h11.Request, list[bytes], list[tuple[bytes, bytes]]]:
    """What h11 reads out of a request: head, chunks, trailers."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    request = server.next_event()
    assert isinstance(request, h11.Request)
    chunks, whole = [], b""
    while not isinstance(event := server.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        whole += bytes(event.data)
        if event.chunk_end:
            chunks.append(whole)
            whole = b""
    return request, chunks or ([whole] if whole else []), list(event.headers)


@given(FIELDS, st.binary(max_size=200))
def test_h11_reads_our_whole_requests(fields: list[tuple[str, str]], body: bytes):
    data = encode_request("POST", "/2018-06-01/runtime/init/error", "127.0.0.1:9001", fields, body=body)
    request, bodies, trailers = as_server(data)
    assert (request.method, request.target) == (b"POST", b"/2018-06-01/runtime/init/error")
    assert b"".join(bodies) == body
    assert trailers == []
    assert list(request.headers) == [
        (b"host", b"127.0.0.1:9001"),
        *((name.lower().encode(), value.encode()) for name, value in fields),
        (b"content-length", str(len(body)).encode()),
    ]


@given(FIELDS, st.lists(st.binary(min_size=1, max_size=300), max_size=6), FIELDS)
def test_h11_reads_our_chunks_and_trailers(
    fields: list[tuple[str, str]], chunks: list[bytes], trailers: list[tuple[str, str]]
):
    head = encode_request("POST", "/r", "h", [*fields, ("Transfer-Encoding", "chunked")])
    data = head + b"".join(map(encode_chunk, chunks)) + encode_last_chunk(trailers)
    _, read_chunks, read_trailers = as_server(data)
    assert read_chunks == chunks
    assert read_trailers == [(name.lower().encode(), value.encode()) for name, value in trailers]


def test_a_get_has_no_body_and_no_length():
    assert (
        encode_request("GET", "/next", "h", [("A", "b")], body=b"")
        == b"GET /next HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"
    )


def test_an_empty_chunk_is_no_bytes_since_it_would_end_the_body():
    assert encode_chunk(b"") == b""
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert encode_last_chunk() == b"0\r\n\r\n"


@pytest.mark.parametrize(
    "field", [("A\r\nB", "c"), ("A", "b\r\nC: d"), ("A", "b\0"), ("", "x"), ("A b", "x"), ("ä", "x")]
)
def test_a_header_that_would_break_out_of_its_line_is_refused(field: tuple[str, str]):
    with pytest.raises(ValueError, match="expected a"):
        encode_request("POST", "/", "h", [field], body=b"")
    with pytest.raises(ValueError, match="expected a"):
        encode_last_chunk([field])


@pytest.mark.parametrize("target", ["", "/a b", "/a\r\nX: y", "/ä"])
def test_a_target_that_would_break_out_of_its_line_is_refused(target: str):
    with pytest.raises(ValueError, match="request target"):
        encode_request("GET", target, "h")


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, Response]:
    """Bytes of an answer as h11 writes it, and what they mean."""
    status = draw(st.sampled_from([200, 202, 204, 304, 400, 403, 410, 413, 500, 503]))
    body = draw(st.lists(st.binary(min_size=1, max_size=400), max_size=5)) if status not in (204, 304) else []
    fields = draw(FIELDS)
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    server.next_event(), server.next_event()
    headers = [(name, value) for name, value in fields]
    chunked = draw(st.booleans())
    if chunked:
        headers.append(("transfer-encoding", "chunked"))
    else:
        headers.append(("content-length", str(sum(map(len, body)))))
    closes = draw(st.booleans())
    if closes:
        headers.append(("connection", "close"))
    data = b""
    for _ in range(draw(st.integers(0, 2))):
        data += server.send(h11.InformationalResponse(status_code=103, headers=[("link", "</a>")])) or b""
    data += server.send(h11.Response(status_code=status, headers=headers)) or b""
    for part in body:
        data += server.send(h11.Data(data=part)) or b""
    trailers = draw(FIELDS) if chunked and status not in (204, 304) else []
    data += server.send(h11.EndOfMessage(headers=trailers)) or b""
    meaning: dict[str, str] = {}
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="POST", target="/", headers=[("host", "h"), ("content-length", "0")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    while not isinstance(event := client.next_event(), h11.Response):
        pass
    for name, value in event.headers:
        text = value.decode("latin-1")
        meaning[name.decode()] = f"{meaning[name.decode()]}, {text}" if name.decode() in meaning else text
    return data, Response(status, meaning, b"".join(body), not closes)


@given(answers(), st.lists(st.integers(0, 5000), max_size=30))
def test_any_portions_of_an_answer_give_what_h11_reads(answer: tuple[bytes, Response], cuts: list[int]):
    data, meaning = answer
    assert read(portions(data, cuts)) == meaning
    assert read([data]) == meaning


@given(answers())
def test_byte_by_byte_the_answer_comes_with_its_last_byte(answer: tuple[bytes, Response]):
    data, meaning = answer
    reader = ResponseReader()
    for index in range(len(data) - 1):
        assert reader.feed(data[index : index + 1]) is None
    assert reader.feed(data[-1:]) == meaning


@given(answers(), st.integers(0, 5000))
def test_an_answer_cut_short_is_an_error_at_end_of_file(answer: tuple[bytes, Response], cut: int):
    data, _ = answer
    reader = ResponseReader()
    assert reader.feed(data[: cut % len(data)]) is None
    with pytest.raises(ProtocolError, match="end of file"):
        reader.close()


@given(st.lists(st.binary(max_size=60), max_size=8))
@example([b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n"])
@example([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\xb2\r\n"])
@example([b"HTTP/1.1 \xb2\xb2\xb2\r\n\r\n"])
def test_any_bytes_give_an_answer_or_our_own_error(pieces: list[bytes]):
    reader = ResponseReader()
    try:
        for piece in pieces:
            reader.feed(piece)
        reader.close()
    except ProtocolError:
        pass


@given(answers(), st.integers(0, 4000), st.integers(0, 255))
def test_any_damage_to_an_answer_gives_an_answer_or_our_own_error(
    answer: tuple[bytes, Response], position: int, value: int
):
    data = bytearray(answer[0])
    data[position % len(data)] = value
    reader = ResponseReader()
    try:
        reader.feed(bytes(data))
        reader.close()
    except ProtocolError:
        pass


def test_a_body_of_unstated_length_ends_with_the_connection():
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\nwhat") is None
    assert reader.feed(b"ever") is None
    assert reader.close() == Response(200, {}, b"whatever", False)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nName : value\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1_0\r\na\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"a: " + b"b" * MAX_HEAD_BYTES * 2,
    ],
)
def test_what_is_not_one_http_answer_is_refused(data: bytes):
    with pytest.raises(ProtocolError, match="expected"):
        ResponseReader().feed(data)


def test_bytes_after_the_answer_are_refused():
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(ProtocolError, match="silence"):
        reader.feed(b"H")


def test_equal_repeated_lengths_are_one():
    assert read([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab"]) == Response(
        200, {"content-length": "2, 2"}, b"ab", True
    )
