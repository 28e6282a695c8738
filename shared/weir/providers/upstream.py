"""The model's provider, behind any OpenAI-compatible endpoint, called with httpx.

One client per process. What fails before the response's headers is a `Problem` with the status that the caller
gets; what fails later is one too, and becomes the final event.
"""

import asyncio
from typing import Any, Self

import httpx

from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.failures import error_members
from weir.providers.secret import Secret

CONNECT_S = 5.0
WRITE_S = 10.0
_ERROR_BODY_BYTES = 65_536
_ERROR_BODY_S = 2.0
_DRAIN_S = 0.1
_DEAD_S = 0.25


class NotServed(Problem):
    """The provider generated nothing, for certain: it was not reached, or answered with another status than 200."""


class UpstreamResponse:
    """A response whose headers have come; iterating gives its body, decompressed, as it arrives.

    Cancelling a wait for more closes the connection, and so stops the provider. A connection that breaks, or an
    encoding that is broken, raises `Problem` (upstream_error).
    """

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        assert isinstance(response.stream, httpx.AsyncByteStream)
        # httpx's layers cost each chunk some microseconds: they are for what is encoded, which we ask not to get.
        encoded = response.headers.get("content-encoding", "identity") != "identity"
        self._body = response.aiter_bytes() if encoded else aiter(response.stream)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._body)
        except httpx.HTTPError as error:
            raise _failure(error) from error

    async def close(self, *, drain: bool) -> None:
        """Close; with `drain` the last bytes are read first, so that the connection can be used again."""
        if drain:
            try:
                async with asyncio.timeout(_DRAIN_S):
                    async for _ in self._body:
                        pass
            except (TimeoutError, httpx.HTTPError):
                pass  # then it is closed unread, which only costs the next request a new connection
        await self._response.aclose()


class Upstream:
    """An OpenAI-compatible endpoint; `close` ends the life of its one client."""

    def __init__(
        self, base_url: str, key: Secret, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url = f"{base_url}/chat/completions"
        self._key = key
        self._client = httpx.AsyncClient(
            # Reading has no timeout here: pings would reset it. The use case times tokens instead.
            timeout=httpx.Timeout(connect=CONNECT_S, write=WRITE_S, pool=CONNECT_S, read=None),
            follow_redirects=False,  # a redirect to another host must not carry the key along
            headers={"accept": "text/event-stream", "accept-encoding": "identity"},
            transport=transport,
        )

    async def prefetch_key(self) -> None:
        """Look the key up while starting, where Lambda gives the most CPU; a failure waits for the first request."""
        try:
            await self._key.get()
        except Problem:
            pass

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def call(self, payload: dict[str, Any]) -> UpstreamResponse:
        """Send a streamed completion request and wait for the response's headers.

        A key that is refused is fetched anew, once, in case it was rotated. Cancelling closes the connection.

        Raises:
            NotServed: the provider can't be reached, or refuses.
            Problem: the connection broke while it may have been at work, or its answer is no event stream.
        """
        key = await self._key.get()
        response = await self._send(payload, key)
        if response.status_code in (401, 403):
            refusal = await _refusal(response)
            if (renewed := await self._key.get(refresh=True)) == key:
                raise refusal
            response = await self._send(payload, renewed)
        if response.status_code != 200:
            raise await _refusal(response)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "text/event-stream":
            await response.aclose()
            raise Problem(
                Outcome.UPSTREAM_ERROR,
                f"provider: expected text/event-stream, got {media_type[:100]!r}",
            )
        return UpstreamResponse(response)

    async def _send(self, payload: dict[str, Any], key: str | None) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        now = asyncio.get_running_loop().time
        while True:
            began, fresh = now(), False

            async def trace(event: str, info: object) -> None:
                nonlocal fresh
                fresh = fresh or event == "connection.connect_tcp.started"

            request = self._client.build_request(
                "POST", self._url, json=payload, headers=headers, extensions={"trace": trace}
            )
            try:
                return await self._client.send(request, stream=True)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError) as error:
                # After a freeze a pooled connection may be dead without our knowing, and fails at once. It has left
                # the pool now, so ask again until a connection was opened for this request. What fails later may
                # have been at work, and paid for: it is not asked again in silence.
                if fresh or now() - began > _DEAD_S:
                    raise _failure(error) from error
            except httpx.HTTPError as error:
                raise _failure(error) from error


def _failure(error: httpx.HTTPError) -> Problem:
    """Name a transport's failure; httpx's texts hold addresses and protocol words, but no content."""
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return NotServed(Outcome.UPSTREAM_TIMEOUT, f"provider: {type(error).__name__} after {CONNECT_S:g} s")
    if isinstance(error, httpx.TimeoutException):
        return Problem(Outcome.UPSTREAM_TIMEOUT, f"provider: {type(error).__name__} after {WRITE_S:g} s")
    if isinstance(error, httpx.LocalProtocolError):  # never sent; its text quotes the header, and so the key
        return NotServed(
            Outcome.INTERNAL_ERROR, "provider: expected a request that HTTP allows, got LocalProtocolError"
        )
    kind = NotServed if isinstance(error, httpx.ConnectError) else Problem
    return kind(Outcome.UPSTREAM_ERROR, f"provider: {type(error).__name__}: {error}"[:300])


async def _refusal(response: httpx.Response) -> Problem:
    """What a status other than 200 means for the caller; reads no more of the body than an error can need."""
    status = response.status_code
    body = b""
    try:
        async with asyncio.timeout(_ERROR_BODY_S):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _ERROR_BODY_BYTES:
                    break
    except (TimeoutError, httpx.HTTPError):
        pass  # the status alone has to do
    finally:
        await response.aclose()
    try:
        message, code = error_members(httpx.Response(status, content=body).json())
    except ValueError:
        message, code = "its body is no JSON", None
    members = {"provider": {"status": status, "code": code}}
    if status in (401, 403):
        # The provider's text may quote the key.
        return NotServed(
            Outcome.UPSTREAM_ERROR,
            f"provider: expected 200, got {status}: our key was refused",
            members=members,
        )
    detail = f"provider: expected 200, got {status}: {message}"
    if status == 429:
        quota = code == "insufficient_quota"
        after = response.headers.get("retry-after")
        return NotServed(
            Outcome.RATE_LIMITED,
            detail,
            status=503 if quota else 429,
            members=members,
            headers=(("retry-after", after[:64]),) if after else (),
        )
    if status in (408, 504):
        return NotServed(Outcome.UPSTREAM_TIMEOUT, detail, members=members)
    # What it says of the request's content is the caller's to mend; anything else is between us and the provider.
    return NotServed(
        Outcome.UPSTREAM_ERROR, detail, status=400 if status in (400, 413, 422) else 502, members=members
    )
