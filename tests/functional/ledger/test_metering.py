"""The ledger's own cost is in the ledger: one line in report, page total, exports and closed month, and counted once."""

import csv
import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from functions.ledger import app as ledger
from infra.costs.tables import show_report
from tests import log_lines as lines
from tests.unit.ledger.test_metering import report as platform_report
from weir.ledger.close import close, verify
from weir.ledger.compact import compact
from weir.ledger.ingest import ingest
from weir.ledger.log_groups import FoundEvent
from weir.ledger.meter import meter
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook
from weir.reports.export import ExportRequest, export_range
from weir.reports.parquet_cache import RowFiles
from weir.reports.queries import Filters
from weir.reports.report import LedgerReader
from weir.reports.time_buckets import ZoneInfo

BOOK = PriceBook.load()
NOW = lines.NOON + timedelta(hours=1)
UTC = ZoneInfo("UTC")
RANGE = Filters(start=lines.NOON - timedelta(hours=12), end=lines.NOON + timedelta(hours=12))


class Logs:
    """Log groups by name; each line a minute after the one before."""

    def __init__(self, **groups: list[str]) -> None:
        self.groups = {f"/weir/dev/{name.replace('_', '-')}": found for name, found in groups.items()}

    def lines(self, group: str, start_ms: int, end_ms: int) -> Iterator[FoundEvent]:
        for number, message in enumerate(self.groups[group]):
            at = round(lines.NOON.timestamp() * 1000) + 60_000 * number
            if start_ms <= at < end_ms:
                yield FoundEvent(str(number), "s", at, message)


def used(**counts: int) -> str:
    return json.dumps({"message": "done", "used": counts})


LOGS = Logs(
    ledger=[platform_report(), used(s3_gets=1, s3_puts=2, firehose_bytes=5_120)],
    ledger_jobs=[platform_report(9_000, 3_008), used(s3_gets=30, s3_puts=8)],
    finance=[platform_report(300, 3_008), used(s3_gets=9, athena_bytes=10 * 1024**2)],
)


@pytest.fixture
def store(bucket: str, tmp_path: Path) -> Store:
    """A day of one request, compacted."""
    found = Store(bucket)
    at_ms = round(lines.NOON.timestamp() * 1000)
    events = [lines.log_event(line, f"r-{n}", at_ms + n) for n, line in enumerate(lines.request("r"))]
    ingest(lines.batch(events), found, "us-east-1")
    compact(found, BOOK, lines.NOON.date(), lines.NOON.date(), tmp_path)
    return found


def metered(store: Store, folder: Path, logs: Logs = LOGS, **settings: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "now": NOW, "hours": 2, "settle": timedelta(0), "region": "us-east-1", "architecture": "arm64", **settings,
    }  # fmt: skip
    return meter(list(logs.groups), logs, store, BOOK, folder=folder, **given).as_json()


def reported(store: Store, folder: Path, by: str = "component", filters: Filters = RANGE) -> dict[str, Any]:
    files = RowFiles(store, BOOK, folder / "rows", lambda: NOW)
    return LedgerReader(store, BOOK, files, lambda: NOW).report(filters, by, UTC)


def test_the_ledgers_own_cost_is_a_line_of_every_report_and_part_of_its_total(
    store: Store, tmp_path: Path
) -> None:
    before = reported(store, tmp_path)
    assert before["totals"]["components"]["metering"] is None  # nobody has counted it
    assert metered(store, tmp_path)["rows"] == 16
    after = reported(store, tmp_path)
    own = Decimal(after["totals"]["components"]["metering"])
    assert own > Decimal("0.0003")  # nine seconds of 3 GB are most of it
    assert Decimal(after["totals"]["total"]) == Decimal(before["totals"]["total"]) + own
    # It is no request, of nobody, and nothing that failed; what generate logged stays what it was.
    for same in ("requests", "billed_ms", "gb_s", "unpriced", "estimates"):
        assert after["totals"][same] == before["totals"][same], same
    assert after["totals"]["components"]["logs"] == before["totals"]["components"]["logs"]
    assert after["completeness"] == before["completeness"]
    assert {part["name"]: part["total"] for part in after["waste"]} == {
        part["name"]: part["total"] for part in before["waste"]
    }
    for dimension in ("outcome", "model", "tenant", "feature"):
        (line,) = [one for one in after["breakdowns"][dimension] if one["name"] == "(metering)"]
        assert (Decimal(line["total"]), line["requests"]) == (own, 0)
    assert {one["name"] for one in after["breakdowns"]["function"]} >= {"ledger", "ledger-jobs", "finance"}
    shown = Console(width=120, file=StringIO())
    show_report(after, shown)
    assert "metering" in shown.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    by_charge = reported(store, tmp_path, "tag:metering")["series"]["totals"]
    assert sum((Decimal(one["total"]) for one in by_charge if one["name"] != "(no tag)"), Decimal(0)) == own


def test_the_ledgers_own_cost_has_a_roll_up_so_that_no_report_makes_one(store: Store, tmp_path: Path) -> None:
    metered(store, tmp_path)
    assert reported(store, tmp_path)["totals"]["components"]["metering"] is not None
    assert not list((tmp_path / "rows").glob("*/rollup-of-*"))
    # Counted anew: the roll-up is that of the new rows.
    metered(store, tmp_path, logs=Logs(ledger=[platform_report()], ledger_jobs=[], finance=[]))
    again = reported(store, tmp_path)["totals"]["components"]["metering"]
    assert 0 < Decimal(again) < Decimal("0.0003")
    assert not list((tmp_path / "rows").glob("*/rollup-of-*"))


def test_one_tenants_report_has_no_part_of_what_is_everybodys(store: Store, tmp_path: Path) -> None:
    metered(store, tmp_path)
    filters = Filters(start=RANGE.start, end=RANGE.end, model="gpt-4o-mini")
    assert reported(store, tmp_path, filters=filters)["totals"]["components"]["metering"] is None


def test_exports_add_up_to_what_the_report_says(store: Store, tmp_path: Path) -> None:
    metered(store, tmp_path)
    total = Decimal(reported(store, tmp_path)["totals"]["total"])
    for kind in ("csv", "focus-csv"):
        rows = RowFiles(store, BOOK, tmp_path / "rows", lambda: NOW)
        request = ExportRequest(kind, RANGE)  # type: ignore[arg-type]  # the closed set's
        path, sidecar = export_range(store, BOOK, rows, request, tmp_path, NOW)
        assert Decimal(json.loads(sidecar.read_text())["total"]) == total
        column = "BilledCost" if kind == "focus-csv" else "total"
        assert sum(map(Decimal, cells(path, column)), Decimal(0)) == total
    services = set(cells(path, "ServiceName"))
    assert services >= {
        "Amazon S3",
        "Amazon Data Firehose",
        "Amazon Athena",
        "AWS Lambda",
        "Amazon CloudWatch",
    }


def cells(path: Path, column: str) -> list[str]:
    with path.open(newline="") as file:
        return [row[column].lstrip("'") for row in csv.DictReader(file)]


def test_counting_an_hour_again_replaces_it_and_leaves_the_others(store: Store, tmp_path: Path) -> None:
    metered(store, tmp_path)
    own = reported(store, tmp_path)["totals"]["components"]["metering"]
    assert metered(store, tmp_path)["rows"] == 16
    assert reported(store, tmp_path)["totals"]["components"]["metering"] == own
    # Hours later those lines are out of sight, and stay counted.
    later = {"now": NOW + timedelta(hours=6), "hours": 1}
    assert metered(store, tmp_path, **later)["rows"] == 16
    assert reported(store, tmp_path)["totals"]["components"]["metering"] == own


def test_a_closed_month_holds_its_own_cost_and_nobody_counts_there_again(
    store: Store, tmp_path: Path
) -> None:
    metered(store, tmp_path)
    closing = NOW + timedelta(days=20)
    document = close(store, "2026-11", closing, tmp_path)
    assert document["totals"]["requests"] == 1
    assert Decimal(document["totals"]["total"]) == Decimal(reported(store, tmp_path)["totals"]["total"])
    again = metered(store, tmp_path, Logs(ledger=[platform_report()]))
    assert (again["rows"], again["frozen"]) == (0, ["2026-11-22"])
    assert verify(store, "2026-11", tmp_path).problems == []


def test_the_ledger_function_says_what_it_asked_of_s3_and_what_firehose_took(
    bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_LEDGER_BUCKET", bucket)
    ledger._store.cache_clear()
    store = Store(bucket)
    events = [lines.log_event(line, f"e-{n}") for n, line in enumerate(lines.request("r"))]
    body = b"".join(lines.batch(events))
    event = {"detail": {"object": {"key": "landing/1"}}}
    store.client.put_object(Bucket=bucket, Key="landing/1", Body=body)
    said = []
    for _ in range(2):
        ledger.handler(event, SimpleNamespace(aws_request_id="i-1"))
        said.append(json.loads(capsys.readouterr().out)["used"])
    ledger._store.cache_clear()
    # A delivery that finds everything stored was billed by Firehose before.
    assert said == [{"s3_gets": 1, "s3_puts": 2, "firehose_bytes": 5_120}, {"s3_gets": 1, "s3_puts": 1}]
