"""An engine for httpx that imports less at a cold start than its own: HTTP/1.1 on an asyncio protocol.

A provider's stream needs one connection, HTTP/1.1 and TLS. httpx's default engine (httpcore on anyio) brings pools,
proxies, HTTP/2 and two event loops along, and a cold start pays for their imports. Requests, responses, decoding,
exceptions and the trusted certificates stay httpx's. HTTP/2 is left out, and where a proxy is set httpx's engine
stays in its place.

A connection carries one request at a time, and is kept when its response was read to the end. How long it lay idle
is taken from the wall clock: a frozen process does not hear its peer hang up, and the monotonic clock may stand still.
"""

import asyncio
import select
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, cast

import httpx

from weir.providers.http1 import NotHttp, encode_head

if TYPE_CHECKING:
    from weir.providers.answer import Answer

IDLE_S = 15.0
_OPENING_S = 0.2  # what a connection that is opening may take to its end when all is closed
_READ_BYTES = 65_536
_HIGH_WATER_BYTES = 65_536

type _Origin = tuple[str, str, int]  # scheme, host, port


def make_transport(secure: bool, environment: Mapping[str, str]) -> "StreamTransport | None":
    """The engine, its certificates already loading if they are needed; None, httpx's own, where a proxy is set."""
    names = {name.upper() for name, value in environment.items() if value}
    if names & {"ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"}:
        return None
    transport = StreamTransport()
    if secure:
        transport.prepare_tls()
    return transport


class StreamTransport(httpx.AsyncBaseTransport):
    """Connections to providers; `clock` gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._idle: dict[_Origin, list[_Connection]] = {}
        self._opening: dict[_Origin, asyncio.Task[None]] = {}
        self._tls: asyncio.Future[ssl.SSLContext] | None = None

    def prepare_tls(self) -> asyncio.Future[ssl.SSLContext]:
        """Load the trusted certificates, in a thread, once: OpenSSL takes some 20 ms, and lets other code run."""
        if self._tls is None:
            self._tls = asyncio.get_running_loop().run_in_executor(None, _tls_context)
        return self._tls

    def open_ahead(self, url: httpx.URL, timeout_s: float | None) -> None:
        """Begin a connection for a request that is still to be decided, if none is idle; whoever sends waits for it."""
        origin = _origin(url)
        if origin in self._opening:
            return
        if (idle := self._take_idle(origin)) is not None:
            self._idle[origin].append(idle)
            return
        opening = self._opening[origin] = asyncio.create_task(self._open_idle(origin, timeout_s))
        opening.add_done_callback(lambda _: self._opening.pop(origin, None))
        opening.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever waits is told

    async def _open_idle(self, origin: _Origin, timeout_s: float | None) -> None:
        self.keep(origin, await self._connect(origin, timeout_s))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and wait for the response's headers; cancelling closes the connection.

        Raises:
            httpx.TransportError: its kind tells connecting, writing, reading and a broken protocol apart.
        """
        timeout = request.extensions.get("timeout", {})
        origin = _origin(request.url)
        if (opening := self._opening.get(origin)) is not None:
            await asyncio.shield(opening)
        connection = self._take_idle(origin)
        if connection is not None and request.extensions.get("fresh"):
            connection.close()  # its place is the new one's, or each retry would leave one more connection idle
            connection = None
        # Named as by httpx's own engine: whoever listens knows that the connection is new, and the request written.
        trace = request.extensions.get("trace")
        if trace is not None and (connection is None or connection.is_new):
            await trace("connection.connect_tcp.started", {})
        if connection is None:
            connection = await self._connect(origin, timeout.get("connect"))
        try:
            await connection.send(request, timeout.get("write"))
            if trace is not None:
                await trace("http11.send_request_body.complete", {})
            answer = await connection.receive_head(timeout.get("read"))
        except BaseException:
            connection.close()
            raise
        return httpx.Response(
            answer.status,
            headers=answer.fields,
            stream=_Body(self, origin, connection, timeout.get("read")),
            extensions={"http_version": b"HTTP/" + answer.version, "reason_phrase": answer.reason},
        )

    async def aclose(self) -> None:
        """Close what is idle, and what is opening; a response that is still read closes its own."""
        if opening := set(self._opening.values()):
            # Cancelled in its last step, asyncio's race of addresses leaves a socket behind that nobody closes.
            _, late = await asyncio.wait(opening, timeout=_OPENING_S)
            for each in late:
                each.cancel()
            if late:
                await asyncio.wait(late)
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    def keep(self, origin: _Origin, connection: "_Connection") -> None:
        """Take a connection back for another request; those that were not needed for long are closed."""
        connection.idle_since = self._clock()
        connections = self._idle.setdefault(origin, [])
        while connections and not self._is_usable(connections[0]):
            connections.pop(0).close()
        connections.append(connection)

    def _take_idle(self, origin: _Origin) -> "_Connection | None":
        connections = self._idle.get(origin, [])
        while connections:
            connection = connections.pop()
            if connection.is_quiet and self._is_usable(connection):
                return connection
            connection.close()
        return None

    def _is_usable(self, connection: "_Connection") -> bool:
        return connection.is_open and abs(self._clock() - connection.idle_since) < IDLE_S

    async def _connect(self, origin: _Origin, timeout_s: float | None) -> "_Connection":
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        # Loops that are not asyncio's own (uvloop) try one address after the other.
        staggered: dict[str, Any] = (
            {"happy_eyeballs_delay": 0.25} if isinstance(loop, asyncio.BaseEventLoop) else {}
        )
        try:
            async with asyncio.timeout(timeout_s):
                # Shielded: whoever gives up waiting must not take the certificates from the others.
                tls = await asyncio.shield(self.prepare_tls()) if scheme == "https" else None
                _, connection = await loop.create_connection(_Connection, host, port, ssl=tls, **staggered)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"{host}:{port}: no connection in time") from error
        except OSError as error:  # ssl.SSLError is one
            raise httpx.ConnectError(str(error)) from error
        return connection


class _Connection(asyncio.BufferedProtocol):
    """A socket and the exchange on it; reading stops while much waits of what came.

    It reads into a buffer of its own: the loop's, of 256 KiB, is mapped and unmapped by the kernel at every read.
    """

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.is_new = True  # no request was sent on it
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None  # to the request that is under way
        self._sent = False  # all of the request
        self._received: _Arrival | None = None
        self._writable: asyncio.Future[None] | None = None
        self._waiting_bytes = 0
        self._lost: Exception | None = None

    @property
    def is_open(self) -> bool:
        """Whether a request may be sent, as far as is known."""
        return self._lost is None and self._transport is not None and not self._transport.is_closing()

    @property
    def is_quiet(self) -> bool:
        """Whether it is open and nothing has come that the loop has not read: after a freeze, a peer's goodbye."""
        if not self.is_open or self._transport is None:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket"), select.POLLIN)
        return not poll.poll(0)

    async def send(self, request: httpx.Request, timeout_s: float | None) -> None:
        """Write a whole request; waits while the peer does not take it."""
        assert isinstance(request.stream, httpx.AsyncByteStream)
        self.is_new = False
        try:
            data = encode_head(request.method, request.url.raw_path, request.headers.raw)
        except NotHttp as error:
            raise httpx.LocalProtocolError(str(error)) from error
        chunked = not isinstance(request.stream, httpx.ByteStream) and "transfer-encoding" in request.headers
        async for part in request.stream:
            # The head goes out with the first part of the body: one packet, one TLS record.
            framed = b"%x\r\n%b\r\n" % (len(part), part) if chunked and part else part
            await self._write(data + framed, timeout_s)
            data = b""
        await self._write(data + (b"0\r\n\r\n" if chunked else b""), timeout_s)
        # With an answer before the request was whole, the rest of it is of no use, and was not sent.
        self._sent = not self._waiting_bytes

    async def receive_head(self, timeout_s: float | None) -> "Answer":
        """Wait for the response's status and headers."""
        answer = self._answer
        assert answer is not None, "an answer follows a request"
        while not answer.status:
            await self._wait(answer, "without a response", timeout_s)
        return answer

    async def receive_data(self, timeout_s: float | None) -> bytes | None:
        """Wait for more of the body; None at its end.

        All that has come is one part: at a model's pace that is what one write of its brought, and whoever is behind
        catches up in one step.
        """
        answer = self._answer
        assert answer is not None, "a body follows a head"
        while not (data := answer.take()):
            if answer.ended or (answer.ends_with_connection and isinstance(self._lost, EOFError)):
                return None
            await self._wait(answer, "before the end of a body", timeout_s)
        return data

    def begin_next(self) -> bool:
        """Make ready for another request, if both sides are done with this one and leave the connection open."""
        answer = self._answer
        if not self.is_open or not self._sent or answer is None or not (answer.ended and answer.kept):
            return False
        self._answer, self._sent = None, False
        self._resume()
        return True

    def close(self) -> None:
        """Drop the connection, unsent bytes included."""
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self, answer: "Answer", early: str, timeout_s: float | None) -> None:
        """For something more to come, or the connection's end; raises where there cannot be more."""
        if answer.error is not None:
            raise httpx.RemoteProtocolError(answer.error)
        if isinstance(self._lost, EOFError):
            raise httpx.RemoteProtocolError(f"the peer closed the connection {early}")
        if self._lost is not None:
            raise httpx.ReadError(str(self._lost))
        self._resume()
        self._received = _Arrival()
        try:
            if timeout_s is None:
                await self._received
            else:
                async with asyncio.timeout(timeout_s):
                    await self._received
        except TimeoutError as error:
            raise httpx.ReadTimeout("nothing came in time") from error
        finally:
            self._received = None

    def _resume(self) -> None:
        was_paused, self._waiting_bytes = self._waiting_bytes > _HIGH_WATER_BYTES, 0
        if was_paused and self._transport is not None and self.is_open:
            self._transport.resume_reading()

    async def _write(self, data: bytes, timeout_s: float | None) -> None:
        if not data or self._waiting_bytes:
            return
        if not self.is_open:
            raise httpx.WriteError(str(self._lost or "the connection is closed"))
        assert self._transport is not None
        self._transport.write(data)
        if self._answer is None:  # its module is imported while the request is on its way
            from weir.providers.answer import Answer

            self._answer = Answer()
        if self._writable is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                while self._writable is not None:
                    await self._writable
        except TimeoutError as error:
            raise httpx.WriteTimeout("the request was not taken in time") from error

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._answer is None:
            self.close()  # nobody asked: it must not pass for an answer to the next request
            return
        self._answer.feed(self._buffer[:nbytes])
        self._waiting_bytes += nbytes
        if self._waiting_bytes > _HIGH_WATER_BYTES and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._end(EOFError("the peer closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or EOFError("the peer closed the connection"))
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def _end(self, reason: Exception) -> None:
        if self._lost is None:
            self._lost = reason
            self._wake()

    def _wake(self) -> None:
        if self._received is not None:
            self._received.arrive()


class _Arrival(asyncio.Future[None]):
    """A future whose one waiter goes on where the bytes came, and not a turn of the loop later.

    A turn is a system call, and code that is not in the processor's caches at a model's pace.
    """

    _waiter: tuple[Callable[[Any], object], Context | None] | None = None

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        self._waiter = fn, context

    def arrive(self) -> None:
        """Something has come; called by the event loop, and from within a task takes a turn of it."""
        if self.done():
            return
        if self._waiter is None or asyncio.current_task() is not None:
            self._in_turn()
            self.set_result(None)
            return
        go_on, context = self._waiter
        self.set_result(None)
        (context or copy_context()).run(go_on, self)

    def cancel(self, msg: Any = None) -> bool:
        self._in_turn()
        return super().cancel(msg)

    def _in_turn(self) -> None:
        if self._waiter is not None and not self.done():
            waiter, context = self._waiter
            self._waiter = None
            super().add_done_callback(waiter, context=context)


class _Body(httpx.AsyncByteStream):
    """A response's body as it arrives."""

    def __init__(
        self, transport: StreamTransport, origin: _Origin, connection: _Connection, timeout_s: float | None
    ) -> None:
        self._transport = transport
        self._origin = origin
        self._connection: _Connection | None = connection
        self._timeout_s = timeout_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._connection is not None:
            data = await self._connection.receive_data(self._timeout_s)
            if data is None:
                return
            yield data

    async def aclose(self) -> None:
        """Keep the connection if the body came to its end, read or not, else drop it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.begin_next():
            self._transport.keep(self._origin, connection)
        else:
            connection.close()


def _origin(url: httpx.URL) -> _Origin:
    return url.scheme, url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)


def _tls_context() -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
