"""Ledgers to test with: log lines of made requests, joined and written as the ledger does it, one file a UTC day."""

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from tests import log_lines
from weir.ledger.duck import open_ledger, write_query, write_rows
from weir.ledger.join import join
from weir.ledger.log_records import RawRecord
from weir.ledger.row import Row
from weir.ledger.table import COLUMNS
from weir.pricing.price_book import PriceBook

OCTOBER_END = datetime(2026, 10, 31, 20, 0, tzinfo=UTC)
MODELS = ("gpt-4o-mini-2024-07-18", "gpt-4.1", "claude-haiku-4-5", "a-model-nobody-priced")
OUTCOMES = ("ok",) * 12 + ("invalid_output", "upstream_error", "client_disconnected", "truncated_output")
# Every column that a correction holds as a difference; the rest says which request it is about.
_DIFFERENCES = {"bigint", "double", "decimal(38,15)"}


def made_records(
    count: int, start: datetime = OCTOBER_END, hours: float = 30, seed: int = 5
) -> list[RawRecord]:
    """The records of `count` requests, spread over `hours`: mostly well, some killed, unbilled, cold or unpriced."""
    chance = random.Random(seed)
    records: list[RawRecord] = []
    for number in range(count):
        request_id = f"{number:08d}-0000-4000-8000-{seed:012d}"
        at = start + timedelta(hours=hours * number / count, milliseconds=chance.randrange(1000))
        records += _records(_request(request_id, chance), request_id, round(at.timestamp() * 1000), number)
    return records


def row_as_json(row: Row) -> dict[str, Any]:
    """The row as the API shows it, made from the row itself."""
    shown: dict[str, Any] = {}
    for column in COLUMNS:
        *folders, name = column.path
        place = shown
        for folder in folders:
            place = place.setdefault(folder, {})
        value = column.value(row)
        place[name] = f"{value}Z" if value and column.type.startswith("timestamp") else value
    shown["usage"]["total_tokens"] = row.usage.total_tokens
    shown["cost"]["currency"] = "USD"
    return shown


def write_days(folder: Path, rows: Iterable[Row]) -> list[Path]:
    """The day files of `rows`."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for day, of_day in groupby(sorted(rows, key=lambda row: row.day), key=lambda row: row.day):
        files.append(folder / f"{day.isoformat()}.parquet")
        write_rows(files[-1], list(of_day), {"price-book": "made"})
    return files


def made_ledger(folder: Path, count: int, **spread: Any) -> list[Path]:
    """The day files of `count` made requests."""
    return write_days(folder, join(made_records(count, **spread), PriceBook.load()))


def write_corrections(path: Path, files: list[Path], count: int, found_at: datetime) -> Path:
    """Correction rows for October's first `count` rows: they turn out to have used a tenth more of everything."""
    own = {
        "entry": "'correction'",
        "corrects": "'2026-10'",
        "corrects_at": "at_utc",
        "at_utc": f"TIMESTAMP '{found_at.replace(tzinfo=None).isoformat(sep=' ')}'",
        "day": f"DATE '{found_at.date().isoformat()}'",
        "ttft_ms": "CAST(NULL AS double)",
        "total": " + ".join(f"coalesce({_tenth(name)}, 0)" for name in _names("cost_")),
    }
    selected = ", ".join(
        f"{own.get(c.name) or (_tenth(c.name) if c.type in _DIFFERENCES else c.name)} AS {c.name}"
        for c in COLUMNS
    )
    sql = f"SELECT {selected} FROM ledger WHERE at_utc < TIMESTAMP '2026-11-01' ORDER BY ledger.at_utc LIMIT {count}"
    with open_ledger(files) as connection:
        write_query(connection, path, sql, {})
    return path


def _names(prefix: str) -> list[str]:
    return [column.name for column in COLUMNS if column.name.startswith(prefix)]


def _tenth(name: str) -> str:
    kind = next(column.type for column in COLUMNS if column.name == name)
    return f"CAST({name} * 0.1 AS {kind})"


def _request(request_id: str, chance: random.Random) -> Iterator[Mapping[str, Any]]:
    """The log lines of one request; a fifth of them unlike the others."""
    outcome = chance.choice(OUTCOMES)
    model = chance.choices(MODELS, (60, 20, 19, 1))[0]
    billed_ms = chance.randrange(300, 20_000)
    wait_ms = round(billed_ms * chance.uniform(0.05, 0.3), 1)
    stream_ms = round(billed_ms * chance.uniform(0.3, 0.6), 1)
    dimensions = {
        "tenant": chance.choice(("acme", "globex", "initech", None)),
        "tags": {"feature": chance.choice(("summaries", "search", "chat")), "team": "größe"},
        "memory_mb": chance.choice((512, 1024, 1769)),
        "model": model,
    }
    served = outcome != "upstream_error"
    input_tokens, output_tokens = chance.randrange(50, 4000), chance.randrange(10, 3000)
    usage = log_lines.usage(
        input_tokens if served else None,
        output_tokens if served else None,
        cached_input_tokens=input_tokens // 2 if chance.random() < 0.2 else 0,
    )
    cold = {"initDurationMs": 612.5} if chance.random() < 0.03 else {}
    kind = chance.random()
    yield log_lines.platform("start", request_id, version="$LATEST")
    yield log_lines.fact("request.started", request_id, **dimensions)
    if kind > 0.02:
        timing = {
            "duration_ms": billed_ms - 0.4,
            "wait_ms": wait_ms,
            "stream_ms": stream_ms,
            "validate_ms": round(billed_ms * 0.01, 1),
            "ttft_ms": round(wait_ms + 20, 1),
            "ttlt_ms": wait_ms + stream_ms,
            "event_loop_gap_ms": None,
        }
        attempt = {"attempt": 1, "model": model, "outcome": outcome, "usage": usage, "timing": timing}
        yield log_lines.completed(
            request_id,
            outcome=outcome,
            model_returned=model if served else None,
            usage=usage,
            attempts=[attempt],
            timing=timing,
            streamed_bytes=chance.choice((20_000, 20_000, 20_000, 9_000_000)),
            **dimensions,
        )
    if kind < 0.99:
        status = "success" if kind > 0.02 else "timeout"
        yield log_lines.report(
            request_id, billed_ms, status=status, **{"memorySizeMB": dimensions["memory_mb"], **cold}
        )


def _records(
    lines: Iterable[Mapping[str, Any]], request_id: str, at_ms: int, number: int
) -> Iterator[RawRecord]:
    for place, line in enumerate(lines):
        body = line.get("fact") or line["record"]
        kind = line.get("message") or line["type"]
        yield RawRecord(
            log_group=log_lines.GROUP,
            log_stream=log_lines.STREAM,
            event_id=f"{number:012d}{place}",
            timestamp_ms=at_ms + place,
            kind=kind,
            request_id=request_id,
            region="us-east-1",
            body=body,
            line_bytes=len(json.dumps(line)),
        )
