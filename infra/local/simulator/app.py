"""The simulator's HTTP surface: chat completions as OpenAI answers them, and what a test may ask about them.

POST /v1/chat/completions, GET /v1/models, GET /healthz; GET /requests (`?settled=SECONDS` waits for open
exchanges) and DELETE /requests, which forgets them. Any other path is 404 in OpenAI's error shape, and is in
the journal too: a redirect that was followed shows there.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .answer import compose, conversation_of
from .connection import Connection
from .faults import BEFORE_HEADERS, strike
from .journal import Exchange, Journal
from .script import HttpError, Script
from .strict import objection
from .wire import completion, writes

_STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_HTML = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body>upstream</body></html>"
_MAX_BODY_BYTES = 16 * 1024 * 1024


class Refused(Exception):
    """The request is answered with an error of the API, not of the script."""

    def __init__(self, error: HttpError) -> None:
        super().__init__(error.message)
        self.error = error


class ChatCompletions:
    """ASGI endpoint of POST /v1/chat/completions."""

    def __init__(self, scripts: Mapping[str, Script], journal: Journal, api_key: str | None) -> None:
        self._scripts = scripts
        self._journal = journal
        self._api_key = api_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        authorization = request.headers.get("authorization")
        exchange = self._journal.open(request.url.path, authorized=authorization is not None)
        connection = Connection(scope, receive, send, exchange)
        arrival_s = asyncio.get_running_loop().time()
        try:
            self._check_key(authorization)
            body = _checked(await request.body())
            await self._respond(body, request, connection, exchange, arrival_s)
        except Refused as refused:
            await _answer_error(connection, refused.error)
        finally:
            await self._journal.settle(exchange)

    def _check_key(self, authorization: str | None) -> None:
        if self._api_key is None or authorization == f"Bearer {self._api_key}":
            return
        message = "You didn't provide an API key." if authorization is None else "Incorrect API key provided."
        raise Refused(HttpError(401, message, code="invalid_api_key"))

    async def _respond(
        self,
        body: dict[str, Any],
        request: Request,
        connection: Connection,
        exchange: Exchange,
        arrival_s: float,
    ) -> None:
        script = self._scripts.get(body["model"])
        exchange.model = body["model"]
        if script is None:
            message = f"The model `{body['model']}` does not exist or you do not have access to it."
            raise Refused(HttpError(404, message, code="model_not_found"))
        exchange.conversation = conversation_of(body)
        if script.times is not None and self._journal.visit(exchange.conversation) > script.times:
            script = script.well_behaved()
        try:
            answer = compose(script, body)
        except (ValueError, KeyError, TypeError) as problem:
            raise Refused(
                HttpError(400, f"The simulator cannot compose for this schema: {problem}")
            ) from problem
        include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        exchange.messages = len(body["messages"])
        exchange.stream = bool(body.get("stream"))
        exchange.include_usage = include_usage
        exchange.response_format = (body.get("response_format") or {}).get("type")
        exchange.prompt_tokens = answer.usage["prompt_tokens"]
        exchange.tokens_scripted = len(answer.tokens)
        exchange.violation_path = answer.violation_path
        exchange.closes_at_token = answer.closes_at_token
        exchange.object_closes_at_token = answer.object_closes_at_token
        start_s = arrival_s + script.ttft_ms / 1000

        if script.fault is not None and script.fault.kind in BEFORE_HEADERS:
            await strike(script.fault, connection)
        elif script.error is not None:
            await connection.wait_until(start_s)
            await _answer_error(connection, script.error)
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
            await connection.answer(200, completion(answer))
        else:
            await _stream(
                script, writes(answer, script, include_usage=include_usage), connection, exchange, start_s
            )


async def _stream(
    script: Script, parts: Any, connection: Connection, exchange: Exchange, start_s: float
) -> None:
    headers = dict(_STREAM_HEADERS)
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
            if not await strike(fault, connection):
                return
            fault = None
        await connection.wait_until(start_s + number * interval_s)
        if connection.closed:
            return
        await connection.write(part.data, tokens=part.tokens)
    await connection.finish()


async def _answer_error(connection: Connection, error: HttpError) -> None:
    body = {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}
    await connection.answer(error.status, body, error.headers)


def _checked(raw: bytes) -> dict[str, Any]:
    if len(raw) > _MAX_BODY_BYTES:
        raise Refused(HttpError(413, f"expected at most {_MAX_BODY_BYTES} bytes, got {len(raw)}"))
    try:
        body = json.loads(raw)
    except ValueError as problem:
        raise Refused(
            HttpError(400, f"We could not parse the JSON body of your request. ({problem})")
        ) from problem
    if not isinstance(body, dict):
        raise Refused(HttpError(400, "We expected a JSON object as the body of your request."))
    messages = body.get("messages")
    if not isinstance(body.get("model"), str):
        raise Refused(HttpError(400, "you must provide a model parameter", param="model"))
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        message = (
            "Missing required parameter: 'messages'." if messages is None else "Invalid type for 'messages'."
        )
        raise Refused(HttpError(400, message, param="messages", code="missing_required_parameter"))
    if body.get("n", 1) != 1 or body.get("tools"):
        raise Refused(
            HttpError(
                400, "The simulator answers one choice and calls no tools: 'n' and 'tools' are unsupported."
            )
        )
    if body.get("stream_options") and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Refused(HttpError(400, message, param="stream_options"))
    _check_format(body.get("response_format"))
    return body


def _check_format(response_format: Any) -> None:
    if response_format is None or response_format.get("type") in ("text", "json_object"):
        return
    described = response_format.get("json_schema")
    if response_format.get("type") != "json_schema" or not isinstance(described, dict):
        raise Refused(
            HttpError(
                400, "Missing required parameter: 'response_format.json_schema'.", param="response_format"
            )
        )
    if not isinstance(described.get("name"), str) or not isinstance(described.get("schema"), dict):
        message = "Missing required parameter: 'response_format.json_schema.schema' or its name."
        raise Refused(HttpError(400, message, param="response_format"))
    problem = objection(described["schema"], described["name"]) if described.get("strict") else None
    if problem is not None:
        raise Refused(HttpError(400, problem, param="response_format"))


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
            Route("/v1/chat/completions", ChatCompletions(scripts, journal, api_key), methods=["POST"]),
            Route("/v1/models", models),
            Route("/healthz", healthz),
            Route("/requests", requests, methods=["GET", "DELETE"]),
            Route("/{path:path}", elsewhere, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]
    )
