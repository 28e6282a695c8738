"""An ASGI application under generate's own bootstrap and runtime client, in the local environment."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from infra.local.sam.function import FunctionConfig, FunctionUrl

from .conftest import Start, gate

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def function(tmp_path: Path) -> Callable[..., FunctionConfig]:
    code = tmp_path / "code"
    code.mkdir()
    shutil.copy(ROOT / "functions/generate/bootstrap", code)
    shutil.copy(ROOT / "tests/functional/asgiric/apps.py", code)

    def make(application: str, **changes: object) -> FunctionConfig:
        made = FunctionConfig(
            name="Asgi",
            code=code,
            handler=f"apps.{application}",
            timeout_s=20,
            environment={
                "AWS_LAMBDA_EXEC_WRAPPER": "/var/task/bootstrap",
                "ASGIRIC_DEADLINE_MARGIN_MS": "700",
            },
            url=FunctionUrl(streams=True),
            log_group="/test/asgi",
        )
        return replace(made, **changes)  # type: ignore[arg-type]

    return make


async def test_its_parts_arrive_as_it_sends_them(start: Start, function: Callable[..., FunctionConfig]):
    aws = await start(function("gated"), layer=ROOT / "shared")
    async with gate() as opened, httpx.AsyncClient(timeout=30) as client:
        wanted = {"gate": opened.port, "parts": 3}
        async with client.stream("POST", aws.function_url("Asgi"), json=wanted) as response:
            parts = response.aiter_raw()
            for index in range(3):
                await opened.open()
                assert await asyncio.wait_for(anext(parts), 5) == b"part-%d" % index
    assert aws.functions["Asgi"].environments[0].api.refusals == []


async def test_it_says_its_last_word_before_the_deadline(
    start: Start, function: Callable[..., FunctionConfig]
):
    aws = await start(function("patient", timeout_s=1.5), layer=ROOT / "shared")
    async with httpx.AsyncClient(timeout=30) as client:
        response = await client.post(aws.function_url("Asgi"))
    assert response.content.endswith(b"cancelled by deadline")
    report = await aws.wait_for_report("Asgi", response.headers["x-amzn-requestid"])
    assert report["status"] == "success"
    assert 700 <= report["metrics"]["durationMs"] < 1500


async def test_one_environment_takes_as_many_at_a_time_as_it_may(
    start: Start, function: Callable[..., FunctionConfig]
):
    aws = await start(function("gated", max_concurrency=4), layer=ROOT / "shared")
    url = aws.function_url("Asgi")
    async with AsyncExitStack() as stack, httpx.AsyncClient(timeout=30) as client:
        # The first one starts the environment: others that come while it starts would start more.
        await client.post(url, json={"gate": (await opened(stack)).port, "parts": 0})
        gates = [await opened(stack) for _ in range(4)]
        streams = [
            await stack.enter_async_context(
                client.stream("POST", url, json={"gate": each.port, "parts": 2, "name": str(index)})
            )
            for index, each in enumerate(gates)
        ]
        parts = [stream.aiter_raw() for stream in streams]
        for turn in range(2):
            for index in reversed(range(4)):
                await gates[index].open()
                assert await asyncio.wait_for(anext(parts[index]), 5) == f"{index}-{turn}".encode()
        for stream in streams:
            await aws.wait_for_report("Asgi", stream.headers["x-amzn-requestid"])
    assert len(aws.functions["Asgi"].environments) == 1
    lines = [event.record or {} for event in aws.log_events("Asgi")]
    reports = [line["record"]["metrics"] for line in lines if line.get("type") == "platform.report"]
    assert [report.keys() for report in reports] == [{"durationMs"}] * 5


async def opened(stack: AsyncExitStack):
    return await stack.enter_async_context(gate())


async def test_an_environment_starts_with_as_many_pollers_as_lambda_allows(
    start: Start, function: Callable[..., FunctionConfig]
):
    aws = await start(function("echo", max_concurrency=512), layer=ROOT / "shared")
    async with httpx.AsyncClient(timeout=30) as client:
        url = aws.function_url("Asgi")
        await client.post(url, content="the first")
        answers = await asyncio.gather(*(client.post(url, content=str(number)) for number in range(64)))
    assert [answer.text for answer in answers] == [str(number) for number in range(64)]
    [environment] = aws.functions["Asgi"].environments
    assert environment.api.refusals == []
