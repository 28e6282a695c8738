"""One ASGI request: what the application receives, and the order in which it may send.

Decided here: the states of a response and what ends it. The specification is
https://asgi.readthedocs.io/en/latest/specs/www.html, version 2.4: once the caller's side is closed, `send`
raises OSError and `receive` gives `http.disconnect`. One deviation: the head goes out with
`http.response.start`, not with the first body part, since on Lambda a caller's time to first byte, and the
gateway's idle timer, hang on it. A large body part leaves in pieces: at the deadline a reader who is behind gets the
failure after what already left, not after the whole part.
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


# As much as a peer may be behind: a part up to this size is written whole, whatever happens to its sender.
PIECE_BYTES = 65_536


class State(enum.Enum):
    """How far a response is."""

    # nothing was sent: a failure can still become an error of the whole invocation
    WAITING = enum.auto()
    # status and headers are out: a failure can only be told in trailers
    STREAMING = enum.auto()
    # a large part has not left whole; where its `send` was cut off, the body has a hole: only a failure can follow
    MIDWAY = enum.auto()
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
        while it waits, it has written the message, if that has at most PIECE_BYTES; of a larger one the rest is
        dropped, and each later `send` raises OSError.
        """
        assert self._writer is not None, "a cycle is connected before the application runs"
        kind = message["type"]
        if self.state is State.STREAMING and kind == "http.response.body":
            data = b"" if self._is_head else message.get("body", b"")
            is_last = not message.get("more_body", False)
            if data and not (is_last and len(data) <= PIECE_BYTES):
                data = data if type(data) is bytes else bytes(data)
                if len(data) > PIECE_BYTES:
                    data = await self._send_pieces(self._writer, data)
                await self._writer.body(data)
                data = b""
            if is_last:
                self.state = State.COMPLETE
                self._disconnected.set()
                try:
                    await self._writer.end(bytes(data))
                except OSError:  # what was to be the last part was not taken
                    self.state = State.STREAMING if data else self.state
                    raise
        elif self.state is State.WAITING and kind == "http.response.start":
            headers: Headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            self.state = State.STREAMING
            await self._writer.start(message["status"], headers)
        elif self.state is State.CLOSED:
            raise ConnectionLost("nobody takes this response any more")
        elif self.state is State.MIDWAY:
            raise ConnectionLost("a part of this response has not been sent whole: nothing can follow it")
        else:
            due = {State.WAITING: "http.response.start", State.STREAMING: "http.response.body"}
            raise UnexpectedMessage(f"expected {due.get(self.state, 'no more messages')}, got {kind}")

    async def _send_pieces(self, writer: ResponseWriter, data: bytes) -> bytes:
        """Send all pieces of a large part but the last, which is returned."""
        last = (len(data) - 1) // PIECE_BYTES * PIECE_BYTES
        self.state = State.MIDWAY
        for begin in range(0, last, PIECE_BYTES):
            await writer.body(data[begin : begin + PIECE_BYTES])
        self.state = State.STREAMING
        return data[last:]
