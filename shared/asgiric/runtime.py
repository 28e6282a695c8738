"""The life of the process: load, start up, poll, shut down; and its exit status.

Decided here: 0 after SIGTERM, 1 when initialisation failed or the Runtime API or the application left no way
on, 64 and 65 around a snapshot. One event loop serves everything; with AWS_LAMBDA_MAX_CONCURRENCY=N (Lambda
Managed Instances) N tasks poll, each over a connection of its own, where awslambdaric forks N processes.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from typing import TYPE_CHECKING

from asgiric.failure import Failure
from asgiric.handler import InitError, load_application
from asgiric.invocation_runner import SHUTDOWN_GRACE_MS, InvocationRunner, StuckApplication
from asgiric.lifespan import Lifespan
from asgiric.log import write_failure, write_log
from asgiric.runtime_api import RuntimeApi, RuntimeApiError
from asgiric.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from asgiric.asgi import Application

# The lifespan's part of the 300 ms between SIGTERM and SIGKILL.
_LIFESPAN_GRACE_S = 0.05


class Runtime:
    """Serves an application until SIGTERM or a fatal error."""

    def __init__(
        self,
        application: Application,
        settings: Settings,
        environ: MutableMapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives seconds since the epoch; `environ` gets each invocation's trace id while N is 1."""
        self._application = application
        self._settings = settings
        self._environ = environ
        self._function: dict[str, str] = {}
        self._clock = clock
        self._lifespan = Lifespan(application, settings.handler)
        self._stopping = asyncio.Event()
        self._serving: dict[asyncio.Task[None], InvocationRunner] = {}

    async def run(self) -> int:
        """Start up, serve, shut down; the exit status."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stopping.set)
        api = RuntimeApi(self._settings.runtime_api)
        try:
            await self._lifespan.startup()
        except InitError as error:
            return await report_init_error(api, error.failure)
        # What is alive now stays alive: the collector need not walk it again, nor a snapshot copy it.
        gc.freeze()
        if self._settings.snap_start:
            from asgiric import snapstart  # most functions are not snapshots

            status = await snapstart.snapshot_and_restore(api)
            if status:
                return status
        gc.enable()
        # A copy for the contexts, taken after any restore: os.environ decodes what it is asked for each time.
        self._function = dict(self._environ)
        status = await self._serve(api)
        await self._lifespan.shutdown(_LIFESPAN_GRACE_S)
        return status

    async def _serve(self, api: RuntimeApi) -> int:
        apis = [
            api,
            *(RuntimeApi(self._settings.runtime_api) for _ in range(self._settings.max_concurrency - 1)),
        ]
        stop = asyncio.create_task(self._stopping.wait())
        pollers = [asyncio.create_task(self._poll(api)) for api in apis]
        await asyncio.wait((stop, *pollers), return_when=asyncio.FIRST_COMPLETED)
        if not self._stopping.is_set():
            for poller in pollers:
                if poller.done() and (error := poller.exception()):
                    write_failure(f"the runtime ends: {error}", Failure.of_exception(error), level="FATAL")
            return 1
        for runner in self._serving.values():
            runner.cancel("shutdown")
        if self._serving:
            await asyncio.wait(self._serving, timeout=SHUTDOWN_GRACE_MS / 1000 + _LIFESPAN_GRACE_S)
        return 0

    async def _poll(self, api: RuntimeApi) -> None:
        poller = asyncio.current_task()
        assert poller is not None, "polling is a task"
        while not self._stopping.is_set():
            invocation = await api.next_invocation()
            runner = InvocationRunner(
                self._application,
                api,
                invocation,
                self._settings,
                self._function,
                self._lifespan.state,
                self._clock,
            )
            self._serving[poller] = runner
            try:
                if self._settings.max_concurrency == 1:
                    # Where X-Ray's SDK and Powertools look; concurrent requests have `context.trace_id` alone.
                    self._environ["_X_AMZN_TRACE_ID"] = invocation.trace_id or ""
                await runner.serve()
            except RuntimeApiError:
                raise
            except StuckApplication as error:
                if self._settings.max_concurrency == 1:
                    raise  # a new process, as after a timeout, rather than two requests in one
                write_log("ERROR", str(error), invocation.request_id)
            except Exception as error:
                # A fault of our own is this invocation's error: it must not cost the others of this process.
                failure = Failure.of_exception(error)
                write_failure("the runtime failed", failure, invocation.request_id)
                api.close()  # a request may stand half-written
                await api.post_error(invocation, failure)
            finally:
                del self._serving[poller]
                sys.stdout.flush()  # what the application printed, before a freeze


async def report_init_error(api: RuntimeApi, failure: Failure) -> int:
    """Tell log and Lambda that initialisation failed; the exit status."""
    write_failure("initialisation failed", failure)
    try:
        await api.post_init_error(failure)
    except RuntimeApiError as error:
        write_log("FATAL", f"the initialisation's failure could not be told: {error}")
    return 1


async def _run(
    application: Application | InitError, settings: Settings, environ: MutableMapping[str, str]
) -> int:
    if isinstance(application, InitError):
        return await report_init_error(RuntimeApi(settings.runtime_api), application.failure)
    status = await Runtime(application, settings, environ).run()
    # Whatever the application left running gets one turn to notice, but cannot keep the process.
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=0.02)
    return status


def main(environ: MutableMapping[str, str]) -> int:
    """Serve the application that the environment names; the process's exit status."""
    try:
        settings = Settings.from_environ(environ)
    except SettingsError as error:
        write_log("FATAL", str(error))
        return 1
    # Imported before there is a loop: modules may use asyncio.run while they are imported.
    application: Application | InitError
    try:
        application = load_application(settings.handler)
    except InitError as error:
        application = error
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_run(application, settings, environ))
    finally:
        sys.stdout.flush()
