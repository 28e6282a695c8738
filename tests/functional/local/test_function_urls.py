"""Function URLs: what HTTP callers see of a function, and what the function sees of them."""

import asyncio
import json
import time
from dataclasses import replace

import httpx
import pytest

from infra.local.sam.function import Cors, FunctionUrl

from .conftest import PROXY, STREAMS, Start, gate

CORS = Cors(
    allow_origins=("https://app.example.com",),
    allow_methods=("GET", "POST"),
    allow_headers=("content-type",),
    expose_headers=("x-request-id",),
    max_age_s=600,
)


@pytest.fixture
async def client():
    async with httpx.AsyncClient(timeout=30) as made:
        yield made


async def test_bytes_are_passed_on_as_they_come(start: Start, client: httpx.AsyncClient):
    aws = await start(STREAMS)
    async with gate() as opened:
        wanted = {"parts": ["one", "two", "three"], "gate": opened.port, "status": 201}
        async with client.stream("POST", aws.function_url("Streams"), json=wanted) as response:
            # Status and headers are here although no part of the body has been let through.
            assert response.status_code == 201
            assert response.headers["content-type"] == "text/plain"
            assert response.headers["set-cookie"] == "c=1"
            parts = response.aiter_raw()
            delays_s = []
            for expected in (b"one", b"two", b"three"):
                await asyncio.sleep(0.1)  # so that a part held back until a later one comes is told apart
                released_s = time.monotonic()
                await opened.open()
                assert await anext(parts) == expected
                delays_s.append(time.monotonic() - released_s)
            assert max(delays_s) < 0.1
            with pytest.raises(StopAsyncIteration):
                await anext(parts)


async def test_a_caller_that_hangs_up_does_not_reach_the_function_which_is_billed(
    start: Start, client: httpx.AsyncClient
):
    aws = await start(STREAMS)
    async with gate() as opened:
        wanted = {"parts": ["one", "two", "x" * 200_000, "x" * 200_000], "gate": opened.port}
        async with client.stream("POST", aws.function_url("Streams"), json=wanted) as response:
            await opened.open()
            assert await anext(response.aiter_raw()) == b"one"
            request_id = response.headers["x-amzn-requestid"]
        for _ in range(3):
            await opened.open()
    record = await aws.wait_for_report("Streams", request_id)
    assert record["status"] == "success"
    done = [event.record for event in aws.log_events("Streams") if '"platform.runtimeDone"' in event.message]
    assert done[0] is not None
    assert done[0]["record"]["metrics"]["producedBytes"] > 400_000


@pytest.mark.parametrize("then", ["fail", "exit"])
async def test_a_failure_in_the_middle_breaks_the_connection_off(
    start: Start, client: httpx.AsyncClient, then: str
):
    aws = await start(STREAMS)
    got = b""
    with pytest.raises(httpx.RemoteProtocolError):
        async with client.stream(
            "POST", aws.function_url("Streams"), json={"parts": ["half"], "then": then}
        ) as response:
            async for part in response.aiter_raw():
                got += part
    assert got == b"half"


async def test_the_event_is_payload_format_2(start: Start, client: httpx.AsyncClient):
    aws = await start(PROXY)
    response = await client.post(
        aws.function_url("Proxy") + "/a%20b/c?x=1&x=2&y=a+b",
        content='{"k": "é"}',
        headers=[
            ("content-type", "application/json"),
            ("X-Twice", "1"),
            ("x-twice", "2"),
            ("cookie", "a=1; b=2"),
        ],
    )
    event = response.json()
    assert event["version"] == "2.0"
    assert event["rawPath"] == "/a%20b/c"
    assert event["rawQueryString"] == "x=1&x=2&y=a+b"
    assert event["queryStringParameters"] == {"x": "1,2", "y": "a b"}
    assert event["headers"]["x-twice"] == "1,2"
    assert "cookie" not in event["headers"]
    assert event["cookies"] == ["a=1", "b=2"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"k": "é"}', False)
    context = event["requestContext"]
    assert context["http"]["method"] == "POST"
    assert context["http"]["sourceIp"] == "127.0.0.1"
    assert context["requestId"] == response.headers["x-amzn-requestid"]


async def test_bytes_and_forms_arrive_as_base64(start: Start, client: httpx.AsyncClient):
    aws = await start(PROXY)
    url = aws.function_url("Proxy")
    binary = (await client.post(url, content=b"\xff\x00", headers={"content-type": "image/png"})).json()
    assert (binary["body"], binary["isBase64Encoded"]) == ("/wA=", True)
    form = (await client.post(url, data={"a": "1"})).json()
    assert (form["body"], form["isBase64Encoded"]) == ("YT0x", True)
    assert "body" not in (await client.get(url)).json()


@pytest.mark.parametrize(
    ("which", "status", "content_type", "body"),
    [
        ("cookies", 201, "application/json", b"made"),
        ("binary", 200, "image/png", b"\x89PNG"),
        ("bare", 200, "application/json", b'{"answer": 42}'),
        ("status", 502, "application/json", b'{"Message": "Internal Server Error"}'),
        ("raise", 502, "application/json", b'{"Message": "Internal Server Error"}'),
    ],
)
async def test_a_buffered_answer_is_applied(
    start: Start, client: httpx.AsyncClient, which: str, status: int, content_type: str, body: bytes
):
    aws = await start(PROXY)
    response = await client.get(aws.function_url("Proxy"), params={"which": which})
    assert (response.status_code, response.headers["content-type"], response.content) == (
        status,
        content_type,
        body,
    )
    if which == "cookies":
        assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
        assert response.headers["x-own"] == "1"


async def test_a_request_over_6_mb_is_refused_before_the_function(start: Start, client: httpx.AsyncClient):
    aws = await start(PROXY)
    response = await client.post(aws.function_url("Proxy"), content=bytes(6 * 1024 * 1024 + 1))
    assert response.status_code == 413
    assert aws.log_events("Proxy") == []


async def test_cors_is_answered_in_the_functions_place(start: Start, client: httpx.AsyncClient):
    aws = await start(replace(PROXY, url=FunctionUrl(cors=CORS)))
    url = aws.function_url("Proxy")
    asked = {"origin": "https://app.example.com", "access-control-request-method": "POST"}
    preflight = await client.options(url, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example.com"
    assert preflight.headers["access-control-allow-methods"] == "GET,POST"
    assert preflight.headers["access-control-max-age"] == "600"
    assert aws.log_events("Proxy") == [], "a preflight never reaches the function"
    answer = await client.get(url, headers={"origin": "https://app.example.com"})
    assert answer.headers["access-control-expose-headers"] == "x-request-id"
    other = await client.get(url, headers={"origin": "https://other.example.com"})
    assert "access-control-allow-origin" not in other.headers


async def test_without_cors_the_function_sees_options_itself(start: Start, client: httpx.AsyncClient):
    aws = await start(PROXY)
    asked = {
        "access-control-request-method": "POST"
    }  # with an origin that nobody let in, it is refused before
    event = json.loads((await client.options(aws.function_url("Proxy"), headers=asked)).content)
    assert event["requestContext"]["http"]["method"] == "OPTIONS"
