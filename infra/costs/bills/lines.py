"""Lines of a bill as values: what AWS charges for one hour, function and usage type, and what is not compared.

Two exports of AWS are read, by the columns that they have: the Cost and Usage Report 2.0 and FOCUS (1.2, and 1.0, which
differs in the column of the usage type). Every line that is not compared is counted under a reason; a line that cannot
be understood is an error that names file, line and column.
https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-cur2-line-item.html
https://focus.finops.org/focus-specification/v1-2/
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from infra.costs.bills.usage_types import UsageType, unqualified, usage_type_of
from weir.errors import DataError

_HOUR = timedelta(hours=1)
_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{1,40})?([eE][+-]?\d{1,2})?")


class BillError(DataError, ValueError):
    """A bill that cannot be trusted; the message names file, line, column, what was expected and what came."""

    def __init__(
        self, file: str, problem: str, *, line: int | None = None, column: str | None = None
    ) -> None:
        place = [
            file,
            *([] if line is None else [f"line {line}"]),
            *([] if column is None else [f"column {column}"]),
        ]
        super().__init__(f"{', '.join(place)}: {problem}")


class Charge(StrEnum):
    """What kind of charge for usage a line is."""

    USAGE = "usage"
    CORRECTION = "correction"  # of an earlier bill: the only line whose amounts may be negative
    SAVINGS_PLAN = "savings_plan"  # covered by a commitment, so at another price


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One charge for Lambda in one hour (`hour` is its beginning, UTC); `usage` None is not metered by request.

    `function_arn` is without a qualifier; `cost` is what the line costs after a savings plan; `price` a unit's.
    """

    file: str
    line: int
    hour: datetime
    function_arn: str | None
    usage_type: str
    usage: UsageType | None
    region: str | None
    quantity: Decimal
    price: Decimal | None
    cost: Decimal
    charge: Charge = Charge.USAGE


@dataclass(slots=True)
class LeftOut:
    """Lines that are not compared, under one reason, and what they cost together."""

    lines: int = 0
    cost: Decimal = field(default_factory=Decimal)


@dataclass(slots=True)
class Bill:
    """What bill files hold: Lambda's lines, in order, and what was left out of them by reason."""

    files: list[str] = field(default_factory=list)
    lines: list[BillLine] = field(default_factory=list)
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def leave_out(self, reason: str, cost: Decimal = Decimal(0), lines: int = 1) -> None:
        """Count lines that are not compared."""
        entry = self.left_out.setdefault(reason, LeftOut())
        entry.lines += lines
        entry.cost += cost


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of export: which of its columns hold what; `optional` ones may be missing from a file."""

    name: str
    required: Mapping[str, str]
    optional: Mapping[str, str]
    services: tuple[str, ...]

    def columns(self, present: Iterable[str]) -> dict[str, str]:
        """Field -> column, of those that a file has."""
        known = set(present)
        return {
            name: column for name, column in {**self.required, **self.optional}.items() if column in known
        }

    def missing(self, present: Iterable[str]) -> list[str]:
        """The required columns that a file lacks."""
        known = set(present)
        return [column for column in self.required.values() if column not in known]


CUR = Format(
    "CUR 2.0",
    {
        "service": "line_item_product_code",
        "charge": "line_item_line_item_type",
        "start": "line_item_usage_start_date",
        "end": "line_item_usage_end_date",
        "usage_type": "line_item_usage_type",
        "resource": "line_item_resource_id",
        "quantity": "line_item_usage_amount",
        "cost": "line_item_unblended_cost",
        "currency": "line_item_currency_code",
    },
    {
        "price": "line_item_unblended_rate",
        "region": "product_region_code",
        "description": "line_item_line_item_description",
        "savings_plan_cost": "savings_plan_savings_plan_effective_cost",
    },
    ("AWSLambda",),
)
FOCUS = Format(
    "FOCUS 1.2",
    {
        "service": "ServiceName",
        "charge": "ChargeCategory",
        "charge_class": "ChargeClass",
        "start": "ChargePeriodStart",
        "end": "ChargePeriodEnd",
        "resource": "ResourceId",
        "quantity": "PricingQuantity",
        "cost": "BilledCost",
        "currency": "BillingCurrency",
        "description": "ChargeDescription",
    },
    {
        "usage_type": "SkuMeter",
        "usage_type_1_0": "x_UsageType",
        "price": "ListUnitPrice",
        "region": "RegionId",
        "savings_plan_cost": "EffectiveCost",
        "commitment": "CommitmentDiscountStatus",
    },
    ("AWS Lambda", "AWSLambda"),
)


def format_of(file: str, columns: Sequence[str]) -> Format:
    """The export that a file's columns are of. Raises BillError, which names what is missing of the nearest one."""
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise BillError(file, f"expected each column once, got {', '.join(repeated)} more than once", line=1)
    for known in (CUR, FOCUS):
        if not known.missing(columns):
            return known
    if any(column.startswith("lineItem/") for column in columns):
        raise BillError(file, "expected CUR 2.0 or FOCUS 1.2, got a legacy Cost and Usage Report", line=1)
    nearest = min((CUR, FOCUS), key=lambda known: len(known.missing(columns)))
    missing = nearest.missing(columns)
    if len(missing) == len(nearest.required):
        shown = ", ".join(columns[:5])[:200]
        raise BillError(file, f"expected the columns of CUR 2.0 or FOCUS 1.2, got {shown}", line=1)
    raise BillError(file, f"expected the columns of {nearest.name}, {', '.join(missing)} missing", line=1)


def add_line(bill: Bill, file: str, line: int, known: Format, values: Mapping[str, str | None]) -> None:
    """Add one of Lambda's lines, by field, to the bill or to what is left out of it. Raises BillError."""
    cell = _Cells(file, line, known, values)
    cost = cell.number("cost")
    charge = _charge(cell)
    if isinstance(charge, str) and not isinstance(charge, Charge):
        bill.leave_out(charge, cost)
        return
    if charge is Charge.SAVINGS_PLAN:
        cost = cell.number("savings_plan_cost", default=cost)
    quantity = cell.number("quantity")
    for name, amount in (("quantity", quantity), ("cost", cost)):
        if amount < 0 and charge is not Charge.CORRECTION:
            raise cell.error(name, f"expected a number >= 0 of a charge for usage, got {amount}")
    named = cell.text("usage_type") or cell.text("usage_type_1_0")
    resource = cell.text("resource")
    bill.lines.append(
        BillLine(
            file=file,
            line=line,
            hour=cell.hour(),
            function_arn=None if resource is None else unqualified(resource),
            usage_type=named or cell.text("description") or "",
            usage=usage_type_of(named, cell.text("description")),
            region=cell.text("region"),
            quantity=quantity,
            price=cell.number("price") if cell.text("price") else None,
            cost=cost,
            charge=charge,
        )
    )


def check_currency(file: str, currencies: Sequence[tuple[str | None, int]], known: Format) -> None:
    """Refuse what is not in dollars, all of it; `currencies` are (code, first line). Raises BillError."""
    for currency, line in currencies:
        if currency != "USD":
            got = "nothing" if currency is None else repr(currency[:20])
            among = " among lines in USD" if len(currencies) > 1 else ""
            column = known.required["currency"]
            raise BillError(
                file, f"expected USD, the ledger's currency, got {got}{among}", line=line, column=column
            )


@dataclass(frozen=True, slots=True)
class _Cells:
    """The values of one line, read with errors that say where."""

    file: str
    line: int
    known: Format
    values: Mapping[str, str | None]

    def error(self, name: str, problem: str) -> BillError:
        column = self.known.required.get(name) or self.known.optional.get(name, name)
        return BillError(self.file, problem, line=self.line, column=column)

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        return None if value in (None, "", "NULL", "null") else value

    def number(self, name: str, default: Decimal | None = None) -> Decimal:
        value = self.text(name)
        if value is None and default is not None:
            return default
        if value is None or not _NUMBER.fullmatch(value):
            got = "nothing" if value is None else repr(value[:40])
            raise self.error(name, f"expected a number, got {got}")
        return Decimal(value)

    def instant(self, name: str) -> datetime:
        value = self.text(name)
        try:
            at = datetime.fromisoformat(value or "")
        except ValueError:
            got = "nothing" if value is None else repr(value[:40])
            raise self.error(name, f"expected an instant like 2026-11-01T00:00:00Z, got {got}") from None
        # Without a zone it is UTC: both exports say so.
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)

    def hour(self) -> datetime:
        start, end = self.instant("start"), self.instant("end")
        if start != start.replace(minute=0, second=0, microsecond=0):
            raise self.error("start", f"expected the beginning of an hour, got {start.isoformat()}")
        if end - start != _HOUR:
            text = f"expected a line of one hour (hourly granularity), got {end - start} from {start.isoformat()}"
            raise self.error("end", text)
        return start


def _charge(cell: _Cells) -> Charge | str:
    """The kind of charge, or the reason why a line is not compared."""
    kind = cell.text("charge")
    if kind is None:
        raise cell.error("charge", "expected the kind of charge, got nothing")
    if cell.known is FOCUS:
        if kind != "Usage":
            return kind.lower()
        if cell.text("charge_class") == "Correction":
            return Charge.CORRECTION
        commitment = cell.text("commitment")
        if commitment == "Unused":
            return "unused commitment"
        return Charge.SAVINGS_PLAN if commitment == "Used" else Charge.USAGE
    if kind in ("SavingsPlanCoveredUsage", "DiscountedUsage"):
        return Charge.SAVINGS_PLAN
    # SavingsPlanNegation -> savings plan negation
    return Charge.USAGE if kind == "Usage" else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()
