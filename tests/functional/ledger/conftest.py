"""A bucket on moto's S3 server over loopback HTTP, and the environment in which the functions find it."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer

from functions.finance import app as finance


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    environment = {
        "AWS_ENDPOINT_URL": s3_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "WEIR_LEDGER_BUCKET": f"ledger-{uuid4().hex}",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket=environment["WEIR_LEDGER_BUCKET"])
    return environment["WEIR_LEDGER_BUCKET"]


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
