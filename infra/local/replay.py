"""Recorded response bodies served again over HTTP, cut into chunks where the network never cut them.

Bytes are sent exactly as recorded: a decoder is judged by what providers really sent, at chunk boundaries of
our choosing. Each piece is one chunk of the chunked transfer coding (RFC 9112, 7.1), which an HTTP client
hands on as one piece even when TCP joins several. The model of the request names the recording, the base URL
the chunking: `whole`, `lines`, `N` (bytes) or `random-SEED` (1 to 400 bytes).
"""

import asyncio
import json
import random
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

_HEAD = (
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    "transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)
_LONGEST_RANDOM_BYTES = 400


def cut(body: bytes, chunking: str) -> Iterator[bytes]:
    """The body in pieces. Raises ValueError for a chunking it does not know."""
    if chunking == "whole":
        yield body
    elif chunking == "lines":
        yield from body.splitlines(keepends=True)
    elif chunking.startswith("random-"):
        source = random.Random(chunking)
        start = 0
        while start < len(body):
            end = start + source.randint(1, _LONGEST_RANDOM_BYTES)
            yield body[start:end]
            start = end
    elif chunking.isdecimal() and int(chunking) > 0:
        size = int(chunking)
        yield from (body[start : start + size] for start in range(0, len(body), size))
    else:
        raise ValueError(
            f"chunking: expected whole, lines, random-SEED or a number of bytes, got {chunking!r}"
        )


class Replay:
    """An HTTP server on loopback that answers POST /{chunking}/v1/chat/completions with the recording named
    as model.

    It lives in the running loop. Leaving the context closes every connection.
    """

    def __init__(self, recordings: Mapping[str, bytes]) -> None:
        self._recordings = recordings
        self._server: asyncio.Server | None = None
        self._port = 0
        self._open: set[asyncio.StreamWriter] = set()

    def base_url(self, chunking: str) -> str:
        """The base URL whose answers are cut in this way; ends with /v1."""
        return f"http://127.0.0.1:{self._port}/{chunking}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ", 2)[1]
            length = next(
                int(line.split(":")[1])
                for line in head.split("\r\n")
                if line.lower().startswith("content-length:")
            )
            model = json.loads(await reader.readexactly(length))["model"]
            writer.write(_HEAD.encode())
            for piece in cut(self._recordings[model], path.split("/")[1]):
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The reader had enough: after [DONE] a client may close at once.
        finally:
            self._open.discard(writer)
            writer.close()
