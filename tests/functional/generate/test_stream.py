"""A request that goes well: what the caller sees, what the provider was asked, what is on record."""

import asyncio
import json

import pytest

from tests.functional.generate.door import BLOG_POST, Answer, Door, door, facts, metrics
from tests.functional.generate.scripted import END, HEAD, chunk, completion, provider, text
from tests.response_format import response_format

DOCUMENT = json.dumps(BLOG_POST)


def pieces(document: str, size: int) -> list[str]:
    return [document[at : at + size] for at in range(0, len(document), size)]


async def test_text_leaves_before_it_is_validated_and_a_backlog_of_it_in_one_send(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The provider writes all at once, no more than is taken as one piece, so that all of it waits when it is read."""
    script = [b"".join(step for step in completion(*pieces(DOCUMENT, 16)) if isinstance(step, bytes))]
    async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "Write", "schema": "blog_post"})
    kinds = [
        {name for name in ("delta", "value", "done") if b"event: %b\n" % name.encode() in data}
        for _, data in answer.arrivals
        if data
    ]
    assert kinds == [{"delta"}, {"value"}, {"done"}]
    assert answer.text == DOCUMENT


async def test_a_document_streams_as_deltas_and_validated_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        provider(completion(*pieces(DOCUMENT, 4))) as upstream,
        door(upstream.base_url, monkeypatch) as app,
    ):
        answer = await app.request({"prompt": "Write", "schema": "blog_post", "tags": {"team": "docs"}})
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text == DOCUMENT
    values = {event["path"]: event["value"] for event in answer.of("value")}
    assert values["/title"] == "On streams"
    assert values["/author"] == BLOG_POST["author"]
    assert values["/sections/0"] == BLOG_POST["sections"][0]
    assert values["/sections/1"] == BLOG_POST["sections"][1]
    kind, final = answer.final
    assert (kind, final["outcome"], final["attempt"]) == ("done", "ok", 1)
    assert final["usage"] == {
        "input_tokens": 12, "output_tokens": 5, "cached_input_tokens": None, "reasoning_tokens": None,
        "total_tokens": 17, "source": "provider",
    }  # fmt: skip
    assert 0 <= final["timing"]["ttft_ms"] <= final["timing"]["ttlt_ms"] <= final["timing"]["duration_ms"]
    assert final["cost"]["is_estimate"] is True
    assert final["cost"]["unpriced"] and final["cost"]["components"]["output_tokens"] is None  # no such model

    asked = upstream.requests[0]
    assert asked["stream"] is True and asked["stream_options"] == {"include_usage": True}
    assert asked["response_format"] == response_format("blog_post")
    assert asked["messages"] == [{"role": "user", "content": "Write"}]
    assert "authorization" not in upstream.headers[0]

    output = capsys.readouterr().out
    started, completed = facts(output)
    assert (started["kind"], completed["kind"]) == ("request.started", "request.completed")
    assert completed["request_id"] == started["request_id"] == answer.headers["x-request-id"]
    assert completed["outcome"] == "ok" and completed["tags"] == {"team": "docs"}
    assert completed["streamed_bytes"] == len(answer.body)
    assert completed["attempts"][0]["usage"] == {
        name: value for name, value in final["usage"].items() if value is not None
    }
    assert started["cold_start"] is True
    [metric] = metrics(output)
    assert metric["OutputTokenCount"] == 5 and metric["Ok"] == 1 and metric["ColdStart"] == 1
    assert metric["EstimatedCost"] == float(final["cost"]["total"]) > 0
    assert {"TimeToFirstToken", "TimeToLastToken", "InvocationLatency", "ValidationTime"} <= metric.keys()
    assert "Write" not in output and "On streams" not in output


async def test_text_reaches_the_caller_before_the_provider_sends_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = asyncio.Event()
    script = [HEAD, text("first"), more, text(" second"), chunk(finish="stop"), END]
    async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = Answer()
        serving = asyncio.create_task(app.request({"prompt": "x"}, answer=answer))
        await answer.until(b"first")
        assert not answer.ended
        more.set()
        await serving
    assert answer.text == "first second" and answer.final[0] == "done"


async def test_a_caller_who_wants_json_gets_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        provider(completion(*pieces(DOCUMENT, 9))) as upstream,
        door(upstream.base_url, monkeypatch) as app,
    ):
        wants = {"accept": "application/json"}
        document = await app.request({"prompt": "x", "schema": "blog_post"}, headers=wants)
        plain = await app.request({"prompt": "x"}, headers=wants)
    assert document.headers["content-type"] == "application/json"
    assert document.json["document"] == BLOG_POST
    assert document.json["outcome"] == "ok" and document.json["usage"]["total_tokens"] == 17
    assert plain.json["text"] == DOCUMENT
    assert len(document.arrivals) == 1


async def test_result_events_join_to_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    long = BLOG_POST | {"conclusion": 'é"' * 60_000}
    script = completion(*pieces(json.dumps(long), 5_000))
    async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request(
            {"prompt": "x", "schema": "blog_post", "include": ["result"], "max_output_tokens": 200_000}
        )
    parts = answer.of("result")
    assert json.loads("".join(part["json"] for part in parts)) == long
    assert [part["part"] for part in parts] == list(range(len(parts)))
    assert [part["last"] for part in parts] == [False] * (len(parts) - 1) + [True]
    assert not answer.of("delta") and not answer.of("value")
    assert max(len(data) for _, data in answer.arrivals) <= 65_536


async def test_one_connection_serves_request_after_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(completion("a")) as upstream, door(upstream.base_url, monkeypatch) as app:
        for _ in range(3):
            assert (await app.request({"prompt": "x"})).final[0] == "done"
    assert upstream.connections == 1


async def test_only_the_first_request_of_an_environment_is_cold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with provider(completion("a")) as upstream, door(upstream.base_url, monkeypatch) as app:
        cold, warm = await app.request({"prompt": "x"}), await app.request({"prompt": "x"})
    assert "init;dur=" in cold.headers["server-timing"] and "init" not in warm.headers["server-timing"]
    assert [metric["ColdStart"] for metric in metrics(capsys.readouterr().out)] == [1, 0]


async def test_concurrent_requests_share_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def ask(app: Door, tenant: str) -> None:
        answer = await app.request({"prompt": "x", "tags": {"tenant": tenant}})
        assert answer.final[0] == "done"

    async with (
        provider([HEAD, 0.05, *completion("a")[1:]]) as upstream,
        door(upstream.base_url, monkeypatch) as app,
    ):
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(ask(app, f"t{number}"))
    output = capsys.readouterr().out
    by_request: dict[str, set[str]] = {}
    for fact in facts(output):
        by_request.setdefault(fact["request_id"], set()).add(fact["tags"]["tenant"])
    assert sorted(map(sorted, by_request.values())) == [[f"t{number}"] for number in range(8)]
    assert [metric["Ok"] for metric in metrics(output)] == [1] * 8


async def test_a_request_that_a_snapshot_was_restored_for_is_told_so_and_the_next_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshot = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
    async with (
        provider(completion("a"), completion("a")) as upstream,
        door(upstream.base_url, monkeypatch, **snapshot) as app,
    ):
        first, second = [
            (await app.request({"prompt": "Why?"}, event_source="direct")).final[1]["cost"] for _ in range(2)
        ]
    assert [cost["components"]["lambda_restore"] for cost in (first, second)] == ["0.0000698999", "0"]
    assert "snapstart_cache_not_allocated" in first["unpriced"]


async def test_what_a_request_came_through_and_what_its_environment_has_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        provider(completion("a")) as upstream,
        door(upstream.base_url, monkeypatch, WEIR_EPHEMERAL_STORAGE_MB="1024") as app,
    ):
        cost = (await app.request({"prompt": "Why?"}, event_source="rest_api")).final[1]["cost"]
    started, completed = facts(capsys.readouterr().out)
    members = ("front", "ephemeral_storage_mb", "max_concurrency")
    assert [started[name] for name in members] == ["rest_api", 1024, 1]
    assert not set(members) & set(completed)  # each byte of a log is billed
    assert cost["components"]["api_gateway"] == "0.0000035"
    assert float(cost["components"]["lambda_ephemeral_storage"]) > 0
    assert cost["components"]["logs"] is None
