"""Another event loop than asyncio's own: the one whose policy the application sets when it is imported."""

import asyncio
import json
import signal
from pathlib import Path

from tests.functional.asgiric.conftest import HERE, ROOT, Gate, StartRuntime
from tests.functional.asgiric.scripted_api import ScriptedRuntimeApi
from tests.functional.generate.scripted import completion, provider

URL_EVENT = json.loads((Path(__file__).parents[2] / "events/url_generate.json").read_text())
UVLOOP = {"APP_OPTIONS": "--uvloop"}


async def test_parts_leave_one_by_one_under_uvloop(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, gate: Gate
) -> None:
    api.max_in_flight = 2
    await start_runtime("gated", AWS_LAMBDA_MAX_CONCURRENCY="2", **UVLOOP)
    invocations = [api.invoke({"gate": gate.port, "parts": 3}) for _ in range(2)]
    await gate.wait_for_visitors(2)
    for _index in range(3):
        for visitor in range(2):
            await gate.let_one_through(visitor)
    for invocation in invocations:
        assert [chunk.data for chunk in (await invocation.answer()).chunks] == [
            b"part-0",
            b"part-1",
            b"part-2",
        ]
    assert api.connections == 2


async def test_a_reader_that_does_not_read_holds_the_application_back_under_uvloop(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
) -> None:
    process = await start_runtime("flood", **UVLOOP)
    invocation = api.invoke({}, reading=asyncio.Event())
    await process.record(sent_parts=1)
    before = 0
    while len(process.records) != before:  # until the application stands still
        before = len(process.records)
        await asyncio.sleep(0.3)
    assert before < 64, "64 of 256 parts are 16 MiB, far more than the kernel's buffers"
    invocation.reading.set()
    assert len((await invocation.answer()).body) == 256 * 262_144


async def test_sigterm_and_deadline_have_their_last_words_under_uvloop(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
) -> None:
    process = await start_runtime("patient", ASGIRIC_DEADLINE_MARGIN_MS="600", **UVLOOP)
    assert (await api.invoke({}, timeout_s=1.2).answer()).body.endswith(b"cancelled by deadline")
    last = api.invoke({})
    await last.chunk(1)
    process.signal(signal.SIGTERM)
    assert (await last.answer()).body.endswith(b"cancelled by shutdown")
    assert await process.exit_status() == 0


async def test_generate_streams_under_uvloop(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, tmp_path: Path
) -> None:
    (tmp_path / "on_uvloop.py").write_text(
        "import asyncio, uvloop\nasyncio.set_event_loop_policy(uvloop.EventLoopPolicy())\nfrom app import app\n"
    )
    async with provider(completion("a", "b")) as upstream:
        await start_runtime(
            "on_uvloop.app",
            PYTHONPATH=f"{ROOT / 'shared'}:{ROOT / 'functions/generate'}:{HERE}:{tmp_path}",
            WEIR_UPSTREAM_BASE_URL=upstream.base_url,
            WEIR_UPSTREAM_MODEL="test-model",
            ASGIRIC_DIRECT_PATH="/v1/generations",
        )
        for _ in range(3):
            body = (await api.invoke({"prompt": "Why?"}).answer()).body
            assert body.count(b"event: delta") == 2 and body.count(b"event: done") == 1
    assert upstream.connections == 1
