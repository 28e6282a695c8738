"""Coroutine tests run on asyncio, through the pytest plugin that anyio (httpx's own dependency) brings."""

import gc
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Tests run side by side on few processors: how long an example takes is no property of what it tests.
settings.register_profile("side by side", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("side by side")

# `make test` tells every make below it that it is a child: one that a test runs is somebody's first.
for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"):
    os.environ.pop(name, None)

# Workers import every test, and tests start some hundred interpreters: what one has compiled is kept for the others.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.hookimpl(optionalhook=True)  # not every environment has pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: a test that waits for a clock or a socket leaves its own to another."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, in their own random order: at the end, all but one process would wait for them.

    A file is one process's, which makes once what its tests share.
    """
    items.sort(key=lambda item: ("e2e" not in item.path.parts, "ledger" not in item.path.parts))


def pytest_collection_finish() -> None:
    """Modules and collected tests stay to the end: the collector need not walk half a million objects each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_client_of_another_test() -> Iterator[None]:
    """Powertools and boto3 keep clients for the process, with the endpoint of the test that made them."""
    yield
    if providers := sys.modules.get("aws_lambda_powertools.utilities.parameters.base"):
        providers.DEFAULT_PROVIDERS.clear()
    if boto3 := sys.modules.get("boto3"):
        boto3.DEFAULT_SESSION = None
