"""A slice of a budget for one process: many requests of a hot tenant draw on it, and the table is asked once.

A lease is a hold like any other, so that a budget is never exceeded by it: what it sets aside is in the month's sum
until it is returned. It holds money and nothing else: a tenant with limits of rate or concurrency gets none, for those
are exact. Nor does one whose budget is small beside its requests: a slice is at most a hundredth of a budget. It is
taken when a tenant comes often, is filled up when it is empty, and returned a minute after it was taken, when nobody
draws on it any more. A process that was frozen or killed by then leaves it, and the ledger settles it by the rows that
name it: so everything that a request under a lease costs is its lease's, whatever became of it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from weir.access.tenant_item import LEASE, TenantLimits, hold_of

LIFE = timedelta(seconds=60)
OFTEN, WITHIN = 4, timedelta(seconds=30)  # so many requests of a tenant in this process, in that time
REQUESTS = 16  # as large as the largest so far, that a slice is for
SHARE = 100
_MAX_TENANTS = 1024


@dataclass(slots=True)
class Lease:
    """What one process has of one tenant's budget, in nano-USD: `held` in the table, of which `left` is free."""

    tenant: str
    hold: str
    at: datetime
    held: int = 0
    left: int = 0
    spent: int = 0
    tokens: int = 0
    drawing: int = 0  # requests that have not ended
    is_lost: bool = False  # nobody can say what the table holds: the ledger settles it
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # of those who fill it up

    @property
    def name(self) -> str:
        """As the requests that draw on it name it."""
        return self.hold.rpartition("~")[0]

    def is_over(self, now: datetime) -> bool:
        """Whether nobody may begin to draw on it: by the wall's clock, since a process may be frozen; within a day."""
        return self.is_lost or not timedelta(0) <= now - self.at < LIFE or now.date() != self.at.date()

    def end(self, reserved: int, spent: int, tokens: int) -> None:
        """A request under it has ended."""
        self.drawing -= 1
        self.left += reserved - spent
        self.spent += spent
        self.tokens += tokens


class Leases:
    """One process's; `token` makes a name that no other process has."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._made = 0
        self._seen: dict[str, deque[datetime]] = {}
        self._leases: dict[str, Lease] = {}
        self._ending: list[Lease] = []

    def begin(self, tenant: str, limits: TenantLimits, now: datetime) -> Lease | None:
        """The lease that a request of a tenant is to draw on, None where it is to ask the table itself."""
        lease = self._leases.get(tenant)
        if lease is not None and lease.is_over(now):
            self._ending.append(self._leases.pop(tenant))
            lease = None
        if not limits.leasable:
            return None
        if self._comes_often(tenant, now) and lease is None:
            self._made += 1
            name = f"{LEASE}{self._token}-{self._made}"
            lease = self._leases[tenant] = Lease(tenant, hold_of(name, now), now)
        if lease is not None:
            lease.drawing += 1
        return lease

    def due(self, *, all_of_them: bool = False) -> list[Lease]:
        """Leases to be returned, which nobody draws on any more; they are the caller's then."""
        if all_of_them:
            self._ending += self._leases.values()
            self._leases = {}
        due = [lease for lease in self._ending if not lease.drawing]
        self._ending = [lease for lease in self._ending if lease.drawing]
        return [lease for lease in due if lease.held and not lease.is_lost]

    def _comes_often(self, tenant: str, now: datetime) -> bool:
        if len(self._seen) >= _MAX_TENANTS:
            self._seen.clear()
        seen = self._seen.setdefault(tenant, deque(maxlen=OFTEN))
        seen.append(now)
        return len(seen) == OFTEN and timedelta(0) <= now - seen[0] <= WITHIN


def slice_for(amount: int, limits: TenantLimits) -> int:
    """How much a lease takes at once for requests of `amount`; no more than that of a budget that is small."""
    budgets = [limit for limit in (limits.monthly_budget, limits.daily_budget) if limit is not None]
    return max(amount, min(amount * REQUESTS, *(budget // SHARE for budget in budgets)))
