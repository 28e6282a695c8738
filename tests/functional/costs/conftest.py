"""A ledger in moto's S3 over loopback HTTP: four requests of two days, as the ledger function would have booked them."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from infra.costs.__main__ import main
from tests import log_lines
from tests.buckets import prepare_bucket
from weir.ledger.ingest import ingest
from weir.ledger.store import Store

type Costs = Callable[..., tuple[int, str, str]]

DAY_MS = round(timedelta(days=1).total_seconds() * 1000)
SPAN = ("--from", "2026-11-21", "--to", "2026-11-23")


@pytest.fixture
def environment(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket without a request, where the command line finds it, and nothing else of whoever runs the tests."""
    for name in ("WEIR_PRICE_OVERRIDES", "WEIR_MONTHLY_BUDGET_USD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    return prepare_bucket(moto_url, monkeypatch)


@pytest.fixture
def empty(environment: str) -> str:
    """A bucket without a request."""
    return environment


@pytest.fixture
def bucket(empty: str) -> str:
    name = empty
    book(name, "r1", tags={"team": "search"})
    book(name, "r2", tags={"team": "=HYPERLINK(1)"}, outcome="invalid_output", http_status=200)
    book(name, "r3", billed_ms=4000, tags={"team": "search", "tenant": "acme"}, tenant="acme")
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
