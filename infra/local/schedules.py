"""EventBridge's schedules, as far as rates go: an asynchronous invocation after each interval, as long as this runs."""

import asyncio
from collections.abc import Callable

from .sam.function import Schedule


class Ticking:
    """Delivers one schedule's payload to `deliver` every interval, first when one has passed."""

    def __init__(self, schedule: Schedule, deliver: Callable[[bytes], object]) -> None:
        self._schedule = schedule
        self._deliver = deliver
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Deliver nothing more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._schedule.every_s)
            self._deliver(self._schedule.payload.encode())
