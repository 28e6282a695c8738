"""The other door: the same application behind Mangum, for callers who buffer."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mangum import Mangum

from functions.generate.app import App
from tests.functional.generate.scripted import completion, provider

EVENT = json.loads((Path(__file__).parents[2] / "events" / "url_generate.json").read_text())


@pytest.fixture
def base_url() -> Iterator[str]:
    """A provider on a loop of its own: Mangum runs the application on this thread's."""
    started, ended, address = threading.Event(), asyncio.Event(), []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with provider(completion("a", "b")) as upstream:
            address.append(upstream.base_url)
            started.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(5)
    yield address[0]
    loop.call_soon_threadsafe(ended.set)
    thread.join(5)
    loop.close()


@pytest.fixture
def event_loop() -> Iterator[None]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


def call(**headers: str) -> dict[str, Any]:
    event = EVENT | {"headers": EVENT["headers"] | headers, "body": json.dumps({"prompt": "x"})}
    context = SimpleNamespace(aws_request_id="r-1", invoked_function_arn="arn:x")
    answer: dict[str, Any] = Mangum(App())(event | {"isBase64Encoded": False}, context)
    return answer


def test_a_buffering_caller_gets_one_object(
    base_url: str, event_loop: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_UPSTREAM_BASE_URL", base_url)
    monkeypatch.setenv("WEIR_UPSTREAM_MODEL", "test-model")
    answer = call(accept="application/json")
    assert answer["statusCode"] == 200 and answer["headers"]["x-request-id"] == "r-1"
    assert json.loads(answer["body"])["text"] == "ab"
