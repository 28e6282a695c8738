"""The way of one response to its caller: streamed as it comes, or whole at its end.

Decided here: nothing is ever held back on the streamed way. The prelude goes out on its own the moment the
application starts the response, each body part becomes one chunk (a large one several), and `body` returns
only when the peer is not behind. The application's failure becomes `/error` while nothing was sent, error
trailers afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from asgiric.errors import ApplicationError
from asgiric.events.response_format import (
    PRELUDE_CONTENT_TYPE,
    RAW_CONTENT_TYPE,
    ResponseFormat,
    encode_buffered,
    encode_prelude,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from asgiric.events.request import Headers
    from asgiric.failure import Failure
    from asgiric.runtime_api import Invocation, ResponseStream, RuntimeApi

# Lambda's limit for a buffered answer; the object around the body takes some of it.
MAX_BUFFERED_BYTES = 6 * 1024 * 1024


class ResponseWriter(Protocol):
    """Where a response goes: `start`, any number of `body`, one `end` or `fail`, and at last `wait_for_ack`."""

    async def start(self, status: int, headers: Headers) -> None:
        """Take status and headers."""

    async def body(self, data: bytes) -> None:
        """Take a part of the body. Raises OSError when nobody takes the response any more."""

    async def end(self, data: bytes = b"") -> None:
        """The response is whole with this last part."""

    async def fail(self, failure: Failure) -> None:
        """The response will not be whole. Raises RuntimeApiError on a container error."""

    async def wait_for_ack(self) -> None:
        """Wait for the Runtime API's word on the response. Raises RuntimeApiError on a container error."""


class ResponseTooLarge(ApplicationError, OSError):
    """The response does not fit the one object that this caller can take (the application's fault)."""


class StreamedWriter:
    """A response that reaches its caller part by part."""

    def __init__(
        self,
        api: RuntimeApi,
        invocation: Invocation,
        response_format: ResponseFormat,
        on_closed: Callable[[], None],
    ) -> None:
        """`on_closed` is called when the Runtime API takes no more of the response, early or at its end."""
        self._api = api
        self._invocation = invocation
        self._format = response_format
        self._on_closed = on_closed
        self._stream: ResponseStream | None = None

    async def start(self, status: int, headers: Headers) -> None:
        direct = self._format is ResponseFormat.DIRECT
        prelude = b"" if direct else encode_prelude(status, headers)
        content_type = RAW_CONTENT_TYPE if direct else PRELUDE_CONTENT_TYPE
        self._stream = await self._api.begin_response(
            self._invocation, content_type, prelude, self._on_closed
        )

    def body(self, data: bytes) -> Coroutine[Any, Any, None]:
        # Not a coroutine around another: this is run for each part.
        assert self._stream is not None, "the ASGI cycle starts a response before its body"
        return self._stream.write(data)

    async def end(self, data: bytes = b"") -> None:
        assert self._stream is not None, "the ASGI cycle starts a response before its end"
        self._stream.end(data)

    async def fail(self, failure: Failure) -> None:
        if self._stream is None:
            await self._api.post_error(self._invocation, failure)
        else:
            self._stream.end(failure=failure)

    async def wait_for_ack(self) -> None:
        if self._stream is not None:
            await self._stream.wait_for_ack()


class BufferedWriter:
    """A response that reaches its caller as one object."""

    def __init__(self, api: RuntimeApi, invocation: Invocation, response_format: ResponseFormat) -> None:
        self._api = api
        self._invocation = invocation
        self._format = response_format
        self._status = 0
        self._headers: Headers = []
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._sent: ResponseStream | None = None

    async def start(self, status: int, headers: Headers) -> None:
        self._status, self._headers = status, headers

    async def body(self, data: bytes) -> None:
        self._size_bytes += len(data)
        if self._size_bytes > MAX_BUFFERED_BYTES:
            raise ResponseTooLarge(
                f"expected at most {MAX_BUFFERED_BYTES} bytes of a buffered response, got more"
            )
        self._parts.append(data)

    async def end(self, data: bytes = b"") -> None:
        await self.body(data)
        body = encode_buffered(self._format, self._status, self._headers, b"".join(self._parts))
        self._sent = await self._api.send_response(self._invocation, body, "application/json")

    async def fail(self, failure: Failure) -> None:
        await self._api.post_error(self._invocation, failure)

    async def wait_for_ack(self) -> None:
        if self._sent is not None:
            await self._sent.wait_for_ack()
