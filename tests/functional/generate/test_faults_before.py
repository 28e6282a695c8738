"""Faults before the first token: what is asked again, of whom, and what each call is on the bill.

The policy is weir.generate.policy's; every attempt is a POST that the scripted provider counted.
"""

import asyncio
import gzip
import json
import time
from typing import Any

import pytest

from tests.functional.generate.door import BLOG_POST, door, facts, set_policy
from tests.functional.generate.scripted import END, HEAD, Step, completion, framed, provider, status, text

GOOD = completion("good")


def models(**routes: Any) -> str:
    return json.dumps({"models": routes})


@pytest.mark.parametrize("code", [408, 409, 425, 429, 500, 502, 503, 504, 529])
async def test_what_may_pass_is_asked_again_and_each_call_is_a_line_of_the_bill(
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider(status(code, {"error": {"message": "later"}}), GOOD) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            answer = await app.request({"prompt": "x"})
    assert answer.text == "good" and len(upstream.requests) == 2
    first, second = facts(capsys.readouterr().out)[-1]["attempts"]
    assert first["outcome"] in ("upstream_error", "rate_limited", "upstream_timeout")
    assert second["outcome"] == "ok" and second["usage"]["input_tokens"] == 12
    # What a gateway gave up on may have been served, and paid for.
    unknown = code in (408, 502, 504)
    assert first.get("maybe_served", False) is unknown
    assert first["usage"].get("input_tokens") == (None if unknown else 0)


@pytest.mark.parametrize(
    ("hint", "least_s"),
    [("retry-after: 0.2", 0.2), ("retry-after-ms: 200", 0.2), ("x-none: 1", 0.0)],
)
async def test_a_retry_waits_as_long_as_the_provider_asks(
    hint: str, least_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = status(429, {"error": {"message": "slow down"}}, hint)
    async with provider(refused, GOOD) as upstream, door(upstream.base_url, monkeypatch) as app:
        began = time.monotonic()
        assert (await app.request({"prompt": "x"})).text == "good"
        assert time.monotonic() - began >= least_s


async def test_retry_after_as_a_date_is_counted_from_the_providers_own_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dates = ("retry-after: Wed, 21 Oct 2015 07:28:01 GMT", "date: Wed, 21 Oct 2015 07:28:00 GMT")
    async with (
        provider(status(503, {}, *dates), GOOD) as upstream,
        door(upstream.base_url, monkeypatch) as app,
    ):
        began = time.monotonic()
        assert (await app.request({"prompt": "x"})).text == "good"
        assert 0.9 <= time.monotonic() - began < 5


async def test_at_most_two_retries_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(status(500, {})) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x"})
    assert answer.status == 502 and len(upstream.requests) == 3


@pytest.mark.parametrize("code", [503, 529, 429])
async def test_a_wait_that_is_too_long_is_the_callers_and_keeps_its_retry_after(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = status(code, {"error": {"message": "later"}}, "retry-after: 77")
    async with provider(refused) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x"})
    assert (answer.status, answer.headers["retry-after"]) == (429 if code == 429 else 503, "77")
    assert len(upstream.requests) == 1


async def test_no_retry_waits_beyond_the_callers_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = status(429, {}, "retry-after: 3")
    async with provider(refused) as upstream, door(upstream.base_url, monkeypatch) as app:
        began = time.monotonic()
        answer = await app.request({"prompt": "x", "timeout_ms": 1000})
        assert time.monotonic() - began < 1
    assert answer.status == 429 and len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (status(429, {"error": {"code": "insufficient_quota", "message": "x"}}), 503),
        (status(402, {"error": {"message": "Insufficient credits"}}), 503),
        (status(400, {"error": {"message": "too long", "code": "context_length_exceeded"}}), 400),
        (status(422, {"detail": [{"loc": ["body", "max_tokens"], "msg": "Extra inputs"}]}), 400),
        (status(404, {"error": {"message": "no such model"}}), 502),
        (status(400, {"error": {"code": "content_filter", "message": "x"}}), 422),
        (status(500, {}, "x-should-retry: false"), 502),
        (status(301, {}, "location: http://127.0.0.1:1/"), 502),
    ],
    ids=["quota", "credits", "context", "field", "model", "filter", "told not to", "redirect"],
)
async def test_what_would_only_fail_again_is_not_asked_again(
    script: list[Step], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x"})
    assert answer.status == code and len(upstream.requests) == 1


@pytest.mark.parametrize("script", [["reset"], ["close"], [b"garbage\r\n\r\n", "close"]])
async def test_a_connection_that_breaks_before_an_answer_is_asked_again_and_marked(
    script: list[Step], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider(script, GOOD) as upstream, door(upstream.base_url, monkeypatch) as app:
        assert (await app.request({"prompt": "x"})).text == "good"
    first, _ = facts(capsys.readouterr().out)[-1]["attempts"]
    assert first["maybe_served"] is True and "output_tokens" not in first["usage"]


async def test_a_status_that_does_not_come_is_asked_for_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(["stall"], GOOD) as upstream, door(upstream.base_url, monkeypatch) as app:
        set_policy(app, headers_s=0.2)
        assert (await app.request({"prompt": "x"})).text == "good"
    async with provider(["stall"]) as upstream, door(upstream.base_url, monkeypatch) as app:
        set_policy(app, headers_s=0.2)
        answer = await app.request({"prompt": "x"})
    assert answer.status == 504 and len(upstream.requests) == 2


async def test_a_first_token_that_does_not_come_is_asked_for_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pings: list[Step] = [step for _ in range(30) for step in (framed(b": ping\n\n"), 0.02)]
    async with (
        provider([HEAD, *pings, "stall"], GOOD) as upstream,
        door(upstream.base_url, monkeypatch) as app,
    ):
        set_policy(app, first_token_s=0.2)
        answer = await app.request({"prompt": "x"})
    assert answer.text == "good" and len(upstream.requests) == 2
    assert [event["attempt"] for event in answer.of("retry")] == [2]


async def test_an_error_in_a_200_stream_before_the_first_token_is_treated_as_its_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside = framed(b'data: {"error":{"code":429,"message":"rate limit"}}\n\n')
    for script in ([HEAD, inside, END], status(200, {"error": {"code": 429, "message": "rate limit"}})):
        async with provider(script, GOOD) as upstream, door(upstream.base_url, monkeypatch) as app:
            assert (await app.request({"prompt": "x"})).text == "good"
            assert len(upstream.requests) == 2


async def test_another_model_answers_where_the_first_one_cannot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider(status(503, {})) as down, provider(GOOD) as up:
        listed = models(
            first={"base_url": down.base_url, "model": "m-1", "fallbacks": ["second"]},
            second={"base_url": up.base_url, "model": "m-2", "cap": "max_completion_tokens"},
        )
        async with door(down.base_url, monkeypatch, WEIR_MODELS=listed) as app:
            answer = await app.request({"prompt": "x"})
    assert answer.text == "good"
    assert (len(down.requests), len(up.requests)) == (3, 1)
    assert up.requests[0]["model"] == "m-2" and "max_tokens" not in up.requests[0]
    lines = facts(capsys.readouterr().out)[-1]["attempts"]
    assert [line["route"] for line in lines] == ["first", "first", "first", "second"]


async def test_a_prompt_that_is_too_long_goes_only_to_a_model_of_a_larger_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = status(400, {"error": {"code": "context_length_exceeded", "message": "too long"}})
    async with provider(long) as small, provider(GOOD) as large:
        listed = models(
            small={
                "base_url": small.base_url,
                "model": "s",
                "context_tokens": 8_000,
                "fallbacks": ["as", "large"],
            },
            **{"as": {"base_url": small.base_url, "model": "as-small", "context_tokens": 8_000}},
            large={"base_url": large.base_url, "model": "l", "context_tokens": 200_000},
        )
        async with door(small.base_url, monkeypatch, WEIR_MODELS=listed) as app:
            assert (await app.request({"prompt": "x"})).text == "good"
        assert [request["model"] for request in small.requests] == ["s"]


async def test_a_route_that_failed_in_a_row_is_left_alone_where_another_can_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with provider(status(503, {})) as down, provider(GOOD) as up:
        listed = models(
            first={"base_url": down.base_url, "model": "m", "fallbacks": ["second"]},
            second={"base_url": up.base_url, "model": "m"},
        )
        async with door(down.base_url, monkeypatch, WEIR_MODELS=listed) as app:
            for _ in range(3):
                assert (await app.request({"prompt": "x"})).text == "good"
    assert (len(down.requests), len(up.requests)) == (3, 3)


async def test_a_dead_pooled_connection_is_sent_again_once_over_a_new_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Attack A4: a provider that cuts every idle connection when it is used again."""
    posts = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal posts
        try:
            for number in range(2):
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                posts += 1
                if number:
                    return
                for step in GOOD:
                    writer.write(step)  # type: ignore[arg-type]
                await asyncio.sleep(0.05)  # so that many connections are open at once
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, door(f"http://127.0.0.1:{port}/v1", monkeypatch) as app:
        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(app.request({"prompt": "x"}))
        before = posts
        capsys.readouterr()
        answer = await app.request({"prompt": "x"})
        assert answer.text == "good" and posts - before == 2
        server.close_clients()
    first, second = facts(capsys.readouterr().out)[-1]["attempts"]
    assert first["maybe_served"] is True and second["outcome"] == "ok"


async def test_no_cookie_of_one_request_is_sent_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack A9."""
    head = HEAD.replace(b"\r\n\r\n", b"\r\nset-cookie: session=of-the-first; path=/\r\n\r\n")
    async with provider([head, *GOOD[1:]]) as upstream, door(upstream.base_url, monkeypatch) as app:
        for _ in range(3):
            await app.request({"prompt": "x"})
    assert all("cookie" not in headers for headers in upstream.headers)


KEY = "sk-0123456789abcdef"


@pytest.mark.parametrize(
    "script",
    [
        *(status(code, {"error": {"message": f"key {KEY} is wrong"}}) for code in (400, 404, 407, 500)),
        status(401, {"error": {"message": f"{KEY}"}}),
        status(400, {"error": {"message": "x" * 495 + KEY}}),
        [HEAD, text("a"), framed(b'data: {"error":{"message":"' + KEY.encode() + b'"}}\n\n'), END],
        [HEAD.replace(b"text/event-stream", KEY.encode()), framed(b"data: " + KEY.encode() + b"\n\n"), END],
        [b"HTTP/1.1 200 " + KEY.encode() + b"\r\nx: \x00" + KEY.encode() + b"\r\n\r\n", "close"],
        [HEAD, framed(b'data: {"model":"' + KEY.encode() + b'","choices":[]}\n\n'), *GOOD[1:]],
    ],
    ids=[
        "400",
        "404",
        "407",
        "500",
        "401",
        "cut in the middle",
        "in the stream",
        "content type",
        "header",
        "model",
    ],
)
async def test_the_key_is_masked_wherever_a_provider_puts_it(
    script: list[Step], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Attack A10."""
    monkeypatch.setattr("aws_lambda_powertools.utilities.parameters.get_secret", lambda *_, **__: KEY)
    async with provider(script) as upstream:
        async with door(upstream.base_url, monkeypatch, WEIR_UPSTREAM_KEY="secretsmanager:k") as app:
            answer = await app.request({"prompt": "x"})
    assert upstream.headers[0]["authorization"] == f"bearer {KEY}"
    said = answer.body.decode() + capsys.readouterr().out + str(answer.headers)
    assert KEY not in said and KEY[:12] not in said


@pytest.mark.parametrize("layers", [1, 2])
async def test_a_compressed_bomb_is_read_in_pieces_and_no_further_than_the_cap(
    layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack A13."""
    bomb = b": " + b"x" * 200_000_000
    encodings = ", ".join(["gzip"] * layers)
    for _ in range(layers):
        bomb = gzip.compress(bomb, 6)
    head = HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: %b\r\n\r\n" % encodings.encode())
    import resource

    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with provider([head, framed(bomb), END]) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x"})
    assert answer.events[-1][0] == "error" if answer.status == 200 else answer.status == 502
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 64_000


async def test_a_provider_error_of_any_depth_is_the_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack A17."""
    deep = b'{"error":' * 3_000 + b"1" + b"}" * 3_000
    head = b"HTTP/1.1 400 X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(deep)
    async with provider([head + deep]) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x"})
    assert answer.problem["outcome"] == "upstream_error"


async def test_an_absurd_head_of_an_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = b"".join(b"x-%d: %b\r\n" % (n, b"y" * 100) for n in range(5_000))
    async with provider([b"HTTP/1.1 200 OK\r\n" + heads + b"\r\n"]) as upstream:
        async with door(upstream.base_url, monkeypatch) as app:
            answer = await app.request({"prompt": "x"})
    assert answer.status == 502 and "RemoteProtocolError" in answer.problem["detail"]


async def test_a_model_that_is_not_listed_is_refused_with_the_names_that_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with provider(GOOD) as upstream:
        listed = models(
            fast={"base_url": upstream.base_url, "model": "m"},
            slow={"base_url": upstream.base_url, "model": "n"},
        )
        async with door(upstream.base_url, monkeypatch, WEIR_MODELS=listed) as app:
            answer = await app.request({"prompt": "x", "model": "gpt-4"})
    assert answer.status == 422 and upstream.requests == []
    assert answer.problem["errors"] == [
        {"pointer": "/model", "detail": "expected one of fast, slow, got 'gpt-4'"}
    ]


async def test_a_schema_that_a_provider_refuses_is_asked_for_in_another_way_from_then_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = status(400, {"error": {"message": "Invalid schema for response_format 'blog_post'"}})
    document = json.dumps(BLOG_POST)
    call = {"index": 0, "id": "c", "function": {"name": "blog_post", "arguments": document}}
    by_tool = [
        HEAD,
        framed(
            b"data: "
            + json.dumps(
                {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
            ).encode()
            + b"\n\n"
        ),
        END,
    ]
    async with provider(refused, by_tool) as upstream, door(upstream.base_url, monkeypatch) as app:
        for _ in range(2):
            answer = await app.request({"prompt": "x", "schema": "blog_post"})
            assert answer.final[0] == "done"
    assert ["response_format" in request for request in upstream.requests] == [True, False, False]
    assert [line["structured_output"] for line in facts(capsys.readouterr().out)[1]["attempts"]] == [
        "native",
        "tool",
    ]
