"""Ledgers to hold bills against: requests of two functions over some days, as logged, joined and written as Parquet."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from infra.costs.bills.reconcile import Ask
from tests import log_lines as lines
from weir.ledger.duck import open_ledger, write_rows
from weir.ledger.join import join
from weir.ledger.row import Row
from weir.pricing.price_book import PriceBook

BOOK = PriceBook.load()
ARM = "arn:aws:lambda:us-east-1:123456789012:function:generate"
X86 = "arn:aws:lambda:us-east-1:123456789012:function:generate-x86"


def rows_of(start: datetime, hours: int, *, per_hour: int = 6, seed: int = 7) -> list[Row]:
    """Up to `per_hour` requests an hour of each of two functions, of any length; some stream beyond 6 MB."""
    choice = Random(seed)
    written: list[Any] = []
    for hour in range(hours):
        for arn, architecture, memory in ((ARM, "arm64", 512), (X86, "x86_64", 1769)):
            for number in range(choice.randint(1, per_hour)):
                at = start + timedelta(hours=hour, milliseconds=choice.randrange(3_600_000))
                name = f"{architecture}-{hour}-{number}"
                request = lines.request(
                    name,
                    choice.randint(900, 9_000),
                    function=arn.rpartition(":")[2],
                    function_arn=f"{arn}:live",  # invoked by its alias
                    architecture=architecture,
                    memory_mb=memory,
                    streamed_bytes=choice.choice((20_000, 20_000, 9 * 1024**2)),
                )
                request[-1]["record"]["metrics"]["memorySizeMB"] = memory
                written += [
                    lines.log_event(line, f"{name}-{n}", round(at.timestamp() * 1000))
                    for n, line in enumerate(request)
                ]
    return join(lines.read_batch(lines.batch(written), region="us-east-1").records, BOOK)


def ledger(folder: Path, rows: Iterable[Row]) -> Ask:
    """The rows as a table to ask."""
    file = folder / "rows.parquet"
    write_rows(file, rows, {"facts": "test"})
    connection = open_ledger([file], memory="300MB")

    def query(sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        return connection.execute(sql, parameters).fetchall()

    return query


def utc(*parts: int) -> datetime:
    """An instant in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]
