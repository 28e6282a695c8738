"""The simulator's HTTP surface: each provider's API as it answers, and what a test may ask about them.

POST /v1/chat/completions, /v1/responses, /v1/messages, /model/{id}/converse-stream and
/v1beta/models/{id}:streamGenerateContent, the same without a stream, GET /v1/models, GET /healthz; GET /requests
(`?settled=SECONDS` waits for open exchanges) and DELETE /requests, which forgets them. Any other path is 404 in
OpenAI's error shape, and is in the journal too: a redirect that was followed shows there.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .answer import compose, conversation_of
from .connection import Connection
from .dialects import ChatCompletions, Converse, Dialect, Gemini, Messages, RequestError, Responses
from .faults import BEFORE_HEADERS, strike
from .journal import Exchange, Journal
from .script import HttpError, Script
from .strict import objection
from .writes import Write, writes

_HTML = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body>upstream</body></html>"
_MAX_BODY_BYTES = 16 * 1024 * 1024
# Where each protocol is found; the first path is the one that streams where the path says so.
_PATHS: tuple[tuple[str, Dialect, bool | None], ...] = (
    ("/v1/chat/completions", ChatCompletions(), None),
    ("/openai/v1/chat/completions", ChatCompletions(), None),
    ("/v1/responses", Responses(), None),
    ("/openai/v1/responses", Responses(), None),
    ("/v1/messages", Messages(), None),
    ("/model/{model:path}/converse-stream", Converse(), True),
    ("/model/{model:path}/converse", Converse(), False),
    ("/v1beta/models/{model:path}:streamGenerateContent", Gemini(), True),
    ("/v1beta/models/{model:path}:generateContent", Gemini(), False),
    ("/v1/models/{model:path}:streamGenerateContent", Gemini(), True),
    ("/v1/models/{model:path}:generateContent", Gemini(), False),
)
_KEY_HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")


class Endpoint:
    """ASGI endpoint of one protocol."""

    def __init__(
        self,
        dialect: Dialect,
        scripts: Mapping[str, Script],
        journal: Journal,
        api_key: str | None,
        *,
        stream: bool | None,
    ) -> None:
        self._dialect = dialect
        self._scripts = scripts
        self._journal = journal
        self._api_key = api_key
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        credentials = next((value for name in _KEY_HEADERS if (value := request.headers.get(name))), None)
        exchange = self._journal.open(request.url.path, authorized=credentials is not None)
        connection = Connection(scope, receive, send, exchange)
        arrival_s = asyncio.get_running_loop().time()
        try:
            self._check_key(credentials)
            body = _loaded(await request.body())
            asked = self._dialect.read(body, request.path_params.get("model"), stream=bool(self._stream))
            self._check_schema(asked)
            await self._respond(asked, request, connection, exchange, arrival_s)
        except RequestError as refused:
            await self._answer_error(connection, refused.error)
        finally:
            await self._journal.settle(exchange)

    def _check_key(self, credentials: str | None) -> None:
        if self._api_key is None or credentials in (f"Bearer {self._api_key}", self._api_key):
            return
        if credentials is not None and credentials.startswith("AWS4-HMAC-SHA256 Credential="):
            return  # a role signs with no key that could be known here
        message = "You didn't provide an API key." if credentials is None else "Incorrect API key provided."
        raise RequestError(HttpError(401, message, code="invalid_api_key"))

    def _check_schema(self, asked: Mapping[str, Any]) -> None:
        described = (asked.get("response_format") or {}).get("json_schema")
        if described is None or not described.get("strict"):
            return
        problem = objection(self._dialect.rules, described["schema"], described["name"])
        if problem is not None:
            raise RequestError(HttpError(400, problem, param="response_format"))

    async def _respond(
        self,
        asked: dict[str, Any],
        request: Request,
        connection: Connection,
        exchange: Exchange,
        arrival_s: float,
    ) -> None:
        script = self._scripts.get(asked["model"])
        exchange.model = asked["model"]
        if script is None:
            message = f"The model `{asked['model']}` does not exist or you do not have access to it."
            raise RequestError(HttpError(404, message, code="model_not_found"))
        exchange.conversation = conversation_of(asked)
        if script.times is not None and self._journal.visit(exchange.conversation) > script.times:
            script = script.well_behaved()
        try:
            answer = compose(script, asked)
        except (ValueError, KeyError, TypeError) as problem:
            raise RequestError(
                HttpError(400, f"The simulator cannot compose for this schema: {problem}")
            ) from problem
        exchange.messages = len(asked["messages"])
        exchange.stream = bool(asked.get("stream"))
        exchange.include_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        exchange.response_format = (asked.get("response_format") or {}).get("type")
        exchange.prompt_tokens = answer.usage["prompt_tokens"]
        exchange.tokens_scripted = len(answer.tokens)
        exchange.violation_path = answer.violation_path
        exchange.closes_at_token = answer.closes_at_token
        exchange.object_closes_at_token = answer.object_closes_at_token
        start_s = arrival_s + script.ttft_ms / 1000

        if script.fault is not None and script.fault.kind in BEFORE_HEADERS:
            await strike(script.fault, connection, self._dialect)
        elif script.error is not None:
            await connection.wait_until(start_s)
            await self._answer_error(connection, script.error)
        elif script.redirect:
            # Another host name for the same server: credentials must not follow.
            location = f"http://localhost:{request.url.port}/elsewhere"
            await connection.answer(307, {}, {"location": location})
        elif script.html:
            await connection.start(200, {"content-type": "text/html", "content-length": str(len(_HTML))})
            await connection.write(_HTML)
            await connection.finish()
        elif not exchange.stream:
            tokens = len(answer.tokens)
            await connection.wait_until(
                start_s + (tokens / script.tokens_per_s if script.tokens_per_s else 0.0)
            )
            exchange.tokens_sent = tokens
            await connection.answer(200, self._dialect.whole(answer, asked))
        else:
            stream = writes(self._dialect.events(answer, script, asked), script)
            await self._send_stream(script, stream, connection, exchange, start_s)

    async def _send_stream(
        self,
        script: Script,
        parts: Iterator[Write],
        connection: Connection,
        exchange: Exchange,
        start_s: float,
    ) -> None:
        headers = {"content-type": self._dialect.content_type, "cache-control": "no-cache"}
        if script.content_encoding != "identity":
            headers["content-encoding"] = "gzip"
            connection.compress(broken_after_bytes=4096 if script.content_encoding == "broken_gzip" else None)
        await connection.start(200, headers)
        fault = script.fault
        strikes_at = 0 if fault is None else int(fault.at * exchange.tokens_scripted)
        interval_s = 0.0 if script.tokens_per_s is None else 1 / script.tokens_per_s
        for part in parts:
            # Every token has its instant on the clock, so that neither sleeping late nor a slow reader adds up.
            number = max(exchange.tokens_sent + part.tokens - 1, 0)
            if fault is not None and exchange.tokens_sent >= strikes_at:
                await connection.wait_until(start_s + exchange.tokens_sent * interval_s)
                if not await strike(fault, connection, self._dialect):
                    return
                fault = None
            await connection.wait_until(start_s + number * interval_s)
            if connection.closed:
                return
            await connection.write(part.data, tokens=part.tokens)
        await connection.finish()

    async def _answer_error(self, connection: Connection, error: HttpError) -> None:
        body, headers = self._dialect.error(error)
        await connection.answer(error.status, body, headers)


def _loaded(raw: bytes) -> dict[str, Any]:
    if len(raw) > _MAX_BODY_BYTES:
        raise RequestError(HttpError(413, f"expected at most {_MAX_BODY_BYTES} bytes, got {len(raw)}"))
    try:
        body = json.loads(raw)
    except ValueError as problem:
        raise RequestError(
            HttpError(400, f"We could not parse the JSON body of your request. ({problem})")
        ) from problem
    if not isinstance(body, dict):
        raise RequestError(HttpError(400, "We expected a JSON object as the body of your request."))
    return body


def create_app(scripts: Mapping[str, Script], *, api_key: str | None = None) -> Starlette:
    """The simulator as an ASGI application; it must be run with `FaultyProtocol`."""
    journal = Journal()

    async def models(_: Request) -> Response:
        listed = [
            {"id": name, "object": "model", "created": 1_790_000_000, "owned_by": "simulator"}
            for name in scripts
        ]
        return JSONResponse({"object": "list", "data": listed})

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            journal.clear()
            return Response(status_code=204)
        settled = True
        if "settled" in request.query_params:
            settled = await journal.settled(float(request.query_params["settled"]))
        return JSONResponse({"settled": settled, "requests": journal.as_json()})

    async def elsewhere(request: Request) -> Response:
        exchange = journal.open(request.url.path, authorized="authorization" in request.headers)
        exchange.status = 404
        await journal.settle(exchange)
        message = f"Invalid URL ({request.method} {request.url.path})"
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        return JSONResponse({"error": error}, 404)

    return Starlette(
        routes=[
            *(
                Route(path, Endpoint(dialect, scripts, journal, api_key, stream=stream), methods=["POST"])
                for path, dialect, stream in _PATHS
            ),
            Route("/v1/models", models),
            Route("/healthz", healthz),
            Route("/requests", requests, methods=["GET", "DELETE"]),
            Route("/{path:path}", elsewhere, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]
    )
