"""A function and its environments: which one takes an invocation, and when a new one starts.

An idle environment is used again, the last used first; when all are busy another one starts cold, up to the
function's reserved concurrency, beyond which the caller is throttled. Asynchronous invocations wait instead, and are
tried three times in all. https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..logs.log_groups import LogGroup
from ..sam.function import FunctionConfig
from .code import Placement
from .environment import Environment
from .invocation import FunctionError, Invocation

RETRY_DELAYS_S = (1.0, 2.0)  # Lambda waits one minute, then two


class Throttled(Exception):
    """All environments that the function may have are busy."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An asynchronous invocation that failed at every attempt."""

    payload: bytes
    error: FunctionError


class LambdaFunction:
    """Runs invocations of one function."""

    def __init__(
        self,
        config: FunctionConfig,
        placement: Placement,
        log: LogGroup,
        surroundings: Mapping[str, str],
        *,
        retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
    ) -> None:
        self.config = config
        self.log = log
        self.environments: list[Environment] = []
        self.dead_letters: list[DeadLetter] = []
        self._placement = placement
        self._new: Callable[[], Environment] = lambda: Environment(config, self._placement, log, surroundings)
        self._old: list[Environment] = []  # of code that has changed: they take no more invocations
        self._retry_delays_s = tuple(retry_delays_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._returned = asyncio.Event()  # an environment has become free
        self._closed = False

    def invoke(self, invocation: Invocation) -> Invocation:
        """Begin; what comes back is in `invocation.response`, whatever becomes of the caller. Raises Throttled."""
        environment, cold = self._reserve(invocation)
        self._spawn(self._run(environment, invocation, cold))
        return invocation

    def invoke_event(self, payload: bytes, request_id: str | None = None) -> str:
        """Invoke asynchronously; the request id, the same at every attempt."""
        request_id = request_id or Invocation(b"").request_id
        self._spawn(self._deliver(payload, request_id))
        return request_id

    @property
    def busy(self) -> bool:
        """Whether anything is running, or waiting to be tried (again)."""
        return bool(self._tasks)

    async def idle(self) -> None:
        """Wait until what runs now has ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def place(self, placement: Placement) -> None:
        """Run other code from now on; environments that are at work finish with theirs."""
        self._placement = placement
        old, self.environments = self.environments, []
        for environment in old:
            if environment.busy:
                self._old.append(environment)
            else:
                await environment.close()

    async def close(self) -> None:
        """Kill every environment; nothing runs afterwards."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(environment.close() for environment in (*self.environments, *self._old)))
        self.environments.clear()

    def _reserve(self, invocation: Invocation) -> tuple[Environment, bool]:
        limit = self.config.max_environments
        for environment in reversed(self.environments):
            if environment.free > 0:
                environment.reserve(invocation)
                # Used last, tried first next time.
                self.environments.remove(environment)
                self.environments.append(environment)
                return environment, False
        if limit is not None and len(self.environments) >= limit:
            raise Throttled(f"{self.config.name}: all {limit} environments are busy")
        environment = self._new()
        environment.reserve(invocation)
        self.environments.append(environment)
        return environment, True

    async def _run(self, environment: Environment, invocation: Invocation, cold: bool) -> None:
        try:
            error = await environment.start() if cold else None
            await environment.run(invocation, error)
        finally:
            invocation.response.end(FunctionError.of("ServiceException", "the local stack was shut down"))
            invocation.finished.set()
            if environment in self._old and not environment.busy and not self._closed:
                self._old.remove(environment)
                await environment.close()
            elif not environment.alive and not self._closed and environment in self.environments:
                self.environments.remove(environment)
                await environment.close()
            self._returned.set()

    async def _deliver(self, payload: bytes, request_id: str) -> None:
        for delay_s in (*self._retry_delays_s, None):
            invocation = await self._begin_when_free(payload, request_id)
            invocation.response.abandon()
            await invocation.finished.wait()
            error = invocation.response.error
            if error is None:
                return
            if delay_s is None:
                self.dead_letters.append(DeadLetter(payload, error))
                return
            await asyncio.sleep(delay_s)

    async def _begin_when_free(self, payload: bytes, request_id: str) -> Invocation:
        while True:
            self._returned.clear()
            try:
                return self.invoke(Invocation(payload, request_id=request_id))
            except Throttled:
                await self._returned.wait()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
