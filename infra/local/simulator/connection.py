"""One response on one connection: sends at its time, notices that the caller closed, and breaks HTTP when
told to.

uvicorn hides the socket from an application, rightly. Faults of the transport need it, so `FaultyProtocol`
puts the transport into the scope's state.
"""

import asyncio
import json
import socket
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .journal import Exchange


class FaultyProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, whose transport the application finds as `scope["state"]["transport"]`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.app_state = {"transport": transport}


class Connection:
    """The sending half of one exchange."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        self._transport: asyncio.Transport = scope["state"]["transport"]
        self._receive = receive
        self._send = send
        self._exchange = exchange
        self._encoder: Any = None
        self._broken_after: int | None = None
        self._closed = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        """The caller has closed the connection."""
        return self._closed.is_set()

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send status and headers; from now on a close by the caller is noticed."""
        self._exchange.status = status
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self._watch = asyncio.create_task(self._watch_caller())
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def _watch_caller(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._closed.is_set():
            self._exchange.closed_at_token = self._exchange.tokens_sent
            self._closed.set()

    def compress(self, *, broken_after_bytes: int | None = None) -> None:
        """Compress the body with gzip; after so many bytes what follows is not gzip any more."""
        self._encoder = zlib.compressobj(wbits=31)
        self._broken_after = broken_after_bytes

    async def write(self, data: bytes, *, tokens: int = 0) -> None:
        """Send part of the body and count its tokens."""
        if self.closed:
            return
        if self._encoder is not None:
            data = self._encoder.compress(data) + self._encoder.flush(zlib.Z_SYNC_FLUSH)
            if self._broken_after is not None and self._exchange.bytes_sent > self._broken_after:
                data = b"\xff" * len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self._exchange.bytes_sent += len(data)
        self._exchange.tokens_sent += tokens

    async def finish(self) -> None:
        """End the response as HTTP ends it."""
        await self._stop_watching()
        rest = self._encoder.flush() if self._encoder is not None else b""
        await self._send({"type": "http.response.body", "body": rest, "more_body": False})

    async def answer(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        """A whole JSON response."""
        data = json.dumps(body, ensure_ascii=False).encode()
        length = {"content-type": "application/json", "content-length": str(len(data))}
        await self.start(status, {**length, **(headers or {})})
        await self.write(data)
        await self.finish()

    async def wait_until(self, instant_s: float) -> None:
        """Return at `instant_s` on the loop's clock, or as soon as the caller closes.

        A past instant only yields.
        """
        delay_s = instant_s - asyncio.get_running_loop().time()
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(delay_s):
                await self._closed.wait()
        except TimeoutError:
            pass

    async def wait_closed(self) -> None:
        """Return when the caller has closed the connection."""
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_caller())
        await self._closed.wait()

    async def close(self, *, last_words: bytes = b"", reset: bool = False) -> None:
        """Close the connection behind HTTP's back: after raw bytes, or with a TCP reset."""
        await self._stop_watching()
        self._closed.set()
        if last_words:
            self._transport.write(last_words)
        if reset:
            # A reset overtakes bytes that the peer has not read yet; those before it shall arrive.
            await asyncio.sleep(0.03)
            sock: socket.socket = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
