"""Who may spend what, shown by the demo: a budget that refuses, an answer given again, one out of the cache, a stop."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import httpx

from ..aws_services import CREDENTIALS, AwsServices
from ..endpoints.loopback import around_proxies
from ..execution.code import ROOT
from ..simulator import Simulator
from .account import Entry
from .caller import Generation, generate

# What a stack is made with, so that it knows its callers and gives documents again.
PARAMETERS = {"EnableAccessTable": "true", "ResponseCacheSeconds": "600"}
_MODEL, _SLOW = "sim-fast", "sim-1"
_BUDGET_USD = "0.000001"  # less than any answer costs
type BookEntry = Callable[[str, Generation], Awaitable[Entry]]


type Headers = Mapping[str, str]


class Operator:
    """Whoever operates the stack, at the command line."""

    def __init__(self, services: AwsServices, region: str, table: str) -> None:
        self._place = ("--table", table, "--endpoint-url", services.url, "--region", region)

    async def make_caller(self, tenant: str) -> Headers:
        """A key for a tenant: the headers that its caller sends."""
        return {"authorization": f"Bearer {await _costs('keys', 'create', tenant, *self._place)}"}

    async def make_poor_caller(self) -> Headers:
        """A key for a tenant that may spend next to nothing."""
        limits = _costs("limits", "poor", "--monthly-usd", _BUDGET_USD, *self._place)
        headers, _ = await asyncio.gather(self.make_caller("poor"), limits)
        return headers


async def _costs(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "infra.costs", *arguments,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        env=around_proxies({**os.environ, **CREDENTIALS, "PYTHONPATH": str(ROOT / "shared")}),
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode:
        raise ValueError(f"costs {' '.join(arguments[:2])}: expected exit code 0, got {process.returncode}")
    return output.decode().strip()


class Spending:
    """The requests that show it, of a caller and of one with next to no budget."""

    def __init__(
        self, client: httpx.AsyncClient, url: str, caller: Headers, poor: Headers, body: dict[str, Any]
    ) -> None:
        self._client = client
        self._url = url
        self._caller = caller
        self._poor = poor
        self._body = {**body, "model": _MODEL}

    async def run(self, book: BookEntry, simulator: Simulator) -> tuple[list[Entry], list[str]]:
        """The requests' entries, and what came of them. Raises ValueError for what is not as it has to be."""
        refused = await self._ask(self._poor)
        bought = await self._ask({**self._caller, "idempotency-key": "demo"})
        again = await self._ask({**self._caller, "idempotency-key": "demo"})
        cached = await self._ask(self._caller)
        stopped, stop, took_s = await self._stop()
        named = {
            "over budget": (refused, "budget_exceeded"), "under a key": (bought, "ok"),
            "the key again": (again, "ok"), "from the cache": (cached, "ok"), "stopped": (stopped, "stopped"),
            "its stop": (stop, "ok"),
        }  # fmt: skip
        for name, (generation, outcome) in named.items():
            if generation.outcome != outcome:
                raise ValueError(f"{name}: expected outcome {outcome}, got {generation.outcome}")
        if "".join(again.text) != "".join(bought.text) or not bought.text:
            raise ValueError("the key again: expected the same text, got another one")
        entries = [await book(name, generation) for name, (generation, _) in named.items()]
        exchanges = [one for one in await simulator.settled_requests() if one.model in (_MODEL, _SLOW)]
        asked = sum(one.model == _MODEL for one in exchanges)
        if asked != 1:
            raise ValueError(f"three answers of one request: expected one purchase, got {asked}")
        return entries, [
            *_saved(entries[2], entries[3]),
            f"  stopped {took_s:.1f} s after it was asked for, in another environment:"
            f" token {exchanges[-1].tokens_sent} of {exchanges[-1].tokens_scripted}",
        ]

    async def _ask(self, headers: Headers) -> Generation:
        generation = Generation()
        async for _ in generate(self._client, self._url, self._body, generation, headers):
            pass
        return generation

    async def _stop(self) -> tuple[Generation, Generation, float]:
        """A stream that is stopped at its first text, and the stop; how long that took, in seconds."""
        stopped, stop, asked_s = Generation(), Generation(), 0.0
        headers, body = {**self._caller, "cache-control": "no-cache"}, {**self._body, "model": _SLOW}
        async for name, _ in generate(self._client, self._url, body, stopped, headers):
            if name == "delta" and not asked_s:
                asked_s = time.monotonic()
                response = await self._client.delete(
                    f"{self._url}/{stopped.request_id}", headers=self._caller
                )
                stop.status, stop.request_id = response.status_code, response.headers.get("x-request-id")
                stop.final = {"outcome": "ok"} if response.status_code == 204 else response.json()
        return stopped, stop, time.monotonic() - asked_s


def _saved(again: Entry, cached: Entry) -> list[str]:
    lines = []
    for entry, said in ((again, "the key again"), (cached, "from the cache")):
        row = entry.row
        if row["answered_from"] is None or row["usage"]["output_tokens"] != 0:
            raise ValueError(
                f"{entry.name}: expected a row of an answer given again, got {row['answered_from']}"
            )
        lines.append(
            f"  {said}: {row['saved_tokens']} tokens for {Decimal(row['saved_total']):.7f} USD not bought"
        )
    return lines
