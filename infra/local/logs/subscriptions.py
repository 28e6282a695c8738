"""Log subscriptions: what is written to a log group arrives at a function, in batches, compressed.

Events of one log stream that come within a moment make one batch, delivered by asynchronous invocation.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html#LambdaFunctionExample
"""

import asyncio
import base64
import gzip
import json
from collections.abc import Callable, Iterable
from itertools import groupby

from ..sam.function import ACCOUNT_ID, LogSubscription
from .filter_pattern import compile_pattern
from .log_groups import LogEvent, LogGroup

BATCH_DELAY_S = 0.1
MAX_BATCH_EVENTS = 1_000


class Subscription:
    """Delivers a group's events to `deliver` as payloads of a function."""

    def __init__(
        self, subscription: LogSubscription, group: LogGroup, deliver: Callable[[bytes], object]
    ) -> None:
        self._subscription = subscription
        self._matches = compile_pattern(subscription.pattern)
        self._group = group
        self._deliver = deliver
        self._pending: list[LogEvent] = []
        self._timer: asyncio.TimerHandle | None = None
        group.subscribe(self._take)

    @property
    def idle(self) -> bool:
        """Whether every event that has been written is delivered."""
        return not self._pending

    def flush(self) -> None:
        """Deliver what is waiting, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        events, self._pending = self._pending, []
        events.sort(key=lambda event: event.stream)  # stable: the order within a stream stays
        for stream, batch in groupby(events, key=lambda event: event.stream):
            self._deliver(encode(self._group.name, stream, self._subscription.name, batch))

    def close(self) -> None:
        """Deliver nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._pending.clear()

    def _take(self, event: LogEvent) -> None:
        if not self._matches(event.message):
            return
        self._pending.append(event)
        if len(self._pending) >= MAX_BATCH_EVENTS:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_DELAY_S, self.flush)


def encode(group: str, stream: str, subscription: str, events: Iterable[LogEvent]) -> bytes:
    """The payload of one batch."""
    batch = {
        "messageType": "DATA_MESSAGE",
        "owner": ACCOUNT_ID,
        "logGroup": group,
        "logStream": stream,
        "subscriptionFilters": [subscription],
        "logEvents": [
            {"id": event.id, "timestamp": event.timestamp_ms, "message": event.message} for event in events
        ],
    }
    data = base64.b64encode(gzip.compress(json.dumps(batch).encode())).decode()
    return json.dumps({"awslogs": {"data": data}}).encode()
