"""How many bytes a request logs, which its ingestion, Firehose and the facts are paid by."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.capacity.model import constants
from infra.local.logs import platform_log
from tests.functional.generate.door import BLOG_POST, door
from tests.functional.generate.scripted import DONE, END, HEAD, USAGE, chunk, provider

REQUEST_ID = "0707d496-041c-477f-b0e0-d4bc4d5fba7a"
FUNCTION = "weir-prod-GenerateFunction-1AbCdEfGhIjK"
ARN = f"arn:aws:lambda:eu-central-1:123456789012:function:{FUNCTION}:live"
TEMPLATE = Path(__file__).parents[3] / "template.yaml"
SYSTEM_LOG_LEVEL = re.findall(r"SystemLogLevel: (\w+)", TEMPLATE.read_text())[0]
COLD = 0.2  # of the requests: above this share an alarm rings
BOUND, BOUND_TRACED = 2_300, 2_800
TRACING = {
    "tracing": {
        "spanId": "53995c3f42cd8ad8",
        "type": "X-Amzn-Trace-Id",
        "value": f"Root=1-{'0' * 32};Sampled=1",
    }
}


async def test_a_request_logs_what_the_capacity_model_says_and_no_more_than_the_bound(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"model": "gpt-4o-mini-2024-07-18"}
    script = [
        HEAD,
        chunk({"content": json.dumps(BLOG_POST)}, **model),
        chunk(finish="stop", **model),
        chunk(usage=USAGE, **model),
        DONE,
        END,
    ]
    asked = {"prompt": "Write", "schema": "blog_post", "tags": {"team": "docs", "feature": "summaries"}}
    sizes = []
    async with provider(script, script) as upstream, door(upstream.base_url, monkeypatch) as app:
        for init_ms in (926.688, None):
            await app.request(asked, event_source="function_url")
            logged = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
            # The door's request has no function behind it.
            facts = [line.replace('"function":"generate"', f'"function_arn":"{ARN}"') for line in logged]
            sizes.append(sum(len(line.encode()) for line in [*facts, *platform_lines(init_ms)]))
    cold, warm = sizes
    mean = COLD * cold + (1 - COLD) * warm
    traced = mean + 2 * len(json.dumps(TRACING, separators=(",", ":")))
    assert mean == pytest.approx(constants()["log_bytes"], rel=0.03)
    assert mean <= BOUND
    assert traced <= BOUND_TRACED


def platform_lines(init_ms: float | None) -> list[str]:
    """What the platform writes around a request of the reference's length, at the template's level."""
    at_s = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
    times = platform_log.Timeline(100.0, 100.4, 104.8, 104.85)
    report = platform_log.metrics(times.duration_ms, init_ms, 512, 96)
    records = {
        "start": {"requestId": REQUEST_ID, "version": "12"},
        "runtimeDone": platform_log.runtime_done(REQUEST_ID, "success", None, times, at_s, 24_000),
        "report": platform_log.report(REQUEST_ID, "success", None, report),
    }
    if init_ms is not None:
        records |= {
            "initStart": platform_log.init_start("python:3.13.v42", FUNCTION),
            "initRuntimeDone": platform_log.init_end("success", None),
            "initReport": platform_log.init_end("success", None, init_ms),
        }
    return [
        platform_log.line(platform_log.event(kind, at_s, record))
        for kind, record in records.items()
        if platform_log.written(f"platform.{kind}", SYSTEM_LOG_LEVEL)
    ]
