"""Faults of the application, of the Runtime API and of the network between them."""

import json
import signal
from pathlib import Path

import pytest

from tests.functional.asgiric.conftest import Gate, StartRuntime
from tests.functional.asgiric.scripted_api import ScriptedRuntimeApi

EVENTS = Path(__file__).parents[2] / "events"
URL_EVENT = json.loads((EVENTS / "url_generate.json").read_text())
BODY = URL_EVENT["body"].encode()


async def test_an_exception_before_the_first_byte_becomes_an_error(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    process = await start_runtime("raises_before")
    invocation = api.invoke({})
    call = await invocation.answer()
    assert call.path.endswith("/error")
    assert call.headers["lambda-runtime-function-error-type"] == "Function.ValueError"
    assert call.headers["content-type"] == "application/vnd.aws.lambda.error+json"
    trace = call.json.pop("stackTrace")
    assert {key: value for key, value in call.json.items() if key != "stackTrace"} == {
        "errorMessage": "no such thing",
        "errorType": "ValueError",
    }
    assert "apps.py" in trace[0] and 'raise ValueError("no such thing")' in trace[-1]
    line = await process.record(level="ERROR", requestId=invocation.request_id)
    assert (line["errorType"], line["stackTrace"]) == ("ValueError", trace)


async def test_an_exception_in_the_middle_becomes_trailers(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    await start_runtime("raises_after")
    call = await api.invoke({}).answer()
    assert call.path.endswith("/response")
    assert call.body == b"half"
    assert call.trailers["lambda-runtime-function-error-type"] == "Function.ValueError"
    assert call.error["errorMessage"] == "broke in the middle:\r\nX-Forged: yes"
    assert call.error["errorType"] == "ValueError"
    assert "apps.py" in call.error["stackTrace"][0]
    assert set(call.trailers) == {"lambda-runtime-function-error-type", "lambda-runtime-function-error-body"}
    assert (await api.invoke({}).answer()).connection == call.connection


@pytest.mark.parametrize(
    ("handler", "error_type", "message"),
    [
        (
            "returns_before",
            "Function.IncompleteResponse",
            "the application returned without http.response.start",
        ),
        (
            "out_of_order",
            "UnexpectedMessage",
            "expected http.response.start, got http.response.body",
        ),
    ],
)
async def test_an_application_that_does_not_answer_is_told_apart(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, handler: str, error_type: str, message: str
):
    await start_runtime(handler)
    call = await api.invoke({}).answer()
    assert call.path.endswith("/error")
    assert (call.json["errorType"], call.json["errorMessage"]) == (error_type, message)


async def test_a_response_without_its_end_gets_trailers(api: ScriptedRuntimeApi, start_runtime: StartRuntime):
    await start_runtime("returns_after")
    call = await api.invoke({}).answer()
    assert call.error["errorType"] == "Function.IncompleteResponse"


@pytest.mark.parametrize(
    "event",
    [b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5_000, b'{"version":"2.0","requestContext":{"http":{}}}'],
)
async def test_an_event_that_no_source_sends_is_the_applications_to_answer_and_the_log_says_why(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, event: bytes
):
    process = await start_runtime("echo")
    invocation = api.invoke(event)
    assert (await invocation.answer()).body == event
    line = await process.record(level="WARN", requestId=invocation.request_id)
    assert line["message"].startswith("the event is taken for a direct invoke's document: expected")
    assert (await api.invoke({"n": 2}).answer()).json == {"n": 2}


async def test_an_event_of_a_queue_is_refused_before_the_application_sees_it(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    """An answer would be a success, and the queue would delete its messages."""
    process = await start_runtime("echo")
    invocation = api.invoke({"Records": [{"messageId": "1", "body": "{}", "eventSource": "aws:sqs"}]})
    call = await invocation.answer()
    assert (call.path.endswith("/error"), call.json["errorType"]) == (True, "Runtime.UnknownEventSource")
    assert call.json["errorMessage"].endswith("got one of aws:sqs")
    await process.record(
        level="ERROR", requestId=invocation.request_id, errorType="Runtime.UnknownEventSource"
    )
    assert (await api.invoke({"n": 2}).answer()).json == {"n": 2}


async def test_a_fault_of_the_runtimes_own_costs_its_invocation_and_no_neighbour(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, gate: Gate
):
    api.max_in_flight = 2
    await start_runtime("sabotaged", AWS_LAMBDA_MAX_CONCURRENCY="2")
    neighbour = api.invoke({"gate": gate.port, "parts": 2})
    await gate.wait_for_visitors(1)
    await gate.let_one_through()
    broken = await api.invoke({}, headers={"Lambda-Runtime-Client-Context": "sabotage"}).answer()
    assert (broken.path.endswith("/error"), broken.json["errorMessage"]) == (True, "sabotage")
    await gate.let_one_through()
    assert (await neighbour.answer()).body == b"part-0part-1"


@pytest.mark.parametrize(
    "host", ["a:" + "9" * 5_000, "\ud800:\udfff", "a" * 1_000_000], ids=["digits", "surrogates", "a megabyte"]
)
async def test_a_crafted_host_costs_nobody_anything(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, gate: Gate, host: str
):
    api.max_in_flight = 2
    await start_runtime("gated", AWS_LAMBDA_MAX_CONCURRENCY="2")
    neighbour = api.invoke({"gate": gate.port, "parts": 1})
    await gate.wait_for_visitors(1)
    event = {**URL_EVENT, "headers": {"host": host}, "body": json.dumps({"gate": gate.port, "parts": 0})}
    assert len((await api.invoke(event).answer()).chunks) == 1
    await gate.let_one_through()
    assert (await neighbour.answer()).body == b"part-0"


async def test_headers_of_absurd_count_and_size_are_handed_over(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    await start_runtime("echo")
    headers = {f"x-{number}": "y" * 50 for number in range(40_000)} | {"x-long": "z" * 1_000_000}
    assert (await api.invoke({**URL_EVENT, "headers": headers}).answer()).chunks[1].data == BODY
    assert (await api.invoke({"n": 2}).answer()).json == {"n": 2}


@pytest.mark.parametrize("status", [400, 403, 410, 413])
async def test_a_refused_response_does_not_end_the_loop(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, status: int
):
    process = await start_runtime("echo")
    refused = api.invoke({}, response_status=status)
    await refused.answer()
    assert (await api.invoke({"n": 2}).answer()).json == {"n": 2}
    line = await process.record(level="ERROR", requestId=refused.request_id)
    assert f"refused the response: {status}" in line["message"]


async def test_a_refused_error_does_not_end_the_loop(api: ScriptedRuntimeApi, start_runtime: StartRuntime):
    await start_runtime("raises_before")
    await api.invoke({}, error_status=410).answer()
    assert (await api.invoke({}).answer()).path.endswith("/error")


async def test_an_early_refusal_closes_the_response_and_spares_the_next(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    process = await start_runtime("survivor")
    await api.invoke({}, response_status=413, refuse_after_chunks=3).answer()
    await process.record(saw="ConnectionLost", then="http.disconnect")
    api.invoke({}, response_status=413, refuse_after_chunks=1)
    await process.record(message="the Runtime API refused the response: 413 ''")


async def test_a_connection_cut_in_the_middle_spares_the_next_invocation(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    process = await start_runtime("survivor")
    cut = api.invoke({}, hang_up_after_chunks=2)
    await process.record(saw="ConnectionLost")
    line = await process.record(level="ERROR", requestId=cut.request_id)
    assert "cut off" in line["message"]
    del api._in_flight[cut.request_id]
    await api.invoke({}).chunk(3)
    assert api.connections == 2


@pytest.mark.parametrize("handler", ["echo", "raises_before"])
async def test_a_container_error_ends_the_process(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, handler: str
):
    process = await start_runtime(handler)
    api.invoke({}, response_status=500, error_status=500)
    assert await process.exit_status() == 1
    assert process.records[-1]["level"] == "FATAL"


@pytest.mark.parametrize("outcome", [500, 503, 403, None])
async def test_no_next_invocation_ends_the_process(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, outcome: int | None
):
    api.next_outcomes = [outcome]
    process = await start_runtime("echo")
    assert await process.exit_status() == 1
    assert process.records[-1]["level"] == "FATAL"
    assert api.polls == 1


async def test_no_runtime_api_at_all_ends_the_process(start_runtime: StartRuntime):
    process = await start_runtime("echo", AWS_LAMBDA_RUNTIME_API="127.0.0.1:9")
    assert await process.exit_status() == 1
    assert "no connection to the Runtime API at 127.0.0.1:9" in process.records[-1]["message"]


async def test_a_connection_that_died_while_frozen_costs_no_invocation(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    process = await start_runtime("echo")
    await api.invoke({"n": 1}).answer()
    while api.polls < 2:
        api.polled.clear()
        await api.polled.wait()
    process.signal(signal.SIGSTOP)
    api.hang_up()
    process.signal(signal.SIGCONT)
    while api.polls < 3:
        api.polled.clear()
        await api.polled.wait()
    assert (await api.invoke({"n": 2}).answer()).json == {"n": 2}
    assert api.connections == 2


async def test_lines_of_the_application_leave_before_a_freeze(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    """stdout is a pipe: it would be block-buffered, and the last lines would appear with the next request."""
    process = await start_runtime("background")
    await api.invoke({"work_s": 0}).answer()
    await process.record(background="finished")


async def test_log_lines_cannot_be_forged_by_an_error_message(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    process = await start_runtime("raises_after")
    await api.invoke({}).answer()
    line = await process.record(level="ERROR")
    assert line["errorMessage"] == "broke in the middle:\r\nX-Forged: yes"
    assert all(json.loads(text)["level"] == "ERROR" for text in process.lines)
