"""Stop a generation that runs: in this process at once, in another one by a flag that it looks at.

On Lambda an environment serves one request at a time, so whoever stops lands in another one. Without an access table
there are no flags, and only what runs in this process can be stopped.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from weir.outcomes import Outcome
from weir.problems import Problem

if TYPE_CHECKING:
    from weir.access.stop_flags import StopFlags


MAX_ID_BYTES = 200  # longer is none of ours, and more than a table's key may have


class Stopping:
    """The generations of one process, by who may stop them, and the flags of all others."""

    def __init__(self, flags: "Callable[[], StopFlags] | None" = None) -> None:
        self._flags = flags
        self._running: dict[tuple[str, str], Callable[[], None]] = {}

    def begin(self, owner: str, request_id: str, stop: Callable[[], None]) -> asyncio.Task[None] | None:
        """A generation runs, and `stop` ends it; returns the task that looks at its flag, to be cancelled."""
        self._running[owner, request_id] = stop
        return asyncio.create_task(self._watch(owner, request_id, stop)) if self._flags is not None else None

    def end(self, owner: str, request_id: str) -> None:
        """It has ended by itself."""
        self._running.pop((owner, request_id), None)

    async def stop(self, owner: str, request_id: str) -> None:
        """Stop a generation. Raises Problem: 404 where none of this caller's runs; AccessStoreError."""
        if (stop := self._running.get((owner, request_id))) is not None:
            stop()
            return
        may_run = self._flags is not None and 0 < len(request_id.encode()) <= MAX_ID_BYTES
        if self._flags is None or not may_run or not await self._flags().stop(owner, request_id):
            raise Problem(
                Outcome.BAD_REQUEST,
                f"id: expected a generation of this caller that runs, got {request_id[:64]!r}",
                status=404,
                title="Not found",
            )

    async def _watch(self, owner: str, request_id: str, stop: Callable[[], None]) -> None:
        assert self._flags is not None
        await self._flags().raised(owner, request_id)
        stop()
