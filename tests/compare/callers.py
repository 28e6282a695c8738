"""The callers: one connection a request, and the instants at which something of the answer came.

Raw asyncio protocols, since a client library would cost more than some of the servers. An answer is read by markers:
the first text, the first part that its server has validated, and how it ended.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from tests.compare.documents import PROMPT, WRONG, Size, response_format_json, wrong

_TAIL_BYTES = 4096
_GAP = re.compile(rb'"event_loop_gap_ms":\{"p99":[\d.]+,"max":([\d.]+)\}')


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a variant is asked, and how its answer is read; `first` None is an answer that comes whole.

    `validated` is the mark of the first part that was validated before it was sent; None: the caller has to do that
    when it has everything.
    """

    path: str = "/v1/generations"
    extra: dict[str, object] = field(default_factory=dict)
    headers: str = ""
    first: re.Pattern[bytes] | None = None
    validated: bytes | None = None
    right: bytes = b'"conclusion"'
    wrong: bytes = b"sections"

    def body(self, model: str) -> bytes:
        """The request."""
        if "messages" in self.extra:
            return json.dumps({**self.extra, "model": model}).encode()
        return json.dumps({"prompt": PROMPT, **self.extra, "model": model}).encode()


BUFFERED = Dialect()
STREAMED = Dialect(
    first=re.compile(rb"event: delta"), validated=b"event: done", right=b"event: done", wrong=b"event: error"
)
OURS = Dialect(
    extra={"schema": "blog_post", "max_output_tokens": 200_000},  # of 400 KB a usual cap would be the end
    first=re.compile(rb"event: delta"),
    validated=b"event: value",
    right=b'"outcome":"ok"',
    wrong=b'"outcome":"invalid_output"',
)


def openai_dialect(key: str) -> Dialect:
    """Chat Completions, as the OpenAI SDK asks; its caller validates."""
    asked: dict[str, object] = {
        "messages": [{"role": "user", "content": PROMPT}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "response_format": response_format_json(),
    }
    headers = f"authorization: Bearer {key}\r\n"
    return Dialect("/v1/chat/completions", asked, headers, re.compile(rb'"content": ?"[^"]'), None, b"[DONE]", b"[DONE]")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's times in seconds since it was begun; None is what did not come."""

    wrong: bool  # whether it was given a wrong document
    as_expected: bool
    first_s: float | None = None
    validated_s: float | None = None
    last_s: float | None = None
    pause_s: float | None = None  # the longest between two parts of it
    loop_gap_ms: float | None = None  # what the server itself says of its loop
    said: str = ""  # the end of an answer that was not as expected


class _Reader(asyncio.Protocol):
    """Reads one answer to its end."""

    def __init__(
        self, dialect: Dialect, is_wrong: bool, request: bytes, on_first: Callable[[], None]
    ) -> None:
        self._dialect = dialect
        self._mark = dialect.wrong if is_wrong else dialect.right
        self._request = request
        self._on_first = on_first
        self._head = b""
        self._in_body = False
        self.tail = b""
        self.status = b""
        self.ended = False  # as expected
        self.first_s: float | None = None
        self.validated_s: float | None = None
        self.last_s: float | None = None
        self.pause_s = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)  # uvloop's are of no class of asyncio's

    def data_received(self, data: bytes) -> None:
        now_s = time.perf_counter()
        if not self._in_body:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self.status, self._in_body = head[9:12], True
            if not data:
                return
        if self.last_s is not None:
            self.pause_s = max(self.pause_s, now_s - self.last_s)
        self.last_s = now_s
        # A mark that two reads cut is found in both together.
        window = self.tail + data
        dialect = self._dialect
        if self.first_s is None and (dialect.first is None or dialect.first.search(window)):
            self.first_s = now_s
            self._on_first()
        if self.validated_s is None and dialect.validated is not None and dialect.validated in window:
            self.validated_s = now_s
        self.ended = self.ended or self._mark in window
        self.tail = window[-_TAIL_BYTES:]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def ask(
    port: int,
    dialect: Dialect,
    size: Size,
    number: int,
    timeout_s: float,
    on_first: Callable[[float], object] = lambda _: None,
) -> Answer:
    """The `number`th request of many, from the connection to the last byte; `on_first` is told the seconds until the
    first text the moment it comes."""
    is_wrong = wrong(number)
    body = dialect.body(size.name + (WRONG if is_wrong else ""))
    request = (
        f"POST {dialect.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{dialect.headers}"
        f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    begun_s = time.perf_counter()
    reader = _Reader(dialect, is_wrong, request, lambda: on_first(time.perf_counter() - begun_s))
    transport: asyncio.Transport | None = None
    try:
        async with asyncio.timeout(timeout_s):
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: reader, "127.0.0.1", port
            )
            await reader.closed
    except TimeoutError:
        return Answer(is_wrong, False, said=f"no end within {timeout_s:g} s")
    except OSError as error:
        return Answer(is_wrong, False, said=str(error))
    finally:
        if transport is not None:
            transport.abort()

    def since(instant_s: float | None) -> float | None:
        return None if instant_s is None else instant_s - begun_s

    status = b"422" if is_wrong and dialect.first is None else b"200"
    as_expected = reader.ended and reader.status == status
    # What comes whole has been validated whole; what nobody validates is the caller's to validate, at its end.
    whole = dialect.first is None or dialect.validated is None
    gap = _GAP.search(reader.tail)
    return Answer(
        is_wrong,
        as_expected,
        since(reader.first_s),
        since(reader.last_s if whole else reader.validated_s),
        since(reader.last_s),
        reader.pause_s,
        float(gap[1]) if gap else None,
        "" if as_expected else f"{reader.status.decode()} {reader.tail[-300:].decode(errors='replace')}",
    )
