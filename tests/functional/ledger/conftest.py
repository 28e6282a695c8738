"""A bucket on moto's S3 server over loopback HTTP, and the environment in which the functions find it."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from functions.finance import app as finance
from tests.buckets import prepare_bucket


@pytest.fixture
def bucket(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    return prepare_bucket(moto_url, monkeypatch)


@pytest.fixture
def context() -> Any:
    return SimpleNamespace(aws_request_id="7f0c1c4e", function_name="ledger")


@pytest.fixture
def handler() -> Iterator[Any]:
    """The finance function's handler, with an adapter and an event loop of its own."""
    finance._adapter.cache_clear()
    yield finance.handler
    asyncio.get_event_loop().close()
    asyncio.set_event_loop(None)
