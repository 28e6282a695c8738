"""Generate one document: forward the model's text as it comes, validate it meanwhile, account for it at the end.

The rules that this module keeps:
- exactly one final event ends every stream that began, and one `request.completed` fact every request;
- text is forwarded before anything else is done with it;
- the first violation under `stop` closes the upstream response at once, and so the bill;
- facts and metrics are written before the final event: when the caller sees it, the account is on record.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from weir.adapters.loop_gap import LoopGap
from weir.adapters.telemetry import Telemetry
from weir.adapters.upstream import Upstream, UpstreamResponse
from weir.core import events
from weir.core.attempt import Attempt
from weir.core.cost import UsageQuantities, price_request
from weir.core.ending import Ending
from weir.core.facts import Function, Kind, RequestIdentity, instant
from weir.core.outcomes import Outcome
from weir.core.prices import PriceBook, PriceBookError
from weir.core.problems import Problem
from weir.core.requests import GenerationRequest, parse_request
from weir.core.sse import HEARTBEAT
from weir.core.timing import RequestTiming
from weir.core.usage import DEFAULT_CHARS_PER_TOKEN, Usage, estimate_usage
from weir.schemas import load_schema, response_format


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait, in seconds.

    `prelude_s`: the caller gets its status then, whatever the provider does (an edge-optimised API drops a silent
    connection at 30 s). `headers_s`: for the provider's status. `token_s`: between two tokens; pings do not count.
    `pulse_s`: between heartbeats while nothing else is sent, and between progress facts.
    """

    prelude_s: float = 10.0
    headers_s: float = 60.0
    token_s: float = 60.0
    pulse_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the platform says of one request.

    `started_ns` is the monotonic clock's; `init_ms` is this process's own start, None where the environment was
    warm; `interrupted` names why the request's task was cancelled.
    """

    request_id: str
    function_arn: str | None
    started_ns: int
    init_ms: float | None
    deadline: datetime | None = None
    interrupted: Callable[[], Outcome | None] = lambda: None


class Caller(Protocol):
    """Whoever asked, by way of a door; `streams` tells whether events are wanted, or only the ending."""

    streams: bool

    async def open(self) -> None:
        """Send status 200 and the headers, if that has not been done; from now on errors are events."""

    async def send(self, data: bytes) -> None:
        """Send the bytes of whole events; returns when the transport takes more."""

    def encode(self, ending: Ending) -> bytes:
        """The last bytes: a final event, or the one answer."""

    async def finish(self, ending: Ending, data: bytes) -> None:
        """Send them; before `open`, with the status that the ending has."""


@dataclass(slots=True)
class Generate:
    """The use case, one per process: what requests share, and nothing of any request."""

    upstream: Upstream
    telemetry: Telemetry
    function: Function
    model: str
    price_book: Callable[[], PriceBook]
    monotonic_ns: Callable[[], int]
    utc_now: Callable[[], datetime]
    limits: Limits = field(default_factory=Limits)
    # Characters of input per token, by model, as last counted by the provider: what an estimate stands on.
    chars_per_token: dict[str, float] = field(default_factory=dict)

    async def __call__(self, body: bytes, content_type: str, invocation: Invocation, caller: Caller) -> None:
        """Serve one request to its end, whatever that is.

        Being cancelled ends the request as `invocation.interrupted` says, with its final event; being cancelled
        once more, while that is sent, gives up.
        """
        await _Run(self, invocation, caller).serve(lambda: parse_request(body, content_type))

    async def refuse(self, problem: Problem, invocation: Invocation, caller: Caller) -> None:
        """Account for a request that the door itself refused, for its size or its address."""

        def refused() -> GenerationRequest:
            raise problem

        await _Run(self, invocation, caller).serve(refused)


class _Run:
    """One request: its state from the first byte to the final event."""

    def __init__(self, generate: Generate, invocation: Invocation, caller: Caller) -> None:
        self.generate = generate
        self.invocation = invocation
        self.caller = caller
        self.timing = RequestTiming(invocation.started_ns)
        self.loop_gap = LoopGap()
        self.request: GenerationRequest | None = None
        self.attempts: list[Attempt] = []
        self.terminated: list[UpstreamResponse] = []  # drained when the caller has the last byte, not before
        self.opened = False
        self.sent_bytes = 0

    async def serve(self, parse: Callable[[], GenerationRequest]) -> None:
        """Run the request from parsing to its final event; nothing but a second cancellation gets out."""
        problem: Problem | None = None
        pulse: asyncio.Task[None] | None = None
        try:
            with self.loop_gap:
                self.request = request = parse()
                self._fact("request.started", **self._asked(request))
                pulse = asyncio.create_task(self._pulse())
                await self._attempt(request)
        except Problem as raised:
            problem = raised
        except asyncio.CancelledError:
            outcome = self.invocation.interrupted() or Outcome.STOPPED
            problem = Problem(outcome, f"the request was ended before the model was done: {outcome.value}")
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
        except Exception as error:
            self._failure(error)
            problem = Problem(
                Outcome.INTERNAL_ERROR, "an error of our own; the log has it under the request's id"
            )
        finally:
            if pulse is not None:
                pulse.cancel()
        await self._finish(problem)
        for response in self.terminated:
            await response.close(drain=True)

    async def _attempt(self, request: GenerationRequest) -> None:
        """One upstream call, from its start to the verdict on what it gave."""
        payload = self._payload(request)
        attempt = Attempt(
            len(self.attempts) + 1,
            model=payload["model"],
            schema=load_schema(request.schema_name) if request.schema_name else None,
            include=frozenset(request.include) if self.caller.streams else frozenset(),
            stop_at_violation=request.on_violation == "stop",
            keep_text=not self.caller.streams,
            timing=self.timing,
            clock=self.generate.monotonic_ns,
        )
        self.attempts.append(attempt)
        self.timing.called(self.generate.monotonic_ns())
        try:
            response = await self._call(payload)
            try:
                await self._open()
                await self._forward(attempt, response)
            finally:
                if attempt.decoder.terminated:
                    self.terminated.append(response)
                else:
                    await response.close(drain=False)
        except Problem as problem:
            attempt.outcome = problem.outcome
            raise
        finally:
            self.timing.ended(self.generate.monotonic_ns())
            self._settle_usage(attempt, request)
        await self._send(attempt.conclude())
        if attempt.document is not None and "result" in attempt.include:
            for event in events.result(attempt.number, attempt.document.json_parts(events.RESULT_PART_BYTES)):
                await self._send(event)

    def _payload(self, request: GenerationRequest) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "model": request.model or self.generate.model,
            "messages": request.conversation(),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.schema_name is not None:
            payload["response_format"] = response_format(request.schema_name)
        if request.max_output_tokens is not None:
            payload["max_completion_tokens"] = request.max_output_tokens
        if request.temperature is not None:
            payload["temperature"] = request.temperature
        return payload

    async def _call(self, payload: dict[str, Any]) -> UpstreamResponse:
        """Wait for the provider's status; the caller does not wait longer than for the prelude's time."""
        limits = self.generate.limits
        call = asyncio.ensure_future(self.generate.upstream.call(payload))
        try:
            done, _ = await asyncio.wait({call}, timeout=limits.prelude_s)
            if not done:
                await self._open()
                done, _ = await asyncio.wait({call}, timeout=limits.headers_s - limits.prelude_s)
            if not done:
                raise Problem(
                    Outcome.UPSTREAM_TIMEOUT, f"provider: expected a status within {limits.headers_s:g} s"
                )
            return call.result()
        finally:
            call.cancel()

    async def _forward(self, attempt: Attempt, response: UpstreamResponse) -> None:
        token_s = self.generate.limits.token_s
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(token_s) as tokens:
                async for chunk in response:
                    data = attempt.absorb(chunk)
                    if data:
                        # A slow reader holds us here, and through us the provider: that is no fault of the provider.
                        tokens.reschedule(None)
                        await self._send(data)
                    if attempt.progressed:
                        tokens.reschedule(now() + token_s)
                    if attempt.over:
                        return
        except TimeoutError:
            raise Problem(
                Outcome.UPSTREAM_TIMEOUT, f"provider: expected a token within {token_s:g} s"
            ) from None

    async def _open(self) -> None:
        self.opened = True
        await self.caller.open()

    async def _send(self, data: bytes) -> None:
        if data:
            self.sent_bytes += len(data)
            await self.caller.send(data)

    async def _pulse(self) -> None:
        """Keep a silent connection alive, and leave a trace of what was used for the case that we are killed."""
        sent_before = 0
        while True:
            await asyncio.sleep(self.generate.limits.pulse_s)
            if self.caller.streams and self.opened and self.sent_bytes == sent_before:
                await self._send(HEARTBEAT)
            sent_before = self.sent_bytes
            attempt, request = self.attempts[-1], self.request
            if request is not None:
                self._fact(
                    "request.progress",
                    usage=self._estimate(attempt, request).as_json(),
                    timing=self._timing(),
                )

    def _settle_usage(self, attempt: Attempt, request: GenerationRequest) -> None:
        """Learn from what the provider counted; estimate where it was stopped, or broke off, before it counted."""
        ratios, model = self.generate.chars_per_token, attempt.model_returned or attempt.model
        if attempt.usage.source == "provider":
            if attempt.usage.input_tokens and not attempt.usage.inconsistent:
                ratios[model] = request.input_chars() / attempt.usage.input_tokens
        elif attempt.deltas:
            attempt.usage = self._estimate(attempt, request)

    def _estimate(self, attempt: Attempt, request: GenerationRequest) -> Usage:
        model = attempt.model_returned or attempt.model
        ratio = self.generate.chars_per_token.get(model, DEFAULT_CHARS_PER_TOKEN)
        return estimate_usage(request.input_chars(), ratio, attempt.output_chars, attempt.deltas)

    async def _finish(self, problem: Problem | None) -> None:
        outcome = problem.outcome if problem else Outcome.OK
        if self.attempts and self.attempts[-1].outcome is None:  # interrupted on the way to its own verdict
            self.attempts[-1].outcome = outcome
        attempts = [
            attempt.as_json(timing)
            for attempt, timing in zip(self.attempts, self.timing.attempts, strict=True)
        ]
        usage = Usage.total([attempt.usage for attempt in self.attempts]).as_json()
        timing = self._timing()
        cost = self._cost()
        last = self.attempts[-1] if self.attempts else None
        ending = Ending(
            attempt=last.number if last else 1,
            problem=problem,
            account={"usage": usage, "timing": timing, "cost": cost},
            document=last.document if last else None,
            text=last.text if last else None,
        )
        data = self.caller.encode(ending)
        self.sent_bytes += len(data)
        self._fact(
            "request.completed",
            outcome=outcome,
            http_status=200 if self.opened or problem is None else problem.status,
            model_returned=last.model_returned if last else None,
            **(self._asked(self.request) if self.request else {}),
            usage=usage,
            attempts=attempts,
            timing=timing,
            streamed_bytes=self.sent_bytes,
            violations=len(last.violations) if last else 0,
            validated_values=last.values if last else 0,
            cost=cost,
            price_book_version=cost["price_book_version"] if cost else None,
        )
        self.generate.telemetry.metrics(outcome, self.invocation.init_ms is not None, usage, timing)
        await self.caller.finish(ending, data)

    def _timing(self) -> dict[str, Any]:
        return self.timing.as_json(self.generate.monotonic_ns(), self.loop_gap.as_json())

    def _cost(self) -> dict[str, Any] | None:
        """The estimate, without the platform's own time, which is not known yet; None where no book can be had."""
        try:
            book = self.generate.price_book()
        except PriceBookError as error:
            self._failure(error)
            return None
        timing, init_ms = self._timing(), self.invocation.init_ms
        quantities = UsageQuantities(
            at=self.generate.utc_now(),
            billed_ms=math.ceil((init_ms or 0.0) + timing["duration_ms"]),
            memory_mb=self.generate.function.memory_mb,
            architecture=self.generate.function.architecture,
            region=self.generate.function.region,
            init_ms=init_ms or 0.0,
            wait_ms=timing["wait_ms"],
            stream_ms=timing["stream_ms"],
            validate_ms=timing["validate_ms"],
            streamed_bytes=self.sent_bytes,
            tokens=[(attempt.model_returned or attempt.model, attempt.usage) for attempt in self.attempts],
            is_estimate=True,
        )
        return price_request(quantities, book).as_json()

    def _asked(self, request: GenerationRequest) -> dict[str, Any]:
        deadline = self.invocation.deadline
        return {
            "schema": request.schema_name,
            "on_violation": request.on_violation,
            "stream": self.caller.streams,
            "deadline_at": instant(deadline) if deadline else None,
        }

    def _fact(self, kind: Kind, **members: Any) -> None:
        invocation, request = self.invocation, self.request
        identity = RequestIdentity(
            invocation.request_id,
            self.generate.function,
            invocation.function_arn,
            invocation.init_ms is not None,
            request.tags if request else {},
            (request.model or self.generate.model) if request else None,
        )
        attempt = max(len(self.attempts), 1)
        self.generate.telemetry.fact(identity.fact(kind, self.generate.utc_now(), attempt, **members))

    def _failure(self, error: Exception) -> None:
        self.generate.telemetry.failure(instant(self.generate.utc_now()), self.invocation.request_id, error)
