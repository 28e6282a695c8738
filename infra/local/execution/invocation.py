"""One invocation between whoever called and the environment that runs it.

The environment writes, the caller reads; between them lies a bounded buffer, so that a slow reader is felt by the
function. A caller that goes away (`abandon`) is not: Lambda runs and bills the function to its end.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from .prelude import Prelude

BUFFER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class FunctionError:
    """How an invocation failed: Lambda's error type and message, and the payload a caller gets."""

    kind: str
    message: str
    payload: bytes = b""
    trailing: bool = False  # told in trailers, after a response that for Lambda then is a success

    @classmethod
    def of(cls, kind: str, message: str) -> "FunctionError":
        """An error of the platform, in the payload's usual form."""
        return cls(kind, message, json.dumps({"errorType": kind, "errorMessage": message}).encode())

    @classmethod
    def of_exit(cls, status: int, request_id: str | None) -> "FunctionError":
        """The runtime's process has ended; negative for a signal, without a request during INIT."""
        text = "Runtime exited without providing a reason"
        if status:
            how = f"signal: {-status}" if status < 0 else f"exit status {status}"
            text = f"Runtime exited with error: {how}"
        return cls.of("Runtime.ExitError", f"RequestId: {request_id} Error: {text}" if request_id else text)

    @property
    def details(self) -> str:
        """The payload as text, for callers of streamed invocations."""
        return self.payload.decode(errors="replace")


class Response:
    """The body as it comes: written by the Runtime API, read once by the caller."""

    def __init__(self) -> None:
        self.mode = "buffered"
        self.content_type: str | None = None
        self.prelude: Prelude | None = None
        self.error: FunctionError | None = None
        self.began = asyncio.Event()  # the mode is known, or there will be no response
        self.prelude_known = asyncio.Event()
        self.ended = asyncio.Event()
        self.produced_bytes = 0
        self._parts: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._abandoned = False

    def begin(self, mode: str, content_type: str | None) -> None:
        """The runtime has begun to respond."""
        self.mode, self.content_type = mode, content_type
        self.began.set()

    def know_prelude(self, prelude: Prelude) -> None:
        self.prelude = prelude
        self.prelude_known.set()

    async def write(self, data: bytes) -> None:
        """Hand on a part. Waits while the reader is far behind; drops it if there is none any more."""
        self.produced_bytes += len(data)
        while self._waiting_bytes >= BUFFER_BYTES and not (self._abandoned or self.ended.is_set()):
            self._writable.clear()
            await self._writable.wait()
        if data and not (self._abandoned or self.ended.is_set()):
            self._parts.append(data)
            self._waiting_bytes += len(data)
            self._readable.set()

    def end(self, error: FunctionError | None = None) -> None:
        """No more parts will come; only the first call counts."""
        if not self.ended.is_set():
            self.error = error
            for event in (self.ended, self.began, self.prelude_known, self._readable, self._writable):
                event.set()

    async def parts(self) -> AsyncIterator[bytes]:
        """Parts as they arrive, until the end; then see `error`."""
        while True:
            while not self._parts and not self.ended.is_set():
                self._readable.clear()
                await self._readable.wait()
            if not self._parts:
                return
            data = self._parts.popleft()
            self._waiting_bytes -= len(data)
            self._writable.set()
            yield data

    async def body(self) -> bytes:
        """All of it."""
        return b"".join([part async for part in self.parts()])

    def abandon(self) -> None:
        """Nobody reads any more: what comes is thrown away."""
        self._abandoned = True
        self._parts.clear()
        self._waiting_bytes = 0
        self._writable.set()


@dataclass(slots=True)
class Invocation:
    """A payload on its way through a function."""

    payload: bytes
    function_arn: str = ""
    deadline_ms: int = 0  # since the epoch; known when the environment takes it
    client_context: str | None = None
    tenant_id: str | None = None
    trace_id: str | None = None
    request_id: str = field(default_factory=lambda: str(uuid4()))
    invocation_id: str = field(default_factory=lambda: str(uuid4()))
    response: Response = field(default_factory=Response)
    log_tail: deque[str] = field(default_factory=lambda: deque(maxlen=200))
    finished: asyncio.Event = field(default_factory=asyncio.Event)  # billed and reported
    report: dict[str, Any] = field(default_factory=dict)  # platform.report's record, once finished
