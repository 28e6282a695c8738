"""What is set aside for a request is no less than what its tokens are then billed at: otherwise a budget is not hard."""

import asyncio
import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.functional.generate.door import BLOG_POST, Answer, door, facts
from tests.functional.generate.scripted import DONE, END, HEAD, chunk, completion, provider, text
from tests.functional.generate.scripted import status as unwell
from weir.access import tenant_item
from weir.access.admission import key_item, limits_item
from weir.access.api_keys import new_key
from weir.access.tenant_item import NANO, TenantLimits, Usage

KEY, KEPT = new_key(bytes(range(42)), "acme", "checkout", datetime(2026, 11, 28, tzinfo=UTC))
HEADERS = {"authorization": f"Bearer {KEY}"}
LIMITS = TenantLimits(monthly_budget=1000 * NANO)
STANDARD: dict[str, Any] = {"prices": {"input": "10", "cache_write": "12.5", "output": "20"}}
PRIORITY: dict[str, Any] = {"tier": "priority", "prices": {"input": "100", "output": "200"}}
PRICES = json.dumps({"models": [{"model": "test-model", "records": [STANDARD, PRIORITY]}]})
SETTINGS = {
    "WEIR_ACCESS_TABLE": "access",
    "WEIR_PRICE_OVERRIDES": PRICES,
    "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency",
}
IMAGE = {"type": "image", "data": "aGVsbG8=", "media_type": "image/png"}
TOKENS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens")


def usage_of(dynamodb: Any) -> Usage:
    place = tenant_item.key("acme", datetime.now(UTC))
    return Usage.read(dynamodb.get_item(TableName="access", Key=place, ConsistentRead=True)["Item"])


def counted(prompt_tokens: int, **members: Any) -> list[Any]:
    """A whole answer."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 10, "total_tokens": prompt_tokens + 10}
    details = members.pop("prompt_tokens_details", None)
    usage |= {"prompt_tokens_details": details} if details else {}
    return [HEAD, text("Hello"), chunk(finish="stop"), chunk(usage=usage, **members), DONE, END]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"prompt": "x" * 3000}, counted(750)),
        ({"prompt": "\u6c34" * 3000}, counted(3000)),
        ({"prompt": "\u0e19" * 3000}, counted(3000)),
        ({"messages": [{"role": "user", "content": [IMAGE, {"type": "text", "text": "x"}]}]}, counted(4_800)),
        ({"prompt": "x", "service_tier": "priority"}, counted(1, service_tier="priority")),
        ({"prompt": "x", "extra_body": {"service_tier": "priority"}}, counted(1, service_tier="priority")),
        ({"prompt": "x" * 6000, "service_tier": "priority"}, counted(1500)),
        ({"prompt": "x" * 6000}, counted(2000, prompt_tokens_details={"cache_write_tokens": 2000})),
    ],
    ids=[
        "english", "a script of a token a character", "another one", "an image", "a dear tier",
        "a dear tier by another member", "a tier that it is not served in", "written to a cache",
    ],
)  # fmt: skip
async def test_no_less_is_set_aside_than_the_tokens_are_billed_at(
    asked: dict[str, Any], answer: list[Any], dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weir.access.dynamodb.TIMEOUT_S", 60.0)
    for item in (key_item(KEPT), limits_item("acme", LIMITS)):
        dynamodb.put_item(TableName="access", Item=item)
    go, seen = asyncio.Event(), Answer()
    async with (
        provider([*answer[:2], go, *answer[2:]]) as upstream,
        door(upstream.base_url, monkeypatch, **SETTINGS) as opened,
    ):
        body = {**asked, "max_output_tokens": 10}
        asking = asyncio.create_task(opened.request(body, headers=HEADERS, answer=seen))
        await seen.until(b"Hello")
        held = usage_of(dynamodb)
        go.set()
        kind, final = (await asking).final
    assert kind == "done"
    assert not any(reason.startswith("no_price:tokens") for reason in final["cost"]["unpriced"])
    billed = sum(Decimal(final["cost"]["components"][name] or 0) for name in TOKENS)
    assert held.month == sum(amount for amount, _, _ in held.holds.values())
    assert billed > 0 and held.month >= billed * NANO


@pytest.mark.parametrize("answering", ["test-model", "a-model-without-a-price"])
async def test_what_has_no_price_is_never_free(
    answering: str, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weir.access.dynamodb.TIMEOUT_S", 60.0)
    for item in (key_item(KEPT), limits_item("acme", LIMITS)):
        dynamodb.put_item(TableName="access", Item=item)
    answer = counted(1, model=answering)
    async with (
        provider(answer) as upstream,
        door(upstream.base_url, monkeypatch, **SETTINGS) as opened,
    ):
        done = await opened.request({"prompt": "x", "max_output_tokens": 1000}, headers=HEADERS)
    total = Decimal(done.final[1]["cost"]["total"])
    after = usage_of(dynamodb)
    assert after.holds == {}
    if answering == "test-model":
        assert after.month == math.ceil(total * NANO) > 0
    else:  # all that was set aside: a thousand tokens of the asked model
        assert after.month >= 1000 * 20 * NANO // 1_000_000 > total * NANO


async def test_a_second_question_goes_to_no_model_that_nothing_was_set_aside_for(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fallback has fallbacks of its own, which are not those of the model that was asked for."""
    monkeypatch.setattr("weir.access.dynamodb.TIMEOUT_S", 60.0)
    for item in (key_item(KEPT), limits_item("acme", LIMITS)):
        dynamodb.put_item(TableName="access", Item=item)
    wrong = json.dumps({**BLOG_POST, "tags": "none"})
    async with (
        provider(unwell(402, {})) as first,
        provider(completion(wrong), unwell(402, {})) as second,
        provider(completion(json.dumps(BLOG_POST))) as third,
    ):
        models = {
            "first": {"base_url": first.base_url, "model": "test-model", "fallbacks": ["second"]},
            "second": {"base_url": second.base_url, "model": "test-model", "fallbacks": ["third"]},
            "third": {"base_url": third.base_url, "model": "dear-model"},
        }
        settings = {**SETTINGS, "WEIR_MODELS": json.dumps({"models": models})}
        async with door(first.base_url, monkeypatch, **settings) as opened:
            body = {"prompt": "x", "schema": "blog_post", "on_violation": "retry", "max_output_tokens": 1000}
            answer = await opened.request(body, headers=HEADERS)
        assert answer.final[0] == "error"
        assert [len(each.requests) for each in (first, second, third)] == [2, 2, 0]
    (fact,) = [fact for fact in facts(capsys.readouterr().out) if fact["kind"] == "request.completed"]
    assert [attempt["route"] for attempt in fact["attempts"]] == ["first", "second", "second", "first"]


async def test_what_is_known_to_be_more_than_was_set_aside_is_spent_though_not_all_is_known(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call broke, and may have been served; the second was billed for more than anybody could expect."""
    monkeypatch.setattr("weir.access.dynamodb.TIMEOUT_S", 60.0)
    for item in (key_item(KEPT), limits_item("acme", LIMITS)):
        dynamodb.put_item(TableName="access", Item=item)
    async with (
        provider(["reset"], counted(100_000)) as upstream,
        door(upstream.base_url, monkeypatch, **SETTINGS) as opened,
    ):
        done = await opened.request({"prompt": "x", "max_output_tokens": 10}, headers=HEADERS)
    cost = done.final[1]["cost"]
    assert "input_tokens_unknown" in cost["unpriced"] and Decimal(cost["total"]) > 1
    assert usage_of(dynamodb).month == math.ceil(Decimal(cost["total"]) * NANO)
