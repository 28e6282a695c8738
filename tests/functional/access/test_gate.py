"""Who gets in to generate, and what they may spend: OpenAI's SDK with an own key, a real table, a provider of bytes."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from infra.local.endpoints.http_server import HttpServer
from tests.functional.generate.door import door, facts, set_policy
from tests.functional.generate.scripted import Provider, completion, provider
from tests.functional.generate.scripted import status as unwell
from weir.access import tenant_item
from weir.access.admission import key_item, limits_item
from weir.access.api_keys import ApiKey, new_key
from weir.access.tenant_item import NANO, TenantLimits
from weir.generate import question
from weir.providers.protocols import build_request

ASK: list[Any] = [{"role": "user", "content": "Write."}]
NOW = datetime(2026, 11, 28, tzinfo=UTC)
PRICES = json.dumps(
    {"models": [{"model": "test-model", "records": [{"prices": {"input": "1", "output": "1000"}}]}]}
)
TABLE = {"WEIR_ACCESS_TABLE": "access", "WEIR_PRICE_OVERRIDES": PRICES}
KEY, KEPT = new_key(bytes(range(42)), "acme", "checkout", NOW)


def put(dynamodb: Any, *keys: ApiKey, **limits: TenantLimits) -> None:
    for item in (*map(key_item, keys), *(limits_item(name, each) for name, each in limits.items())):
        dynamodb.put_item(TableName="access", Item=item)


@asynccontextmanager
async def sdk(
    monkeypatch: pytest.MonkeyPatch, api_key: str = KEY
) -> AsyncIterator[tuple[AsyncOpenAI, Provider]]:
    monkeypatch.setattr("weir.access.dynamodb.TIMEOUT_S", 60.0)
    settings = {
        "WEIR_ACCESS_TABLE": "access",
        "WEIR_PRICE_OVERRIDES": PRICES,
        # No cold start is billed to the first request: this process is as old as the tests before it.
        "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency",
    }
    async with (
        provider(completion("Hello")) as asked,
        door(asked.base_url, monkeypatch, **settings) as opened,
    ):
        server = HttpServer(opened.app)  # type: ignore[arg-type]
        server.start()
        client = AsyncOpenAI(base_url=f"{server.url}/v1", api_key=api_key, max_retries=0)
        try:
            yield client, asked
        finally:
            await client.close()
            await server.close()


async def ask(client: AsyncOpenAI, **members: Any) -> Any:
    return await client.chat.completions.create(
        **{"model": "test-model", "messages": ASK, "max_completion_tokens": 10, **members}
    )


def completed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return next(fact for fact in facts(capsys.readouterr().out) if fact["kind"] == "request.completed")


async def test_a_key_of_this_stack_gets_in_and_its_tenant_is_on_record_whatever_a_tag_says(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(dynamodb, KEPT)
    async with sdk(monkeypatch) as (client, _):
        await ask(client, extra_body={"tags": {"tenant": "globex"}})
    fact = completed(capsys)
    assert (fact["tenant"], fact["tags"]) == ("acme", {"tenant": "globex"})


@pytest.mark.parametrize(
    ("api_key", "kept"),
    [
        ("sk-another-shape", KEPT),
        (KEY, KEPT._replace(secret_sha256="0" * 64)),
        (KEY, None),
        (KEY, KEPT._replace(expires_at=NOW)),
        (KEY, KEPT._replace(revoked_at=NOW)),
        # Foreign items in a key's place: none of them is one.
        (KEY, KEPT._replace(secret_sha256="é")),
        (KEY, KEPT._replace(tenant="")),
        (KEY, KEPT._replace(tenant="acme#globex")),
        # Of another stack: no such id in this one's table.
        (new_key(bytes(range(1, 43)), "acme", "x", NOW)[0], KEPT),
    ],
)
async def test_who_is_not_known_is_refused_costs_nothing_upstream_and_is_on_record(
    api_key: str,
    kept: ApiKey | None,
    dynamodb: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    put(dynamodb, *([kept] if kept else []))
    async with sdk(monkeypatch, api_key) as (client, asked):
        with pytest.raises(openai.AuthenticationError) as caught:
            await ask(client)
        assert caught.value.code == "unauthorized" and api_key not in str(caught.value)
        assert not asked.requests
    assert (completed(capsys)["outcome"], KEPT.secret_sha256 in capsys.readouterr().out) == (
        "unauthorized",
        False,
    )


async def test_a_budget_refuses_before_the_call_and_is_settled_after_it(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ten tokens of output may cost a cent, and five were bought: so the second request still fits, the third does not.
    put(dynamodb, KEPT, acme=TenantLimits(monthly_budget=int(NANO * 0.0155)))
    async with sdk(monkeypatch) as (client, asked):
        await ask(client)
        await ask(client)
        with pytest.raises(openai.RateLimitError) as caught:
            await ask(client)
        error = caught.value
        assert error.code == "budget_exceeded" and "budget of the month" in str(error)
        assert error.response.headers["x-should-retry"] == "false"
        assert int(error.response.headers["retry-after"]) > 3600
        assert len(asked.requests) == 2
    (item,) = [item for item in dynamodb.scan(TableName="access")["Items"] if "holds" in item]
    assert item["holds"] == {"M": {}} and 10_000_000 <= int(item["month"]["N"]) < 15_500_000


@pytest.mark.parametrize(
    ("limits", "members", "kind", "code"),
    [
        (TenantLimits(models=frozenset({"other"})), {}, openai.PermissionDeniedError, "unauthorized"),
        (TenantLimits(models=frozenset()), {}, openai.PermissionDeniedError, "unauthorized"),
        (TenantLimits(requests_per_minute=0), {}, openai.RateLimitError, "rate_limited"),
        (TenantLimits(tokens_per_minute=0), {}, openai.RateLimitError, "rate_limited"),
        (TenantLimits(max_output_tokens=0), {}, openai.RateLimitError, "rate_limited"),
        (TenantLimits(), {"extra_body": {"max_cost": "0"}}, openai.RateLimitError, "budget_exceeded"),
        (TenantLimits(concurrent_requests=0), {}, openai.RateLimitError, "rate_limited"),
        (TenantLimits(daily_budget=0), {}, openai.RateLimitError, "budget_exceeded"),
        (TenantLimits(), {"extra_body": {"max_cost": "0.000001"}}, openai.RateLimitError, "budget_exceeded"),
    ],
)
async def test_each_limit_refuses_with_its_reason_and_nothing_is_bought(
    limits: TenantLimits, members: dict[str, Any], kind: type[openai.APIStatusError], code: str,
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    put(dynamodb, KEPT, acme=limits)
    async with sdk(monkeypatch) as (client, asked):
        with pytest.raises(kind) as caught:
            await ask(client, **members)
        assert caught.value.code == code and "expected" in str(caught.value)
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert not asked.requests


@pytest.mark.parametrize(
    ("may", "max_cost", "status", "asked"),
    [
        (None, None, 200, ["m-1", "m-2"]),
        (frozenset({"first"}), None, 503, ["m-1"]),
        (None, "0.0001", 429, []),
        (None, "0.05", 503, ["m-1"]),  # the second may cost ten cents
        (None, "0.5", 200, ["m-1", "m-2"]),
        (frozenset({"first"}), "0.05", 503, ["m-1"]),
    ],
)
async def test_a_model_that_stands_in_is_one_that_the_tenant_may_ask_and_max_cost_has_room_for(
    may: frozenset[str] | None, max_cost: str | None, status: int, asked: list[str],
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    put(dynamodb, KEPT, acme=TenantLimits(models=may, monthly_budget=NANO))
    prices = [
        {"model": model, "records": [{"prices": {"input": "1", "output": output}}]}
        for model, output in (("m-1", "1"), ("m-2", "100"))
    ]
    body = {"prompt": "x", "max_output_tokens": 1000, **({"max_cost": max_cost} if max_cost else {})}
    async with provider(unwell(503, {})) as down, provider(completion("Hello")) as up:
        models = {
            "first": {"base_url": down.base_url, "model": "m-1", "fallbacks": ["second"]},
            "second": {"base_url": up.base_url, "model": "m-2"},
        }
        settings = {
            "WEIR_MODELS": json.dumps({"models": models}),
            "WEIR_PRICE_OVERRIDES": json.dumps({"models": prices}),
        }
        async with door(down.base_url, monkeypatch, **{**TABLE, **settings}) as opened:
            answer = await opened.request(body, headers={"authorization": f"Bearer {KEY}"})
        sent = [request["model"] for request in (*down.requests, *up.requests)]
        assert (answer.status, list(dict.fromkeys(sent))) == (status, asked)


@pytest.mark.parametrize("expires_at", ["2020-01-01T00:00:00", "2020-01-01", "soon", ""])
async def test_an_expiry_of_whatever_shape_opens_nothing_and_is_no_error_of_ours(
    expires_at: str, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = {**key_item(KEPT), "expires_at": {"S": expires_at}}
    dynamodb.put_item(TableName="access", Item=item)
    async with sdk(monkeypatch) as (client, asked):
        with pytest.raises(openai.AuthenticationError):
            await ask(client)
        assert not asked.requests


@pytest.mark.parametrize(("max_cost", "status"), [("0", 429), ("0.000001", 429), ("1", 200)])
async def test_a_callers_own_limit_holds_without_a_table(
    max_cost: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"prompt": "x", "max_output_tokens": 10, "max_cost": max_cost}
    async with (
        provider(completion("Hello")) as asked,
        door(asked.base_url, monkeypatch, WEIR_PRICE_OVERRIDES=PRICES) as opened,
    ):
        answer = await opened.request(body)
        assert answer.status == status and len(asked.requests) == (status == 200)
        if status == 429:
            assert answer.problem["outcome"] == "budget_exceeded"
            assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("POST", "/v1/chat/completions", {"idempotency-key": "k" * 256}, b"{}", 400),
        ("POST", "/v1/chat/completions", {"idempotency-key": ""}, b"{}", 400),
        ("POST", "/v1/responses", {"idempotency-key": "a\tb"}, b"{}", 400),
        ("POST", "/v1/chat/completions", {}, b" " * 1_100_000, 413),
        ("GET", "/v1/chat/completions", {}, b"", 405),
        ("POST", "/v1/models", {}, b"", 405),
    ],
)
async def test_what_is_refused_before_a_body_is_read_is_an_sdks_error_too(
    method: str, path: str, headers: dict[str, str], body: bytes, status: int,
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    put(dynamodb, KEPT)
    headers = {"authorization": f"Bearer {KEY}", **headers}
    async with (
        provider(completion("Hello")) as asked,
        door(asked.base_url, monkeypatch, **TABLE, WEIR_ANSWERS_TABLE="answers") as opened,
    ):
        answer = await opened.request(body, method=method, path=path, headers=headers)
        assert (answer.status, answer.json["error"]["code"]) == (status, "bad_request")
        assert answer.headers["x-should-retry"] == "false" and not asked.requests


class SlowWrites:
    """A table whose writes wait until a test lets them be answered."""

    def __init__(self, send: Callable[[httpx.Request], Awaitable[httpx.Response]]) -> None:
        self._send = send
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.headers["x-amz-target"].endswith("UpdateItem"):
            self.asked.set()
            await self.go_on.wait()
        return await self._send(request)


@pytest.mark.parametrize(("budget", "status"), [(NANO, 200), (1, 429)])
async def test_the_provider_is_connected_to_while_the_budget_is_asked_and_sent_nothing_before_its_answer(
    budget: int, status: int, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(dynamodb, KEPT, acme=TenantLimits(monthly_budget=budget))
    headers = {"authorization": f"Bearer {KEY}"}
    async with provider(completion("Hello")) as asked, door(asked.base_url, monkeypatch, **TABLE) as opened:
        gate = opened.app._generate.gate
        assert gate is not None, "there is a table"
        table = gate._admission._table
        table._send = slow = SlowWrites(table._send)
        asking = asyncio.create_task(opened.request({"prompt": "x", "max_output_tokens": 1}, headers=headers))
        async with asyncio.timeout(5):
            await slow.asked.wait()
            await asked.connected.wait()
        assert not asked.requests
        slow.go_on.set()
        assert (await asking).status == status
        assert (asked.connections, len(asked.requests)) == (1, 1 if status == 200 else 0)


async def test_the_providers_request_is_built_while_the_table_is_waited_for(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(dynamodb, KEPT, acme=TenantLimits(monthly_budget=NANO))
    headers, order = {"authorization": f"Bearer {KEY}"}, []
    async with provider(completion("Hello")) as asked, door(asked.base_url, monkeypatch, **TABLE) as opened:
        gate = opened.app._generate.gate
        assert gate is not None, "there is a table"
        table = gate._admission._table
        send = table._send

        async def noted(request: httpx.Request) -> httpx.Response:
            order.append(request.headers["x-amz-target"].partition(".")[2])
            answer = await send(request)
            order.append("answered")
            return answer

        def built(*arguments: Any) -> Any:
            order.append("request")
            return build_request(*arguments)

        table._send = noted
        monkeypatch.setattr(question, "build_request", built)
        for _ in range(2):
            answer = await opened.request({"prompt": "x", "max_output_tokens": 1}, headers=headers)
            assert answer.status == 200
    assert order[:3] == ["BatchGetItem", "answered", "UpdateItem"]
    assert order.count("BatchGetItem") == 1
    reserved = order.index("request", order.index("request") + 1)  # of the second: the first begins a month
    assert order[reserved - 1 : reserved + 2] == ["UpdateItem", "request", "answered"]
    assert order.count("request") == 2, "it is built once"


async def test_who_is_not_known_has_no_connection_opened(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sdk(monkeypatch) as (client, asked):
        with pytest.raises(openai.AuthenticationError):
            await ask(client)
        assert not asked.connections


async def test_the_models_are_told_to_who_is_known_and_are_those_that_their_tenant_may_ask(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(dynamodb, KEPT)
    async with sdk(monkeypatch) as (client, _):
        assert [model.id async for model in client.models.list()] == ["test-model"]
        assert completed(capsys)["tenant"] == "acme"
    put(dynamodb, acme=TenantLimits(models=frozenset({"another"})))
    async with sdk(monkeypatch) as (client, _):
        assert [model.id async for model in client.models.list()] == []
    async with sdk(monkeypatch, "sk-of-somebody-else") as (client, _):
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.models.list()
        assert caught.value.code == "unauthorized"


async def test_a_tenants_cap_goes_out_in_place_of_a_larger_wish(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(dynamodb, KEPT, default=TenantLimits(max_output_tokens=7))
    async with sdk(monkeypatch) as (client, asked):
        await ask(client, max_completion_tokens=500)
        sent = asked.requests[0]
        assert sent.get("max_completion_tokens", sent.get("max_tokens")) == 7


async def test_a_failed_call_gives_back_what_was_set_aside(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(dynamodb, KEPT, acme=TenantLimits(monthly_budget=NANO))
    async with sdk(monkeypatch) as (client, asked):
        asked.base_url = ""
        with pytest.raises(openai.BadRequestError):
            await ask(client, extra_body={"response_format": {"type": "grammar"}})
    assert not [item for item in dynamodb.scan(TableName="access")["Items"] if "holds" in item]


@pytest.mark.parametrize(("schema", "status"), [(None, 200), ("blog_post", 429)])
async def test_a_schema_is_text_that_is_set_aside_for_too(
    schema: str | None, status: int, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(dynamodb, KEPT)
    body = {"prompt": "x", "max_output_tokens": 1, "max_cost": "0.0012"}  # a tenth of a cent is its output
    async with provider(completion("Hello")) as asked, door(asked.base_url, monkeypatch, **TABLE) as opened:
        headers = {"authorization": f"Bearer {KEY}"}
        answer = await opened.request({**body, **({"schema": schema} if schema else {})}, headers=headers)
    assert (answer.status, len(asked.requests)) == (status, int(status == 200))


async def test_what_a_provider_took_that_answered_nothing_is_held_to_be_all_that_was_set_aside(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(dynamodb, KEPT, acme=TenantLimits(monthly_budget=NANO))
    # No cold start is billed to it, which would be more than that.
    settings = {**TABLE, "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"}
    async with provider(["stall"]) as asked, door(asked.base_url, monkeypatch, **settings) as opened:
        set_policy(opened, headers_s=0.05)
        headers = {"authorization": f"Bearer {KEY}"}
        answer = await opened.request({"prompt": "x", "max_output_tokens": 1}, headers=headers)
    assert answer.problem["outcome"] == "upstream_timeout" and asked.requests
    (item,) = [item for item in dynamodb.scan(TableName="access")["Items"] if "holds" in item]
    assert item["holds"] == {"M": {}} and int(item["month"]["N"]) == 1_001_000  # a token in, one out


async def test_whom_aws_vouches_for_needs_no_key(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("weir.access.dynamodb.TIMEOUT_S", 60.0)
    role = "arn:aws:sts::123456789012:assumed-role/checkout/i-0"
    event = {"version": "2.0", "requestContext": {"authorizer": {"iam": {"userArn": role}}}}
    settings = {"WEIR_ACCESS_TABLE": "access"}
    async with (
        provider(completion("Hello")) as asked,
        door(asked.base_url, monkeypatch, **settings) as opened,
    ):
        answer = await opened.request({"prompt": "Write."}, event=event, event_source="function_url")
        assert answer.final[0] == "done"
        assert completed(capsys)["tenant"] == "checkout"
        answer = await opened.request({"prompt": "Write."})
        assert (answer.status, answer.problem["outcome"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_tenant_that_comes_often_draws_on_a_lease_which_its_requests_name_and_which_is_returned_at_the_end(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(dynamodb, KEPT, acme=TenantLimits(monthly_budget=100 * NANO))
    async with sdk(monkeypatch) as (client, _):
        for _ in range(6):
            await ask(client)
        (item,) = [item for item in dynamodb.scan(TableName="access")["Items"] if "holds" in item]
        (hold,) = item["holds"]["M"]
    said = facts(capsys.readouterr().out)
    leases = [fact.get("lease") for fact in said if fact["kind"] == "request.started"]
    assert leases == [None, None, None, *[hold.rpartition("~")[0]] * 3]
    costs = [Decimal(fact["cost"]["total"]) for fact in said if fact["kind"] == "request.completed"]
    (item,) = [item for item in dynamodb.scan(TableName="access")["Items"] if "holds" in item]
    assert item["holds"] == {"M": {}}
    assert int(item["month"]["N"]) == sum(math.ceil(cost * NANO) for cost in costs)


@pytest.mark.parametrize("beside", ["the models", "a model", "a stop"])
async def test_what_asks_no_model_draws_on_no_lease_and_none_stays_open_for_it(
    beside: str, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weir.access.stop_flags.ANSWER_S", 0.1)
    put(dynamodb, KEPT, acme=TenantLimits(monthly_budget=100 * NANO))
    async with sdk(monkeypatch) as (client, _):
        for _ in range(5):
            if beside == "the models":
                await client.models.list()
            elif beside == "a model":
                await client.models.retrieve("test-model")
            else:
                with pytest.raises(openai.NotFoundError):
                    await client.delete("/generations/nobodys", cast_to=httpx.Response)
            await ask(client)
    (item,) = [item for item in dynamodb.scan(TableName="access")["Items"] if "holds" in item]
    assert item["holds"] == {"M": {}}


@pytest.mark.parametrize("place", ["query", "body", "path", "cookie", "x-api-key"])
async def test_a_key_anywhere_but_in_authorization_opens_nothing_and_is_in_no_line(
    place: str, dynamodb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(dynamodb, KEPT)
    body = {"prompt": "Write.", **({"authorization": KEY, "tags": {"key": "k"}} if place == "body" else {})}
    headers = {place: KEY} if place in ("cookie", "x-api-key") else {}
    path = f"/v1/generations/{KEY}" if place == "path" else "/v1/generations"
    event = {
        "rawQueryString": f"authorization={KEY}",
        "queryStringParameters": {"authorization": f"Bearer {KEY}"},
    }
    async with provider(completion("Hello")) as asked, door(asked.base_url, monkeypatch, **TABLE) as opened:
        answer = await opened.request(
            body, headers=headers, path=path, method="DELETE" if place == "path" else "POST",
            event=event if place == "query" else None, event_source="function_url",
        )  # fmt: skip
        assert answer.status == 401 and not asked.requests
    assert KEY not in capsys.readouterr().out


async def test_with_the_table_down_a_key_cannot_be_looked_up_and_whom_aws_vouches_for_gets_a_small_answer(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = "arn:aws:iam::123456789012:user/ana"
    event = {"requestContext": {"authorizer": {"iam": {"userArn": arn}}}}
    async with provider(completion("Hello")) as asked, door(asked.base_url, monkeypatch, **TABLE) as opened:
        dynamodb.delete_table(TableName="access")
        refused = await opened.request({"prompt": "x"}, headers={"authorization": f"Bearer {KEY}"})
        assert (refused.status, refused.problem["outcome"], len(asked.requests)) == (503, "unauthorized", 0)
        body = {"prompt": "x", "max_output_tokens": 9_000}
        answer = await opened.request(body, event=event, event_source="function_url")
        assert answer.final[0] == "done"
        sent = asked.requests[0]
        assert sent.get("max_completion_tokens", sent.get("max_tokens")) == 1024


@pytest.mark.parametrize(("spent", "status"), [("0.79", 200), ("0.80", 429)])
async def test_with_the_table_down_who_has_used_four_fifths_of_a_budget_has_to_wait(
    spent: str, status: int, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(dynamodb, KEPT, acme=TenantLimits(monthly_budget=10 * NANO))
    headers = {"authorization": f"Bearer {KEY}"}
    async with provider(completion("Hello")) as asked, door(asked.base_url, monkeypatch, **TABLE) as opened:
        body = {"prompt": "x", "max_output_tokens": 2000}
        assert (await opened.request(body, headers=headers)).status == 200
        admission = opened.app._generate.gate._admission  # type: ignore[union-attr]  # there is a table
        admission._used["acme"] = Decimal(spent)
        dynamodb.delete_table(TableName="access")
        answer = await opened.request(body, headers=headers)
        assert answer.status == status
        caps = [sent.get("max_completion_tokens", sent.get("max_tokens")) for sent in asked.requests]
        assert caps == ([2000, 1024] if status == 200 else [2000]), "what was built for more is not sent"
        if status == 429:
            assert answer.problem["outcome"] == "budget_exceeded" and answer.headers["retry-after"] == "30"


@pytest.mark.parametrize(
    "item",
    [
        {"holds": {"S": "x"}},
        {"holds": {"M": {}}, "month": {"S": "much"}},
        {"holds": {"L": []}},
        {"x": {"N": "1"}},
    ],
)
async def test_a_tenants_month_of_another_shape_is_no_error_of_ours(
    item: dict[str, Any], dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(dynamodb, KEPT, acme=TenantLimits(monthly_budget=NANO))
    month = tenant_item.key("acme", datetime.now(UTC))
    dynamodb.put_item(TableName="access", Item={**month, **item})
    async with provider(completion("Hello")) as asked, door(asked.base_url, monkeypatch, **TABLE) as opened:
        answer = await opened.request({"prompt": "x"}, headers={"authorization": f"Bearer {KEY}"})
        assert answer.status in (200, 429) and (answer.final[0] == "done" if answer.status == 200 else True)
        if asked.requests and "x" not in item:  # what cannot be counted is kept small
            sent = asked.requests[0]
            assert sent.get("max_completion_tokens", sent.get("max_tokens")) <= 1024
