"""What a function says before the first byte of an HTTP response: JSON, then eight NUL bytes.

`{"statusCode": 200, "headers": {...}, "cookies": [...]}`; Lambda's endpoints cut it off and apply it. Decided here:
how strict that is. https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
DELIMITER = bytes(8)
MAX_BYTES = 16 * 1024  # API Gateway looks for the delimiter no further
_MEMBERS = {"statusCode", "headers", "multiValueHeaders", "cookies", "body", "isBase64Encoded"}


class PreludeError(Exception):
    """The response does not begin with a prelude (the runtime's fault)."""


@dataclass(frozen=True, slots=True)
class Prelude:
    """Status and headers of an HTTP response."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    cookies: tuple[str, ...] = ()


@dataclass(slots=True)
class PreludeReader:
    """Cuts the prelude off a body that comes in pieces: `feed` gives what follows it, `close` says it is whole.

    Raises:
        PreludeError: from `feed` and `close`; at most MAX_BYTES are read in search of its end.
    """

    prelude: Prelude | None = None
    _pending: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> bytes:
        if self.prelude is not None:
            return data
        self._pending += data
        head, delimiter, rest = self._pending.partition(DELIMITER)
        if not delimiter:
            if len(self._pending) > MAX_BYTES:
                raise PreludeError(f"expected eight NUL bytes within {MAX_BYTES} bytes, got none")
            return b""
        self.prelude = parse(bytes(head))
        self._pending.clear()
        # The first of more than eight NULs would belong to the delimiter only by chance: the body begins at once.
        return bytes(rest)

    def close(self) -> None:
        if self.prelude is None:
            raise PreludeError(
                f"expected a prelude, got the end after {len(self._pending)} bytes without eight NULs"
            )


def parse(data: bytes) -> Prelude:
    """The prelude in `data`. Raises PreludeError with what was expected."""
    try:
        given = json.loads(data)
    except ValueError as error:
        raise PreludeError(f"expected a prelude of JSON, got {data[:60]!r}: {error}") from None
    if not isinstance(given, dict):
        raise PreludeError(f"expected a JSON object as prelude, got {type(given).__name__}")
    if unknown := given.keys() - _MEMBERS:
        raise PreludeError(f"expected members {sorted(_MEMBERS)}, got also {sorted(unknown)}")
    return proxy_response(given)


def proxy_response(given: Mapping[str, Any]) -> Prelude:
    """Status and headers of a proxy response, streamed or not. Raises PreludeError."""
    status = given.get("statusCode", 200)
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        raise PreludeError(f"statusCode: expected a whole number from 100 to 599, got {status!r}")
    headers: list[tuple[str, str]] = []
    for name, value in _object(given, "headers").items():
        if not isinstance(value, str | int | float):
            raise PreludeError(f"headers, {name}: expected text, got {type(value).__name__}")
        headers.append((name, str(value)))
    for name, values in _object(given, "multiValueHeaders").items():
        headers += [(name, str(value)) for value in values]
    cookies = given.get("cookies") or []
    if not isinstance(cookies, list) or not all(isinstance(cookie, str) for cookie in cookies):
        raise PreludeError(f"cookies: expected a list of text, got {cookies!r}")
    for name, value in [*headers, *(("set-cookie", cookie) for cookie in cookies)]:
        if not name or any(character in "\r\n\0" for character in name + value):
            raise PreludeError(f"headers: expected one line without NUL, got {name!r}: {value!r}")
    return Prelude(status, tuple(headers), tuple(cookies))


def _object(given: Mapping[str, Any], member: str) -> dict[str, Any]:
    value = given.get(member) or {}
    if not isinstance(value, dict):
        raise PreludeError(f"{member}: expected an object, got {type(value).__name__}")
    return value
