"""Log subscriptions that end in a bucket: CloudWatch Logs, Data Firehose, S3 and EventBridge in one place.

What is written to a log group and matches is kept for an interval, then written as one landing object: a gzip member
for each log stream, one behind the other. Then the function that waits for such objects is told, as EventBridge tells
it. On AWS an interval is a minute or 128 MiB, whichever comes first.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html#FirehoseExample
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

import asyncio
import gzip
import itertools
import json
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from itertools import groupby

from ..sam.function import ACCOUNT_ID, LogSubscription
from .filter_pattern import compile_pattern
from .log_groups import LogEvent, LogGroup

INTERVAL_S = 1.0
_numbers = itertools.count()


class Landing:
    """Lands a group's events: `put` writes an object, `deliver` tells the function of it."""

    def __init__(
        self,
        subscription: LogSubscription,
        group: LogGroup,
        put: Callable[[str, str, bytes], Awaitable[None]],
        deliver: Callable[[bytes], object],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._subscription = subscription
        self._matches = compile_pattern(subscription.pattern)
        self._group = group
        self._put = put
        self._deliver = deliver
        self._interval_s = interval_s
        self._pending: list[LogEvent] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()
        group.subscribe(self._take)

    @property
    def idle(self) -> bool:
        """Whether every event that has been written is delivered."""
        return not self._pending and not self._writing

    async def flush(self) -> None:
        """Land what is waiting, now."""
        self._begin()
        await asyncio.gather(*self._writing)

    async def close(self) -> None:
        """Land nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._pending.clear()
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)

    def _take(self, event: LogEvent) -> None:
        if not self._matches(event.message):
            return
        self._pending.append(event)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._begin)

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        events, self._pending = self._pending, []
        if events:
            task = asyncio.ensure_future(self._land(events))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _land(self, events: list[LogEvent]) -> None:
        events.sort(key=lambda event: event.stream)  # stable: the order within a stream stays
        members = [
            encode(self._group.name, stream, self._subscription.name, of_stream)
            for stream, of_stream in groupby(events, key=lambda event: event.stream)
        ]
        bucket, now = self._subscription.bucket, datetime.now(UTC)
        key = (
            f"{self._subscription.prefix}{now:%Y/%m/%d/%H}/landing-1-{now:%Y-%m-%d-%H-%M-%S}-{next(_numbers)}"
        )
        data = b"".join(members)
        await self._put(bucket, key, data)
        self._deliver(object_created(bucket, key, len(data)))


def encode(group: str, stream: str, subscription: str, events: Iterable[LogEvent]) -> bytes:
    """One batch, as the subscription gives it to Firehose."""
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
    return gzip.compress(json.dumps(batch).encode())


def object_created(bucket: str, key: str, size: int) -> bytes:
    """The event that tells of an object."""
    event = {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": ACCOUNT_ID,
        "detail": {"version": "0", "bucket": {"name": bucket}, "object": {"key": key, "size": size}},
    }
    return json.dumps(event).encode()
