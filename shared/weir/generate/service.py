"""Generate one document: forward the model's text as it comes, validate it meanwhile, account for it at the end.

The rules that this module keeps:
- exactly one final event ends every stream that began, and one `request.completed` fact every request;
- text is forwarded in the same turn of the loop in which it came, and is validated in that turn;
- the first violation under `stop` closes the upstream response at once, and so the bill;
- facts and metrics are written before the final event: when the caller sees it, the account is on record.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pydantic_streaming import InvalidDocument
from weir.generate import events
from weir.generate.attempt import Attempt
from weir.generate.loop_gap import LoopGap
from weir.generate.request_record import Invocation, RequestRecord
from weir.generate.requests import GenerationRequest, parse_request
from weir.generate.result import Result, Verdict
from weir.generate.retry import Retry, plan_retry
from weir.generate.telemetry import Telemetry
from weir.generate.token_timer import TokenTimer
from weir.generate.usage_estimator import UsageEstimator
from weir.generate.validator_process import ValidatorProcess, close
from weir.ledger.facts import Function, format_timestamp
from weir.outcomes import Outcome
from weir.pricing.price_book import PriceBook, PriceBookError
from weir.pricing.usage import NOTHING_BOUGHT
from weir.problems import Problem
from weir.providers.sse import HEARTBEAT
from weir.providers.upstream import NotServed, Upstream, UpstreamResponse
from weir.schemas import load_schema, response_format


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait, in seconds, and how much to stream, in bytes.

    `prelude_s`: the caller gets its status then, whatever the provider does (an edge-optimised API drops a silent
    connection at 30 s). `headers_s`: for the provider's status. `token_s`: between two tokens; pings do not count.
    `pulse_s`: between heartbeats while nothing else is sent, and between progress facts. `streamed_bytes`: a model
    that never ends is stopped far from Lambda's own limit, 200 MB, which would cut the stream without a final event.
    """

    prelude_s: float = 10.0
    headers_s: float = 60.0
    token_s: float = 60.0
    pulse_s: float = 10.0
    streamed_bytes: int = 50_000_000


class Response(Protocol):
    """The way back to whoever asked; `streams` tells whether it carries events, or only the result."""

    streams: bool

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
    model: str
    price_book: Callable[[], PriceBook]
    monotonic_ns: Callable[[], int]
    utc_now: Callable[[], datetime]
    limits: Limits = field(default_factory=Limits)
    estimator: UsageEstimator = field(default_factory=UsageEstimator)

    async def __call__(
        self, body: bytes, content_type: str, invocation: Invocation, response: Response
    ) -> None:
        """Serve one request to its end, whatever that is.

        Being cancelled ends the request as `invocation.interrupted` says, with its final event; being cancelled
        once more, while that is sent, gives up.
        """
        await _Run(self, invocation, response).serve(lambda: parse_request(body, content_type))

    async def refuse(self, problem: Problem, invocation: Invocation, response: Response) -> None:
        """Account for a request that the endpoint itself refused, for its size or its address."""

        def refused() -> GenerationRequest:
            raise problem

        await _Run(self, invocation, response).serve(refused)

    def record_without_model(self, invocation: Invocation, sent_bytes: int) -> None:
        """Account for a request that the endpoint served itself, without the model."""
        record = RequestRecord(invocation, self.function, self.model, self.estimator, streams=False)
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
            invocation, generate.function, generate.model, generate.estimator, response.streams
        )
        self.loop_gap = LoopGap()
        self.gone: Problem | None = None  # what a heartbeat met that found nobody there
        self.terminated: list[UpstreamResponse] = []  # drained when the caller has the last byte, not before

    async def serve(self, parse: Callable[[], GenerationRequest]) -> None:
        """Run the request from parsing to its final event; nothing but a second cancellation gets out."""
        pulse: asyncio.Task[None] | None = None
        try:
            with self.loop_gap:
                self.record.request = request = parse()
                self.generate.telemetry.fact(self.record.started(self.generate.utc_now()))
                pulse = asyncio.create_task(self._pulse(asyncio.current_task()))
                verdict = await self._attempts(request)
        except Problem as problem:
            verdict = Verdict.failed(problem)
        except asyncio.CancelledError:
            outcome = self.record.invocation.interrupted() or Outcome.STOPPED
            detail = f"the request was ended before the model was done: {outcome.value}"
            verdict = Verdict.failed(self.gone or Problem(outcome, detail))
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
        except Exception as error:
            self._failure(error)
            detail = "an error of our own; the log has it under the request's id"
            verdict = Verdict.failed(Problem(Outcome.INTERNAL_ERROR, detail))
        finally:
            if pulse is not None:
                pulse.cancel()
        drain = False
        try:
            await self._finish(verdict)
            drain = True
        finally:
            for response in self.terminated:
                await response.close(drain=drain)

    async def _attempts(self, request: GenerationRequest) -> Verdict:
        """Ask the model; and once more, for what is missing, if a violation ended the first attempt."""
        schema = load_schema(request.schema_name) if request.schema_name else None
        retry: Retry | None = None
        while True:
            payload = self._payload(request, retry)
            attempt = Attempt(
                len(self.record.attempts) + 1,
                model=self.record.model,
                # A provider counts the schema as input, too.
                input_chars=len(events.dumps([payload["messages"], payload.get("response_format")])),
                schema=schema,
                include=frozenset(request.include) if self.response.streams else frozenset(),
                stop_at_violation=request.on_violation != "finish",
                keep_text=not self.response.streams or request.on_violation == "retry",
                timing=self.record.timing,
                clock=self.generate.monotonic_ns,
                retry=retry,
            )
            self.record.attempts.append(attempt)
            try:
                await self._stream(attempt, payload)
                await self._conclude(attempt)
            except Problem as problem:
                attempt.fail(problem)
            verdict = attempt.verdict
            assert verdict is not None, "an attempt that has ended has a verdict"
            may_ask_again = request.on_violation == "retry" and retry is None
            if schema is None or not may_ask_again or verdict.outcome is not Outcome.INVALID_OUTPUT:
                return verdict
            retry = plan_retry(schema, attempt.text or "", verdict.violations, attempt.sent_paths)
            await self._send(events.retry(attempt.number + 1, retry.reason, retry.discarded_paths))

    def _payload(self, request: GenerationRequest, retry: Retry | None) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "model": self.record.model,
            "messages": request.conversation() + (retry.messages if retry else []),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.schema_name is not None:
            payload["response_format"] = response_format(
                request.schema_name, retry.properties if retry else None
            )
        if request.max_output_tokens is not None:
            payload["max_completion_tokens"] = request.max_output_tokens
        if request.temperature is not None:
            payload["temperature"] = request.temperature
        return payload

    async def _stream(self, attempt: Attempt, payload: dict[str, Any]) -> None:
        """One upstream call, from its start to the end of its body, or to the point where it is ended."""
        self.record.timing.called(self.generate.monotonic_ns())
        try:
            try:
                response = await self._call(payload)
            except NotServed:
                attempt.usage = NOTHING_BOUGHT
                raise
            try:
                await self._open()
                await self._forward(attempt, response)
            finally:
                if attempt.decoder.terminated:
                    self.terminated.append(response)
                else:
                    await response.close(drain=False)
        finally:
            self.record.timing.ended(self.generate.monotonic_ns())
            self.record.finalize_usage(attempt)

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
        except BaseException:
            # Cancelled as the status came: then there is a response that nobody will read.
            if not call.cancel() and not call.cancelled() and call.exception() is None:
                await call.result().close(drain=False)
            raise

    async def _forward(self, attempt: Attempt, response: UpstreamResponse) -> None:
        token_s = self.generate.limits.token_s
        try:
            with TokenTimer(token_s) as timer:
                async for chunk in response:
                    data = attempt.absorb(chunk)
                    if data:
                        # A slow reader holds us here, and through us the provider: that is no fault of the provider.
                        timer.paused = True
                        await self._send(data)
                        timer.paused = False
                    if attempt.progressed:
                        timer.reset()
                    if attempt.over:
                        return
                await self._send(attempt.end_body())
        except TimeoutError:
            raise Problem(
                Outcome.UPSTREAM_TIMEOUT, f"provider: expected a token within {token_s:g} s"
            ) from None

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
            if self.record.sent_bytes > self.generate.limits.streamed_bytes:
                limit = self.generate.limits.streamed_bytes
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
            await asyncio.sleep(self.generate.limits.pulse_s)
            if self.record.opened and self.record.sent_bytes == sent_before:
                try:
                    await self._send(HEARTBEAT)
                except Problem as problem:
                    self.gone = problem
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
        result = Result(last.number if last else 1, verdict, summary, last.text if last else None)
        data = self.response.encode(result)
        record.sent_bytes += len(data)
        self.generate.telemetry.fact(record.completed(at, summary, verdict))
        try:
            self.generate.telemetry.metrics(verdict.outcome, record.invocation.init_ms is not None, summary)
        except Exception as error:  # the caller's final event does not hang on a metric
            self._failure(error)
        with suppress(OSError):  # nobody is there any more; the request is on record
            await self.response.finish(result, data)

    def _price_book(self) -> PriceBook | None:
        try:
            return self.generate.price_book()
        except (
            PriceBookError
        ) as error:  # then the request goes without an estimate; the ledger prices it later
            self._failure(error)
            return None

    def _failure(self, error: Exception) -> None:
        at, request_id = format_timestamp(self.generate.utc_now()), self.record.invocation.request_id
        self.generate.telemetry.failure(at, request_id, error)


def _gone() -> Problem:
    return Problem(Outcome.CLIENT_DISCONNECTED, "the caller hung up before the end of the answer")
