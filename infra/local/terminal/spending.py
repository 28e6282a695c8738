"""Who may spend what, shown by the demo through OpenAI's SDK: one validated document, a budget that refuses, an
answer given again, one out of the cache, a stop."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from importlib.metadata import version

import httpx

from ..aws_services import CREDENTIALS, AwsServices
from ..endpoints.loopback import around_proxies
from ..execution.code import ROOT
from ..simulator import Simulator
from .account import Entry
from .caller import Generation

# What a stack is made with, so that it knows its callers and gives documents again.
PARAMETERS = {"EnableAccessTable": "true", "ResponseCacheSeconds": "600"}
_MODEL, _SLOW = "sim-fast", "sim-1"
_BUDGET_USD = "0.000001"  # less than any answer costs
type BookEntry = Callable[[str, Generation], Awaitable[Entry]]


type Headers = Mapping[str, str]


def key_of(headers: Headers) -> str:
    """The own key that a caller sends."""
    return headers["authorization"].removeprefix("Bearer ")


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
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:  # the demo was interrupted
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise ValueError(f"costs {' '.join(arguments[:2])}: expected exit code 0, got {process.returncode}")
    return output.decode().strip()


class Spending:
    """The requests that show it, of a caller and of one with next to no budget, all through OpenAI's SDK."""

    def __init__(self, client: httpx.AsyncClient, generate_url: str, caller: Headers, poor: Headers) -> None:
        from .openai_sdk import SdkCaller

        base_url = f"{generate_url}/v1"
        self._caller, self._poor = (SdkCaller(client, base_url, key_of(one)) for one in (caller, poor))

    async def aclose(self) -> None:
        """Close the callers' connections."""
        await asyncio.gather(self._caller.aclose(), self._poor.aclose())

    async def run(self, book: BookEntry, simulator: Simulator) -> tuple[list[Entry], list[str]]:
        """The requests' entries, and what came of them. Raises ValueError for what is not as it has to be."""
        once = {"idempotency-key": "demo"}
        refused, _ = await self._poor.ask(_MODEL, {})
        bought, recipe = await self._caller.ask(_MODEL, once)
        again, same = await self._caller.ask(_MODEL, once)
        cached, _ = await self._caller.ask(_MODEL, {})
        stop = Generation()
        stopped, _ = await self._caller.ask(_SLOW, {"cache-control": "no-cache"}, stop=stop)
        named = {
            "over budget": (refused, "budget_exceeded"), "under a key": (bought, "ok"),
            "the key again": (again, "ok"), "from the cache": (cached, "ok"), "stopped": (stopped, "stopped"),
            "its stop": (stop, "ok"),
        }  # fmt: skip
        for name, (generation, outcome) in named.items():
            if generation.outcome != outcome:
                raise ValueError(f"{name}: expected outcome {outcome}, got {generation.outcome}")
        if recipe is None or same != recipe:
            raise ValueError("the key again: expected the same document, got another one")
        entries = [await book(name, generation) for name, (generation, _) in named.items()]
        exchanges = [one for one in await simulator.settled_requests() if one.model in (_MODEL, _SLOW)]
        asked = sum(one.model == _MODEL for one in exchanges)
        if asked != 1:
            raise ValueError(f"three answers of one request: expected one purchase, got {asked}")
        return entries, [
            f"  openai-python {version('openai')}, chat.completions.stream(response_format=Recipe):",
            f"  {bought.deltas} pieces of validated text, parsed: {recipe.title!r:.40}",
            *_saved(entries[2], entries[3]),
            f"  stopped {(stopped.duration_ms - (stopped.ttft_ms or 0)) / 1e3:.1f} s after it was asked for, in"
            f" another environment: token {exchanges[-1].tokens_sent} of {exchanges[-1].tokens_scripted}",
        ]


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
