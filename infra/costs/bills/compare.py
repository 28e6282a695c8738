"""Ledger against bill, per UTC hour, function and usage type: what differs, by how much, and how bad that is.

A line of the bill is rounded to 10 places, in quantity and in cost, so half a unit of the tenth place for each line is
no difference. Beyond that the larger of the two percentages decides: green up to 0.1, amber up to 1, red above.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from infra.costs.bills.ledger_lines import LedgerLine, LedgerSide
from infra.costs.bills.lines import Bill, BillLine, Charge
from infra.costs.bills.usage_types import UsageType
from weir.ledger.facts import format_timestamp
from weir.pricing.money import MONEY, plain

GREEN_PERCENT, AMBER_PERCENT = Decimal("0.1"), Decimal(1)
# Half of the tenth place; a Parquet export's doubles hold 15 digits.
_HALF_PLACE, _DIGITS = Decimal("5e-11"), Decimal("1e-14")
_LEDGER_PLACE = Decimal("5e-16")  # each of the ledger's charges is rounded to 15 places

type Key = tuple[datetime, str, UsageType]


class Status(StrEnum):
    """How far ledger and bill are apart."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


class Reason(StrEnum):
    """Why ledger and bill differ, as far as the figures show it."""

    MISSING_IN_LEDGER = "missing_in_ledger"
    MISSING_IN_BILL = "missing_in_bill"
    DOUBLED_HOUR = "doubled_hour"
    WRONG_MEMORY = "wrong_memory"
    WRONG_ARCHITECTURE = "wrong_architecture"
    TIME_SHIFT = "time_shift"
    HOUR_BOUNDARY = "hour_boundary"
    ROUNDING = "rounding"
    TIER = "tier"
    FREE_TIER = "free_tier"
    SAVINGS_PLAN = "savings_plan"
    OTHER_PRICE = "other_price"
    STANDING_CHARGE = "standing_charge"
    LATE_CORRECTION = "late_correction"
    UNPRICED_ROWS = "unpriced_rows"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Comparison:
    """One hour, function and usage type on both sides; differences are ledger less bill, None is not known.

    `reason` is None where nothing differs; `detail` says in words what shows the reason.
    """

    hour: datetime
    function_arn: str
    usage: UsageType
    ledger: LedgerLine = field(default_factory=LedgerLine)
    bill: list[BillLine] = field(default_factory=list)
    reason: Reason | None = None
    detail: str = ""

    @property
    def bill_quantity(self) -> Decimal:
        """What the bill's lines meter together."""
        return sum((line.quantity for line in self.bill), Decimal(0))

    @property
    def bill_cost(self) -> Decimal:
        """What the bill's lines cost together."""
        return sum((line.cost for line in self.bill), Decimal(0))

    @property
    def quantity_difference(self) -> Decimal | None:
        """Ledger less bill."""
        return None if self.ledger.quantity is None else self.ledger.quantity - self.bill_quantity

    @property
    def cost_difference(self) -> Decimal:
        """Ledger less bill."""
        return self.ledger.cost - self.bill_cost

    @property
    def percent(self) -> Decimal | None:
        """The cost's difference in percent of the bill, to 4 places; None where the bill has no cost."""
        return percent(self.cost_difference, self.bill_cost)

    @property
    def quantity_agrees(self) -> bool:
        """Whether the quantities are the same, but for the bill's rounding; None agrees with anything."""
        difference = self.quantity_difference
        return difference is None or abs(difference) <= tolerance(len(self.bill), self.bill_quantity)

    @property
    def cost_agrees(self) -> bool:
        """Whether the costs are the same, but for the rounding on both sides."""
        allowed = tolerance(len(self.bill), self.bill_cost) + self.ledger.rows * _LEDGER_PLACE
        return abs(self.cost_difference) <= allowed

    @property
    def status(self) -> Status:
        """How far both are apart."""
        if self.quantity_agrees and self.cost_agrees:
            return Status.GREEN
        parts = [] if self.cost_agrees else [(self.cost_difference, self.bill_cost)]
        if not self.quantity_agrees and self.quantity_difference is not None:
            parts.append((self.quantity_difference, self.bill_quantity))
        return max((status_of(*part) for part in parts), key=list(Status).index)

    def as_json(self) -> dict[str, Any]:
        """Amounts as strings in plain notation, unknown as null."""
        quantity, difference = self.ledger.quantity, self.quantity_difference
        return {
            "hour": format_timestamp(self.hour),
            "function_arn": self.function_arn,
            "usage_type": str(self.usage),
            "unit": self.usage.meter.unit,
            "ledger_quantity": None if quantity is None else plain(quantity),
            "bill_quantity": plain(self.bill_quantity),
            "quantity_difference": None if difference is None else plain(difference),
            "ledger_cost": plain(self.ledger.cost),
            "bill_cost": plain(self.bill_cost),
            "cost_difference": plain(self.cost_difference),
            "percent": None if self.percent is None else plain(self.percent),
            "status": self.status.value,
            "reason": None if self.reason is None else self.reason.value,
            "detail": self.detail,
            "unpriced_rows": self.ledger.unpriced,
            "bill_lines": [f"{line.file}:{line.line}" for line in self.bill],
        }


def tolerance(lines: int, amount: Decimal) -> Decimal:
    """How much an amount of the bill that is the sum of some lines may be off by rounding."""
    return max(lines, 1) * _HALF_PLACE + abs(amount) * _DIGITS


def percent(difference: Decimal, of: Decimal) -> Decimal | None:
    """In percent, to 4 places; None of nothing."""
    if of == 0:
        return None
    return MONEY.quantize(MONEY.divide(difference * 100, of), Decimal("0.0001"))


def status_of(difference: Decimal, of: Decimal) -> Status:
    """The status of a difference, in exact arithmetic; any difference of nothing is red."""
    if difference == 0:
        return Status.GREEN
    size = abs(difference) * 100
    if size <= GREEN_PERCENT * abs(of):
        return Status.GREEN
    return Status.AMBER if size <= AMBER_PERCENT * abs(of) else Status.RED


def compare(
    ledger: LedgerSide, bill: Bill, start: datetime, end: datetime, functions: Collection[str]
) -> list[Comparison]:
    """Both sides of every hour from `start` to `end` (exclusive) of some functions, without reasons, in order.

    Lines of the bill that are not among these are counted as left out of it.
    """
    found: dict[Key, Comparison] = {}
    for line in bill.lines:
        if line.usage is None:
            bill.leave_out(f"not metered by request: {line.usage_type[:80]}", line.cost)
        elif not start <= line.hour < end:
            bill.leave_out("outside the range", line.cost)
        elif line.function_arn is None:
            bill.leave_out("names no function", line.cost)
        elif line.function_arn not in functions:
            bill.leave_out(f"function not compared: {line.function_arn[:200]}", line.cost)
        else:
            key = (line.hour, line.function_arn, line.usage)
            found.setdefault(key, Comparison(*key)).bill.append(line)
    for key, ledger_line in ledger.lines.items():
        hour, function, _ = key
        if start <= hour < end and function in functions:
            found.setdefault(key, Comparison(*key)).ledger = ledger_line
    return sorted(found.values(), key=lambda entry: (entry.hour, entry.function_arn, entry.usage))


def charges(comparison: Comparison) -> set[Charge]:
    """The kinds of charges on the bill's side."""
    return {line.charge for line in comparison.bill}
