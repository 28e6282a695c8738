"""A function in a process of its own, as on Lambda, and in a tenth of a start's time.

One process imports what all functions share and does nothing else; each function is forked from it, so that none finds
the clients and caches of another. What a function finds in its environment is what it is given.
"""

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from multiprocessing import get_context
from multiprocessing.forkserver import ensure_running
from types import SimpleNamespace
from typing import Any

import httpx

_FUNCTIONS = ("generate", "ledger", "ledger_jobs", "finance")
_LATE = ("boto3", "aws_lambda_powertools.utilities.parameters", "weir.generate.gate", "weir.generate.repeats")
_PROCESSES = get_context("forkserver")
_PROCESSES.set_forkserver_preload([*(f"functions.{name}.app" for name in _FUNCTIONS), *_LATE])


class Forked:
    """One environment of the function in functions/`code`: what it is asked is done in turn."""

    def __init__(self, code: str, variables: Mapping[str, str]) -> None:
        self._code = code
        ensure_running()  # it imports while others are prepared
        self._pool = ProcessPoolExecutor(
            1, mp_context=_PROCESSES, initializer=_begin, initargs=(dict(variables),)
        )

    async def invoke(self, event: Mapping[str, Any]) -> tuple[Any, list[str]]:
        """What its handler returns, and the lines that it printed. Raises what the handler raises."""
        return await self._run(_invoke, dict(event))

    async def post(
        self, path: str, bodies: Sequence[Mapping[str, Any]], headers: Mapping[str, str]
    ) -> list[tuple[int, str]]:
        """Status and text of what its ASGI application answers, between its start and its end."""
        return await self._run(_post, path, [dict(body) for body in bodies], dict(headers))

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()

    async def _run(self, work: Any, *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, work, self._code, *arguments)


def _begin(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    tempfile.tempdir = variables["TMPDIR"]


def _invoke(code: str, event: dict[str, Any]) -> tuple[Any, list[str]]:
    context = SimpleNamespace(aws_request_id="forked", get_remaining_time_in_millis=lambda: 60_000)
    with redirect_stdout(StringIO()) as printed:
        answer = import_module(f"functions.{code}.app").handler(event, context)
    # Across processes goes what Lambda would pass on: JSON.
    return json.loads(json.dumps(answer)), printed.getvalue().splitlines()


def _post(
    code: str, path: str, bodies: list[dict[str, Any]], headers: dict[str, str]
) -> list[tuple[int, str]]:
    async def serve() -> list[tuple[int, str]]:
        app = import_module(f"functions.{code}.app").App()
        received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        living = asyncio.ensure_future(app({"type": "lifespan"}, received.get, sent.put))
        await received.put({"type": "lifespan.startup"})
        started = asyncio.ensure_future(sent.get())
        await asyncio.wait({started, living}, return_when=asyncio.FIRST_COMPLETED)
        if living.done():
            await living  # it could not start: that is told
        transport = httpx.ASGITransport(app)
        answers = []
        async with httpx.AsyncClient(transport=transport, base_url="http://generate.test") as client:
            for body in bodies:
                answer = await client.post(path, json=body, headers=headers)
                answers.append((answer.status_code, answer.text))
        await received.put({"type": "lifespan.shutdown"})
        await living
        return answers

    with redirect_stdout(StringIO()):
        return asyncio.run(serve())
