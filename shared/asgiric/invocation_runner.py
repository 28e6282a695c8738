"""One invocation: the application's task, its deadline, and the one answer that Lambda gets.

Decided here: when the task is cancelled, and what is answered for it. At `margin` before the deadline, or at
SIGTERM, `context.cancelled_by` is set and the task is cancelled once; it may still send its last words. Is it
not done by the end of a grace, or was it cancelled in the middle of a large part, the response is ended in its place,
with error trailers. Every timer is set
from Lambda's wall-clock deadline and looks at that clock again when it fires, and none outlives the
invocation: a freeze can neither trigger one late nor move a deadline.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from asgiric.asgi import Cycle, State
from asgiric.connection import ConnectionLost
from asgiric.context import LambdaContext
from asgiric.errors import ApplicationError
from asgiric.events import UnknownEventSource, read_event
from asgiric.failure import Failure
from asgiric.log import write_failure, write_log
from asgiric.response_writer import BufferedWriter, ResponseWriter, StreamedWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asgiric.asgi import Application
    from asgiric.events import Request
    from asgiric.runtime_api import Invocation, RuntimeApi
    from asgiric.settings import Settings

# What is left for the answer itself: at the deadline Lambda sends SIGKILL.
ANSWER_MS = 300
# From SIGTERM to SIGKILL are about 300 ms; the rest is for the answer, lifespan and exit.
SHUTDOWN_GRACE_MS = 200
# A task that was cancelled for the second time gets so long to notice.
_LAST_CHANCE_S = 0.05
_UNFINISHED = (State.WAITING, State.STREAMING, State.MIDWAY)


class StuckApplication(ApplicationError):
    """The application's task ignored its cancellation; it would run on into the next invocation."""


class InvocationRunner:
    """Serves one invocation."""

    def __init__(
        self,
        application: Application,
        api: RuntimeApi,
        invocation: Invocation,
        settings: Settings,
        environ: Mapping[str, str],
        state: Mapping[str, Any],
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives seconds since the epoch."""
        self._application = application
        self._api = api
        self._invocation = invocation
        self._settings = settings
        self._environ = environ
        self._state = state
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()  # the task has ended, or is given up
        self._timers: list[asyncio.TimerHandle] = []
        self._context: LambdaContext | None = None
        self._task: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Run the application and answer.

        Raises RuntimeApiError on a container error, StuckApplication when the task cannot be ended.
        """
        try:
            request = read_event(self._invocation.body, self._settings.direct_path)
        except UnknownEventSource as error:
            failure = Failure.of_runtime("UnknownEventSource", str(error))
            write_failure("the event is refused", failure, self._invocation.request_id)
            await self._api.post_error(self._invocation, failure)
            return
        if request.doubt is not None:
            text = f"the event is taken for a direct invoke's document: {request.doubt}"
            write_log("WARN", text, self._invocation.request_id)
        self._context = LambdaContext(self._invocation, self._environ, self._clock)
        cycle = Cycle(request.method, request.body)
        writer = self._writer(request, cycle)
        cycle.connect(writer)
        cancel_at_ms = self._cancel_at_ms()
        # Begun at once instead of at the loop's next turn: a response starts some 20 us earlier. No timer could
        # fire before the application first waits, so they are set after that.
        running = self._run(request.scope(self._context, self._state), cycle)
        self._task = asyncio.Task(running, loop=self._loop, eager_start=True)
        self._watch_deadline(cancel_at_ms)
        try:
            await self._over
            await self._answer(cycle, writer)
        finally:
            for timer in self._timers:
                timer.cancel()

    def cancel(self, reason: Literal["deadline", "shutdown"]) -> None:
        """Cancel the application's task, once; the grace after it is what deadline or shutdown leaves."""
        if self._context is None or self._task is None or self._task.done():
            return
        grace_ms = self._context.deadline_ms - self._clock() * 1000 - self._answer_ms()
        if reason == "shutdown":
            grace_ms = min(grace_ms, SHUTDOWN_GRACE_MS)
        self._timers.append(self._loop.call_later(max(0.0, grace_ms / 1000), self._end_wait))
        if self._context.cancelled_by is None:
            self._context.cancelled_by = reason
            self._task.cancel()

    def _writer(self, request: Request, cycle: Cycle) -> ResponseWriter:
        if request.streams and not self._settings.buffered:
            return StreamedWriter(self._api, self._invocation, request.response_format, cycle.close)
        return BufferedWriter(self._api, self._invocation, request.response_format)

    async def _run(self, scope: dict[str, Any], cycle: Cycle) -> None:
        try:
            await self._application(scope, cycle.receive, cycle.send)
        finally:
            self._end_wait()  # who waits goes on in the loop's next turn, when this task has ended

    def _cancel_at_ms(self) -> float:
        deadline_ms = self._invocation.deadline_ms
        left_ms = deadline_ms - self._clock() * 1000
        margin_ms = self._settings.deadline_margin_ms
        # A function whose whole timeout is shorter than the margin still gets half of it.
        return deadline_ms - (margin_ms if margin_ms < left_ms else left_ms / 2)

    def _answer_ms(self) -> float:
        return min(ANSWER_MS, self._settings.deadline_margin_ms / 2)

    def _watch_deadline(self, cancel_at_ms: float) -> None:
        left_s = cancel_at_ms / 1000 - self._clock()
        if left_s > 0:
            self._timers[:] = [self._loop.call_later(left_s, self._watch_deadline, cancel_at_ms)]
        else:
            self.cancel("deadline")

    def _end_wait(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    async def _answer(self, cycle: Cycle, writer: ResponseWriter) -> None:
        failure = self._failure(cycle)
        if failure is not None:
            write_failure("the application failed", failure, self._invocation.request_id)
            if cycle.state in _UNFINISHED:
                cycle.close()
                try:
                    await writer.fail(failure)
                except ConnectionLost as error:
                    write_log("ERROR", f"the failure could not be told: {error}", self._invocation.request_id)
        await writer.wait_for_ack()
        await self._end_task()

    def _failure(self, cycle: Cycle) -> Failure | None:
        assert self._task is not None and self._context is not None, "an answer follows a run"
        # Last words that found no place behind half a part are no failure of their own.
        cut_off = cycle.state is State.MIDWAY and self._context.cancelled_by is not None
        if not self._task.done() or self._task.cancelled() or cut_off:
            if cycle.state is State.COMPLETE and self._task.done():
                return None  # background work, cancelled as announced
            reason = {"deadline": "DeadlineExceeded", "shutdown": "Shutdown", None: "Cancelled"}
            done = "ended" if self._task.done() else "had to be given up"
            return Failure.of_function(
                reason[self._context.cancelled_by],
                f"the application {done} after its cancellation by {self._context.cancelled_by or 'itself'}",
            )
        error = self._task.exception()
        if error is not None:
            return Failure.of_exception(error)
        if cycle.state in _UNFINISHED:
            due = "http.response.start" if cycle.state is State.WAITING else "the last http.response.body"
            return Failure.of_function("IncompleteResponse", f"the application returned without {due}")
        return None

    async def _end_task(self) -> None:
        assert self._task is not None, "a task is ended after it was begun"
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=_LAST_CHANCE_S)
        if not self._task.done():
            raise StuckApplication(f"the task of {self._invocation.request_id} ignored two cancellations")
        if not self._task.cancelled():
            self._task.exception()  # seen: it was reported, or came after the answer
