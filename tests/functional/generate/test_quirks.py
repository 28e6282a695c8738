"""What OpenAI-compatible servers really send, over a real socket through the whole of generate: what the caller is told.

Raw responses (CORPORA/quirks), pauses, stalls and resets included. Others of each kind will come: the decoders' own
tests have the variations.
"""

import sys
import types
from typing import Any

import pytest
from pydantic import BaseModel

import weir.generate.requests
import weir.schemas
from tests.functional.generate.door import Answer, door, facts, set_policy
from tests.functional.generate.scripted import provider
from tests.quirks import quirk, steps


class QuirkDocument(BaseModel):
    """What the request asked for, where the file's name ends in `-json`."""

    title: str
    count: int


@pytest.fixture(autouse=True)
def _schema(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("weir.schemas.quirk_document")
    module.QuirkDocument = QuirkDocument  # type: ignore[attr-defined]
    names = (*weir.schemas.schema_names(), "quirk_document")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for reader in (weir.schemas, weir.generate.requests):
        monkeypatch.setattr(reader, "schema_names", lambda: names)


DOCUMENTS = {
    "finish-eos", "finish-max_tokens", "finish-tool_calls-with-content", "length-after-complete-doc", "sse-but-text-plain",
}  # fmt: skip


async def ask(name: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Answer:
    body = {"prompt": "x", **more}
    if name.endswith("-json") or name in DOCUMENTS:
        body["schema"] = "quirk_document"
    async with provider(steps(quirk(name))) as upstream, door(upstream.base_url, monkeypatch) as app:
        set_policy(app, usage_s=0.2, retries=0)
        return await app.request(body)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mistral-content-parts", "Hello world"),
        ("index-null", "Hello"),
        ("message-not-delta", "Hello"),
        ("empty-data-keepalive", "Hello"),
        ("float-counts", "Hello"),
        ("xai-reasoning-outside", "Hello"),
        ("kimi-cached-top-level", "Hello"),
        ("later-lacks-details", "Hello"),
        ("zero-last-usage", "Hello"),
        ("hang-after-finish-usage-json", '{"title":"A","count":3}'),
        ("abrupt-close-after-finish-usage-json", '{"title":"A","count":3}'),
        ("done-trailing-space-json", '{"title":"A","count":3}'),
        ("sse-but-text-plain", '{"title":"A","count":3}'),
        ("finish-eos", '{"title":"A","count":3}'),
        ("finish-max_tokens", '{"title":"A","count":3}'),
        ("finish-tool_calls-with-content", '{"title":"A","count":3}'),
        ("lone-surrogates-json", '{"title":"ok 😀 ok","count":1}'),
    ],
)
async def test_text_is_read_in_every_shape_and_a_document_that_closed_is_judged(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await ask(name, monkeypatch)
    assert (answer.final[0], answer.final[1]["outcome"], answer.text) == ("done", "ok", text)


async def test_blanks_behind_a_document_are_capped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await ask("length-after-complete-doc", monkeypatch)
    assert answer.final[1]["outcome"] == "ok" and answer.text.strip() == '{"title":"A","count":3}'


@pytest.mark.parametrize(
    ("name", "outcome", "said"),
    [
        ("done-only", "incomplete_stream", "expected a finish reason"),
        ("finish-stop-every-chunk-cut", "incomplete_stream", "expected a finish reason"),
        ("object-error-then-done", "upstream_error", "CUDA out of memory"),
        ("minimax-base_resp", "rate_limited", "insufficient balance"),
        ("openrouter-top-error", "rate_limited", "Provider returned error"),
        ("raw-json-error-line", "rate_limited", "Too many requests"),
    ],
)
async def test_an_error_in_a_stream_ends_in_its_outcome_with_what_it_says(
    name: str, outcome: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await ask(name, monkeypatch)
    told = answer.final[1] if answer.status == 200 else answer.problem
    assert told["outcome"] == outcome and said in told["detail"]


@pytest.mark.parametrize(
    ("name", "status", "outcome", "said"),
    [
        ("200-json-error", 503, "rate_limited", "free-models-per-day"),
        ("mistral-422-max_completion_tokens", 400, "upstream_error", "Extra inputs are not permitted"),
        ("azure-content-filter-400", 422, "filtered", "content management policy"),
        ("503-retry-after", 503, "upstream_error", "overloaded"),
        ("gemini-error-array-429", 429, "rate_limited", "You exceeded your current quota"),
        ("nginx-504-html", 504, "upstream_timeout", "504 Gateway Time-out"),
    ],
)
async def test_an_error_before_a_stream_is_a_status_with_what_it_says(
    name: str,
    status: int,
    outcome: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = await ask(name, monkeypatch)
    if answer.status == 200:  # the body had to be read to know
        told = answer.final[1]
    else:
        told = answer.problem
        assert answer.status == status
    assert told["outcome"] == outcome and said in told["detail"]


async def test_how_long_to_wait_is_handed_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (await ask("503-retry-after", monkeypatch)).headers["retry-after"] == "7"
    assert (await ask("gemini-error-array-429", monkeypatch)).headers["retry-after"] == "34"


async def test_after_a_gateways_time_out_the_usage_is_unknown_and_no_zero(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await ask("nginx-504-html", monkeypatch)
    [attempt] = facts(capsys.readouterr().out)[-1]["attempts"]
    assert attempt["usage"].get("output_tokens") is None and attempt["maybe_served"]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("zero-last-usage", {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120, "fell": True}),
        ("later-lacks-details", {"input_tokens": 100, "output_tokens": 20, "cached_input_tokens": 80}),
        ("float-counts", {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}),
        ("kimi-cached-top-level", {"input_tokens": 2989, "output_tokens": 10, "cached_input_tokens": 2900}),
        ("xai-reasoning-outside", {"input_tokens": 10120, "output_tokens": 4308, "total_tokens": 14428}),
    ],
)
async def test_counts_are_the_providers(
    name: str, counts: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = (await ask(name, monkeypatch)).final[1]["usage"]
    assert {member: usage.get(member) for member in counts} == counts and usage["source"] == "provider"


async def test_a_count_before_the_violation_is_a_lower_bound(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = quirk("placeholder-usage-then-violation")
    until_violation = raw[: raw.rindex(b"b4\r\n")]  # else the real count may come with the same packet
    async with provider([until_violation, "stall"]) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x", "schema": "quirk_document"})
    usage = answer.final[1]["usage"]
    assert answer.final[1]["outcome"] == "invalid_output"
    assert usage["input_tokens"] == 1234 and usage["output_tokens"] > 1
    assert (usage["source"], usage["complete"]) == ("estimated", False)
