"""What the simulator saw and sent, request by request: the measure of tokens that were never bought."""

import asyncio
import dataclasses
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

_KEPT = 2_000


@dataclass(slots=True)
class Exchange:
    """One request and how far its answer came.

    `tokens_sent` are handed to the socket; `closed_at_token` is their number when the caller's close was
    noticed, None when it never closed early. `authorized` says that credentials were sent; they are not kept.
    """

    number: int
    path: str
    model: str | None = None
    conversation: str | None = None
    messages: int = 0
    stream: bool = False
    include_usage: bool = False
    response_format: str | None = None
    authorized: bool = False
    status: int | None = None
    prompt_tokens: int = 0
    tokens_scripted: int = 0
    tokens_sent: int = 0
    bytes_sent: int = 0
    violation_path: str | None = None
    closes_at_token: int | None = None
    object_closes_at_token: int | None = None
    closed_at_token: int | None = None
    settled: bool = False


class Journal:
    """The last 2,000 exchanges, and how often each conversation came by."""

    def __init__(self) -> None:
        self._exchanges: deque[Exchange] = deque(maxlen=_KEPT)
        self._visits: Counter[str] = Counter()
        self._count = 0
        self._changed = asyncio.Condition()

    def open(self, path: str, *, authorized: bool) -> Exchange:
        """A new exchange."""
        self._count += 1
        exchange = Exchange(self._count, path, authorized=authorized)
        self._exchanges.append(exchange)
        return exchange

    def visit(self, conversation: str) -> int:
        """How often this conversation has come by, this time included."""
        if len(self._visits) > 50 * _KEPT:
            self._visits.clear()
        self._visits[conversation] += 1
        return self._visits[conversation]

    async def settle(self, exchange: Exchange) -> None:
        """Nothing more happens in this exchange."""
        exchange.settled = True
        async with self._changed:
            self._changed.notify_all()

    async def settled(self, timeout_s: float) -> bool:
        """True once every exchange is settled, False when that takes longer than `timeout_s`."""

        def done() -> bool:
            return all(exchange.settled for exchange in self._exchanges)

        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(done)
        except TimeoutError:
            return done()
        return True

    def clear(self) -> None:
        """Forget everything, visits included."""
        self._exchanges.clear()
        self._visits.clear()

    def as_json(self) -> list[dict[str, Any]]:
        """The exchanges, oldest first."""
        return [dataclasses.asdict(exchange) for exchange in self._exchanges]
