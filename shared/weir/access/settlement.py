"""What killed requests left set aside: the ledger knows what they cost, and settles it.

A function settles what it reserved. One that was killed, or timed out, cannot. Its row comes later, and then its hold
is settled by the row's cost; a hold of a request that the ledger never heard of is let go after a day. What a killed
request had bought of tokens nobody counted: then what was set aside stays spent, which is the most that it can be.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any, Literal

from weir.access.tenant_item import LEASE, NANO, Usage, request_of, settle

type Cost = Decimal | Literal["unknown"]

ABANDONED_AFTER = timedelta(minutes=20)  # no function runs longer than fifteen
LEASE_ABANDONED_AFTER = timedelta(hours=1)  # every row of its requests is in the ledger by then
FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Settlement:
    """A hold that can be settled: what was reserved, and what it cost, in nano-USD."""

    hold: str
    reserved_at: datetime
    reserved: int
    spent: int


def settlements(
    usage: Usage, cost_of: Callable[[str, datetime], Cost | None], now: datetime
) -> Iterator[Settlement]:
    """The holds of a tenant's month that nobody else will settle.

    `cost_of` gives, by name and begin, the cost of a request's row, or of all rows that name a lease, `unknown` where
    tokens were bought that nobody counted; None while there is no row.
    """
    for hold, (reserved, _, second) in usage.holds.items():
        try:
            at = datetime.fromtimestamp(second, UTC)
        except (OSError, OverflowError, ValueError):
            continue  # of a foreign hand
        if now - at < (LEASE_ABANDONED_AFTER if hold.startswith(LEASE) else ABANDONED_AFTER):
            continue
        cost = cost_of(request_of(hold), at)
        if cost is None and now - at < FORGOTTEN_AFTER:
            continue
        if cost == "unknown":
            spent = reserved
        else:
            spent = int(((cost or Decimal(0)) * NANO).to_integral_value(ROUND_CEILING))
        yield Settlement(hold, at, reserved, spent)


def settle_all(
    items: Iterable[Mapping[str, Any]],
    cost_of: Callable[[str, datetime], Cost | None],
    update: Callable[[Mapping[str, Any]], None],
    now: datetime,
) -> int:
    """Settle what can be settled of all tenants' months among a table's items; returns how many holds that were."""
    count = 0
    for item in items:
        kind, _, tenant = str(item["pk"].get("S", "")).partition("#")
        if kind != "TENANT" or not item.get("holds"):
            continue
        for hold in settlements(Usage.read(item), cost_of, now):
            settled = settle(tenant, hold.hold, hold.reserved_at, hold.reserved, hold.spent, 0)
            if _may_be_added_to(item, settled):
                update(settled)
                count += 1
    return count


def _may_be_added_to(item: Mapping[str, Any], settled: Mapping[str, Any]) -> bool:
    """Whether the sums that a settlement changes are numbers: one foreign item must not end the run for all others."""
    names = settled["ExpressionAttributeNames"]
    return all("N" in item.get(names[name], {"N": "0"}) for name in ("#month", "#day", "#tokens"))
