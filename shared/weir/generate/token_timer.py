"""The longest wait between two tokens: one timer for a whole stream.

`asyncio.timeout` would be rescheduled twice for every chunk, once of it before the chunk goes out. Here a token only
notes the time, and the one timer looks whether that was long ago.
"""

import asyncio
from types import TracebackType
from typing import Self


class TokenTimer:
    """A context manager that ends its task's wait with TimeoutError, `limit_s` after the last `reset`.

    While `paused` nothing is late: the caller is slow then, and not the provider.
    """

    def __init__(self, limit_s: float) -> None:
        self.paused = False
        self._limit_s = limit_s
        self._late = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None, "a timer runs inside a task"
        self._task = task
        self._cancelling = task.cancelling()
        self._now_s = asyncio.get_running_loop().time
        self.reset()
        self._timer = asyncio.get_running_loop().call_later(self._limit_s, self._look)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        # As asyncio.timeout does: a cancellation that came from elsewhere meanwhile goes on.
        if self._late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def reset(self) -> None:
        """A token has come."""
        self._last_s = self._now_s()

    def limit(self, limit_s: float) -> None:
        """From now on wait so long, and no longer."""
        self._limit_s = limit_s
        self._timer.cancel()
        self.reset()
        self._timer = asyncio.get_running_loop().call_later(limit_s, self._look)

    def _look(self) -> None:
        now_s = self._now_s()
        due_s = (now_s if self.paused else self._last_s) + self._limit_s
        if due_s <= now_s:
            self._late = True
            self._task.cancel()
        else:
            self._timer = asyncio.get_running_loop().call_at(due_s, self._look)
