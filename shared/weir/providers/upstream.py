"""The providers, called with httpx: one client a process for all routes, and one call for one answer.

What fails before an answer's first byte is a `CallFailed`, with what it means by the one classifier and whether the
provider may have worked on it all the same. What fails later is the body's, and becomes the final event.

A key is masked in whatever a provider says, wherever it puts it, before anybody reads it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache
from typing import Self

import httpx

from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.call import ProviderRequest
from weir.providers.failed import Failed
from weir.providers.routes import Route
from weir.providers.secret import Secret
from weir.providers.transport import StreamTransport

WRITE_S = 10.0
_ERROR_BODY_BYTES = 65_536
_ERROR_BODY_S = 2.0
_DRAIN_S = 0.1
_DEAD_S = 0.25
# What is read at once may hold hundreds of events: other streams have their turn between two such pieces.
_PIECE_BYTES = 8_192
_MASK = b"[key]"


class CallFailed(Problem):
    """A call that brought no answer: `failed` says what it means. What the caller is told follows from it."""

    def __init__(self, failed: Failed, *, connected: bool = True) -> None:
        problem = problem_of(failed)
        super().__init__(
            problem.outcome,
            problem.detail,
            status=problem.status,
            members=problem.members,
            headers=problem.headers,
        )
        self.failed = failed
        self.connected = connected


def problem_of(failed: Failed) -> Problem:
    """What the caller is told of a provider's failure; Retry-After stays, in whole seconds."""
    status = failed.status
    members = {"provider": {"status": status, "code": failed.code}} if status or failed.code else {}
    after = failed.retry_after_s
    headers = (("retry-after", str(min(-int(-after // 1), 86_400))),) if after is not None else ()
    if failed.kind == "key":
        # Its text is about our key, and no business of the caller's.
        detail = f"provider: expected 200, got {status}: our key was refused"
        return Problem(Outcome.UPSTREAM_ERROR, detail, members=members)
    said = (
        f"provider: expected 200, got {status}: {failed.message}" if status else f"provider: {failed.message}"
    )
    match failed.kind:
        case "quota":
            return Problem(failed.outcome, said, status=503, members=members, headers=headers)
        case "overloaded":
            return Problem(Outcome.UPSTREAM_ERROR, said, status=503, members=members, headers=headers)
        case "context" | "request":
            # What it says of the request's content is the caller's to mend; the rest is between us and the provider.
            theirs = 400 if failed.kind == "context" or status in (400, 413, 422) else 502
            return Problem(Outcome.UPSTREAM_ERROR, said, status=theirs, members=members)
        case _:
            return Problem(failed.outcome, said, members=members, headers=headers)


class UpstreamResponse:
    """An answer whose headers have come; iterating gives its body, decompressed, as it arrives.

    Cancelling a wait for more closes the connection, and so hangs up on the provider. A connection that breaks, or an
    encoding that is broken, raises `CallFailed`.
    """

    def __init__(self, response: httpx.Response, secrets: tuple[bytes, ...] = ()) -> None:
        self._response = response
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._body = aiter(response.stream)
        encoding = response.headers.get("content-encoding", "identity")
        # What is encoded takes a way of its own: it is asked not to be.
        if encoding.strip().lower() not in ("", "identity"):
            self._body = _inflated(response.stream, encoding)
        binary = response.headers.get("content-type", "").startswith("application/vnd.amazon.eventstream")
        self._secrets = () if binary else secrets  # its frames have checksums, and Bedrock is sent no key
        self._held = b""  # the end of what came, where it may be the beginning of a key
        self._again: list[bytes] = []  # what was read and is to be given out, the last of it first

    def put_back(self, chunks: list[bytes]) -> None:
        """Have what was read already read once more, before the rest."""
        self._again += chunks[::-1]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._again:
            await asyncio.sleep(0)
            return self._again.pop()
        while True:
            try:
                data = await anext(self._body)
            except StopAsyncIteration:
                if not self._held:
                    raise
                data, self._held = self._held, b""
                return data
            except httpx.HTTPError as error:
                raise CallFailed(_transport_failure(error)) from error
            if self._secrets:
                data = mask(self._held + data, self._secrets)
                kept = len(data) - _begun(data, self._secrets)
                data, self._held = data[:kept], data[kept:]
            if len(data) > _PIECE_BYTES:
                starts = range(_PIECE_BYTES, len(data), _PIECE_BYTES)
                self._again = [data[start : start + _PIECE_BYTES] for start in reversed(starts)]
                return data[:_PIECE_BYTES]
            if data:
                return data

    async def close(self, *, drain: bool) -> None:
        """Close; with `drain` the last bytes are read first, so that the connection can be used again."""
        if drain:
            try:
                async with asyncio.timeout(_DRAIN_S):
                    async for _ in self._body:
                        pass
            except (TimeoutError, httpx.HTTPError, CallFailed):
                pass  # then it is closed unread, which only costs the next request a new connection
        await self._response.aclose()


class _NoCookies(httpx.Cookies):
    """Nothing that one request's answer sets may be sent with another's."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Keep none: a jar makes messages of the standard library first, a 30th of a request's time."""


class _Client(httpx.AsyncClient):
    cookies = _NoCookies()  # type: ignore[override]  # nobody sets others


class Upstream:
    """All endpoints of the routes; `close` ends the life of its one client."""

    def __init__(self, *, connect_s: float = 5.0, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._keys: dict[str, Secret] = {}
        self._known_keys: set[str] = set()
        # Reading has no timeout here: pings would reset it. The service times tokens instead.
        self._transport = transport
        self._timeout = {"connect": connect_s, "write": WRITE_S, "pool": connect_s, "read": None}
        self._client = _Client(
            follow_redirects=False,  # a redirect to another host must not carry the key along
            headers={"accept": "text/event-stream", "accept-encoding": "identity"},
            transport=transport,
        )
        self._headers = dict(self._client.headers)

    async def prefetch_key(self, route: Route) -> None:
        """Look the key up while starting, where Lambda gives the most CPU; a failure waits for the first request."""
        if route.key == "role":
            import weir.providers.role  # noqa: F401 - what it needs is imported while starting, too

            return
        try:
            await self._key(route).get()
        except Problem:
            pass

    def open_ahead(self, route: Route) -> None:
        """Begin a connection beside what decides whether a request may be sent; it carries nothing by itself."""
        if isinstance(self._transport, StreamTransport):  # httpx's own engine connects when it sends
            self._transport.open_ahead(_parsed(route.base_url), self._timeout["connect"])

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def mask(self, text: str) -> str:
        """Text of ours or of a provider's, without any key that was sent."""
        for key in self._known_keys:
            text = text.replace(key, _MASK.decode())
        return text

    async def call(
        self,
        route: Route,
        asked: ProviderRequest,
        body: bytes,
        *,
        fresh: bool = False,
        on_sent: Callable[[], None] = lambda: None,
    ) -> UpstreamResponse:
        """Send a request with its `body` and wait for its answer's headers; with `fresh`, over a new connection.

        `on_sent` is called when the request has been written.

        A key that is refused is looked up anew, in case it was rotated. Cancelling closes the connection.

        Raises:
            CallFailed: the provider can't be reached, breaks off, or refuses.
            Problem: the key's store gives none.
        """
        url = f"{route.base_url}{asked.path}"
        headers = {"content-type": "application/json", **asked.headers}
        if route.key == "role":
            from weir.providers.role import role_headers

            signed = await role_headers(route, url, headers, body)
            bearer = signed["authorization"].removeprefix("Bearer ")
            return await self._answer(
                await self._send(url, {**headers, **signed}, body, fresh, on_sent), (bearer.encode(),)
            )
        secret = self._key(route)
        key = await secret.get()
        response = await self._send(url, {**headers, **self._authorized(route, key)}, body, fresh, on_sent)
        if response.status_code in (401, 403) and (renewed := await secret.renewed(key)) is not None:
            await response.aclose()
            key = renewed
            response = await self._send(
                url, {**headers, **self._authorized(route, key)}, body, fresh, on_sent
            )
        return await self._answer(response, (key.encode(),) if key else ())

    def _key(self, route: Route) -> Secret:
        secret = self._keys.get(route.key)
        if secret is None:
            secret = self._keys[route.key] = Secret(route.key)
        return secret

    def _authorized(self, route: Route, key: str | None) -> dict[str, str]:
        if not key:
            return {}
        self._known_keys.add(key)
        name = route.profile.key_header
        return {name: f"Bearer {key}" if name == "authorization" else key}

    async def _answer(self, response: httpx.Response, secrets: tuple[bytes, ...]) -> UpstreamResponse:
        if response.status_code == 200:
            try:
                return UpstreamResponse(response, secrets)
            except BaseException:
                await response.aclose()
                raise
        raise CallFailed(await _refusal(response, secrets))

    async def _send(
        self, url: str, headers: dict[str, str], body: bytes, fresh: bool, on_sent: Callable[[], None]
    ) -> httpx.Response:
        now = asyncio.get_running_loop().time
        began, connected = now(), False

        async def trace(event: str, info: object) -> None:
            nonlocal connected
            connected = connected or event == "connection.connect_tcp.started"
            if event == "http11.send_request_body.complete":
                on_sent()

        # Made here and not by the client: merging what never changes would take half of a request's time in httpx.
        request = httpx.Request(
            "POST",
            _parsed(url),
            headers=_as_sent(url, tuple({**self._headers, **headers}.items())),
            stream=httpx.ByteStream(body),
            extensions={"trace": trace, "fresh": fresh, "timeout": self._timeout},
        )
        request.headers["Content-Length"] = str(len(body))
        try:
            return await self._client.send(request, stream=True)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError) as error:
            failed = self._broken(error)
            if not connected and now() - began <= _DEAD_S:
                # After a freeze a pooled connection may be dead without our knowing, and fails at once.
                raise CallFailed(failed._replace(retry_after_s=0.0), connected=False) from error
            raise CallFailed(failed) from error
        except httpx.HTTPError as error:
            raise CallFailed(self._broken(error)) from error

    def _broken(self, error: httpx.HTTPError) -> Failed:
        failed = _transport_failure(error)
        return failed._replace(message=self.mask(failed.message))


@lru_cache(maxsize=256)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


@lru_cache(maxsize=64)  # a route's are the same for every request, traces apart
def _as_sent(url: str, headers: tuple[tuple[str, str], ...]) -> httpx.Headers:
    return httpx.Headers([("Host", _parsed(url).netloc.decode("ascii")), *headers])


def mask(data: bytes, secrets: tuple[bytes, ...]) -> bytes:
    """Bytes of a provider's without the keys that it was sent."""
    for secret in secrets:
        if secret in data:
            data = data.replace(secret, _MASK)
    return data


def _begun(data: bytes, secrets: tuple[bytes, ...]) -> int:
    """How many bytes at the end of `data` may be the beginning of a key whose rest is in the next piece."""
    longest = 0
    for secret in secrets:
        start = data.find(secret[:1], max(0, len(data) - len(secret) + 1))
        while start >= 0 and not secret.startswith(data[start:]):
            start = data.find(secret[:1], start + 1)
        longest = max(longest, len(data) - start if start >= 0 else 0)
    return longest


def _transport_failure(error: httpx.HTTPError) -> Failed:
    """Name a transport's failure; httpx's texts hold addresses and protocol words, but no content."""
    name = type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        waited = "connection" if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout) else "write"
        return Failed(
            f"{name}: expected the {waited} in time", kind="timeout", retryable="yes", maybe_served=False
        )
    if isinstance(error, httpx.LocalProtocolError):  # never sent; its text quotes the header, and so the key
        return Failed(f"expected a request that HTTP allows, got {name}", kind="unreadable", retryable="no")
    connecting = isinstance(error, httpx.ConnectError)
    return Failed(f"{name}: {error}"[:300], kind="server", retryable="yes", maybe_served=not connecting)


async def _refusal(response: httpx.Response, secrets: tuple[bytes, ...]) -> Failed:
    """What a status other than 200 means; reads no more of the body than an error can need."""
    from weir.providers.failures import read_failure

    body = b""
    try:
        async with asyncio.timeout(_ERROR_BODY_S):
            async for chunk in UpstreamResponse(response, secrets):
                body += chunk
                if len(body) > _ERROR_BODY_BYTES:
                    break
    except (TimeoutError, CallFailed):
        pass  # the status alone has to do
    finally:
        await response.aclose()
    headers = {
        name: mask(value.encode("latin-1", "replace"), secrets).decode("latin-1")
        for name, value in response.headers.items()
    }
    return read_failure(response.status_code, headers, mask(body, secrets))


async def _inflated(stream: httpx.AsyncByteStream, encoding: str) -> AsyncIterator[bytes]:
    from weir.providers.inflate import BrokenEncoding, Inflater

    try:
        inflater = Inflater(encoding)
        async for data in stream:
            pieces: Iterator[bytes] = inflater.feed(data)
            for piece in pieces:
                yield piece
    except BrokenEncoding as error:
        raise CallFailed(Failed(str(error), kind="unreadable", retryable="no")) from error
