"""The two ends of a function, in the benchmark's own process: the Runtime API before it and the provider behind it.

Both serve one invocation at a time and note on the monotonic clock when something of it is whole. They are h11 on
asyncio protocols: strict enough for a benchmark; the laptop's Runtime API (infra/local) is the one that refuses.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h11

from tests.bench.script import function_url_event, sse_events

REQUEST_ID = "6c1f6c7a-1b1e-4c57-9d52-6f6f3f4d2b10"
TIMEOUT_S = 30


@dataclass
class Invocation:
    """What happened to one process, in seconds of the monotonic clock; None where it has not come to that."""

    pid: int = 0
    first_poll_s: float | None = None
    at_provider_s: float | None = None
    cpu_s: float | None = None  # spent by then, of all threads
    first_byte_s: float | None = None
    response: bytearray = field(default_factory=bytearray)
    # Set at the first poll, and when the process asks for a second invocation: then all of the first is done.
    polled: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class _Server(asyncio.Protocol):
    """A connection: whole events in, bytes out."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.connection = h11.Connection(h11.SERVER)
        self.request: h11.Request | None = None

    def data_received(self, data: bytes) -> None:
        self.connection.receive_data(data)
        while True:
            event = self.connection.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED):
                return
            if isinstance(event, h11.ConnectionClosed):
                self.transport.close()
                return
            if isinstance(event, h11.Request):
                self.request = event
            elif isinstance(event, h11.Data):
                self.body(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                assert self.request is not None
                self.whole(self.request)

    def eof_received(self) -> None:
        self.transport.close()

    def body(self, data: bytes) -> None:
        """A part of the request's body has come."""

    def whole(self, request: h11.Request) -> None:
        """The request has come to its end."""
        raise NotImplementedError

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send an answer at once, and make ready for the next request."""
        out = b"".join(
            self.connection.send(event) or b""
            for event in (
                h11.Response(status_code=status, headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            )
        )
        self.transport.write(out)
        self.connection.start_next_cycle()


class RuntimeApi(_Server):
    """Hands out one invocation, takes its response streamed or whole, and leaves the second poll waiting."""

    def __init__(self, current: Callable[[], Invocation]) -> None:
        self.current = current

    def body(self, data: bytes) -> None:
        invocation = self.current()
        if invocation.first_byte_s is None:
            invocation.first_byte_s = time.monotonic()
        invocation.response += data

    def whole(self, request: h11.Request) -> None:
        invocation = self.current()
        if not request.target.endswith(b"/next"):
            assert request.target.endswith(b"/response"), (
                f"{request.target!r}: {bytes(invocation.response)!r}"
            )
            self.answer(202, [("content-type", "application/json"), ("content-length", "2")], b"{}")
        elif invocation.first_poll_s is None:
            invocation.first_poll_s = time.monotonic()
            invocation.polled.set()
            body = json.dumps(function_url_event()).encode()
            deadline_ms = int((time.time() + TIMEOUT_S) * 1000)
            self.answer(
                200,
                [
                    ("content-type", "application/json"),
                    ("content-length", str(len(body))),
                    ("lambda-runtime-aws-request-id", REQUEST_ID),
                    ("lambda-runtime-deadline-ms", str(deadline_ms)),
                    (
                        "lambda-runtime-invoked-function-arn",
                        "arn:aws:lambda:us-east-1:123456789012:function:f",
                    ),
                    ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0"),
                ],
                body,
            )
        else:
            invocation.idle.set()


class Provider(_Server):
    """Answers every request with the same short stream, all of it at once: Chat Completions, or Bedrock's."""

    stream = b"".join(sse_events([]))
    bedrock_stream = b""

    def __init__(self, current: Callable[[], Invocation]) -> None:
        self.current = current

    def whole(self, request: h11.Request) -> None:
        invocation = self.current()
        if invocation.at_provider_s is None:
            invocation.at_provider_s = time.monotonic()
            invocation.cpu_s = cpu_s(invocation.pid)
        bedrock = request.target.startswith(b"/model/")
        stream = self.bedrock_stream if bedrock else self.stream
        kind = "application/vnd.amazon.eventstream" if bedrock else "text/event-stream"
        self.answer(200, [("content-type", kind), ("content-length", str(len(stream)))], stream)


def cpu_s(pid: int) -> float:
    """Time that a process has spent on CPUs, by the scheduler's count, since clock ticks are too coarse."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


@dataclass
class Ends:
    """Both servers, listening on loopback; `begin` before each process."""

    current: Invocation = field(default_factory=Invocation)
    runtime_api: str = ""
    provider: str = ""

    async def listen(
        self, stream: bytes, tls: ssl.SSLContext | None = None, *, bedrock_stream: bytes = b""
    ) -> list[asyncio.Server]:
        """Open both, the provider with TLS if a context is given; the caller closes them."""
        Provider.bedrock_stream = bedrock_stream or Provider.bedrock_stream
        loop = asyncio.get_running_loop()
        Provider.stream = stream
        front = await loop.create_server(lambda: RuntimeApi(lambda: self.current), "127.0.0.1", 0)
        back = await loop.create_server(lambda: Provider(lambda: self.current), "127.0.0.1", 0, ssl=tls)
        self.runtime_api = f"127.0.0.1:{front.sockets[0].getsockname()[1]}"
        scheme = "https" if tls else "http"
        self.provider = f"{scheme}://localhost:{back.sockets[0].getsockname()[1]}/v1"
        return [front, back]

    def begin(self) -> Invocation:
        """Forget the last process."""
        self.current = Invocation()
        return self.current
