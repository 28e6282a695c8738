"""Generate one document: forward the model's text as it comes, validate it meanwhile, account for it at the end.

The rules that this module keeps:
- exactly one final event ends every stream that began, and one `request.completed` fact every request;
- text is forwarded in the same turn of the loop in which it came, and is validated right after, in that turn;
- the first violation under `stop` closes the upstream response at once, and so the bill;
- facts and metrics are written before the final event: when the caller sees it, the account is on record.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from random import random
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from pydantic_streaming import InvalidDocument
from weir.errors import ConfigurationError
from weir.generate import events
from weir.generate.attempt import Asked, Attempt
from weir.generate.documents import Documents, document_schema, root_of
from weir.generate.events import Wire
from weir.generate.loop_gap import LoopGap
from weir.generate.policy import Cooldown, Policy, next_step
from weir.generate.request_record import Invocation, RequestRecord
from weir.generate.requests import GenerationRequest, invalid_fields
from weir.generate.result import Result, Verdict
from weir.generate.retry import Retry, plan_retry
from weir.generate.telemetry import Telemetry
from weir.generate.token_timer import TokenTimer
from weir.generate.usage_estimator import UsageEstimator
from weir.generate.validator_process import ValidatorProcess, close
from weir.ledger.facts import Function, format_timestamp
from weir.outcomes import Outcome
from weir.pricing.usage import NOTHING_BOUGHT
from weir.problems import Problem
from weir.providers.call import ModelCall, NotPassed, ProviderRequest
from weir.providers.events import Failed
from weir.providers.protocols import build_request, make_decoder
from weir.providers.routes import Route, Routes
from weir.providers.sse import HEARTBEAT
from weir.providers.upstream import CallFailed, Upstream, UpstreamResponse
from weir.schemas import load_schema

if TYPE_CHECKING:
    from weir.pricing.price_book import PriceBook


class Response(Protocol):
    """The way back to whoever asked; `streams` tells whether it carries events, or only the result.

    `wire` writes events as this caller reads them.
    """

    streams: bool
    wire: Wire

    async def open(self) -> None:
        """Send status 200 and the headers, if that has not been done; from now on errors are events."""

    async def send(self, data: bytes) -> None:
        """Send the bytes of whole events; returns when the transport takes more.

        Raises:
            OSError: nobody is there to take them, as ASGI servers report it.
        """

    def encode(self, result: Result) -> bytes:
        """The last bytes: a final event, or the one object."""

    async def finish(self, result: Result, data: bytes) -> None:
        """Send them; before `open`, with the status that the result has."""


@dataclass(slots=True)
class Generate:
    """The use case, one per process: what requests share, and nothing of any request."""

    upstream: Upstream
    validator_process: ValidatorProcess
    telemetry: Telemetry
    function: Function
    routes: Routes
    price_book: Callable[[], "PriceBook"]
    monotonic_ns: Callable[[], int]
    utc_now: Callable[[], datetime]
    policy: Policy = field(default_factory=Policy)
    jitter: Callable[[], float] = random
    estimator: UsageEstimator = field(default_factory=UsageEstimator)
    documents: Documents = field(default_factory=Documents)
    cooldown: Cooldown = field(init=False)

    def __post_init__(self) -> None:
        self.cooldown = Cooldown(lambda: self.monotonic_ns() / 1e9)

    async def __call__(
        self, parse: Callable[[], GenerationRequest], invocation: Invocation, response: Response
    ) -> None:
        """Serve one request to its end, whatever that is; `parse` reads it, or raises what is wrong with it.

        Being cancelled ends the request as `invocation.interrupted` says, with its final event; being cancelled
        once more, while that is sent, gives up.
        """
        await _Run(self, invocation, response).serve(parse)

    async def refuse(self, problem: Problem, invocation: Invocation, response: Response) -> None:
        """Account for a request that the endpoint itself refused, for its size or its address."""

        def refused() -> GenerationRequest:
            raise problem

        await _Run(self, invocation, response).serve(refused)

    def record_without_model(self, invocation: Invocation, sent_bytes: int) -> None:
        """Account for a request that the endpoint served itself, without the model."""
        record = RequestRecord(invocation, self.function, self.routes.default, self.estimator, streams=False)
        record.sent_bytes = sent_bytes
        at = self.utc_now()
        summary = record.summary(at, self.monotonic_ns(), None, None)
        self.telemetry.fact(record.completed(at, summary, Verdict(Outcome.OK)))


class _Run:
    """One request: what is done about it, from the first byte to the final event; its record keeps what happened."""

    def __init__(self, generate: Generate, invocation: Invocation, response: Response) -> None:
        self.generate = generate
        self.response = response
        self.record = RequestRecord(
            invocation, generate.function, generate.routes.default, generate.estimator, response.streams
        )
        self.loop_gap = LoopGap()
        self.cut: Problem | None = None  # why we ended the request ourselves, before its task was cancelled
        self.terminated: list[UpstreamResponse] = []  # drained when the caller has the last byte, not before

    async def serve(self, parse: Callable[[], GenerationRequest]) -> None:
        """Run the request from parsing to its final event; nothing but a second cancellation gets out."""
        pulse: asyncio.Task[None] | None = None
        deadline: asyncio.TimerHandle | None = None
        try:
            with self.loop_gap:
                self.record.request = request = parse()
                deadline = self._set_deadline(request, asyncio.current_task())
                self.generate.telemetry.fact(self.record.started(self.generate.utc_now()))
                pulse = asyncio.create_task(self._pulse(asyncio.current_task()))
                verdict = await self._attempts(request)
        except Problem as problem:
            verdict = Verdict.failed(problem)
        except asyncio.CancelledError:
            outcome = self.record.invocation.interrupted() or Outcome.STOPPED
            detail = f"the request was ended before the model was done: {outcome.value}"
            verdict = Verdict.failed(self.cut or Problem(outcome, detail))
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
        except Exception as error:
            self._failure(error)
            detail = "an error of our own; the log has it under the request's id"
            verdict = Verdict.failed(Problem(Outcome.INTERNAL_ERROR, detail))
        finally:
            for timer in (pulse, deadline):
                if timer is not None:
                    timer.cancel()
        drain = False
        try:
            await self._finish(verdict)
            drain = True
        finally:
            for response in self.terminated:
                await response.close(drain=drain)

    def _set_deadline(
        self, request: GenerationRequest, serving: asyncio.Task[Any] | None
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

    async def _attempts(self, request: GenerationRequest) -> Verdict:
        """Ask the model; and once more, for what is missing, if a violation ended the first answer."""
        generate = self.generate
        route = generate.routes.find(request.model)
        if route is None:
            names = ", ".join(generate.routes.names)
            raise invalid_fields([("/model", f"expected one of {names}, got {request.model!r:.80}")])
        schema = load_schema(request.schema_name) if request.schema_name else None
        attempt = await self._ask(request, route, schema, None)
        verdict = attempt.verdict
        assert verdict is not None, "an attempt that has ended has a verdict"
        if schema is None or request.on_violation != "retry" or verdict.outcome is not Outcome.INVALID_OUTPUT:
            return verdict
        route = attempt.asked.route
        # A grammar that is compiled is not thrown away for a smaller one.
        apart = not (
            route.profile.compiles and attempt.asked.structured and attempt.asked.structured.mode == "native"
        )
        properties = (
            root_of(document_schema(request.schema_name or "")).get("properties", {}) if apart else {}
        )
        released = attempt.released
        retry = plan_retry(
            schema, attempt.text or "", verdict.violations, attempt.sent_paths, properties, released
        )
        if not retry.prefix.startswith(released):
            return verdict  # what has left cannot be gone on with
        await self._send(self.response.wire.retry(attempt.number + 1, retry.reason, retry.discarded_paths))
        attempt = await self._ask(request, route, schema, retry, released)
        assert attempt.verdict is not None, "an attempt that has ended has a verdict"
        return attempt.verdict

    async def _ask(
        self,
        request: GenerationRequest,
        route: Route,
        schema: type[BaseModel] | None,
        retry: Retry | None,
        released: str = "",
    ) -> Attempt:
        """Put one question, as often and to as many routes as the policy says; return the attempt that stands."""
        generate = self.generate
        chain = generate.routes.chain(route)
        route = next((each for each in chain if not generate.cooldown.cooling(each)), route)
        asked, made, fresh = {route.name}, 0, False
        while True:
            attempt = await self._attempt(request, route, schema, retry, fresh, released)
            failed = attempt.failed
            if failed is None or attempt.deltas:
                generate.cooldown.note(route, None)
                return attempt
            if failed.kind == "request" and self._lowered(failed, request, route):
                continue
            generate.cooldown.note(route, failed)
            others = [
                each for each in chain if each.name not in asked and not generate.cooldown.cooling(each)
            ]
            left_s = (self.ends_ns - generate.monotonic_ns()) / 1e9
            if (until := self.record.invocation.deadline) is not None:
                left_s = min(left_s, (until - generate.utc_now()).total_seconds())
            step = next_step(failed, route, others, made, left_s, generate.policy, generate.jitter)
            if step is None:
                return attempt
            if self.record.opened:
                await self._send(self.response.wire.retry(attempt.number + 1, failed.message, []))
            if step.wait_s:
                await asyncio.sleep(step.wait_s)
            fresh = True
            made = made + 1 if step.route.name == route.name else 0
            route = step.route
            asked.add(route.name)

    def _lowered(self, failed: Failed, request: GenerationRequest, route: Route) -> bool:
        """Whether the provider refused the schema, and can be asked in another way, from now on."""
        words = ("schema", "response_format", "output_config", "textformat", "tool_choice", "grammar")
        if request.schema_name is None or not any(word in failed.message.lower() for word in words):
            return False
        return self.generate.documents.lower(request.schema_name, route)

    async def _attempt(
        self,
        request: GenerationRequest,
        route: Route,
        schema: type[BaseModel] | None,
        retry: Retry | None,
        fresh: bool,
        released: str,
    ) -> Attempt:
        """One upstream call, to its verdict."""
        generate, record = self.generate, self.record
        asked, provider_request, body = self._build(request, route, schema, retry)
        streams = self.response.streams
        attempt = Attempt(
            len(record.attempts) + 1,
            asked,
            make_decoder(route, generate.policy.caps.event_bytes),
            include=frozenset(request.include) if streams else frozenset(),
            wire=self.response.wire,
            validated_release=request.release == "validated",
            released=released,
            stop_at_violation=request.on_violation != "finish",
            keep=not streams or request.on_violation == "retry",
            caps=generate.policy.caps,
            timing=record.timing,
            clock=generate.monotonic_ns,
        )
        record.attempts.append(attempt)
        try:
            await self._stream(attempt, provider_request, body, fresh)
            await self._conclude(attempt)
        except CallFailed as error:
            attempt.failed = attempt.failed or error.failed
            attempt.fail(error)
        except Problem as problem:
            attempt.fail(problem)
        return attempt

    def _build(
        self, request: GenerationRequest, route: Route, schema: type[BaseModel] | None, retry: Retry | None
    ) -> tuple[Asked, ProviderRequest, bytes]:
        name = request.schema_name
        structured = None
        if name is not None:
            structured = self.generate.documents.request(name, route, retry.properties if retry else None)
        cap = self.generate.routes.cap_for(route, name, request.max_output_tokens)
        call = ModelCall(
            [*request.conversation(), *(retry.messages if retry else ())],
            cap,
            structured,
            request.temperature,
            request.top_p,
            request.seed,
            tuple(request.stop),
            request.reasoning_effort,
            request.service_tier,
            request.extra_body,
            self.record.invocation.request_id,
        )
        try:
            provider_request = build_request(call, route)
        except NotPassed as error:
            raise invalid_fields([(error.pointer, error.detail)]) from error
        body = provider_request.encoded()
        # A provider counts the schema as input, too; the bytes of an image it does not count as text.
        chars = len(body) - sum(message.data_chars for message in call.messages)
        document = document_schema(name) if name and structured and structured.null_is_absent else None
        return Asked(route, chars, cap, structured, schema, retry, document), provider_request, body

    async def _stream(self, attempt: Attempt, asked: ProviderRequest, body: bytes, fresh: bool) -> None:
        """The call, from its start to the end of its body, or to the point where it is ended."""
        self.record.timing.called(self.generate.monotonic_ns())
        try:
            try:
                response = await self._call(attempt.asked.route, asked, body, fresh)
            except CallFailed as error:
                # Unknown, and not nothing, where the provider may have worked; but for a connection that was dead
                # when it was taken from the pool, which only the attempt's line marks.
                if not error.failed.maybe_served or not error.connected:
                    attempt.usage = NOTHING_BOUGHT
                raise
            try:
                await self._open()
                await self._forward(attempt, response)
                await self._send(attempt.end_body())
            finally:
                if attempt.decoder.terminated:
                    self.terminated.append(response)
                else:
                    await response.close(drain=False)
        finally:
            self.record.timing.ended(self.generate.monotonic_ns())
            self.record.finalize_usage(attempt)

    async def _call(self, route: Route, asked: ProviderRequest, body: bytes, fresh: bool) -> UpstreamResponse:
        """Wait for the provider's status; the caller does not wait longer than for the prelude's time."""
        headers_s = self.generate.policy.clocks.headers_s
        prelude_s = min(self.generate.policy.rhythm.prelude_s, headers_s)
        call = asyncio.ensure_future(self.generate.upstream.call(route, asked, body, fresh=fresh))
        try:
            done, _ = await asyncio.wait({call}, timeout=prelude_s)
            if not done and prelude_s < headers_s:
                await self._open()
                done, _ = await asyncio.wait({call}, timeout=headers_s - prelude_s)
            if not done:
                message = f"expected a status within {headers_s:g} s"
                raise CallFailed(Failed(message, kind="timeout", retryable="yes", maybe_served=True))
            return call.result()
        except BaseException:
            # Cancelled as the status came: then there is a response that nobody will read.
            if not call.cancel() and not call.cancelled() and call.exception() is None:
                await call.result().close(drain=False)
            raise

    async def _forward(self, attempt: Attempt, response: UpstreamResponse) -> None:
        policy = self.generate.policy
        limit_s = policy.clocks.first_token_s
        try:
            with TokenTimer(limit_s) as timer:
                async for chunk in response:
                    # A slow reader holds us here, and through us the provider: that is no fault of the provider.
                    timer.paused = True
                    await self._send(attempt.absorb(chunk))
                    await self._send(attempt.validate())
                    timer.paused = False
                    if attempt.over:
                        return
                    if attempt.decoder.finish is not None:
                        if limit_s != policy.rhythm.usage_s:  # only its counts are still due
                            timer.limit(limit_s := policy.rhythm.usage_s)
                    elif attempt.progressed:
                        if limit_s != policy.clocks.between_tokens_s:
                            timer.limit(limit_s := policy.clocks.between_tokens_s)
                        timer.reset()
        except (TimeoutError, CallFailed) as error:
            if attempt.decoder.complete:
                return  # after a finish reason any end is the end
            if isinstance(error, CallFailed):
                raise
            which = "a token" if attempt.deltas else "the first token"
            message = f"expected {which} within {limit_s:g} s"
            raise CallFailed(Failed(message, kind="timeout", retryable="yes", maybe_served=True)) from None

    async def _conclude(self, attempt: Attempt) -> None:
        """Give the attempt its verdict; send what only the whole of the text could tell."""
        validator = attempt.conclude()
        if validator is None:
            return
        started_ns = self.generate.monotonic_ns()
        try:
            document = await close(validator, self.generate.validator_process)
        except InvalidDocument as error:
            attempt.refuse(error)
            return
        except Exception as error:
            # A validator, a computed field or a serializer of the schema's own that raises: no error of ours.
            self._failure(error)
            detail = f"schema {attempt.asked.structured.name if attempt.asked.structured else ''}: "
            detail += (
                f"expected a document that it can validate and write, got {type(error).__name__}: {error}"
            )
            attempt.fail(Problem(Outcome.INVALID_OUTPUT, detail[:500], title="The schema raised an error"))
            return
        finally:
            self.record.timing.validate_ns += self.generate.monotonic_ns() - started_ns
        await self._send(attempt.accept(document))
        if "result" in attempt.include:
            for event in events.result(attempt.number, document.json_parts(events.RESULT_PART_BYTES)):
                await self._send(event)

    async def _open(self) -> None:
        self.record.opened = self.response.streams  # a buffered response still has its status to give
        try:
            await self.response.open()
        except OSError as error:
            raise _gone() from error

    async def _send(self, data: bytes) -> None:
        if data and self.response.streams:
            self.record.sent_bytes += len(data)
            if self.record.sent_bytes > self.generate.policy.caps.sent_bytes:
                limit = self.generate.policy.caps.sent_bytes
                raise Problem(Outcome.STOPPED, f"stream: expected at most {limit} bytes, got more")
            try:
                await self.response.send(data)
            except OSError as error:
                raise _gone() from error

    async def _pulse(self, serving: asyncio.Task[Any] | None) -> None:
        """Keep a silent connection alive, and leave a trace of what was used for the case that we are killed.

        A heartbeat that finds the caller gone ends `serving` before the next token would.
        """
        sent_before = 0
        while True:
            await asyncio.sleep(self.generate.policy.rhythm.pulse_s)
            if self.record.opened and self.record.sent_bytes == sent_before:
                try:
                    await self._send(HEARTBEAT)
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

    async def _finish(self, verdict: Verdict) -> None:
        at, record = self.generate.utc_now(), self.record
        last = record.attempts[-1] if record.attempts else None
        if last and last.verdict is None:  # interrupted on the way to its own
            last.verdict = verdict
        summary = record.summary(
            at, self.generate.monotonic_ns(), self.loop_gap.as_json(), self._price_book()
        )
        result = Result(
            last.number if last else 1,
            verdict,
            summary,
            last.text if last else None,
            tuple(last.values) if last else (),
        )
        data = self.response.encode(result)
        record.sent_bytes += len(data)
        self.generate.telemetry.fact(record.completed(at, summary, verdict))
        try:
            self.generate.telemetry.metrics(verdict.outcome, record.invocation.init_ms is not None, summary)
        except Exception as error:  # the caller's final event does not hang on a metric
            self._failure(error)
        with suppress(OSError):  # nobody is there any more; the request is on record
            await self.response.finish(result, data)

    def _price_book(self) -> "PriceBook | None":
        try:
            return self.generate.price_book()
        except ConfigurationError as error:  # then there is no estimate; the ledger prices the request later
            self._failure(error)
            return None

    def _failure(self, error: Exception) -> None:
        at, request_id = format_timestamp(self.generate.utc_now()), self.record.invocation.request_id
        self.generate.telemetry.failure(at, request_id, error)


def _gone() -> Problem:
    return Problem(Outcome.CLIENT_DISCONNECTED, "the caller hung up before the end of the answer")
