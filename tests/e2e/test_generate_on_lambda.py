"""generate as its callers reach it: through a function URL with curl, and through Lambda's API with boto3."""

import asyncio
import itertools
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config

from infra.local.sam.template import Template
from infra.local.simulator import Script, Simulator
from infra.local.stack import ROOT, LocalAws, LocalAwsConfig
from weir.generate.openapi import EVENTS
from weir.providers.sse import SSEDecoder

EVENTS_FOLDER = Path(__file__).parents[1] / "events"
SCRIPTS = [
    Script(name="quick", ttft_ms=20, tokens_per_s=2_000, sections=2),
    Script(name="steady", ttft_ms=20, tokens_per_s=100, sections=2),
]


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[tuple[LocalAws, Simulator]]:
    async with Simulator(scripts=SCRIPTS) as upstream:
        config = LocalAwsConfig(upstream_base_url=upstream.base_url, upstream_model="quick", **options)
        async with LocalAws(config) as aws:
            yield aws, upstream


def events(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    found = [(event.event, json.loads(event.data)) for event in SSEDecoder().feed(body)]
    for kind, data in found:
        EVENTS[kind].model_validate(data)
    return found


def lambda_client(aws: LocalAws) -> Any:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    return boto3.client(
        "lambda", endpoint_url=aws.lambda_endpoint, config=Config(retries={"total_max_attempts": 1}), **keys
    )


async def row(aws: LocalAws, request_id: str) -> dict[str, Any]:
    """The ledger's row, once both halves have arrived."""
    await aws.settled()
    async with httpx.AsyncClient(base_url=aws.function_url("FinanceFunction"), timeout=60) as client:
        response = await client.get(f"/api/requests/{request_id}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()["row"]
    return found


async def test_curl_reads_a_stream_as_it_is_written_and_the_ledger_has_its_bill() -> None:
    async with running() as (aws, _):
        url = f"{aws.function_url('GenerateFunction')}/v1/generations"
        body = json.dumps({"prompt": "x", "schema": "blog_post", "model": "steady", "tags": {"team": "e2e"}})
        curl = await asyncio.create_subprocess_exec(
            "curl", "-sN", "-D", "-", url, "-H", "content-type: application/json", "-d", body,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert curl.stdout is not None
        arrivals: list[tuple[float, bytes]] = []
        while data := await curl.stdout.read(65_536):
            arrivals.append((time.monotonic(), data))
        assert await curl.wait() == 0
        head, _, stream = b"".join(data for _, data in arrivals).partition(b"\r\n\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        found = events(stream)
        assert found[-1][0] == "done"
        assert {"/title", "/sections/0", "/sections/1"} <= {
            data["path"] for kind, data in found if kind == "value"
        }
        # 100 tokens a second: had anything been held back, the arrivals would be few, or bunched at the end.
        began, ended = arrivals[0][0], arrivals[-1][0]
        assert ended - began > 1.0 and len(arrivals) > 50
        assert max(later[0] - earlier[0] for earlier, later in itertools.pairwise(arrivals)) < 0.7
        bill = await row(aws, headers["x-request-id"])
        assert (
            bill["join_status"] == "complete" and bill["outcome"] == "ok" and bill["tags"] == {"team": "e2e"}
        )
        report = await aws.wait_for_report("GenerateFunction", headers["x-request-id"])
        assert bill["billed_ms"] == report["metrics"]["billedDurationMs"]


async def test_boto3_reads_a_direct_invocation_chunk_by_chunk() -> None:
    async with running() as (aws, _):
        client = lambda_client(aws)
        payload = json.dumps({"prompt": "x", "schema": "blog_post", "model": "steady"})

        def invoke() -> tuple[list[tuple[float, bytes]], dict[str, Any]]:
            response = client.invoke_with_response_stream(FunctionName="GenerateFunction", Payload=payload)
            chunks: list[tuple[float, bytes]] = []
            complete: list[dict[str, Any]] = []
            for event in response["EventStream"]:
                if "PayloadChunk" in event:
                    chunks.append((time.monotonic(), event["PayloadChunk"]["Payload"]))
                else:
                    complete.append(event["InvokeComplete"])
            response["EventStream"].close()
            [last] = complete
            return chunks, last

        chunks, complete = await asyncio.to_thread(invoke)
        client.close()
    assert "ErrorCode" not in complete
    assert events(b"".join(data for _, data in chunks))[-1][0] == "done"
    assert len(chunks) > 50 and chunks[-1][0] - chunks[0][0] > 1.0


async def invoke(aws: LocalAws, name: str) -> bytes:
    """The whole answer to one of the shared events."""
    client = lambda_client(aws)
    payload = (EVENTS_FOLDER / f"{name}.json").read_bytes()
    response = await asyncio.to_thread(client.invoke, FunctionName="GenerateFunction", Payload=payload)
    client.close()
    return response["Payload"].read()


@pytest.mark.parametrize("name", ["url_generate", "rest_generate"])
async def test_fronts_that_stream_get_a_prelude_and_events(name: str) -> None:
    async with running() as (aws, _):
        prelude, _, body = (await invoke(aws, name)).partition(b"\0" * 8)
    assert json.loads(prelude)["statusCode"] == 200
    assert events(body)[-1][0] == "done"


async def test_a_load_balancer_which_cannot_stream_gets_one_answer() -> None:
    async with running() as (aws, _):
        answer = json.loads(await invoke(aws, "alb_generate"))
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["outcome"] == "ok"


async def test_the_openapi_document_comes_through_the_function_url() -> None:
    async with running() as (aws, _), httpx.AsyncClient() as client:
        response = await client.get(f"{aws.function_url('GenerateFunction')}/openapi.json")
    assert response.json()["openapi"] == "3.1.0"


async def test_before_its_timeout_a_request_ends_with_its_outcome_and_its_line() -> None:
    async with Simulator(scripts=SCRIPTS) as upstream:
        parameters = {
            "UpstreamBaseUrl": upstream.base_url,
            "UpstreamModel": "steady",
            "Architecture": "x86_64",
        }
        template = Template(ROOT / "template.yaml", parameters, region="us-east-1").functions
        impatient = replace(template["GenerateFunction"], timeout_s=4)
        async with LocalAws(LocalAwsConfig(functions=[impatient], services=False)) as aws:
            url = f"{aws.function_url('GenerateFunction')}/v1/generations"
            async with httpx.AsyncClient(timeout=10) as client:
                response = await client.post(url, json={"prompt": "x", "model": "sim-stall"})
            report = await aws.wait_for_report("GenerateFunction", response.headers["x-request-id"])
            [exchange] = await upstream.settled_requests()
    kind, final = events(response.content)[-1]
    assert (kind, final["outcome"]) == ("error", "deadline")
    assert report["status"] == "success" and report["metrics"]["billedDurationMs"] < 4_000
    assert exchange.closed_at_token is not None


async def test_a_killed_request_is_on_the_bill_with_what_is_known_of_it() -> None:
    async with running() as (aws, _):
        url = f"{aws.function_url('GenerateFunction')}/v1/generations"
        async with httpx.AsyncClient(timeout=10) as client:
            body = {"prompt": "x", "model": "steady", "tags": {"team": "e2e"}}
            async with client.stream("POST", url, json=body) as response:
                body_bytes = response.aiter_bytes()
                assert await anext(body_bytes)
                [environment] = aws.functions["GenerateFunction"].environments
                os.kill(environment.process_id, signal.SIGKILL)
                with pytest.raises(httpx.RemoteProtocolError):
                    async for _ in body_bytes:
                        pass
        killed = await row(aws, response.headers["x-request-id"])
    assert killed["outcome"] == "killed" and killed["tags"] == {"team": "e2e"}
    assert killed["billed_ms"] > 0 and float(killed["cost"]["components"]["lambda_duration"]) > 0
    assert killed["cost"]["unpriced"]  # what the provider will bill is not known, and said to be so
