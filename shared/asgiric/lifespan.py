"""The application's lifespan: startup while Lambda initialises, shutdown on SIGTERM.

Decided here: an application that raises before it answers `lifespan.startup` does not support lifespan,
which is no error; one that answers `lifespan.startup.failed` ends the process, and so does a handler whose call
gives nothing to await, since then it is no ASGI application. The specification is
https://asgi.readthedocs.io/en/latest/specs/lifespan.html.
"""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from asgiric.failure import Failure
from asgiric.handler import InitError, not_asgi
from asgiric.log import write_failure

if TYPE_CHECKING:
    from asgiric.asgi import Application, Message


class Lifespan:
    """Runs the application's lifespan call in a task beside the requests; `state` is copied into each scope."""

    def __init__(self, application: Application, handler: str) -> None:
        """`handler` is the application's name, for messages."""
        self._handler = handler
        self.state: dict[str, Any] = {}
        self._application = application
        self._to_application: asyncio.Queue[Message] = asyncio.Queue()
        self._startup: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        self._shutdown_done = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Returns when the application is ready. Raises InitError when it says that it failed, or is none."""
        self._to_application.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.create_task(self._run())
        failure = await self._startup
        if failure is not None:
            raise InitError(failure)

    async def shutdown(self, timeout_s: float) -> None:
        """Let the application clean up, for `timeout_s` at most."""
        if self._task is None or self._task.done():
            return
        self._to_application.put_nowait({"type": "lifespan.shutdown"})
        waiter = asyncio.create_task(self._shutdown_done.wait())
        await asyncio.wait((self._task, waiter), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        self._task.cancel()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            running: object = self._application(scope, self._to_application.get, self._send)
            if isawaitable(running):
                await running
            else:
                got = f"a call that gave {type(running).__name__} {running!r:.80}"
                self._startup.set_result(not_asgi(self._handler, got))
        except Exception as error:
            if self._startup.done():
                write_failure("the application's lifespan failed", Failure.of_exception(error))
        finally:
            if not self._startup.done():
                self._startup.set_result(None)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete" and not self._startup.done():
            self._startup.set_result(None)
        elif kind == "lifespan.startup.failed" and not self._startup.done():
            problem = message.get("message") or "the application's startup failed"
            self._startup.set_result(Failure.of_function("LifespanStartupFailed", problem))
        elif kind == "lifespan.shutdown.failed":
            failure = Failure.of_function("LifespanShutdownFailed", message.get("message", ""))
            write_failure("the application's shutdown failed", failure)
            self._shutdown_done.set()
        elif kind == "lifespan.shutdown.complete":
            self._shutdown_done.set()
