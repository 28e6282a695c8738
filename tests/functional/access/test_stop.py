"""`DELETE /v1/generations/{id}`: the same caller ends what runs, in this process or in another one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.functional.generate.door import Answer, Door, door, facts
from tests.functional.generate.scripted import HEAD, Provider, Step, completion, provider, text
from weir.access.admission import key_item, limits_item
from weir.access.api_keys import new_key
from weir.access.identity import Caller, owner_of
from weir.access.stop_flags import LOOK_S
from weir.access.tenant_item import NANO, TenantLimits

from .conftest import Clock

KEYS = {
    tenant: new_key(bytes([n] * 42), tenant, "x", Clock().now) for n, tenant in enumerate(("acme", "globex"))
}
ENDLESS: list[Step] = [HEAD, text("one two"), "stall"]


@dataclass
class Stacks:
    """Two environments of one stack, and what their provider was asked."""

    here: Door
    elsewhere: Door
    asked: Provider

    async def running(self, answer: Answer, **members: Any) -> "asyncio.Task[Answer]":
        """A request that has begun to stream."""
        headers = {"authorization": f"Bearer {KEYS['acme'][0]}"}
        task = asyncio.create_task(
            self.here.request({"prompt": "Write.", **members}, headers=headers, answer=answer)
        )
        await answer.until(b"one two")
        return task


async def stop(where: Door, request_id: str, tenant: str = "acme", key: str | None = None) -> Answer:
    headers = {"authorization": f"Bearer {key or KEYS[tenant][0]}"}
    return await where.request(b"", method="DELETE", path=f"/v1/generations/{request_id}", headers=headers)


@asynccontextmanager
async def stacks(dynamodb: Any, monkeypatch: pytest.MonkeyPatch, *scripts: Any) -> AsyncIterator[Stacks]:
    monkeypatch.setattr("weir.access.dynamodb.TIMEOUT_S", 60.0)
    for _, kept in KEYS.values():
        dynamodb.put_item(TableName="access", Item=key_item(kept))
    prices = [{"model": "test-model", "records": [{"prices": {"input": "1", "output": "10"}}]}]
    settings = {
        "WEIR_ACCESS_TABLE": "access",
        "WEIR_ANSWERS_TABLE": "answers",
        "WEIR_PRICE_OVERRIDES": json.dumps({"models": prices}),
    }
    async with (
        provider(*scripts or (ENDLESS,)) as asked,
        door(asked.base_url, monkeypatch, **settings) as here,
        door(asked.base_url, monkeypatch, **settings) as elsewhere,
    ):
        yield Stacks(here, elsewhere, asked)


@pytest.mark.parametrize("request_id", ["", "chatcmpl-", "x" * 201, "é" * 101])
async def test_what_is_no_id_is_not_found_and_not_asked_of_the_table(
    request_id: str, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stacks(dynamodb, monkeypatch) as both:
        assert (await stop(both.here, request_id)).status == 404
    assert not [item for item in dynamodb.scan(TableName="access")["Items"] if "STOP" in item["pk"]["S"]]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in this process", "in another one"])
async def test_a_stop_ends_the_upstream_call_in_time_with_a_final_event_and_is_booked(
    elsewhere: bool, dynamodb: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dynamodb.put_item(TableName="access", Item=limits_item("acme", TenantLimits(monthly_budget=100 * NANO)))
    monkeypatch.setattr("weir.access.stop_flags.ANSWER_S", 30)  # on a machine that is busy with other tests
    async with stacks(dynamodb, monkeypatch) as both:
        answer = Answer()
        task = await both.running(answer)
        stopped = await stop(both.elsewhere if elsewhere else both.here, answer.headers["x-request-id"])
        await task
        await asyncio.wait_for(both.asked.hung_up.wait(), 20)
    assert (stopped.status, stopped.body) == (204, b"")
    name, final = answer.final
    assert (name, final["outcome"], final["detail"]) == ("error", "stopped", "the caller stopped it")
    assert final["usage"]["source"] == "estimated" and final["usage"]["output_tokens"] > 0
    done = {
        fact["request_id"]: fact
        for fact in facts(capsys.readouterr().out)
        if fact["kind"] == "request.completed"
    }
    assert done[answer.headers["x-request-id"]]["outcome"] == "stopped"
    assert done[stopped.headers["x-request-id"]]["tenant"] == "acme"
    (item,) = [item for item in dynamodb.scan(TableName="access")["Items"] if "holds" in item]
    assert item["holds"] == {"M": {}} and 0 < int(item["month"]["N"]) < NANO


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in this process", "in another one"])
async def test_nobody_stops_what_is_anothers_and_learns_nothing_of_it(
    elsewhere: bool, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weir.access.stop_flags.ANSWER_S", 0.9)  # longer than between two looks
    async with stacks(dynamodb, monkeypatch) as both:
        answer = Answer()
        task = await both.running(answer)
        where, running = both.elsewhere if elsewhere else both.here, answer.headers["x-request-id"]
        others, nobodys = await asyncio.gather(stop(where, running, "globex"), stop(where, "no-such-id"))
        assert others.status == nobodys.status == 404
        assert others.problem["detail"].replace(running, "no-such-id") == nobodys.problem["detail"]
        assert not task.done()
        assert (await stop(where, running, key="weir_wrong")).status == 401
        await stop(both.here, running)
        await task


async def test_what_has_ended_cannot_be_stopped_and_a_flag_ends_no_later_request(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weir.access.stop_flags.ANSWER_S", 0.1)
    async with stacks(dynamodb, monkeypatch, completion("one two")) as both:
        answer = Answer()
        await (await both.running(answer))
        assert (await stop(both.here, answer.headers["x-request-id"])).status == 404
        later = Answer()
        await (await both.running(later))
        assert later.final[0] == "done"


@pytest.mark.parametrize("prefix", ["chatcmpl-", "resp_"])
async def test_an_sdks_id_of_an_answer_is_taken_too(
    prefix: str, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stacks(dynamodb, monkeypatch) as both:
        answer = Answer()
        task = await both.running(answer)
        assert (await stop(both.here, f"{prefix}{answer.headers['x-request-id']}")).status == 204
        await task


async def test_what_was_stopped_under_a_key_is_its_answer(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stacks(dynamodb, monkeypatch) as both:
        answer, again = Answer(), Answer()
        headers = {"authorization": f"Bearer {KEYS['acme'][0]}", "idempotency-key": "k"}
        task = asyncio.create_task(both.here.request({"prompt": "Write."}, headers=headers, answer=answer))
        await answer.until(b"one two")
        await stop(both.here, answer.headers["x-request-id"])
        await task
        await both.here.request({"prompt": "Write."}, headers=headers, answer=again)
        assert again.final[1]["outcome"] == "stopped" and again.text == answer.text
        assert len(both.asked.requests) == 1


async def test_without_a_table_what_runs_in_the_process_is_stopped_by_whom_aws_vouches_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def event(user: str) -> dict[str, Any]:
        arn = f"arn:aws:iam::123456789012:user/{user}"
        return {"requestContext": {"authorizer": {"iam": {"userArn": arn}}}}

    async with provider(ENDLESS) as asked, door(asked.base_url, monkeypatch) as opened:
        answer = Answer()
        task = asyncio.create_task(opened.request({"prompt": "Write."}, event=event("ana"), answer=answer))
        await answer.until(b"one two")
        path = f"/v1/generations/{answer.headers['x-request-id']}"
        assert (await opened.request(b"", method="DELETE", path=path, event=event("bob"))).status == 404
        assert (await opened.request(b"", method="POST", path=path)).status == 405
        assert (await opened.request(b"", method="DELETE", path=path, event=event("ana"))).status == 204
        await task
        assert answer.final[1]["outcome"] == "stopped"


async def test_with_the_table_down_a_stop_says_so_and_what_runs_goes_on(
    dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stacks(dynamodb, monkeypatch) as both:
        answer = Answer()
        task = await both.running(answer)
        monkeypatch.setattr("weir.access.stop_flags.ANSWER_S", 0.1)
        await stop(both.elsewhere, "warm", "globex")  # its key is known now
        dynamodb.delete_table(TableName="access")
        assert (await stop(both.elsewhere, answer.headers["x-request-id"], "globex")).status == 503
        await asyncio.sleep(0.8)  # a look that fails
        assert not task.done()
        await stop(both.here, answer.headers["x-request-id"])
        await task


def test_two_looks_fit_into_the_time_in_which_a_stop_takes_effect() -> None:
    """An eventual read may miss a flag once; the bench measures how long a stop takes."""
    assert 2 * LOOK_S <= 1.5


def test_a_tenants_keys_and_roles_stop_for_each_other_and_users_of_an_authorizer_do_not() -> None:
    key = Caller("acme", "key:a", "key", "a")
    assert owner_of(key) == owner_of(key._replace(principal="key:b", key_id="b"))
    user = Caller("acme", "sub:ana", "claims")
    assert (
        len({owner_of(user), owner_of(user._replace(principal="sub:bob")), owner_of(key), owner_of(None)})
        == 4
    )
