"""A flag by which a caller stops a generation of theirs that runs in another process.

    pk STOP#owner   sk request id   expires, and `seen` once the one who runs it has seen it

The owner is part of the key, so nobody stops another's. Whoever runs a generation looks once every `LOOK_S` seconds,
half a read unit each time; nothing is written for a request that nobody stops. That there is no such generation, or
that it is another's, shows in nobody answering: the two cannot be told apart.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from weir.access.dynamodb import AccessStoreError, AccessTable, ConditionFailed

LOOK_S = (
    0.7  # two looks within the 1.5 s in which a stop has to take effect: the first may read what was before
)
ANSWER_S = 2.0  # how long a stop waits to be seen
_ASK_S = 0.1
_KEPT_S = 900


class StopFlags:
    """The flags of one table."""

    def __init__(self, table: AccessTable, utc_now: Callable[[], datetime]) -> None:
        self._table = table
        self._utc_now = utc_now

    async def stop(self, owner: str, request_id: str) -> bool:
        """Raise a flag, and wait until it was seen; False where nobody saw it. Raises AccessStoreError."""
        expires = str(int(self._utc_now().timestamp()) + _KEPT_S)
        await self._table.update({
            "Key": _key(owner, request_id),
            "UpdateExpression": "SET #expires = :expires",
            "ExpressionAttributeNames": {"#expires": "expires"},
            "ExpressionAttributeValues": {":expires": {"N": expires}},
        })  # fmt: skip
        for _ in range(round(ANSWER_S / _ASK_S)):
            await asyncio.sleep(_ASK_S)
            item = await self._table.get(_key(owner, request_id), consistent=True)
            if item is not None and "seen" in item:
                return True
        return False

    async def raised(self, owner: str, request_id: str) -> None:
        """Return when the caller wants it stopped; a look that fails is none."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if await self._is_up(owner, request_id):
                    return
            except AccessStoreError:
                pass

    async def _is_up(self, owner: str, request_id: str) -> bool:
        """Whether the caller wants it stopped; that this was seen is on record then."""
        if await self._table.get(_key(owner, request_id)) is None:
            return False
        try:
            await self._table.update({
                "Key": _key(owner, request_id),
                "UpdateExpression": "SET #seen = :seen",
                "ConditionExpression": "attribute_exists(pk)",
                "ExpressionAttributeNames": {"#seen": "seen"},
                "ExpressionAttributeValues": {":seen": {"BOOL": True}},
            })  # fmt: skip
        except ConditionFailed:
            pass  # deleted in between: seen all the same
        return True


def _key(owner: str, request_id: str) -> dict[str, Any]:
    return {"pk": {"S": f"STOP#{owner}"}, "sk": {"S": request_id}}
