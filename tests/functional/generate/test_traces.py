"""Traces: `traceparent` in and out, and spans that OpenTelemetry's own messages and names read."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from weir.generate.trace import parse_trace

from .door import door
from .scripted import completion, provider, status

ROOT = Path(__file__).parents[3]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    "header",
    [
        "", "00", SAMPLED[:-1], SAMPLED + "-more", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01", SAMPLED.upper(), SAMPLED.replace("-", "_"), f"00-{TRACE}-{PARENT}-zz",
    ],
)  # fmt: skip
def test_what_is_no_traceparent_is_ignored(header: str) -> None:
    assert parse_trace(header, "a=b", "r") is None


def test_a_later_version_is_read_as_far_as_this_one_goes() -> None:
    trace = parse_trace(f"01-{TRACE}-{PARENT}-03-what-comes", "", "r")
    assert trace is not None and trace.sampled
    assert trace.headers(1) == {"traceparent": f"00-{TRACE}-{trace.span_id(1)}-01"}
    assert len({trace.span_id(), trace.span_id(1), trace.span_id(2), PARENT}) == 4


async def ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *answers: Any, **headers: str
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """The exports in the log, and the headers that went to the provider."""
    capsys.readouterr()
    async with provider(*answers) as asked, door(asked.base_url, monkeypatch) as opened:
        await opened.request({"prompt": "Write."}, headers=headers)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if "resourceSpans" in line], asked.headers


def spans_of(export: dict[str, Any]) -> list[dict[str, Any]]:
    return export["resourceSpans"][0]["scopeSpans"][0]["spans"]


def attributes_of(span: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


@pytest.mark.parametrize(
    ("state", "sent"),
    [
        ("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "congo=t61rcwkgmze,rojo=00f067aa0ba902b7"), (" a=b ", "a=b"),
        ("", None), ("no member", None), ("=", None), ("a=\u00e9", None), ("a=b\x00", None), ("a=" + "b" * 501, None),
    ],
)  # fmt: skip
async def test_a_tracestate_goes_on_as_it_came_and_what_is_none_does_not(
    state: str, sent: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"traceparent": SAMPLED, "tracestate": state}
    [export], [asked] = await ask(monkeypatch, capsys, completion("x"), **more)
    assert asked.get("tracestate") == sent  # as the scripted provider keeps it, in small letters
    states = {span.get("traceState") for span in spans_of(export)}
    assert states == {state.strip() if sent else None}
    _, [asked] = await ask(monkeypatch, capsys, completion("x"), tracestate=state)
    assert "tracestate" not in asked


async def test_without_a_traceparent_there_is_no_line_and_nothing_goes_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exports, headers = await ask(monkeypatch, capsys, completion("Hello"))
    assert exports == [] and "traceparent" not in headers[0]


async def test_an_unsampled_trace_goes_on_and_costs_no_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unsampled = f"00-{TRACE}-{PARENT}-00"
    exports, headers = await ask(monkeypatch, capsys, completion("Hello"), traceparent=unsampled)
    assert exports == []
    assert headers[0]["traceparent"].startswith(f"00-{TRACE}-") and headers[0]["traceparent"].endswith("-00")


async def test_a_sampled_request_is_a_span_and_each_call_of_a_model_another_below_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = status(500, {"error": {"message": "down"}})
    exports, headers = await ask(monkeypatch, capsys, failed, completion("Hello"), traceparent=SAMPLED)
    [export] = exports
    whole, first, second = spans_of(export)
    assert (whole["traceId"], whole["parentSpanId"]) == (TRACE, PARENT)
    assert {first["parentSpanId"], second["parentSpanId"]} == {whole["spanId"]}
    # The provider's own spans hang below the call that reached it.
    assert [one["traceparent"] for one in headers] == [
        f"00-{TRACE}-{first['spanId']}-01", f"00-{TRACE}-{second['spanId']}-01",
    ]  # fmt: skip
    assert first["status"] == {"code": 2, "message": "upstream_error"} and "status" not in second
    assert attributes_of(first)["error.type"] == "upstream_error"
    told = attributes_of(second)
    assert (told["gen_ai.operation.name"], told["gen_ai.request.model"]) == ("chat", "test-model")
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == ("12", "5")
    assert 0 < told["gen_ai.response.time_to_first_chunk"] < 60
    times = [
        int(span[name])
        for span in (whole, first, second)
        for name in ("startTimeUnixNano", "endTimeUnixNano")
    ]
    assert times[0] <= times[2] <= times[3] <= times[4] <= times[5] <= times[1]
    assert "Hello" not in json.dumps(export) and "Write" not in json.dumps(export)


async def test_the_spans_are_opentelemetrys_own_messages_and_their_names_are_published(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = ROOT / ".venv-sdks/bin/python"
    if not python.exists():
        pytest.skip(
            "OpenTelemetry's messages and names are missing (.venv-sdks): `make test-sdks` installs them"
        )
    exports, _ = await ask(monkeypatch, capsys, completion("Hello"), traceparent=SAMPLED)
    lines = "\n".join(map(json.dumps, exports))
    done = await asyncio.to_thread(
        subprocess.run, [python, ROOT / "tests/sdks/read_spans.py"],
        input=lines, capture_output=True, text=True, check=True,
    )  # fmt: skip
    judged = json.loads(done.stdout)
    assert len(spans_of(judged["read"][0])) == 2
    [resource] = exports[0]["resourceSpans"]
    used = {one["key"] for span in spans_of(exports[0]) for one in span["attributes"]}
    used |= {one["key"] for one in resource["resource"]["attributes"]}
    assert {name for name in used if not name.startswith("weir.")} <= set(judged["published"])
    assert len([name for name in used if name.startswith("gen_ai.")]) >= 10
