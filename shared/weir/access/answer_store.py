"""Answers that are given again, in their table: taken, kept, found."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Literal

from weir.access import answers
from weir.access.answers import KEPT, Claim, Part, StoredAnswer
from weir.access.dynamodb import AccessStoreError, AccessTable, ConditionFailed

LARGE_BYTES = 64_000  # compressing more than that would hold the loop


class AnswerStore:
    """One table; every method raises AccessStoreError where it does not answer."""

    def __init__(self, table: AccessTable, utc_now: Callable[[], datetime]) -> None:
        self._table = table
        self._utc_now = utc_now

    async def claim(
        self, tenant: str, key: str, body: str, holder: str, runs_until: datetime
    ) -> Claim | StoredAnswer | Literal["in flight", "another body"]:
        """Take a caller's key for a request whose hash is `body`; or what became of it when it was taken before."""
        now, name = self._utc_now(), answers.once_name(key)
        claim = Claim(holder, body, int(runs_until.timestamp()), int((now + KEPT).timestamp()))
        try:
            await self._table.update(answers.take(tenant, name, claim, now))
        except ConditionFailed as failed:
            before = Claim.read(failed.item)
        except (AccessStoreError, asyncio.CancelledError):  # it may be taken all the same, by nobody who runs
            with suppress(AccessStoreError):
                await self.let_go(tenant, key, claim)
            raise
        else:
            return claim
        if before.body and before.body != body:
            return "another body"
        if (answer := await self._read(tenant, name, of=before.holder)) is not None:
            return answer
        if before.runs_until > now.timestamp():
            return "in flight"
        try:
            await self._table.update(answers.take_over(tenant, name, claim, before))
        except ConditionFailed:
            return "in flight"
        return claim

    async def let_go(self, tenant: str, key: str, claim: Claim) -> None:
        """Free a key: nothing was bought."""
        try:
            await self._table.update(answers.let_go(tenant, answers.once_name(key), claim, self._utc_now()))
        except ConditionFailed:
            pass  # it was over, and is another's

    async def keep_once(self, tenant: str, key: str, claim: Claim, answer: StoredAnswer) -> None:
        """Keep what a claim's key is answered with. Raises ValueError where that is too large."""
        await self._keep(tenant, answers.once_name(key), claim.holder, answer, claim.expires)

    async def cached(self, tenant: str, name: str) -> StoredAnswer | None:
        """A document of the cache."""
        return await self._read(tenant, name)

    async def keep_cached(
        self, tenant: str, name: str, holder: str, answer: StoredAnswer, life: timedelta
    ) -> None:
        """Put a document into the cache. Raises ValueError where it is too large."""
        expires = int((self._utc_now() + life).timestamp())
        await self._keep(tenant, name, holder, answer, expires)

    async def _keep(self, tenant: str, name: str, holder: str, answer: StoredAnswer, expires: int) -> None:
        large = len(answer.text) > LARGE_BYTES
        packed = await asyncio.to_thread(answer.pack) if large else answer.pack()
        *others, first = answers.parts(tenant, name, holder, packed, expires)
        await asyncio.gather(*map(self._table.update, others))
        await self._table.update(first)

    async def _read(self, tenant: str, name: str, of: str | None = None) -> StoredAnswer | None:
        first = await self._part(tenant, name, 0, consistent=of is not None)
        if first is None or of not in (None, first.holder):
            return None
        rest = await asyncio.gather(
            *(self._part(tenant, name, number, consistent=of is not None) for number in range(1, first.count))
        )
        pieces = [first.piece]
        for part in rest:
            if part is None or part.holder != first.holder:
                return None  # another answer is being written in its place
            pieces.append(part.piece)
        packed = b"".join(pieces)
        large = len(packed) > LARGE_BYTES
        return await asyncio.to_thread(StoredAnswer.unpack, packed) if large else StoredAnswer.unpack(packed)

    async def _part(self, tenant: str, name: str, number: int, *, consistent: bool) -> Part | None:
        key = answers.item_key(tenant, f"{name}#{number}")
        return Part.read(await self._table.get(key, consistent=consistent), self._utc_now())
