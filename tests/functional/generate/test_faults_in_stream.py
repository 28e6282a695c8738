"""Faults after the first byte of an answer: never asked again, always told, never more taken than the caps allow."""

import asyncio
import json
import resource
import time
from typing import Any

import pytest

from tests.functional.generate.door import BLOG_POST, Answer, door, facts, set_policy
from tests.functional.generate.scripted import (
    DONE,
    END,
    HEAD,
    USAGE,
    Step,
    chunk,
    completion,
    framed,
    provider,
    text,
)

DOCUMENT = json.dumps(BLOG_POST)
JSON = {"accept": "application/json"}


async def test_an_error_after_tokens_is_told_and_not_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    died = chunk(error={"message": "died", "code": 500})
    async with provider([HEAD, text("a"), died, END], completion("b")) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            answer = await app.request({"prompt": "x"})
    assert answer.text == "a" and answer.final[1]["outcome"] == "upstream_error"
    assert len(upstream.requests) == 1
    assert facts(capsys.readouterr().out)[-1]["attempts"][-1]["usage"]["source"] == "estimated"


async def test_a_stall_between_tokens_ends_the_call_and_shows_the_wait(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider([HEAD, text("a"), "stall"]) as upstream, door(upstream.base_url, monkeypatch) as app:
        set_policy(app, between_tokens_s=0.3)
        answer = await app.request({"prompt": "x"})
        async with asyncio.timeout(5):
            await upstream.hung_up.wait()
    assert answer.final[1]["outcome"] == "upstream_timeout" and len(upstream.requests) == 1
    assert facts(capsys.readouterr().out)[-1]["timing"]["stream_ms"] >= 250


async def test_a_drip_ends_at_the_total_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    drip: list[Step] = [step for _ in range(200) for step in (text("a"), 0.02)]
    async with provider([HEAD, *drip]) as upstream, door(upstream.base_url, monkeypatch) as app:
        set_policy(app, total_s=0.5)
        began = time.monotonic()
        answer = await app.request({"prompt": "x"})
        assert 0.4 < time.monotonic() - began < 3
        async with asyncio.timeout(5):
            await upstream.hung_up.wait()
    assert answer.final[1]["outcome"] == "upstream_timeout"
    assert answer.final[1]["detail"] == "provider: expected the whole answer within 0.5 s"


async def test_the_callers_own_deadline_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider([HEAD, text("a"), "stall"]) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x", "timeout_ms": 300})
    assert answer.final[1]["outcome"] == "deadline"
    assert answer.final[1]["detail"] == "timeout_ms: expected the whole answer within 0.3 s"


def endless(piece: bytes) -> list[Step]:
    return [HEAD, *[piece * 40] * 4_000]


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
@pytest.mark.parametrize(
    ("piece", "body"),
    [
        (text("word " * 200), {}),
        (text("word " * 200), {"include": []}),
        (chunk({"reasoning_content": "hm " * 300}), {}),
        (text('"' + "word " * 200), {"schema": "blog_post", "on_violation": "finish", "include": []}),
        (text(" " * 1_000), {"schema": "blog_post", "on_violation": "retry"}),
        (framed(b": " + b"p" * 1_000 + b"\n\n"), {}),
    ],
    ids=["text", "nothing sent", "reasoning", "document", "blanks", "comments"],
)
async def test_an_endless_answer_is_ended_in_bounded_memory_whatever_is_sent_of_it(
    accept: str, piece: bytes, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack A5; each cap in its turn, with one cap on what is read above them all."""
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with provider(endless(piece)) as upstream, door(upstream.base_url, monkeypatch) as app:
        set_policy(app, read_bytes=4_000_000, held_chars=1_000_000)
        request = {"prompt": "x", "max_output_tokens": 1_000_000, **body}
        async with asyncio.timeout(30):
            answer = await app.request(request, headers={"accept": accept})
            await upstream.hung_up.wait()
    outcome = answer.final[1]["outcome"] if accept != JSON["accept"] else answer.json["outcome"]
    assert outcome in ("stopped", "truncated_output", "invalid_output", "upstream_error")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 64_000


@pytest.mark.parametrize("body", [{}, {"schema": "blog_post"}], ids=["text", "document"])
async def test_the_output_cap_holds_by_count_whatever_the_server_does_with_it(
    body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [DOCUMENT[at : at + 4] for at in range(0, len(DOCUMENT), 4)]
    async with provider(completion(*pieces)) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x", "max_output_tokens": 10, **body})
    kind, final = answer.final
    assert (kind, final["outcome"]) == ("error" if body else "done", "truncated_output")
    assert answer.text == DOCUMENT[:40] and upstream.requests[0]["max_tokens"] == 10


async def test_text_that_the_limit_cut_is_the_callers_buffered_or_streamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with provider(completion("half a sen", finish="length")) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            streamed = await app.request({"prompt": "x"})
            buffered = await app.request({"prompt": "x"}, headers=JSON)
    assert (streamed.final[0], streamed.final[1]["outcome"]) == ("done", "truncated_output")
    assert (buffered.status, buffered.json["text"], buffered.json["outcome"]) == (
        200,
        "half a sen",
        "truncated_output",
    )


async def test_a_document_that_the_limit_cut_gives_the_parts_that_were_valid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut = DOCUMENT[: DOCUMENT.index('"author"')]
    async with provider(completion(cut, finish="length")) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            streamed = await app.request({"prompt": "x", "schema": "blog_post"})
            buffered = await app.request({"prompt": "x", "schema": "blog_post"}, headers=JSON)
    assert (streamed.final[0], streamed.final[1]["outcome"]) == ("error", "truncated_output")
    assert "violations" not in streamed.final[1]
    shown = {value["path"]: value["value"] for value in streamed.of("value")}
    assert shown["/title"] == BLOG_POST["title"]
    assert {value["path"]: value["value"] for value in buffered.problem["values"]} == shown
    assert buffered.problem["outcome"] == "truncated_output"


@pytest.mark.parametrize("finish", ["length", "content_filter", "tool_calls", "eos", "anything"])
async def test_a_document_that_has_closed_is_judged_whatever_the_finish_reason(
    finish: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        provider(completion(DOCUMENT, finish=finish)) as upstream,
        door(upstream.base_url, monkeypatch) as app,
    ):
        answer = await app.request({"prompt": "x", "schema": "blog_post"})
        wrong = await app.request({"prompt": "x", "schema": "blog_post", "on_violation": "finish"})
    assert answer.final[0] == wrong.final[0] == "done"


@pytest.mark.parametrize("end", ["stall", "close", "reset"])
async def test_after_a_finish_reason_any_end_is_the_end(end: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    script = [HEAD, text("a"), chunk(finish="stop"), chunk(usage=USAGE), end]
    async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
        set_policy(app, usage_s=0.2)
        answer = await app.request({"prompt": "x"})
    assert answer.final[0] == "done" and answer.final[1]["usage"]["output_tokens"] == 5


async def test_text_that_is_no_utf8_is_replaced_and_flagged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = framed(b'data: {"choices":[{"index":0,"delta":{"content":"caf\xe9"}}]}\n\n')
    async with provider([HEAD, bad, chunk(finish="stop"), DONE, END]) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            answer = await app.request({"prompt": "x"})
    assert answer.text == "caf\ufffd" and answer.final[0] == "done"
    assert facts(capsys.readouterr().out)[-1]["attempts"][0]["replaced"] == 1


async def test_a_stream_that_only_says_done_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        provider([HEAD, text("a"), DONE, END]) as upstream,
        door(upstream.base_url, monkeypatch) as app,
    ):
        answer = await app.request({"prompt": "x"})
    assert answer.final[1]["outcome"] == "incomplete_stream"


async def test_a_stop_is_saved_only_where_hanging_up_stops_the_meter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = json.dumps(BLOG_POST | {"slug": "Not A Slug"})
    counted = chunk(usage={"prompt_tokens": 10, "completion_tokens": 500, "total_tokens": 510})
    good = [HEAD, text(DOCUMENT), chunk(finish="stop"), counted, DONE, END]
    found = {}
    for cancel in ("stops", "runs_on", "unknown"):
        async with provider(good, [HEAD, text(wrong), "stall"]) as upstream:
            listed = json.dumps(
                {"models": {"m": {"base_url": upstream.base_url, "model": "m", "cancel": cancel}}}
            )
            async with door(upstream.base_url, monkeypatch, WEIR_MODELS=listed) as app:
                for _ in range(2):
                    await app.request({"prompt": "x", "schema": "blog_post"})
        fact = facts(capsys.readouterr().out)[-1]
        found[cancel] = (
            fact.get("saved") is not None,
            fact.get("saved_basis"),
            fact["attempts"][-1]["usage"]["output_tokens"] >= 500,
        )
    # Where the meter runs on, what was going to come is bought.
    assert found == {
        "stops": (True, "stops", False), "runs_on": (False, "runs_on", True), "unknown": (False, "unknown", True),
    }  # fmt: skip


async def test_a_hostile_stream_leaves_its_neighbours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours' tokens are not late while one stream is endless, and a body of a million objects is refused."""
    steady: list[Step] = [step for _ in range(40) for step in (text("t"), 0.02)]
    quiet = [HEAD, *steady, chunk(finish="stop"), DONE, END]
    body = b'{"messages":[' + b"{}," * 330_000 + b"{}]}"
    async with provider(quiet) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = Answer()
        serving = asyncio.create_task(app.request({"prompt": "x"}, answer=answer))
        await answer.until(b"delta")
        for _ in range(5):
            began = time.monotonic()
            refused = await app.request(body)
            assert refused.status == 422 and time.monotonic() - began < 0.5
            assert len(refused.problem["errors"]) == 1
            await asyncio.sleep(0.05)
        await serving
    gaps = [
        later - earlier
        for (earlier, _), (later, _) in zip(answer.arrivals, answer.arrivals[1:], strict=False)
    ]
    assert sorted(gaps)[len(gaps) // 2] < 0.2 and answer.final[0] == "done"
