"""Faults on this side of the provider: the caller's body, the key's store, the schema."""

import asyncio
import sys
import time
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, computed_field

from tests.functional.generate.door import door, facts, set_policy
from tests.functional.generate.scripted import completion, provider, status
from weir.generate.checks import SchemaCheckError, check_start
from weir.problems import Problem
from weir.providers.secret import MAX_AGE_S, REFUSED_S, Secret, read_key

MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"messages":[' + b"{}," * (MEGABYTE // 3) + b"{}]}", "expected at most 2500 values"),
        (b'{"prompt":"x","include":[' + b"0," * (MEGABYTE // 2) + b"0]}", "expected at most 2500 values"),
        (b"{" + b",".join(b'"k%d":1' % n for n in range(80_000)) + b"}", "expected at most 64 members"),
        (
            b'{"prompt":"x","tags":{' + b",".join(b'"k %d":1' % n for n in range(2_000)) + b"}}",
            "at most 10 tags",
        ),
        (b'{"extra_body":' + b"[" * MEGABYTE, "expected at most 32 levels"),
        (b'{"messages":[' + b"{}," * 1_000 + b"{}]}", "Field required"),
    ],
    ids=["objects", "include", "members", "tags", "depth", "fields"],
)
async def test_a_megabyte_of_anything_is_refused_in_milliseconds_with_few_errors(
    body: bytes, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack A2."""
    async with provider(completion("a")) as upstream, door(upstream.base_url, monkeypatch) as app:
        await app.request({"prompt": 3})
        times = []
        for _ in range(3):
            began = time.process_time()
            answer = await app.request(body)
            times.append(time.process_time() - began)
    assert answer.status == 422 and len(answer.problem["errors"]) <= 20
    assert detail in answer.problem["errors"][0]["detail"]
    assert min(times) < 0.1 and upstream.requests == []


async def test_a_prompt_full_of_braces_is_a_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(completion("a")) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": '{"a": [1, "\\\\", {}]},' * 20_000})
    assert answer.text == "a"


async def test_a_body_whose_end_does_not_come_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Attack A6."""
    async with provider(completion("a")) as upstream, door(upstream.base_url, monkeypatch) as app:
        set_policy(app, body_s=0.1)
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not sent:
                sent.append({})
                return {"type": "http.request", "body": b'{"prompt', "more_body": True}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/generations", "headers": []}
        async with asyncio.timeout(5):
            await app.app(scope, receive, send)
    assert sent[1]["status"] == 408 and upstream.requests == []


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"true", b"null"])
async def test_any_json_that_is_no_request_is_refused_with_one_fact(
    body: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Attack A12, behind the runtime client."""
    async with provider(completion("a")) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request(body)
    assert answer.status == 422
    assert [fact["kind"] for fact in facts(capsys.readouterr().out)] == ["request.completed"]


class Store:
    """A key's store that counts what it is asked, and can be down."""

    def __init__(self) -> None:
        self.value, self.down, self.asked = "key-1", False, 0

    def get(self, *_: object, **__: object) -> str:
        self.asked += 1
        if self.down:
            raise ConnectionError("the store is down")
        return self.value


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store()
    monkeypatch.setattr("aws_lambda_powertools.utilities.parameters.get_secret", made.get)
    return made


async def test_a_known_key_goes_on_being_used_while_its_store_is_down(store: Store) -> None:
    """Attack A15."""
    now_s = 1_000.0
    secret = Secret("secretsmanager:k", clock=lambda: now_s)
    assert await secret.get() == "key-1"
    store.down = True
    now_s += MAX_AGE_S + 1
    assert [await secret.get() for _ in range(5)] == ["key-1"] * 5
    assert store.asked == 2  # and a store that is down is not asked for each request
    store.down, store.value = False, "key-2"
    now_s += REFUSED_S + 1
    assert await secret.get() == "key-2"


async def test_a_key_that_was_never_known_names_its_store(store: Store) -> None:
    store.down = True
    with pytest.raises(Problem, match="expected a value at secretsmanager, got ConnectionError"):
        await Secret("secretsmanager:k").get()


async def test_a_revoked_key_is_looked_up_once_and_not_for_each_request(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack A15."""
    async with provider(status(401, {"error": {"message": "no"}})) as upstream:
        async with door(upstream.base_url, monkeypatch, WEIR_UPSTREAM_KEY="secretsmanager:k") as app:
            for _ in range(5):
                assert (await app.request({"prompt": "x"})).status == 502
    assert store.asked == 2 and len(upstream.requests) == 5


async def test_requests_that_come_together_ask_the_store_once(store: Store) -> None:
    secret = Secret("secretsmanager:k")
    assert set(await asyncio.gather(*(secret.get() for _ in range(20)))) == {"key-1"}
    assert store.asked == 1


@pytest.mark.parametrize(
    ("stored", "member", "key"),
    [
        ("sk-1\n", "", "sk-1"),
        ('{"anything":"sk-2"}', "", "sk-2"),
        ('{"OPENAI_API_KEY":"sk-3","owner":"me"}', "", "sk-3"),
        ('{"a":"sk-4","b":"sk-5"}', "b", "sk-5"),
    ],
)
def test_a_key_may_be_a_member_of_a_json_object(stored: str, member: str, key: str) -> None:
    assert read_key(stored, member) == key


@pytest.mark.parametrize("stored", ['{"a":"sk-4","b":"sk-5"}', "{", '{"a":1}', "two words", "", None, 3])
def test_what_holds_no_key_is_refused_without_quoting_it(stored: object) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        read_key(stored)
    assert "sk-4" not in str(refused.value)


def schema_module(monkeypatch: pytest.MonkeyPatch, name: str, model: type[BaseModel]) -> None:
    """A schema of that name, as if its file lay in the folder."""
    module = ModuleType(f"weir.schemas.{name}")
    setattr(module, "".join(map(str.capitalize, name.split("_"))), model)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for place in ("weir.schemas", "weir.generate.requests", "weir.generate.checks"):
        monkeypatch.setattr(f"{place}.schema_names", lambda: (name,))


class Sum(BaseModel):
    a: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ratio(self) -> float:
        return 1 / self.a


async def test_a_computed_field_that_raises_is_no_error_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack A19."""
    schema_module(monkeypatch, "sum", Sum)
    async with provider(completion('{"a": 0}')) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "x", "schema": "sum"})
    assert answer.final[1]["outcome"] == "invalid_output"
    assert "ratio" in answer.final[1]["detail"] or "ZeroDivision" in answer.final[1]["detail"]


def test_a_schema_that_can_hold_the_loop_is_refused_at_a_start_by_its_fields_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Attack A18, fault 47."""
    import re
    from typing import Annotated

    from pydantic import Field

    class Slow(BaseModel):
        code: Annotated[str, Field(pattern=re.compile(r"^(a+)+$"))]

    schema_module(monkeypatch, "slow", Slow)
    with pytest.raises(SchemaCheckError, match="schema slow: code: Python's re runs the pattern"):
        check_start({})
