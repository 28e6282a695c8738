"""How late the event loop is: the claim that validation does not stop it, checked in production.

One timer per process ticks while any request runs, and how much later than asked it fires is how long the loop was
held. Between invocations the process is frozen: nothing ticks then.
"""

import asyncio
from bisect import insort

TICK_S = 0.02


class LoopGap:
    """The lateness seen during one request; use as a context manager around it."""

    _active: set["LoopGap"] = set()
    _timer: asyncio.TimerHandle | None = None

    def __init__(self) -> None:
        self._sorted_ms: list[float] = []

    def __enter__(self) -> "LoopGap":
        LoopGap._active.add(self)
        if LoopGap._timer is None:
            LoopGap._schedule(asyncio.get_running_loop())
        return self

    def __exit__(self, *_: object) -> None:
        LoopGap._active.discard(self)
        if not LoopGap._active and LoopGap._timer is not None:
            LoopGap._timer.cancel()
            LoopGap._timer = None

    def as_json(self) -> dict[str, float] | None:
        """p99 and max in milliseconds, by the nearest rank; None before the first tick."""
        if not self._sorted_ms:
            return None
        rank = max(0, -(-len(self._sorted_ms) * 99 // 100) - 1)
        return {"p99": round(self._sorted_ms[rank], 3), "max": round(self._sorted_ms[-1], 3)}

    @classmethod
    def _schedule(cls, loop: asyncio.AbstractEventLoop) -> None:
        cls._timer = loop.call_at(due := loop.time() + TICK_S, cls._tick, loop, due)

    @classmethod
    def _tick(cls, loop: asyncio.AbstractEventLoop, due: float) -> None:
        late_ms = (loop.time() - due) * 1e3
        for gap in cls._active:
            insort(gap._sorted_ms, late_ms)
        cls._schedule(loop)
