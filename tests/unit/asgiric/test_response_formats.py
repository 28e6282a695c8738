"""Preludes and proxy objects, whole."""

import json
from typing import Any

import pytest

from asgiric.events.response_format import ResponseFormat, encode_buffered, encode_prelude

HEADERS = [
    (b"Content-Type", b"text/plain"),
    (b"vary", b"origin"),
    (b"vary", b"accept"),
    (b"set-cookie", b"a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
    (b"set-cookie", b"b=2"),
    (b"connection", b"close"),
    (b"transfer-encoding", b"chunked"),
]
COOKIES = ["a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2"]


def test_a_prelude_is_json_and_eight_nul_bytes():
    data = encode_prelude(201, HEADERS)
    assert data.endswith(b"}" + b"\0" * 8) and data.count(b"\0") == 8
    assert json.loads(data[:-8]) == {
        "statusCode": 201,
        "headers": {"content-type": "text/plain", "vary": "origin, accept"},
        "cookies": COOKIES,
    }


def test_a_prelude_without_cookies_has_no_cookies():
    assert encode_prelude(204, []) == b'{"statusCode":204,"headers":{}}' + b"\0" * 8


def test_bytes_beyond_ascii_are_escaped_in_a_prelude():
    assert encode_prelude(200, [(b"x-name", "ä".encode("latin-1"))]).startswith(
        rb'{"statusCode":200,"headers":{"x-name":"\u00e4"}}'
    )


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        (
            ResponseFormat.PAYLOAD_2_0,
            {
                "statusCode": 200,
                "headers": {"content-type": "text/plain", "vary": "origin, accept"},
                "cookies": COOKIES,
            },
        ),
        (
            ResponseFormat.PAYLOAD_1_0,
            {
                "statusCode": 200,
                "multiValueHeaders": {
                    "content-type": ["text/plain"],
                    "vary": ["origin", "accept"],
                    "set-cookie": COOKIES,
                },
            },
        ),
        (
            ResponseFormat.ALB,
            {
                "statusCode": 200,
                "statusDescription": "200 OK",
                "headers": {
                    "content-type": "text/plain",
                    "vary": "origin, accept",
                    "set-cookie": COOKIES[0],
                    "Set-cookie": COOKIES[1],
                },
            },
        ),
        (
            ResponseFormat.ALB_MULTI_VALUE,
            {
                "statusCode": 200,
                "statusDescription": "200 OK",
                "multiValueHeaders": {
                    "content-type": ["text/plain"],
                    "vary": ["origin", "accept"],
                    "set-cookie": COOKIES,
                },
            },
        ),
    ],
)
def test_every_format_of_a_buffered_response(response_format: ResponseFormat, expected: dict[str, Any]):
    data = encode_buffered(response_format, 200, HEADERS, "text, even ä".encode())
    assert json.loads(data) == {**expected, "body": "text, even ä", "isBase64Encoded": False}


def test_a_body_that_is_not_text_is_base64_whatever_its_content_type():
    data = json.loads(
        encode_buffered(ResponseFormat.PAYLOAD_2_0, 200, [(b"content-type", b"text/plain")], b"\xff\x00")
    )
    assert (data["body"], data["isBase64Encoded"]) == ("/wA=", True)


def test_a_direct_caller_gets_the_body_alone():
    assert encode_buffered(ResponseFormat.DIRECT, 500, HEADERS, b"\xff{}") == b"\xff{}"


def test_a_status_without_a_phrase_still_has_a_description():
    assert json.loads(encode_buffered(ResponseFormat.ALB, 299, [], b""))["statusDescription"] == "299 Status"
