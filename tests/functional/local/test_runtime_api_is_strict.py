"""What the local Runtime API refuses, call by call, on the wire: what Lambda refuses, too."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from infra.local.execution.invocation import FunctionError, Invocation
from infra.local.execution.prelude import CONTENT_TYPE, DELIMITER
from infra.local.execution.runtime_api import RuntimeApi
from infra.local.execution.runtime_protocol import MAX_BUFFERED_BYTES, MAX_STREAMED_BYTES, RuntimeProtocol

NEXT = ("GET", "/2018-06-01/runtime/invocation/next")
INIT_ERROR = ("POST", "/2018-06-01/runtime/init/error")
RESPONSE = ("POST", "/2018-06-01/runtime/invocation/first/response")
ERROR = ("POST", "/2018-06-01/runtime/invocation/first/error")
STREAMING = {"Lambda-Runtime-Function-Response-Mode": "streaming", "Transfer-Encoding": "chunked"}
HTTP = {**STREAMING, "Content-Type": CONTENT_TYPE}
FAILURE = b'{"errorType": "Own.Failure", "errorMessage": "as asked"}'


@dataclass
class Host:
    """An environment that hands out invocations called first, second, ..."""

    names: list[str] = field(default_factory=lambda: ["first", "second"])
    invocations: dict[str, Invocation] = field(default_factory=dict)
    init_error: FunctionError | None = None

    async def next_invocation(self) -> Invocation:
        if not self.names:
            await asyncio.Event().wait()
        name = self.names.pop(0)
        made = Invocation(
            b'{"a": 1}', "arn:of:it", 99, request_id=name, invocation_id=f"id-{name}", tenant_id="blue"
        )
        made.response.abandon()
        self.invocations[name] = made
        return made

    def invocation(self, request_id: str) -> Invocation:
        return self.invocations[request_id]

    def answered(self, invocation: Invocation) -> None:
        pass

    async def broke_off(self, invocation: Invocation) -> None:
        invocation.response.end(FunctionError.of("Runtime.TruncatedResponse", "broke off"))

    def init_failed(self, error: FunctionError) -> None:
        self.init_error = error


class Runtime:
    """A runtime that says exactly what the test wants, over one connection where it stays open."""

    def __init__(self, api: RuntimeApi, host: Host) -> None:
        self.api, self.host = api, host
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, data: bytes) -> None:
        if self._streams is None:
            host, _, port = self.api.address.partition(":")
            self._streams = await asyncio.open_connection(host, int(port))
        self._streams[1].write(data)

    async def begin(self, call: tuple[str, str], headers: dict[str, str] | None = None) -> None:
        lines = [
            f"{call[0]} {call[1]} HTTP/1.1",
            "Host: x",
            *(f"{k}: {v}" for k, v in (headers or {}).items()),
        ]
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        assert self._streams is not None
        async with asyncio.timeout(10):
            head = (await self._streams[0].readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])
            }
            body = await self._streams[0].readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            await self.hang_up()
        return int(head[0].split()[1]), headers, body

    async def call(
        self,
        call: tuple[str, str],
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        chunks: list[bytes] | None = None,
        trailers: str = "",
    ) -> tuple[int, str]:
        """Status and error type of the answer."""
        if chunks is None:
            await self.begin(call, {"Content-Length": str(len(body)), **(headers or {})})
            await self.send(body)
        else:
            await self.begin(call, headers)
            await self.send(
                b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in chunks)
                + b"0\r\n"
                + trailers.encode()
                + b"\r\n"
            )
        status, _, answer = await self.answer()
        known = json.loads(answer) if answer else {}
        return status, known.get("errorType", "") if isinstance(known, dict) else ""

    async def hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    host = Host()
    api = RuntimeApi(RuntimeProtocol(), host, lambda refusal: None)
    await api.start()
    made = Runtime(api, host)
    yield made
    await made.hang_up()
    await api.close()


OK, CREATED = (200, ""), (202, "")
FORBIDDEN = (403, "InvalidStateTransition")
Call = tuple[tuple[str, str], dict[str, Any], tuple[int, str]]
PRELUDE = b'{"statusCode": 200}' + DELIMITER


def call(which: tuple[str, str], expected: tuple[int, str], **given: Any) -> Call:
    return which, given, expected


TABLE: dict[str, list[Call]] = {
    "a buffered response, then the next invocation": [
        call(NEXT, OK), call(RESPONSE, CREATED, body=b"{}"), call(NEXT, OK),
    ],
    "a streamed response of any type": [
        call(NEXT, OK), call(RESPONSE, CREATED, headers=STREAMING, chunks=[b"a", b"b"]), call(NEXT, OK),
    ],
    "a streamed response with a prelude": [
        call(NEXT, OK), call(RESPONSE, CREATED, headers=HTTP, chunks=[PRELUDE, b"body"]), call(NEXT, OK),
    ],
    "an error, then the next invocation": [call(NEXT, OK), call(ERROR, CREATED, body=FAILURE), call(NEXT, OK)],
    "an error of INIT, before the first invocation": [call(INIT_ERROR, CREATED, body=FAILURE)],
    "an error of INIT, twice": [call(INIT_ERROR, CREATED, body=FAILURE), call(INIT_ERROR, FORBIDDEN, body=FAILURE)],
    "an error of INIT, after the first invocation was asked for": [
        call(NEXT, OK), call(INIT_ERROR, FORBIDDEN, body=FAILURE),
    ],
    "an invocation, after an error of INIT": [call(INIT_ERROR, CREATED, body=FAILURE), call(NEXT, FORBIDDEN)],
    "a response before any invocation": [call(RESPONSE, FORBIDDEN, body=b"{}")],
    "an error before any invocation": [call(ERROR, FORBIDDEN, body=FAILURE)],
    "the next invocation before this one is answered": [call(NEXT, OK), call(NEXT, FORBIDDEN)],
    "a second response": [call(NEXT, OK), call(RESPONSE, CREATED, body=b"1"), call(RESPONSE, FORBIDDEN, body=b"2")],
    "an error after the response": [
        call(NEXT, OK), call(RESPONSE, CREATED, body=b"1"), call(ERROR, FORBIDDEN, body=FAILURE),
    ],
    "a response after the error": [
        call(NEXT, OK), call(ERROR, CREATED, body=FAILURE), call(RESPONSE, FORBIDDEN, body=b"1"),
    ],
    "a response to the last invocation while the next one runs": [
        call(NEXT, OK), call(RESPONSE, CREATED, body=b"1"), call(NEXT, OK), call(RESPONSE, FORBIDDEN, body=b"late"),
    ],
    "an unknown invocation, which leaves this one open": [
        call(NEXT, OK),
        call((RESPONSE[0], RESPONSE[1].replace("first", "other")), (400, "InvalidRequestID"), body=b"{}"),
        call(RESPONSE, CREATED, body=b"{}"),
    ],
    "an unknown response mode, which ends the invocation": [
        call(NEXT, OK),
        call(
            RESPONSE, (400, "InvalidFunctionResponseMode"),
            headers={"Lambda-Runtime-Function-Response-Mode": "trickle"}, body=b"{}",
        ),
        call(NEXT, OK),
    ],
    "the echo of the invocation's own id": [
        call(NEXT, OK), call(RESPONSE, CREATED, headers={"Lambda-Runtime-Invocation-Id": "id-first"}, body=b"{}"),
    ],
    "a wrong invocation id, which ends the invocation and not the loop": [
        call(NEXT, OK),
        call(RESPONSE, (410, "InvokeTimeout"), headers={"Lambda-Runtime-Invocation-Id": "id-other"}, body=b"{}"),
        call(NEXT, OK),
    ],
    "a wrong invocation id on a stream": [
        call(NEXT, OK),
        call(
            RESPONSE, (410, "InvokeTimeout"),
            headers={**STREAMING, "Lambda-Runtime-Invocation-Id": "id-other"}, chunks=[b"a"],
        ),
        call(NEXT, OK),
    ],
    "a buffered response at its limit": [call(NEXT, OK), call(RESPONSE, CREATED, body=bytes(MAX_BUFFERED_BYTES))],
    "a buffered response over its limit": [
        call(NEXT, OK),
        call(RESPONSE, (413, "RequestEntityTooLarge"), body=bytes(MAX_BUFFERED_BYTES + 1)),
        call(NEXT, OK),
    ],
    "a prelude that is not JSON": [
        call(NEXT, OK),
        call(RESPONSE, (400, "InvalidPrelude"), headers=HTTP, chunks=[b"oh" + DELIMITER]),
        call(NEXT, OK),
    ],
    "a prelude that is no object": [
        call(NEXT, OK), call(RESPONSE, (400, "InvalidPrelude"), headers=HTTP, chunks=[b"[]" + DELIMITER]),
    ],
    "a prelude with members of its own": [
        call(NEXT, OK),
        call(RESPONSE, (400, "InvalidPrelude"), headers=HTTP, chunks=[b'{"status": 200}' + DELIMITER]),
    ],
    "a prelude with a status that is none": [
        call(NEXT, OK),
        call(RESPONSE, (400, "InvalidPrelude"), headers=HTTP, chunks=[b'{"statusCode": "200"}' + DELIMITER]),
    ],
    "a prelude with a header of two lines": [
        call(NEXT, OK),
        call(RESPONSE, (400, "InvalidPrelude"), headers=HTTP, chunks=[b'{"headers": {"a": "b\\nc"}}' + DELIMITER]),
    ],
    "seven NUL bytes and the end": [
        call(NEXT, OK), call(RESPONSE, (400, "InvalidPrelude"), headers=HTTP, chunks=[b"{}" + bytes(7)]),
    ],
    "no NUL bytes in 16 KB": [
        call(NEXT, OK), call(RESPONSE, (400, "InvalidPrelude"), headers=HTTP, chunks=[b" " * 16_385]),
    ],
    "a prelude in many chunks": [
        call(NEXT, OK), call(RESPONSE, CREATED, headers=HTTP, chunks=[bytes([byte]) for byte in PRELUDE]),
    ],
    "an unknown call": [call(("GET", "/2018-06-01/runtime/invocation/last"), (404, "NotFound")), call(NEXT, OK)],
    "another version": [call(("GET", "/2020-01-01/runtime/invocation/next"), (404, "NotFound"))],
    "a wrong method": [call(("POST", NEXT[1]), (405, "MethodNotAllowed")), call(NEXT, OK)],
    "a response that is got": [call(NEXT, OK), call(("GET", RESPONSE[1]), (405, "MethodNotAllowed"))],
}  # fmt: skip


@pytest.mark.parametrize("calls", TABLE.values(), ids=TABLE.keys())
async def test_each_call_gets_lambdas_answer(runtime: Runtime, calls: list[Call]):
    for index, (which, given, expected) in enumerate(calls):
        assert await runtime.call(which, **given) == expected, f"call {index}: {which}"
    refused = [expected[0] for _, _, expected in calls if expected[0] >= 400]
    assert [refusal.status for refusal in runtime.api.refusals] == refused


async def test_next_says_all_about_the_invocation(runtime: Runtime):
    await runtime.begin(NEXT)
    status, headers, body = await runtime.answer()
    assert (status, body) == (200, b'{"a": 1}')
    about = {name: value for name, value in headers.items() if name.startswith("lambda-runtime-")}
    assert about == {
        "lambda-runtime-aws-request-id": "first",
        "lambda-runtime-invocation-id": "id-first",
        "lambda-runtime-deadline-ms": "99",
        "lambda-runtime-invoked-function-arn": "arn:of:it",
        "lambda-runtime-aws-tenant-id": "blue",
    }


async def test_trailers_tell_of_a_failure_in_the_middle(runtime: Runtime):
    await runtime.call(NEXT)
    trailers = "Lambda-Runtime-Function-Error-Type: Own.Broke\r\nLambda-Runtime-Function-Error-Body: e30=\r\n"
    assert await runtime.call(RESPONSE, headers=HTTP, chunks=[PRELUDE, b"half"], trailers=trailers) == CREATED
    error = runtime.host.invocations["first"].response.error
    assert error is not None
    assert (error.kind, error.payload) == ("Own.Broke", b"{}")


async def test_a_refused_response_fails_its_invocation(runtime: Runtime):
    await runtime.call(NEXT)
    await runtime.call(RESPONSE, body=bytes(MAX_BUFFERED_BYTES + 1))
    error = runtime.host.invocations["first"].response.error
    assert error is not None
    assert error.kind == "Function.ResponseSizeTooLarge"


async def test_an_error_is_illegal_once_the_response_has_begun(runtime: Runtime):
    await runtime.call(NEXT)
    await runtime.begin(RESPONSE, STREAMING)
    await runtime.send(b"1\r\na\r\n")
    await runtime.host.invocations["first"].response.began.wait()
    other = Runtime(runtime.api, runtime.host)
    assert await other.call(ERROR, body=FAILURE) == FORBIDDEN
    await other.hang_up()
    await runtime.send(b"0\r\n\r\n")
    assert (await runtime.answer())[0] == 202


async def test_a_connection_that_breaks_in_the_middle_ends_the_invocation_and_not_the_loop(runtime: Runtime):
    await runtime.call(NEXT)
    await runtime.begin(RESPONSE, STREAMING)
    await runtime.send(b"5\r\nhal")
    response = runtime.host.invocations["first"].response
    await response.began.wait()
    await runtime.hang_up()
    await response.ended.wait()
    assert response.error is not None
    assert response.error.kind == "Runtime.TruncatedResponse"
    assert await runtime.call(NEXT) == OK


async def test_a_stream_over_200_mb_is_refused_in_its_middle(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
):
    # Lambda's pace of 2 MB/s would make this last 97 seconds.
    monkeypatch.setattr("infra.local.execution.runtime_api.BYTES_PER_S", 1e12)
    await runtime.call(NEXT)
    await runtime.begin(RESPONSE, STREAMING)
    part = bytes(1024 * 1024)
    for _ in range(MAX_STREAMED_BYTES // len(part)):
        await runtime.send(b"%x\r\n%b\r\n" % (len(part), part))
        await asyncio.sleep(0)
    await runtime.send(b"1\r\nx\r\n")
    status, _, body = await runtime.answer()
    assert (status, json.loads(body)["errorType"]) == (413, "RequestEntityTooLarge")
    assert await runtime.call(NEXT) == OK


async def test_a_waiting_next_that_hangs_up_takes_no_invocation(runtime: Runtime):
    runtime.host.names.clear()
    await runtime.begin(NEXT)
    await asyncio.sleep(0.05)  # until it waits; nothing tells
    await runtime.hang_up()
    await asyncio.sleep(0.05)
    runtime.host.names.append("first")
    assert await runtime.call(NEXT) == OK


async def test_a_large_body_is_asked_for_when_the_runtime_waits_for_that(runtime: Runtime):
    await runtime.call(NEXT)
    await runtime.begin(RESPONSE, {"Expect": "100-continue", "Content-Length": "2"})
    assert (await runtime.answer())[0] == 100
    await runtime.send(b"{}")
    assert (await runtime.answer())[0] == 202


async def test_concurrent_invocations_are_let_through_up_to_their_number():
    host = Host()
    api = RuntimeApi(RuntimeProtocol(max_concurrency=2), host, lambda refusal: None)
    await api.start()
    one, two = Runtime(api, host), Runtime(api, host)
    assert [await one.call(NEXT), await two.call(NEXT)] == [OK, OK]
    assert await one.call(NEXT) == FORBIDDEN
    second = (RESPONSE[0], RESPONSE[1].replace("first", "second"))
    assert await one.call(second, body=b"2") == CREATED
    assert await two.call(RESPONSE, body=b"1") == CREATED
    await one.hang_up()
    await two.hang_up()
    await api.close()


async def test_a_stream_is_paced_beyond_its_first_6_mb(runtime: Runtime, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("infra.local.execution.runtime_api.FREE_BYTES", 1000)
    monkeypatch.setattr("infra.local.execution.runtime_api.BYTES_PER_S", 10_000)
    await runtime.call(NEXT)
    began_s = time.monotonic()
    assert await runtime.call(RESPONSE, headers=STREAMING, chunks=[bytes(500)] * 6) == CREATED
    assert 0.2 <= time.monotonic() - began_s < 1
