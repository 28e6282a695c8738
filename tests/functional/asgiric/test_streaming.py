"""What goes over the wire when everything goes well, and that nothing waits anywhere."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path

import pytest

from tests.functional.asgiric.conftest import Gate, StartRuntime
from tests.functional.asgiric.scripted_api import ScriptedRuntimeApi

EVENTS = Path(__file__).parents[2] / "events"
URL_EVENT = json.loads((EVENTS / "url_generate.json").read_text())


def url_event(body: object) -> dict[str, object]:
    return {**URL_EVENT, "body": json.dumps(body)}


async def test_a_response_is_a_prelude_of_its_own_and_the_body(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    await start_runtime("echo")
    call = await api.invoke(URL_EVENT).answer()
    assert call.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    assert call.headers["lambda-runtime-function-response-mode"] == "streaming"
    prelude, end, rest = call.chunks[0].data.partition(b"\0" * 8)
    assert (end, rest) == (b"\0" * 8, b"")
    assert json.loads(prelude) == {
        "statusCode": 200,
        "headers": {"content-type": "text/plain; charset=utf-8"},
        "cookies": ["a=1; Path=/", "b=2"],
    }
    assert [chunk.data for chunk in call.chunks[1:]] == [URL_EVENT["body"].encode()]
    assert call.trailers == {}


async def test_every_part_has_left_before_the_next_one_is_let_through(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, gate: Gate
):
    """Were a part held back anywhere, the gate would never open again."""
    await start_runtime("gated")
    invocation = api.invoke(url_event({"gate": gate.port, "parts": 5}))
    assert (await invocation.chunk(0)).data.startswith(b'{"statusCode":200')
    for index in range(5):
        await gate.let_one_through()
        assert (await invocation.chunk(index + 1)).data == b"part-%d" % index
    assert len((await invocation.answer()).chunks) == 6


async def test_parts_arrive_with_the_time_between_them_that_the_application_left(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    await start_runtime("ticking")
    call = await api.invoke(URL_EVENT).answer()
    times_s = [chunk.at_s for chunk in call.chunks]
    gaps_s = [after - before for before, after in pairwise(times_s[1:])]
    assert len(gaps_s) == 4
    assert all(0.05 < gap_s < 0.3 for gap_s in gaps_s), gaps_s


async def test_a_direct_invoke_gets_the_body_raw(api: ScriptedRuntimeApi, start_runtime: StartRuntime):
    await start_runtime("echo")
    event = b'{"prompt": "Write a short post about streams",  "n": 1.10}'
    call = await api.invoke(event).answer()
    assert call.headers["content-type"] == "application/octet-stream"
    assert [chunk.data for chunk in call.chunks] == [event]


async def test_all_calls_share_one_connection(api: ScriptedRuntimeApi, start_runtime: StartRuntime):
    await start_runtime("echo")
    for number in range(3):
        assert (await api.invoke({"number": number}).answer()).json == {"number": number}
    assert api.paths()[:6] == ["next", "response"] * 3
    assert api.connections == 1


async def test_the_context_holds_what_the_headers_say(api: ScriptedRuntimeApi, start_runtime: StartRuntime):
    await start_runtime("facts", ASGIRIC_DIRECT_PATH="/v1/generations")
    invocation = api.invoke(
        {"n": 1},
        timeout_s=20,
        headers={
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
            "Lambda-Runtime-Aws-Tenant-Id": "tenant-a",
            "Lambda-Runtime-Client-Context": '{"custom":{"a":"b"},"client":{"app_title":"demo"},"env":{}}',
            "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"id-1","cognitoIdentityPoolId":"pool"}',
        },
    )
    known = (await invocation.answer()).json
    assert 15_000 < known.pop("remaining_ms") <= 20_000
    assert known == {
        "path": "/v1/generations",
        "event": {"n": 1},
        "state": {},
        "request_id": invocation.request_id,
        "arn": "arn:aws:lambda:eu-central-1:123456789012:function:generate",
        "tenant": "tenant-a",
        "trace": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
        "trace_variable": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
        "function": "generate",
        "version": "$LATEST",
        "memory": "512",
        "custom": {"a": "b"},
        "title": "demo",
        "identity": "id-1",
    }
    second = (await api.invoke({"n": 2}).answer()).json
    assert [second[name] for name in ("trace", "tenant", "custom", "identity")] == [None] * 4
    assert second["trace_variable"] == "", "nor is the one before it left in the environment"


async def test_the_invocation_id_is_echoed_where_one_was_given(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    """The scripted API holds every answer against what /next gave."""
    await start_runtime("echo")
    given = await api.invoke({}, headers={"Lambda-Runtime-Invocation-Id": "6d2a"}).answer()
    assert given.headers["lambda-runtime-invocation-id"] == "6d2a"
    absent = await api.invoke({}).answer()
    assert "lambda-runtime-invocation-id" not in absent.headers


@pytest.mark.parametrize("environ", [{"AWS_SAM_LOCAL": "true"}, {"ASGIRIC_RESPONSE_MODE": "buffered"}])
async def test_a_caller_that_cannot_stream_gets_one_proxy_object(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, environ: dict[str, str]
):
    await start_runtime("echo", **environ)
    call = await api.invoke(URL_EVENT).answer()
    assert call.headers["content-type"] == "application/json"
    assert "transfer-encoding" not in call.headers
    assert call.json == {
        "statusCode": 200,
        "headers": {"content-type": "text/plain; charset=utf-8"},
        "cookies": ["a=1; Path=/", "b=2"],
        "body": URL_EVENT["body"],
        "isBase64Encoded": False,
    }
    rest = await api.invoke(json.loads((EVENTS / "rest_generate.json").read_text())).answer()
    assert rest.json["multiValueHeaders"]["set-cookie"] == ["a=1; Path=/", "b=2"]
    direct = await api.invoke({"prompt": "as it came"}).answer()
    assert direct.json == {"prompt": "as it came"}


async def test_a_load_balancer_gets_one_object_and_binary_bodies_as_base64(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    await start_runtime("gzipped")
    call = await api.invoke(json.loads((EVENTS / "alb_generate.json").read_text())).answer()
    assert call.json == {
        "statusCode": 200,
        "statusDescription": "200 OK",
        "headers": {"content-type": "text/plain; charset=utf-8", "content-encoding": "gzip"},
        "body": "H4sIAGJpbmFyeQ==",
        "isBase64Encoded": True,
    }


@pytest.mark.parametrize("domain", ["a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", "api.example.com"])
async def test_an_http_api_gets_one_object_that_it_can_read_whatever_its_domain(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, domain: str
):
    await start_runtime("ticking")
    event = {**URL_EVENT, "requestContext": {**URL_EVENT["requestContext"], "domainName": domain}}
    call = await api.invoke(event).answer()
    assert call.headers["content-type"] == "application/json"
    assert call.json == {
        "statusCode": 200,
        "headers": {"content-type": "text/plain; charset=utf-8"},
        "body": "tick 0tick 1tick 2tick 3tick 4",
        "isBase64Encoded": False,
    }


async def test_a_buffered_answer_has_a_limit_and_says_so(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    await start_runtime("huge", AWS_SAM_LOCAL="true")
    call = await api.invoke(url_event({"bytes": 7 * 1024 * 1024})).answer()
    assert call.path.endswith("/error")
    assert call.json["errorType"] == "ResponseTooLarge"
    assert (await api.invoke(url_event({"bytes": 10})).answer()).json["body"] == "x" * 10


async def test_a_compressed_body_is_left_alone(api: ScriptedRuntimeApi, start_runtime: StartRuntime):
    await start_runtime("gzipped")
    assert (await api.invoke(URL_EVENT).answer()).chunks[1].data == b"\x1f\x8b\x08\x00binary"


async def test_head_gets_the_headers_without_the_body(api: ScriptedRuntimeApi, start_runtime: StartRuntime):
    await start_runtime("echo")
    event = json.loads(json.dumps(URL_EVENT))
    event["requestContext"]["http"]["method"] = "HEAD"
    assert len((await api.invoke(event).answer()).chunks) == 1


async def test_a_reader_that_does_not_read_holds_the_application_back(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    process = await start_runtime("flood")
    invocation = api.invoke({}, reading=asyncio.Event())
    await process.record(sent_parts=1)
    before = len(process.records)
    while len(process.records) != before or before == 0:  # until the application stands still
        before = len(process.records)
        await asyncio.sleep(0.3)
    assert before < 64, "64 of 256 parts are 16 MiB, far more than the kernel's buffers"
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    assert int(status.partition("VmRSS:")[2].split()[0]) < 64 * 1024
    invocation.reading.set()
    call = await invocation.answer()
    assert len(call.body) == 256 * 262_144
