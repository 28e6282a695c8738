"""What goes wrong on either side: the status or event that the caller gets, and the line that is always written."""

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tests.functional.generate.door import BLOG_POST, Answer, door, facts, set_policy
from tests.functional.generate.scripted import (
    DONE,
    END,
    HEAD,
    Step,
    chunk,
    completion,
    framed,
    provider,
    status,
    text,
)

INVALID = json.dumps(BLOG_POST | {"slug": "Not A Slug"})


@pytest.mark.parametrize(
    ("body", "headers", "code", "detail"),
    [
        (b"{", {}, 400, "body: Invalid JSON"),
        (b"\xff", {}, 400, "body: Invalid JSON"),
        (b"[]", {}, 422, "body: "),
        ({"prompt": 3}, {}, 422, "/prompt: "),
        ({"prompt": "x", "schema": "nope"}, {}, 422, "/schema: Value error, expected one of blog_post, got 'nope'"),
        ({"prompt": "x", "messages": []}, {}, 422, "/messages: "),
        ({}, {}, 422, "body: Value error, expected exactly one of prompt and messages"),
        ({"prompt": "x", "tags": {"a b": "c"}}, {}, 422, "/tags/a b: "),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, {}, 422, "/messages/0/content/0/text: "),
        ({"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text"}]}]}, {}, 422, "/messages/0/content/0: "),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, {}, 422, "/messages/0/content/0/text: "),
        ({"messages": [{"role": "user", "content": {"text": "x"}}]}, {}, 422, "/messages/0/content: "),
        ({"prompt": "x", "tags": {str(n): "c" for n in range(11)}}, {}, 422, "/tags: "),
        ({"prompt": "x", "extra": 1}, {}, 422, "/extra: "),
        ({"prompt": "x"}, {"content-type": "text/plain"}, 415, "content-type: expected application/json"),
        (b'{"prompt":"' + b"x" * 1_048_576 + b'"}', {}, 413, "body: expected at most 1048576 bytes"),
    ],
)  # fmt: skip
async def test_a_bad_request_is_refused_before_the_provider_is_called(
    body: Any, headers: dict[str, str], code: int, detail: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    async with provider(completion("a")) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request(body, headers=headers)
    assert answer.status == code
    assert answer.problem["detail"].startswith(detail)
    assert answer.problem["outcome"] == "bad_request"
    assert upstream.requests == []
    [completed] = facts(capsys.readouterr().out)
    assert (completed["outcome"], completed["http_status"]) == ("bad_request", code)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/v1/generations", 405), ("POST", "/openapi.json", 405), ("GET", "/x", 404)],
)
async def test_unknown_paths_and_methods_are_named(
    method: str, path: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(completion("a")) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request(method=method, path=path)
    assert answer.status == code and path in answer.problem["detail"]
    if code == 405:
        assert answer.headers["allow"]


SECRET = "sk-very-secret"


@pytest.mark.parametrize(
    ("script", "code", "outcome", "said"),
    [
        (status(500, {"error": {"message": "boom", "type": "server_error"}}), 502, "upstream_error", "boom"),
        (status(400, {"error": {"message": "too long", "code": "context_length_exceeded"}}), 400, "upstream_error",
         "too long"),
        (status(401, {"error": {"message": f"Incorrect API key {SECRET}"}}), 502, "upstream_error", "refused"),
        (status(429, {"error": {"message": "slow down"}}, "retry-after: 1"), 429, "rate_limited", "slow down"),
        (status(429, {"error": {"code": "insufficient_quota"}}), 503, "rate_limited", "429"),
        (status(301, {}, "location: http://127.0.0.1:1/"), 502, "upstream_error", "301"),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: nonsense\r\n\r\n"], 502, "upstream_error", "provider"),
        ([b"garbage\r\n\r\n", "close"], 502, "upstream_error", "RemoteProtocolError"),
        (["reset"], 502, "upstream_error", "provider: "),
        (["close"], 502, "upstream_error", "RemoteProtocolError"),
    ],
)  # fmt: skip
async def test_a_provider_that_fails_before_its_headers_gives_a_status(
    script: list[Step], code: int, outcome: str, said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x"})
    assert (answer.status, answer.problem["outcome"]) == (code, outcome)
    assert said in answer.problem["detail"]
    output = capsys.readouterr().out
    completed = facts(output)[-1]
    assert (completed["outcome"], completed["http_status"]) == (outcome, code)
    assert completed["timing"]["wait_ms"] > 0 and float(completed["cost"]["total"]) > 0
    assert SECRET not in answer.body.decode() + output
    if code == 429:
        assert answer.headers["retry-after"] == "1"


async def test_a_provider_that_is_down_is_an_upstream_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(completion("a")) as gone:
        pass
    async with door(gone.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x"}, event_source="direct")
    assert answer.status == 502 and "ConnectError" in answer.problem["detail"]
    assert answer.problem["usage"]["total_tokens"] == 0 and answer.problem["cost"]["unpriced"] == []


@pytest.mark.parametrize(
    ("script", "outcome", "said"),
    [
        (status(200, {"choices": []}), "incomplete_stream", "got the end of the stream after 0 characters"),
        (status(200, {"error": {"message": "boom", "code": 500}}), "upstream_error", "boom"),
        ([HEAD, text("a"), END], "incomplete_stream", "expected a finish reason or [DONE]"),
        ([HEAD, text("a"), "close"], "upstream_error", "RemoteProtocolError"),
        ([HEAD, text("a"), "reset"], "upstream_error", "provider: "),
        ([HEAD, text("a"), b"zz\r\n", "close"], "upstream_error", "RemoteProtocolError"),
        ([HEAD, text("a"), framed(b"data: {oops\n\n"), DONE, END], "upstream_error", "expected a JSON object"),
        ([HEAD, text("a"), framed(b"data: 3\n\n"), DONE, END], "incomplete_stream", "got the end of the stream"),
        ([HEAD, text("a"), framed(b"event: error\ndata: {\"message\":\"overloaded\"}\n\n"), END], "upstream_error",
         "overloaded"),
        ([HEAD, text("a"), chunk(error={"message": "died", "code": 500}), END], "upstream_error", "died"),
        ([HEAD, text("a"), framed(b"data: " + b"x" * 2_000_000), END], "upstream_error", "at most 1048576 bytes"),
        (completion("a", finish="length"), "truncated_output", "the token limit cut the output"),
        (completion("a", finish="content_filter"), "filtered", "content_filter"),
        (completion("a", finish="tool_calls"), "upstream_error", "expected stop, got 'tool_calls'"),
        ([HEAD, chunk({"refusal": "I can't"}), chunk(finish="stop"), DONE, END], "refused", "refused"),
    ],
)  # fmt: skip
async def test_what_fails_after_the_headers_is_the_final_event(
    script: list[Step], outcome: str, said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x", "schema": "blog_post", "on_violation": "finish"})
    kind, final = answer.final
    assert answer.status == 200 and kind == "error" and final["outcome"] == outcome
    assert said in final["detail"]
    completed = facts(capsys.readouterr().out)[-1]
    assert (completed["outcome"], completed["http_status"]) == (outcome, 200)
    assert completed["cost"]["total"] != "0"


async def test_the_first_violation_closes_the_upstream_response(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = INVALID.index('"summary"')
    script = [HEAD, text(INVALID[:cut]), "stall"]
    async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
        async with asyncio.timeout(5):
            answer = await app.request({"prompt": "x", "schema": "blog_post"})
            await upstream.hung_up.wait()
    kind, final = answer.final
    assert (kind, final["outcome"]) == ("error", "invalid_output")
    [violation] = final["violations"]
    assert violation["path"] == "/slug" and violation["type"] == "string_pattern_mismatch"
    assert final["usage"]["source"] == "estimated" and final["usage"]["output_tokens"] > 0
    assert facts(capsys.readouterr().out)[-1]["violations"] == 1


async def test_under_finish_the_whole_text_arrives_and_still_ends_in_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with provider(completion(INVALID)) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x", "schema": "blog_post", "on_violation": "finish"})
    assert answer.text == INVALID
    kind, final = answer.final
    assert (kind, final["outcome"]) == ("error", "invalid_output")
    assert final["usage"]["source"] == "provider"


async def test_under_retry_only_the_bad_and_the_missing_part_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = INVALID.index('"summary"')
    rest = json.dumps({name: value for name, value in BLOG_POST.items() if name != "title"})
    async with provider([HEAD, text(INVALID[:cut]), "stall"], completion(rest[:7], rest[7:])) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            answer = await app.request(
                {
                    "prompt": "x",
                    "schema": "blog_post",
                    "on_violation": "retry",
                    "include": ["value", "result"],
                }
            )
    [retry] = answer.of("retry")
    assert (
        retry["attempt"] == 2
        and retry["discarded_paths"] == []
        and "slug: String should match" in retry["reason"]
    )
    kind, final = answer.final
    assert (kind, final["attempt"], final["usage"]["source"]) == ("done", 2, "estimated")
    assert json.loads("".join(part["json"] for part in answer.of("result"))) == BLOG_POST
    paths = [(event["attempt"], event["path"]) for event in answer.of("value")]
    assert (1, "/title") in paths and (2, "/title") not in paths and (2, "/slug") in paths
    asked = upstream.requests[1]
    assert "title" not in asked["response_format"]["json_schema"]["schema"]["properties"]
    assert [message["role"] for message in asked["messages"]] == ["user", "assistant", "user"]
    completed = facts(capsys.readouterr().out)[-1]
    assert [line["outcome"] for line in completed["attempts"]] == ["invalid_output", "ok"]
    assert [line["usage"]["source"] for line in completed["attempts"]] == ["estimated", "provider"]
    assert completed["outcome"] == "ok" and completed["violations"] == 1


async def test_under_retry_a_list_goes_on_behind_the_elements_that_were_valid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = ({"heading": name, "content": "c", "keywords": ["k"]} for name in ("one", "two"))
    whole = {**BLOG_POST, "sections": [first, second]}
    broken = json.dumps({**whole, "sections": [first, {**second, "heading": ""}]})
    rest = json.dumps({**dict(list(whole.items())[list(whole).index("sections") :]), "sections": [second]})
    cut = broken.index('"conclusion"')
    async with provider([HEAD, text(broken[:cut]), "stall"], completion(rest[:20], rest[20:])) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            answer = await app.request(
                {
                    "prompt": "x",
                    "schema": "blog_post",
                    "on_violation": "retry",
                    "include": ["value", "result"],
                }
            )
    assert answer.of("retry")[0]["discarded_paths"] == []
    assert answer.final[0] == "done"
    assert json.loads("".join(part["json"] for part in answer.of("result"))) == whole
    paths = [(event["attempt"], event["path"]) for event in answer.of("value")]
    assert (1, "/sections/0") in paths and (2, "/sections/0") not in paths and (2, "/sections/1") in paths
    assert "the elements that follow the 1 above" in upstream.requests[1]["messages"][-1]["content"]


async def test_a_second_answer_that_gives_the_whole_document_again_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut = INVALID.index('"summary"')
    again = json.dumps(BLOG_POST | {"title": "Another"})
    async with provider([HEAD, text(INVALID[:cut]), "stall"], completion(again)) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            answer = await app.request({"prompt": "x", "schema": "blog_post", "on_violation": "retry"})
    assert answer.final[0] == "done"
    values = {event["path"]: event["value"] for event in answer.of("value")}
    assert values["/title"] == "Another"  # a later value with the same path replaces the one before


async def test_a_retry_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(completion(INVALID)) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x", "schema": "blog_post", "on_violation": "retry"})
    assert answer.final[1]["outcome"] == "invalid_output" and answer.final[1]["attempt"] == 2
    assert len(upstream.requests) == 2


async def test_what_a_stop_spared_is_estimated_once_there_is_something_to_compare_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = json.dumps(BLOG_POST)
    usage = chunk(usage={"prompt_tokens": 10, "completion_tokens": 500, "total_tokens": 510})
    good = [HEAD, text(whole), chunk(finish="stop"), usage, DONE, END]
    async with (
        provider(good, [HEAD, text(INVALID), "stall"]) as upstream,
        door(upstream.base_url, monkeypatch, WEIR_UPSTREAM_PROVIDER="simulator") as app,
    ):
        for _ in range(2):
            await app.request({"prompt": "x", "schema": "blog_post"})
    first, second = [fact for fact in facts(capsys.readouterr().out) if fact["kind"] == "request.completed"]
    assert "saved" not in first
    assert second["saved"]["method"].startswith("estimated: mean of 1 whole documents")
    assert second["saved"]["output_tokens"] == 500 - second["attempts"][0]["usage"]["output_tokens"]


async def test_silence_and_pings_end_in_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    pings: list[Step] = [step for _ in range(40) for step in (framed(b": ping\n\n"), 0.02)]
    for script in ([HEAD, text("a"), "stall"], [HEAD, text("a"), *pings, "stall"]):
        async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
            set_policy(app, between_tokens_s=0.3)
            answer = await app.request({"prompt": "x"})
            async with asyncio.timeout(5):
                await upstream.hung_up.wait()
        assert answer.final[1]["outcome"] == "upstream_timeout"
        assert answer.final[1]["detail"] == "provider: expected a token within 0.3 s"


async def test_a_provider_without_headers_gives_the_prelude_then_heartbeats_then_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with provider(["stall"]) as upstream, door(upstream.base_url, monkeypatch) as app:
        set_policy(app, prelude_s=0.1, headers_s=0.6, pulse_s=0.1)
        answer = await app.request({"prompt": "x"})
    assert answer.status == 200
    assert b": heartbeat\n\n" in answer.body
    assert answer.final[1]["outcome"] == "upstream_timeout"


async def test_a_slow_caller_is_not_the_providers_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(completion("a", "b", "c")) as upstream, door(upstream.base_url, monkeypatch) as app:
        set_policy(app, between_tokens_s=0.1)
        answer = await app.request({"prompt": "x"}, slow_s=0.2)
    assert answer.final[0] == "done"


async def test_a_caller_who_hangs_up_closes_the_upstream(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hang_up = asyncio.Event()
    async with provider([HEAD, text("a"), "stall"]) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = Answer()
        serving = asyncio.create_task(app.request({"prompt": "x"}, answer=answer, hang_up=hang_up))
        async with asyncio.timeout(5):
            await answer.until(b"delta")
            hang_up.set()
            left = time.monotonic()
            await upstream.hung_up.wait()
            assert time.monotonic() - left < 1
            await serving
    assert facts(capsys.readouterr().out)[-1]["outcome"] == "client_disconnected"


async def test_a_connection_that_is_found_gone_while_sending_closes_the_upstream(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider([HEAD, text("a"), 0.05, text("b"), "stall"]) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            await app.request({"prompt": "x"}, lost_after=1)
            async with asyncio.timeout(5):
                await upstream.hung_up.wait()
    assert facts(capsys.readouterr().out)[-1]["outcome"] == "client_disconnected"


@pytest.mark.parametrize(("by", "outcome"), [("deadline", "deadline"), ("shutdown", "stopped")])
async def test_a_cancelled_request_still_ends_with_its_event_and_its_line(
    by: str, outcome: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context = SimpleNamespace(
        aws_request_id="r-1",
        invoked_function_arn="arn:x",
        deadline_ms=time.time() * 1000 + 60_000,
        cancelled_by=None,
    )
    async with provider([HEAD, text("a"), "stall"]) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = Answer()
        serving = asyncio.create_task(app.request({"prompt": "x"}, answer=answer, context=context))
        async with asyncio.timeout(5):
            await answer.until(b"delta")
            context.cancelled_by = by
            serving.cancel()
            await serving
            await upstream.hung_up.wait()
    assert answer.final[1]["outcome"] == outcome
    started, completed = facts(capsys.readouterr().out)
    assert (completed["request_id"], completed["outcome"]) == ("r-1", outcome)
    assert started["function_arn"] == "arn:x"
    assert completed["attempts"][-1]["usage"]["source"] == "estimated"


async def test_a_pooled_connection_that_died_in_a_freeze_costs_no_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with provider([*completion("a"), 0.05, "reset"], completion("b")) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            assert (await app.request({"prompt": "x"})).text == "a"
            time.sleep(0.2)  # the loop is to stand still, as in a freeze, while the provider hangs up
            answer = await app.request({"prompt": "x"})
    assert answer.final[0] == "done" and answer.text == "b"


async def test_an_error_of_our_own_is_logged_without_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider(completion("a")) as upstream, door(upstream.base_url, monkeypatch) as app:

        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError("the prompt was: hush")

        app.app._generate.upstream.call = broken  # type: ignore[method-assign,assignment]
        answer = await app.request({"prompt": "x"})
    assert answer.status == 500 and answer.problem["outcome"] == "internal_error"
    output = capsys.readouterr().out
    assert "ZeroDivisionError" in output and "hush" not in output
    assert facts(output)[-1]["outcome"] == "internal_error"


async def test_a_key_with_a_line_end_is_a_key_and_one_that_no_header_may_hold_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider(completion("a")) as upstream:
        for stored, status_code in (("sk-1\n", 200), ("sk-\x07bad", 500)):
            monkeypatch.setattr(
                "aws_lambda_powertools.utilities.parameters.get_secret",
                lambda *_, stored=stored, **__: stored,
            )
            async with door(upstream.base_url, monkeypatch, WEIR_UPSTREAM_KEY="secretsmanager:k") as app:
                answer = await app.request({"prompt": "x"})
            assert answer.status == status_code
            assert "sk-" not in answer.body.decode() + capsys.readouterr().out
    assert [headers["authorization"] for headers in upstream.headers] == ["bearer sk-1"]


async def test_a_count_that_no_metric_takes_does_not_cost_the_final_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absurd = {"prompt_tokens": 10**400, "completion_tokens": 5, "total_tokens": 7}
    async with provider([HEAD, text("a"), chunk(finish="stop"), chunk(usage=absurd), DONE, END]) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            answer = await app.request({"prompt": "x"})
    assert answer.final[0] == "done" and answer.final[1]["usage"]["input_tokens"] is None


async def test_a_model_that_thinks_aloud_is_making_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    thinking: list[Step] = [step for _ in range(8) for step in (chunk({"reasoning_content": "hm"}), 0.1)]
    async with provider([HEAD, *thinking, *completion("a")[1:]]) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            set_policy(app, between_tokens_s=0.4)
            answer = await app.request({"prompt": "x"})
    assert answer.final[0] == "done" and answer.text == "a"


async def test_usage_that_comes_with_the_violation_is_the_providers_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 500, "total_tokens": 503}
    said = [{"choices": [{"delta": {"content": INVALID}}]}, {"choices": [], "usage": usage}]
    at_once = framed(b"".join(b"data: " + json.dumps(data).encode() + b"\n\n" for data in said))
    async with provider([HEAD, at_once, "stall"]) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            answer = await app.request({"prompt": "x", "schema": "blog_post"})
    assert answer.final[1]["outcome"] == "invalid_output"
    assert answer.final[1]["usage"]["output_tokens"] == 500
    assert answer.final[1]["usage"]["source"] == "provider"


async def test_nothing_was_saved_where_the_provider_finished_by_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = completion(json.dumps(BLOG_POST))
    async with provider(whole, completion(INVALID)) as upstream, door(upstream.base_url, monkeypatch) as app:
        for _ in range(2):
            await app.request({"prompt": "x", "schema": "blog_post", "on_violation": "finish"})
    assert [fact.get("saved") for fact in facts(capsys.readouterr().out)] == [None] * 4


async def test_a_buffered_answer_is_recorded_with_the_status_that_it_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider(completion(INVALID)) as upstream, door(upstream.base_url, monkeypatch) as app:
        wants = {"accept": "application/json"}
        answer = await app.request({"prompt": "x", "schema": "blog_post"}, headers=wants)
    assert answer.status == answer.problem["status"] == 502
    assert facts(capsys.readouterr().out)[-1]["http_status"] == 502


async def test_a_heartbeat_that_finds_nobody_ends_the_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider([HEAD, text("a"), "stall"]) as upstream, door(upstream.base_url, monkeypatch) as app:
        set_policy(app, pulse_s=0.1)
        async with asyncio.timeout(5):
            await app.request({"prompt": "x"}, lost_after=1)
            await upstream.hung_up.wait()
    assert facts(capsys.readouterr().out)[-1]["outcome"] == "client_disconnected"


async def test_names_from_outside_cannot_break_or_flood_a_log_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = [HEAD, chunk({"content": "a"}, "stop", model="m\u2028\x85" + "x" * 500_000), DONE, END]
    async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
        await app.request({"prompt": "x", "model": "n\u2028"})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and max(map(len, lines)) < 4_000


async def test_what_a_provider_may_have_worked_on_is_on_the_bill_before_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider(completion("a"), [0.4, "reset"], completion("c")) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            await app.request({"prompt": "x"})
            capsys.readouterr()
            answer = await app.request({"prompt": "x"})
    assert answer.text == "c" and len(upstream.requests) == 3
    first, second = facts(capsys.readouterr().out)[-1]["attempts"]
    assert first["maybe_served"] is True and "input_tokens" not in first["usage"]
    assert "maybe_served" not in second and second["usage"]["input_tokens"] == 12


async def test_a_stalled_refusal_keeps_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"HTTP/1.1 429 X\r\ncontent-length: 99\r\nretry-after: 1\r\n\r\n{"
    monkeypatch.setattr("weir.providers.upstream._ERROR_BODY_S", 0.1)
    async with provider([head, "stall"]) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x"})
    assert answer.status == 429 and answer.headers["retry-after"] == "1"


async def test_a_model_that_never_ends_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider([HEAD, *[text("x" * 1_000)] * 100, "stall"]) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            set_policy(app, sent_bytes=50_000)
            answer = await app.request({"prompt": "x"})
            async with asyncio.timeout(5):
                await upstream.hung_up.wait()
    assert answer.final[1]["outcome"] == "stopped"
    assert answer.final[1]["detail"] == "stream: expected at most 50000 bytes, got more"
    assert len(answer.body) < 60_000
