"""Answers that are given again: of a request that came before under the same key, and of the cache.

Decided here: what is looked for before the model is asked, and what is kept afterwards. A key's first request takes it;
what was bought for it is kept, whatever its outcome, so that nobody buys twice under one key; where nothing was bought
the key is free again. The cache is asked where a document is asked for, and gets only documents that have validated.
It is one tenant's, and one model's, schema's and request's; tags, and what is sent and when, are no part of that.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from weir.access.answer_store import AnswerStore
from weir.access.answers import Claim, StoredAnswer, cache_name
from weir.access.dynamodb import AccessStoreError
from weir.access.tenant_item import hold_of
from weir.generate.attempt import Attempt
from weir.generate.documents import MAX_KNOWN, document_schema
from weir.generate.events import RESULT_PART_BYTES
from weir.generate.params import GenerationParams
from weir.generate.question import Run
from weir.generate.request_record import Given, Invocation, OnceKey
from weir.generate.result import Verdict
from weir.outcomes import Outcome
from weir.pricing.money import plain
from weir.problems import Problem
from weir.providers.routes import Route
from weir.schemas import checked_schemas

if TYPE_CHECKING:
    from weir.generate.replay import Replay

MAX_KEY_CHARS = 255
_MARGIN = timedelta(seconds=5)  # a function that is out of time has ended by then
# What a document does not hang on.
_NO_PART = {"tags", "include", "timeout_ms", "max_cost", "model"}
_TOKENS = ("input", "cached_input", "cache_write", "audio_input", "output", "audio_output")


def check_key(key: str) -> None:
    """Refuse what is no `Idempotency-Key`. Raises Problem."""
    if not 0 < len(key) <= MAX_KEY_CHARS or not key.isascii() or not key.isprintable():
        detail = f"idempotency-key: expected 1 to {MAX_KEY_CHARS} printable ASCII characters, got {len(key)}"
        raise Problem(Outcome.BAD_REQUEST, detail, status=400)


@dataclass(slots=True)
class Kept:
    """What one request may leave behind: a claim's answer, a document of the cache."""

    tenant: str
    holder: str
    claim: Claim | None = None
    once: OnceKey | None = None
    cache: str | None = None


class Repeats:
    """One process's; `cache_life` of 0 is no cache."""

    def __init__(self, store: AnswerStore, cache_life: timedelta) -> None:
        self._store = store
        self._cache_life = cache_life

    def begin(
        self, tenant: str, invocation: Invocation, request: GenerationParams, route: Route, at: datetime
    ) -> Kept:
        """What a request may leave behind; nothing is asked or taken yet."""
        kept = Kept(tenant, hold_of(invocation.request_id, at), once=invocation.once)
        if self._caches(invocation, request):
            kept.cache = _cache_name(request, route)
        return kept

    async def find(
        self, run: Run, kept: Kept, request: GenerationParams, route: Route, runs_until: datetime
    ) -> Attempt | None:
        """Give the answer that is there already, and return it; None where the model is to be asked.

        Raises Problem: 409 while the key's first request runs, 422 for another body under it, 503 where nobody can say.
        """
        if kept.once is not None and (found := await self._claim(kept, kept.once, runs_until)) is not None:
            ready = await _replay(run, request, route, found)
            if ready is None:
                detail = "idempotency-key: its answer is no longer what its schema asks for; use another key"
                raise Problem(Outcome.BAD_REQUEST, detail, status=410, title="Gone")
            return await self._give(run, ready, "idempotency_key", found)
        if kept.cache is None:
            return None
        try:
            document = await self._store.cached(kept.tenant, kept.cache)
        except AccessStoreError:
            return None  # then it is bought, as without a cache
        if document is None or (ready := await _replay(run, request, route, document)) is None:
            return None
        return await self._give(run, ready, "cache", document)

    async def keep(
        self,
        kept: Kept,
        request: GenerationParams,
        attempts: list[Attempt],
        verdict: Verdict,
        summary: Mapping[str, Any],
    ) -> None:
        """Keep what was bought, or free the key. Raises AccessStoreError, ValueError: then it is not kept."""
        counts = [
            (attempt.deltas, attempt.usage.input_tokens, attempt.usage.output_tokens) for attempt in attempts
        ]
        bought = any(count for counted in counts for count in counted)
        answer = None
        if bought:
            answer = _answer_of(kept.holder, request, attempts[-1], verdict, summary)
        if kept.claim is not None and kept.once is not None:
            if answer is None:
                await self._store.let_go(kept.tenant, kept.once.key, kept.claim)
            else:
                await self._store.keep_once(kept.tenant, kept.once.key, kept.claim, answer)
        if kept.cache is not None and answer is not None and verdict.document is not None:
            await self._store.keep_cached(kept.tenant, kept.cache, kept.holder, answer, self._cache_life)

    def _caches(self, invocation: Invocation, request: GenerationParams) -> bool:
        return bool(self._cache_life) and request.schema_name is not None and not invocation.fresh

    async def _claim(self, kept: Kept, once: OnceKey, runs_until: datetime) -> StoredAnswer | None:
        try:
            found = await self._store.claim(
                kept.tenant, once.key, once.body, kept.holder, runs_until + _MARGIN
            )
        except AccessStoreError as error:
            detail = f"{error}; nobody can say whether this was asked before"
            headers = (("retry-after", "2"), ("x-should-retry", "true"))
            raise Problem(Outcome.INTERNAL_ERROR, detail, status=503, headers=headers) from error
        if isinstance(found, StoredAnswer):
            return found
        if isinstance(found, Claim):
            kept.claim = found
            return None
        if found == "another body":
            detail = "idempotency-key: expected the request that first came under it, got another one"
            raise Problem(
                Outcome.BAD_REQUEST, detail, status=422, title="The key was used for another request"
            )
        headers = (("retry-after", "2"), ("x-should-retry", "true"))
        detail = "idempotency-key: expected its first request to be done, got one that runs"
        raise Problem(Outcome.BAD_REQUEST, detail, status=409, title="Still running", headers=headers)

    async def _give(self, run: Run, ready: "Replay", source: Any, answer: StoredAnswer) -> Attempt:
        given = Given(source, answer.request_id, answer.model, answer.output_tokens, answer.tokens_usd)
        from weir.generate.replay import give

        await give(run, ready, given)
        return ready.attempt


def _answer_of(
    holder: str, request: GenerationParams, last: Attempt, verdict: Verdict, summary: Mapping[str, Any]
) -> StoredAnswer:
    """The answer as it is given again. A document that was spliced, or whose nulls stand for nothing, is stored as its
    JSON; text that left after it had validated as it left."""
    retried = last.asked.retry is not None
    text, is_model_text = last.text or "", True
    if verdict.document is not None and (retried or last.asked.document is not None or last.text is None):
        text, is_model_text = b"".join(verdict.document.json_parts(RESULT_PART_BYTES)).decode(), False
    if request.release == "validated" and request.schema_name is not None and last.released:
        text, is_model_text = last.released, False
    elif retried and verdict.document is None:
        text = ""  # two answers, of which neither is one
    return StoredAnswer(
        request_id=holder.rpartition("~")[0],
        outcome=verdict.outcome,
        text=text,
        is_model_text=is_model_text,
        problem={"outcome": verdict.outcome, **verdict.problem.as_json()}
        if verdict.problem is not None
        else None,
        model=last.answering_model,
        output_tokens=summary["usage"]["output_tokens"],
        tokens_usd=_tokens_usd(summary["cost"]),
        tool_calls=[tuple(call) for call in last.tool_calls.values()],
    )


async def _replay(run: Run, request: GenerationParams, route: Route, answer: StoredAnswer) -> "Replay | None":
    # What validates is imported for an answer that is there, and not to look for one: a cold start asks first.
    from weir.generate.replay import replay

    ready = await replay(run, request, route, answer)
    if ready is None:
        run.response.wire.forget()
    return ready


def _tokens_usd(cost: Mapping[str, Any] | None) -> str | None:
    """What the tokens cost, by the charges that are known; None where that of the output is not."""
    amounts = [cost["components"][f"{kind}_tokens"] for kind in _TOKENS] if cost else []
    if not cost or cost["components"]["output_tokens"] is None:
        return None
    return plain(sum((Decimal(amount) for amount in amounts if amount is not None), Decimal(0)))


def _cache_name(request: GenerationParams, route: Route) -> str:
    assert request.schema_name is not None
    asked = {name: value for name, value in request._asdict().items() if name not in _NO_PART}
    return cache_name([route.name, route.model, _schema_version(request.schema_name), asked])


@lru_cache(maxsize=MAX_KNOWN)
def _schema_version(name: str) -> str:
    """What a schema asks for; what its own validators ask for beyond that is asked again when a document is given."""
    built = checked_schemas() or {}  # what the build worked out needs no model
    document = built[name]["document"] if name in built else document_schema(name)
    return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
