"""A ledger in moto's S3 over loopback HTTP: four requests of two days, as the ledger function would have booked them."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer

from infra.costs.__main__ import main
from tests import log_lines
from weir.adapters.store import Store
from weir.usecases.ingest import ingest

type Costs = Callable[..., tuple[int, str, str]]

DAY_MS = round(timedelta(days=1).total_seconds() * 1000)
SPAN = ("--from", "2026-11-21", "--to", "2026-11-23")


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def environment(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "WEIR_PRICE_OVERRIDES", "WEIR_MONTHLY_BUDGET_USD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": aws,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "COLUMNS": "120",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def empty(environment: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket without a request."""
    name = f"ledger-{uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    monkeypatch.setenv("WEIR_LEDGER_BUCKET", name)
    return name


@pytest.fixture
def bucket(empty: str) -> str:
    name = empty
    book(name, "r1", tags={"team": "search"})
    book(name, "r2", tags={"team": "=HYPERLINK(1)"}, outcome="invalid_output", http_status=200)
    book(name, "r3", billed_ms=4000, tags={"team": "search", "tenant": "acme"})
    book(name, "r0", days_before=1)
    return name


def book(bucket: str, request_id: str, billed_ms: int = 1600, days_before: int = 0, **members: Any) -> None:
    """Book one request of noon, 2026-11-22, or of an earlier day."""
    lines = json.dumps(log_lines.request(request_id, billed_ms, **members))
    day = (log_lines.NOON - timedelta(days=days_before)).date().isoformat()
    moved = json.loads(lines.replace("2026-11-22", day))
    stamp = log_lines.NOON_MS - days_before * DAY_MS
    events = [log_lines.log_event(line, f"{request_id}{n:08d}", stamp + n) for n, line in enumerate(moved)]
    ingest(log_lines.batch(events), Store(bucket), "us-east-1")


@pytest.fixture
def costs(capsys: pytest.CaptureFixture[str]) -> Costs:
    """Runs the command line: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return run
