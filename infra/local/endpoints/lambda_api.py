"""The Lambda API, as far as invoking goes: for boto3 with `endpoint_url`, and everything that speaks to Lambda.

Signatures are not checked.
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html, .../API_InvokeWithResponseStream.html
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..execution.invocation import FunctionError, Invocation
from ..execution.lambda_function import LambdaFunction, Throttled
from ..execution.runtime_protocol import MAX_BUFFERED_BYTES
from . import eventstream

MAX_REQUEST_BYTES, MAX_EVENT_BYTES = 6 * 1024 * 1024, 1024 * 1024
_TAIL_BYTES = 4096


class ApiError(Exception):
    """An error in the Lambda API's own words."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


def lambda_api(functions: Mapping[str, LambdaFunction]) -> Starlette:
    """The application; `functions` by name."""
    api = _LambdaApi(functions)
    return Starlette(
        routes=[
            Route("/2015-03-31/functions/{name}/invocations", api.invoke, methods=["POST"]),
            Route(
                "/2021-11-15/functions/{name}/response-streaming-invocations", api.stream, methods=["POST"]
            ),
        ],
        exception_handlers={ApiError: _api_error},
    )


class _LambdaApi:
    def __init__(self, functions: Mapping[str, LambdaFunction]) -> None:
        self._functions = functions

    async def invoke(self, request: Request) -> Response:
        function, payload = self._function(request), await _payload(request)
        kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
        if kind == "DryRun":
            return Response(status_code=204)
        if kind == "Event":
            if len(payload) > MAX_EVENT_BYTES:
                raise ApiError(
                    413, "RequestTooLargeException", f"{len(payload)} byte payload is too large for Event"
                )
            request_id = function.invoke_event(payload)
            return Response(status_code=202, headers={"x-amzn-requestid": request_id})
        if kind != "RequestResponse":
            raise ApiError(400, "InvalidParameterValueException", f"invocation type: got {kind!r}")
        invocation = _begin(function, request, payload)
        body = await invocation.response.body()
        await invocation.finished.wait()
        error = invocation.response.error
        if error is None and len(body) > MAX_BUFFERED_BYTES:
            size = MAX_BUFFERED_BYTES
            text = f"Response payload size exceeded maximum allowed payload size ({size} bytes)."
            error = FunctionError.of("Function.ResponseSizeTooLarge", text)
        headers = {"x-amzn-requestid": invocation.request_id, "x-amz-executed-version": "$LATEST"}
        if request.headers.get("x-amz-log-type") == "Tail":
            headers["x-amz-log-result"] = _tail(invocation)
        if error is not None:
            headers["x-amz-function-error"] = "Unhandled"
            body = error.payload
        return Response(body, headers=headers, media_type="application/json")

    async def stream(self, request: Request) -> Response:
        function, payload = self._function(request), await _payload(request)
        invocation = _begin(function, request, payload)
        await invocation.response.began.wait()
        headers = {"x-amzn-requestid": invocation.request_id, "x-amz-executed-version": "$LATEST"}
        if invocation.response.content_type:
            headers["x-amzn-remapped-content-type"] = invocation.response.content_type
        tail = request.headers.get("x-amz-log-type") == "Tail"
        return StreamingResponse(
            _events(invocation, tail), headers=headers, media_type=eventstream.CONTENT_TYPE
        )

    def _function(self, request: Request) -> LambdaFunction:
        # A name, a name with a qualifier, a partial or a whole ARN.
        given = unquote(request.path_params["name"])
        parts = given.split(":")
        name = parts[parts.index("function") + 1] if "function" in parts else parts[0]
        if name not in self._functions:
            arn = (
                given
                if given.startswith("arn:")
                else f"arn:aws:lambda:us-east-1:123456789012:function:{given}"
            )
            raise ApiError(404, "ResourceNotFoundException", f"Function not found: {arn}")
        return self._functions[name]


def _begin(function: LambdaFunction, request: Request, payload: bytes) -> Invocation:
    context = request.headers.get("x-amz-client-context")
    invocation = Invocation(
        payload,
        client_context=None if context is None else base64.b64decode(context).decode(),
        tenant_id=request.headers.get("x-amz-tenant-id"),
        trace_id=request.headers.get("x-amzn-trace-id"),
    )
    try:
        return function.invoke(invocation)
    except Throttled as error:
        raise ApiError(429, "TooManyRequestsException", str(error)) from None


async def _payload(request: Request) -> bytes:
    payload = await request.body() or b"{}"
    if len(payload) > MAX_REQUEST_BYTES:
        text = f"{len(payload)} byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)"
        raise ApiError(413, "RequestTooLargeException", text)
    try:
        json.loads(payload)
    except ValueError as error:
        text = f"Could not parse request body into json: {error}"
        raise ApiError(400, "InvalidRequestContentException", text) from None
    return payload


async def _events(invocation: Invocation, tail: bool) -> AsyncIterator[bytes]:
    try:
        async for part in invocation.response.parts():
            for at in range(0, len(part), eventstream.MAX_PAYLOAD_BYTES):
                data = part[at : at + eventstream.MAX_PAYLOAD_BYTES]
                yield eventstream.encode_event("PayloadChunk", data, "application/octet-stream")
        await invocation.finished.wait()
        end: dict[str, str] = {}
        if (error := invocation.response.error) is not None:
            end |= {"ErrorCode": error.kind, "ErrorDetails": error.details}
        if tail:
            end["LogResult"] = _tail(invocation)
        yield eventstream.encode_event("InvokeComplete", json.dumps(end).encode(), "application/json")
    except (asyncio.CancelledError, GeneratorExit):
        # The caller has gone; the function does not notice, and runs on.
        invocation.response.abandon()
        raise


def _tail(invocation: Invocation) -> str:
    text = "".join(f"{line}\n" for line in invocation.log_tail).encode()
    return base64.b64encode(text[-_TAIL_BYTES:]).decode()


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    body = {"Type": "User" if error.status < 500 else "Service", "Message": str(error), "message": str(error)}
    return JSONResponse(body, error.status, headers={"x-amzn-errortype": error.kind})
