"""The streaming endpoint as an ASGI application: `POST /v1/generations`, OpenAI's endpoints, and the OpenAPI document.

Plain ASGI and no framework: every cold start pays for what is imported here, and routes are few. The same
`app` runs under our runtime client on Lambda, and under any ASGI server in a container.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from weir.access.identity import caller_of
from weir.embedded_metrics import stage_of
from weir.errors import ConfigurationError
from weir.generate.accept import parse_request
from weir.generate.asgi_responses import (
    BufferedResponse,
    Headers,
    OpenAIResponse,
    OpenAIStreamResponse,
    OpenAIWire,
    Receive,
    Scope,
    Send,
    StreamResponse,
    disconnected,
    read_body,
    respond,
)
from weir.generate.cors import cors_headers
from weir.generate.events import dumps
from weir.generate.late_imports import LateImports
from weir.generate.params import GenerationParams
from weir.generate.policy import Clocks, Policy
from weir.generate.process import process_age_ms
from weir.generate.request_record import Invocation, OnceKey
from weir.generate.service import Generate
from weir.generate.settings import GenerateSettings, models_checked_at_build
from weir.generate.stopping import Stopping
from weir.generate.telemetry import Telemetry
from weir.ledger.facts import event_source_of
from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.protocols import import_builder, import_decoder
from weir.providers.transport import make_transport
from weir.providers.upstream import Upstream
from weir.schemas import checked_schemas

if TYPE_CHECKING:
    from weir.access.stop_flags import StopFlags
    from weir.generate.repeats import Repeats
    from weir.generate.trace import Trace
    from weir.generate.validator_process import ValidatorProcess
    from weir.pricing.price_book import PriceBook
    from weir.providers.routes import Route
    from weir.providers.transport import StreamTransport


class App:
    """The application: wired in its lifespan, so that importing it does nothing and reads nothing."""

    def __init__(self) -> None:
        self._settings: GenerateSettings
        self._generate: Generate
        self._close_table: Callable[[], Awaitable[None]] | None = None
        self._init_ms: float | None = None  # until the first request has taken it
        self._restored = False  # likewise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            raise ValueError(f"scope type: expected lifespan or http, got {scope['type']!r}")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        settings = self._settings = GenerateSettings.from_environment(os.environ, os.uname().machine)
        routes = settings.routes
        fixed = any(route.structured_output != "auto" for route in routes.routes.values())
        if checked_schemas() is None or (fixed and not models_checked_at_build(os.environ)):
            from weir.generate.checks import check_start

            check_start(routes.routes)
        secure = any(route.base_url.startswith("https:") for route in routes.routes.values())
        clocks = Clocks(**settings.clocks)
        transport = make_transport(secure, os.environ)
        upstream = Upstream(connect_s=clocks.connect_s, transport=transport)

        @cache
        def validator_process() -> "ValidatorProcess":
            from weir.generate.validator_process import ValidatorProcess

            return ValidatorProcess()

        stored_prices = None
        if settings.prices_on_aws:
            from weir.generate.stored_prices import StoredPrices

            stored_prices = StoredPrices(settings.price_overrides)

        def price_book() -> "PriceBook":
            if stored_prices is not None:
                return stored_prices.book()
            # Prices are for the final event: the first byte does not wait for their imports.
            from weir.pricing.overrides import load_price_book

            return load_price_book(settings.price_overrides)

        late_imports = LateImports(price_book if stored_prices is None else lambda: None)
        self._generate = Generate(
            upstream=upstream,
            validator_process=validator_process,
            late_imports=late_imports,
            telemetry=Telemetry(
                "generate",
                stage_of(os.environ),
                mask=upstream.mask,
                error_text=os.environ.get("WEIR_LOG_ERROR_TEXT") == "1",
            ),
            function=settings.function,
            routes=routes,
            price_book=price_book,
            monotonic_ns=time.monotonic_ns,
            utc_now=lambda: datetime.now(UTC),
            policy=Policy(clocks),
            **(self._with_table(settings, price_book, transport) if settings.access_table else {}),
        )
        on_demand = settings.function.initialization_type == "on-demand"
        waited_for = on_demand and "AWS_LAMBDA_FUNCTION_NAME" in os.environ  # elsewhere no start is
        first = routes.routes[routes.default]
        import_builder(first)
        await upstream.prefetch_key(first)
        if stored_prices is not None:
            await stored_prices.read()
        if self._generate.gate is not None:
            _load_for_gate(first, price_book)
        if not waited_for:
            _import_answer(first)
            late_imports.at_once()
        if on_demand:  # otherwise no request waits, or pays, for INIT
            self._init_ms = process_age_ms()
        self._restored = settings.function.initialization_type == "snap-start"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if validator_process.cache_info().currsize:
            await validator_process().aclose()
        if self._generate.gate is not None:
            await self._generate.gate.aclose()
        await upstream.close()
        if self._close_table is not None:
            await self._close_table()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_ns = time.monotonic_ns()
        init_ms = self._init_ms
        context = scope.get("aws.context")
        request_id = context.aws_request_id if context is not None else _new_request_id()
        received = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        event_source = event_source_of(scope.get("aws.event_source"))
        cors = cors_headers(received.get("origin"), self._settings.cors_origins, event_source)

        def headers() -> Headers:
            phases = [] if init_ms is None else [f"init;dur={init_ms:.1f}"]
            phases.append(f"upstream;dur={(time.monotonic_ns() - started_ns) / 1e6:.1f}")
            return [
                ("x-request-id", request_id),
                ("cache-control", "no-store"),
                ("server-timing", ", ".join(phases)),
                *cors,
            ]

        hung_up = False

        def interrupted() -> Outcome | None:
            if hung_up:
                return Outcome.CLIENT_DISCONNECTED
            by = getattr(context, "cancelled_by", None)
            return Outcome.DEADLINE if by == "deadline" else None

        invocation = Invocation(
            request_id=request_id,
            function_arn=context.invoked_function_arn if context is not None else None,
            event_source=event_source,
            started_ns=started_ns,
            init_ms=init_ms,
            restored=self._restored,
            deadline=_deadline(context),
            interrupted=interrupted,
            caller=caller_of(scope.get("aws.event")),
            authorization=received.get("authorization"),
            trace=_trace(received, request_id),
            fresh="no-" in received.get("cache-control", ""),
        )
        accept = received.get("accept", "")
        buffered = "application/json" in accept and "text/event-stream" not in accept
        response: StreamResponse | BufferedResponse = (
            BufferedResponse(send, headers) if buffered else StreamResponse(send, headers)
        )
        content_type = received.get("content-type", "")
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        try:
            match path, scope["method"]:
                case "/v1/generations", "POST":
                    self._init_ms, self._restored = None, False  # this request has paid for it
                    body = await read_body(receive, self._generate.policy.rhythm.body_s)
                    invocation = self._asked_once(invocation, received, path, body)
                    parse: Callable[[], GenerationParams] = partial(parse_request, body, content_type)
                case "/v1/chat/completions" | "/v1/responses", "POST":
                    self._init_ms, self._restored = None, False
                    body = await read_body(receive, self._generate.policy.rhythm.body_s)
                    invocation = self._asked_once(invocation, received, path, body)
                    parse, wire, streams = self._openai(path, body, content_type, request_id)
                    response = (OpenAIStreamResponse if streams else OpenAIResponse)(send, headers, wire)
                case _, "GET" if path == "/v1/models" or path.startswith(_MODEL):
                    names, caller = await self._generate.models_of(invocation)
                    sent_bytes = await self._models(names, path, send, headers())
                    self._generate.record_without_model(invocation._replace(caller=caller), sent_bytes)
                    return
                case "/openapi.json", "GET" | "HEAD":
                    self._generate.record_without_model(invocation, await self._describe(send, headers()))
                    return
                case _, "DELETE" if path.startswith(_ONE):
                    response = BufferedResponse(send, headers)
                    wanted = path.removeprefix(_ONE).removeprefix("chatcmpl-").removeprefix("resp_")
                    caller = await self._generate.stop(wanted, invocation)
                    await respond(send, 204, headers(), b"")
                    self._generate.record_without_model(invocation._replace(caller=caller), 0)
                    return
                case _, "OPTIONS" if cors and (path in _METHODS or path.startswith((_ONE, _MODEL))):
                    await respond(send, 204, headers(), b"")
                    return
                case _, method if path in _METHODS or path.startswith(_ONE):
                    allowed = _METHODS.get(path, "DELETE")
                    raise Problem(
                        Outcome.BAD_REQUEST,
                        f"{path}: expected {allowed}, got {method}",
                        status=405,
                        title="Method not allowed",
                        headers=(("allow", allowed),),
                    )
                case _:
                    raise Problem(
                        Outcome.BAD_REQUEST,
                        f"path: expected one of {', '.join(_METHODS)}, got {path[:200]!r}{_HINTS.get(path, '')}",
                        status=404,
                        title="Not found",
                    )
        except Problem as problem:
            if path.startswith("/v1/") and not path.startswith("/v1/generations"):  # what OpenAI's SDKs ask
                response = self._sdk_refusal(send, headers, request_id)
            await self._generate.refuse(problem, invocation, response)
            return

        def hang_up(task: asyncio.Task[None]) -> None:
            nonlocal hung_up
            if not task.cancelled() and serving is not None and not response.finished:
                hung_up = True
                serving.cancel()

        serving = asyncio.current_task()
        # Begun at once: it comes to its wait without a turn of the loop.
        loop = asyncio.get_running_loop()
        watching = asyncio.Task(disconnected(receive), loop=loop, eager_start=True)
        watching.add_done_callback(hang_up)
        try:
            await self._generate(parse, invocation, response)
        finally:
            watching.cancel()

    def _with_table(
        self,
        settings: GenerateSettings,
        price_book: "Callable[[], PriceBook]",
        transport: "StreamTransport | None",
    ) -> dict[str, Any]:
        """What a stack with an access table has, over the transport that there is: its certificates are loaded once."""
        import httpx

        from weir.access.admission import Admission
        from weir.access.dynamodb import TIMEOUT_S, AccessTable
        from weir.generate.gate import Gate
        from weir.providers.role_credentials import RoleCredentials

        region = settings.function.region
        endpoint = (
            os.environ.get("AWS_ENDPOINT_URL_DYNAMODB")
            or os.environ.get("AWS_ENDPOINT_URL")
            or f"https://dynamodb.{region}.amazonaws.com"
        )
        send: Callable[[httpx.Request], Awaitable[httpx.Response]]
        if transport is None:
            client = httpx.AsyncClient()
            send, self._close_table = client.send, client.aclose
        else:
            send = transport.handle_async_request
            transport.open_ahead(httpx.URL(endpoint), TIMEOUT_S)
        credentials = RoleCredentials(os.environ).get

        def now() -> datetime:
            return datetime.now(UTC)

        def table(name: str) -> AccessTable:
            return AccessTable(
                send, endpoint=endpoint, region=region, table=name, credentials=credentials, utc_now=now
            )

        access = table(settings.access_table)

        @cache
        def repeats() -> "Repeats":
            # For those who ask again: nobody else pays for its imports.
            from weir.access.answer_store import AnswerStore
            from weir.generate.repeats import Repeats

            life = timedelta(seconds=settings.response_cache_s)
            return Repeats(AnswerStore(table(settings.answers_table), now), life)

        @cache
        def flags() -> "StopFlags":
            from weir.access.stop_flags import StopFlags

            return StopFlags(access, now)

        return {
            "gate": Gate(Admission(access, now), price_book),
            "repeats": repeats if settings.answers_table else None,
            "cache_s": settings.response_cache_s,
            "stopping": Stopping(flags),
        }

    def _asked_once(
        self, invocation: Invocation, received: dict[str, str], path: str, body: bytes
    ) -> Invocation:
        """The invocation with its `Idempotency-Key`, where keys are kept. Raises Problem for what is no key."""
        key = received.get("idempotency-key")
        if key is None or self._generate.repeats is None:
            return invocation
        from weir.generate.repeats import check_key

        check_key(key)
        return invocation._replace(once=OnceKey(key, sha256(path.encode() + b"\0" + body).hexdigest()))

    def _openai(
        self, path: str, body: bytes, content_type: str, request_id: str
    ) -> tuple[Callable[[], GenerationParams], OpenAIWire, bool]:
        """How the request of an SDK of OpenAI's is read, what writes its answer, and whether that streams.

        What is wrong with it is raised when it is read.
        """
        parse, wire_of = _protocol(path)
        created, default = int(time.time()), self._settings.routes.default
        try:
            asked = parse(body, content_type)
        except Exception as error:  # one of our own, too, is the request's: told, logged and on record
            return partial(_raise, error), wire_of(request_id, created, default), False
        wire = wire_of(request_id, created, asked.request.model or default, asked)
        return lambda: asked.request, wire, asked.streams

    def _sdk_refusal(self, send: Send, headers: Callable[[], Headers], request_id: str) -> BufferedResponse:
        wire = _protocol("")[1](request_id, int(time.time()), self._settings.routes.default)
        return OpenAIResponse(send, headers, wire)

    async def _models(self, names: Sequence[str], path: str, send: Send, headers: Headers) -> int:
        """The models that may be asked for, or the one of the path. Raises Problem where that is none of them."""
        from weir.generate.chat_api import models_json

        now = int(time.time())
        if path.startswith(_MODEL):
            wanted = path.removeprefix(_MODEL)
            if wanted not in names:
                detail = f"model: expected one of {', '.join(names) or 'none'}, got {wanted!r:.80}"
                raise Problem(Outcome.BAD_REQUEST, detail, status=404, title="Not found")
            body = dumps(models_json([wanted], now)["data"][0])
        else:
            body = dumps(models_json(names, now))
        await respond(send, 200, [("content-type", "application/json"), *headers], body)
        return len(body)

    async def _describe(self, send: Send, headers: Headers) -> int:
        # It builds a dozen models: nobody but its readers pays for them.
        from weir.generate.openapi import openapi_json

        document = openapi_json()
        await respond(send, 200, [("content-type", "application/json"), *headers], document)
        return len(document)


_ONE = "/v1/generations/"  # and the id of one that runs
_MODEL = "/v1/models/"  # and a model's name
# The methods of each path.
_METHODS = {
    "/v1/generations": "POST",
    "/v1/chat/completions": "POST",
    "/v1/responses": "POST",
    "/v1/models": "GET",
    "/openapi.json": "GET, HEAD",
}


# What else an SDK may ask for, and what answers it here.
_HINTS = {
    "/v1/completions": ": /v1/chat/completions takes a prompt as a message",
}


def _protocol(path: str) -> tuple[Callable[[bytes, str], Any], Callable[..., OpenAIWire]]:
    """What reads the bodies of one of OpenAI's endpoints, and what writes its answers."""
    if path == "/v1/responses":
        from weir.generate.responses_api import ResponsesWire, parse_responses_request

        return parse_responses_request, ResponsesWire
    from weir.generate.chat_api import ChatWire, parse_chat_request

    return parse_chat_request, ChatWire


def _load_for_gate(route: "Route", price_book: "Callable[[], PriceBook]") -> None:
    """What a request would have to load before it is let in: for INIT Lambda gives a whole processor, and later on
    what the function's memory buys, a seventh of one at 256 MB."""
    import weir.access.stop_flags
    import weir.providers.answer
    from weir.generate.gate import MostAsked, most_cost

    assert weir.access.stop_flags and weir.providers.answer, "imported for whoever asks a table"
    with suppress(ConfigurationError):  # whoever asks for prices is told
        most_cost(
            price_book(), MostAsked(route, 0, 0, 0, None), datetime.now(UTC)
        )  # read, and kept in the book


def _import_answer(route: "Route") -> None:
    import weir.generate.attempt
    import weir.providers.answer

    assert weir.generate.attempt and weir.providers.answer, "imported for whoever reads"
    import_decoder(route)


def _trace(received: dict[str, str], request_id: str) -> "Trace | None":
    header = received.get("traceparent")
    if header is None:
        return None
    from weir.generate.trace import parse_trace

    return parse_trace(header, received.get("tracestate", ""), request_id)


def _new_request_id() -> str:
    from uuid import uuid4  # Lambda gives its own

    return str(uuid4())


def _raise(error: Exception) -> GenerationParams:
    raise error


def _deadline(context: Any) -> datetime | None:
    deadline_ms = getattr(context, "deadline_ms", None)
    return None if deadline_ms is None else datetime.fromtimestamp(deadline_ms / 1000, UTC)


app = App()
