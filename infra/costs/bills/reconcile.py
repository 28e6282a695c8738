"""The ledger against AWS's bill: every hour, function and usage type, with a reason for each difference.

The same SQL answers from DuckDB's files or from Athena; the bill is read from its files. Nothing is passed over in
silence: what the bill has and the ledger cannot have is counted, with its cost, under the reason why it is left out.
"""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from infra.costs.bills.compare import Comparison, Reason, Status, compare, percent, status_of, tolerance
from infra.costs.bills.ledger_lines import LEDGER_LINES, SPEND, ledger_side
from infra.costs.bills.lines import Bill, BillError, LeftOut
from infra.costs.bills.reasons import explain
from infra.costs.bills.usage_types import REQUEST, usage_type
from weir.ledger.facts import format_timestamp
from weir.pricing.money import plain
from weir.pricing.price_book import PriceBook

type Ask = Callable[[str, list[Any]], Sequence[Sequence[Any]]]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell of text that begins so is run by spreadsheets
_TEXT_COLUMNS = ("function_arn", "usage_type", "detail", "bill_lines")


@dataclass(frozen=True, slots=True)
class Total:
    """The sums of one usage type over the range; `difference` is ledger less bill, USD."""

    usage_type: str
    unit: str
    ledger_quantity: Decimal | None
    bill_quantity: Decimal
    ledger_cost: Decimal
    bill_cost: Decimal
    status: Status

    @property
    def difference(self) -> Decimal:
        """Of the costs."""
        return self.ledger_cost - self.bill_cost

    @property
    def percent(self) -> Decimal | None:
        """Of the bill; None where it has no cost."""
        return percent(self.difference, self.bill_cost)

    def as_json(self) -> dict[str, Any]:
        """Amounts as strings in plain notation, unknown as null."""
        return {
            "usage_type": self.usage_type,
            "unit": self.unit,
            "ledger_quantity": None if self.ledger_quantity is None else plain(self.ledger_quantity),
            "bill_quantity": plain(self.bill_quantity),
            "ledger_cost": plain(self.ledger_cost),
            "bill_cost": plain(self.bill_cost),
            "cost_difference": plain(self.difference),
            "percent": None if self.percent is None else plain(self.percent),
            "status": self.status.value,
        }


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Ledger and bill from `start` to `end` (exclusive, UTC); `left_out` holds lines of the bill by reason."""

    start: datetime
    end: datetime
    files: Sequence[str]
    comparisons: Sequence[Comparison]
    left_out: Mapping[str, LeftOut]
    price_book_version: str
    spend: Decimal
    spend_is_lower_bound: bool
    warnings: Sequence[str] = field(default_factory=tuple)

    @property
    def compared(self) -> Decimal:
        """What the ledger has for the lines that were compared, USD."""
        return sum((entry.ledger.cost for entry in self.comparisons), Decimal(0))

    @property
    def coverage_percent(self) -> Decimal | None:
        """How much of what the range cost by the ledger this is about: a bill of Lambda says nothing of tokens."""
        return round(100 * self.compared / self.spend, 4) if self.spend else None

    @property
    def status(self) -> Status:
        """The worst of any line."""
        return max((entry.status for entry in self.comparisons), key=list(Status).index, default=Status.GREEN)

    @property
    def statuses(self) -> dict[Status, int]:
        """How many lines have which status."""
        found = [entry.status for entry in self.comparisons]
        return {status: found.count(status) for status in Status}

    @property
    def reasons(self) -> dict[Reason, tuple[int, Decimal]]:
        """Reason -> (lines, ledger less bill in USD), in the order of the class."""
        found: dict[Reason, tuple[int, Decimal]] = {}
        for reason in Reason:
            entries = [entry for entry in self.comparisons if entry.reason is reason]
            if entries:
                found[reason] = len(entries), sum((entry.cost_difference for entry in entries), Decimal(0))
        return found

    @property
    def totals(self) -> list[Total]:
        """The sums by usage type."""
        kinds = sorted({entry.usage for entry in self.comparisons})
        return [_total([entry for entry in self.comparisons if entry.usage == usage]) for usage in kinds]

    def as_json(self) -> dict[str, Any]:
        """The whole result; amounts as strings in plain notation, unknown as null."""
        return {
            "range": {"from": format_timestamp(self.start), "to": format_timestamp(self.end)},
            "files": list(self.files),
            "currency": "USD",
            "price_book_version": self.price_book_version,
            "status": self.status.value,
            "coverage": {
                "compared": plain(self.compared),
                "spend": plain(self.spend),
                "spend_is_lower_bound": self.spend_is_lower_bound,
                "percent": None if self.coverage_percent is None else plain(self.coverage_percent),
            },
            "lines": {status.value: count for status, count in self.statuses.items()},
            "totals": [total.as_json() for total in self.totals],
            "reasons": {
                reason.value: {"lines": lines, "cost_difference": plain(cost)}
                for reason, (lines, cost) in self.reasons.items()
            },
            "left_out": {
                reason: {"lines": entry.lines, "cost": plain(entry.cost)}
                for reason, entry in sorted(self.left_out.items())
            },
            "warnings": list(self.warnings),
            "comparisons": [entry.as_json() for entry in self.comparisons],
        }

    def differences(self) -> list[Comparison]:
        """The lines that are not green, the most expensive difference first."""
        differing = [entry for entry in self.comparisons if entry.status is not Status.GREEN]
        return sorted(differing, key=lambda entry: (-abs(entry.cost_difference), entry.hour, entry.usage))

    def text(self, limit: int = 40) -> str:
        """The result as plain tables: totals, reasons, at most `limit` differing lines, what was left out."""
        parts = [
            f"Ledger against {', '.join(self.files)}",
            f"{format_timestamp(self.start)} to {format_timestamp(self.end)}, price book {self.price_book_version}: "
            + ", ".join(f"{count} {status.value}" for status, count in self.statuses.items()),
            self._coverage(),
            _table(
                ("usage type", "ledger", "bill", "ledger USD", "bill USD", "difference", "%", "status"),
                [_total_cells(total) for total in self.totals],
            ),
        ]
        if self.reasons:
            rows = [(reason.value, str(lines), _usd(cost)) for reason, (lines, cost) in self.reasons.items()]
            parts.append(_table(("reason", "lines", "difference"), rows))
        if differing := self.differences():
            heads = (
                "hour",
                "function",
                "usage type",
                "ledger",
                "bill",
                "difference USD",
                "%",
                "status",
                "reason",
            )
            parts.append(_table(heads, [_cells(entry) for entry in differing[:limit]]))
            details = dict.fromkeys(f"{entry.reason}: {entry.detail}" for entry in differing[:limit])
            parts.append("\n".join(details))
            if len(differing) > limit:
                parts.append(f"and {len(differing) - limit} more lines that differ")
        if self.left_out:
            rows = [(reason, str(out.lines), _usd(out.cost)) for reason, out in sorted(self.left_out.items())]
            parts.append(_table(("left out of the bill", "lines", "USD"), rows))
        parts.extend(f"warning: {warning}" for warning in self.warnings)
        return "\n\n".join(parts) + "\n"

    def _coverage(self) -> str:
        at_most, at_least = ("at most ", "at least ") if self.spend_is_lower_bound else ("", "")
        share = "none" if self.coverage_percent is None else f"{at_most}{_share(self.coverage_percent)} %"
        return (
            f"Reconciled {share} of the range's spend: {_usd(self.compared)} of {at_least}{_usd(self.spend)} USD."
            " The rest, tokens above all, is on other bills."
        )

    def csv(self) -> str:
        """Every line as CSV, one header; cells of text are safe to open in a spreadsheet."""
        output = io.StringIO()
        rows = [entry.as_json() for entry in self.comparisons]
        names = list(Comparison(self.start, "", usage_type(REQUEST, arm=False)).as_json())
        writer = csv.DictWriter(output, names, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            row["bill_lines"] = " ".join(row["bill_lines"])
            writer.writerow(
                {name: _safe(value) if name in _TEXT_COLUMNS else value for name, value in row.items()}
            )
        return output.getvalue()


def reconcile(
    query: Ask,
    bill: Bill,
    book: PriceBook,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    functions: Collection[str] = (),
) -> Reconciliation:
    """Compare what `query` finds in the ledger with a bill, hour by hour.

    The range is by default that of the bill: from the beginning of its first UTC day to the end of its last hour.
    `functions` are ARNs without qualifier, by default those that the ledger has rows of in the range (all of the bill's
    if it has none at all); what the bill charges for others is left out, and counted. `query` must see the days after
    the range too, where corrections lie.
    Raises BillError for a bill without an hour to compare.
    """
    bill = replace(bill, left_out={reason: replace(entry) for reason, entry in bill.left_out.items()})
    hours = [line.hour for line in bill.lines]
    if not hours and (start is None or end is None):
        raise BillError(", ".join(bill.files), "expected lines for Lambda usage, or a range, got neither")
    start = min(hours).replace(hour=0) if start is None else start
    end = max(hours) + timedelta(hours=1) if end is None else end
    parameters = [start.date().isoformat(), start.replace(tzinfo=None), end.replace(tzinfo=None)]
    side = ledger_side(query(LEDGER_LINES, parameters))
    [(spend, lower_bounds)] = query(SPEND, parameters)
    # An empty ledger agrees with nothing: what it ought to have had is missing.
    billed = {line.function_arn for line in bill.lines if line.function_arn is not None}
    comparisons = compare(side, bill, start, end, functions or side.functions or billed)
    explain(comparisons, side, book)
    return Reconciliation(
        start,
        end,
        tuple(bill.files),
        comparisons,
        dict(bill.left_out),
        book.version,
        Decimal(spend or 0),
        bool(lower_bounds),
        tuple(bill.warnings),
    )


def _total(entries: Sequence[Comparison]) -> Total:
    quantities = [entry.ledger.quantity for entry in entries]
    known = [quantity for quantity in quantities if quantity is not None]
    cost = sum((entry.ledger.cost for entry in entries), Decimal(0))
    billed = sum((entry.bill_cost for entry in entries), Decimal(0))
    rounding = tolerance(sum(len(entry.bill) for entry in entries), billed)
    near = abs(cost - billed) <= rounding
    return Total(
        str(entries[0].usage),
        entries[0].usage.meter.unit,
        sum(known, Decimal(0)) if len(known) == len(quantities) else None,
        sum((entry.bill_quantity for entry in entries), Decimal(0)),
        cost,
        billed,
        Status.GREEN if near else status_of(cost - billed, billed),
    )


def _usd(amount: Decimal) -> str:
    return f"{amount:.10f}"


def _share(percent: Decimal) -> str:
    """A share that is not nothing is never shown as nothing."""
    return f"{percent:.1f}" if percent >= Decimal("0.1") or not percent else f"{percent:.4f}"


def _percent(value: Decimal | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _quantity(value: Decimal | None) -> str:
    return "–" if value is None else plain(round(value, 6))


def _total_cells(total: Total) -> tuple[str, ...]:
    return (
        total.usage_type,
        _quantity(total.ledger_quantity),
        _quantity(total.bill_quantity),
        _usd(total.ledger_cost),
        _usd(total.bill_cost),
        _usd(total.difference),
        _percent(total.percent),
        total.status.value,
    )


def _cells(entry: Comparison) -> tuple[str, ...]:
    return (
        f"{entry.hour:%Y-%m-%d %H:00}",
        entry.function_arn.rpartition(":")[2],
        str(entry.usage),
        _quantity(entry.ledger.quantity),
        _quantity(entry.bill_quantity),
        _usd(entry.cost_difference),
        _percent(entry.percent),
        entry.status.value,
        "" if entry.reason is None else entry.reason.value,
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns in line; numbers to the right."""
    lines = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    right = [
        len(lines) > 1 and all(not line[column] or line[column][0] in "-–0123456789" for line in lines[1:])
        for column in range(len(heads))
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _safe(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
