"""CloudWatch Logs in memory: groups of events, in the order in which they came.

Readers wait for events instead of polling; subscribers hear of each event as it is written.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_ids = itertools.count(time.time_ns() << 60)


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line. `timestamp_ms` since the epoch; ids are unique and grow, as CloudWatch's do."""

    id: str
    timestamp_ms: int
    message: str
    stream: str

    @property
    def record(self) -> dict[str, Any] | None:
        """The line as a JSON object; None where it is none."""
        try:
            value = json.loads(self.message)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None


class LogGroup:
    """Events of one group."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.events: list[LogEvent] = []
        self._subscribers: list[Callable[[LogEvent], None]] = []
        self._waiters: set[asyncio.Event] = set()

    def write(self, stream: str, message: str) -> LogEvent:
        event = LogEvent(str(next(_ids)).zfill(56)[-56:], time.time_ns() // 1_000_000, message, stream)
        self.events.append(event)
        for subscriber in self._subscribers:
            subscriber(event)
        for waiter in self._waiters:
            waiter.set()
        return event

    def subscribe(self, subscriber: Callable[[LogEvent], None]) -> None:
        self._subscribers.append(subscriber)

    async def wait_for(self, wanted: Callable[[LogEvent], bool], timeout_s: float = 10.0) -> LogEvent:
        """The first event that is wanted, past or to come. Raises TimeoutError with the group's last lines."""
        seen, arrived = 0, asyncio.Event()
        self._waiters.add(arrived)
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    arrived.clear()
                    while seen < len(self.events):
                        if wanted(self.events[seen]):
                            return self.events[seen]
                        seen += 1
                    await arrived.wait()
        except TimeoutError:
            last = "\n".join(event.message for event in self.events[-5:])
            text = f"{self.name}: expected an event within {timeout_s:g} s, the last are:\n{last}"
            raise TimeoutError(text) from None
        finally:
            self._waiters.discard(arrived)


class LogGroups:
    """All groups, made when first named."""

    def __init__(self) -> None:
        self._groups: dict[str, LogGroup] = {}

    def __getitem__(self, name: str) -> LogGroup:
        return self._groups.setdefault(name, LogGroup(name))

    def names(self) -> list[str]:
        return sorted(self._groups)
