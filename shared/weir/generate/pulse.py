"""Something done every so often while a request runs: a timer, and a task only once it fires.

Most requests end before: they should not pay for a task that is begun, put to sleep and cancelled.
"""

import asyncio
from collections.abc import Awaitable, Callable


class Pulse:
    """Awaits `beat()` each time `every_s` have passed since the last one ended, until it is cancelled."""

    def __init__(self, every_s: float, beat: Callable[[], Awaitable[None]]) -> None:
        self._every_s = every_s
        self._beat = beat
        self._task: asyncio.Task[None] | None = None
        self._wait()

    def cancel(self) -> None:
        """Beat no more; a beat under way is cancelled."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        await self._beat()
        self._wait()
