"""The record of one request: what happened, as it is told to the caller, the log and the ledger.

One object collects it from the first byte to the last; its facts and its cost are readings of that one state, so the
final event, the log line and the metrics cannot disagree.
"""

import math
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from weir.access.identity import Caller
from weir.generate.params import GenerationParams
from weir.generate.result import Verdict
from weir.generate.timing import RequestTiming
from weir.generate.usage_estimator import UsageEstimator
from weir.ledger.facts import Function, Kind, fact
from weir.light_tuples import LightTuple
from weir.outcomes import Outcome

if TYPE_CHECKING:
    from weir.generate.attempt import Attempt
    from weir.generate.trace import Trace
    from weir.pricing.event_source import EventSource
    from weir.pricing.price_book import PriceBook


class OnceKey(LightTuple):
    """A caller's `Idempotency-Key`, and the hash of what came under it: its path and body."""

    key: str
    body: str


class Invocation(LightTuple):
    """What the platform says of one request.

    `started_ns` is the monotonic clock's; `init_ms` is this process's own start, None where the environment was
    warm; `restored` says that it was restored from a snapshot for this request; `interrupted` names why the request's
    task was cancelled.
    """

    request_id: str
    function_arn: str | None
    event_source: "EventSource | None"
    started_ns: int
    init_ms: float | None
    restored: bool = False
    deadline: datetime | None = None
    interrupted: Callable[[], Outcome | None] = lambda: None
    caller: Caller | None = None  # as the event vouches for them
    authorization: str | None = None
    once: OnceKey | None = None
    fresh: bool = False  # the caller wants no answer out of a cache
    trace: "Trace | None" = None


class Given(LightTuple):
    """An answer that was given again: nothing was bought. `request_id` is who bought it, the rest what that took."""

    answered_from: Literal["cache", "idempotency_key"]
    request_id: str
    model: str | None
    output_tokens: int | None
    tokens_usd: str | None


# What a completion does not say again where `request.started` has said the same, or the metrics in the same line.
_SAID = frozenset(
    "function function_arn region memory_mb architecture initialization_type ephemeral_storage_mb max_concurrency "
    "front cold_start tenant tags schema lease".split()
)
_IN_METRICS = ("event_loop_gap_ms", "duration_ms", "ttlt_ms")


class RequestRecord:
    """One request's state; `now_ns` is the monotonic clock's, `at` the wall clock's in UTC."""

    def __init__(
        self,
        invocation: Invocation,
        function: Function,
        default_model: str,
        estimator: UsageEstimator,
    ) -> None:
        self.invocation = invocation
        self.tenant = invocation.caller.tenant if invocation.caller else None
        self.lease: str | None = None  # the slice of its tenant's budget that it draws on
        self.request: GenerationParams | None = None
        self.attempts: list[Attempt] = []
        self.timing = RequestTiming(invocation.started_ns)
        self.opened = False
        self.given: Given | None = None
        self.sent_bytes = 0
        self._started: dict[str, Any] = {}
        self._function = function
        self._default_model = default_model
        self._estimator = estimator

    @property
    def model(self) -> str:
        """The model that is asked for."""
        return (self.request.model if self.request else None) or self._default_model

    def finalize_usage(self, attempt: "Attempt") -> None:
        """Take an attempt's usage as final: the provider's, or an estimate if it ended before it was counted."""
        uncounted = attempt.usage.source == "none" and attempt.deltas
        if uncounted or not attempt.usage.complete:
            schema = self.request.schema_name if self.request else None
            attempt.usage = self._estimator.estimate(attempt, schema)

    def started(self, at: datetime) -> dict[str, Any]:
        """The fact that is on record before the provider is called."""
        schema = self.request.schema_name if self.request else None
        self._started = self._fact("request.started", at, schema=schema)
        return self._started

    def progress(self, at: datetime, now_ns: int, loop_gap: dict[str, float] | None) -> dict[str, Any]:
        """The fact that is left of a request which is killed."""
        from weir.pricing.usage import Usage  # whoever reads an answer has imported it

        usage = [
            attempt.usage
            if attempt.usage.source == "provider" and attempt.usage.complete
            else self._estimator.estimate(attempt)
            for attempt in self.attempts
        ]
        timing = self.timing.as_json(now_ns, loop_gap)
        return self._fact("request.progress", at, usage=Usage.total(usage).as_json(), timing=timing)

    def summary(
        self, at: datetime, now_ns: int, loop_gap: dict[str, float] | None, book: "PriceBook | None"
    ) -> dict[str, Any]:
        """Usage, timing and cost, as a final event has them; without a price book, no cost."""
        from weir.pricing.usage import NOTHING_BOUGHT, Usage

        timing = self.timing.as_json(now_ns, loop_gap)
        given = self.given
        bought = (
            Usage.total([attempt.usage for attempt in self.attempts]) if given is None else NOTHING_BOUGHT
        )
        summary = {
            "usage": bought.as_json(),
            "timing": timing,
            "cost": self._estimate_cost(at, timing, book) if book else None,
        }
        if given is not None:
            summary["replayed"] = {
                "answered_from": given.answered_from,
                "request_id": given.request_id,
                "saved_usd": given.tokens_usd,
            }
        return summary

    def completed(self, at: datetime, summary: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
        """The fact that every request leaves, whatever its outcome."""
        problem = verdict.problem
        last = self.attempts[-1] if self.attempts else None
        schema = self.request.schema_name if self.request else None
        given = self.given
        saved = self._estimator.not_bought(self.attempts[0], schema) if schema and self.attempts else None
        if given is not None:
            saved = {
                "output_tokens": given.output_tokens,
                "usd": given.tokens_usd,
                "request_id": given.request_id,
            }
        cut = next((attempt for attempt in self.attempts if attempt.ended_by_us), None)
        for attempt in self.attempts:
            self._estimator.observe(attempt, schema)
        cost = summary["cost"]
        fact = self._fact(
            "request.completed",
            at,
            schema=schema,
            outcome=verdict.outcome,
            http_status=200 if self.opened or problem is None else problem.status,
            model_returned=last.answering_model if last else given.model if given else None,
            attempts=[self._told(attempt, verdict.outcome) for attempt in self.attempts],
            streamed_bytes=self.sent_bytes,
            violations=sum(len(attempt.verdict.violations) for attempt in self.attempts if attempt.verdict),
            validated_values=sum(len(attempt.sent_paths) for attempt in self.attempts),
            answered_from=given.answered_from if given else None,
            saved=saved,
            # On what ground something is claimed as saved, or nothing: does hanging up stop the provider's meter?
            saved_basis=cut.asked.route.profile.cancel if cut else None,
            # Of the estimate what the ledger is held against; it prices each charge itself. Usage is that of attempts.
            cost={"total": cost["total"]} if cost else None,
            timing={name: value for name, value in summary["timing"].items() if name not in _IN_METRICS},
        )
        # Each byte is billed: where it runs, and for whom, is on record since the start.
        return {
            name: value
            for name, value in fact.items()
            if name not in _SAID or name not in self._started or self._started[name] != value
        }

    def _told(self, attempt: "Attempt", outcome: Outcome) -> dict[str, Any]:
        """An attempt without what its place and its request's fact say: the last is the one that they are about.

        A document is asked for natively, by a route of its model's name, unless something else is said.
        """
        told = attempt.as_json()
        is_last = attempt is self.attempts[-1]
        usage = dict(told["usage"])
        total = (attempt.usage.input_tokens or 0) + (attempt.usage.output_tokens or 0)
        is_known = attempt.usage.input_tokens is not None and attempt.usage.output_tokens is not None
        if is_known and usage.get("total_tokens") == total:
            del usage["total_tokens"]
        elsewhere = {
            "attempt": self.attempts.index(attempt) + 1,
            "model": self.model if self.request else None,
            "route": told["model"],
            "service_tier": usage.get("service_tier"),
            "structured_output": "native",
            **({"outcome": outcome, "model_returned": attempt.answering_model} if is_last else {}),
        }
        known = {name: value for name, value in told.items() if value != elsewhere.get(name)}
        return {**known, "usage": usage}

    def spans(self, trace: "Trace", at: datetime, now_ns: int, verdict: Verdict) -> dict[str, Any]:
        """The request's spans, for whoever records its trace."""
        from weir.generate.trace import Times, export

        function = self._function
        resource = {
            "service.name": "weir.generate",
            "cloud.region": function.region,
            "faas.name": function.name,
        }
        about = {"weir.request_id": self.invocation.request_id, "weir.tenant": self.tenant}
        times = Times(self.timing.started_ns, now_ns, at)
        return export(trace, times, self.attempts, verdict.outcome, resource, about)

    def _estimate_cost(self, at: datetime, timing: dict[str, Any], book: "PriceBook") -> dict[str, Any]:
        # Prices are for the final event: the first byte does not wait for their imports.
        from weir.pricing.cost import price_request
        from weir.pricing.quantities import TokensBought, UsageQuantities

        for attempt in self.attempts:  # an endpoint that no profile knows may be one that the price book does
            attempt.seller = attempt.seller or book.seller_of(attempt.asked.route.base_url)
        # The platform's own time, before, between and after, is not known yet, nor are the log's lines: the ledger's
        # row has them.
        init_ms = self.invocation.init_ms or 0.0
        quantities = UsageQuantities(
            at=at,
            billed_ms=math.ceil(init_ms + timing["duration_ms"]),
            memory_mb=self._function.memory_mb,
            architecture=self._function.architecture,
            region=self._function.region,
            initialization_type=self._function.initialization_type,
            ephemeral_storage_mb=self._function.ephemeral_storage_mb,
            max_concurrency=self._function.max_concurrency,
            front=self.invocation.event_source,
            duration_ms=timing["duration_ms"],
            init_ms=init_ms,
            restores=int(self.invocation.restored),
            wait_ms=timing["wait_ms"],
            stream_ms=timing["stream_ms"],
            validate_ms=timing["validate_ms"],
            streamed_bytes=self.sent_bytes,
            tokens=[
                TokensBought(attempt.answering_model, attempt.usage, attempt.seller)
                for attempt in self.attempts
            ],
            is_estimate=True,
        )
        return price_request(quantities, book).as_json()

    def _fact(self, kind: Kind, at: datetime, **members: Any) -> dict[str, Any]:
        return fact(
            kind,
            at,
            self._function,
            request_id=self.invocation.request_id,
            attempt=max(len(self.attempts), 1),
            tenant=self.tenant,
            tags=self.request.tags if self.request else {},
            function_arn=self.invocation.function_arn,
            event_source=self.invocation.event_source,
            cold_start=self.invocation.init_ms is not None,
            model=self.model if self.request else None,
            **({} if self.lease is None else {"lease": self.lease}),
            **members,
        )
