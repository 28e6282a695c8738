"""Each reason follows from figures alone; what the figures do not show stays unknown."""

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from infra.costs.bills.compare import Comparison, Reason, Status, compare, status_of
from infra.costs.bills.ledger_lines import LedgerLine, LedgerSide
from infra.costs.bills.lines import Bill, BillLine, Charge
from infra.costs.bills.reasons import explain
from infra.costs.bills.usage_types import (
    CACHE,
    DURATION,
    PROVISIONED,
    PROVISIONED_DURATION,
    REQUEST,
    STORAGE,
    STREAMED,
    Meter,
    UsageType,
    usage_type,
    usage_type_of,
)
from weir.pricing.price_book import PriceBook

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ARN = "arn:aws:lambda:us-east-1:123456789012:function:generate"
BOOK = PriceBook.load()
PRICES = {
    DURATION: Decimal("0.0000133334"),
    REQUEST: Decimal("0.0000002"),
    STREAMED: Decimal("0.008"),
    PROVISIONED_DURATION: Decimal("0.0000077778"),
}


class Case:
    """A ledger and a bill that are written down line by line, and what comparing them says."""

    def __init__(self) -> None:
        self.ledger = LedgerSide()
        self.bill = Bill(files=["bill.csv"])

    def both(self, requests: int, seconds: str | Decimal, *, hour: int = 0) -> None:
        self.in_ledger(requests, seconds, hour=hour)
        self.in_bill(requests, seconds, hour=hour)

    def in_ledger(
        self, requests: int, seconds: str | Decimal, *, hour: int = 0, memory_mb: int = 512, arm: bool = True
    ) -> None:
        self.line(REQUEST, Decimal(requests), hour=hour, arm=arm, rows=requests)
        line = self.line(DURATION, Decimal(seconds), hour=hour, arm=arm, rows=requests)
        line.memory_mb[memory_mb] = Decimal(seconds)

    def line(
        self, meter: Meter, quantity: Decimal | None, cost: str | Decimal | None = None, *, hour: int = 0,
        arm: bool = True, rows: int = 1,
    ) -> LedgerLine:  # fmt: skip
        if cost is None:
            assert quantity is not None
            cost = quantity * PRICES[meter]
        line = LedgerLine(quantity, Decimal(cost), rows, region="us-east-1")
        self.ledger.lines[NOON + timedelta(hours=hour), ARN, usage_type(meter, arm=arm)] = line
        return line

    def in_bill(self, requests: int, seconds: str | Decimal, *, hour: int = 0, arm: bool = True) -> None:
        self.billed(REQUEST, Decimal(requests), hour=hour, arm=arm)
        self.billed(DURATION, Decimal(seconds), hour=hour, arm=arm)

    def billed(
        self, meter: Meter, quantity: Decimal, cost: str | Decimal | None = None, *, hour: int = 0,
        arm: bool = True, charge: Charge = Charge.USAGE,
    ) -> None:  # fmt: skip
        at = quantity * PRICES[meter] if cost is None else Decimal(cost)
        usage = usage_type(meter, arm=arm)
        self.bill.lines.append(
            BillLine(
                file="bill.csv", line=len(self.bill.lines) + 2, hour=NOON + timedelta(hours=hour), function_arn=ARN,
                usage_type=str(usage), usage=usage, region="us-east-1", quantity=quantity, price=None,
                cost=round(at, 10), charge=charge,
            )
        )  # fmt: skip

    def compare(self) -> list[Comparison]:
        found = compare(self.ledger, self.bill, NOON, NOON + timedelta(days=2), {ARN})
        explain(found, self.ledger, BOOK)
        return found

    def reasons(self) -> set[Reason | None]:
        return {entry.reason for entry in self.compare() if entry.status is not Status.GREEN}

    def detail(self, reason: Reason) -> str:
        (detail,) = {entry.detail for entry in self.compare() if entry.reason is reason}
        return detail


def test_agreement_has_no_reason() -> None:
    case = Case()
    case.both(100, "50")
    assert [(entry.status, entry.reason, entry.detail) for entry in case.compare()] == [
        (Status.GREEN, None, "")
    ] * 2


def test_the_tenth_place_is_rounding_however_small_the_amount() -> None:
    case = Case()
    case.line(STREAMED, Decimal("0.000000001"))
    case.billed(STREAMED, Decimal("0.000000001"), "0")
    (entry,) = case.compare()
    assert (entry.status, entry.reason) == (Status.GREEN, Reason.ROUNDING)
    # One unit of the tenth place more is none.
    case.bill.lines.clear()
    case.billed(STREAMED, Decimal("0.000000001"), "0.0000000002")
    assert case.compare()[0].status is Status.RED


def test_status_is_green_to_a_tenth_of_a_percent_and_amber_to_one() -> None:
    for difference, status in (
        ("0.1", Status.GREEN),
        ("0.1001", Status.AMBER),
        ("1", Status.AMBER),
        ("1.001", Status.RED),
    ):
        assert status_of(Decimal(difference), Decimal(100)) is status
        assert status_of(-Decimal(difference), Decimal(100)) is status
    assert status_of(Decimal("0.01"), Decimal(0)) is Status.RED


def test_a_higher_tiers_price_is_a_tier() -> None:
    case = Case()
    case.both(100, "51.2")
    case.bill.lines.pop()
    case.billed(DURATION, Decimal("51.2"), Decimal("51.2") * Decimal("0.0000120001"))
    assert case.reasons() == {Reason.TIER}
    assert "billed at 0.0000120001 a unit" in case.detail(Reason.TIER)


def test_lines_without_a_price_are_the_free_tier_in_whole_or_in_part() -> None:
    case = Case()
    case.both(100, "51.2")
    del case.bill.lines[0]
    case.billed(REQUEST, Decimal(60), "0")
    case.billed(REQUEST, Decimal(40))
    assert case.reasons() == {Reason.FREE_TIER}
    assert case.detail(Reason.FREE_TIER) == "60 of 100 Requests cost nothing"


def test_a_savings_plan_and_an_unknown_price_are_told_apart() -> None:
    case = Case()
    case.both(100, "51.2")
    line = case.bill.lines.pop()
    case.billed(DURATION, line.quantity, line.cost * Decimal("0.88"), charge=Charge.SAVINGS_PLAN)
    assert case.reasons() == {Reason.SAVINGS_PLAN}
    case.bill.lines.pop()
    case.billed(DURATION, line.quantity, line.cost * Decimal("0.88"))
    assert case.reasons() == {Reason.OTHER_PRICE}
    assert BOOK.version in case.detail(Reason.OTHER_PRICE)


@pytest.mark.parametrize("meter", [PROVISIONED, CACHE])
def test_what_runs_without_requests_is_a_standing_charge(meter: Meter) -> None:
    case = Case()
    case.both(100, "51.2")
    case.billed(meter, Decimal(3600), "0.012")
    assert case.reasons() == {Reason.STANDING_CHARGE}


def test_rows_without_a_price_are_named_as_such() -> None:
    case = Case()
    case.both(100, "51.2")
    line = case.ledger.lines[NOON, ARN, UsageType("Lambda-GB-Second", arm=True)]
    line.cost, line.unpriced = line.cost / 2, 50
    assert case.reasons() == {Reason.UNPRICED_ROWS}
    assert case.detail(Reason.UNPRICED_ROWS) == "50 of 100 rows are in the quantity and not in the cost"
    # Rows without a memory size are in neither.
    line.quantity = Decimal("25.7")
    assert case.reasons() == {Reason.UNPRICED_ROWS}


@pytest.mark.parametrize(("billed_mb", "known"), [(1024, True), (768, True), (300, True), (20_480, False)])
def test_as_many_requests_with_another_memory_size_is_wrong_memory(billed_mb: int, known: bool) -> None:
    case = Case()
    case.in_ledger(100, "51.2")
    case.in_bill(100, Decimal("51.2") * billed_mb / 512)
    assert case.reasons() == {Reason.WRONG_MEMORY if known else Reason.UNKNOWN}
    if known:
        assert f"the bill has {billed_mb} MB, the ledger 512 MB" in case.detail(Reason.WRONG_MEMORY)


def test_as_many_requests_with_any_other_gb_seconds_is_unknown() -> None:
    case = Case()
    case.in_ledger(100, "51.2")
    case.in_bill(100, "51.234567")
    (entry,) = [entry for entry in case.compare() if entry.reason is not None]
    assert (entry.reason, entry.status) == (Reason.UNKNOWN, Status.GREEN)
    assert "51.2 GB-seconds in the ledger and 51.234567 in the bill" in entry.detail


def test_what_moved_to_the_other_architecture_is_told_in_part_too() -> None:
    case = Case()
    case.in_ledger(100, "51.2")
    case.in_bill(70, "35.0")
    case.in_bill(30, "16.2", arm=False)
    assert case.reasons() == {Reason.WRONG_ARCHITECTURE}
    text = "16.2 GB-seconds are arm64 in the ledger and x86_64 in the bill; the sums of both agree"
    assert case.detail(Reason.WRONG_ARCHITECTURE) == text


def test_provisioned_and_on_demand_are_not_two_architectures() -> None:
    case = Case()
    case.in_ledger(100, "51.2")
    case.billed(REQUEST, Decimal(100))
    case.billed(PROVISIONED_DURATION, Decimal("51.2"))
    assert case.reasons() == {Reason.UNKNOWN}


def test_only_other_usage_that_differs_is_no_fault_of_the_hour() -> None:
    case = Case()
    case.both(100, "51.2")
    case.line(STREAMED, Decimal(1))
    case.billed(STREAMED, Decimal(2))
    assert case.reasons() == {Reason.UNKNOWN}
    assert "Lambda-Streaming-Response-Processed-Bytes-ARM differ" in case.detail(Reason.UNKNOWN)


def test_requests_that_one_side_lacks_are_missing_in_it() -> None:
    case = Case()
    case.in_ledger(99, "50.6")
    case.in_bill(100, "51.2")
    case.ledger.without_report[NOON, ARN] = 1
    assert case.reasons() == {Reason.MISSING_IN_LEDGER}
    text = "1 of 100 requests (1.00 %) are not in the ledger, which has 1 of this hour without their report"
    assert case.detail(Reason.MISSING_IN_LEDGER) == text
    other = Case()
    other.in_ledger(100, "51.2")
    other.in_bill(99, "50.6")
    assert other.reasons() == {Reason.MISSING_IN_BILL}


def test_a_whole_hour_that_the_ledger_lacks_is_missing() -> None:
    case = Case()
    case.both(100, "51.2")
    case.in_bill(20, "10", hour=5)
    assert case.reasons() == {Reason.MISSING_IN_LEDGER}
    assert case.detail(Reason.MISSING_IN_LEDGER) == "20 of 20 requests (100.00 %) are not in the ledger"


def test_requests_unlike_the_others_and_figures_that_contradict_are_unknown() -> None:
    case = Case()
    case.in_ledger(100, "51.2")
    case.in_bill(101, "102.4")
    assert case.reasons() == {Reason.UNKNOWN}
    other = Case()
    other.in_ledger(100, "51.2")
    other.in_bill(101, "50")
    assert other.reasons() == {Reason.UNKNOWN}
    assert "no rule explains both" in other.detail(Reason.UNKNOWN)


def test_requests_at_the_turn_of_the_hour_may_lie_on_its_other_side() -> None:
    case = Case()
    case.in_ledger(100, "51.2")
    case.in_bill(98, "50.1")
    case.in_ledger(80, "40", hour=1)
    case.in_bill(82, "41.1", hour=1)
    assert case.reasons() == {Reason.HOUR_BOUNDARY}
    assert case.detail(Reason.HOUR_BOUNDARY).endswith("on its other side: over 2 hours the sums agree")


def test_requests_may_be_handed_on_over_many_hours_but_not_lost_on_the_way() -> None:
    case = Case()
    carried = [0, 2, 1, 1, 3, 0]
    for hour, (before, after) in enumerate(itertools.pairwise(carried)):
        case.in_ledger(100, "50", hour=hour)
        # As many handed on as taken over, but others: the GB-seconds differ alone.
        seconds = Decimal("0.51") * (before - after) + (Decimal("0.07") if hour == 2 else 0)
        case.in_bill(100 + before - after, 50 + seconds - (Decimal("0.07") if hour == 4 else 0), hour=hour)
    assert case.reasons() == {Reason.HOUR_BOUNDARY}
    assert case.detail(Reason.HOUR_BOUNDARY).endswith("over 5 hours the sums agree")
    case.bill.lines.pop()
    case.billed(DURATION, Decimal("51.0"), hour=4)
    assert Reason.HOUR_BOUNDARY not in case.reasons()


def test_a_correction_on_either_side_explains_what_it_accounts_for() -> None:
    case = Case()
    case.in_ledger(102, "52.2")
    case.in_bill(100, "51.2")
    for meter, late in ((REQUEST, "2"), (DURATION, "1.0")):
        case.ledger.lines[NOON, ARN, usage_type(meter, arm=True)].corrections = Decimal(late)
    assert case.reasons() == {Reason.LATE_CORRECTION}
    assert "the ledger's corrections" in case.detail(Reason.LATE_CORRECTION)
    other = Case()
    other.both(100, "51.2")
    other.billed(REQUEST, Decimal(-4), charge=Charge.CORRECTION)
    assert other.reasons() == {Reason.LATE_CORRECTION}
    assert other.detail(Reason.LATE_CORRECTION) == "without the bill's corrections both agree"


def test_a_cost_without_a_quantity_is_compared_as_a_cost() -> None:
    case = Case()
    case.line(STORAGE, None, "0.0001")
    case.billed(STORAGE, Decimal(3), "0.0001")
    assert case.compare()[0].status is Status.GREEN
    case.billed(STORAGE, Decimal(3), "0.0001")
    assert case.reasons() == {Reason.UNKNOWN}


@pytest.mark.parametrize(
    ("text", "named", "arm"),
    [
        ("Lambda-GB-Second", "Lambda-GB-Second", False),
        ("EUC1-Lambda-GB-Second-ARM", "Lambda-GB-Second", True),
        ("USW2-Request", "Request", False),
        ("EU-Request-ARM", "Request", True),
        ("Global-Request", "Request", False),
        (
            "APN1-Lambda-Streaming-Response-Processed-Bytes-ARM",
            "Lambda-Streaming-Response-Processed-Bytes",
            True,
        ),
        ("USE2-Lambda-Provisioned-Concurrency", "Lambda-Provisioned-Concurrency", False),
        ("Lambda-SnapStart-Cached-GB-S", "Lambda-SnapStart-Cached-GB-S", False),
        ("Lambda-Edge-Request", None, False),
        ("Lambda-Edge-GB-Second", None, False),
        ("USW2-USE1-AWS-Out-Bytes", None, False),
        ("Requests-Tier1", None, False),
    ],
)
def test_usage_types_are_known_without_their_region(text: str, named: str | None, arm: bool) -> None:
    found = usage_type_of(text, "AWS Lambda - Total Requests")
    assert (None, False) if found is None else (found.name, found.arm) == (named, arm)
    assert (found is None) is (named is None)


def test_descriptions_stand_in_for_usage_types_that_were_not_exported() -> None:
    words: Iterable[tuple[str, str | None]] = (
        ("AWS Lambda - Total Compute - US West (Oregon)-Tier-1", "Lambda-GB-Second"),
        ("AWS Lambda - Total Compute ARM - US West (Oregon)", "Lambda-GB-Second-ARM"),
        ("AWS Lambda - Total Compute (Provisioned) - US West (Oregon)", "Lambda-Provisioned-GB-Second"),
        ("AWS Lambda - Total Requests - US East (Ohio)", "Request"),
        ("$0.02 per GB - US West (Oregon) data transfer to US West (Northern California)", None),
    )
    for text, named in words:
        found = usage_type_of(None, text)
        assert (None if found is None else str(found)) == named
