"""One execution environment: a runtime's process from cold start to its end.

Decided here, as Lambda does it:
- INIT lasts from the process's start to its first /next, at most 10 s; the first invocation's report carries it.
- An invocation lasts from its delivery to the runtime's next /next. Then the process is frozen until the next one.
- At the function's timeout the process is killed; after that, or after it ends by itself, the environment is gone.
- Deadline headers come from the wall clock, durations from a monotonic one.
Not as on Lambda: memory and CPU are not limited, /tmp is the machine's, and an INIT that fails is not tried again.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

from ..logs import platform_log
from ..logs.log_groups import LogGroup
from ..logs.platform_log import Timeline
from ..sam.function import FunctionConfig
from ..sam.variables import command, variables
from .code import Placement
from .environment_log import EnvironmentLog
from .invocation import FunctionError, Invocation
from .process import Process
from .runtime_api import RuntimeApi
from .runtime_protocol import RuntimeProtocol

INIT_TIMEOUT_S = 10.0
_RUNTIME = "python:3.13"


class Environment:
    """A process of the function, and its Runtime API.

    `surroundings` are variables beside the function's own: credentials, endpoints.
    """

    def __init__(
        self, function: FunctionConfig, placement: Placement, log: LogGroup, surroundings: Mapping[str, str]
    ) -> None:
        self.function = function
        self.stream = f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{uuid4().hex}"
        self._active: dict[str, Invocation] = {}
        self._log = EnvironmentLog(log, self.stream, function.system_log_level, self._active)
        self.init_ms: float | None = None
        self.frozen = False
        self.api = RuntimeApi(RuntimeProtocol(function.max_concurrency), self, self._log.refusal)
        self._placement = placement
        self._surroundings = surroundings
        self._process: Process | None = None
        self._exit: asyncio.Future[int] | None = None
        self._queue: asyncio.Queue[Invocation] = asyncio.Queue()
        self._done: dict[str, asyncio.Event] = {}
        self._asked = asyncio.Event()  # the first /next has come
        self._init_error: FunctionError | None = None
        self._init_reported = False

    # ---- life

    @property
    def alive(self) -> bool:
        """Whether it can take an invocation, now or when it is done with what it has."""
        return self._exit is not None and not self._exit.done() and self._init_error is None

    @property
    def busy(self) -> bool:
        """Whether it is at work on an invocation, or about to be."""
        return bool(self._active)

    @property
    def free(self) -> int:
        """How many more invocations it takes now; none before its INIT is over."""
        return (
            self.function.max_concurrency - len(self._active)
            if self.alive and self.init_ms is not None
            else 0
        )

    @property
    def process_id(self) -> int:
        assert self._process is not None, "expected an environment that has been started"
        return self._process.id

    async def start(self) -> FunctionError | None:
        """INIT. The error, if the runtime did not come to its first /next."""
        await self.api.start()
        at_s = time.time()
        self._log.platform("initStart", at_s, platform_log.init_start(_RUNTIME, self.function.name))
        self._process = await Process.start(
            self._placement,
            command(self.function, self._placement),
            variables(self.function, self._placement, self.api.address, self.stream, self._surroundings),
            self._log.output,
        )
        self._exit = asyncio.ensure_future(self._process.wait())
        error = await self._first_next()
        now_s = asyncio.get_running_loop().time()
        self.init_ms = round((now_s - self._process.started_s) * 1000, 3)
        self._process.read_lines()
        status, kind = ("success", None) if error is None else ("error", error.kind)
        self._log.platform("initRuntimeDone", time.time(), platform_log.init_end(status, kind))
        self._log.platform("initReport", time.time(), platform_log.init_end(status, kind, self.init_ms))
        return error

    async def _first_next(self) -> FunctionError | None:
        assert self._exit is not None and self._process is not None
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait(
                (asked, self._exit), timeout=INIT_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            asked.cancel()
        if self._asked.is_set() and self._init_error is None:
            return None
        if self._init_error is None and not self._exit.done():
            self._process.kill()
            return FunctionError.of("Sandbox.Timedout", f"INIT did not end within {INIT_TIMEOUT_S:g} seconds")
        # A runtime that told of its error ends by itself, or is ended.
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await asyncio.shield(self._exit)
        self._process.kill()
        status = await self._exit
        return self._init_error or FunctionError.of_exit(status, None)

    async def close(self) -> None:
        """Kill what runs; what it was answering ends with an error."""
        if self._process is not None and self._exit is not None:
            self._process.kill()
            await self._exit
            self._process.close()
        await self.api.close()

    # ---- an invocation

    def reserve(self, invocation: Invocation) -> None:
        """Take a place for an invocation that `run` will bring."""
        self._active[invocation.request_id] = invocation

    async def run(self, invocation: Invocation, init_error: FunctionError | None) -> None:
        """One invocation, from platform.start to platform.report; `init_error` is what `start` gave."""
        loop, wall_s = asyncio.get_running_loop(), time.time()
        request_id = invocation.request_id
        invocation.function_arn = self.function.arn
        invocation.deadline_ms = int((wall_s + self.function.timeout_s) * 1000)
        done = self._done[request_id] = asyncio.Event()
        start = {"requestId": request_id, "version": "$LATEST"}
        self._log.platform("start", wall_s, start, invocation)
        times = Timeline(loop.time())
        watch = asyncio.ensure_future(self._watch(invocation, times))
        status, error = "success", init_error
        try:
            if error is None:
                self._thaw()
                self._queue.put_nowait(invocation)
                error, status = await self._outcome(invocation, done)
        finally:
            watch.cancel()
            times.done_s = loop.time()
        if status == "timeout":
            # Lambda bills the timeout, not what killing took.
            times.done_s = min(times.done_s, times.start_s + self.function.timeout_s)
        if error is not None and status == "success":
            status = "error"
        self._finish(invocation, status, error, times, wall_s)
        invocation.response.end(error)
        invocation.finished.set()

    async def _outcome(self, invocation: Invocation, done: asyncio.Event) -> tuple[FunctionError | None, str]:
        """Wait until it is done, too late or dead: the error, if it is not the response's own, and the status."""
        assert self._exit is not None and self._process is not None
        finished = asyncio.ensure_future(done.wait())
        try:
            await asyncio.wait(
                (finished, self._exit), timeout=self.function.timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            finished.cancel()
        if done.is_set():
            own = invocation.response.error
            return None, "success" if own is None or own.trailing else "error"
        if not self._exit.done():
            self._process.kill()
            await self._exit
            text = f"Task timed out after {self.function.timeout_s:.2f} seconds"
            message = f"RequestId: {invocation.request_id} Error: {text}"
            # As Lambda writes it, time first: what people search for.
            self._log.line(f"{platform_log.instant(time.time())} {invocation.request_id} {text}", invocation)
            return FunctionError.of("Sandbox.Timedout", message), "timeout"
        return FunctionError.of_exit(await self._exit, invocation.request_id), "error"

    async def _watch(self, invocation: Invocation, times: Timeline) -> None:
        """Note when the response's first and last byte came."""
        loop = asyncio.get_running_loop()
        await invocation.response.began.wait()
        times.first_byte_s = loop.time()
        await invocation.response.ended.wait()
        times.last_byte_s = loop.time()

    def _finish(
        self, invocation: Invocation, status: str, error: FunctionError | None, times: Timeline, wall_s: float
    ) -> None:
        assert self._process is not None
        self._process.read_lines()
        error = error or invocation.response.error
        kind = error.kind if error is not None and status != "success" else None
        del self._active[invocation.request_id], self._done[invocation.request_id]
        memory_mb = self._process.peak_memory_mb()
        self._freeze()
        done = platform_log.runtime_done(
            invocation.request_id, status, kind, times, wall_s, invocation.response.produced_bytes
        )
        self._log.platform("runtimeDone", time.time(), done, invocation)
        init_ms = None if self._init_reported else self.init_ms
        self._init_reported = True
        duration_ms = times.duration_ms
        metrics = platform_log.metrics(duration_ms, init_ms, self.function.memory_mb, memory_mb)
        if self.function.max_concurrency > 1:
            metrics = {"durationMs": duration_ms}  # Managed Instances are billed by the instance
        invocation.report = platform_log.report(invocation.request_id, status, kind, metrics)
        self._log.platform("report", time.time(), invocation.report, invocation)

    def _freeze(self) -> None:
        if not self._active and self.alive and not self.frozen:
            assert self._process is not None
            self._process.freeze()
            self.frozen = True

    def _thaw(self) -> None:
        if self.frozen:
            assert self._process is not None
            self.frozen = False
            self._process.thaw()

    # ---- what the Runtime API asks (runtime_api.Host)

    async def next_invocation(self) -> Invocation:
        self._asked.set()
        if self.function.max_concurrency == 1:
            # Asking for the next one says that the last one is over, and how it ended is known or about to be.
            for request_id, done in list(self._done.items()):
                await self._active[request_id].response.ended.wait()
                done.set()
        return await self._queue.get()

    def invocation(self, request_id: str) -> Invocation:
        return self._active[request_id]

    def answered(self, invocation: Invocation) -> None:
        if self.function.max_concurrency > 1:
            self._done[invocation.request_id].set()

    async def broke_off(self, invocation: Invocation) -> None:
        assert self._exit is not None
        # Mostly because the process has ended: that is then the reason, and `run` tells it.
        await asyncio.wait((self._exit,), timeout=0.5)
        if not self._exit.done():
            text = "the runtime hung up in the middle of its response"
            invocation.response.end(FunctionError.of("Runtime.TruncatedResponse", text))
            self.answered(invocation)

    def init_failed(self, error: FunctionError) -> None:
        self._init_error = error
        self._asked.set()
