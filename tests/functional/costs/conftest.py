"""A ledger in moto's S3 over loopback HTTP: four requests of two days, as the ledger function would have booked them."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from infra.costs.__main__ import main
from tests import log_lines
from tests.buckets import prepare_bucket
from weir.ledger.compact import compact
from weir.ledger.ingest import ingest
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook

type Costs = Callable[..., tuple[int, str, str]]

DAY_MS = round(timedelta(days=1).total_seconds() * 1000)
SPAN = ("--from", "2026-11-21", "--to", "2026-11-23")


@pytest.fixture
def nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of whoever runs the tests."""
    for name in ("WEIR_PRICE_OVERRIDES", "WEIR_MONTHLY_BUDGET_USD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def environment(nobodys: None, moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket without a request, where the command line finds it."""
    return prepare_bucket(moto_url, monkeypatch)


@pytest.fixture
def empty(environment: str) -> str:
    """A bucket without a request."""
    return environment


@pytest.fixture
def bucket(empty: str) -> str:
    return filled(empty)


@pytest.fixture(scope="session")
def compacted(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the same ledger is found, compacted: for who only reads."""
    with pytest.MonkeyPatch.context() as patch:
        store = Store(filled(prepare_bucket(moto_url, patch)))
        day = log_lines.NOON.date()
        compact(store, PriceBook.load(), day - timedelta(days=1), day, tmp_path_factory.mktemp("compacted"))
        names = ("AWS_", "WEIR_LEDGER_BUCKET")
        return {name: value for name, value in os.environ.items() if name.startswith(names)}


@pytest.fixture
def read_bucket(compacted: dict[str, str], nobodys: None, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in compacted.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return compacted["WEIR_LEDGER_BUCKET"]


def filled(bucket: str) -> str:
    book(bucket, "r1", tags={"team": "search"})
    book(bucket, "r2", tags={"team": "=HYPERLINK(1)"}, outcome="invalid_output", http_status=200)
    book(bucket, "r3", billed_ms=4000, tags={"team": "search", "tenant": "acme"}, tenant="acme")
    book(bucket, "r0", days_before=1)
    return bucket


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
