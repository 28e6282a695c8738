"""A function's URL: HTTP in front of one function, streamed (RESPONSE_STREAM) or whole (BUFFERED).

Decided here, as AWS does it: a prelude or proxy response becomes status, headers and cookies; bytes are passed on as
they come; a failure before the first byte is 502, afterwards the connection breaks off; a caller that hangs up does
not reach the function, which runs on and is billed. Not as AWS does it: AuthType AWS_IAM is not enforced, since
signatures are not checked. https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
"""

import asyncio
import base64
import binascii
import json
from contextlib import suppress
from datetime import UTC, datetime

from starlette.types import Receive, Scope, Send

from ..execution.invocation import Invocation
from ..execution.lambda_function import LambdaFunction, Throttled
from ..execution.prelude import CONTENT_TYPE, Prelude, PreludeError, PreludeReader, proxy_response
from .cors import cors_headers, preflight
from .url_event import event_of

MAX_REQUEST_BYTES = 6 * 1024 * 1024
# What belongs to one connection, and what the server in front sets itself.
_NOT_PASSED_ON = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    "trailer",
    "te",
    "date",
    "server",
}


class BrokenOff(Exception):
    """The response failed in its middle: the server closes the connection without the body's proper end."""


class _TooLarge(Exception):
    pass


class FunctionUrlEndpoint:
    """An ASGI application."""

    def __init__(self, function: LambdaFunction) -> None:
        assert function.config.url is not None, f"expected a function URL on {function.config.name}"
        self._function = function
        self._url = function.config.url
        self._domain = f"{function.config.name.lower()}.lambda-url.{function.config.region}.on.aws"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        headers = [
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        origin = dict(headers).get("origin")
        cors = self._url.cors
        if (
            cors is not None
            and scope["method"] == "OPTIONS"
            and "access-control-request-method" in dict(headers)
        ):
            return await _send_whole(send, Prelude(200, tuple(preflight(cors, dict(headers)))), b"")
        try:
            body = await _body(receive)
        except _TooLarge:
            return await _send_error(send, 413, "Request Too Long")
        except ConnectionError:
            return None
        invocation = Invocation(b"", trace_id=dict(headers).get("x-amzn-trace-id"))
        event = event_of(
            method=scope["method"],
            raw_path=scope["raw_path"].decode("latin-1").partition("?")[0],
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            body=body,
            source_ip=scope["client"][0] if scope.get("client") else "127.0.0.1",
            request_id=invocation.request_id,
            domain=self._domain,
            at=datetime.now(UTC),
        )
        invocation.payload = json.dumps(event).encode()
        try:
            self._function.invoke(invocation)
        except Throttled:
            return await _send_error(send, 429, "Rate Exceeded.")
        own = [("x-amzn-requestid", invocation.request_id)]
        if cors is not None:
            own += cors_headers(cors, origin)
        relay = _stream if self._url.streams else _buffer
        work = asyncio.ensure_future(relay(invocation, send, own))
        hang_up = asyncio.ensure_future(_hang_up(receive))
        try:
            await asyncio.wait((work, hang_up), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
        finally:
            for task in (work, hang_up):
                task.cancel()
            await asyncio.gather(work, hang_up, return_exceptions=True)
            # The caller may have gone: the function does not notice.
            invocation.response.abandon()


async def _stream(invocation: Invocation, send: Send, own: list[tuple[str, str]]) -> None:
    response = invocation.response
    await response.began.wait()
    if response.content_type != CONTENT_TYPE:
        if response.error is not None and not response.produced_bytes:
            return await _send_error(send, 502, "Internal Server Error", own)
        prelude, reader = (
            Prelude(200, (("content-type", response.content_type or "application/octet-stream"),)),
            None,
        )
    else:
        await response.prelude_known.wait()
        if response.prelude is None:
            return await _send_error(send, 502, "Internal Server Error", own)
        prelude, reader = response.prelude, PreludeReader()
    await _send_start(send, prelude, own)
    async for part in response.parts():
        data = part if reader is None else reader.feed(part)
        if data:
            await send({"type": "http.response.body", "body": data, "more_body": True})
    if response.error is not None:
        raise BrokenOff(response.error.kind)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _buffer(invocation: Invocation, send: Send, own: list[tuple[str, str]]) -> None:
    body = await invocation.response.body()
    if invocation.response.error is not None:
        return await _send_error(send, 502, "Internal Server Error", own)
    try:
        given = json.loads(body)
        if not isinstance(given, dict) or "statusCode" not in given:
            # Anything else is an answer in itself: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
            prelude, data = Prelude(200, (("content-type", "application/json"),)), body
        else:
            prelude, text = proxy_response(given), given.get("body") or ""
            if not isinstance(text, str):
                raise PreludeError(f"body: expected text, got {type(text).__name__}")
            data = base64.b64decode(text, validate=True) if given.get("isBase64Encoded") else text.encode()
            if not any(name.lower() == "content-type" for name, _ in prelude.headers):
                prelude = Prelude(
                    prelude.status, (*prelude.headers, ("content-type", "application/json")), prelude.cookies
                )
    except (ValueError, PreludeError, binascii.Error):
        return await _send_error(send, 502, "Internal Server Error", own)
    return await _send_whole(send, prelude, data, own)


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the caller hung up before the request was whole")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_REQUEST_BYTES:
            raise _TooLarge
        if not message.get("more_body", False):
            return b"".join(parts)


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_start(
    send: Send, prelude: Prelude, own: list[tuple[str, str]], length: int | None = None
) -> None:
    taken = {name for name, _ in own}
    dropped = _NOT_PASSED_ON | taken if length is None else _NOT_PASSED_ON | taken | {"content-length"}
    headers = [(name.lower(), value) for name, value in prelude.headers if name.lower() not in dropped]
    headers += [("set-cookie", cookie) for cookie in prelude.cookies] + own
    if length is not None:
        headers.append(("content-length", str(length)))
    encoded = [
        (name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers
    ]
    await send({"type": "http.response.start", "status": prelude.status, "headers": encoded})


async def _send_whole(
    send: Send, prelude: Prelude, body: bytes, own: list[tuple[str, str]] | None = None
) -> None:
    await _send_start(send, prelude, own or [], len(body))
    with suppress(OSError):
        await send({"type": "http.response.body", "body": body, "more_body": False})


async def _send_error(
    send: Send, status: int, message: str, own: list[tuple[str, str]] | None = None
) -> None:
    prelude = Prelude(status, (("content-type", "application/json"),))
    await _send_whole(send, prelude, json.dumps({"Message": message}).encode(), own)
