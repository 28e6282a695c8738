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
from weir.generate.request_record import Account, Invocation
from weir.generate.requests import GenerationRequest, parse_request
from weir.generate.result import Ending
from weir.generate.retry import Retry, plan_retry
from weir.generate.telemetry import Telemetry
from weir.generate.token_timer import TokenTimer
from weir.generate.usage_estimator import Experience
from weir.generate.validator_process import Judge, close
from weir.ledger.facts import Function, instant
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


class Caller(Protocol):
    """Whoever asked, by way of a door; `streams` tells whether events are wanted, or only the ending."""

    streams: bool

    async def open(self) -> None:
        """Send status 200 and the headers, if that has not been done; from now on errors are events."""

    async def send(self, data: bytes) -> None:
        """Send the bytes of whole events; returns when the transport takes more.

        Raises:
            OSError: nobody is there to take them, as ASGI servers report it.
        """

    def encode(self, ending: Ending) -> bytes:
        """The last bytes: a final event, or the one answer."""

    async def finish(self, ending: Ending, data: bytes) -> None:
        """Send them; before `open`, with the status that the ending has."""


@dataclass(slots=True)
class Generate:
    """The use case, one per process: what requests share, and nothing of any request."""

    upstream: Upstream
    judge: Judge
    telemetry: Telemetry
    function: Function
    model: str
    price_book: Callable[[], PriceBook]
    monotonic_ns: Callable[[], int]
    utc_now: Callable[[], datetime]
    limits: Limits = field(default_factory=Limits)
    experience: Experience = field(default_factory=Experience)

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

    def answered(self, invocation: Invocation, sent_bytes: int) -> None:
        """Account for a request that the door answered itself, without the model."""
        account = Account(invocation, self.function, self.model, self.experience, streams=False)
        account.sent_bytes = sent_bytes
        at = self.utc_now()
        summary = account.summary(at, self.monotonic_ns(), None, None)
        self.telemetry.fact(account.completed(at, summary, None))


class _Run:
    """One request: what is done about it, from the first byte to the final event; its account keeps the record."""

    def __init__(self, generate: Generate, invocation: Invocation, caller: Caller) -> None:
        self.generate = generate
        self.caller = caller
        self.account = Account(
            invocation, generate.function, generate.model, generate.experience, caller.streams
        )
        self.loop_gap = LoopGap()
        self.gone: Problem | None = None  # what a heartbeat met that found nobody there
        self.terminated: list[UpstreamResponse] = []  # drained when the caller has the last byte, not before

    async def serve(self, parse: Callable[[], GenerationRequest]) -> None:
        """Run the request from parsing to its final event; nothing but a second cancellation gets out."""
        problem: Problem | None = None
        pulse: asyncio.Task[None] | None = None
        try:
            with self.loop_gap:
                self.account.request = request = parse()
                self.generate.telemetry.fact(self.account.started(self.generate.utc_now()))
                pulse = asyncio.create_task(self._pulse(asyncio.current_task()))
                await self._answer(request)
        except Problem as raised:
            problem = raised
        except asyncio.CancelledError:
            outcome = self.account.invocation.interrupted() or Outcome.STOPPED
            detail = f"the request was ended before the model was done: {outcome.value}"
            problem = self.gone or Problem(outcome, detail)
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
        except Exception as error:
            self._failure(error)
            detail = "an error of our own; the log has it under the request's id"
            problem = Problem(Outcome.INTERNAL_ERROR, detail)
        finally:
            if pulse is not None:
                pulse.cancel()
        drain = False
        try:
            await self._finish(problem)
            drain = True
        finally:
            for response in self.terminated:
                await response.close(drain=drain)

    async def _answer(self, request: GenerationRequest) -> None:
        """Ask the model; and once more, for what is missing, if a violation ended the first answer."""
        schema = load_schema(request.schema_name) if request.schema_name else None
        retry: Retry | None = None
        while True:
            payload = self._payload(request, retry)
            attempt = Attempt(
                len(self.account.attempts) + 1,
                model=self.account.model,
                # A provider counts the schema as input, too.
                input_chars=len(events.dumps([payload["messages"], payload.get("response_format")])),
                schema=schema,
                include=frozenset(request.include) if self.caller.streams else frozenset(),
                stop_at_violation=request.on_violation != "finish",
                keep_text=not self.caller.streams or request.on_violation == "retry",
                timing=self.account.timing,
                clock=self.generate.monotonic_ns,
                retry=retry,
            )
            self.account.attempts.append(attempt)
            try:
                await self._stream(attempt, payload)
                await self._judge(attempt)
                attempt.outcome = Outcome.OK
                return
            except Problem as problem:
                attempt.outcome = problem.outcome
                may_ask_again = request.on_violation == "retry" and retry is None
                if schema is None or not may_ask_again or problem.outcome is not Outcome.INVALID_OUTPUT:
                    raise
            retry = plan_retry(schema, attempt.text or "", attempt.violations, attempt.sent_paths)
            await self._send(events.retry(attempt.number + 1, retry.reason, retry.discarded_paths))

    def _payload(self, request: GenerationRequest, retry: Retry | None) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "model": self.account.model,
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
        self.account.timing.called(self.generate.monotonic_ns())
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
            self.account.timing.ended(self.generate.monotonic_ns())
            self.account.settle(attempt)

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
        except TimeoutError:
            raise Problem(
                Outcome.UPSTREAM_TIMEOUT, f"provider: expected a token within {token_s:g} s"
            ) from None

    async def _judge(self, attempt: Attempt) -> None:
        """The verdict on what was received; sends what only the whole of it could tell."""
        attempt.judge_stream()
        if attempt.validator is None:
            return
        started_ns = self.generate.monotonic_ns()
        try:
            document = await close(attempt.validator, self.generate.judge)
        except InvalidDocument as error:
            raise attempt.refuse(error) from None
        finally:
            self.account.timing.validate_ns += self.generate.monotonic_ns() - started_ns
        await self._send(attempt.accept(document))
        if "result" in attempt.include:
            for event in events.result(attempt.number, document.json_parts(events.RESULT_PART_BYTES)):
                await self._send(event)

    async def _open(self) -> None:
        self.account.opened = self.caller.streams  # a buffered answer still has its status to give
        try:
            await self.caller.open()
        except OSError as error:
            raise _gone() from error

    async def _send(self, data: bytes) -> None:
        if data and self.caller.streams:
            self.account.sent_bytes += len(data)
            if self.account.sent_bytes > self.generate.limits.streamed_bytes:
                limit = self.generate.limits.streamed_bytes
                raise Problem(Outcome.STOPPED, f"stream: expected at most {limit} bytes, got more")
            try:
                await self.caller.send(data)
            except OSError as error:
                raise _gone() from error

    async def _pulse(self, serving: asyncio.Task[Any] | None) -> None:
        """Keep a silent connection alive, and leave a trace of what was used for the case that we are killed.

        A heartbeat that finds the caller gone ends `serving` before the next token would.
        """
        sent_before = 0
        while True:
            await asyncio.sleep(self.generate.limits.pulse_s)
            if self.account.opened and self.account.sent_bytes == sent_before:
                try:
                    await self._send(HEARTBEAT)
                except Problem as problem:
                    self.gone = problem
                    if serving is not None:
                        serving.cancel()
                    return
            sent_before = self.account.sent_bytes
            fact = self.account.progress(
                self.generate.utc_now(), self.generate.monotonic_ns(), self.loop_gap.as_json()
            )
            self.generate.telemetry.fact(fact)

    async def _finish(self, problem: Problem | None) -> None:
        at, account = self.generate.utc_now(), self.account
        summary = account.summary(
            at, self.generate.monotonic_ns(), self.loop_gap.as_json(), self._price_book()
        )
        last = account.attempts[-1] if account.attempts else None
        ending = Ending(
            attempt=last.number if last else 1,
            problem=problem,
            account=summary,
            document=last.document if last else None,
            text=last.text if last else None,
        )
        data = self.caller.encode(ending)
        account.sent_bytes += len(data)
        self.generate.telemetry.fact(account.completed(at, summary, problem))
        outcome = problem.outcome if problem else Outcome.OK
        try:
            self.generate.telemetry.metrics(outcome, account.invocation.init_ms is not None, summary)
        except Exception as error:  # the caller's final event does not hang on a metric
            self._failure(error)
        with suppress(OSError):  # nobody is there any more; the account is on record
            await self.caller.finish(ending, data)

    def _price_book(self) -> PriceBook | None:
        try:
            return self.generate.price_book()
        except (
            PriceBookError
        ) as error:  # then the request goes without an estimate; the ledger prices it later
            self._failure(error)
            return None

    def _failure(self, error: Exception) -> None:
        at, request_id = instant(self.generate.utc_now()), self.account.invocation.request_id
        self.generate.telemetry.failure(at, request_id, error)


def _gone() -> Problem:
    return Problem(Outcome.CLIENT_DISCONNECTED, "the caller hung up before the end of the answer")
