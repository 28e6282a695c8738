"""The hostile side of `tests.bench.hostile`, in a process of its own: a provider without end, and a caller without manners.

`python -m tests.bench.hostile_ends` prints its provider's port. Then each line on standard input is a command, answered by
one line: `[PORT, KIND, SECONDS, LIMIT, ACCEPT]` asks the service at PORT for what a kind does, again and again for so many
seconds, each for LIMIT at most, and answers how often, and how long each took at least, in ms.
"""

import asyncio
import gzip
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

MEGABYTE = 1_000_000
PAUSE_S = 0.2  # between two requests of one hostile caller
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n"


def _event(delta: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def _text(content: str) -> bytes:
    return _event({"content": content})


def _filled(start: bytes, piece: bytes, end: bytes) -> bytes:
    return start + piece * ((MEGABYTE - len(start) - len(end)) // len(piece)) + end


BODIES: dict[str, bytes] = {
    "objects": _filled(b'{"messages":[', b"{},", b"{}]}"),
    "turns": _filled(b'{"messages":[', b'{"role":"user","content":"x"},', b"{}]}"),
    "include": _filled(b'{"prompt":"x","include":[', b"0,", b"0]}"),
    "members": b"{" + b",".join(b'"member%d":1' % number for number in range(60_000)) + b"}",
    "tags": b'{"prompt":"x","tags":{' + b",".join(b'"tag %d":"x"' % n for n in range(55_000)) + b"}}",
    "depth": _filled(b'{"extra_body":', b"[", b""),
    "a number": _filled(b'{"prompt":"x","max_output_tokens":', b"9", b"}"),
    "escapes": _filled(b'{"prompt":"x","unknown":"', b"\\u0000", b'"}'),
    "no UTF-8": _filled(b'{"prompt":"', b"\xff\xfe", b'"}'),
    "no JSON": _filled(b'{"prompt":"x",', b" ", b"}"),
    "too large": b'{"prompt":"' + b"x" * 1_048_600 + b'"}',
}
"""Requests of a megabyte, each refused."""
_DOCUMENT = '{"title": "On streams", "slug": "on-streams", "summary": "Why.", "tags": ["a"], "sections": ['
_SECTION = (
    '{"heading": "Part", "content": "Tokens arrive one by one, and each can be shown.", "keywords": ["a"]},'
)
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "text": (b"", _text("word " * 20)),
    "large text": (b"", _text("word " * 10_000)),
    "thoughts": (b"", _event({"reasoning_content": "hm " * 30})),
    "comments": (b"", b": keep alive\n\n"),
    "one line": (b"data: ", b"x" * 1_000),
    "empty chunks": (b"", b'data: {"choices": []}\n\n'),
    "a document": (_text(_DOCUMENT), _text(_SECTION)),
    "wrong elements": (_text('{"tags": ['), _text("1, 2, 3, 4, 5, 6, 7, 8, ")),
    "blanks": (_text("{"), _text(" " * 100)),
    "depth": (_text('{"tags": '), _text("[" * 100)),
    "a string": (_text('{"title": "'), _text("word " * 100)),
    "tool calls": (b"", _event({"tool_calls": [{"index": 0, "function": {"arguments": "x" * 100}}]})),
    "a bomb": (b"", b"\0" * 10_000),
}
"""What a provider streams without end: the beginning, and what is repeated. With a document, one is asked for."""
DOCUMENTS = frozenset({"a document", "wrong elements", "blanks", "depth", "a string"})


def request(kind: str) -> bytes:
    """The body that asks for a kind; the prompt is what the provider goes by."""
    if kind in BODIES:
        return BODIES[kind]
    asked: dict[str, Any] = {"prompt": kind, "model": "hostile", "max_output_tokens": 1_000_000}
    if kind in DOCUMENTS:
        asked |= {"schema": "blog_post", "on_violation": "finish"}
    return json.dumps(asked).encode()


def http(port: int, body: bytes, accept: str) -> bytes:
    """The request's bytes."""
    return (
        f"POST /v1/generations HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\naccept: {accept}\r\n"
        f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


def _endless(kind: str) -> Iterator[bytes]:
    start, piece = ENDLESS[kind]
    block = piece * max(1, 65_536 // len(piece))
    if kind == "a bomb":
        yield HEAD + b"content-encoding: gzip\r\n\r\n"
        block = gzip.compress(piece * 5_000)
    else:
        yield HEAD + b"\r\n" + start
    while True:
        yield block


async def _provide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        kind = json.loads(await reader.readexactly(size))["messages"][-1]["content"]
        for block in _endless(kind):
            writer.write(block)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _ask(port: int, kind: str, accept: str, limit_s: float) -> float:
    """Milliseconds until the answer has ended, or the caller hung up; its bytes are read and thrown away."""
    data = http(port, request(kind), accept)
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(limit_s):
            writer.write(data)
            while await reader.read(1 << 20):
                pass
    except (ConnectionError, TimeoutError):
        pass  # a body that is too large is not read to its end
    finally:
        writer.close()
    return (time.perf_counter() - began) * 1e3


async def _main() -> None:
    provider = await asyncio.start_server(_provide, "127.0.0.1", 0)
    print(provider.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        port, kind, seconds, limit_s, accept = json.loads(line)
        until, took = time.monotonic() + seconds, []
        while not took or time.monotonic() < until:
            took.append(await _ask(port, kind, accept, limit_s))
            await asyncio.sleep(PAUSE_S)
        print(json.dumps([len(took), min(took)]), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
