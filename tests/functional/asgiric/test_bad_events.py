"""generate behind the real runtime: whatever comes is answered, has one completion fact, and leaves its neighbours be."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.functional.asgiric.conftest import HERE, ROOT, RuntimeProcess, StartRuntime
from tests.functional.asgiric.scripted_api import Script, ScriptedRuntimeApi
from tests.functional.generate.door import facts
from tests.functional.generate.scripted import HEAD, completion, provider, text

EVENTS = Path(__file__).parents[2] / "events"
URL_EVENT = json.loads((EVENTS / "url_generate.json").read_text())
REST_EVENT = json.loads((EVENTS / "rest_generate.json").read_text())
ALB_EVENT = json.loads((EVENTS / "alb_generate.json").read_text())
PLAIN = json.dumps({"prompt": "Why?"})


def deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


# Documents that a direct caller may send; none of them is a request.
GARBAGE = {
    "an empty list": b"[]",
    "text": b'"x"',
    "a number": b"5",
    "true": b"true",
    "null": b"null",
    "an empty object": b"{}",
    "not a number": b"NaN",
    "a number of 5,000 digits": b"9" * 5_000,
    "100,000 lists in one another": deep(100_000),
    "500 lists in one another": deep(500),
    "lone surrogates": b'{"prompt": "\\ud800", "\\udfff": 1}',
    "a megabyte of text": b'"' + b"x" * 1_000_000 + b'"',
    "a load balancer's event without its members": b'{"requestContext": {"elb": {}}}',
    "a function URL's event of wrong types": b'{"version": "2.0", "requestContext": {"http": 5}, "rawPath": []}',
    "a REST API's event of wrong types": b'{"httpMethod": 5, "resource": null, "requestContext": {}}',
}


NO_JSON = {
    "a number of 5,000 digits",
    "100,000 lists in one another",
    "500 lists in one another",
    "lone surrogates",
}


@asynccontextmanager
async def generate(
    start_runtime: StartRuntime, base_url: str, concurrency: int = 1
) -> AsyncIterator[RuntimeProcess]:
    yield await start_runtime(
        "app.app",
        PYTHONPATH=f"{ROOT / 'shared'}:{ROOT / 'functions/generate'}:{HERE}",
        WEIR_UPSTREAM_BASE_URL=base_url,
        WEIR_UPSTREAM_MODEL="test-model",
        ASGIRIC_DIRECT_PATH="/v1/generations",
        AWS_REGION="us-east-1",
        AWS_LAMBDA_MAX_CONCURRENCY=str(concurrency),
    )


async def completed(process: RuntimeProcess, invocation: Script) -> dict[str, Any]:
    """What the facts of an invocation that has been answered say together; one of them is its completion."""
    await process.record(message="request.completed", requestId=invocation.request_id)
    records = [record for record in process.records if record.get("requestId") == invocation.request_id]
    said = facts("\n".join(map(json.dumps, records)))
    assert [fact["kind"] for fact in said].count("request.completed") == 1
    return {name: value for fact in said for name, value in fact.items()}


async def test_a_direct_callers_garbage_is_refused_while_a_neighbours_stream_goes_on(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
) -> None:
    api.max_in_flight = 2
    go_on = asyncio.Event()
    async with (
        provider([HEAD, text("a"), go_on, *completion("b")[1:]]) as upstream,
        generate(start_runtime, upstream.base_url, concurrency=2) as process,
    ):
        neighbour = api.invoke({**URL_EVENT, "body": PLAIN})
        await neighbour.chunk(1)
        try:
            for name, document in GARBAGE.items():
                garbage = api.invoke(document)
                refused = json.loads((await garbage.answer()).body)
                status = refused["status"]
                assert status in ((400, 422) if name in NO_JSON else (422,)), (name, refused)
                assert refused["outcome"] == "bad_request", (name, refused)
                fact = await completed(process, garbage)
                assert (fact["outcome"], fact["front"]) == ("bad_request", "direct"), name
                assert fact["http_status"] == status, name
        finally:
            go_on.set()
        assert b"event: done" in (await neighbour.answer()).body
        assert (await completed(process, neighbour))["outcome"] == "ok"
        assert upstream.connections == 1


def http_api(domain: str) -> dict[str, Any]:
    return {
        **URL_EVENT,
        "requestContext": {**URL_EVENT["requestContext"], "domainName": domain},
        "body": PLAIN,
    }


CANNOT_STREAM = {
    "an HTTP API at a domain of its own": (http_api("api.example.com"), "http_api"),
    "an HTTP API": (http_api("a1b2.execute-api.eu-central-1.amazonaws.com"), "http_api"),
    "an HTTP API of payload 1.0": ({**REST_EVENT, "version": "1.0", "body": PLAIN}, "http_api"),
    "a load balancer": ({**ALB_EVENT, "body": PLAIN}, "alb"),
}


async def test_a_caller_that_cannot_stream_reads_the_whole_answer_and_its_event_source_is_unpriced_never_free(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
) -> None:
    async with (
        provider(completion("a")) as upstream,
        generate(start_runtime, upstream.base_url) as process,
    ):
        for name, (event, event_source) in CANNOT_STREAM.items():
            invocation = api.invoke(event)
            answer = await invocation.answer()
            assert answer.headers["content-type"] == "application/json", name
            assert answer.json["statusCode"] == 200, name
            assert "event: done" in answer.json["body"] or '"outcome":"ok"' in answer.json["body"], name
            fact = await completed(process, invocation)
            assert (fact["front"], fact["outcome"]) == (event_source, "ok"), name


BAD_REQUESTS = {
    "half a body": ({**URL_EVENT, "body": "{"}, 400, "function_url"),
    "no body": ({**URL_EVENT, "body": None}, 400, "function_url"),
    "a deep body": ({**URL_EVENT, "body": "[" * 100_000}, 422, "function_url"),
    "a Host of 5,000 digits": (
        {
            **URL_EVENT,
            "headers": {"host": "a:" + "9" * 5_000, "content-type": "application/json"},
            "body": "{}",
        },
        422,
        "function_url",
    ),
    "50,000 headers": (
        {**URL_EVENT, "headers": {"content-type": "text/plain"} | {f"x-{n}": "y" for n in range(50_000)}},
        415,
        "function_url",
    ),
    "a header of a megabyte": (
        {**URL_EVENT, "headers": {"content-type": "x" * 1_000_000}},
        415,
        "function_url",
    ),
    "a path of lone surrogates": ({**URL_EVENT, "rawPath": "/" + "\ud800" * 100}, 404, "function_url"),
    "a long path that is no text": (
        {**REST_EVENT, "path": "/" + "%ff" * 100_000, "resource": "/", "requestContext": {}},
        404,
        "rest_api",
    ),
}


async def test_a_request_that_cannot_be_served_has_its_status_and_one_completion(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
) -> None:
    async with (
        provider(completion("a")) as upstream,
        generate(start_runtime, upstream.base_url) as process,
    ):
        for name, (event, status, event_source) in BAD_REQUESTS.items():
            invocation = api.invoke(event)
            answer = await invocation.answer()
            assert json.loads(answer.chunks[0].data.partition(b"\0")[0])["statusCode"] == status, (
                name,
                answer.body,
            )
            fact = await completed(process, invocation)
            assert (fact["outcome"], fact["http_status"]) == ("bad_request", status), name
            assert fact["front"] == event_source, name
        assert (await api.invoke({**URL_EVENT, "body": PLAIN}).answer()).body.count(b"event: done") == 1
