"""A reverse proxy for one person: takes plain HTTP on loopback, signs it, and hands it to a function URL (AWS_IAM).

A browser cannot sign with SigV4, and a function URL without signatures would be open to the world. So this listens on
127.0.0.1 only, and answers only requests that the person's own browser made for this very address:

- `Host` has to be this address. A page of another site whose name was pointed at 127.0.0.1 (DNS rebinding) is of the
  same origin as far as its browser knows, but sends its own name there.
- `Sec-Fetch-Site` and `Origin`, where a browser sends them, have to name this address: no other page may make the
  person's credentials ask for something.

Whoever is logged in to the same machine can use it while it runs: that is what loopback means.

Request bodies are read whole, since the signature covers their hash; answers are passed on as they come. Credentials
are asked for at each request, and whoever gave them renews them.
https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from weir.errors import ConfigurationError

MAX_REQUEST_BYTES = 6 * 1024 * 1024  # what a function takes
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
# Of one connection, or of the browser's business with this proxy; `host` is the function's.
_NOT_PASSED_ON = {
    "authorization", "connection", "content-length", "cookie", "expect", "host", "keep-alive", "origin",
    "proxy-authenticate", "proxy-authorization", "referer", "te", "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip
_NOT_PASSED_BACK = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_TIMEOUT = httpx.Timeout(120.0, connect=10.0)  # finance has a minute


class NoCredentials(ConfigurationError):
    """There is nothing to sign with; the message says what was looked for."""


class SigningProxy:
    """An ASGI application in front of `target`, the function's URL.

    `credentials` gives botocore's frozen credentials, as they are now; it may block, and raise NoCredentials.
    """

    def __init__(self, target: str, region: str, credentials: Callable[[], Any]) -> None:
        self._target = target.rstrip("/")
        self._region = region
        self._credentials = credentials
        # Redirects would be followed with this person's credentials.
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False, trust_env=True)
        self.app = Starlette(routes=[Route("/{path:path}", self._pass_on, methods=_METHODS)])

    async def aclose(self) -> None:
        """Close the connections to the function."""
        await self._client.aclose()

    async def _pass_on(self, request: Request) -> Response:
        if refused := self._refused(request):
            return PlainTextResponse(f"costs dashboard: {refused}\n", 403)
        body = await _body(request)
        if body is None:
            return PlainTextResponse(f"costs dashboard: expected at most {MAX_REQUEST_BYTES} bytes\n", 413)
        try:
            outgoing = await asyncio.to_thread(self._signed, request, body)
            answer = await self._client.send(outgoing, stream=True)
        except (NoCredentials, BotoCoreError) as error:
            return PlainTextResponse(f"costs dashboard: cannot sign: {error}\n", 502)
        except (ValueError, httpx.InvalidURL) as error:
            return PlainTextResponse(f"costs dashboard: {error}\n", 400)
        except httpx.HTTPError as error:
            reason = f"{self._target} did not answer: {type(error).__name__}: {error}"
            return PlainTextResponse(f"costs dashboard: {reason}\n", 502)
        if answer.status_code == 403:
            print(
                f"costs dashboard: {self._target} answered 403: expected the permissions "
                "lambda:InvokeFunctionUrl and lambda:InvokeFunction on finance",
                file=sys.stderr,
            )
        return _handed_back(answer)

    @staticmethod
    def _refused(request: Request) -> str | None:
        """Why a request is not this person's own; None if it is."""
        port = request.scope["server"][1]  # the socket's, not what the request says
        own = (f"127.0.0.1:{port}", f"localhost:{port}")
        host = request.headers.get("host", "")
        if host not in own:
            return f"expected Host {' or '.join(own)}, got {host[:100]!r}"
        origin = request.headers.get("origin")
        if origin is not None and origin not in {f"http://{name}" for name in own}:
            return f"expected a page of this address, got one of {origin[:100]!r}"
        site = request.headers.get("sec-fetch-site", "none")
        # A link elsewhere may lead here: such a page sees nothing of the answer.
        followed = request.method == "GET" and request.headers.get("sec-fetch-mode") == "navigate"
        if site not in ("none", "same-origin") and not followed:
            return f"expected a page of this address, got one of another ({site[:20]})"
        return None

    def _signed(self, request: Request, body: bytes) -> httpx.Request:
        path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
        query = _strict(request.scope["query_string"].decode("latin-1"))
        url = f"{self._target}{path}{f'?{query}' if query else ''}"
        # A path that begins with anything but a slash would be part of the host's name, and be sent what is signed.
        if not path.startswith("/") or httpx.URL(url).netloc != httpx.URL(self._target).netloc:
            raise ValueError(f"expected a path, got {path[:100]!r}")
        headers = [(name, value) for name, value in request.headers.items() if name not in _NOT_PASSED_ON]
        outgoing = self._client.build_request(request.method, url, headers=headers, content=body or None)
        # What is signed is what goes over the wire: httpx may have written the URL in another way.
        signed = AWSRequest(
            request.method, str(outgoing.url), data=body, headers={"host": urlsplit(url).netloc}
        )
        SigV4Auth(self._credentials(), "lambda", self._region).add_auth(signed)
        outgoing.headers.update(dict(signed.headers.items()))
        return outgoing


def _strict(query: str) -> str:
    """A query in the one spelling that SigV4 signs: browsers leave * as it is, and write a space as +."""
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    return "&".join("=".join(quote(unquote_plus(text), safe="-_.~") for text in pair) for pair in pairs)


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_REQUEST_BYTES:
            return None
    return bytes(body)


def _handed_back(answer: httpx.Response) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            # Raw: an encoded answer stays encoded, and its length true.
            async for part in answer.aiter_raw():
                yield part
        finally:
            await answer.aclose()

    response = StreamingResponse(parts(), answer.status_code)
    response.raw_headers = [
        (name.lower(), value)
        for name, value in answer.headers.raw
        if name.decode("latin-1").lower() not in _NOT_PASSED_BACK
    ]
    return response
