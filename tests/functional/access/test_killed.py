"""A function's process that is killed in mid-stream: what it had set aside is settled by the ledger, to the last of it.

The process is the real one, with many requests at once, under the Runtime API and over a real table's rules; the ledger
reads the lines that it left and Lambda's reports of it.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import boto3
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from functions.ledger_jobs import app as jobs
from infra.local.endpoints.http_server import HttpServer
from tests import log_lines as lines
from tests.bench.script import function_url_event
from tests.functional.asgiric.conftest import RuntimeProcess
from tests.functional.asgiric.scripted_api import Script, ScriptedRuntimeApi
from tests.functional.generate.scripted import HEAD, provider, text
from weir.access import tenant_item
from weir.access.admission import key_item, limits_item
from weir.access.api_keys import ID_BYTES, SECRET_BYTES, new_key
from weir.access.tenant_item import LEASE, NANO, TenantLimits, Usage
from weir.ledger.ingest import ingest
from weir.ledger.store import Store

ROOT = Path(__file__).parents[3]
CALLS, PAID_FOR = 50, 8
KEY, KEPT = new_key(bytes(range(ID_BYTES + SECRET_BYTES)), "acme", "checkout", datetime.now(UTC))
# One call is set aside as ten tokens of output, a cent each, and nothing for its input.
PRICES = json.dumps(
    {"models": [{"model": "test-model", "records": [{"prices": {"input": "0", "output": "10000"}}]}]}
)
BODY = json.dumps({"prompt": "x", "max_output_tokens": 10})
ONE_CALL = NANO // 10
BUDGET = PAID_FOR * ONE_CALL + ONE_CALL // 2  # so that one more has no room
ANSWERS_S = 60
# Fifty wait for one moto: on a busy machine longer than a table is waited for, and then as if it were down.
PATIENT = (
    "import runpy, weir.access.dynamodb as table; table.TIMEOUT_S = 60.0; "
    "runpy.run_module('asgiric', run_name='__main__', alter_sys=True)"
)


@asynccontextmanager
async def one_at_a_time(moto_url: str) -> AsyncIterator[str]:
    """DynamoDB checks a condition and writes in one step; moto's threads do not, so it is asked one question at a time."""
    turn, client = asyncio.Lock(), httpx.AsyncClient()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        async with turn:
            found = await client.post(moto_url, content=await request.body(), headers=headers)
        response = Response(found.content, found.status_code, media_type=found.headers["content-type"])
        await response(scope, receive, send)

    server = HttpServer(answer)
    server.start()
    try:
        yield server.url
    finally:
        await server.close()
        await client.aclose()


async def function(
    api: ScriptedRuntimeApi, environment: dict[str, str], provider_url: str, table_url: str
) -> RuntimeProcess:
    """generate's process, ready for all calls at once."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PATIENT,
        env={
            **environment, "PYTHONPATH": f"{ROOT / 'shared'}:{ROOT / 'functions/generate'}",
            "AWS_LAMBDA_RUNTIME_API": api.address, "AWS_LAMBDA_FUNCTION_NAME": "generate",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_MAX_CONCURRENCY": str(CALLS),
            "_HANDLER": "app.app", "WEIR_ACCESS_TABLE": "access", "WEIR_UPSTREAM_BASE_URL": provider_url,
            "WEIR_UPSTREAM_MODEL": "test-model", "WEIR_PRICE_OVERRIDES": PRICES,
            "AWS_ENDPOINT_URL_DYNAMODB": table_url,
        },
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    return RuntimeProcess(process)


def call() -> dict[str, Any]:
    event = function_url_event()
    event["headers"]["authorization"] = f"Bearer {KEY}"
    return {**event, "body": BODY, "isBase64Encoded": False}


async def answered(invocations: list[Script], count: int) -> None:
    """Wait until so many have their answer: the others go on."""
    waiting = [asyncio.create_task(invocation.finished.wait()) for invocation in invocations]
    async with asyncio.timeout(ANSWERS_S):
        for _, waited in zip(range(count), asyncio.as_completed(waiting), strict=False):
            await waited
    for task in waiting:
        task.cancel()


def land(printed: list[dict[str, Any]], killed: list[Script]) -> None:
    """Give the ledger what the process printed, and Lambda's report of each request that it killed."""
    now = datetime.now(UTC)
    reports = [
        {**lines.report(invocation.request_id, 900, status="error"), "time": now.isoformat()}
        for invocation in killed
    ]
    stamp = round(now.timestamp() * 1000)
    events = [lines.log_event(line, f"k{n}", stamp + n) for n, line in enumerate([*printed, *reports])]
    ingest(lines.batch(events), Store(os.environ["WEIR_LEDGER_BUCKET"], boto3.client("s3")), "us-east-1")


def settle(monkeypatch: pytest.MonkeyPatch, folder: Path) -> int:
    """The hourly task, two hours later."""
    later = datetime.now(UTC) + timedelta(hours=2)
    monkeypatch.setenv("WEIR_LEDGER_TASKS", "settle_budgets")
    monkeypatch.setattr(jobs, "gettempdir", lambda: str(folder))
    monkeypatch.setattr(jobs, "_now", lambda: later)
    for cached in (jobs._store, jobs._current_book):
        cached.cache_clear()
    return int(jobs.handler({"task": "settle_budgets"}, SimpleNamespace(aws_request_id="j"))["settled"])


@pytest.mark.parametrize(
    "limits",
    [TenantLimits(monthly_budget=BUDGET, requests_per_minute=1000), TenantLimits(monthly_budget=BUDGET)],
    ids=["each by itself", "under leases"],
)
async def test_of_fifty_calls_at_the_last_cent_that_are_killed_in_mid_stream_nothing_stays_set_aside(
    limits: TenantLimits,
    moto_url: str,
    environment: dict[str, str],
    dynamodb: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("WEIR_ACCESS_TABLE", "access")
    monkeypatch.setenv("WEIR_LEDGER_BUCKET", bucket := f"ledger-{uuid4().hex}")
    boto3.client("s3").create_bucket(Bucket=bucket)
    for item in (key_item(KEPT), limits_item("acme", limits)):
        dynamodb.put_item(TableName="access", Item=item)

    def usage() -> Usage:
        place = tenant_item.key("acme", datetime.now(UTC))
        return Usage.read(dynamodb.get_item(TableName="access", Key=place, ConsistentRead=True)["Item"])

    async with (
        one_at_a_time(moto_url) as table_url,
        provider([HEAD, text("It was"), "stall"]) as asked,
        ScriptedRuntimeApi() as api,
    ):
        api.max_in_flight = CALLS
        process = await function(api, environment, asked.base_url, table_url)
        try:
            invocations = [api.invoke(call(), timeout_s=2 * ANSWERS_S) for _ in range(CALLS)]
            await answered(invocations, CALLS - PAID_FOR)
            running = [invocation for invocation in invocations if not invocation.finished.is_set()]
            for invocation in running:
                await invocation.chunk(0)
            held = usage()
            process.signal(signal.SIGKILL)
            await process.exit_status()
        finally:
            await process.end()
        printed = process.records
        api.violations.clear()  # the dead process's connections
    assert len(asked.requests) == PAID_FOR
    assert sum(amount for amount, _, _ in held.holds.values()) == held.month == PAID_FOR * ONE_CALL
    assert any(hold.startswith(LEASE) for hold in held.holds) == limits.leasable
    outcomes = [line["fact"]["outcome"] for line in printed if line.get("message") == "request.completed"]
    assert outcomes == ["budget_exceeded"] * (CALLS - PAID_FOR)

    land(printed, running)
    assert settle(monkeypatch, tmp_path) == len(held.holds)
    after = usage()
    # What they had bought nobody counted: it is held to be the most that they could.
    assert after.holds == {} and after.month == held.month
