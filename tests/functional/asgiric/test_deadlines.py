"""The two ways in which time runs out: the function's timeout and SIGTERM."""

import asyncio
import signal
import time

import pytest

from tests.functional.asgiric.conftest import StartRuntime
from tests.functional.asgiric.scripted_api import ScriptedRuntimeApi

# Lambda kills after 0.5 s, and asgiric allows itself 0.3: what is tested is that nothing waits for the application. A
# machine with other work on it needs its time, too.
PROMPTLY_S = 2.0


def at(deadline_ms: int, monotonic_s: float) -> float:
    """Milliseconds before the deadline at which something happened."""
    return deadline_ms - (time.time() - time.monotonic() + monotonic_s) * 1000


async def test_at_the_margin_the_application_is_cancelled_and_has_the_last_word(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    await start_runtime("patient")
    invocation = api.invoke({}, timeout_s=3)
    call = await invocation.answer()
    assert call.chunks[-1].data == b"cancelled by deadline"
    assert call.trailers == {}
    assert 1700 < at(invocation.deadline_ms, call.chunks[-1].at_s) <= 2001
    next_one = api.invoke({}, timeout_s=2.5)
    assert (await next_one.answer()).chunks[-1].data == b"cancelled by deadline"


async def test_the_margin_is_a_setting(api: ScriptedRuntimeApi, start_runtime: StartRuntime):
    await start_runtime("patient", ASGIRIC_DEADLINE_MARGIN_MS="600")
    invocation = api.invoke({}, timeout_s=1.2)
    call = await invocation.answer()
    assert 400 < at(invocation.deadline_ms, call.chunks[-1].at_s) <= 601


async def test_a_timeout_shorter_than_the_margin_leaves_half_of_it(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    await start_runtime("patient")
    invocation = api.invoke({}, timeout_s=1)
    call = await invocation.answer()
    assert call.chunks[-1].data == b"cancelled by deadline"
    assert 300 < at(invocation.deadline_ms, call.chunks[-1].at_s) <= 520


async def test_an_application_that_had_not_begun_becomes_an_error(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    await start_runtime("silent", ASGIRIC_DEADLINE_MARGIN_MS="400")
    call = await api.invoke({}, timeout_s=0.8).answer()
    assert call.path.endswith("/error")
    assert call.json["errorType"] == "Function.DeadlineExceeded"


async def test_an_application_deaf_to_cancellation_is_answered_for_and_ends_the_process(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    process = await start_runtime("deaf", ASGIRIC_DEADLINE_MARGIN_MS="500")
    invocation = api.invoke({}, timeout_s=1)
    call = await invocation.answer()
    assert call.error["errorType"] == "Function.DeadlineExceeded"
    assert at(invocation.deadline_ms, time.monotonic()) > 0
    assert await process.exit_status() == 1
    assert "ignored two cancellations" in process.records[-1]["message"]


@pytest.mark.parametrize("ended_by", ["deadline", "shutdown"])
async def test_the_rest_of_one_large_part_is_dropped_and_a_late_reader_sees_trailers_and_no_normal_end(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, ended_by: str
):
    process = await start_runtime("in_one_part", ASGIRIC_DEADLINE_MARGIN_MS="900")
    timeout_s = 30.0 if ended_by == "shutdown" else 1.2
    invocation = api.invoke({}, timeout_s=timeout_s, reading=asyncio.Event())
    if ended_by == "shutdown":
        await process.record(
            sending="begins"
        )  # in one go, until the part is stuck: no signal comes before that
        process.signal(signal.SIGTERM)
    await process.record(last_words="a part of this response has not been sent whole: nothing can follow it")
    invocation.reading.set()
    call = await invocation.answer()
    kind = "DeadlineExceeded" if ended_by == "deadline" else "Shutdown"
    assert call.trailers["lambda-runtime-function-error-type"] == f"Function.{kind}"
    assert call.error["errorType"] == f"Function.{kind}"
    assert 0 < len(call.body) < 32_000_000, "what the kernel had taken, not the part"
    assert b"cancelled" not in call.body


async def test_an_application_that_never_waits_cannot_starve_its_deadline(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    await start_runtime("greedy", ASGIRIC_DEADLINE_MARGIN_MS="500")
    call = await api.invoke({}, timeout_s=0.8).answer()
    assert call.error["errorType"] == "Function.DeadlineExceeded"


async def test_background_work_is_finished_before_the_next_poll(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    process = await start_runtime("background")
    await api.invoke({"work_s": 0.3}).answer()
    assert api.polls == 1 and not process.lines
    await process.record(background="finished")
    await api.invoke({"work_s": 0}).answer()
    assert api.polls >= 2


async def test_background_work_is_cancelled_at_the_margin(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    process = await start_runtime("background", ASGIRIC_DEADLINE_MARGIN_MS="300")
    await api.invoke({"work_s": 60}, timeout_s=0.6).answer()
    await process.record(background="cancelled by deadline")
    assert [record for record in process.records if "level" in record] == []
    await api.invoke({"work_s": 0}).answer()


async def test_sigterm_while_idle_ends_the_process(api: ScriptedRuntimeApi, start_runtime: StartRuntime):
    process = await start_runtime("with_lifespan")
    await api.polled.wait()
    process.signal(signal.SIGTERM)
    began_s = time.monotonic()
    assert await process.exit_status() == 0
    assert time.monotonic() - began_s < PROMPTLY_S
    assert process.records == [{"lifespan": "shut down"}]


async def test_sigterm_in_a_response_leaves_the_application_the_last_word(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    process = await start_runtime("patient")
    invocation = api.invoke({})
    await invocation.chunk(2)
    process.signal(signal.SIGTERM)
    began_s = time.monotonic()
    assert (await invocation.answer()).chunks[-1].data == b"cancelled by shutdown"
    assert await process.exit_status() == 0
    assert time.monotonic() - began_s < PROMPTLY_S


async def test_sigterm_with_a_deaf_application_ends_the_response_with_trailers(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    process = await start_runtime("deaf")
    invocation = api.invoke({})
    await invocation.chunk(0)
    process.signal(signal.SIGTERM)
    began_s = time.monotonic()
    call = await invocation.answer()
    assert call.error["errorType"] == "Function.Shutdown"
    assert time.monotonic() - began_s < PROMPTLY_S
    assert await process.exit_status() == 0
    assert time.monotonic() - began_s < PROMPTLY_S
