"""A real `python -m asgiric` against the scripted Runtime API."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.asgiric.scripted_api import ScriptedRuntimeApi

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


class RuntimeProcess:
    """The runtime's process and what it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = asyncio.Condition()
        self._pump = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._news:
                self.lines.append(line.decode().rstrip("\n"))
                self._news.notify_all()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines that are JSON objects."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    async def record(self, **members: object) -> dict[str, Any]:
        """The first line that holds these members, once it has been printed."""

        def found() -> list[dict[str, Any]]:
            return [record for record in self.records if members.items() <= record.items()]

        async with self._news:
            await self._news.wait_for(found)
        return found()[0]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def exit_status(self) -> int:
        status = await self.process.wait()
        await self._pump
        return status

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self._pump


StartRuntime = Callable[..., Awaitable[RuntimeProcess]]


@pytest.fixture
async def api() -> AsyncIterator[ScriptedRuntimeApi]:
    async with ScriptedRuntimeApi() as api:
        yield api
    assert api.violations == []


@pytest.fixture
async def start_runtime(api: ScriptedRuntimeApi) -> AsyncIterator[StartRuntime]:
    """Start the runtime with a handler of `apps` and environment variables; it is killed after the test."""
    started: list[RuntimeProcess] = []

    async def start(handler: str, **environ: str) -> RuntimeProcess:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "asgiric",
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{ROOT / 'shared'}:{HERE}",
                "AWS_LAMBDA_RUNTIME_API": api.address,
                "AWS_LAMBDA_FUNCTION_NAME": "generate",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
                "_HANDLER": f"apps.{handler}" if "." not in handler else handler,
                **environ,
            },
            stdout=asyncio.subprocess.PIPE,
        )
        started.append(RuntimeProcess(process))
        return started[-1]

    yield start
    for process in started:
        await process.end()


@pytest.fixture
async def gate() -> AsyncIterator["Gate"]:
    gate = Gate()
    server = await asyncio.start_server(gate.enter, "127.0.0.1", 0)
    gate.port = server.sockets[0].getsockname()[1]
    yield gate
    gate.close()
    server.close()


class Gate:
    """Lets an application's parts through, one by one, in the order in which the applications connected."""

    def __init__(self) -> None:
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._news = asyncio.Condition()

    async def enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._news:
            self._writers.append(writer)
            self._news.notify_all()

    async def wait_for_visitors(self, count: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: len(self._writers) >= count)

    async def let_one_through(self, visitor: int = 0) -> None:
        await self.wait_for_visitors(visitor + 1)
        self._writers[visitor].write(b".")

    def close(self) -> None:
        for writer in self._writers:
            writer.close()
