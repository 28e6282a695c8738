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
TEMPLATE = Path(__file__).parents[3] / "template.yaml"
SYSTEM_LOG_LEVEL = re.findall(r"SystemLogLevel: (\w+)", TEMPLATE.read_text())[0]


async def test_the_lines_of_a_warm_request_are_as_long_as_the_capacity_model_says(
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
    asked = {"prompt": "Write", "schema": "blog_post", "tags": {"team": "docs"}}
    async with provider(script, script) as upstream, door(upstream.base_url, monkeypatch) as app:
        await app.request(asked, event_source="function_url")
        capsys.readouterr()
        await app.request(asked, event_source="function_url")
    logged = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    total = sum(len(line.encode()) for line in [*logged, *platform_lines()])
    assert total == pytest.approx(constants()["log_bytes"], rel=0.05)


def platform_lines() -> list[str]:
    """What the platform writes around a request of the reference's length, at the template's level."""
    at_s = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
    times = platform_log.Timeline(100.0, 100.4, 104.8, 104.85)
    report = platform_log.metrics(times.duration_ms, None, 512, 96)
    records = {
        "start": {"requestId": REQUEST_ID, "version": "12"},
        "runtimeDone": platform_log.runtime_done(REQUEST_ID, "success", None, times, at_s, 24_000),
        "report": platform_log.report(REQUEST_ID, "success", None, report),
    }
    return [
        platform_log.line(platform_log.event(kind, at_s, record))
        for kind, record in records.items()
        if platform_log.written(f"platform.{kind}", SYSTEM_LOG_LEVEL)
    ]
