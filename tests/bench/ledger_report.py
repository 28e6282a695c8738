"""The month's report over 1,000,000 requests: how long, how much memory, and how both grow with the rows.

Each size has a process of its own with finance's application in it, over a bucket on moto's S3 that holds the month's
days as the ledger's jobs write them. The first question fetches the files; those after it, each of another series and
another time zone, find them on the disk and no answer that was kept; the last one is the same as the one before.
"""

import json
import logging
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.ledger_export import REQUESTS, month_of_rows
from tests.bench.tables import Bound, Table, spread
from tests.buckets import moto_server
from weir.ledger import s3_keys
from weir.ledger.duck import write_flat
from weir.ledger.metering import metering_rows
from weir.ledger.rollups import roll_up
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook

SIZES = (REQUESTS // 10, REQUESTS)
REPORT_BOUND_S, FIRST_BOUND_S, MEMORY_BOUND_MB, GROWTH_BOUND = 3.0, 2.0, 1000, 11
AFTER_THE_MONTH = datetime(2026, 12, 10, tzinfo=UTC)
# What the ledger's functions took in an hour of 1,400 requests.
_METERED = {
    name: {"invocations": 60, "mb_ms": 40_000_000, "log_bytes": 90_000, "s3_gets": 300, "s3_puts": 80}
    for name in ("weir-ledger", "weir-ledger-jobs")
}
_QUESTIONS = (
    {"by": "tenant", "tz": "Europe/Berlin"},
    {"by": "feature", "tz": "America/New_York"},
    {"by": "model", "tz": "Asia/Kolkata"},
    {"by": "outcome", "tz": "Asia/Tokyo"},
    {"by": "tag:team", "tz": "America/Sao_Paulo"},
)


def run() -> list[Table]:
    """One row a size; the bounds are the bigger one's, and that of the growth from the smaller."""
    with TemporaryDirectory() as name:
        measured = {size: _measure(size, Path(name) / str(size)) for size in SIZES}
    rows = [
        (
            f"{size:,}",
            took["first"],
            spread(took["reports"], 2),
            spread(took["cpu"], 2),
            took["again"],
            spread(took["pages"], 2),
            took["peak"],
        )
        for size, took in measured.items()
    ]
    small, big = (measured[size] for size in SIZES)
    columns = (
        "requests",
        "first report s",
        "another report s, minimum (median)",
        "its CPU s",
        "the same again s",
        "50 rows s, minimum (median)",
        "peak MB",
    )
    bounds = (
        Bound("month report with all breakdowns", min(big["reports"]), REPORT_BOUND_S, "s"),
        Bound("its first answer, files fetched", big["first"], FIRST_BOUND_S, "s"),
        Bound("peak memory of finance's process", big["peak"], MEMORY_BOUND_MB, "MB"),
        Bound("10 times the rows", min(big["reports"]) / min(small["reports"]), GROWTH_BOUND),
    )
    notes = (
        "A report is /api/report: sums, percentiles, series, five breakdowns, distribution, budget, hours.",
    )
    return [Table("Report of a month", columns, rows, bounds, notes)]


def _measure(size: int, folder: Path) -> dict[str, Any]:
    with bucket_of(month_of_rows(folder / "rows", size)) as environment:
        # As Lambda starts it: what INIT does is done before the first question.
        own = {
            "TMPDIR": str(folder),
            "WEIR_MONTHLY_BUDGET_USD": "5000",
            "AWS_LAMBDA_FUNCTION_NAME": "finance",
        }
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment | own,
        )
    figures: dict[str, Any] = json.loads(done.stdout)
    if figures["requests"] != size:
        raise RuntimeError(f"expected a report over {size} requests, got one over {figures['requests']}")
    return figures


@contextmanager
def bucket_of(files: list[Path]) -> Iterator[dict[str, str]]:
    """A bucket with what the ledger's jobs write of days; the environment that leads to it.

    Each day has its rows, their roll-up, what the ledger itself cost, and the count of reports in the log.
    """
    import boto3

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for every request
    known = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with moto_server() as url:
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1",
                              aws_access_key_id="test", aws_secret_access_key="test")  # fmt: skip
        client.create_bucket(Bucket="ledger")
        store, book = Store("ledger", client=client), PriceBook.load()
        for path in files:
            day = date.fromisoformat(path.parent.name.removeprefix("dt="))
            rollup, metering, metered = (
                path.with_name(f"{name}.parquet") for name in ("rollup", "metering", "rollup-of-metering")
            )
            if not rollup.exists():
                roll_up([path], rollup, {})
                hours = {f"{day}T{hour:02d}:00:00Z": _METERED for hour in range(24)}
                made = metering_rows(hours, book, region="us-east-1", architecture="arm64")
                write_flat(metering, made, {})
                roll_up([metering], metered, {})
            key = s3_keys.rows_key(day)
            store.upload(key, path)
            store.upload(s3_keys.rollup_key(key), rollup)
            store.upload(s3_keys.metering_rows_key(day), metering)
            store.upload(s3_keys.rollup_key(s3_keys.metering_rows_key(day)), metered)
            counted = {f"{day}T{hour:02d}:00:00Z": {"reports_in_log": 0} for hour in range(24)}
            store.put_completeness(day, {"hours": counted, "counted_until": f"{day}T23:59:59Z"})
        yield {**known, "AWS_ENDPOINT_URL": url, "WEIR_LEDGER_BUCKET": "ledger"}


def _ask() -> dict[str, Any]:
    from starlette.testclient import TestClient

    from functions.finance import app as finance

    class At(finance.Services):
        def now(self) -> datetime:
            return AFTER_THE_MONTH

    client = TestClient(finance.create_app(At()))
    answers: list[dict[str, Any]] = []
    cpu_s: list[float] = []

    def timed(path: str, **query: str) -> float:
        began, began_cpu = time.perf_counter(), time.process_time()
        answer = client.get(path, params={"from": "2026-11-01", "to": "2026-12-01", **query})
        answers.append(answer.raise_for_status().json())
        cpu_s.append(time.process_time() - began_cpu)
        return round(time.perf_counter() - began, 3)

    client.get("/").raise_for_status()  # the page, which asks for the report
    return {
        "first": timed("/api/report"),
        "requests": answers[0]["totals"]["requests"],
        "reports": [timed("/api/report", **question) for question in _QUESTIONS],
        "cpu": cpu_s[1 : 1 + len(_QUESTIONS)],
        "again": timed("/api/report", **_QUESTIONS[-1]),
        "pages": [timed("/api/requests", sort=sort) for sort in ("newest", "cost")],
        "peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    print(json.dumps(_ask()))
