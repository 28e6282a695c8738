"""A bill made from a ledger agrees with it to the last place; an error seeded into it is found, and named."""

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlglot

from infra.costs.bills.bill_files import read_bill
from infra.costs.bills.compare import Reason, Status
from infra.costs.bills.ledger_lines import LEDGER_LINES, SPEND
from infra.costs.bills.reconcile import Ask, Reconciliation, reconcile
from infra.local import bill as bills
from tests.functional.bills.ledgers import ARM, BOOK, X86, ledger, rows_of, utc
from weir.ledger.duck import connect, open_ledger, write_rows

# In Berlin the clocks go back at 01:00 UTC of the middle day.
HOUR = timedelta(hours=1)
START, DAY, HOURS = utc(2026, 10, 24), utc(2026, 10, 25), 72
BERLIN = ZoneInfo("Europe/Berlin")
ROWS = rows_of(START, HOURS)


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    return ledger(tmp_path_factory.mktemp("ledger"), ROWS)


@pytest.fixture
def seeded(query: Ask, tmp_path: Path) -> Callable[[bills.Seed], Reconciliation]:
    def run(seed: bills.Seed, file: str = "bill.csv", export: bills.Export = "cur") -> Reconciliation:
        path = tmp_path / file
        bills.write_bill(path, seed(bills.metered(query), BOOK), export)
        return reconcile(query, read_bill([path]), BOOK)

    return run


@pytest.mark.parametrize("export", ["cur", "focus"])
@pytest.mark.parametrize("file", ["bill.csv", "bill.csv.gz", "bill.parquet"])
def test_a_clean_bill_is_green_throughout(
    seeded: Callable[..., Reconciliation], file: str, export: bills.Export
) -> None:
    found = seeded(bills.charges, file, export)
    assert found.statuses == {Status.GREEN: len(found.comparisons), Status.AMBER: 0, Status.RED: 0}
    assert set(found.reasons) <= {Reason.ROUNDING}
    assert found.status is Status.GREEN
    # Three usage types of each function, nothing left out: every row is in.
    assert [total.usage_type for total in found.totals] == [
        "Lambda-GB-Second",
        "Lambda-GB-Second-ARM",
        "Lambda-Streaming-Response-Processed-Bytes",
        "Lambda-Streaming-Response-Processed-Bytes-ARM",
        "Request",
        "Request-ARM",
    ]
    assert sum(total.bill_quantity for total in found.totals if "Request" in total.usage_type) == len(ROWS)
    assert (found.left_out, found.warnings) == ({}, ())
    assert all(total.status is Status.GREEN for total in found.totals)


def test_requests_that_the_ledger_lost_are_missing_in_it_and_counted(query: Ask, tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    bills.write_bill(path, bills.charges(bills.metered(query), BOOK), "cur")
    count = round(len(ROWS) * 0.01)
    lost = Random(3).sample([row for row in ROWS if row.streamed_bytes == 20_000], count)
    kept = [row for row in ROWS if row not in lost]
    (tmp_path / "less").mkdir()
    found = reconcile(ledger(tmp_path / "less", kept), read_bill([path]), BOOK)
    assert {reason for reason in found.reasons if reason is not Reason.ROUNDING} == {Reason.MISSING_IN_LEDGER}
    missing = [entry for entry in found.comparisons if entry.reason is Reason.MISSING_IN_LEDGER]
    assert {entry.hour for entry in missing} == {hour_of(row.at) for row in lost}
    assert (
        -sum(
            (entry.quantity_difference or 0 for entry in missing if entry.usage.name == "Request"), Decimal(0)
        )
        == count
    )
    assert "requests (" in missing[0].detail and "are not in the ledger" in missing[0].detail
    assert found.status is Status.RED


def hour_of(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def differing(found: Reconciliation) -> dict[Reason | None, set[datetime]]:
    """The hours of each reason, of the lines that are not green."""
    hours: dict[Reason | None, set[datetime]] = {}
    for entry in found.differences():
        hours.setdefault(entry.reason, set()).add(entry.hour)
    return hours


def test_one_percent_more_requests_in_the_bill_is_one_percent_lost(
    seeded: Callable[..., Reconciliation],
) -> None:
    found = seeded(bills.lost(0.01, Random(5)))
    assert set(differing(found)) == {Reason.MISSING_IN_LEDGER}
    requests = [total for total in found.totals if total.usage_type.startswith("Request")]
    short = sum(total.bill_quantity - (total.ledger_quantity or 0) for total in requests)
    assert short == round(len(ROWS) * 0.01)
    assert {total.status for total in requests} <= {Status.AMBER, Status.RED}


def test_an_hour_that_the_bill_has_twice_is_a_doubled_hour(seeded: Callable[..., Reconciliation]) -> None:
    hour = DAY + timedelta(hours=9)
    found = seeded(bills.doubled(hour))
    assert differing(found) == {Reason.DOUBLED_HOUR: {hour}}
    entry = found.differences()[0]
    assert entry.percent == -50
    assert "the bill has this hour twice: bill.csv:" in entry.detail and "is repeated in" in entry.detail


def test_an_hour_that_the_ledger_has_twice_is_a_doubled_hour(query: Ask, tmp_path: Path) -> None:
    hour = DAY + timedelta(hours=9)
    path = tmp_path / "bill.csv"
    bills.write_bill(path, bills.charges(bills.metered(query), BOOK), "focus")
    twice = [*ROWS, *(row for row in ROWS if hour_of(row.at) == hour)]
    (tmp_path / "twice").mkdir()
    found = reconcile(ledger(tmp_path / "twice", twice), read_bill([path]), BOOK)
    assert differing(found) == {Reason.DOUBLED_HOUR: {hour}}
    assert found.differences()[0].detail == "the ledger has this hour twice"


def test_a_day_billed_with_twice_the_memory_is_wrong_memory(seeded: Callable[..., Reconciliation]) -> None:
    found = seeded(bills.wrong_memory(DAY.date()))
    hours = {DAY + timedelta(hours=number) for number in range(24)}
    assert differing(found) == {Reason.WRONG_MEMORY: hours}
    details = {entry.function_arn: entry.detail for entry in found.differences()}
    assert details[ARM].endswith("2 times the GB-seconds: the bill has 1024 MB, the ledger 512 MB")
    assert details[X86].endswith("2 times the GB-seconds: the bill has 3538 MB, the ledger 1769 MB")
    assert all("GB-Second" in str(entry.usage) for entry in found.differences())


def test_a_day_billed_on_the_other_architecture_is_wrong_architecture(
    seeded: Callable[..., Reconciliation],
) -> None:
    found = seeded(bills.wrong_architecture(DAY.date()))
    assert differing(found) == {
        Reason.WRONG_ARCHITECTURE: {DAY + timedelta(hours=number) for number in range(24)}
    }
    details = {entry.detail for entry in found.differences() if entry.function_arn == ARM}
    assert all("are arm64 in the ledger and x86_64 in the bill" in detail for detail in details)


@pytest.mark.parametrize(
    ("day", "zone"),
    [(DAY, "Europe/Berlin"), (DAY, "America/New_York"), (DAY, "Asia/Kolkata"), (DAY, "UTC")],
)
def test_a_day_in_wall_time_is_a_time_shift(
    seeded: Callable[..., Reconciliation], day: datetime, zone: str
) -> None:
    if zone == "Asia/Kolkata":
        with pytest.raises(
            ValueError, match=r"bill.csv, line \d+, column line_item_usage_start_date: expected the beg"
        ):
            seeded(bills.local_time(day.date(), ZoneInfo(zone)))
        return
    found = seeded(bills.local_time(day.date(), ZoneInfo(zone)))
    if zone == "UTC":
        assert found.status is Status.GREEN
        return
    assert set(differing(found)) == {Reason.TIME_SHIFT}
    # Nothing is lost by it: the sums agree.
    assert all(total.status is Status.GREEN for total in found.totals)
    (text,) = {entry.detail.partition(" (")[0] for entry in found.differences() if entry.function_arn == ARM}
    # Berlin is 2 h ahead of UTC until 01:00 and 1 h after; New York 4 h behind all day.
    berlin = "the bill has these figures +1 h and +2 h away"
    assert text == (berlin if zone == "Europe/Berlin" else "the bill has these figures -4 h away")
    if zone == "Europe/Berlin":
        assert all("daylight saving time changes" in entry.detail for entry in found.differences())


def test_the_day_on_which_clocks_go_forward_is_a_time_shift_too(tmp_path: Path) -> None:
    start = utc(2026, 3, 28)
    query = ledger(tmp_path, rows_of(start, 72))
    lines = bills.local_time(utc(2026, 3, 29).date(), BERLIN)(bills.metered(query), BOOK)
    bills.write_bill(tmp_path / "bill.csv", lines, "focus")
    found = reconcile(query, read_bill([tmp_path / "bill.csv"]), BOOK)
    assert set(differing(found)) == {Reason.TIME_SHIFT}


def test_a_whole_bill_in_wall_time_is_a_time_shift(query: Ask, tmp_path: Path) -> None:
    lines = bills.charges(bills.metered(query), BOOK)
    for day in range(3):
        seed = bills.local_time((START + timedelta(days=day)).date(), BERLIN)
        moved = seed(bills.metered(query), BOOK)
        lines = [
            new if old.hour.date() == (START + timedelta(days=day)).date() else old
            for old, new in zip(lines, moved, strict=True)
        ]
    bills.write_bill(tmp_path / "bill.csv", lines, "cur")
    found = reconcile(query, read_bill([tmp_path / "bill.csv"]), BOOK)
    assert set(differing(found)) == {Reason.TIME_SHIFT}


def test_errors_of_several_kinds_are_told_apart(query: Ask, tmp_path: Path) -> None:
    doubled, memory = START + timedelta(hours=5), DAY.date()
    lines = [
        *bills.wrong_memory(memory)(bills.metered(query), BOOK),
        *(
            line
            for line in bills.charges(bills.metered(query), BOOK)
            if line.hour == doubled.replace(tzinfo=None)
        ),
    ]
    bills.write_bill(tmp_path / "bill.csv", lines, "cur")
    less = [row for row in ROWS if not (row.at >= utc(2026, 10, 26, 12) and row.request_id.endswith("-0"))]
    (tmp_path / "less").mkdir()
    found = reconcile(ledger(tmp_path / "less", less), read_bill([tmp_path / "bill.csv"]), BOOK)
    hours = differing(found)
    assert set(hours) == {Reason.DOUBLED_HOUR, Reason.WRONG_MEMORY, Reason.MISSING_IN_LEDGER}
    assert hours[Reason.DOUBLED_HOUR] == {doubled}
    assert {hour.date() for hour in hours[Reason.WRONG_MEMORY]} == {memory}
    assert min(hours[Reason.MISSING_IN_LEDGER]) >= utc(2026, 10, 26, 12)


def test_what_came_after_the_close_counts_in_the_hour_that_it_corrects(query: Ask, tmp_path: Path) -> None:
    late = [
        row
        for row in ROWS
        if row.at >= DAY and row.request_id.endswith("-1") and row.streamed_bytes == 20_000
    ]
    booked = [row for row in ROWS if row not in late]
    write_rows(tmp_path / "late.parquet", late, {})
    write_rows(tmp_path / "booked.parquet", booked, {})
    with connect() as connection:
        # As the books write it: a row on the day that it was found.
        found_on = "at_utc + INTERVAL 40 DAY"
        connection.execute(
            f"COPY (SELECT * REPLACE ('correction' AS entry, '2026-10' AS corrects, at_utc AS corrects_at, "
            f"{found_on} AS at_utc, CAST({found_on} AS DATE) AS day) FROM '{tmp_path}/late.parquet') "
            f"TO '{tmp_path}/correction.parquet' (FORMAT parquet)"
        )
    with open_ledger([tmp_path / "booked.parquet", tmp_path / "correction.parquet"]) as connection:

        def ask(sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
            return connection.execute(sql, parameters).fetchall()

        bills.write_bill(tmp_path / "whole.csv", bills.charges(bills.metered(query), BOOK), "cur")
        assert reconcile(ask, read_bill([tmp_path / "whole.csv"]), BOOK).status is Status.GREEN
        # A bill that was exported before they came.
        (tmp_path / "booked").mkdir()
        early = bills.metered(ledger(tmp_path / "booked", booked))
        bills.write_bill(tmp_path / "early.csv", bills.charges(early, BOOK), "cur")
        found = reconcile(
            ask, read_bill([tmp_path / "early.csv"]), BOOK, start=START, end=START + HOUR * HOURS
        )
    assert differing(found) == {Reason.LATE_CORRECTION: {hour_of(row.at) for row in late}}


def test_an_empty_ledger_agrees_with_nothing(query: Ask, tmp_path: Path) -> None:
    bills.write_bill(tmp_path / "bill.csv", bills.charges(bills.metered(query), BOOK), "cur")
    found = reconcile(ledger(tmp_path, []), read_bill([tmp_path / "bill.csv"]), BOOK)
    assert set(found.reasons) == {Reason.MISSING_IN_LEDGER}
    assert found.statuses[Status.RED] == len(found.comparisons) > 0
    assert found.left_out == {}


def test_what_is_not_compared_is_counted_with_its_cost(query: Ask, tmp_path: Path) -> None:
    invocations = bills.metered(query)
    other = [bills.replace(one, function_arn=f"{ARM}-other") for one in invocations[:3]]
    rows = bills.records(bills.charges([*invocations, *other], BOOK), "cur")
    rows.append({**rows[0], "line_item_line_item_type": "Tax", "line_item_unblended_cost": "1.25"})
    rows.append({**rows[0], "line_item_line_item_type": "Credit", "line_item_unblended_cost": "-3"})
    rows.append(
        {**rows[0], "line_item_line_item_type": "SavingsPlanNegation", "line_item_unblended_cost": "-2"}
    )
    rows.append({**rows[0], "line_item_product_code": "AmazonS3"})
    rows.append(
        {**rows[0], "line_item_usage_type": "USW2-USE1-AWS-Out-Bytes", "line_item_unblended_cost": "0.5"}
    )
    with (tmp_path / "bill.csv").open("w") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    found = reconcile(query, read_bill([tmp_path / "bill.csv"]), BOOK)
    left_out = {reason: (entry.lines, entry.cost) for reason, entry in found.left_out.items()}
    lines_of_other, cost_of_other = left_out.pop(f"function not compared: {ARM}-other")
    assert lines_of_other >= 2 and cost_of_other > 0
    assert left_out == {
        "tax": (1, Decimal("1.25")),
        "credit": (1, Decimal(-3)),
        "savings plan negation": (1, Decimal(-2)),
        "another service": (1, Decimal(0)),
        "not metered by request: USW2-USE1-AWS-Out-Bytes": (1, Decimal("0.5")),
    }
    assert found.status is Status.GREEN
    bill = read_bill([tmp_path / "bill.csv"])
    assert reconcile(query, bill, BOOK).as_json() == reconcile(query, bill, BOOK).as_json() == found.as_json()
    part = reconcile(query, bill, BOOK, start=START, end=DAY, functions=[ARM])
    assert part.left_out["outside the range"].lines > 100
    assert {entry.function_arn for entry in part.comparisons} == {ARM}
    assert {entry.hour.date() for entry in part.comparisons} == {START.date()}


def test_the_result_reads_as_json_text_and_csv(seeded: Callable[..., Reconciliation]) -> None:
    hour = DAY + timedelta(hours=9)
    found = seeded(bills.doubled(hour))
    document = json.loads(json.dumps(found.as_json()))
    assert document["status"] == "red"
    assert document["range"] == {"from": "2026-10-24T00:00:00.000Z", "to": "2026-10-27T00:00:00.000Z"}
    assert document["lines"]["green"] + document["lines"]["red"] == len(document["comparisons"])
    assert document["reasons"]["doubled_hour"]["lines"] == document["lines"]["red"]
    amounts = [
        Decimal(entry["cost_difference"]) for entry in document["comparisons"] if entry["status"] == "red"
    ]
    assert sum(amounts) == Decimal(document["reasons"]["doubled_hour"]["cost_difference"])
    coverage = document["coverage"]
    assert Decimal(coverage["compared"]) == sum(entry.ledger.cost for entry in found.comparisons)
    assert Decimal(coverage["spend"]) > Decimal(coverage["compared"])  # tokens are not on Lambda's bill
    text = found.text()
    percent = 100 * Decimal(coverage["compared"]) / Decimal(coverage["spend"])
    assert f"{percent:.1f} % of the range's spend" in text
    assert "2026-10-25 09:00  generate" in text and "doubled_hour" in text
    assert all(len(line) < 200 for line in text.splitlines())
    rows = list(csv.DictReader(io.StringIO(found.csv())))
    assert len(rows) == len(found.comparisons)
    assert rows[0]["function_arn"] == ARM
    assert {row["reason"] for row in rows if row["status"] == "red"} == {"doubled_hour"}


@pytest.mark.parametrize("query", [LEDGER_LINES, SPEND])
def test_the_query_is_one_that_athena_runs(query: str) -> None:
    (parsed,) = sqlglot.parse(query, read="trino")
    assert parsed is not None
    names = {call.sql_name().lower() for call in parsed.find_all(sqlglot.exp.Func)}
    assert names <= {
        "timestamp_trunc",
        "date_trunc",
        "coalesce",
        "sum",
        "count",
        "case",
        "if",
        "and",
        "element_at",
        "bracket",
    }, names
