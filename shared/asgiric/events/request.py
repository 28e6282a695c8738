"""What every event source is turned into: one HTTP request, and the format of its response.

Decided here: nothing of AWS goes past this type but the event itself and its source's name. The ASGI keys
follow https://asgi.readthedocs.io/en/latest/specs/www.html; `path` includes `root_path`, as it says there.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asgiric.context import LambdaContext
    from asgiric.events.response_format import ResponseFormat

Headers = list[tuple[bytes, bytes]]
EventSource = Literal["function_url", "http_api", "rest_api", "alb", "direct"]

_MAX_PORT = 65_535


class Request(NamedTuple):
    """One HTTP request; its caller reads one `response_format`, and may be able to read while it comes.

    `doubt` says why a direct invoke's document may have been meant as something else, for the log.
    """

    event: Any
    event_source: EventSource
    response_format: ResponseFormat
    streams: bool
    method: str
    path: str
    raw_path: bytes
    query_string: bytes
    headers: Headers
    body: bytes
    root_path: str = ""
    source_ip: str | None = None
    doubt: str | None = None

    def scope(self, context: LambdaContext, state: Mapping[str, Any]) -> dict[str, Any]:
        """The ASGI connection scope, with `aws.event`, `aws.event_source` and `aws.context`."""
        known = dict(self.headers)
        host, _, port = known.get(b"host", b"").decode("latin-1").partition(":")
        scheme = known.get(b"x-forwarded-proto", b"https").decode("latin-1")
        port = port or known.get(b"x-forwarded-port", b"").decode("latin-1")
        return {
            "type": "http",
            # 2.4: `send` raises OSError once nobody takes the response any more.
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": scheme,
            "path": self.path,
            "raw_path": self.raw_path,
            "query_string": self.query_string,
            "root_path": self.root_path,
            "headers": self.headers,
            "client": (self.source_ip, 0) if self.source_ip else None,
            "server": (host, _port(port)) if host else None,
            "state": dict(state),
            "extensions": {},
            "aws.event": self.event,
            "aws.event_source": self.event_source,
            "aws.context": context,
        }


def _port(text: str) -> int:
    # The caller writes this header, and may write thousands of digits, of which Python makes no number.
    return int(text) if text.isdecimal() and len(text) <= 5 and int(text) <= _MAX_PORT else 443


def read_headers(event: Mapping[str, Any]) -> Headers:
    """Header pairs, lower case; repeated ones apart where the source tells them apart."""
    many = event.get("multiValueHeaders")
    if many:
        return [
            (to_bytes(name).lower(), to_bytes(value)) for name, values in many.items() for value in values
        ]
    return [(to_bytes(name).lower(), to_bytes(value)) for name, value in (event.get("headers") or {}).items()]


def read_body(event: Mapping[str, Any]) -> bytes:
    """The body's bytes. Raises ValueError where it says base64 and is not."""
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return to_bytes(body)
    try:
        return a2b_base64(body)
    except (Base64Error, ValueError) as error:
        raise ValueError(f"its body, expected in base64: {error}") from None


def read_query(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs of the query of a 1.0 event, repeated names apart where the source tells them apart."""
    many = event.get("multiValueQueryStringParameters")
    if many:
        return [(name, value) for name, values in many.items() for value in values]
    return list((event.get("queryStringParameters") or {}).items())


def text(value: object) -> str:
    """A member that is always text. Raises TypeError where it is not."""
    if not isinstance(value, str):
        raise TypeError(f"text, got {value!r:.80}")
    return value


def unquote(path: str) -> str:
    """Percent-decoding of a path."""
    if "%" not in path:
        return path
    from urllib.parse import unquote as decode  # 4 ms of import that most requests never need

    return decode(path)


def to_bytes(value: object) -> bytes:
    """Text as bytes; JSON can hold lone surrogates, which no encoding has."""
    return str(value).encode("utf-8", "replace")
