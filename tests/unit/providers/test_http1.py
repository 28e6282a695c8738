"""Heads of requests, held against h11 as the oracle."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.providers.http1 import NotHttp, encode_head


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


def test_a_question_for_a_head_alone_is_refused() -> None:
    with pytest.raises(NotHttp, match="got HEAD"):
        encode_head("HEAD", b"/", [(b"Host", b"example.org")])
