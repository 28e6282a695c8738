"""The commands: each takes its options, asks the use case, and shows what came; it returns the exit code."""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from infra.costs.bills.bill_files import read_bill
from infra.costs.bills.reconcile import reconcile as compare
from weir.ledger.close import close as close_month
from weir.ledger.close import closed_months, correct, verify
from weir.ledger.compact import compact as compact_days
from weir.ledger.reprice import reprice as price_again
from weir.reports.budget import budget_from
from weir.reports.engine import DuckEngine
from weir.reports.export import ExportRequest, export_range
from weir.reports.params import by_of, zone_of
from weir.reports.parquet_cache import RowFiles
from weir.reports.report import LedgerReader

from .closing import doubts
from .filters import filters_of, span_of
from .ledger import Ledger, UsageError
from .progress import progress
from .tables import show_report, show_reprice

DISAGREES = 1  # exit code: what was compared does not agree


def now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


def report(ledger: Ledger, given: argparse.Namespace) -> int:
    """Totals and breakdowns."""
    asked, zone, by = filters_of(given, now()), zone_of(given.tz), by_of(given.by)
    budget = budget_from("--budget", given.budget)
    with TemporaryDirectory(prefix="costs-") as folder, progress() as tell:
        files = RowFiles(ledger.store, ledger.book, Path(folder), now)
        found = LedgerReader(ledger.store, ledger.book, files, now, budget=budget).report(
            asked, by, zone, tell
        )
    if given.json:
        _print_json(found)
    else:
        show_report(found, Console())
    return 0


def export(ledger: Ledger, given: argparse.Namespace) -> int:
    """The rows as files."""
    asked = filters_of(given, now())
    given.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="costs-") as folder, progress() as tell:
        rows = RowFiles(ledger.store, ledger.book, Path(folder), now)
        request = ExportRequest(format=given.format, filters=asked, time_zone=given.tz)
        written = export_range(ledger.store, ledger.book, rows, request, given.out, now(), tell)
    for path in written:
        print(path)
    return 0


def reconcile(ledger: Ledger, given: argparse.Namespace) -> int:
    """The ledger against a bill; 1 where a line is red."""
    span = span_of(given, now()) if given.start or given.end else None
    start, end = (span.start, span.end) if span else (None, None)
    with TemporaryDirectory(prefix="costs-") as folder, progress() as tell:
        bill = read_bill(given.bill, lambda name: tell(f"read {name}", 0, len(given.bill)))
        hours = [line.hour for line in bill.lines]
        first = (start or min(hours, default=now())).date()
        # To today: what was corrected lies on the day on which it was found.
        opened = RowFiles(ledger.store, ledger.book, Path(folder), now).files(first, now().date(), tell)
        with DuckEngine(opened.files) as engine:
            found = compare(engine.query, bill, ledger.book, start=start, end=end, functions=given.function)
    if given.csv:
        given.csv.write_text(found.csv())
    if given.json:
        _print_json(found.as_json())
    else:
        print(found.text(), end="")
    return DISAGREES if found.status == "red" else 0


def reprice(ledger: Ledger, given: argparse.Namespace) -> int:
    """What is booked, at the prices of today's book."""
    if given.corrections and not given.apply:
        raise UsageError("--corrections: expected --apply beside it, got it alone")
    first, last = span_of(given, now()).days
    with TemporaryDirectory(prefix="costs-") as folder, progress() as tell:
        found = price_again(
            ledger.store, ledger.book, first, last, now(), Path(folder), tell,
            apply=given.apply, closed_too=given.corrections,
        )  # fmt: skip
    if given.json:
        _print_json(found.as_json())
    else:
        show_reprice(found.as_json(), Console())
    return 0


def close(ledger: Ledger, given: argparse.Namespace) -> int:
    """Close a month for good, or compare a closed one with its document; 1 where it does not hold."""
    with TemporaryDirectory(prefix="costs-") as folder, progress() as tell:
        if given.verify:
            verified = verify(ledger.store, given.month, Path(folder), tell)
            _print_json(verified.as_json())
            return DISAGREES if verified.problems else 0
        closed = close_month(ledger.store, given.month, now(), Path(folder), tell)
    _print_json(closed)
    for doubt in doubts(closed):
        print(f"costs close: {given.month}: {doubt}", file=sys.stderr)
    return 0


def compact(ledger: Ledger, given: argparse.Namespace) -> int:
    """Compact the open days of the range whose facts have changed, and book what came to its closed months."""
    first, last = span_of(given, now()).days
    with TemporaryDirectory(prefix="costs-") as folder, progress() as tell:
        done = compact_days(ledger.store, ledger.book, first, last, Path(folder), tell)
        corrected = [
            correct(ledger.store, ledger.book, month, now(), Path(folder), tell)
            for month in closed_months(ledger.store, first, last)
        ]
    _print_json({**done.as_json(), "corrections": [entry.as_json() for entry in corrected]})
    return 0


def _print_json(document: Any) -> None:
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    print()
