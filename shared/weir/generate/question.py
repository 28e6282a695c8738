"""Ask the model: one question of one request, as often and to as many routes as the policy says, to one verdict.

A question is put to a route; what fails before its first token is asked again or of another route, by the one policy
table. A violation under `retry` puts a second question. Each call is an attempt of its own on the record.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from weir.generate import events
from weir.generate.asked import Asked
from weir.generate.body import invalid_fields
from weir.generate.documents import Documents, document_schema, root_of
from weir.generate.late_imports import LateImports
from weir.generate.params import GenerationParams
from weir.generate.policy import Cooldown, Policy, next_step
from weir.generate.request_record import RequestRecord
from weir.generate.result import Response, Verdict
from weir.generate.token_timer import TokenTimer
from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.call import ModelCall, NotPassed, ProviderRequest
from weir.providers.failed import Failed
from weir.providers.protocols import build_request, make_decoder
from weir.providers.routes import Route, Routes
from weir.providers.upstream import CallFailed, Upstream, UpstreamResponse
from weir.schemas import load_schema

if TYPE_CHECKING:
    from weir.generate.attempt import Attempt
    from weir.generate.retry import Retry
    from weir.generate.validator_process import ValidatorProcess

type _Call = Callable[[], Coroutine[Any, Any, UpstreamResponse]]

# As much of a model's text may wait for the validator's import, and no more.
_MAX_AHEAD_BYTES = 262_144


class Means(Protocol):
    """What the requests of a process share, as far as a question needs it."""

    @property
    def upstream(self) -> Upstream: ...
    @property
    def validator_process(self) -> "Callable[[], ValidatorProcess]": ...
    @property
    def late_imports(self) -> LateImports: ...
    @property
    def routes(self) -> Routes: ...
    @property
    def documents(self) -> Documents: ...
    @property
    def policy(self) -> Policy: ...
    @property
    def cooldown(self) -> Cooldown: ...
    @property
    def jitter(self) -> Callable[[], float]: ...
    @property
    def monotonic_ns(self) -> Callable[[], int]: ...
    @property
    def utc_now(self) -> Callable[[], datetime]: ...


class Run(Protocol):
    """The request that a question belongs to: its means, its record, its caller."""

    @property
    def generate(self) -> Means: ...
    @property
    def response(self) -> Response: ...
    @property
    def record(self) -> RequestRecord: ...
    @property
    def ends_ns(self) -> int:
        """When its time is up, by the monotonic clock."""

    @property
    def keeps_text(self) -> bool:
        """Whether the text is needed after it has left."""

    @property
    def terminated(self) -> list[UpstreamResponse]:
        """Responses to be drained when the caller has the last byte."""

    def chain(self, route: Route) -> Sequence[Route]:
        """A route and those that may stand in for it for this request, in order."""

    def capped(self, cap: int) -> int:
        """The most output tokens that it may buy at once."""

    async def open(self) -> None:
        """Let the caller have its status. Raises Problem where nobody is there."""

    async def send(self, data: bytes) -> None:
        """Send the bytes of whole events. Raises Problem: nobody is there, or too much."""

    def failure(self, error: Exception) -> None:
        """Log an error of our own."""


class Question:
    """What a request asks of a route, and its attempts; `run` is what it belongs to."""

    def __init__(self, run: Run, request: GenerationParams, route: Route) -> None:
        self._run = run
        self._request = request
        self._route = route
        self._built: tuple[object, tuple[Asked, ProviderRequest, bytes]] | None = None

    def build_ahead(self) -> None:
        """Build the first call's request, before it is allowed."""
        with suppress(Exception):  # it is raised again where what was built is needed
            self._build(self._request, self._route, None)

    async def run(self) -> Verdict:
        """Ask the model; and once more, for what is missing, if a violation ended the first answer."""
        request, route = self._request, self._route
        attempt = await self._ask(request, route, None)
        verdict = attempt.verdict
        assert verdict is not None, "an attempt that has ended has a verdict"
        name, may_retry = request.schema_name, request.on_violation == "retry"
        if name is None or not may_retry or verdict.outcome is not Outcome.INVALID_OUTPUT:
            return verdict
        from weir.generate.retry import plan_retry

        route, schema = attempt.asked.route, load_schema(name)
        # A grammar that is compiled is not thrown away for a smaller one.
        apart = not (
            route.profile.compiles and attempt.asked.structured and attempt.asked.structured.mode == "native"
        )
        properties = root_of(document_schema(name)).get("properties", {})
        released = attempt.released if self._run.response.streams else ""  # else nothing has left
        retry = plan_retry(
            schema,
            attempt.text or "",
            verdict.violations,
            attempt.sent_paths,
            properties,
            released,
            apart=apart,
        )
        if retry is None or not retry.prefix.startswith(released):
            return verdict  # what has left cannot be gone on with
        await self._run.send(
            self._run.response.wire.retry(attempt.number + 1, retry.reason, retry.discarded_paths)
        )
        attempt = await self._ask(request, route, retry, released)
        assert attempt.verdict is not None, "an attempt that has ended has a verdict"
        return attempt.verdict

    async def _ask(
        self,
        request: GenerationParams,
        route: Route,
        retry: "Retry | None",
        released: str = "",
    ) -> "Attempt":
        """Put one question, as often and to as many routes as the policy says; return the attempt that stands."""
        generate = self._run.generate
        chain = self._run.chain(route)
        route = next((each for each in chain if not generate.cooldown.cooling(each)), route)
        asked, made, fresh = {route.name}, 0, False
        while True:
            attempt = await self._attempt(request, route, retry, fresh, released)
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
            left_s = (self._run.ends_ns - generate.monotonic_ns()) / 1e9
            if (until := self._run.record.invocation.deadline) is not None:
                left_s = min(left_s, (until - generate.utc_now()).total_seconds())
            step = next_step(failed, route, others, made, left_s, generate.policy, generate.jitter)
            if step is None:
                return attempt
            if self._run.record.opened:
                await self._run.send(self._run.response.wire.retry(attempt.number + 1, failed.message, []))
            if step.wait_s:
                await asyncio.sleep(step.wait_s)
            fresh = True
            made = made + 1 if step.route.name == route.name else 0
            route = step.route
            asked.add(route.name)

    def _lowered(self, failed: Failed, request: GenerationParams, route: Route) -> bool:
        """Whether the provider refused the schema, and can be asked in another way, from now on."""
        words = ("schema", "response_format", "output_config", "textformat", "tool_choice", "grammar")
        if request.schema_name is None or not any(word in failed.message.lower() for word in words):
            return False
        return self._run.generate.documents.lower(request.schema_name, route)

    async def _attempt(
        self,
        request: GenerationParams,
        route: Route,
        retry: "Retry | None",
        fresh: bool,
        released: str,
    ) -> "Attempt":
        """One upstream call, to its verdict."""
        generate, record = self._run.generate, self._run.record
        asked, provider_request, body = self._build(request, route, retry)
        number = (
            len(record.attempts) + 1
        )  # as it goes out in a trace; a hedge's lost call may take it in the record
        if (trace := record.invocation.trace) is not None:
            headers = {**provider_request.headers, **trace.headers(number)}
            provider_request = provider_request._replace(headers=headers)
        made: Attempt | None = None

        def attempt() -> "Attempt":
            nonlocal made
            if made is None:
                made = self._new_attempt(request, asked, released)
                if made.waits and generate.late_imports.ready:
                    made.begin_validation()
                record.attempts.append(made)
            return made

        def on_sent() -> None:
            # Made, and at a cold start imported, while the provider works.
            attempt()
            generate.late_imports.begin(asked.schema)

        def call() -> Coroutine[Any, Any, UpstreamResponse]:
            return generate.upstream.call(asked.route, provider_request, body, fresh=fresh, on_sent=on_sent)

        try:
            await self._stream(number, asked.route, call, attempt)
            await self._conclude(attempt())
        except CallFailed as error:
            attempt().failed = attempt().failed or error.failed
            attempt().fail(error)
        except Problem as problem:
            attempt().fail(problem)
        return attempt()

    def _new_attempt(self, request: GenerationParams, asked: Asked, released: str = "") -> "Attempt":
        from weir.generate.attempt import Attempt

        generate, record, streams = self._run.generate, self._run.record, self._run.response.streams
        may_retry = not streams or request.on_violation == "retry"
        return Attempt(
            len(record.attempts) + 1,
            asked,
            make_decoder(asked.route, generate.policy.caps.event_bytes),
            include=frozenset(request.include) if streams else frozenset(),
            wire=self._run.response.wire,
            validated_release=request.release == "validated",
            released=released,
            stop_at_violation=request.on_violation != "finish",
            keep=may_retry or self._run.keeps_text,
            whole_members=may_retry,
            caps=generate.policy.caps,
            timing=record.timing,
            clock=generate.monotonic_ns,
        )

    def _build(
        self, request: GenerationParams, route: Route, retry: "Retry | None"
    ) -> tuple[Asked, ProviderRequest, bytes]:
        """What is sent; kept, and made anew where a retry, another route, mode or cap asks for something else."""
        name = request.schema_name
        structured = None
        if name is not None:
            structured = self._run.generate.documents.request(
                name, route, retry.properties if retry else None
            )
        cap = self._run.capped(self._run.generate.routes.cap_for(route, name, request.max_output_tokens))
        key = (route, cap, structured, retry)
        if self._built is not None and self._built[0] == key:
            return self._built[1]
        call = ModelCall(
            [*request.messages, *(retry.messages if retry else ())],
            cap,
            structured,
            request.temperature,
            request.top_p,
            request.seed,
            tuple(request.stop),
            request.reasoning_effort,
            request.service_tier,
            request.extra_body,
            self._run.record.invocation.request_id,
            request.passed,
        )
        try:
            provider_request = build_request(call, route)
            body = provider_request.encoded()
        except NotPassed as error:
            raise invalid_fields([(error.pointer, error.detail)]) from error
        # A provider counts the schema as input, too; the bytes of an image it does not count as text.
        chars = len(body) - sum(message.data_chars for message in call.messages)
        document = document_schema(name) if name and structured and structured.null_is_absent else None
        passes_tools = "tools" in request.passed
        schema = partial(load_schema, name) if name is not None else None
        asked = Asked(route, chars, cap, structured, schema, retry, document, passes_tools)
        self._built = key, (asked, provider_request, body)
        return self._built[1]

    async def _stream(self, number: int, route: Route, call: _Call, begun: "Callable[[], Attempt]") -> None:
        """The call, from its start to the end of its body, or to the point where it is ended."""
        self._run.record.timing.called(self._run.generate.monotonic_ns())
        try:
            try:
                response = await self._call(route, call, begun)
            except CallFailed as error:
                # Unknown, and not nothing, where the provider may have worked; but for a connection that was dead
                # when it was taken from the pool, which only the attempt's line marks.
                if not error.failed.maybe_served or not error.connected:
                    from weir.pricing.usage import NOTHING_BOUGHT

                    begun().usage = NOTHING_BOUGHT
                raise
            attempt = begun()
            try:
                await self._run.open()
                try:
                    await self._forward(attempt, response)
                except CallFailed:
                    await self._catch_up(attempt)
                    if not attempt.over:
                        raise
                await self._catch_up(attempt)
                await self._run.send(attempt.end_body())
            finally:
                if attempt.decoder.terminated:
                    self._run.terminated.append(response)
                else:
                    await response.close(drain=False)
        finally:
            times = self._run.record.timing.ended(self._run.generate.monotonic_ns())
            begun().timed(number, *times)
            self._run.record.finalize_usage(begun())

    async def _call(self, route: Route, call: _Call, begun: "Callable[[], Attempt]") -> UpstreamResponse:
        """Wait for the provider's status; the caller does not wait longer than for the prelude's time.

        The call is awaited here and in no task of its own: a status that comes is acted on where it came.
        """
        clocks = self._run.generate.policy.clocks
        headers_s = clocks.headers_s
        prelude_s = min(self._run.generate.policy.rhythm.prelude_s, headers_s)
        if route.hedge_s is not None:
            headers_s += route.hedge_s + clocks.first_token_s  # each of its calls has clocks of its own
            call = partial(self._hedged, route, route.hedge_s, call, begun)
        loop, limit = asyncio.get_running_loop(), asyncio.timeout(headers_s)
        opening: asyncio.Task[None] | None = None

        def open_early() -> None:
            nonlocal opening
            opening = asyncio.ensure_future(self._run.open())
            opening.add_done_callback(give_up_if_gone)

        def give_up_if_gone(opening: asyncio.Task[None]) -> None:
            if not opening.cancelled() and opening.exception() is not None:
                limit.reschedule(loop.time())

        timer = loop.call_later(prelude_s, open_early) if prelude_s < headers_s else None
        try:
            async with limit:
                response = await call()
        except TimeoutError:
            if opening is not None and opening.done():
                opening.result()
            message = f"expected a status within {headers_s:g} s"
            raise CallFailed(Failed(message, kind="timeout", retryable="yes", maybe_served=True)) from None
        finally:
            if timer is not None:
                timer.cancel()
            if opening is not None:
                await asyncio.wait({opening})  # nothing may be sent before what it sends
        if opening is not None and (gone := opening.exception()) is not None:
            await response.close(drain=False)
            raise gone
        return response

    async def _hedged(
        self, route: Route, hedge_s: float, call: _Call, begun: "Callable[[], Attempt]"
    ) -> UpstreamResponse:
        """The first of two calls to answer; the other one's line stands before the attempt's own."""
        from weir.generate.hedge import first_to_answer

        policy = self._run.generate.policy
        lost: list[CallFailed | None] = []
        try:
            return await first_to_answer(
                call, lambda: make_decoder(route, policy.caps.event_bytes), hedge_s, policy, lost
            )
        finally:
            for failure in lost:
                self._book_lost(begun(), failure)

    def _book_lost(self, attempt: "Attempt", failure: CallFailed | None) -> None:
        from weir.pricing.usage import NOTHING_BOUGHT, Usage

        record = self._run.record
        assert record.request is not None, "what is asked is a request that was read"
        lost = self._new_attempt(record.request, attempt.asked)
        lost.number, attempt.number = attempt.number, attempt.number + 1
        record.attempts.insert(-1, lost)
        if failure is None:
            lost.fail(Problem(Outcome.STOPPED, "hedge: another call answered first"))
            lost.usage = Usage(complete=False)  # its prompt was read, and more than that nobody says
        else:
            lost.failed = failure.failed
            lost.fail(failure)
            if not failure.failed.maybe_served:
                lost.usage = NOTHING_BOUGHT
        record.finalize_usage(lost)

    async def _forward(self, attempt: "Attempt", response: UpstreamResponse) -> None:
        policy = self._run.generate.policy
        limit_s = policy.clocks.first_token_s
        early = self._with_validator(attempt, response) if attempt.waits else None
        try:
            with TokenTimer(limit_s) as timer:
                async for chunk in response if early is None else early:
                    # A slow reader holds us here, and through us the provider: that is no fault of the provider.
                    timer.paused = True
                    await self._run.send(attempt.absorb(chunk))
                    await self._run.send(attempt.validate())
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
        finally:
            if early is not None:
                await early.aclose()

    async def _with_validator(self, attempt: "Attempt", response: UpstreamResponse) -> AsyncGenerator[bytes]:
        """The response's pieces, and an empty one when the validator is there, for what has come before it."""
        validator = asyncio.ensure_future(self._run.generate.late_imports.wait())
        piece: asyncio.Future[bytes] | None = None
        ahead_bytes = 0
        try:
            while not validator.done():
                if ahead_bytes > _MAX_AHEAD_BYTES:
                    await validator
                    break
                piece = piece or asyncio.ensure_future(anext(response))
                both: tuple[asyncio.Future[Any], ...] = validator, piece
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                if piece.done():
                    try:
                        data = piece.result()
                    except StopAsyncIteration:
                        return
                    piece = None
                    ahead_bytes += len(data)
                    yield data
            await validator
            attempt.begin_validation()
            yield b""
            if piece is not None:
                try:
                    data = await piece
                except StopAsyncIteration:
                    return
                yield data
            async for data in response:
                yield data
        finally:
            if not validator.cancel() and not validator.cancelled():
                validator.exception()  # whoever waits next meets it
            if piece is not None and not piece.cancel() and not piece.cancelled():
                piece.exception()  # the answer has ended before it

    async def _catch_up(self, attempt: "Attempt") -> None:
        """Where an answer ended before the validator was there: send what it would have given."""
        if attempt.waits:
            await self._run.generate.late_imports.wait()
            attempt.begin_validation()
            await self._run.send(attempt.validate())

    async def _conclude(self, attempt: "Attempt") -> None:
        """Give the attempt its verdict; send what only the whole of the text could tell."""
        validator = attempt.conclude()
        if validator is None:
            return
        from pydantic_streaming import InvalidDocument
        from weir.generate.validator_process import close

        started_ns = self._run.generate.monotonic_ns()
        try:
            document = await close(validator, self._run.generate.validator_process())
        except InvalidDocument as error:
            attempt.refuse(error)
            return
        except Exception as error:
            # A validator, a computed field or a serializer of the schema's own that raises: no error of ours.
            self._run.failure(error)
            detail = f"schema {attempt.asked.structured.name if attempt.asked.structured else ''}: "
            detail += (
                f"expected a document that it can validate and write, got {type(error).__name__}: {error}"
            )
            attempt.fail(Problem(Outcome.INVALID_OUTPUT, detail[:500], title="The schema raised an error"))
            return
        finally:
            self._run.record.timing.validate_ns += self._run.generate.monotonic_ns() - started_ns
        await self._run.send(attempt.accept(document))
        if "result" in attempt.include:
            for event in events.result(attempt.number, document.json_parts(events.RESULT_PART_BYTES)):
                await self._run.send(event)
