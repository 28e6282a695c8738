"""The ledger jobs as the template runs them: an export is asked for over HTTP, written by another function, and fetched."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import boto3
import httpx
import pytest

from infra.local.simulator import Simulator
from infra.local.stack import LocalAws, LocalAwsConfig

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def booked(requests: int) -> AsyncIterator[tuple[LocalAws, httpx.AsyncClient]]:
    """The stack, with so many requests in its ledger; the client's addresses are finance's."""
    with Simulator() as upstream:
        async with LocalAws(LocalAwsConfig(upstream_base_url=upstream.base_url)) as aws:
            async with httpx.AsyncClient(base_url=aws.function_url("FinanceFunction"), timeout=60) as client:
                url = f"{aws.function_url('GenerateFunction')}/v1/generations"
                body = {"prompt": "x", "model": "sim-fast", "tags": {"feature": "post"}}
                for _ in range(requests):
                    answer = await client.post(url, json=body, headers={"accept": "application/json"})
                    assert answer.status_code == 200, answer.text
                await aws.settled()
                yield aws, client


def task(aws: LocalAws, event: dict[str, Any]) -> dict[str, Any]:
    """What boto3 gets for a task, over the Lambda API."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client = boto3.client("lambda", endpoint_url=aws.lambda_endpoint, **keys)
    answer = client.invoke(FunctionName="LedgerJobsFunction", Payload=json.dumps(event))
    done: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, done
    return done


async def test_a_day_is_compacted_once_counted_and_reported() -> None:
    async with booked(2) as (aws, client):
        first = (await client.get("/api/report")).json()
        assert first["totals"]["requests"] == 2
        compacted = await asyncio.to_thread(task, aws, {"task": "compact"})
        assert compacted["rows"] == 2
        assert (await asyncio.to_thread(task, aws, {"task": "compact"}))["days"] == []
        count = {"task": "reconcile_completeness", "hours": 2, "settle_minutes": 0}
        counted = await asyncio.to_thread(task, aws, count)
        assert (counted["reports_in_log"], counted["reports_stored"]) == (2, 2)
        again = (await client.get("/api/report")).json()
        assert again["totals"] == first["totals"]
        lines = [event.record or {} for event in aws.log_events("LedgerJobsFunction")]
        assert [line["CompletenessPercent"] for line in lines if "CompletenessPercent" in line] == [100.0]
        assert all(
            "PriceBookAgeDays" in line for line in lines if line.get("message") == "ledger_jobs.compact"
        )


async def test_an_export_is_a_job_of_the_ledger_whose_file_has_an_address() -> None:
    async with booked(2) as (aws, client):
        asked = await client.post("/api/exports", json={"format": "csv"})
        assert asked.status_code == 202, asked.text
        await aws.settled()
        status = (await client.get(asked.json()["status_url"])).json()
        assert status["status"] == "done", status
        [data] = [file for file in status["files"] if file["name"].endswith(".csv")]
        fetched = await client.get(data["url"])
        assert (fetched.status_code, len(fetched.content)) == (200, data["bytes"])
        assert len(list(csv.DictReader(io.StringIO(fetched.text)))) == 2


async def test_what_is_no_task_is_refused_by_name() -> None:
    async with booked(0) as (aws, _):
        with pytest.raises(
            AssertionError, match="expected a task of compact, compact_unit, reconcile_completeness"
        ):
            await asyncio.to_thread(task, aws, {"task": "delete"})
