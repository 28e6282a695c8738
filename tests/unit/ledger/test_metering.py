"""What the ledger itself cost: counted in the lines of its functions, priced by the book, never a request's."""

import json
from decimal import Decimal
from typing import Any

import pytest

from tests import log_lines as lines
from weir.ledger.metering import (
    CHARGES,
    Quantities,
    Used,
    athena_bytes,
    firehose_bytes,
    metering_rows,
)
from weir.ledger.table import COLUMNS
from weir.pricing.price_book import PriceBook

BOOK = PriceBook.load()
HOUR = "2026-11-22T12:00:00Z"


def report(billed_ms: object = 1_200, memory_mb: object = 1_769) -> str:
    line = lines.platform("report", "m-1")
    line["record"]["metrics"] = {"billedDurationMs": billed_ms, "memorySizeMB": memory_mb}
    return json.dumps(line)


def rows(counted: dict[str, Any], **place: Any) -> dict[str, dict[str, Any]]:
    where = {"region": "us-east-1", "architecture": "arm64", **place}
    made = metering_rows({HOUR: {"ledger": counted}}, BOOK, **where)
    return {row["tags"]["metering"]: row for row in made}


def test_a_function_s_lines_are_counted_by_their_bytes_its_reports_and_what_it_says_it_used() -> None:
    used = {"used": {"s3_gets": 3, "s3_puts": 2, "firehose_bytes": 5120}, "message": "landing.ingested"}
    said = [report(), json.dumps(used), "INIT_START Python 3.13 ü"]
    counted = Quantities()
    for line in said:
        counted.add_line(line)
    assert counted == Quantities(1, 1_200 * 1_769, sum(len(line.encode()) for line in said), 3, 2, 5_120, 0)
    assert Quantities.of(counted.as_json() | {"later": 1}) == counted


@pytest.mark.parametrize(
    "line",
    [
        '{"used": {"s3_gets": ',
        '{"used": {"s3_gets": -1, "s3_puts": true, "firehose_bytes": 1e99, "athena_bytes": "7"}}',
        '{"used": 7}',
        '["platform.report", "used"]',
        report("1200", None),
        json.dumps({**json.loads(report()), "beside": 1}),
        json.dumps({"message": {"type": "platform.report", "record": {"metrics": {"billedDurationMs": 9}}}}),
    ],
    ids=["cut", "no counts", "no object", "no line", "no numbers", "forged", "nested"],
)
def test_a_line_that_is_no_report_and_counts_nothing_is_bytes_alone(line: str) -> None:
    counted = Quantities()
    counted.add_line(line)
    assert counted.log_bytes == len(line)
    assert (counted.mb_ms, counted.s3_gets, counted.s3_puts, counted.firehose_bytes, counted.athena_bytes) == (
        0, 0, 0, 0, 0,
    )  # fmt: skip


def test_each_quantity_is_a_row_of_its_price_and_nothing_is_none() -> None:
    gib = 1024**3
    counted = {
        "invocations": 10, "mb_ms": 1000 * 1024 * 60, "log_bytes": gib, "s3_gets": 1000, "s3_puts": 1000,
        "firehose_bytes": gib, "athena_bytes": 1024**4,
    }  # fmt: skip
    found = rows(counted)
    assert {name: Decimal(row["cost_metering"]) for name, row in found.items()} == {
        "lambda_duration": Decimal("0.000800004"),
        "lambda_request": Decimal("0.000002"),
        "logs": Decimal("0.5"),
        "s3_get": Decimal("0.0004"),
        "s3_put": Decimal("0.005"),
        "firehose": Decimal("0.029"),
        "athena": Decimal("5"),
    }
    assert tuple(found) == CHARGES
    for row in found.values():
        assert row.keys() == {column.name for column in COLUMNS}
        assert (row["entry"], row["total"], row["function"]) == ("metering", row["cost_metering"], "ledger")
        assert all(row[name] is None for name in ("tenant", "outcome", "cost_logs", "billed_ms", "log_bytes"))
    assert len({row["request_id"] for row in found.values()}) == len(CHARGES)
    assert list(rows({"log_bytes": 5})) == ["logs"]


def test_a_charge_without_a_price_is_named_and_its_total_a_lower_bound() -> None:
    (row,) = rows({"s3_gets": 7}, region="mars-north-1").values()
    assert (row["cost_metering"], row["total"], row["unpriced"]) == (
        None,
        "0",
        ["metering_without_price:s3_get_request"],
    )


def test_firehose_bills_5_kb_begun_and_athena_10_mb_at_least() -> None:
    assert [firehose_bytes(size) for size in (1, 5_120, 5_121)] == [5_120, 5_120, 10_240]
    mb = 1024**2
    assert [athena_bytes(size) for size in (0, 10 * mb, 10 * mb + 1)] == [10 * mb, 10 * mb, 11 * mb]


def test_what_was_used_is_taken_once() -> None:
    used = Used(s3_gets=2)
    assert used.take().as_json() == {"s3_gets": 2}
    assert used.take().as_json() == {}
