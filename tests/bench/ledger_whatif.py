"""What finance asks beyond the report, over 1,000,000 requests a month: every scenario, two months compared, what latency
costs, the charges of a month explained.

One process has finance's application in it, over a bucket on moto's S3 that holds the compacted days of two months. The
first question fetches a month's files; each of those measured supposes what nobody supposed before, so that no answer
that was kept serves it.
"""

import json
import os
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.ledger_export import REQUESTS, month_of_rows
from tests.bench.ledger_report import AFTER_THE_MONTH, bucket_of
from tests.bench.tables import Bound, Table, spread

BEFORE = datetime(2026, 10, 1, tzinfo=UTC)
BOUND_S, MEMORY_BOUND_MB, TIMES = 2.0, 1000, 5
_MONTH = {"from": "2026-11-01", "to": "2026-12-01"}
_BEFORE = {"before_from": "2026-10-01", "before_to": "2026-10-31"}
_BY = ("tenant", "feature", "model", "outcome", "tag:team")


def run() -> list[Table]:
    """A row for each question; the first two and the memory have bounds."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        months = [
            path
            for month, start in (("before", BEFORE), ("after", datetime(2026, 11, 1, tzinfo=UTC)))
            for path in month_of_rows(folder / month, REQUESTS, month=start)
        ]
        with bucket_of(months) as environment:
            done = subprocess.run(
                [sys.executable, "-m", __name__],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | environment | {"TMPDIR": str(folder)},
            )
    found: dict[str, Any] = json.loads(done.stdout)
    questions = {
        "what if, all scenarios": "whatif",
        "two months compared": "compare",
        "what latency costs": "latency",
        "charges explained": "charges",
    }
    rows = [
        (words, spread(found[name], 2), spread(found[f"{name}_cpu"], 2)) for words, name in questions.items()
    ]
    bounds = (
        Bound("what if, all scenarios", min(found["whatif"]), BOUND_S, "s"),
        Bound("two months compared", min(found["compare"]), BOUND_S, "s"),
        Bound("peak memory of finance's process", found["peak"], MEMORY_BOUND_MB, "MB"),
    )
    columns = (f"over {REQUESTS:,} requests a month", "s, minimum (median)", "its CPU s")
    return [Table("What if", columns, rows, bounds)]


def _ask() -> dict[str, Any]:
    from starlette.testclient import TestClient

    from functions.finance import app as finance

    class At(finance.Services):
        def now(self) -> datetime:
            return AFTER_THE_MONTH

    client = TestClient(finance.create_app(At()))
    found: dict[str, Any] = {}

    def timed(name: str, **query: Any) -> None:
        began, began_cpu = time.perf_counter(), time.process_time()
        answer = client.get(f"/api/{name}", params={**_MONTH, **query}).raise_for_status().json()
        found.setdefault(f"{name}_cpu", []).append(time.process_time() - began_cpu)
        found.setdefault(name, []).append(time.perf_counter() - began)
        if (
            name == "compare"
            and (answer["before"]["requests"], answer["after"]["requests"]) != (REQUESTS,) * 2
        ):
            raise RuntimeError(
                f"expected two months of {REQUESTS} requests, got {answer['before']}, {answer['after']}"
            )

    client.get("/api/report", params=_MONTH).raise_for_status()  # fetches the files
    client.get("/api/compare", params={**_MONTH, **_BEFORE, "by": "function"}).raise_for_status()
    for n in range(TIMES):
        # Another zone's days are other rows, and nothing that was kept serves them.
        # From a minute later each time: no statement is one that was kept.
        span = {"from": f"2026-11-01T00:0{n}:00Z"}
        timed("whatif", **span, ttft_ms=-200 - n, to_model="gpt-4.1", to_region="eu-central-1")
        timed("compare", **_BEFORE, by=_BY[n])
        timed("latency", tz=("UTC", "Asia/Tokyo", "Asia/Kolkata", "America/New_York", "Europe/Berlin")[n])
        timed("charges", tenant=(None, "acme", "globex", "initech", "(unknown)")[n])
    return {**found, "peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


if __name__ == "__main__":
    print(json.dumps(_ask()))
