"""A provider made of bytes: a raw asyncio server that sends exactly what a test says, when it says.

No HTTP library stands between a test and the socket, so broken framing, resets and stalls are real ones.
"""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, Literal

type Step = bytes | float | asyncio.Event | Literal["reset", "close", "stall"]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def framed(body: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **members: Any) -> bytes:
    """One Chat Completions event in its HTTP chunk."""
    choices = (
        []
        if delta is None and finish is None
        else [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    )
    data = {
        "id": "c-1",
        "object": "chat.completion.chunk",
        "model": "test-model",
        "choices": choices,
        **members,
    }
    return framed(b"data: " + json.dumps(data).encode() + b"\n\n")


def text(content: str) -> bytes:
    return chunk({"content": content})


USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
DONE = framed(b"data: [DONE]\n\n")


def completion(*texts: str, finish: str = "stop") -> list[Step]:
    """A whole, well-formed stream."""
    return [HEAD, *map(text, texts), chunk(finish=finish), chunk(usage=USAGE), DONE, END]


def status(code: int, body: object, *headers: str) -> list[Step]:
    """A plain JSON response of that status."""
    data = json.dumps(body).encode()
    head = [f"HTTP/1.1 {code} X", "content-type: application/json", f"content-length: {len(data)}", *headers]
    return ["\r\n".join(head).encode() + b"\r\n\r\n" + data]


@dataclass
class Provider:
    """What the server was asked, and what became of its connections."""

    base_url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    ended: int = 0


@asynccontextmanager
async def provider(*scripts: Sequence[Step]) -> AsyncIterator[Provider]:
    """Serve one script a request, in order; the last one again and again."""
    state = Provider()
    left = list(scripts)
    clients: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        state.connected.set()
        clients.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
                state.headers.append(headers)
                state.requests.append(json.loads(await reader.readexactly(int(headers["content-length"]))))
                for step in left.pop(0) if len(left) > 1 else left[0]:
                    match step:
                        case bytes():
                            writer.write(step)
                            await writer.drain()
                        case float() | int():
                            await asyncio.sleep(step)
                        case asyncio.Event():
                            await step.wait()
                        case "reset":
                            writer.get_extra_info("socket").setsockopt(
                                SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0)
                            )
                            writer.transport.abort()
                            return
                        case "close":
                            return
                        case "stall":
                            await reader.read()  # until the other side gives up
                            return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            state.hung_up.set()
            state.ended += 1
            clients.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    state.base_url = f"http://{host}:{port}/v1"
    async with server:
        yield state
        server.close()
        for writer in list(clients):  # uvloop's servers do not know theirs
            writer.close()
