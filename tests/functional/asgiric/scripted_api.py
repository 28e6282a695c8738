"""A strict, scripted Lambda Runtime API: h11 parses every byte, and what Lambda would refuse is a violation.

A test puts invocations in and reads what came back, chunk by chunk with its time of arrival. Faults are
scripted for each call: a status, a hang-up, an early answer, a reader that stops reading.
"""

import asyncio
import base64
import json
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import h11

PREFIX = "/2018-06-01/runtime"
ALLOWED_CONTENT_TYPES = {"application/vnd.awslambda.http-integration-response", "application/octet-stream"}


@dataclass
class Chunk:
    """One chunk of a response's body and when its last byte came (time.monotonic)."""

    data: bytes
    at_s: float


@dataclass
class Call:
    """One request of the runtime, as far as it has come."""

    method: str
    path: str
    connection: int
    headers: dict[str, str]
    chunks: list[Chunk] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return b"".join(chunk.data for chunk in self.chunks)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object of the trailers."""
        body = self.trailers["lambda-runtime-function-error-body"]
        value: dict[str, Any] = json.loads(base64.b64decode(body, validate=True))
        return value


@dataclass
class Script:
    """One invocation: what /next gives, and how the answer to it is treated."""

    event: bytes
    request_id: str
    timeout_s: float
    deadline_ms: int = 0  # from its delivery on
    headers: dict[str, str] = field(default_factory=dict)
    response_status: int = 202
    error_status: int = 202
    refuse_after_chunks: int | None = None  # answer `response_status` before the body is whole, and hang up
    hang_up_after_chunks: int | None = None
    reading: asyncio.Event = field(default_factory=asyncio.Event)  # cleared: the response is not read
    call: Call | None = None
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    async def chunk(self, index: int) -> Chunk:
        """The chunk of that number, once it has come whole."""
        async with self.progress:
            await self.progress.wait_for(lambda: self.call is not None and len(self.call.chunks) > index)
        assert self.call is not None
        return self.call.chunks[index]

    async def answer(self) -> Call:
        """The whole answer, response or error."""
        await self.finished.wait()
        assert self.call is not None
        return self.call


class ScriptedRuntimeApi:
    """Serves on a free loopback port while its context lasts."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self.polled = asyncio.Event()
        self.polls = 0
        self.restored = asyncio.Event()
        self.init_error: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        self.restore_error: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        # Outcomes of the next polls, before any invocation is given: a status, or None to hang up.
        self.next_outcomes: list[int | None] = []
        self.max_in_flight = 1
        self._queue: asyncio.Queue[Script] = asyncio.Queue()
        self._in_flight: dict[str, Script] = {}
        self._connections = 0
        self._invocations = 0
        self._writers: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        # A small window makes an unread response press back at once.
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=65_536)
        return self

    async def __aexit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()

    @property
    def address(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    @property
    def connections(self) -> int:
        """How many TCP connections there have been."""
        return self._connections

    def invoke(
        self, event: object, *, timeout_s: float = 30, request_id: str | None = None, **script: Any
    ) -> Script:
        """Queue an invocation; `event` is JSON, or bytes to be given as they are."""
        self._invocations += 1
        document = event if isinstance(event, bytes) else json.dumps(event).encode()
        script = {"headers": {}, **script}
        invocation = Script(
            event=document,
            request_id=request_id or f"00000000-0000-4000-8000-{self._invocations:012d}",
            timeout_s=timeout_s,
            **script,
        )
        if "reading" not in script:
            invocation.reading.set()
        self._queue.put_nowait(invocation)
        return invocation

    def paths(self) -> list[str]:
        """The last word of each call's path so far, in order: next, response, error."""
        return [call.path.rpartition("/")[2] for call in self.calls]

    def hang_up(self) -> None:
        """Close every open connection, as a peer that went away during a freeze."""
        for writer, task in self._writers.items():
            writer.transport.abort()
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._writers[writer] = task
        self._connections += 1
        number = self._connections
        protocol = h11.Connection(h11.SERVER)
        try:
            while await self._exchange(number, protocol, reader, writer):
                protocol.start_next_cycle()
        except (ConnectionError, h11.RemoteProtocolError) as error:
            if isinstance(error, h11.RemoteProtocolError):
                self.violations.append(f"not HTTP/1.1: {error}")
        finally:
            del self._writers[writer]
            writer.close()

    async def _event(
        self, protocol: h11.Connection, reader: asyncio.StreamReader, reading: asyncio.Event
    ) -> Any:
        while (event := protocol.next_event()) is h11.NEED_DATA:
            await reading.wait()
            data = await reader.read(65_536)
            if not data and protocol.their_state is not h11.IDLE:
                raise ConnectionResetError("the runtime left in the middle of a call")
            protocol.receive_data(data)
        return event

    async def _exchange(
        self,
        number: int,
        protocol: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        always = asyncio.Event()
        always.set()
        head = await self._event(protocol, reader, always)
        if isinstance(head, h11.ConnectionClosed):
            return False
        headers = {name.decode(): value.decode() for name, value in head.headers}
        call = Call(head.method.decode(), head.target.decode(), number, headers)
        self.calls.append(call)
        script = self._script_of(call)
        reading = script.reading if script else always
        whole = b""
        while not isinstance(event := await self._event(protocol, reader, reading), h11.EndOfMessage):
            if isinstance(event, h11.ConnectionClosed):
                return False
            whole += event.data
            if event.chunk_end or (script is None) or "content-length" in headers:
                await self._add(call, script, Chunk(whole, time.monotonic()))
                whole = b""
            if script and script.call is call:
                if script.hang_up_after_chunks == len(call.chunks):
                    return False
                if script.refuse_after_chunks == len(call.chunks):
                    writer.write(
                        protocol.send(h11.Response(status_code=script.response_status, headers=_NO_BODY))
                        or b""
                    )
                    self._finish(script)
                    return False
        call.trailers = {name.decode(): value.decode() for name, value in event.headers}
        return await self._answer(call, script, protocol, writer)

    async def _add(self, call: Call, script: Script | None, chunk: Chunk) -> None:
        call.chunks.append(chunk)
        if script is not None:
            async with script.progress:
                script.progress.notify_all()

    def _script_of(self, call: Call) -> Script | None:
        parts = call.path.removeprefix(PREFIX).split("/")
        if len(parts) != 4 or parts[1] != "invocation":
            return None
        script = self._in_flight.get(parts[2])
        if script is None or script.call is not None:
            self.violations.append(f"{call.path}: no such invocation is waiting for an answer")
            return None
        script.call = call
        expected = script.headers.get("Lambda-Runtime-Invocation-Id")
        if call.headers.get("lambda-runtime-invocation-id") != expected:
            self.violations.append(f"{call.path}: invocation id {expected!r} was not echoed")
        if parts[3] == "response":
            self._judge_response(call)
        elif "." not in call.headers.get("lambda-runtime-function-error-type", ""):
            self.violations.append(f"{call.path}: error type {call.headers!r}")
        return script

    def _judge_response(self, call: Call) -> None:
        mode = call.headers.get("lambda-runtime-function-response-mode")
        chunked = call.headers.get("transfer-encoding") == "chunked"
        if (mode == "streaming") != chunked:
            self.violations.append(f"{call.path}: response mode {mode} with chunked {chunked}")
        if mode == "streaming":
            if call.headers.get("content-type") not in ALLOWED_CONTENT_TYPES:
                self.violations.append(f"{call.path}: content type {call.headers.get('content-type')}")
            if "Lambda-Runtime-Function-Error-Type" not in call.headers.get("trailer", ""):
                self.violations.append(f"{call.path}: trailers were not announced")

    async def _answer(
        self, call: Call, script: Script | None, protocol: h11.Connection, writer: asyncio.StreamWriter
    ) -> bool:
        match call.method, call.path.removeprefix(PREFIX):
            case "GET", "/invocation/next":
                return await self._next(protocol, writer)
            case "GET", "/restore/next":
                self.polled.set()
                await self.restored.wait()
                await _send(protocol, writer, 200, {}, b"")
            case "POST", "/init/error":
                if self.polls:
                    self.violations.append("/init/error after the first /next")
                await _send(protocol, writer, 202, {}, b"{}")
                self.init_error.set_result(call)
            case "POST", "/restore/error":
                await _send(protocol, writer, 202, {}, b"{}")
                self.restore_error.set_result(call)
            case "POST", _ if script is not None:
                failed = call.path.endswith("/error")
                await _send(
                    protocol, writer, script.error_status if failed else script.response_status, {}, b"{}"
                )
                self._finish(script)
            case _:
                self.violations.append(f"no such call: {call.method} {call.path}")
                await _send(protocol, writer, 404, {}, b"{}")
        return True

    def _finish(self, script: Script) -> None:
        del self._in_flight[script.request_id]
        script.finished.set()

    async def _next(self, protocol: h11.Connection, writer: asyncio.StreamWriter) -> bool:
        self.polls += 1
        self.polled.set()
        if self.next_outcomes:
            status = self.next_outcomes.pop(0)
            if status is None:
                return False
            await _send(protocol, writer, status, {}, b'{"errorType":"scripted"}')
            return True
        script = await self._queue.get()
        if len(self._in_flight) >= self.max_in_flight:
            self.violations.append("/next while an invocation is in flight")
        self._in_flight[script.request_id] = script
        script.deadline_ms = int((time.time() + script.timeout_s) * 1000)
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": script.request_id,
            "Lambda-Runtime-Deadline-Ms": str(script.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:generate",
            **script.headers,
        }
        await _send(protocol, writer, 200, headers, script.event)
        return True


_NO_BODY = [("content-length", "0"), ("connection", "close")]


async def _send(
    protocol: h11.Connection, writer: asyncio.StreamWriter, status: int, headers: dict[str, str], body: bytes
) -> None:
    fields = [*headers.items(), ("content-length", str(len(body)))]
    for event in (h11.Response(status_code=status, headers=fields), h11.Data(data=body), h11.EndOfMessage()):
        writer.write(protocol.send(event) or b"")
    await writer.drain()
