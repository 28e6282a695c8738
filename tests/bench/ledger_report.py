"""The month's report over 1,000,000 requests: how long, how much memory, and how both grow with the rows.

Each size has a process of its own with finance's application in it, over a bucket on moto's S3 that holds the month's
compacted days. The first question fetches the files; those after it, each of another series and another time zone, find
them on the disk and no answer that was kept; the last one is the same as the one before.
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
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.ledger_export import REQUESTS, month_of_rows
from tests.bench.tables import Bound, Table, spread
from tests.buckets import moto_server

SIZES = (REQUESTS // 10, REQUESTS)
REPORT_BOUND_S, FIRST_BOUND_S, MEMORY_BOUND_MB, GROWTH_BOUND = 3.0, 2.0, 1000, 11
AFTER_THE_MONTH = datetime(2026, 12, 10, tzinfo=UTC)
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
        own = {"TMPDIR": str(folder), "WEIR_MONTHLY_BUDGET_USD": "5000"}
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
    """A bucket with compacted days; the environment that leads to it."""
    import boto3

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for every request
    known = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with moto_server() as url:
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1",
                              aws_access_key_id="test", aws_secret_access_key="test")  # fmt: skip
        client.create_bucket(Bucket="ledger")
        for path in files:
            client.upload_file(str(path), "ledger", f"rows/v1/{path.parent.name}/rows.parquet")
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
