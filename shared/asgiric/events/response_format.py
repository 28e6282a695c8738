"""How a response goes back, by who asked.

Decided here: a caller that streams (function URL, REST API with RESPONSE_STREAM) gets a prelude, then raw
bytes; a direct caller gets raw bytes alone; a caller that cannot stream (ALB, HTTP API, sam local) gets one
proxy object. Set-Cookie is never joined (its value may hold commas); other repeated headers are joined with
a comma where the format has one value a name, which RFC 9110 section 5.3 allows. Bodies are never touched,
compressed ones included: base64 is used for what is not UTF-8 text, whatever its content type says.
Source: https://docs.aws.amazon.com/lambda/latest/dg/config-rs-write-functions-handler.html.
"""

from __future__ import annotations

import enum
import json
from binascii import b2a_base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

PRELUDE_CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
RAW_CONTENT_TYPE = "application/octet-stream"

# Eight NUL bytes part the prelude from the body: JSON text cannot hold one.
_PRELUDE_END = b"\0" * 8
# Kept, since json.dumps makes one for each call with separators.
_encode = json.JSONEncoder(separators=(",", ":")).encode
# They concern one connection, and the gateway's is not ours (RFC 9110, section 7.6.1).
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "trailer"})


class ResponseFormat(enum.Enum):
    """The form of a response, by who reads it."""

    # function URLs and HTTP APIs: one value a name, cookies apart
    PAYLOAD_2_0 = enum.auto()
    # REST APIs: several values a name
    PAYLOAD_1_0 = enum.auto()
    # load balancers: one value a name, or several by a setting of the target group
    ALB = enum.auto()
    ALB_MULTI_VALUE = enum.auto()
    # direct invokes: the body alone
    DIRECT = enum.auto()


def encode_prelude(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The prelude, to be a chunk of its own."""
    single, cookies = _join(headers)
    prelude: dict[str, Any] = {"statusCode": status, "headers": single}
    if cookies:
        prelude["cookies"] = cookies
    return _encode(prelude).encode() + _PRELUDE_END


def encode_buffered(
    response_format: ResponseFormat, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
) -> bytes:
    """The whole response for a caller that cannot stream: a proxy object, or the body alone for a direct one."""
    if response_format is ResponseFormat.DIRECT:
        return body
    response: dict[str, Any] = {"statusCode": status}
    if response_format is ResponseFormat.PAYLOAD_2_0:
        response["headers"], cookies = _join(headers)
        if cookies:
            response["cookies"] = cookies
    elif response_format is ResponseFormat.ALB:
        single, cookies = _join(headers)
        # One value a name, so each cookie gets a spelling of the name of its own.
        response["headers"] = single | dict(zip(_spellings("set-cookie", len(cookies)), cookies, strict=True))
    else:
        response["multiValueHeaders"] = _group(headers)
    if response_format in (ResponseFormat.ALB, ResponseFormat.ALB_MULTI_VALUE):
        from http import HTTPStatus  # needed here only

        known = status in HTTPStatus._value2member_map_
        response["statusDescription"] = f"{status} {HTTPStatus(status).phrase if known else 'Status'}"
    try:
        response |= {"body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        response |= {"body": b2a_base64(body, newline=False).decode(), "isBase64Encoded": True}
    return json.dumps(response).encode()


def _pairs(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[str, str]]:
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1").lower()
        if name not in _HOP_BY_HOP:
            yield name, raw_value.decode("latin-1")


def _join(headers: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], list[str]]:
    single: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in _pairs(headers):
        if name == "set-cookie":
            cookies.append(value)
        else:
            single[name] = f"{single[name]}, {value}" if name in single else value
    return single, cookies


def _group(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, list[str]]:
    many: dict[str, list[str]] = {}
    for name, value in _pairs(headers):
        many.setdefault(name, []).append(value)
    return many


def _spellings(name: str, count: int) -> list[str]:
    return [
        "".join(letter.upper() if number >> place & 1 else letter for place, letter in enumerate(name))
        for number in range(count)
    ]
