"""What is asked once and answered again: an `Idempotency-Key`, and the cache; a real table, a provider of bytes."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.functional.generate.door import BLOG_POST, Answer, Door, door, facts
from tests.functional.generate.scripted import END, HEAD, Provider, Step, chunk, completion, provider, text
from weir.access.admission import key_item, limits_item
from weir.access.answer_store import AnswerStore
from weir.access.answers import Claim, StoredAnswer, parts
from weir.access.api_keys import new_key
from weir.access.dynamodb import AccessStoreError, AccessTable
from weir.access.tenant_item import NANO, TenantLimits

from .conftest import Clock, Late

DOCUMENT = json.dumps(BLOG_POST)
HALVES = [DOCUMENT[:200], DOCUMENT[200:]]
ASK = {"prompt": "Write.", "schema": "blog_post"}
PRICES = json.dumps(
    {"models": [{"model": "test-model", "records": [{"prices": {"input": "1", "output": "1000"}}]}]}
)
KEYS = {
    tenant: new_key(bytes([number] * 42), tenant, "x", Clock().now)
    for number, tenant in enumerate(("acme", "globex"))
}


RESPONSE = {"input": "Write.", "text": {"format": {"type": "json_schema", "name": "blog_post"}}}


def response_events(answer: Answer) -> list[Any]:
    """The data of the events of `/v1/responses`; of a whole response, as its last event has it."""
    lines = answer.body.decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")] or [
        {"response": answer.json}
    ]


def spoil(dynamodb: Any) -> None:
    """Make the one cached document a wrong one behind its first value."""
    (item,) = dynamodb.scan(TableName="answers")["Items"]
    answer = StoredAnswer.unpack(item["piece"]["B"])
    assert answer is not None
    item["piece"]["B"] = replace(answer, text=json.dumps({**BLOG_POST, "slug": "Not A Slug"})).pack()
    dynamodb.put_item(TableName="answers", Item=item)


class Stack:
    """generate with an access table, and what its provider was asked."""

    def __init__(self, opened: Door, asked: Provider) -> None:
        self.door, self.asked = opened, asked

    async def post(
        self, body: Any = None, key: str | None = "k-1", tenant: str = "acme", path: str = "/v1/generations",
        accept: str = "text/event-stream", **headers: str,
    ) -> Answer:  # fmt: skip
        sent = {"authorization": f"Bearer {KEYS[tenant][0]}", "accept": accept, **headers}
        if key is not None:
            sent["idempotency-key"] = key
        return await self.door.request(ASK if body is None else body, headers=sent, path=path)

    async def asked_once(self) -> None:
        """Return when the provider was asked."""
        while not self.bought:  # noqa: ASYNC110  # the provider's list has no event
            await asyncio.sleep(0.01)

    @property
    def bought(self) -> int:
        return len(self.asked.requests)


@asynccontextmanager
async def stack(
    dynamodb: Any,
    monkeypatch: pytest.MonkeyPatch,
    *scripts: list[Step],
    limits: TenantLimits | None = None,
    **more: str,
) -> AsyncIterator[Stack]:
    monkeypatch.setattr("weir.access.dynamodb.TIMEOUT_S", 60.0)
    for _, kept in KEYS.values():
        dynamodb.put_item(TableName="access", Item=key_item(kept))
    if limits is not None:
        dynamodb.put_item(TableName="access", Item=limits_item("default", limits))
    settings = {
        "WEIR_ACCESS_TABLE": "access",
        "WEIR_ANSWERS_TABLE": "answers",
        "WEIR_PRICE_OVERRIDES": PRICES,
    }
    async with (
        provider(*scripts or (completion(*HALVES),)) as asked,
        door(asked.base_url, monkeypatch, **settings, **more) as opened,
    ):
        yield Stack(opened, asked)


def completed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [fact for fact in facts(capsys.readouterr().out) if fact["kind"] == "request.completed"]


@pytest.mark.parametrize(
    "body",
    [ASK, {"prompt": "Write."}, {**ASK, "release": "validated"}, {**ASK, "include": ["value", "result"]}],
    ids=["document", "text", "validated", "values"],
)
async def test_the_same_key_and_body_stream_the_same_answer_and_buy_it_once(
    body: dict[str, Any], dynamodb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stack(dynamodb, monkeypatch) as here:
        first, second = await here.post(body), await here.post(body)
        assert here.bought == 1
    assert second.text == first.text
    assert second.of("value") == first.of("value")
    assert second.of("result") == first.of("result")
    name, final = second.final
    assert (name, final["outcome"]) == ("done", "ok")
    usage = final["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (0, 0)
    bought, again = completed(capsys)
    assert final["replayed"] == {
        "answered_from": "idempotency_key", "request_id": bought["request_id"], "saved_usd": "0.005012",
    }  # fmt: skip
    assert "replayed" not in first.final[1] and "answered_from" not in bought
    assert (again["outcome"], again["attempts"], again["answered_from"]) == ("ok", [], "idempotency_key")
    assert again["saved"] == {"output_tokens": 5, "usd": "0.005012", "request_id": bought["request_id"]}
    assert again["tenant"] == "acme" and again["model_returned"] == "test-model"


async def test_a_whole_answer_and_a_stream_under_one_key_are_one_purchase(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stack(dynamodb, monkeypatch) as here:
        whole = await here.post(accept="application/json")
        again = await here.post(accept="application/json")
        streamed = await here.post()
        assert here.bought == 1
    assert whole.json["document"] == again.json["document"] == json.loads(streamed.text)
    assert again.json["replayed"]["request_id"] == whole.headers["x-request-id"]


@pytest.mark.parametrize("streams", [True, False])
async def test_a_chat_completion_is_given_again_streamed_and_whole(
    streams: bool, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "blog_post"}}
    body = {
        "messages": [{"role": "user", "content": "Write."}], "response_format": schema, "stream": streams,
        "stream_options": {"include_usage": True},
    }  # fmt: skip

    def content(answer: Answer) -> str:
        if not streams:
            return str(answer.json["choices"][0]["message"]["content"])
        events = [line[6:] for line in answer.body.decode().splitlines() if line.startswith("data: {")]
        return "".join(
            choice["delta"].get("content") or ""
            for event in events
            for choice in json.loads(event)["choices"]
        )

    async with stack(dynamodb, monkeypatch) as here:
        first, second = [await here.post(body, path="/v1/chat/completions") for _ in range(2)]
        assert here.bought == 1
    assert content(first) == content(second) and json.loads(content(first)) == BLOG_POST
    assert b'"replayed":{"answered_from":"idempotency_key"' in second.body


@pytest.mark.parametrize("streams", [True, False])
async def test_a_response_is_given_again_with_the_same_events(
    streams: bool, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stack(dynamodb, monkeypatch) as here:
        answers = [await here.post({**RESPONSE, "stream": streams}, path="/v1/responses") for _ in range(2)]
        assert here.bought == 1
    first, second = map(response_events, answers)
    for events in (first, second):
        assert json.loads(events[-1]["response"]["output"][0]["content"][0]["text"]) == BLOG_POST
    assert second[-1]["response"]["weir"]["replayed"]["answered_from"] == "idempotency_key"
    if streams:
        assert {event["type"] for event in first} == {event["type"] for event in second}
        assert [event["sequence_number"] for event in second] == list(range(len(second)))


@pytest.mark.parametrize("streams", [True, False])
async def test_calls_of_functions_are_given_again(
    streams: bool, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = {
        "index": 0,
        "id": "c-1",
        "type": "function",
        "function": {"name": "look_up", "arguments": '{"x":'},
    }
    rest = {"index": 0, "function": {"arguments": "1}"}}
    script = [
        HEAD,
        chunk({"tool_calls": [call]}),
        chunk({"tool_calls": [rest]}),
        *completion(finish="tool_calls")[1:],
    ]
    function = {"name": "look_up", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}
    body = {
        "messages": [{"role": "user", "content": "Look."}], "stream": streams,
        "tools": [{"type": "function", "function": function}],
    }  # fmt: skip

    def arguments(answer: Answer) -> str:
        data = [
            json.loads(line[6:]) for line in answer.body.decode().splitlines() if line.startswith("data: {")
        ]
        choices = [choice for event in data or [answer.json] for choice in event["choices"]]
        calls = (
            [
                call
                for choice in choices
                for call in choice.get("delta", choice.get("message"))["tool_calls"] or ()
            ]
            if not streams
            else [call for choice in choices for call in choice["delta"].get("tool_calls", ())]
        )
        assert choices[-1]["finish_reason"] == "tool_calls"
        return "".join(call["function"]["arguments"] for call in calls)

    async with stack(dynamodb, monkeypatch, script) as here:
        first, second = [await here.post(body, path="/v1/chat/completions") for _ in range(2)]
        assert here.bought == 1
    assert arguments(first) == arguments(second) == '{"x":1}'


@pytest.mark.parametrize(
    ("other", "status"), [({**ASK, "prompt": "Write!"}, 422), ({**ASK, "tags": {"a": "b"}}, 422)]
)
async def test_another_body_under_the_key_is_refused_and_nothing_is_bought(
    other: dict[str, Any], status: int, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stack(dynamodb, monkeypatch) as here:
        await here.post()
        refused = await here.post(other)
        assert (refused.status, here.bought) == (status, 1)
        assert "expected the request that first came under it" in refused.problem["detail"]
        chat = {"messages": [{"role": "user", "content": "Write."}]}
        refused = await here.post(chat, path="/v1/chat/completions")
        assert (refused.status, here.bought) == (422, 1)


async def test_tenants_do_not_share_keys(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stack(dynamodb, monkeypatch) as here:
        await here.post()
        other = await here.post({"prompt": "Another."}, tenant="globex")
        assert (other.final[0], here.bought) == ("done", 2)


async def test_a_repeat_while_the_first_runs_is_told_to_come_again_and_buys_nothing(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = asyncio.Event()
    slow = [HEAD, text(HALVES[0]), go_on, *completion(HALVES[1])[1:]]
    async with stack(dynamodb, monkeypatch, slow) as here:
        running = asyncio.create_task(here.post())
        await here.asked_once()
        early = await here.post()
        assert (early.status, early.headers["retry-after"], early.headers["x-should-retry"]) == (
            409,
            "2",
            "true",
        )
        go_on.set()
        first = await running
        late = await here.post()
        assert (late.text, here.bought) == (first.text, 1)


async def test_many_repeats_at_once_buy_once(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = asyncio.Event()
    async with stack(dynamodb, monkeypatch, [HEAD, go_on, *completion(*HALVES)[1:]]) as here:
        table = here.door.app._generate.repeats()._store._table  # type: ignore[misc]  # there is a table
        turn, update = asyncio.Lock(), table.update

        async def one_at_a_time(
            request: Any,
        ) -> Any:  # as DynamoDB does for one item, and moto's threads do not
            async with turn:
                return await update(request)

        monkeypatch.setattr(table, "update", one_at_a_time)
        asking = [asyncio.create_task(here.post()) for _ in range(8)]
        for number, one in enumerate(asyncio.as_completed(asking), 1):
            assert (await one).status == (409 if number < 8 else 200)
            if number == 7:
                go_on.set()
        assert here.bought == 1


@pytest.mark.parametrize(
    ("script", "body", "outcome"),
    [
        (completion('{"title": 5'), ASK, "invalid_output"),
        (completion(DOCUMENT[:100], finish="length"), ASK, "truncated_output"),
        (completion("half a", finish="length"), {"prompt": "Write."}, "truncated_output"),
        (completion('{"title": "n', finish="content_filter"), ASK, "filtered"),
        ([HEAD, text("half"), "close"], {"prompt": "Write."}, "upstream_error"),
        ([HEAD, text("half"), END], {"prompt": "Write."}, "incomplete_stream"),
    ],
)
async def test_a_failure_that_was_paid_for_is_the_answer_and_is_not_bought_again(
    script: list[Step], body: dict[str, Any], outcome: str, dynamodb: Any, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    async with stack(dynamodb, monkeypatch, script) as here:
        first, second = await here.post(body), await here.post(body)
        assert here.bought == 1
    assert second.text == first.text and second.of("value") == first.of("value")
    assert first.final[1]["outcome"] == second.final[1]["outcome"] == outcome
    assert first.final[1].get("detail") == second.final[1].get("detail")
    assert first.final[1].get("violations") == second.final[1].get("violations")
    assert [fact["outcome"] for fact in completed(capsys)] == [outcome] * 2


async def test_where_nothing_was_bought_the_key_is_free_again(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[Step] = [b"HTTP/1.1 400 X\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"]
    async with stack(dynamodb, monkeypatch, refused, completion(*HALVES)) as here:
        assert (await here.post()).status == 400
        assert (await here.post({**ASK, "max_cost": "0.000001"}, key="k-2")).status == 429
        assert (await here.post({**ASK, "prompt": "Another."}, key="k-2")).final[0] == "done"
        assert (await here.post()).final[0] == "done"
        assert here.bought == 3


async def test_a_violation_that_was_retried_is_one_document_when_it_is_given_again(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {**BLOG_POST, "conclusion": 5}
    body = {**ASK, "on_violation": "retry"}
    async with stack(dynamodb, monkeypatch, completion(json.dumps(wrong)), completion(DOCUMENT)) as here:
        first, second = await here.post(body, accept="application/json"), await here.post(body)
        assert here.bought == 2
    assert first.json["document"] == json.loads(second.text) == BLOG_POST
    assert not second.of("retry")


async def test_a_claim_whose_process_was_killed_expires_and_is_taken_over(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stack(dynamodb, monkeypatch) as here:
        await here.post()
        items = dynamodb.scan(TableName="answers")["Items"]
        (claim,) = [item for item in items if "body" in item]
        for item in items:  # what a kill leaves: the claim alone
            if "piece" in item:
                dynamodb.delete_item(TableName="answers", Key={name: item[name] for name in ("pk", "sk")})
        assert (await here.post()).status == 409
        dynamodb.put_item(TableName="answers", Item={**claim, "runs_until": {"N": "1"}})
        assert (await here.post()).final[0] == "done"
        assert (await here.post()).final[1]["replayed"] and here.bought == 2


@pytest.mark.parametrize("how", ["hung up", "nobody can say"])
async def test_a_key_that_was_being_taken_when_its_request_ended_is_free(
    how: str, named_table: Callable[[str], AccessTable], clock: Clock
) -> None:
    table = named_table("answers")
    update, store = table.update, AnswerStore(table, clock)
    late = Late(table, None if how == "hung up" else AccessStoreError("the table: got ReadTimeout"))
    table.update = late  # type: ignore[method-assign]
    runs_until = clock() + timedelta(minutes=14)
    taking = asyncio.create_task(store.claim("acme", "k", "body", "r-1~1", runs_until))
    await late.written.wait()
    table.update = update  # type: ignore[method-assign]
    if how == "hung up":
        taking.cancel()
    with pytest.raises((AccessStoreError, asyncio.CancelledError)):
        await taking
    again = await store.claim("acme", "k", "body", "r-2~2", runs_until)
    assert isinstance(again, Claim) and again.holder == "r-2~2"


async def test_after_a_day_a_key_is_new_though_its_items_are_still_there(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stack(dynamodb, monkeypatch) as here:
        await here.post()
        for item in dynamodb.scan(TableName="answers")["Items"]:
            assert 86_300 < int(item["expires"]["N"]) - Clock.real() <= 86_400
            dynamodb.put_item(TableName="answers", Item={**item, "expires": {"N": "1"}})
        await here.post({"prompt": "Another."})
        assert here.bought == 2


async def test_an_answer_larger_than_an_item_is_kept_in_parts(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weir.access.answers.PART_BYTES", 100)
    async with stack(dynamodb, monkeypatch) as here:
        first, second = await here.post(), await here.post()
        assert (second.text, here.bought) == (first.text, 1)
        kept = [item for item in dynamodb.scan(TableName="answers")["Items"] if "piece" in item]
        assert len(kept) > 3


async def test_an_answer_of_a_megabyte_fits_into_items_as_large_as_they_may_be(
    named_table: Any, clock: Clock
) -> None:
    store = AnswerStore(named_table("answers"), clock)
    text = random.Random(1).randbytes(500_000).hex()
    answer = StoredAnswer("r", "ok", text, True, None, "m", 1, None)
    await store.keep_cached("acme", "CACHE#x", "r~1", answer, timedelta(minutes=1))
    assert await store.cached("acme", "CACHE#x") == answer
    clock.move(minutes=1)
    assert await store.cached("acme", "CACHE#x") is None
    with pytest.raises(ValueError, match="expected at most 6960000 bytes"):
        parts("acme", "CACHE#x", "r~1", bytes(7_000_000), 1)


@pytest.mark.parametrize(
    "item",
    [
        {"piece": {"S": "text"}}, {"piece": {"B": b"not compressed"}}, {"count": {"N": "99"}}, {"count": {"S": "x"}},
        {"holder": {"N": "1"}}, {"piece": None},
    ],
)  # fmt: skip
async def test_an_answer_of_another_shape_is_none_and_the_key_is_taken_over_when_its_time_is_up(
    item: dict[str, Any], dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stack(dynamodb, monkeypatch) as here:
        await here.post()
        for kept in dynamodb.scan(TableName="answers")["Items"]:
            changed = {**kept, **item} if "piece" in kept else {**kept, "runs_until": {"N": "1"}}
            changed = {name: value for name, value in changed.items() if value is not None}
            dynamodb.put_item(TableName="answers", Item=changed)
        assert (await here.post()).final[0] == "done"
        assert here.bought == 2


async def test_of_prompts_and_keys_only_hashes_are_kept(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {**ASK, "prompt": "a word that is nowhere else"}
    async with stack(dynamodb, monkeypatch, WEIR_RESPONSE_CACHE_S="60") as here:
        await here.post(body, key="a-key-that-is-nowhere-else")
        kept = str(dynamodb.scan(TableName="answers"))
    assert "nowhere" not in kept and "nowhere" not in capsys.readouterr().out


@pytest.mark.parametrize("key", ["", "k" * 256, "k\x01", "ké"])
async def test_what_is_no_key_is_refused(key: str, dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stack(dynamodb, monkeypatch) as here:
        refused = await here.post(key=key)
        assert (refused.status, here.bought) == (400, 0)


async def test_with_the_table_down_a_key_is_refused_and_a_request_without_one_is_served(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stack(dynamodb, monkeypatch, WEIR_RESPONSE_CACHE_S="60") as here:
        dynamodb.delete_table(TableName="answers")
        refused = await here.post()
        assert (refused.status, refused.headers["x-should-retry"], here.bought) == (503, "true", 0)
        assert (await here.post(key=None)).final[0] == "done"


@pytest.mark.parametrize("move", [{"hours": -3}, {"days": -2}, {"hours": 23}])
async def test_a_clock_that_jumps_frees_no_key_that_is_answered(
    move: dict[str, float], named_table: Any, clock: Clock
) -> None:
    store = AnswerStore(named_table("answers"), clock)
    answer = StoredAnswer("r", "ok", "text", True, None, "m", 1, None)
    claim = await store.claim("acme", "k", "body", "r~1", clock() + timedelta(minutes=5))
    assert isinstance(claim, Claim)
    assert await store.claim("acme", "k", "body", "r~2", clock() + timedelta(minutes=5)) == "in flight"
    await store.keep_once("acme", "k", claim, answer)
    clock.move(**move)
    assert await store.claim("acme", "k", "body", "r~3", clock() + timedelta(minutes=5)) == answer
    assert await store.claim("acme", "k", "other", "r~4", clock() + timedelta(minutes=5)) == "another body"


# ---- The cache ----------------------------------------------------------------------------------------------------


async def test_without_the_setting_nothing_is_cached(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stack(dynamodb, monkeypatch) as here:
        await here.post(key=None)
        await here.post(key=None)
        assert here.bought == 2 and dynamodb.scan(TableName="answers")["Items"] == []


async def test_a_document_out_of_the_cache_costs_no_token_and_no_budget_and_is_on_record(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = TenantLimits(monthly_budget=NANO, requests_per_minute=100)
    async with stack(dynamodb, monkeypatch, limits=limits, WEIR_RESPONSE_CACHE_S="60") as here:
        first = await here.post({**ASK, "max_output_tokens": 200}, key=None)
        again = {
            **ASK,
            "max_output_tokens": 200,
            "tags": {"a": "b"},
            "include": ["value"],
            "timeout_ms": 9000,
        }
        second = await here.post(again, key=None)
        assert here.bought == 1
    assert [item["path"] for item in second.of("value")] == [item["path"] for item in first.of("value")]
    assert second.final[1]["replayed"]["answered_from"] == "cache"
    _, fact = completed(capsys)
    assert (fact["answered_from"], fact["attempts"], fact["saved"]["usd"]) == ("cache", [], "0.005012")
    (item,) = [item for item in dynamodb.scan(TableName="access")["Items"] if "holds" in item]
    assert item["requests"] == {"N": "1"}  # of the minute: one that asked the model


@pytest.mark.parametrize(
    ("body", "headers", "tenant"),
    [
        ({**ASK, "prompt": "Write!"}, {}, "acme"),
        ({**ASK, "temperature": 0.5}, {}, "acme"),
        ({**ASK, "extra_body": {"x": 1}}, {}, "acme"),
        ({**ASK, "max_output_tokens": 99}, {}, "acme"),
        (ASK, {"cache-control": "no-cache"}, "acme"),
        (ASK, {}, "globex"),
    ],
)
async def test_what_changes_the_answer_or_who_asks_is_bought(
    body: dict[str, Any], headers: dict[str, str], tenant: str, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stack(dynamodb, monkeypatch, WEIR_RESPONSE_CACHE_S="60") as here:
        await here.post(key=None)
        await here.post(body, key=None, tenant=tenant, **headers)
        assert here.bought == 2


@pytest.mark.parametrize(
    ("script", "body"),
    [
        (completion('{"title": 5'), ASK),
        (completion(DOCUMENT[:100], finish="length"), ASK),
        (completion("text"), {"prompt": "Write."}),
    ],
)
async def test_only_documents_that_have_validated_are_cached(
    script: list[Step], body: dict[str, Any], dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stack(dynamodb, monkeypatch, script, WEIR_RESPONSE_CACHE_S="60") as here:
        await here.post(body, key=None)
        await here.post(body, key=None)
        assert here.bought == 2 and dynamodb.scan(TableName="answers")["Items"] == []


async def test_a_cached_document_that_no_longer_validates_is_bought_again(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A validator of the schema's own may have changed, which no JSON Schema shows."""
    async with stack(dynamodb, monkeypatch, WEIR_RESPONSE_CACHE_S="60") as here:
        await here.post(key=None)
        spoil(dynamodb)
        again = await here.post(key=None)
        assert json.loads(again.text) == BLOG_POST and here.bought == 2


async def test_a_response_has_no_event_of_a_cached_document_that_no_longer_validates(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stack(dynamodb, monkeypatch, WEIR_RESPONSE_CACHE_S="60") as here:
        for bought in (1, 2):
            answer = await here.post({**RESPONSE, "stream": True}, key=None, path="/v1/responses")
            assert here.bought == bought
            events = response_events(answer)
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
            assert json.loads(events[-1]["response"]["output"][0]["content"][0]["text"]) == BLOG_POST
            spoil(dynamodb)


async def test_a_model_that_the_tenant_may_no_longer_ask_is_refused_out_of_the_cache_too(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stack(dynamodb, monkeypatch, WEIR_RESPONSE_CACHE_S="60") as here:
        await here.post(key=None)
        none = TenantLimits(models=frozenset({"other"}))
        dynamodb.put_item(TableName="access", Item=limits_item("acme", none))
        here.door.app._generate.gate._admission._kept.clear()  # type: ignore[union-attr]  # there is a table
        assert (await here.post(key=None)).status == 403
