"""The ledger as the bill would show it: one line an hour, function and usage type.

A row belongs to the hour in which it ended, and a correction to the hour of the row that it corrects. Quantities are
those that AWS reported, never computed from a price; only ephemeral storage and restores have none, their cost alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from infra.costs.bills.usage_types import (
    DURATION,
    PROVISIONED_DURATION,
    REQUEST,
    RESTORE,
    STORAGE,
    STREAMED,
    Meter,
    UsageType,
    unqualified,
    usage_type,
)
from weir.pricing.cost import FREE_STREAMED_BYTES

UNKNOWN_FUNCTION = "(function unknown)"
_GIB = 1024**3
# Parameters: first day (YYYY-MM-DD), start, end (UTC without a zone). A correction lies on the day it was found, so
# there is no last day. Managed instances are billed by the instance: no hourly line is a request's.
LEDGER_LINES = f"""
SELECT date_trunc('hour', coalesce(corrects_at, at_utc)) AS bill_hour, function_arn, architecture,
  initialization_type, memory_mb, region, entry, count(*) AS ledger_rows, sum(billed_invocations) AS requests,
  sum(gb_s) AS gb_seconds,
  sum(CASE WHEN entry = 'request' AND streamed_bytes > {FREE_STREAMED_BYTES}
      THEN streamed_bytes - {FREE_STREAMED_BYTES} ELSE 0 END) AS streamed,
  sum(cost_lambda_request) AS request_cost, sum(cost_lambda_duration) AS duration_cost,
  sum(cost_lambda_streamed_bytes) AS streamed_cost, sum(cost_lambda_ephemeral_storage) AS storage_cost,
  sum(cost_lambda_restore) AS restore_cost,
  sum(CASE WHEN billed_invocations > 0 AND cost_lambda_request IS NULL THEN 1 ELSE 0 END) AS unpriced_requests,
  sum(CASE WHEN billed_invocations > 0 AND cost_lambda_duration IS NULL THEN 1 ELSE 0 END) AS unpriced_durations,
  sum(CASE WHEN entry = 'request' AND billed_invocations = 0 THEN 1 ELSE 0 END) AS without_report
FROM ledger
WHERE dt >= ? AND coalesce(corrects_at, at_utc) >= ? AND coalesce(corrects_at, at_utc) < ?
  AND coalesce(initialization_type, '') <> 'lambda-managed-instances'
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""

# All that the range cost, by the same hours and parameters; and how many of its rows are not priced in full.
SPEND = """
SELECT sum(total) AS spend, count(*) FILTER (WHERE element_at(unpriced, 1) IS NOT NULL) AS lower_bounds
FROM ledger
WHERE dt >= ? AND coalesce(corrects_at, at_utc) >= ? AND coalesce(corrects_at, at_utc) < ?
"""


@dataclass(slots=True)
class LedgerLine:
    """What the ledger has for one hour, function and usage type; `quantity` None is not known, its cost is.

    `corrections` is the part of `quantity` that came after its month was closed. `unpriced` rows are in the quantity
    and not in the cost. `memory_mb` holds GB-seconds by memory size.
    """

    quantity: Decimal | None = field(default_factory=Decimal)
    cost: Decimal = field(default_factory=Decimal)
    rows: int = 0
    unpriced: int = 0
    corrections: Decimal = field(default_factory=Decimal)
    memory_mb: dict[int, Decimal] = field(default_factory=dict)
    region: str | None = None


@dataclass(slots=True)
class LedgerSide:
    """The ledger's lines by (hour, function ARN, usage type), and what is known of an hour besides.

    `without_report` counts the requests of an (hour, function) whose bill half has not come.
    """

    lines: dict[tuple[datetime, str, UsageType], LedgerLine] = field(default_factory=dict)
    without_report: dict[tuple[datetime, str], int] = field(default_factory=dict)

    @property
    def functions(self) -> set[str]:
        """The functions that have rows."""
        return {function for _, function, _ in self.lines} | {function for _, function in self.without_report}


def ledger_side(groups: Iterable[Sequence[Any]]) -> LedgerSide:
    """The lines of what LEDGER_LINES answered."""
    rows = [_Group(*group) for group in groups]
    sizes: dict[str, set[str]] = {}
    for row in rows:
        if row.architecture is not None:
            sizes.setdefault(row.function, set()).add(row.architecture)
    side = LedgerSide()
    for row in rows:
        # A killed request may not say where it ran: a function has one architecture, except around a change.
        known = sizes.get(row.function, set())
        architecture = row.architecture or (next(iter(known)) if len(known) == 1 else "x86_64")
        _add(side, row, arm=architecture == "arm64")
    return side


@dataclass(frozen=True, slots=True)
class _Group:
    """One row of LEDGER_LINES, in the order of its columns."""

    bill_hour: datetime
    function_arn: str | None
    architecture: str | None
    initialization_type: str | None
    memory_mb: int | None
    region: str | None
    entry: str
    ledger_rows: int
    requests: int | None
    gb_seconds: Decimal | None
    streamed: int
    request_cost: Decimal | None
    duration_cost: Decimal | None
    streamed_cost: Decimal | None
    storage_cost: Decimal | None
    restore_cost: Decimal | None
    unpriced_requests: int
    unpriced_durations: int
    without_report: int

    @property
    def hour(self) -> datetime:
        return self.bill_hour.replace(tzinfo=UTC)

    @property
    def function(self) -> str:
        return UNKNOWN_FUNCTION if self.function_arn is None else unqualified(self.function_arn)


def _add(side: LedgerSide, row: _Group, *, arm: bool) -> None:
    def line(
        meter: Meter, quantity: Decimal | None, cost: Decimal | None, unpriced: int = 0
    ) -> LedgerLine | None:
        if not quantity and not cost and not unpriced:
            return None
        found = side.lines.setdefault((row.hour, row.function, usage_type(meter, arm=arm)), LedgerLine())
        if quantity is None or found.quantity is None:
            found.quantity = None
        else:
            found.quantity += quantity
            found.corrections += quantity if row.entry == "correction" else 0
        found.cost += cost or 0
        found.rows += int(row.ledger_rows)
        found.unpriced += int(unpriced)
        found.region = row.region or found.region
        return found

    provisioned = row.initialization_type == "provisioned-concurrency"
    seconds = row.gb_seconds or Decimal(0)
    duration = line(
        PROVISIONED_DURATION if provisioned else DURATION, seconds, row.duration_cost, row.unpriced_durations
    )
    if duration is not None and row.memory_mb is not None:
        duration.memory_mb[row.memory_mb] = duration.memory_mb.get(row.memory_mb, Decimal(0)) + seconds
    line(REQUEST, Decimal(int(row.requests or 0)), row.request_cost, row.unpriced_requests)
    line(STREAMED, Decimal(int(row.streamed)) / _GIB, row.streamed_cost)
    line(STORAGE, None, row.storage_cost)
    line(RESTORE, None, row.restore_cost)
    if row.without_report:
        key = (row.hour, row.function)
        side.without_report[key] = side.without_report.get(key, 0) + int(row.without_report)
