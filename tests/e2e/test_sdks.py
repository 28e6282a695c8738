"""The SDKs and frameworks that people have, unchanged but for an address and a key, against the stack on this machine.

Each runs in an environment of its own (`make test-sdks`), asks what tests/sdks has, and prints what came of it. Behind
the function URL stand the real function with its access table, and the simulator as the provider.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from infra.local.simulator import Simulator
from infra.local.stack import LocalAws, LocalAwsConfig
from tests.functional.generate.door import facts
from weir.access.admission import key_item, limits_item
from weir.access.api_keys import ID_BYTES, SECRET_BYTES, new_key
from weir.access.tenant_item import TenantLimits

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests/sdks"
PYTHONS = {
    "openai 1": (".venv-openai-1", "with_openai.py"),
    "openai 2": (".venv-openai-2", "with_openai.py"),
    "openai 3": (".venv-sdks", "with_openai.py"),
    "langchain": (".venv-sdks", "with_langchain.py"),
    "instructor": (".venv-sdks", "with_instructor.py"),
    "pydantic-ai": (".venv-sdks", "with_pydantic_ai.py"),
    "litellm": (".venv-litellm", "with_litellm.py"),
}
NODES = {"openai-node": "with_openai.mjs", "ai": "with_ai.mjs"}
# They make errors of their own, which keep the status and the message, and not the code.
STATUS_ONLY = {"pydantic-ai", "litellm"}
# The AI SDK goes by the status alone: it asks again twice whatever `x-should-retry` says, unless `maxRetries` is 0.
ASKED = {"ai": 3}
ERRORS = ("unauthorized", "wrong", "denied")


@dataclass(frozen=True)
class Stack:
    """A running stack: where it is, who may call, and what of it is counted."""

    url: str
    keys: dict[str, str]
    aws: LocalAws
    simulator: Simulator

    def requests_of(self, tenant: str | None) -> list[dict[str, Any]]:
        """The completion lines of a tenant; None is who was not known."""
        records = [event.record for event in self.aws.log_events("GenerateFunction") if event.record]
        found = facts("\n".join(map(json.dumps, records)))
        return [fact for fact in found if fact["kind"] == "request.completed" and fact["tenant"] == tenant]


@asynccontextmanager
async def started() -> AsyncIterator[Stack]:
    async with Simulator() as simulator:
        models = {
            name: {"provider": "simulator", "base_url": simulator.base_url, "model": model}
            for name, model in (
                ("fast", "sim-fast"),
                ("once-invalid", "sim-invalid-once"),
                ("refusing", "sim-refusal"),
                ("cut", "sim-truncated"),
            )
        }
        config = LocalAwsConfig(
            parameters={
                "EnableAccessTable": "true",
                "Models": json.dumps({"default": "fast", "models": models}),
                "PriceOverrides": (ROOT / "infra/local/prices.json").read_text(),
            }
        )
        async with LocalAws(config) as aws:
            dynamodb = aws.services.client("dynamodb")
            keys = {}
            for tenant, limits in {
                "acme": TenantLimits(monthly_budget=10**12, requests_per_minute=10_000),
                "poor": TenantLimits(monthly_budget=0),
            }.items():
                random = os.urandom(ID_BYTES + SECRET_BYTES)
                keys[tenant], kept = new_key(random, tenant, "sdk", datetime.now(UTC))
                for item in (key_item(kept), limits_item(tenant, limits)):
                    dynamodb.put_item(TableName="AccessTable", Item=item)
            dynamodb.close()
            yield Stack(aws.function_url("GenerateFunction"), keys, aws, simulator)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The stack, on a loop of its own: the SDKs are waited for here."""
    made: list[Stack] = []
    ready, ended = Event(), Event()

    async def run() -> None:
        async with started() as stack:
            made.append(stack)
            ready.set()
            await asyncio.to_thread(ended.wait)

    def serve() -> None:
        try:
            asyncio.run(run())
        finally:
            ready.set()

    thread = Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(60) and made, "expected the stack to start"
        yield made[0]
    finally:
        ended.set()
        thread.join()


def command(name: str) -> list[str]:
    if name in NODES:
        if not (ROOT / ".node-sdks/node_modules").is_dir():
            pytest.skip("Node's SDKs are missing (.node-sdks): `make test-sdks` installs them")
        return ["node", str(ROOT / ".node-sdks" / NODES[name])]
    environment, script = PYTHONS[name]
    python = ROOT / environment / "bin/python"
    if not python.exists():
        pytest.skip(f"{name} is missing ({environment}): `make test-sdks` installs it")
    return [str(python), str(FOLDER / script)]


def is_recipe(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"title", "minutes", "steps"} and bool(value["title"])


@pytest.mark.parametrize("name", [*PYTHONS, *NODES])
def test_an_sdk_unchanged_streams_parses_and_sees_our_errors_as_its_own(name: str, stack: Stack) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "SDK_NAME": name,
        "SDK_BASE_URL": f"{stack.url}/v1",
        "SDK_KEY": stack.keys["acme"],
        "SDK_POOR_KEY": stack.keys["poor"],
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would fetch its price list otherwise
        "NO_PROXY": "127.0.0.1",
    }
    before = {tenant: len(stack.requests_of(tenant)) for tenant in ("acme", "poor", None)}
    done = subprocess.run(command(name), env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-4000:]
    cases = json.loads(done.stdout.splitlines()[-1])

    names = ["fast", "once-invalid", "refusing", "cut"]
    assert cases.get("models", names) == names
    endpoints = [cases, cases["responses"]]
    for asked in endpoints:
        judge(name, asked)
    # The first answer broke the schema.
    retried = [fact for fact in stack.requests_of("acme")[before["acme"] :] if len(fact["attempts"]) == 2]
    assert len(retried) >= len(endpoints)
    # What is refused for good is not asked again, and nothing of it went to the provider.
    denials = stack.requests_of("poor")[before["poor"] :]
    assert [fact["outcome"] for fact in denials] == ["budget_exceeded"] * ASKED.get(name, 1) * len(endpoints)
    assert not any(fact["attempts"] for fact in denials)
    refused = [fact["outcome"] for fact in stack.requests_of(None)[before[None] :]]
    assert refused == ["unauthorized"] * len(endpoints)
    print(name, cases["version"], *(asked[kind]["class"] for asked in endpoints for kind in ERRORS))


def judge(name: str, cases: dict[str, Any]) -> None:
    """What came of asking one endpoint."""
    kinds = (
        "whole",
        "asynchronous",
        "streamed",
        "tool",
        "streamed_tool",
        "whole_by_openai",
        "streamed_by_openai",
    )
    for kind in kinds:
        assert kind not in cases or is_recipe(cases[kind]), (kind, cases[kind])
    # What came is one document, though the first answer broke the schema.
    assert is_recipe(cases["retried"])
    assert len(set(cases.get("text", []))) <= 1
    assert cases.get("refused", "refusal") == "refusal"
    assert cases.get("cut", "max_output_tokens") == "max_output_tokens"
    assert [cases[kind]["status"] for kind in ERRORS] == [401, 400, 429], cases
    if name not in STATUS_ONLY:
        codes = [cases[kind]["code"] for kind in ERRORS]
        assert codes == ["unauthorized", "bad_request", "budget_exceeded"], cases
