"""One TCP connection to the Runtime API on asyncio.

Decided here: an exchange is `begin`, any number of `write`s, then the answer; one at a time. A write goes
straight to the socket (TCP_NODELAY is set) and only what the kernel does not take goes through asyncio's
transport, whose `write` alone would add a tenth to a half to the time from `send` to the wire. `drain`
waits while more than 64 KiB stand unsent, so that a slow reader holds the application back instead of
filling memory. An answer
may come before the request is whole (413): that ends the exchange, and the connection with it.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

from asgiric.errors import PeerError
from asgiric.wire import ProtocolError, Response, ResponseReader

if TYPE_CHECKING:
    from collections.abc import Callable

# A kernel whose queue of new connections is full lets them wait for 1 s, then 3 s: many pollers connect at once.
CONNECT_TIMEOUT_S = 10
_READ_BYTES = 65_536


class ConnectionLost(PeerError, OSError):
    """The connection ended before the answer was whole."""


class Connection(asyncio.BufferedProtocol):
    """A socket and the exchange that it carries; `open_connection` makes one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._socket = sock
        self._transport: asyncio.Transport  # from connection_made on, before anyone else sees this object
        # asyncio's own buffer is 256 KiB for each read: so large that each one is mapped and unmapped.
        self._inbox = memoryview(bytearray(_READ_BYTES))
        self._accepts = False  # whether an exchange is under way that takes more bytes
        self._queued = False  # whether the transport may still hold bytes, which go first
        self._reader: ResponseReader | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._on_answer: Callable[[], None] | None = None
        self._exchanges = 0

    @property
    def is_open(self) -> bool:
        """Whether an exchange may begin, as far as is known: a peer gone during a freeze shows only on use."""
        return not self._transport.is_closing()

    @property
    def is_stale(self) -> bool:
        """Whether the peer hung up on a reused connection without a byte of answer: nothing was served."""
        return self._exchanges > 1 and self._reader is not None and not self._reader.began

    def begin(self, data: bytes, on_answer: Callable[[], None] | None = None) -> asyncio.Future[Response]:
        """Write the start of a request; the future is its answer, or ConnectionLost or ProtocolError.

        `on_answer` is called when the answer is known, also when it comes before the request is whole.
        """
        answer = self._answer = self._loop.create_future()
        # A lost connection nobody waits for any more is no news; this marks the exception as seen.
        answer.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._reader = ResponseReader()
        self._on_answer = on_answer
        self._exchanges += 1
        self._accepts = self.is_open
        self.write(data)
        return answer

    def write(self, data: bytes) -> None:
        """Send bytes of the current request at once; ConnectionLost once its answer or its end has come."""
        if not self._accepts:
            raise ConnectionLost("the Runtime API has ended this exchange")
        if self._queued:
            self._queued = self._transport.get_write_buffer_size() > 0
        if not self._queued:
            try:
                sent = self._socket.send(data)
            except OSError:  # full, or broken: the transport will find out which
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
            self._queued = True
        self._transport.write(data)

    @property
    def is_behind(self) -> bool:
        """Whether `drain` would wait."""
        return self._writable is not None

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was written; cancellation leaves all written bytes queued."""
        while self._writable is not None:
            await asyncio.shield(self._writable)

    def close(self) -> None:
        """Drop the connection, unsent bytes included."""
        self._accepts = False
        self._transport.abort()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._inbox

    def buffer_updated(self, nbytes: int) -> None:
        self._read(lambda reader: reader.feed(self._inbox[:nbytes]))

    def eof_received(self) -> None:
        self._read(ResponseReader.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(ConnectionLost(f"the Runtime API closed the connection: {exc or 'end of file'}"))
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    def _read(self, step: Callable[[ResponseReader], Response | None]) -> None:
        if self._reader is None:  # bytes before the first request
            self.close()
            return
        try:
            response = step(self._reader)
        except ProtocolError as error:
            self._finish(error if self._reader.began else ConnectionLost(str(error)))
            self.close()
            return
        if response is not None:
            self._finish(response)
            if not response.reusable:
                self.close()

    def _finish(self, outcome: Response | Exception) -> None:
        self._accepts = False
        if self._answer is None or self._answer.done():
            return
        if isinstance(outcome, Exception):
            self._answer.set_exception(outcome)
        else:
            self._answer.set_result(outcome)
        if self._on_answer is not None:
            self._on_answer()


async def open_connection(host: str, port: int) -> Connection:
    """A new connection; raises OSError when there is none to be had."""
    loop = asyncio.get_running_loop()
    # Lambda gives an address, not a name, so this resolves nothing.
    # As bytes: a text would import the codec of international names, for an address that has none.
    found = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await loop.sock_connect(sock, address)
        _, connection = await loop.create_connection(lambda: Connection(loop, sock), sock=sock)
    except BaseException:
        sock.close()
        raise
    return connection
