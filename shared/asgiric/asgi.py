"""One ASGI request: what the application receives, and the order in which it may send.

Decided here: the states of a response and what ends it. The specification is
https://asgi.readthedocs.io/en/latest/specs/www.html, version 2.4: once the caller's side is closed, `send`
raises OSError and `receive` gives `http.disconnect`. One deviation: the head goes out with
`http.response.start`, not with the first body part, since on Lambda a caller's time to first byte, and the
gateway's idle timer, hang on it.
"""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Any

from asgiric.connection import ConnectionLost
from asgiric.errors import ApplicationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from asgiric.events.request import Headers
    from asgiric.response_writer import ResponseWriter

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class UnexpectedMessage(ApplicationError):
    """The application sent a message that ASGI does not allow at this point (the application's fault)."""


class State(enum.Enum):
    """How far a response is."""

    # nothing was sent: a failure can still become an error of the whole invocation
    WAITING = enum.auto()
    # status and headers are out: a failure can only be told in trailers
    STREAMING = enum.auto()
    # the last byte is out: what the application still does is background work
    COMPLETE = enum.auto()
    # nobody takes the response any more: refused, cut off, or given up at the deadline
    CLOSED = enum.auto()


class Cycle:
    """The two channels of one request; `receive` and `send` are handed to the application."""

    def __init__(self, method: str, body: bytes) -> None:
        self.state = State.WAITING
        self._is_head = method == "HEAD"
        self._body: bytes | None = body
        self._disconnected = asyncio.Event()
        self._writer: ResponseWriter | None = None

    def connect(self, writer: ResponseWriter) -> None:
        """Give the response its way out."""
        self._writer = writer

    def close(self) -> None:
        """Nobody takes the response any more: `send` raises OSError from here on, unless it is complete."""
        if self.state is not State.COMPLETE:
            self.state = State.CLOSED
        self._disconnected.set()

    async def receive(self) -> Message:
        """The whole body at once, then `http.disconnect` when the response is over."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._disconnected.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Forward a message at once; waits while the caller's side is behind.

        Raises UnexpectedMessage out of order, OSError when nobody takes the response any more. Cancelled
        while it waits, it has written the message.
        """
        assert self._writer is not None, "a cycle is connected before the application runs"
        kind = message["type"]
        if self.state is State.STREAMING and kind == "http.response.body":
            data = message.get("body", b"")
            if data and not self._is_head:
                await self._writer.body(data if type(data) is bytes else bytes(data))
            if not message.get("more_body", False):
                self.state = State.COMPLETE
                self._disconnected.set()
                await self._writer.end()
        elif self.state is State.WAITING and kind == "http.response.start":
            headers: Headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            self.state = State.STREAMING
            await self._writer.start(message["status"], headers)
        elif self.state is State.CLOSED:
            raise ConnectionLost("nobody takes this response any more")
        else:
            due = {State.WAITING: "http.response.start", State.STREAMING: "http.response.body"}
            raise UnexpectedMessage(f"expected {due.get(self.state, 'no more messages')}, got {kind}")
