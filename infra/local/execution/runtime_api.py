"""The Lambda Runtime API of one environment: HTTP/1.1 on a port of its own.

Decided here: which call does what. What is allowed when is runtime_protocol.py, how it looks on the wire
runtime_call.py, and what happens then is the environment's.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import h11

from .invocation import FunctionError, Invocation
from .prelude import CONTENT_TYPE, PreludeError, PreludeReader
from .runtime_call import RuntimeCall, text
from .runtime_messages import ERROR_TYPE, about, failure, trailing_failure
from .runtime_protocol import MAX_BUFFERED_BYTES, RESPONSE_MODE, Refusal, RuntimeProtocol

FREE_BYTES = 6 * 1024 * 1024  # what a stream may send at once,
BYTES_PER_S = 2_000_000  # and its pace afterwards
_CALL = re.compile(r"/2018-06-01/runtime/(?:invocation/(?:(next)|([^/]+)/(response|error))|(init/error))\Z")
_BACKLOG = 1024
_ACCEPTED = b'{"status":"OK"}\n'


class _Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Host(Protocol):
    """Whom the Runtime API serves: the environment."""

    async def next_invocation(self) -> Invocation:
        """Wait for work. A cancelled wait takes none."""
        ...

    def invocation(self, request_id: str) -> Invocation:
        """The invocation that the protocol has let through."""
        ...

    def answered(self, invocation: Invocation) -> None:
        """The response is whole."""
        ...

    async def broke_off(self, invocation: Invocation) -> None:
        """The runtime hung up in the middle of its response."""
        ...

    def init_failed(self, error: FunctionError) -> None:
        """The runtime has given up before its first /next."""
        ...


class RuntimeApi:
    """Serves one environment's runtime until `close`; `address` is for AWS_LAMBDA_RUNTIME_API.

    `on_refusal` hears what was refused, for the log.
    """

    def __init__(self, protocol: RuntimeProtocol, host: Host, on_refusal: Callable[[Refusal], None]) -> None:
        self.address = ""
        self.refusals: list[Refusal] = []
        self._protocol = protocol
        self._host = host
        self._on_refusal = on_refusal
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        # A runtime that serves many invocations at once asks over as many connections, all of them in one moment.
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=_BACKLOG)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(RuntimeCall(h11.Connection(h11.SERVER), reader, writer))
        except (ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
            pass  # the runtime died or was killed; whoever ran it knows
        finally:
            self._connections.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve(self, call: RuntimeCall) -> None:
        while True:
            event = await call.event()
            if not isinstance(event, h11.Request):
                return
            call.headers = text(event.headers)
            target, method = event.target.decode("latin-1"), event.method.decode("latin-1")
            found = _CALL.match(target)
            if found is None:
                await self._refuse(call, Refusal(404, "NotFound", f"no such call: {target}"))
            elif method != ("GET" if found[1] else "POST"):
                await self._refuse(call, Refusal(405, "MethodNotAllowed", f"{method} {target}"))
            elif found[1]:
                await self._next(call)
            elif found[4]:
                await self._init_error(call)
            elif found[3] == "error":
                await self._error(call, found[2])
            else:
                await self._response(call, found[2])
            if call.connection.our_state is not h11.DONE or call.connection.their_state is not h11.DONE:
                return
            call.connection.start_next_cycle()

    async def _next(self, call: RuntimeCall) -> None:
        while await call.part() is not None:
            pass
        refusal = self._protocol.next()
        if refusal is not None:
            return await self._refuse(call, refusal)
        work = asyncio.ensure_future(self._host.next_invocation())
        gone = asyncio.ensure_future(call.reader.read(1))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self._protocol.next_gave_up()
                raise ConnectionResetError("the runtime hung up while it waited for work")
            invocation = work.result()
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
        self._protocol.deliver(invocation.request_id, invocation.invocation_id)
        return await call.respond(200, invocation.payload, about(invocation))

    async def _init_error(self, call: RuntimeCall) -> None:
        refusal = self._protocol.init_error()
        if refusal is not None:
            return await self._refuse(call, refusal)
        self._host.init_failed(failure(call.headers.get(ERROR_TYPE), await call.whole()))
        return await call.respond(202, _ACCEPTED)

    async def _error(self, call: RuntimeCall, request_id: str) -> None:
        refusal = self._protocol.error(request_id, call.headers)
        if refusal is not None:
            return await self._refuse(call, refusal, request_id)
        invocation = self._host.invocation(request_id)
        body = await self._received(call, invocation, self._buffer)
        if body is None:
            return None
        self._end(invocation, failure(call.headers.get(ERROR_TYPE), body))
        return await call.respond(202, _ACCEPTED)

    async def _response(self, call: RuntimeCall, request_id: str) -> None:
        refusal = self._protocol.response(request_id, call.headers)
        if refusal is not None:
            return await self._refuse(call, refusal, request_id)
        invocation, error = self._host.invocation(request_id), None
        if RESPONSE_MODE in call.headers:
            if await self._received(call, invocation, self._stream) is None:
                return None
            error = trailing_failure(call.trailers)
        else:
            body = await self._received(call, invocation, self._buffer)
            if body is None:
                return None
            # Whole before it is handed on: a body over the limit is an error and never half a response.
            invocation.response.begin("buffered", call.headers.get("content-type"))
            await invocation.response.write(body)
        self._end(invocation, error)
        return await call.respond(202, _ACCEPTED)

    async def _received(
        self,
        call: RuntimeCall,
        invocation: Invocation,
        receive: Callable[[RuntimeCall, Invocation], Awaitable[bytes]],
    ) -> bytes | None:
        """What `receive` gives; None when it was refused, which the runtime has then been told."""
        try:
            return await receive(call, invocation)
        except _Refused as refused:
            await self._refuse(call, refused.refusal, invocation.request_id)
            return None
        except (ConnectionError, h11.RemoteProtocolError):
            self._protocol.sent(invocation.request_id)
            await self._host.broke_off(invocation)
            raise

    async def _buffer(self, call: RuntimeCall, invocation: Invocation) -> bytes:
        parts = []
        while (part := await call.part()) is not None:
            self._count(invocation, part)
            parts.append(part)
        return b"".join(parts)

    async def _stream(self, call: RuntimeCall, invocation: Invocation) -> bytes:
        response, content_type = invocation.response, call.headers.get("content-type")
        reader = PreludeReader() if content_type == CONTENT_TYPE else None
        response.begin("streaming", content_type)
        try:
            while (part := await call.part()) is not None:
                self._count(invocation, part)
                if reader is not None and not response.prelude_known.is_set():
                    reader.feed(part)
                    if reader.prelude is not None:
                        response.know_prelude(reader.prelude)
                await response.write(part)
                if response.produced_bytes > FREE_BYTES:
                    await asyncio.sleep(min(len(part), response.produced_bytes - FREE_BYTES) / BYTES_PER_S)
            if reader is not None and ERROR_TYPE not in call.trailers:
                reader.close()
        except PreludeError as error:
            raise _Refused(
                Refusal(400, "InvalidPrelude", str(error), ends="Runtime.InvalidPrelude")
            ) from None
        return b""

    def _count(self, invocation: Invocation, part: bytes) -> None:
        refusal = self._protocol.received(invocation.request_id, len(part))
        if refusal is not None:
            raise _Refused(refusal)

    def _end(self, invocation: Invocation, error: FunctionError | None) -> None:
        self._protocol.sent(invocation.request_id)
        invocation.response.end(error)
        self._host.answered(invocation)

    async def _refuse(self, call: RuntimeCall, refusal: Refusal, request_id: str | None = None) -> None:
        self.refusals.append(refusal)
        self._on_refusal(refusal)
        if refusal.ends is not None and request_id is not None:
            self._end(self._host.invocation(request_id), FunctionError.of(refusal.ends, refusal.message))
        body = json.dumps({"errorMessage": refusal.message, "errorType": refusal.kind}).encode()
        await call.refuse(refusal.status, body, MAX_BUFFERED_BYTES)
