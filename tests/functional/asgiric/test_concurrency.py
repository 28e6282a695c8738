"""AWS_LAMBDA_MAX_CONCURRENCY: several invocations in one process, strangers to one another."""

import json
import signal

from tests.functional.asgiric.conftest import Gate, StartRuntime
from tests.functional.asgiric.scripted_api import ScriptedRuntimeApi


async def test_three_streams_run_side_by_side_in_one_process(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, gate: Gate
):
    api.max_in_flight = 3
    await start_runtime("gated", AWS_LAMBDA_MAX_CONCURRENCY="3")
    invocations = []
    for name in ("a", "b", "c"):
        invocations.append(api.invoke({"gate": gate.port, "parts": 2, "name": name}))
        await gate.wait_for_visitors(len(invocations))
    for index in range(2):
        for visitor in (2, 0, 1):
            await gate.let_one_through(visitor)
            assert (await invocations[visitor].chunk(index)).data == b"%c-%d" % (b"abc"[visitor], index)
    calls = [await invocation.answer() for invocation in invocations]
    assert len({call.connection for call in calls}) == 3
    assert api.connections == 3


async def test_as_many_pollers_as_lambda_allows_start_at_once(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    api.max_in_flight = 512
    await start_runtime("echo", AWS_LAMBDA_MAX_CONCURRENCY="512")
    invocations = [api.invoke({"n": number}) for number in range(600)]
    assert [(await invocation.answer()).json["n"] for invocation in invocations] == [*range(600)]


async def test_contexts_of_concurrent_requests_are_their_own(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    api.max_in_flight = 4
    await start_runtime("facts", AWS_LAMBDA_MAX_CONCURRENCY="4")
    invocations = [
        api.invoke(
            {"n": number},
            headers={
                "Lambda-Runtime-Aws-Tenant-Id": f"tenant-{number}",
                "Lambda-Runtime-Trace-Id": f"Root={number}",
            },
        )
        for number in range(40)
    ]
    for number, invocation in enumerate(invocations):
        known = (await invocation.answer()).json
        assert known["event"] == {"n": number}
        assert known["tenant"] == f"tenant-{number}"
        assert known["trace"] == f"Root={number}"
        assert known["trace_variable"] is None, "one variable cannot hold four traces"
        assert known["request_id"] == invocation.request_id


async def test_nothing_of_a_request_is_left_for_the_next_one(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    await start_runtime("facts")
    first = api.invoke({"secret": "of a"}, headers={"Lambda-Runtime-Aws-Tenant-Id": "a"})
    second = api.invoke({})
    assert (await first.answer()).json["tenant"] == "a"
    known = (await second.answer()).json
    assert known["tenant"] is None and "secret" not in json.dumps(known)


async def test_a_deadline_ends_its_own_request_only(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, gate: Gate
):
    api.max_in_flight = 2
    await start_runtime("gated", AWS_LAMBDA_MAX_CONCURRENCY="2", ASGIRIC_DEADLINE_MARGIN_MS="400")
    short = api.invoke({"gate": gate.port, "parts": 1, "name": "short"}, timeout_s=1)
    await gate.wait_for_visitors(1)
    long = api.invoke({"gate": gate.port, "parts": 1, "name": "long"})
    await gate.wait_for_visitors(2)
    assert (await short.answer()).error["errorType"] == "Function.DeadlineExceeded"
    await gate.let_one_through(1)
    assert (await long.answer()).body == b"long-0"


async def test_a_deaf_request_does_not_take_its_neighbours_down(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    api.max_in_flight = 2
    process = await start_runtime("deaf", AWS_LAMBDA_MAX_CONCURRENCY="2", ASGIRIC_DEADLINE_MARGIN_MS="400")
    deaf = api.invoke({}, timeout_s=0.8)
    neighbour = api.invoke({}, timeout_s=30)
    assert (await deaf.answer()).error["errorType"] == "Function.DeadlineExceeded"
    await process.record(level="ERROR", message=f"the task of {deaf.request_id} ignored two cancellations")
    assert (await neighbour.chunk(0)).data == b"half"


async def test_sigterm_ends_all_streams_in_time(api: ScriptedRuntimeApi, start_runtime: StartRuntime):
    api.max_in_flight = 3
    process = await start_runtime("patient", AWS_LAMBDA_MAX_CONCURRENCY="3")
    invocations = [api.invoke({}) for _ in range(3)]
    for invocation in invocations:
        await invocation.chunk(1)
    process.signal(signal.SIGTERM)
    for invocation in invocations:
        assert (await invocation.answer()).chunks[-1].data == b"cancelled by shutdown"
    assert await process.exit_status() == 0
