"""moto's server over loopback HTTP, a bucket of it for the functions under test, and what lies in one."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer

from weir.ledger.log_records import RawRecord
from weir.ledger.store import Store


@contextmanager
def moto_server() -> Iterator[str]:
    """Its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def facts_of(store: Store, first: date, last: date) -> list[RawRecord]:
    """Every raw record of some days, each object of which can be read."""
    unreadable: list[str] = []
    found = list(store.records([entry.key for entry in store.fact_objects(first, last)], unreadable))
    assert unreadable == []
    return found


def prepare_bucket(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket at `moto_url`, and the environment in which the functions find it."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    environment = {
        "AWS_ENDPOINT_URL": moto_url,
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
