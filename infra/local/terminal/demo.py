"""`make demo`: one blog post streamed from the function, what it cost, what happens when it goes wrong, who may spend
what, the ledger.

Every figure of cost is read from the ledger, through the finance function's API, as anybody else would read it.
What is not as expected ends the demo with a message and exit status 1; nothing is left running either way.
"""

import argparse
import asyncio
import io
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import httpx

from ..chosen_upstream import ChosenUpstream, UpstreamSettingsError, chosen_upstream
from ..execution.code import CodeError
from ..execution.invocation import Invocation
from ..sam.cloudformation import TemplateError
from ..simulator import Simulator
from ..stack import LocalAws, LocalAwsConfig
from .account import Entry, cost_lines, estimate_error, request_lines, timing_lines, total
from .caller import Generation, generate
from .figures import figure_lines, what_if_lines
from .live_view import LiveView, Terminal, shorten
from .spending import PARAMETERS, Headers, Operator, Spending

_PROMPT = "Write a blog post about repairing old bicycles."
_ROW_TIMEOUT_S = 20.0
_POLL_S = 0.2
_REQUEST_TIMEOUT_S = 60.0


class Unexpected(Exception):
    """Something is not as it has to be; the message says what was expected, and what came."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the stack listens, and what answers behind it."""

    generate_url: str
    finance_url: str
    upstream: ChosenUpstream
    caller: Headers  # what the demo sends, to be known
    poor: Awaitable[Headers]  # and who may spend next to nothing
    jobs: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]  # runs one task to its end


class Demo:
    """The requests of the demo and their accounts."""

    def __init__(self, doors: Doors, client: httpx.AsyncClient, terminal: Terminal) -> None:
        self._doors = doors
        self._client = client
        self._terminal = terminal
        self._upstream = doors.upstream
        self._model = doors.upstream.model
        self._simulator = doors.upstream.simulator
        self._url = f"{doors.generate_url}/v1/generations"
        # These show what asking costs: no answer out of the cache.
        self._headers = {**doors.caller, "cache-control": "no-cache"}

    async def run(self) -> None:
        """All of it, in about half a minute. Raises Unexpected."""
        first, estimate = await self._post()
        self._section("When it came", timing_lines(first))
        error = estimate_error(first.row)
        footnote = [] if error is None else [f"  the estimate, given before the end, is off by {error:+.2%}"]
        self._section("What it cost, by phase", [*cost_lines(first, estimate), *footnote])
        entries = [first, *await self._pair()]
        if self._simulator is not None:
            entries += await self._failures()
        saved = [] if self._simulator is None else [await self._savings(self._simulator)]
        self._section("More requests, from the ledger", [*request_lines(entries), *saved])
        if self._simulator is not None:
            entries += await self._spending(self._simulator)
        self._terminal.line(f"  together {total(entries):.7f} USD")
        self._section("The ledger's own figures, of all of them", await self._figures(total(entries)))
        self._section("What if, in USD", what_if_lines(await self._finance("whatif")))

    def _section(self, title: str, lines: list[str]) -> None:
        self._terminal.line()
        self._terminal.line(self._terminal.style.bold(title))
        for text in lines:
            self._terminal.line(text)

    async def _post(self) -> tuple[Entry, dict[str, Any]]:
        """The first request, live: its environment starts cold."""
        line, style = self._terminal.line, self._terminal.style
        line(style.bold("One blog post, streamed and validated"))
        line(shorten(f"  POST {self._url}", self._terminal.columns))
        line(f'  {{"prompt": "{_PROMPT}",')
        line(f'   "schema": "blog_post", "model": "{self._model}"}}')
        line()
        generation = Generation()
        view = LiveView(self._terminal)
        try:
            async for name, data in generate(
                self._client, self._url, self._body(self._model), generation, self._headers
            ):
                if name == "delta":
                    view.delta(data["text"])
                elif name == "value":
                    view.value(data["path"], data["value"])
        finally:
            view.close()
        _expect(generation, "ok")
        line(style.good(f"  done: ok, request {generation.request_id}"))
        assert generation.final is not None
        estimate: dict[str, Any] = generation.final["cost"]
        return await self._entry("blog post", generation, cold=True), estimate

    async def _pair(self) -> list[Entry]:
        """Two requests at once: the environment that is there takes one, the other starts cold."""
        pair = await asyncio.gather(*(self._ask(self._model, "ok") for _ in range(2)))
        entries = [await self._entry("two at once", generation) for generation in pair]
        warm, cold = sorted(entries, key=lambda entry: entry.row["init_ms"] or 0)
        if warm.row["init_ms"] or not cold.row["init_ms"]:
            starts = [entry.row["init_ms"] for entry in entries]
            raise Unexpected(
                f"two requests at once: expected one warm and one cold start, got init_ms {starts}"
            )
        return [replace(warm, name="warm"), replace(cold, name="cold")]

    async def _failures(self) -> list[Entry]:
        """A document that the schema refuses, and an upstream that fails."""
        invalid, failed = await asyncio.gather(
            self._ask("sim-invalid", "invalid_output"), self._ask("sim-500", "upstream_error")
        )
        return [
            await self._entry("invalid output", invalid, cold=False),
            await self._entry("upstream 500", failed, cold=False),
        ]

    async def _spending(self, simulator: Simulator) -> list[Entry]:
        """Budgets, answers that are given again, and a stop. Raises Unexpected."""
        caller, poor = self._doors.caller, await self._doors.poor
        spending = Spending(self._client, self._doors.generate_url, caller, poor)
        try:
            entries, lines = await spending.run(self._entry, simulator)
        except ValueError as error:
            raise Unexpected(str(error)) from error
        finally:
            await spending.aclose()
        self._section("Who may spend what, from the ledger", [*request_lines(entries), *lines])
        return entries

    def _body(self, model: str) -> dict[str, Any]:
        return {"prompt": _PROMPT, "schema": "blog_post", "model": model}

    async def _ask(self, model: str, outcome: str) -> Generation:
        generation = Generation()
        async for _ in generate(self._client, self._url, self._body(model), generation, self._headers):
            pass
        _expect(generation, outcome)
        return generation

    async def _entry(self, name: str, generation: Generation, *, cold: bool | None = None) -> Entry:
        """The ledger's row of a request, once both its halves have arrived."""
        until_s = time.monotonic() + _ROW_TIMEOUT_S
        url = f"{self._doors.finance_url}/api/requests/{generation.request_id}"
        while True:
            response = await self._client.get(url)
            if response.status_code not in (200, 404):
                raise Unexpected(
                    f"finance: expected the row of {name!r}, got {response.status_code} {response.text}"
                )
            row = response.json().get("row", {})
            if response.status_code == 200 and row["join_status"] == "complete":
                break
            if time.monotonic() > until_s:
                state = row.get("join_status", "no row")
                raise Unexpected(
                    f"ledger: expected a complete row of {name!r} in {_ROW_TIMEOUT_S:g} s, got {state}"
                )
            await asyncio.sleep(_POLL_S)
        for what, expected, got in (
            ("outcome", generation.outcome, row["outcome"]),
            ("cold start", cold, bool(row["init_ms"])),
        ):
            if expected is not None and expected != got:
                raise Unexpected(f"ledger, {what} of {name!r}: expected {expected}, got {got}")
        # What failed may have used tokens that nobody counted, and a real endpoint's model may have no known price.
        priced = self._simulator is not None and generation.outcome == "ok"
        doubts = [*row["anomalies"], *(row["cost"]["unpriced"] if priced else ())]
        if doubts:
            raise Unexpected(f"ledger, {name!r}: expected a row without doubts, got {doubts}")
        return Entry(name, generation, row)

    async def _figures(self, expected: Decimal) -> list[str]:
        """What finance reports, once the day is compacted and counted: the same money, from another side."""
        compacted = await self._doors.jobs({"task": "compact"})
        # The log is at hand here: nobody has to wait for lines that CloudWatch shows late.
        counted = await self._doors.jobs({"task": "reconcile_completeness", "hours": 2, "settle_minutes": 0})
        await self._doors.jobs({"task": "meter", "hours": 2, "settle_minutes": 0})
        report = await self._finance("report")
        totals = report["totals"]
        metering = totals["components"]["metering"]
        if metering is None or Decimal(totals["total"]) != expected + Decimal(metering):
            raise Unexpected(
                f"report: expected {expected} USD and the ledger's own cost, got {totals['total']} with {metering}"
            )
        return figure_lines(report, compacted, counted)

    async def _finance(self, what: str) -> dict[str, Any]:
        """What finance answers about the ledger's last days."""
        response = await self._client.get(f"{self._doors.finance_url}/api/{what}")
        if response.status_code != 200:
            raise Unexpected(f"finance: expected a {what}, got {response.status_code} {response.text}")
        found: dict[str, Any] = response.json()
        return found

    async def _savings(self, simulator: Simulator) -> str:
        """What closing the upstream at the violation saved: exact, because the simulator knows its script."""
        exchanges = await simulator.settled_requests()
        stopped = next(
            (exchange for exchange in reversed(exchanges) if exchange.model == "sim-invalid"), None
        )
        if stopped is None or stopped.closed_at_token is None:
            raise Unexpected(
                "invalid output: expected the upstream to be closed at the violation, it was not"
            )
        kept = stopped.tokens_scripted - stopped.tokens_sent
        spared = "not bought" if self._upstream.stops_billing else "not sent, and billed by such a provider"
        return (
            f"  invalid: closed at token {stopped.tokens_sent} of {stopped.tokens_scripted},"
            f" {kept} {spared} ({stopped.violation_path})"
        )


def _expect(generation: Generation, outcome: str) -> None:
    if generation.outcome != outcome:
        final = generation.final or {}
        detail = final.get("detail") or final.get("title") or "no final event"
        raise Unexpected(
            f"request {generation.request_id}: expected outcome {outcome}, got {generation.outcome}"
            f" (status {generation.status}): {detail}"
        )
    if generation.request_id is None:
        raise Unexpected("answer: expected the header x-request-id, got none")


def main(argv: list[str]) -> int:
    """Run the demo; 0 when everything was as expected, 1 when not, 2 when the stack cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.local demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--built", action="store_true", help="run what `make build` made (CPython 3.13)")
    given = parser.parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="replace"
        )  # a terminal without UTF-8 shows question marks, and the demo goes on
    terminal = Terminal(sys.stdout, os.environ)
    try:
        asyncio.run(_run(terminal, os.environ, built=given.built))
    except Unexpected as problem:
        terminal.line(terminal.style.bad(f"demo: {problem}"))
        return 1
    except httpx.HTTPError as problem:
        terminal.line(
            terminal.style.bad(f"demo: expected an answer, got {type(problem).__name__}: {problem}")
        )
        return 1
    except (CodeError, TemplateError, UpstreamSettingsError, OSError) as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


async def _run_task(aws: LocalAws, task: dict[str, Any]) -> dict[str, Any]:
    """Let the ledger jobs do one task, after all that was logged has been booked. Raises Unexpected."""
    await aws.settled()
    invocation = aws.functions["LedgerJobsFunction"].invoke(Invocation(json.dumps(task).encode()))
    body = await invocation.response.body()
    if invocation.response.error is not None:
        raise Unexpected(
            f"ledger jobs: expected {task['task']} to be done, got {invocation.response.error.details}"
        )
    done: dict[str, Any] = json.loads(body)
    return done


async def _ended(task: asyncio.Task[Headers]) -> None:
    """The task's end, wherever it is: it asks services that end after it."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _run(terminal: Terminal, environment: Mapping[str, str], *, built: bool) -> None:
    line, style = terminal.line, terminal.style
    started_s = time.monotonic()
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(chosen_upstream(environment))
        config = LocalAwsConfig(
            upstream_base_url=upstream.base_url,
            upstream_model=upstream.model,
            upstream_key=upstream.key,
            built=built,
            parameters={**upstream.parameters, **PARAMETERS},
        )
        aws = await stack.enter_async_context(LocalAws(config))
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=_REQUEST_TIMEOUT_S))
        line(style.bold("The laptop's AWS"))
        line(f"  functions  of template.yaml, from {'.aws-sam/build' if built else 'the working tree'}")
        line(shorten(f"  upstream   {upstream.name}", terminal.columns))
        line()
        generate_url, finance_url = aws.function_url("GenerateFunction"), aws.function_url("FinanceFunction")
        table = aws.functions["GenerateFunction"].config.environment["WEIR_ACCESS_TABLE"]
        operator = Operator(aws.services, config.region, table)
        caller, poor = await operator.make_caller("demo"), asyncio.create_task(operator.make_poor_caller())
        stack.push_async_callback(_ended, poor)
        doors = Doors(generate_url, finance_url, upstream, caller, poor, lambda task: _run_task(aws, task))
        await Demo(doors, client, terminal).run()
    if upstream.simulator is not None:
        line(style.faint("  Lambda at its list prices; tokens at made-up ones (infra/local/prices.json)"))
    line(style.faint(f"  everything is stopped again, after {time.monotonic() - started_s:.0f} s"))
