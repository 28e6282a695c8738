"""Bill files: read whole, or refused with the file, the line and the column; nothing is dropped without a word."""

import csv
import gzip
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.costs.bills.bill_files import read_bill
from infra.costs.bills.lines import BillError, Charge
from infra.local import bill as bills
from tests.corpora import corpus
from tests.functional.bills.ledgers import ARM, BOOK, utc

START = utc(2026, 11, 1)
INVOCATIONS = [
    bills.Invocation(START + timedelta(minutes=20 * number), ARM, "eu-west-1", "arm64", 512, 1_000 + number)
    for number in range(12)
]


class Prices:
    """Another region's prices, as a contract."""

    book = BOOK.load(
        {
            "records": [
                {"item": item, "region": "eu-west-1", "architecture": architecture, "unit": "unit",
                 "valid_from": "2026-01-01", "valid_to": None, "tiers": [{"up_to": None, "price": price}]}
                for item, architecture, price in (("duration", "arm64", "0.0000133334"), ("request", None, "0.0000002"))
            ]
        }
    )  # fmt: skip


def rows(export: bills.Export = "cur") -> list[dict[str, str]]:
    return bills.records(bills.charges(INVOCATIONS, Prices.book), export)


def written(path: Path, records: list[dict[str, str]], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return path


def test_the_published_lines_are_read_and_reproduce_exactly() -> None:
    found = read_bill([corpus("focus_aws_lambda_rows.csv")])
    assert len(found.lines) == 9
    for line in found.lines:
        assert line.price is not None
        assert bills.line_cost(line.quantity, line.price) == line.cost
    metered = [str(line.usage) for line in found.lines if line.usage is not None]
    assert metered == [
        "Lambda-GB-Second",
        "Request",
        "Request",
        "Lambda-GB-Second",
        "Lambda-GB-Second",
        "Lambda-Provisioned-GB-Second",
    ]
    assert sum(line.function_arn is None for line in found.lines) == 3  # data transfer
    assert found.lines[0].hour == utc(2024, 9, 2, 6)
    assert found.lines[0].region == "us-west-2"
    assert (found.left_out, found.warnings) == ({}, [])


@pytest.mark.parametrize("export", ["cur", "focus"])
@pytest.mark.parametrize("name", ["bill.csv", "bill.csv.gz", "bill.parquet"])
def test_every_kind_of_file_gives_the_same_lines(tmp_path: Path, name: str, export: bills.Export) -> None:
    lines = bills.charges(INVOCATIONS, Prices.book)
    bills.write_bill(tmp_path / name, lines, export)
    found = read_bill([tmp_path / name])
    assert [
        (line.hour.replace(tzinfo=None), str(line.usage), line.quantity, line.cost) for line in found.lines
    ] == [(line.hour, line.usage_type.removeprefix("EU-"), line.quantity, line.cost) for line in lines]
    assert {line.function_arn for line in found.lines} == {ARM}
    assert {line.region for line in found.lines} == {"eu-west-1"}
    assert found.files == [name]


def test_several_files_are_one_bill(tmp_path: Path) -> None:
    records = rows()
    files = [written(tmp_path / f"bill-{n}.csv", part) for n, part in enumerate((records[:3], records[3:]))]
    seen: list[str] = []
    found = read_bill(files, seen.append)
    assert len(found.lines) == len(records)
    assert [(found.lines[0].file, found.lines[0].line), (found.lines[3].file, found.lines[3].line)] == [
        ("bill-0.csv", 2),
        ("bill-1.csv", 2),
    ]
    assert seen == found.files == ["bill-0.csv", "bill-1.csv"]


def test_instants_with_an_offset_are_turned_into_utc(tmp_path: Path) -> None:
    records = rows()[:1]
    records[0]["line_item_usage_start_date"] = "2026-11-01T01:00:00+01:00"
    records[0]["line_item_usage_end_date"] = "2026-11-01T02:00:00+01:00"
    assert read_bill([written(tmp_path / "bill.csv", records)]).lines[0].hour == START


def change(**cells: str) -> Callable[[list[dict[str, str]]], list[dict[str, str]]]:
    """Other values in the third record, which is line 4 of the file."""
    return lambda records: [*records[:2], {**records[2], **cells}, *records[3:]]


@pytest.mark.parametrize(
    ("export", "damage", "message"),
    [
        ("cur", change(line_item_usage_amount="many"),
         "bill.csv, line 4, column line_item_usage_amount: expected a number, got 'many'"),
        ("cur", change(line_item_usage_amount=""),
         "bill.csv, line 4, column line_item_usage_amount: expected a number, got nothing"),
        ("cur", change(line_item_unblended_cost="NaN"),
         "bill.csv, line 4, column line_item_unblended_cost: expected a number, got 'NaN'"),
        ("cur", change(line_item_usage_amount="-2"),
         "bill.csv, line 4, column line_item_usage_amount: expected a number >= 0 of a charge for usage, got -2"),
        ("focus", change(BilledCost="-0.5"),
         "bill.csv, line 4, column BilledCost: expected a number >= 0 of a charge for usage, got -0.5"),
        ("cur", change(line_item_currency_code="EUR"),
         "bill.csv, line 4, column line_item_currency_code: expected USD, the ledger's currency, got 'EUR' among lines in USD"),
        ("focus", change(BillingCurrency=""),
         "bill.csv, line 4, column BillingCurrency: expected USD, the ledger's currency, got nothing among lines in USD"),
        ("cur", change(line_item_usage_start_date="yesterday"),
         "bill.csv, line 4, column line_item_usage_start_date: expected an instant like 2026-11-01T00:00:00Z, got 'yesterday'"),
        ("focus", change(ChargePeriodStart="2026-11-01T00:30:00Z"),
         "bill.csv, line 4, column ChargePeriodStart: expected the beginning of an hour, got 2026-11-01T00:30:00+00:00"),
        ("focus", change(ChargePeriodStart="2026-11-01T00:00:00Z", ChargePeriodEnd="2026-11-02T00:00:00Z"),
         "bill.csv, line 4, column ChargePeriodEnd: expected a line of one hour (hourly granularity), got 1 day, 0:00:00"),
        ("focus", change(ChargeCategory=""),
         "bill.csv, line 4, column ChargeCategory: expected the kind of charge, got nothing"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_one_is_named_with_its_place(
    tmp_path: Path, export: bills.Export, damage: Callable[..., list[dict[str, str]]], message: str
) -> None:
    path = written(tmp_path / "bill.csv", damage(rows(export)))
    with pytest.raises(BillError) as caught:
        read_bill([path])
    assert str(caught.value).startswith(message)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    records = [
        {name: value for name, value in row.items() if name != "line_item_resource_id"} for row in rows()
    ]
    with pytest.raises(
        BillError, match="bill.csv, line 1: expected the columns of CUR 2.0, line_item_resource_id missing"
    ):
        read_bill([written(tmp_path / "bill.csv", records)])
    records = [
        {name: value for name, value in row.items() if name not in ("BilledCost", "ResourceId")}
        for row in rows("focus")
    ]
    with pytest.raises(BillError, match="expected the columns of FOCUS 1.2, ResourceId, BilledCost missing"):
        read_bill([written(tmp_path / "bill.csv", records)])
    with pytest.raises(
        BillError, match="line 1: expected the columns of CUR 2.0 or FOCUS 1.2, got name, age"
    ):
        read_bill([written(tmp_path / "bill.csv", [{"name": "a", "age": "3"}])])
    with pytest.raises(BillError, match="expected CUR 2.0 or FOCUS 1.2, got a legacy Cost and Usage Report"):
        read_bill([written(tmp_path / "bill.csv", [{"lineItem/UsageAmount": "1"}])])
    (tmp_path / "twice.csv").write_text("a,b,a\n1,2,3\n")
    with pytest.raises(BillError, match="twice.csv, line 1: expected each column once, got a more than once"):
        read_bill([tmp_path / "twice.csv"])


def cut_in_a_line(content: bytes) -> bytes:
    return content[: content.rindex(b"\n", 0, -1) + 40]


def test_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    content = written(tmp_path / "whole.csv", rows()).read_bytes()
    last = content.count(b"\n")
    (tmp_path / "bill.csv").write_bytes(cut_in_a_line(content))
    with pytest.raises(BillError, match=rf"bill.csv, line {last}: expected 30 columns, got 1: a cut line\?"):
        read_bill([tmp_path / "bill.csv"])
    (tmp_path / "bill.csv.gz").write_bytes(gzip.compress(content)[:-30])
    with pytest.raises(BillError, match=r"bill.csv.gz: the gzip data"):
        read_bill([tmp_path / "bill.csv.gz"])
    bills.write_bill(tmp_path / "whole.parquet", bills.charges(INVOCATIONS, Prices.book), "cur")
    (tmp_path / "bill.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-20])
    with pytest.raises(BillError, match="bill.parquet: the Parquet file is cut"):
        read_bill([tmp_path / "bill.parquet"])
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(BillError, match="empty.csv: expected a bill, got an empty file"):
        read_bill([tmp_path / "empty.csv"])


def test_a_cut_that_leaves_every_column_is_warned_of(tmp_path: Path) -> None:
    content = written(tmp_path / "whole.csv", rows()).read_bytes()
    (tmp_path / "bill.csv").write_bytes(content.rstrip(b"\r\n"))
    assert read_bill([tmp_path / "bill.csv"]).warnings == [
        "bill.csv: the last line does not end: the file may be cut"
    ]


def test_a_file_in_another_encoding_is_refused_with_the_line(tmp_path: Path) -> None:
    path = written(
        tmp_path / "bill.csv", change(line_item_line_item_description="Aufrufe für Ä")(rows()), "latin-1"
    )
    with pytest.raises(BillError, match="bill.csv, line 4: not UTF-8"):
        read_bill([path])
    with pytest.raises(BillError, match="bill.csv, line 1: "):
        read_bill([written(tmp_path / "bill.csv", rows(), "utf-16")])


def test_a_quoted_value_that_does_not_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    with path.open("ab") as file:
        file.write(written(tmp_path / "whole.csv", rows()).read_bytes() + b'"' + b"x" * 40 + b"\n")
    with pytest.raises(BillError, match=r"bill.csv, line \d+: "):
        read_bill([path])


def test_a_bill_without_lambda_is_refused(tmp_path: Path) -> None:
    records = [{**row, "line_item_product_code": "AmazonEC2"} for row in rows()]
    with pytest.raises(
        BillError, match=f"bill.csv: expected lines of AWS Lambda, got none among {len(records)}"
    ):
        read_bill([written(tmp_path / "bill.csv", records)])
    with pytest.raises(BillError, match="expected at least one file"):
        read_bill([])


def test_savings_plans_and_corrections_are_lines_of_their_own_kind(tmp_path: Path) -> None:
    covered = change(
        line_item_line_item_type="SavingsPlanCoveredUsage",
        savings_plan_savings_plan_effective_cost="0.000001",
    )
    line = read_bill([written(tmp_path / "bill.csv", covered(rows()))]).lines[2]
    assert (line.charge, line.cost) == (Charge.SAVINGS_PLAN, Decimal("0.000001"))
    corrected = change(ChargeClass="Correction", PricingQuantity="-1", BilledCost="-0.0000002")
    line = read_bill([written(tmp_path / "bill.csv", corrected(rows("focus")))]).lines[2]
    assert (line.charge, line.quantity, line.cost) == (Charge.CORRECTION, Decimal(-1), Decimal("-0.0000002"))
    used = change(CommitmentDiscountStatus="Used", BilledCost="0", EffectiveCost="0.000001")
    line = read_bill([written(tmp_path / "bill.csv", used(rows("focus")))]).lines[2]
    assert (line.charge, line.cost) == (Charge.SAVINGS_PLAN, Decimal("0.000001"))
    for category in ("Tax", "Credit", "Adjustment", "Purchase"):
        other = change(ChargeCategory=category, BilledCost="-1")
        found = read_bill([written(tmp_path / "bill.csv", other(rows("focus")))])
        assert found.left_out[category.lower()].cost == -1
        assert len(found.lines) == len(rows("focus")) - 1


def test_lambdas_lines_are_found_among_many_of_other_services(tmp_path: Path) -> None:
    bills.write_bill(tmp_path / "small.csv", bills.charges(INVOCATIONS, Prices.book), "cur")
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT * EXCLUDE (range) REPLACE ('AmazonEC2' AS line_item_product_code) FROM read_csv('{tmp_path}/small.csv', "
            f"all_varchar = true), range(20000)) TO '{tmp_path}/bill.csv' (HEADER)"
        )
        with (tmp_path / "bill.csv").open("ab") as file:
            file.write((tmp_path / "small.csv").read_bytes().split(b"\n", 1)[1])
    found = read_bill([tmp_path / "bill.csv"])
    assert found.left_out["another service"].lines == 20_000 * len(rows())
    # Each is where it stands in the file, however many threads read it.
    assert [line.line for line in found.lines] == [
        20_000 * len(rows()) + 2 + number for number in range(len(rows()))
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["bill.csv", "bill.csv.gz", "bill.parquet"]),
    at=st.floats(0, 1),
    put=st.binary(max_size=6),
    taken=st.integers(0, 60),
)
def test_a_damaged_file_is_a_bill_or_an_error_of_ours(
    tmp_path: Path, name: str, at: float, put: bytes, taken: int
) -> None:
    path = tmp_path / name
    bills.write_bill(path, bills.charges(INVOCATIONS, Prices.book), "focus")
    content = path.read_bytes()
    place = round(at * len(content))
    path.write_bytes(content[:place] + put + content[place + taken :])
    try:
        read_bill([path])
    except BillError as error:
        assert str(error).startswith(name)
