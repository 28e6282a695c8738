"""Coroutine tests run on asyncio, through the pytest plugin that anyio (httpx's own dependency) brings."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
