"""How long exports of 1,000,000 requests take, and how much memory: each in a process of its own.

20,000 made requests go through the join; their rows, under other ids and spread over a month's day files, are the
ledger that is exported. A workbook is measured on 100,000 rows: it is written cell by cell.
"""

import json
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.tables import Bound, Table
from tests.made_ledger import made_ledger
from weir.ledger.duck import open_ledger, write_query
from weir.ledger.table import COLUMNS
from weir.reports.export import ExportContext, ExportRequest, export
from weir.reports.params import EXPORT_FORMATS, ExportFormat
from weir.reports.queries import Filters

REQUESTS = 1_000_000
JOINED = 20_000
XLSX_REQUESTS = 100_000
MONTH = datetime(2026, 11, 1, tzinfo=UTC)
DAYS = 30
FOCUS_BOUND_S = 30.0


def run() -> list[Table]:
    """One row a format; FOCUS as Parquet has a bound."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        million = month_of_rows(folder / "million", REQUESTS)
        workbook = month_of_rows(folder / "workbook", XLSX_REQUESTS)
        rows, bounds = [], []
        for kind in EXPORT_FORMATS:
            files = workbook if kind == "xlsx" else million
            took = _measure(kind, files, folder)
            requests = XLSX_REQUESTS if kind == "xlsx" else REQUESTS
            rows.append((kind, f"{requests:,}", *took.values()))
            if kind == "focus":
                bounds = [Bound("1,000,000 requests as FOCUS Parquet", took["seconds"], FOCUS_BOUND_S, "s")]
    columns = ("format", "requests", "seconds", "CPU s", "peak MB", "rows", "file MB")
    notes = (
        f"{JOINED:,} requests joined from made log lines, repeated; DuckDB may use 700 MB and 2 threads.",
    )
    return [Table("Exports", columns, rows, bounds, notes)]


def month_of_rows(folder: Path, count: int, joined: int = JOINED, month: datetime = MONTH) -> list[Path]:
    """Day files of 30 days with `count` rows altogether, copies of `joined` made requests."""
    folder.mkdir(parents=True)
    source = made_ledger(folder / "source", joined)
    each, files = count // DAYS + 1, []
    with open_ledger(source, writes=[folder]) as connection:
        connection.execute("CREATE TABLE joined AS SELECT *, row_number() OVER () - 1 AS place FROM ledger")
        for day in range(DAYS):
            of_day = (month + timedelta(days=day)).date()
            rows = min(each, count - day * each)
            own = {
                "request_id": f"'{day:04d}' || lpad(CAST(copied.number AS varchar), 8, '0') || substr(request_id, 13)",
                "at_utc": f"TIMESTAMP '{of_day}' + to_milliseconds(copied.number * {86_400_000 // each})",
                "day": f"DATE '{of_day}'",
            }
            selected = ", ".join(f"{own.get(c.name, c.name)} AS {c.name}" for c in COLUMNS)
            sql = (
                f"SELECT {selected} FROM range({rows}) AS copied(number) "
                f"JOIN joined ON place = (number * 7 + {day}) % {joined} ORDER BY copied.number"
            )
            files.append(folder / f"dt={of_day}/rows.parquet")
            files[-1].parent.mkdir()
            write_query(connection, files[-1], sql, {})
    return files


def _measure(kind: ExportFormat, files: list[Path], folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", __name__, kind, str(folder), *map(str, files)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _export(kind: ExportFormat, folder: Path, files: list[Path]) -> dict[str, float]:
    filters = Filters(start=MONTH, end=MONTH + timedelta(days=DAYS))
    context = ExportContext(price_book_version="made", generated_at=MONTH)
    began = time.perf_counter()
    path, sidecar = export(files, ExportRequest(kind, filters), folder, context)
    seconds = time.perf_counter() - began
    described = json.loads(sidecar.read_text())["file"]
    path.unlink()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": round(seconds, 1),
        "cpu": round(used.ru_utime + used.ru_stime, 1),
        "peak": round(used.ru_maxrss / 1024),
        "rows": described["rows"],
        "file": round(described["bytes"] / 1e6, 1),
    }


if __name__ == "__main__":
    asked: ExportFormat = sys.argv[1]  # type: ignore[assignment]
    print(json.dumps(_export(asked, Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])))
