"""Own keys, limits and holds from the command line, on a table as the template makes it."""

import math
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from functions.ledger_jobs import app as jobs
from infra.costs.__main__ import main
from tests import log_lines as lines
from tests.buckets import prepare_bucket
from weir.access.answers import once_name, parts
from weir.access.api_keys import parse_authorization
from weir.access.tenant_item import TenantLimits, Usage, begin, hold_of, key, reserve
from weir.ledger.ingest import ingest
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook
from weir.reports.parquet_cache import RowFiles
from weir.reports.report import LedgerReader


@pytest.fixture
def table(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    prepare_bucket(moto_url, monkeypatch)
    monkeypatch.setenv("WEIR_ACCESS_TABLE", "access")
    client = boto3.client("dynamodb")
    client.create_table(
        TableName="access",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    )
    return client


@pytest.fixture(params=["command line", "hourly task"])
def settle(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Iterator[Callable[[], int]]:
    """Settle what is held, in either way; returns how many holds that were."""

    def by_command() -> int:
        assert main(["settle"]) == 0
        return int(capsys.readouterr().out.removesuffix(" settled\n"))

    def by_task() -> int:
        return int(jobs.handler({"task": "settle_budgets"}, SimpleNamespace(aws_request_id="j"))["settled"])

    monkeypatch.setenv("WEIR_LEDGER_TASKS", "settle_budgets")
    monkeypatch.setattr(jobs, "gettempdir", lambda: str(tmp_path))
    for cached in (jobs._store, jobs._current_book):
        cached.cache_clear()
    yield by_command if request.param == "command line" else by_task
    for cached in (jobs._store, jobs._current_book):
        cached.cache_clear()


def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(
    table: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "create", "acme", "--name", "checkout", "--days", "30"]) == 0
    text = capsys.readouterr().out.strip()
    parsed = parse_authorization(f"Bearer {text}")
    assert parsed is not None
    key_id, secret, _ = parsed
    assert secret not in str(table.scan(TableName="access"))
    assert main(["keys", "list"]) == 0
    shown = capsys.readouterr().out
    assert key_id[:8] in shown and secret not in shown
    assert main(["keys", "revoke", key_id]) == 0
    (item,) = table.scan(TableName="access")["Items"]
    assert datetime.fromisoformat(item["revoked_at"]["S"]) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["keys", "revoke", "nobody"], "expected the id of a key, got 'nobody'"),
        (["keys", "revoke"], "expected a key's id"),
        (["keys", "create"], "expected 1 to 64 usual characters, got None"),
        (["keys", "create", "a b"], "expected 1 to 64 usual characters"),
        (
            ["limits", "acme", "--daily-usd", "much"],
            "--daily-usd: expected US dollars, 0 or more, got 'much'",
        ),
        (["limits", "acme", "--monthly-usd", "-1"], "--monthly-usd: expected US dollars"),
    ],
)
def test_what_cannot_be_done_says_what_was_expected(
    arguments: list[str], says: str, table: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert says in capsys.readouterr().err


def test_a_tenants_answers_are_counted_and_deleted_and_no_others(
    table: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_ANSWERS_TABLE", "access")
    monkeypatch.setattr("weir.access.answers.PART_BYTES", 100)
    for tenant in ("acme", "acme2"):
        for request in parts(tenant, once_name("k"), "r~1", b"x" * 250, 2**31):
            table.update_item(TableName="access", **request)
    assert main(["answers", "count", "acme"]) == 0
    assert main(["answers", "delete", "acme"]) == 0
    assert main(["answers", "count", "acme"]) == 0
    assert capsys.readouterr().out == "3 items kept\n3 items deleted\n0 items kept\n"
    assert {item["pk"]["S"] for item in table.scan(TableName="access")["Items"]} == {"ANSWERS#acme2"}
    assert main(["answers", "delete", "a b"]) == 2


def test_limits_are_set_and_shown(table: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["limits", "acme", "--model", "fast", "--monthly-usd", "12.5", "--requests-per-minute", "60"])
        == 0
    )
    (item,) = table.scan(TableName="access")["Items"]
    assert item["monthly_budget"] == {"N": "12500000000"} and item["models"] == {"L": [{"S": "fast"}]}
    assert "daily_budget" not in item
    assert main(["limits"]) == 0
    assert re.search(r"acme", capsys.readouterr().out)


def test_what_a_killed_request_held_is_settled_by_its_row(table: Any, settle: Callable[[], int]) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    events = [
        lines.log_event(line, f"r1-{n}", round(at.timestamp() * 1000) + n)
        for n, line in enumerate(lines.request("r1"))
    ]
    ingest(lines.batch(events), Store(os.environ["WEIR_LEDGER_BUCKET"], boto3.client("s3")), "us-east-1")
    table.update_item(TableName="access", **begin("acme", hold_of("r1", at), 5_000_000, at))
    assert settle() == 1
    after = Usage.read(table.get_item(TableName="access", Key=key("acme", at))["Item"])
    assert after.holds == {} and 0 < after.month < 5_000_000
    assert settle() == 0


def test_what_a_killed_process_had_leased_is_settled_by_all_rows_that_name_the_lease(
    table: Any, settle: Callable[[], int]
) -> None:
    at = datetime.now(UTC) - timedelta(hours=2)
    store = Store(os.environ["WEIR_LEDGER_BUCKET"], boto3.client("s3"))
    for request in ("r1", "r2", "r3"):
        lease = {} if request == "r3" else {"lease": "lease-x-1"}
        events = [
            lines.log_event(line, f"{request}-{n}", round(at.timestamp() * 1000) + n)
            for n, line in enumerate(lines.request(request, **lease))
        ]
        ingest(lines.batch(events, log_stream=request), store, "us-east-1")
    limits, hold = TenantLimits(monthly_budget=10**9), hold_of("lease-x-1", at)
    table.update_item(TableName="access", **begin("acme", hold, 5_000_000, at))
    table.update_item(TableName="access", **reserve("acme", hold, 5_000_000, limits, at, held=5_000_000))
    before = Usage.read(table.get_item(TableName="access", Key=key("acme", at))["Item"])
    assert before.holds[hold][0] == before.month == 10_000_000
    assert settle() == 1
    after = Usage.read(table.get_item(TableName="access", Key=key("acme", at))["Item"])
    with TemporaryDirectory() as folder:
        now = datetime.now(UTC)
        files = RowFiles(store, PriceBook.load(), Path(folder), lambda: now)
        reader = LedgerReader(store, PriceBook.load(), files, lambda: now)
        rows = [Decimal(reader.one(request)["row"]["cost"]["total"]) for request in ("r1", "r2")]  # type: ignore[index]
        assert reader.of_lease("lease-nobody", at) is None
    assert after.holds == {}
    assert after.month == math.ceil(sum(rows) * 10**9) > 0


@pytest.mark.parametrize("name", ["r1", "lease-x-1"])
def test_of_tokens_without_a_price_what_was_set_aside_stays_spent(
    name: str, table: Any, settle: Callable[[], int]
) -> None:
    at = datetime.now(UTC) - timedelta(hours=2)
    store = Store(os.environ["WEIR_LEDGER_BUCKET"], boto3.client("s3"))
    members = {"model": "of-nobody", "model_returned": "of-nobody", "lease": "lease-x-1"}
    events = [
        lines.log_event(line, f"r1-{n}", round(at.timestamp() * 1000) + n)
        for n, line in enumerate(lines.request("r1", **members))
    ]
    ingest(lines.batch(events), store, "us-east-1")
    table.update_item(TableName="access", **begin("acme", hold_of(name, at), 5_000_000, at))
    assert settle() == 1
    after = Usage.read(table.get_item(TableName="access", Key=key("acme", at))["Item"])
    assert (after.holds, after.month) == ({}, 5_000_000)


def test_a_stack_without_an_access_table_has_nothing_to_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_LEDGER_TASKS", "settle_budgets")
    monkeypatch.setenv("WEIR_LEDGER_BUCKET", "none")
    monkeypatch.delenv("WEIR_ACCESS_TABLE", raising=False)
    done = jobs._settle_budgets({}, Path())
    assert done == ({"settled": 0}, {})
