"""The calls of the Lambda Runtime API, 2018-06-01, over one reused connection.

Decided here: which call may be repeated, and which answers end the process. Every call goes over the same
connection; when it turns out to have died (after a freeze, or a snapshot's restore) before a byte of answer
came, the call is made once more on a new one. 2xx is success, 4xx about one invocation is logged and
survived, 5xx ("Container error. Non-recoverable state. Runtime should exit promptly") and anything but 200
for `next` is fatal. Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html; streaming:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from asgiric.connection import Connection, ConnectionLost, open_connection
from asgiric.errors import PeerError
from asgiric.failure import ERROR_BODY, ERROR_TYPE, Failure
from asgiric.log import write_log
from asgiric.wire import ProtocolError, Response, encode_chunk, encode_last_chunk, encode_request, is_target

if TYPE_CHECKING:
    from collections.abc import Callable

_PREFIX = "/2018-06-01/runtime"
_NEXT = f"{_PREFIX}/invocation/next"
# Some servers behind this API route on it; awslambdaric sends one too.
_USER_AGENT = ("User-Agent", "asgiric")
_STREAMED = (
    _USER_AGENT,
    ("Lambda-Runtime-Function-Response-Mode", "streaming"),
    ("Transfer-Encoding", "chunked"),
    ("Trailer", f"{ERROR_TYPE}, {ERROR_BODY}"),
)
# Milliseconds since the epoch have 13.
_MAX_DEADLINE_DIGITS = 15
# How many chunks an application may send without ever suspending before the loop gets its turn.
_CHUNKS_PER_TURN = 64


class RuntimeApiError(PeerError):
    """The Runtime API cannot be talked to any more; the process has to end with a non-zero status."""


class Invocation(NamedTuple):
    """What /next gave: the event's bytes and the headers about it; `deadline_ms` is since the epoch."""

    request_id: str
    deadline_ms: int
    body: bytes
    function_arn: str | None = None
    trace_id: str | None = None
    client_context: str | None = None
    cognito_identity: str | None = None
    tenant_id: str | None = None
    invocation_id: str | None = None


class RuntimeApi:
    """A client that holds one connection and does one call at a time."""

    def __init__(self, address: str) -> None:
        """`address` is host:port, as in AWS_LAMBDA_RUNTIME_API."""
        host, _, port = address.rpartition(":")
        self._address = address
        self._host, self._port = host, int(port)
        self._next = encode_request("GET", _NEXT, address, [_USER_AGENT])
        self._connection: Connection | None = None

    async def next_invocation(self) -> Invocation:
        """Wait for work, however long. Raises RuntimeApiError on anything but an invocation."""
        response = await self._exchange(self._next, f"GET {_NEXT}")
        if response.status != 200:
            raise RuntimeApiError(f"expected 200 from /invocation/next, got {_describe(response)}")
        about = response.headers.get
        request_id = about("lambda-runtime-aws-request-id")
        deadline = about("lambda-runtime-deadline-ms", "")
        if (
            not request_id
            or not is_target(request_id)
            or not deadline.isdecimal()
            or len(deadline) > _MAX_DEADLINE_DIGITS
        ):
            raise RuntimeApiError(
                f"expected a request id and a deadline from /next, got {response.headers!r}"
            )
        return Invocation(
            request_id=request_id,
            deadline_ms=int(deadline),
            body=response.body,
            function_arn=about("lambda-runtime-invoked-function-arn"),
            trace_id=about("lambda-runtime-trace-id"),
            client_context=about("lambda-runtime-client-context"),
            cognito_identity=about("lambda-runtime-cognito-identity"),
            tenant_id=about("lambda-runtime-aws-tenant-id"),
            invocation_id=about("lambda-runtime-invocation-id"),
        )

    async def begin_response(
        self,
        invocation: Invocation,
        content_type: str,
        first: bytes = b"",
        on_answer: Callable[[], None] | None = None,
    ) -> ResponseStream:
        """Open a streamed answer whose first chunk is `first`, in the segment of the head.

        `on_answer` is called when the Runtime API ends the call, early or not.
        """
        head = encode_request(
            "POST",
            f"{_PREFIX}/invocation/{invocation.request_id}/response",
            self._address,
            [*_STREAMED, ("Content-Type", content_type), *_echo(invocation)],
        )
        connection = await self._connect()
        return ResponseStream(connection, connection.begin(head + encode_chunk(first), on_answer), invocation)

    async def send_response(self, invocation: Invocation, body: bytes, content_type: str) -> ResponseStream:
        """Send an answer whole; only `wait_for_ack` is left to be called."""
        target = f"{_PREFIX}/invocation/{invocation.request_id}/response"
        headers = [_USER_AGENT, ("Content-Type", content_type), *_echo(invocation)]
        connection = await self._connect()
        answer = connection.begin(encode_request("POST", target, self._address, headers, body=body))
        return ResponseStream(connection, answer, invocation)

    async def post_error(self, invocation: Invocation, failure: Failure) -> None:
        """Fail an invocation of which no response has begun. Raises RuntimeApiError on a container error."""
        path = f"/invocation/{invocation.request_id}/error"
        response = await self._post_failure(path, failure, _echo(invocation))
        _accept(response, "error", invocation)

    async def post_init_error(self, failure: Failure) -> None:
        """Tell that initialisation failed; legal only before the first `next_invocation`."""
        await self._post_failure("/init/error", failure)

    async def wait_for_restore(self) -> None:
        """Wait until this process runs again from its snapshot. Raises RuntimeApiError on anything but 200."""
        response = await self._call("GET", "/restore/next")
        if response.status != 200:
            raise RuntimeApiError(f"expected 200 from /restore/next, got {_describe(response)}")

    async def post_restore_error(self, failure: Failure) -> None:
        """Tell that an after-restore hook failed."""
        await self._post_failure("/restore/error", failure)

    def close(self) -> None:
        """Drop the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _post_failure(
        self, path: str, failure: Failure, headers: list[tuple[str, str]] | None = None
    ) -> Response:
        fields = [
            ("Content-Type", "application/vnd.aws.lambda.error+json"),
            (ERROR_TYPE, failure.category),
            *(headers or ()),
        ]
        return await self._call("POST", path, fields, failure.encode())

    async def _call(
        self, method: str, path: str, headers: list[tuple[str, str]] | None = None, body: bytes = b""
    ) -> Response:
        target = _PREFIX + path
        data = encode_request(method, target, self._address, [_USER_AGENT, *(headers or ())], body=body)
        return await self._exchange(data, f"{method} {target}")

    async def _exchange(self, data: bytes, what: str) -> Response:
        """One call, made once more on a new connection where a reused one has died."""
        while True:
            connection = await self._connect()
            try:
                answer = connection.begin(data)
                await connection.drain()
                return await answer
            except (ConnectionLost, ProtocolError) as error:
                retry = connection.is_stale
                self.close()
                if not retry:
                    raise RuntimeApiError(f"{what}: {error}") from error

    async def _connect(self) -> Connection:
        if self._connection is None or not self._connection.is_open:
            try:
                self._connection = await open_connection(self._host, self._port)
            except OSError as error:
                raise RuntimeApiError(
                    f"no connection to the Runtime API at {self._address}: {error}"
                ) from error
        return self._connection


class ResponseStream:
    """A response on its way: chunks, one end, and the Runtime API's answer to it."""

    def __init__(self, connection: Connection, ack: asyncio.Future[Response], invocation: Invocation) -> None:
        self._connection = connection
        self._ack = ack
        self._invocation = invocation
        self._chunks = 0

    async def write(self, data: bytes) -> None:
        """Send one chunk at once, then wait while the peer is behind. Raises ConnectionLost after an early end."""
        self._connection.write(encode_chunk(data))
        self._chunks += 1
        if self._connection.is_behind:
            await self._connection.drain()
        elif self._chunks % _CHUNKS_PER_TURN == 0:
            # A writer that never waits would starve deadlines, signals and other requests.
            await asyncio.sleep(0)

    def end(self, data: bytes = b"", failure: Failure | None = None) -> None:
        """End the body, with its last chunk in the same segment; with error trailers after a failure."""
        if self._ack.done():
            self._connection.close()  # answered before the body was whole: the framing is out of step
        else:
            last = encode_last_chunk(failure.trailers() if failure else ())
            self._connection.write(encode_chunk(data) + last)

    async def wait_for_ack(self) -> None:
        """Take the answer, after which the connection is free for the next call.

        Raises RuntimeApiError on a container error only: the loop survives a refused or broken response.
        """
        try:
            response = await self._ack
        except (ConnectionLost, ProtocolError) as error:
            self._connection.close()
            write_log("ERROR", f"the response was cut off: {error}", self._invocation.request_id)
        else:
            _accept(response, "response", self._invocation)


def _echo(invocation: Invocation) -> list[tuple[str, str]]:
    if invocation.invocation_id is None:
        return []
    return [("Lambda-Runtime-Invocation-Id", invocation.invocation_id)]


def _accept(response: Response, call: str, invocation: Invocation) -> None:
    if response.status >= 500:
        raise RuntimeApiError(f"container error from /{call}: {_describe(response)}")
    if response.status >= 300:
        # 400, 403, 410, 413 concern this invocation only: it timed out, or its body was refused.
        write_log(
            "ERROR", f"the Runtime API refused the {call}: {_describe(response)}", invocation.request_id
        )


def _describe(response: Response) -> str:
    return f"{response.status} {response.body[:300].decode('utf-8', 'replace')!r}"
