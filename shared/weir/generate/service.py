"""Generate one document: forward the model's text as it comes, validate it meanwhile, account for it at the end.

The rules that this module keeps:
- exactly one final event ends every stream that began, and one `request.completed` fact every request;
- text is forwarded in the same turn of the loop in which it came, and is validated right after, in that turn;
- the first violation under `stop` closes the upstream response at once, and so the bill;
- facts and metrics are written before the final event: when the caller sees it, the account is on record.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import random
from typing import TYPE_CHECKING, Any

from weir.access.identity import Caller, owner_of
from weir.errors import ConfigurationError, StorageError
from weir.generate.body import invalid_fields
from weir.generate.documents import Documents
from weir.generate.late_imports import LateImports
from weir.generate.loop_gap import LoopGap
from weir.generate.params import GenerationParams
from weir.generate.policy import Cooldown, Policy
from weir.generate.pulse import Pulse
from weir.generate.question import Question
from weir.generate.request_record import Invocation, RequestRecord
from weir.generate.result import Response, Result, Verdict
from weir.generate.stopping import Stopping
from weir.generate.telemetry import Telemetry
from weir.generate.usage_estimator import UsageEstimator
from weir.ledger.facts import Function, format_timestamp
from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.call import ImagePart
from weir.providers.routes import Route, Routes
from weir.providers.sse import HEARTBEAT
from weir.providers.upstream import Upstream, UpstreamResponse

if TYPE_CHECKING:
    from weir.generate.attempt import Attempt
    from weir.generate.gate import Admitted, Gate, MostAsked
    from weir.generate.repeats import Kept, Repeats
    from weir.generate.validator_process import ValidatorProcess
    from weir.pricing.price_book import PriceBook


class Generate:
    """The use case, one per process: what requests share, and nothing of any request.

    `cache_s` is how long a document may be given again; 0: not at all. No dataclass: a cold start waits for this class.
    """

    def __init__(
        self,
        *,
        upstream: Upstream,
        validator_process: Callable[[], "ValidatorProcess"],
        late_imports: LateImports,
        telemetry: Telemetry,
        function: Function,
        routes: Routes,
        price_book: Callable[[], "PriceBook"],
        monotonic_ns: Callable[[], int],
        utc_now: Callable[[], datetime],
        policy: Policy,
        gate: "Gate | None" = None,
        repeats: "Callable[[], Repeats] | None" = None,
        cache_s: int = 0,
        stopping: Stopping | None = None,
    ) -> None:
        self.upstream = upstream
        self.validator_process = validator_process
        self.late_imports = late_imports
        self.telemetry = telemetry
        self.function = function
        self.routes = routes
        self.price_book = price_book
        self.monotonic_ns = monotonic_ns
        self.utc_now = utc_now
        self.policy = policy
        self.gate = gate
        self.repeats = repeats
        self.cache_s = cache_s
        self.stopping = stopping or Stopping()
        self.jitter: Callable[[], float] = random
        self.estimator = UsageEstimator()
        self.documents = Documents()
        self.cooldown = Cooldown(lambda: self.monotonic_ns() / 1e9)

    async def __call__(
        self, parse: Callable[[], GenerationParams], invocation: Invocation, response: Response
    ) -> None:
        """Serve one request to its end, whatever that is; `parse` reads it, or raises what is wrong with it.

        Being cancelled ends the request as `invocation.interrupted` says, with its final event; being cancelled
        once more, while that is sent, gives up.
        """
        await Run(self, invocation, response).serve(parse)

    async def refuse(self, problem: Problem, invocation: Invocation, response: Response) -> None:
        """Account for a request that the endpoint itself refused, for its size or its address."""

        def refused() -> GenerationParams:
            raise problem

        await Run(self, invocation, response).serve(refused)

    async def stop(self, request_id: str, invocation: Invocation) -> Caller | None:
        """Stop a generation of the same caller's that runs; return who asked.

        Raises Problem: 401 where nobody is known, 404 where there is none, 503 where nobody can say.
        """
        caller = invocation.caller
        if self.gate is not None:
            admitted = await self.gate.admit(caller, invocation.event_source, invocation.authorization)
            caller = admitted.caller
        try:
            await self.stopping.stop(owner_of(caller), request_id)
        except StorageError as error:
            raise Problem(Outcome.INTERNAL_ERROR, f"{error}; it cannot be stopped", status=503) from error
        return caller

    async def models_of(self, invocation: Invocation) -> tuple[Sequence[str], Caller | None]:
        """The models that a caller may ask for, and who that is. Raises Problem where nobody is known."""
        names = self.routes.names
        if self.gate is None:
            return names, invocation.caller
        admitted = await self.gate.admit(invocation.caller, invocation.event_source, invocation.authorization)
        allowed = admitted.limits.models
        return [name for name in names if allowed is None or name in allowed], admitted.caller

    def record_without_model(self, invocation: Invocation, sent_bytes: int) -> None:
        """Account for a request that the endpoint served itself, without the model."""
        record = RequestRecord(invocation, self.function, self.routes.default, self.estimator)
        record.sent_bytes = sent_bytes
        at = self.utc_now()
        summary = record.summary(at, self.monotonic_ns(), None, None)
        self.telemetry.fact(record.completed(at, summary, Verdict(Outcome.OK)))


class Run:
    """One request: what is done about it, from the first byte to the final event; its record keeps what happened."""

    def __init__(self, generate: Generate, invocation: Invocation, response: Response) -> None:
        self.generate = generate
        self.response = response
        self.record = RequestRecord(
            invocation, generate.function, generate.routes.default, generate.estimator
        )
        self.ends_ns = 0  # when its time is up, by the monotonic clock
        self.may_ask: Sequence[Route] = ()  # whom its tenant may, and `max_cost` has room for
        self.admitted: Admitted | None = None
        self.kept: Kept | None = None  # what is left behind for those who ask again
        self.given: Attempt | None = None  # the answer that was there already
        self.loop_gap = LoopGap()
        self.cut: Problem | None = None  # why we ended the request ourselves, before its task was cancelled
        self.terminated: list[UpstreamResponse] = []  # drained when the caller has the last byte, not before

    async def serve(self, parse: Callable[[], GenerationParams]) -> None:
        """Run the request from parsing to its final event; nothing but a second cancellation gets out."""
        pulse: Pulse | None = None
        watch: asyncio.Task[None] | None = None
        deadline: asyncio.TimerHandle | None = None
        owner, request_id = "", self.record.invocation.request_id
        try:
            with self.loop_gap:
                if self.generate.gate is not None:
                    await self._admit(self.generate.gate)
                self.record.request = request = parse()
                deadline = self._set_deadline(request, asyncio.current_task())
                self.generate.telemetry.fact(self.record.started(self.generate.utc_now()))
                pulse = self._begin_pulse(asyncio.current_task())
                owner = owner_of(self.admitted.caller if self.admitted else self.record.invocation.caller)
                watch = self.generate.stopping.begin(owner, request_id, self._stopper(asyncio.current_task()))
                verdict = await self._answer(request)
        except Problem as problem:
            verdict = Verdict.failed(problem)
        except asyncio.CancelledError:
            outcome = self.record.invocation.interrupted() or Outcome.STOPPED
            detail = f"the request was ended before the model was done: {outcome.value}"
            verdict = Verdict.failed(self.cut or Problem(outcome, detail))
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
        except Exception as error:
            self.failure(error)
            detail = "an error of our own; the log has it under the request's id"
            verdict = Verdict.failed(Problem(Outcome.INTERNAL_ERROR, detail))
        finally:
            self.generate.stopping.end(owner, request_id)
            for timer in (pulse, watch, deadline):
                if timer is not None:
                    timer.cancel()
        drain = False
        try:
            await self._finish(verdict)
            drain = True
        finally:
            for response in self.terminated:
                await response.close(drain=drain)

    async def _admit(self, gate: "Gate") -> None:
        invocation = self.record.invocation
        self.admitted = await gate.admit(invocation.caller, invocation.event_source, invocation.authorization)
        gate.begin(self.admitted)
        self.record.tenant = self.admitted.caller.tenant
        self.record.lease = self.admitted.lease.name if self.admitted.lease else None

    async def _answer(self, request: GenerationParams) -> Verdict:
        """The answer that is there already, if there is one, else the model's."""
        generate, invocation, route = self.generate, self.record.invocation, self._route(request)
        cached = generate.cache_s and request.schema_name is not None and not invocation.fresh
        if generate.repeats is None or generate.gate is None or self.admitted is None:
            return await self._ask(request, route)
        if invocation.once is None and not cached:
            return await self._ask(request, route)
        repeats, now = generate.repeats(), generate.utc_now()
        generate.gate.allow(self.admitted, route)
        left_s = (self.ends_ns - generate.monotonic_ns()) / 1e9
        ends = min(now + timedelta(seconds=left_s), invocation.deadline or datetime.max.replace(tzinfo=UTC))
        self.kept = repeats.begin(self.admitted.caller.tenant, invocation, request, route, now)
        self.given = await repeats.find(self, self.kept, request, route, ends)
        if self.given is not None and self.given.verdict is not None:
            return self.given.verdict
        return await self._ask(request, route)

    def _route(self, request: GenerationParams) -> Route:
        """Whom a request asks. Raises Problem where there is no such model."""
        routes = self.generate.routes
        route = routes.find(request.model)
        if route is None:
            names = ", ".join(routes.names)
            raise invalid_fields([("/model", f"expected one of {names}, got {request.model!r:.80}")])
        return route

    async def _ask(self, request: GenerationParams, route: Route) -> Verdict:
        """The model's answer, once what it may cost is set aside; its call is made ready while the table answers."""
        question = Question(self, request, route)
        await self._reserve(request, route, question.build_ahead)
        return await question.run()

    @property
    def keeps_text(self) -> bool:
        """Whether the text is needed after it has left."""
        return self.response.wire.repeats_text or (self.kept is not None and self.kept.once is not None)

    def _stopper(self, serving: asyncio.Task[Any] | None) -> Callable[[], None]:
        def stop() -> None:
            self.cut = Problem(Outcome.STOPPED, "the caller stopped it")
            if serving is not None:
                serving.cancel()

        return stop

    async def _reserve(self, request: GenerationParams, route: Route, meanwhile: Callable[[], None]) -> None:
        """Decide whom the request may ask, and set aside what that may cost, if anybody limits it."""
        generate, gate, admitted = self.generate, self.generate.gate, self.admitted
        self.may_ask = generate.routes.chain(route)
        if gate is not None and admitted is not None:
            gate.allow(admitted, route)
            generate.upstream.open_ahead(route)  # beside the table's answer: only the request waits for it
            if (models := admitted.limits.models) is not None:
                self.may_ask = [each for each in self.may_ask if each.name in models]
        elif request.max_cost is None:
            return
        calls = self._calls(request)
        if request.max_cost is not None:  # the caller's own limit holds without a table
            from weir.generate.gate import affordable

            calls = affordable(self._price_book(), calls, request.max_cost, generate.utc_now())
            self.may_ask = [call.route for call in calls]
        if gate is not None and admitted is not None:
            request_id = self.record.invocation.request_id
            await gate.reserve(admitted, request_id, calls, generate.utc_now(), meanwhile)

    def _calls(self, request: GenerationParams) -> "list[MostAsked]":
        size = sum(len(turn.text.encode("utf-8", "replace")) for turn in request.messages)
        images = sum(isinstance(part, ImagePart) for turn in request.messages for part in turn.parts)
        if request.passed:
            from weir.generate.chat_tools import passed_bytes

            size += passed_bytes(request.passed)
        return [self._most_asked(request, each, size, images) for each in self.may_ask]

    def _most_asked(self, request: GenerationParams, route: Route, size: int, images: int) -> "MostAsked":
        from weir.generate.gate import MostAsked, tier_asked

        generate, schema = self.generate, request.schema_name
        cap = self.capped(generate.routes.cap_for(route, schema, request.max_output_tokens))
        if schema is not None:
            size += generate.documents.request(schema, route).sent_bytes
            if request.on_violation == "retry":  # a second question quotes the first answer
                size, images, cap = 2 * size + 4 * cap, 2 * images, 2 * cap
        return MostAsked(route, size, images, cap, tier_asked(request, route))

    def chain(self, route: Route) -> list[Route]:
        """A route, and then all others that the request may ask: the first that it asked for, and its fallbacks."""
        return [route, *(each for each in self.may_ask if each.name != route.name)]

    def capped(self, cap: int) -> int:
        """The most output tokens that the caller's tenant may buy at once."""
        limit = self.admitted.limits.max_output_tokens if self.admitted else None
        return cap if limit is None else min(cap, limit)

    def _set_deadline(
        self, request: GenerationParams, serving: asyncio.Task[Any] | None
    ) -> asyncio.TimerHandle:
        """End the request when its time is up: the caller's, or what the policy gives to any."""
        total_s, wanted_ms = self.generate.policy.clocks.total_s, request.timeout_ms
        spent_s = (self.generate.monotonic_ns() - self.record.invocation.started_ns) / 1e9
        if wanted_ms is not None and wanted_ms / 1000 < total_s:
            limit_s, outcome, whose = wanted_ms / 1000, Outcome.DEADLINE, "timeout_ms"
        else:
            limit_s, outcome, whose = total_s, Outcome.UPSTREAM_TIMEOUT, "provider"
        self.ends_ns = self.record.invocation.started_ns + round(limit_s * 1e9)

        def expire() -> None:
            self.cut = Problem(outcome, f"{whose}: expected the whole answer within {limit_s:g} s")
            if serving is not None:
                serving.cancel()

        return asyncio.get_running_loop().call_later(max(0.0, limit_s - spent_s), expire)

    async def open(self) -> None:
        """Let the caller have its status; from now on errors are events. Raises Problem where nobody is there."""
        self.record.opened = self.response.streams  # a buffered response still has its status to give
        try:
            await self.response.open()
        except OSError as error:
            raise _gone() from error

    async def send(self, data: bytes) -> None:
        """Send the bytes of whole events, to a caller who streams. Raises Problem: nobody is there, or too much."""
        if data and self.response.streams:
            self.record.sent_bytes += len(data)
            if self.record.sent_bytes > self.generate.policy.caps.sent_bytes:
                limit = self.generate.policy.caps.sent_bytes
                raise Problem(Outcome.STOPPED, f"stream: expected at most {limit} bytes, got more")
            try:
                await self.response.send(data)
            except OSError as error:
                raise _gone() from error

    def _begin_pulse(self, serving: asyncio.Task[Any] | None) -> Pulse:
        """Keep a silent connection alive, and leave a trace of what was used for the case that we are killed.

        A heartbeat that finds the caller gone ends `serving` before the next token would.
        """
        sent_before = 0

        async def beat() -> None:
            nonlocal sent_before
            if self.record.opened and self.record.sent_bytes == sent_before:
                try:
                    await self.send(HEARTBEAT)
                except Problem as problem:
                    self.cut = problem
                    if serving is not None:
                        serving.cancel()
                    return
            sent_before = self.record.sent_bytes
            fact = self.record.progress(
                self.generate.utc_now(), self.generate.monotonic_ns(), self.loop_gap.as_json()
            )
            self.generate.telemetry.fact(fact)

        return Pulse(self.generate.policy.rhythm.pulse_s, beat)

    async def _finish(self, verdict: Verdict) -> None:
        at, record = self.generate.utc_now(), self.record
        last = record.attempts[-1] if record.attempts else self.given
        if last and last.verdict is None:  # interrupted on the way to its own
            last.verdict = verdict
        summary = record.summary(
            at, self.generate.monotonic_ns(), self.loop_gap.as_json(), self._price_book()
        )
        if self.admitted is not None:
            await asyncio.gather(self._settle(summary), self._keep(verdict, summary))
        result = Result(
            last.number if last else 1,
            verdict,
            summary,
            last.text if last else None,
            tuple(last.values) if last else (),
            tuple(last.tool_calls.values()) if last else (),
        )
        data = self.response.encode(result)
        record.sent_bytes += len(data)
        fact, is_cold = record.completed(at, summary, verdict), record.invocation.init_ms is not None
        try:
            self.generate.telemetry.completed(fact, verdict.outcome, is_cold, summary)
        except Exception as error:  # the caller's final event does not hang on a metric
            self.failure(error)
        if (trace := record.invocation.trace) is not None and trace.sampled:
            self.generate.telemetry.spans(record.spans(trace, at, self.generate.monotonic_ns(), verdict))
        with suppress(OSError):  # nobody is there any more; the request is on record
            await self.response.finish(result, data)

    async def _settle(self, summary: dict[str, Any]) -> None:
        if self.generate.gate is not None and self.admitted is not None:
            from decimal import Decimal

            from weir.pricing.token_charges import tokens_are_priced  # both were imported for the cost

            cost, output = summary["cost"], summary["usage"]["output_tokens"]
            tokens = (summary["usage"]["input_tokens"] or 0) + (output or 0)
            spent = Decimal(cost["total"] if cost else 0)
            at_least = not cost or not tokens_are_priced(cost["unpriced"])
            await self.generate.gate.settle(self.admitted, spent, tokens, at_least=at_least)

    async def _keep(self, verdict: Verdict, summary: dict[str, Any]) -> None:
        """Keep the answer for those who ask again: before the caller has its end, since they may ask at once."""
        request = self.record.request
        if self.kept is None or request is None or self.generate.repeats is None:
            return
        try:
            await self.generate.repeats().keep(self.kept, request, self.record.attempts, verdict, summary)
        except (StorageError, ValueError) as error:
            self.failure(error)  # the answer is the caller's all the same; asked again, it is bought again

    def _price_book(self) -> "PriceBook | None":
        try:
            return self.generate.price_book()
        except ConfigurationError as error:  # then there is no estimate; the ledger prices the request later
            self.failure(error)
            return None

    def failure(self, error: Exception) -> None:
        """Log an error of our own."""
        at, request_id = format_timestamp(self.generate.utc_now()), self.record.invocation.request_id
        self.generate.telemetry.failure(at, request_id, error)


def _gone() -> Problem:
    return Problem(Outcome.CLIENT_DISCONNECTED, "the caller hung up before the end of the answer")
