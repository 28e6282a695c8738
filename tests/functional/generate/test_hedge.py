"""Hedging over real sockets: the first to answer is taken, the other is hung up on, and each call is a line of the bill."""

import asyncio
import json
from typing import Any

import pytest

from tests.functional.generate.door import BLOG_POST, Answer, door, facts, set_policy
from tests.functional.generate.scripted import (
    HEAD,
    Provider,
    Step,
    completion,
    framed,
    provider,
    status,
    text,
)

FINE = completion("b")
SLOW: list[Step] = [HEAD, framed(b": ping\n\n"), "stall"]


async def ask(
    upstream: Provider, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any] | None = None, **policy: Any
) -> Answer:
    model = {"base_url": upstream.base_url, "model": "m", "cancel": "stops", "hedge_s": 0.1}
    async with door(
        "http://127.0.0.1:9/v1", monkeypatch, WEIR_MODELS=json.dumps({"models": {"m": model}})
    ) as app:
        set_policy(app, **policy)
        return await app.request({"prompt": "x", **(body or {})})


async def test_a_call_whose_first_token_is_late_is_made_once_more_and_the_first_to_answer_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider(SLOW, FINE) as upstream:
        answer = await ask(upstream, monkeypatch)
        async with asyncio.timeout(5):
            await upstream.hung_up.wait()
    assert (answer.text, answer.final[1]["outcome"], len(upstream.requests)) == ("b", "ok", 2)
    assert upstream.requests[0] == upstream.requests[1]
    lost, taken = facts(capsys.readouterr().out)[-1]["attempts"]
    assert [lost["attempt"], taken["attempt"]] == [1, 2] == [1, answer.final[1]["attempt"]]
    assert (lost["outcome"], taken["outcome"]) == ("stopped", "ok")
    # What the one that lost may have cost: its prompt, as a lower bound, and labelled.
    assert lost["usage"]["source"] == "estimated" and lost["usage"]["complete"] is False
    assert lost["usage"]["input_tokens"] > 0 == lost["usage"]["output_tokens"]
    assert taken["usage"] == {**taken["usage"], "source": "provider", "output_tokens": 5}


async def test_the_first_call_may_still_be_the_one_that_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider([HEAD, 0.3, *completion("a")[1:]], SLOW) as upstream:
        answer = await ask(upstream, monkeypatch)
    assert (answer.text, len(upstream.requests)) == ("a", 2)
    assert [line["outcome"] for line in facts(capsys.readouterr().out)[-1]["attempts"]] == ["stopped", "ok"]


async def test_a_call_that_answers_in_time_is_made_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.dumps(BLOG_POST)
    thinking = [HEAD, framed(b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n'), 0.3]
    async with provider([*thinking, *completion(document[:50], document[50:])[1:]]) as upstream:
        answer = await ask(upstream, monkeypatch, {"schema": "blog_post"})
    assert (answer.text, answer.final[1]["outcome"], len(upstream.requests)) == (document, "ok", 1)
    assert len(facts(capsys.readouterr().out)[-1]["attempts"]) == 1


@pytest.mark.parametrize("code", [500, 400])
async def test_a_failure_does_not_wait_for_a_hedge_and_one_of_both_is_a_line_of_its_own(
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = status(code, {"error": {"message": "no"}})
    async with provider(failed) as upstream:
        answer = await ask(upstream, monkeypatch, retries=0)
    assert answer.problem["outcome"] == "upstream_error" and len(upstream.requests) == 1
    async with provider([0.3, *FINE], failed) as upstream:
        answer = await ask(upstream, monkeypatch, retries=0)
    assert answer.text == "b" and len(upstream.requests) == 2
    lines = facts(capsys.readouterr().out)[-1]["attempts"]
    assert [line["outcome"] for line in lines] == ["upstream_error", "ok"]


async def test_where_both_fail_the_policy_goes_on_and_all_calls_are_on_the_bill(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = status(503, {"error": {"message": "no"}})
    async with provider([0.2, *failed], failed, FINE) as upstream:
        answer = await ask(upstream, monkeypatch)
    assert answer.text == "b" and len(upstream.requests) == 3
    lines = facts(capsys.readouterr().out)[-1]["attempts"]
    assert [(line["attempt"], line["outcome"]) for line in lines] == [
        (1, "upstream_error"), (2, "upstream_error"), (3, "ok"),
    ]  # fmt: skip


async def test_of_two_calls_that_ran_when_time_was_up_both_are_on_the_bill(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider(SLOW) as upstream:
        answer = await ask(upstream, monkeypatch, {"timeout_ms": 1000})
    assert answer.problem["outcome"] == "deadline" and len(upstream.requests) == 2
    lines = facts(capsys.readouterr().out)[-1]["attempts"]
    assert [(line["attempt"], line["outcome"]) for line in lines] == [(1, "stopped"), (2, "deadline")]
    assert lines[0]["usage"]["input_tokens"] > 0


async def test_a_caller_who_hangs_up_hangs_up_on_both(monkeypatch: pytest.MonkeyPatch) -> None:
    hang_up, answer = asyncio.Event(), Answer()
    async with provider([HEAD, text(""), "stall"]) as upstream:
        model = {"base_url": upstream.base_url, "model": "m", "cancel": "stops", "hedge_s": 0.05}
        models = json.dumps({"models": {"m": model}})
        async with door("http://127.0.0.1:9/v1", monkeypatch, WEIR_MODELS=models) as app:
            serving = asyncio.create_task(app.request({"prompt": "x"}, hang_up=hang_up, answer=answer))
            async with asyncio.timeout(5):
                while len(upstream.requests) < 2:  # noqa: ASYNC110 - a request that came sends no event
                    await asyncio.sleep(0.01)
                hang_up.set()
                await serving
                while upstream.ended < 2:  # noqa: ASYNC110 - nor does a second end
                    await asyncio.sleep(0.01)
