"""What llhttp makes of an answer, held against h11 as the oracle: what both read they read alike, and what llhttp alone
refuses is named here.
"""

from typing import NamedTuple

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from weir.providers.answer import MAX_HEAD_BYTES, Answer

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 3\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
IN_CHUNKS = OK + CHUNKED + b"\r\n"
SIZES = st.integers(min_value=1, max_value=300)
INTERIM = st.sampled_from(
    [b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nlink: a\r\n\r\n" * 2]
)

type Head = tuple[int, bytes, bytes, list[tuple[bytes, bytes]]]


class Read(NamedTuple):
    """What came of an answer behind which the connection ended; no head where none was whole."""

    whole: bool
    head: Head | None
    body: bytes
    reusable: bool


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def by_h11(data: bytes, size: int) -> Read:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    connection.send(h11.Request(method="POST", target="/", headers=[("host", "h")]))
    connection.send(h11.EndOfMessage())
    head: Head | None = None
    body = b""
    left = pieces(data, size)
    for piece in [*left, b""]:
        connection.receive_data(piece)
        left = left[1:]
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                return Read(False, head, body, False)
            if isinstance(event, h11.Response):
                fields = [(bytes(name), bytes(value)) for name, value in event.headers.raw_items()]
                head = event.status_code, bytes(event.reason), bytes(event.http_version), fields
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                quiet = not left and not connection.trailing_data[0] and piece != b""
                return Read(True, head, body, quiet and connection.their_state is h11.DONE)
            elif not isinstance(event, h11.InformationalResponse):
                break
    return Read(False, head, body, False)


def by_ours(data: bytes, size: int) -> Read:
    answer, body = Answer(), b""
    for piece in pieces(data, size):
        answer.feed(memoryview(piece))
        body += answer.take()
    whole = answer.ended or (answer.error is None and answer.ends_with_connection)
    fields = [
        (name, value.lower() if name.lower() == b"transfer-encoding" else value)
        for name, value in answer.fields
    ]
    head = (
        (answer.status, answer.reason, answer.version, fields) if answer.status else None
    )  # as h11 writes it
    return Read(whole, head, body, answer.ended and answer.kept)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Answers as servers write them, and what may stand behind them."""
    status = draw(
        st.sampled_from(
            [b"200 OK"] * 6 + [b"204 None", b"304 Not Modified", b"429 Too  Many", b"999 \x80", b"200"]
        )
    )
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0"]))
    names = st.sampled_from([b"X-A", b"x", b"Set-Cookie", b"Upgrade"])
    values = st.sampled_from([b"", b"a", b"a b\tc", b"\xc3\xa4", b"a" * 300, b":"])
    blanks = st.sampled_from([b"", b" ", b" \t "])
    fields = draw(st.lists(st.tuples(names, blanks, values, blanks), max_size=4))
    connection = draw(st.sampled_from([b"", b"", b"Connection: x,CLOSE ,y\r\n", b"Connection: Upgrade\r\n"]))
    parts = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
    framing, body = draw(st.sampled_from(["length", "chunks", "end"])), b"".join(parts)
    if framing == "length":
        connection += b"content-length:%d\r\n" % len(body)
    elif framing == "chunks":
        connection += draw(st.sampled_from([CHUNKED, b"transfer-encoding: Chunked\r\n"]))
        behind = draw(st.sampled_from([b"", b";a", b";a=b", b';a="b c"']))
        body = b"".join(b"%X%b\r\n%b\r\n" % (len(part), behind, part) for part in parts)
        body += draw(st.sampled_from([b"0\r\n\r\n", b"000;x\r\n\r\n", b"0\r\na: b\r\nc: d\r\n\r\n"]))
    if status[:3] in (b"204", b"304"):
        body = b""
    lines = b"".join(b"%b:%b%b%b\r\n" % (name, *rest) for name, *rest in fields)
    return b"HTTP/%b %b\r\n%b%b\r\n%b" % (version, status, lines, connection, body)


@given(INTERIM, answers(), st.sampled_from([b"", b"", b"", b"H", OK + LENGTH + b"\r\nabc"]), SIZES)
@example(b"", IN_CHUNKS + b"3\r\nabc\r\n0\r\n\r\n", b"", 1)
def test_any_answer_at_any_cut_is_what_h11_reads(
    interim: bytes, answer: bytes, glued: bytes, size: int
) -> None:
    theirs = by_h11(interim + answer + glued, size)
    assert by_ours(interim + answer + glued, size) == theirs
    assert theirs.whole


STATUSES = st.sampled_from([
    *[b"HTTP/1.1 200 OK"] * 8, b"HTTP/2.0 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 204 None", b"HTTP/1.1 200 a\rb", b"HTTP/11 200 OK",
    b"HTTP/1.1 099 no", b"HTTP/1.1 101 Switching", b"http/1.1 200 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000", b"HTTP/1.1  200 OK",
    b"", b" HTTP/1.1 200 OK", b"\x16\x03\x01", b"HTTP/1.1 200 OK\r",
])  # fmt: skip
LENGTHS = st.sampled_from(
    [b"0", b"3", b"3,3", b"3, 3", b"3, 4", b"+3", b"-1", b"", b"3 3", b"\xb2", b"1" * 21, b"03"]
)
FIELDS = st.one_of(
    st.tuples(st.sampled_from([b"X-A", b"x", b"x y", b"", b"x\x80", b"x:", b"\tx"]), st.binary(max_size=6)),
    st.tuples(st.sampled_from([b"Content-Length", b"content-length"]), LENGTHS),
    st.tuples(st.just(b"Transfer-Encoding"), st.sampled_from([b"chunked", b"Chunked", b"gzip", b"gzip, chunked", b""])),
    st.tuples(st.just(b"Connection"), st.sampled_from([b"close", b"Keep-Alive", b"x,CLOSE ,y", b"closed", b""])),
)  # fmt: skip
COLONS = st.sampled_from([b": ", b": ", b":", b":\t ", b" :", b"", b":\r\n ", b": a \r\n\tb"])
LINE_ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r\r\n"])
BODIES = st.sampled_from([b"", b"abc", b"abcdef", b"3\r\nabc\r\n0\r\n\r\n", b"3\r\nab", b"3\nabc\n0\n\n"])


def assert_read_alike_or_refused(data: bytes, size: int) -> None:
    ours, theirs = by_ours(data, size), by_h11(data, size)
    if not ours.whole:  # and no byte is another's
        assert theirs.body.startswith(ours.body) or ours.body.startswith(theirs.body)
        assert ours.head is None or theirs.head in (None, ours.head)
    elif ours.head is None or theirs.head is not None or not set(b"\x00\v\f") & set(ours.head[1]):
        assert ours[:3] == theirs[:3]
        assert theirs.reusable or not ours.reusable or data[-1:] in b"\r\n"


@given(
    INTERIM, STATUSES, st.lists(st.tuples(FIELDS, COLONS, LINE_ENDS), max_size=4), LINE_ENDS, BODIES, SIZES
)
def test_whatever_comes_in_an_answers_place_is_what_h11_reads_or_refused(
    interim: bytes,
    status: bytes,
    lines: list[tuple[tuple[bytes, bytes], bytes, bytes]],
    end: bytes,
    body: bytes,
    size: int,
) -> None:
    fields = b"".join(name + colon + value + line_end for (name, value), colon, line_end in lines)
    assert_read_alike_or_refused(interim + status + b"\r\n" + fields + end + body, size)


@given(answers(), st.binary(max_size=4), st.integers(min_value=0, max_value=400), SIZES)
def test_some_bytes_of_an_answer_changed_are_what_h11_makes_of_them_or_refused(
    data: bytes, other: bytes, at: int, size: int
) -> None:
    at %= len(data)
    assert_read_alike_or_refused(data[:at] + other + data[at + len(other) :], size)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
        OK + b"X: a\r\n b\r\n" + LENGTH + b"\r\nabc",
        OK + b"X: a\x01b\r\n" + LENGTH + b"\r\nabc",
        OK + LENGTH + LENGTH + b"\r\nabc",
        OK + b"Content-Length: 3, 3\r\n\r\nabc",
        OK + LENGTH + CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\r\n",
        IN_CHUNKS + b"3 \r\nabc\r\n0\r\n\r\n",
        IN_CHUNKS + b"3;a=\x80\r\nabc\r\n0\r\n\r\n",
        IN_CHUNKS + b"3\r\nabc\r\n0\r\n\n",
    ],
    ids=["bare LF", "folded field", "control character", "equal lengths", "list of lengths", "length and chunks",
         "blank behind a size", "extension", "trailer's bare LF"],
)  # fmt: skip
def test_what_h11_reads_and_no_provider_sends_is_refused(data: bytes) -> None:
    assert by_h11(data, 1000).whole
    for size in (1, 1000):
        assert not by_ours(data, size).whole


def test_line_ends_around_an_answer_are_read_over_a_reason_is_any_and_http_1_0_may_keep_its_connection() -> (
    None
):
    for data in (
        b"\r\n" + OK + LENGTH + b"\r\nabc",
        OK + LENGTH + b"\r\nabc\r\n",
        b"HTTP/1.1 200 a\x00\r\n" + LENGTH + b"\r\nabc",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + LENGTH + b"\r\nabc",
    ):
        assert not by_h11(data, 1000).reusable
        assert by_ours(data, 1000)[2:] == (b"abc", True)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"garbage\r\n\r\n", "expected HTTP/1.1"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "status of an answer, got 101"),
        (
            b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nx",
            "status of an answer, got 101",
        ),
        (b"HTTP/1.1 099 Low\r\n" + LENGTH + b"\r\nabc", "status of an answer, got 99"),
        (OK + b"Transfer-Encoding: gzip\r\n\r\nabc", "chunked, once, got .*gzip"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "chunked, once, got .*gzip"),
        (OK + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n", "chunked, once, got"),
    ],
)
def test_what_breaks_a_head_is_said(data: bytes, said: str) -> None:
    answer = Answer()
    answer.feed(data)
    assert answer.error is not None
    with pytest.raises(ValueError, match=said):
        raise ValueError(answer.error)
    assert answer.status == 0 and not answer.ended and not answer.kept


@pytest.mark.parametrize("line", [b"-1", b"+1", b"0x1", b"1_0", b"", b" 1", b"1" * 21])
def test_what_is_no_size_of_a_chunk_breaks_the_body_and_keeps_the_bytes_before_it(line: bytes) -> None:
    answer = Answer()
    answer.feed(IN_CHUNKS + b"1\r\na\r\n" + line + b"\r\nb\r\n")
    assert answer.error is not None and answer.take() == b"a"
    answer.feed(b"1\r\na\r\n")
    assert answer.take() == b""


@pytest.mark.parametrize("size", [1, 1000])
def test_an_endless_head_is_broken_where_h11_breaks_it(size: int) -> None:
    begun = OK + b"x: "
    for length in (MAX_HEAD_BYTES, MAX_HEAD_BYTES + 1):
        answer = Answer()
        for part in pieces(begun + b"a" * (length - len(begun)), size):
            assert answer.error is None
            answer.feed(part)
        assert (answer.error is not None) is (length > MAX_HEAD_BYTES)


@pytest.mark.parametrize(
    "begun",
    [b"", IN_CHUNKS + b"1;", IN_CHUNKS + b"1;a=", IN_CHUNKS + b"0\r\na: "],
    ids=["interim heads", "extension", "value of an extension", "trailer"],
)
def test_what_brings_no_body_does_not_go_on_for_ever(begun: bytes) -> None:
    answer = Answer()
    answer.feed(begun)
    more = b"x" * 1024 if begun else b"HTTP/1.1 100 Continue\r\n\r\n" * 40
    for _ in range(200):
        answer.feed(more)
    assert answer.error is not None and "at most" in answer.error


def test_a_long_body_is_no_long_head() -> None:
    answer = Answer()
    answer.feed(IN_CHUNKS)
    for _ in range(3000):
        answer.feed(b"64\r\n" + b"x" * 100 + b"\r\n")
    answer.feed(b"0\r\n\r\n")
    assert (answer.error, answer.ended, len(answer.take())) == (None, True, 300_000)


def test_trailers_are_no_headers_and_what_is_behind_the_end_is_none_of_the_body() -> None:
    answer = Answer()
    answer.feed(IN_CHUNKS + b"1\r\na\r\n0\r\nX: y\r\n\r\nHTTP/1.1 ")
    answer.feed(b"200 OK")
    assert answer.fields == [(b"Transfer-Encoding", b"chunked")]
    assert (answer.take(), answer.ended, answer.error, answer.kept) == (b"a", True, None, False)
