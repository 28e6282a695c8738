"""Stacks of the tests' own functions: the real LocalAws, with functions that show what happens to them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.sam.function import FunctionConfig, FunctionUrl
from infra.local.stack import LocalAws, LocalAwsConfig

HANDLERS = Path(__file__).parent / "handlers"
PLAIN = FunctionConfig(
    name="Plain",
    code=HANDLERS / "plain",
    handler="app.handler",
    timeout_s=20,
    memory_mb=256,
    log_group="/test/plain",
)
PROXY = replace(PLAIN, name="Proxy", handler="app.proxy", url=FunctionUrl(), log_group="/test/proxy")
STREAMS = FunctionConfig(
    name="Streams",
    code=HANDLERS / "streams",
    handler="none.none",
    timeout_s=20,
    environment={"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/bootstrap"},
    url=FunctionUrl(streams=True),
    log_group="/test/streams",
)
type Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a stack of the given functions, without moto unless asked for, and ends it with the test."""
    async with AsyncExitStack() as stack:

        async def begin(*functions: FunctionConfig, **settings: Any) -> LocalAws:
            quick = {"layer": None, "services": False, "retry_delays_s": (0.0, 0.0)}
            config = LocalAwsConfig(functions=functions, **{**quick, **settings})
            return await stack.enter_async_context(LocalAws(config))

        yield begin


async def invoke(aws: LocalAws, name: str, **event: Any) -> httpx.Response:
    """A synchronous invocation by HTTP."""
    async with httpx.AsyncClient(timeout=30) as client:
        url = f"{aws.lambda_endpoint}/2015-03-31/functions/{name}/invocations"
        return await client.post(url, content=json.dumps(event), headers={"x-amz-log-type": "Tail"})


async def report(aws: LocalAws, name: str, response: httpx.Response) -> dict[str, Any]:
    """platform.report's record of an invocation."""
    record: dict[str, Any] = await aws.wait_for_report(name, response.headers["x-amzn-requestid"])
    return record


class Gate:
    """Lets a function through one step at a time: it connects, and reads a byte for each step."""

    def __init__(self) -> None:
        self.port = 0
        self._writer: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        (await self._writer).write(b".")

    def _came(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer.set_result(writer)


@asynccontextmanager
async def gate() -> AsyncIterator[Gate]:
    """A gate on a port of its own."""
    made = Gate()
    server = await asyncio.start_server(made._came, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        if made._writer.done():
            made._writer.result().close()
        await server.wait_closed()
