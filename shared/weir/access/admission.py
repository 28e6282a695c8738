"""Who gets in: a caller is found, limits are read, money is reserved before the call and settled after it.

What a request needs to know is read at once: the key, and the limits of the tenant that it names. Every read of the
table is kept for a while in the process, also that a key is unknown; reserving never is.

Where the table does not answer, the policy is: a tenant of whom this process last saw less than 80 % of a budget used,
or never saw any budget, gets in with a small cap on output; any other is refused, and so is whose limits are known and
have a 0 among them. Nobody gets in by a key that was never read, and nobody where the table answers and cannot count.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from weir.access import tenant_item
from weir.access.api_keys import ApiKey, GivenKey
from weir.access.dynamodb import AccessStoreError, AccessTable, ConditionFailed, ItemRefused
from weir.access.identity import Caller, tenant_name
from weir.access.tenant_item import NANO, Denied, TenantLimits, Usage
from weir.errors import CallerError
from weir.light_tuples import LightTuple

if TYPE_CHECKING:
    from weir.access.leases import Lease, Leases

KEPT = timedelta(seconds=60)
MAX_KEPT = 4096  # names come from outside: what is kept must not grow for ever
OPEN_BELOW = Decimal("0.8")
SMALL_OUTPUT_TOKENS = 1024
_TRIES = 5  # against others who begin the same minute


class Unauthorized(CallerError):
    """Nobody is known by that key; the message says what was expected."""


class Reservation(LightTuple):
    """Money that is set aside for one request; `settled` without a table to settle it in."""

    tenant: str
    hold: str
    nano_usd: int
    at: datetime
    settled: bool = False
    lease: "Lease | None" = None


class Admission:
    """What requests of one process share: the table, and what was read of it."""

    def __init__(self, table: AccessTable, utc_now: Callable[[], datetime]) -> None:
        self._table = table
        self._utc_now = utc_now
        self._kept: dict[tuple[str, str], tuple[datetime, Any]] = {}
        self._used: dict[str, Decimal] = {}  # by tenant, the fullest of its budgets when last seen
        self._minutes: dict[str, int] = {}  # by tenant, the minute that its item had when last seen
        self._leases: Leases | None = None

    async def caller(self, given: GivenKey) -> Caller:
        """Who an own key stands for. Raises Unauthorized; AccessStoreError, where nobody can say."""
        limits = () if given.tenant is None else _limits_of(given.tenant)
        key: ApiKey | None = (await self._read(("KEY", given.id), beside=limits))[0]
        if key is None or given.tenant not in (None, key.tenant):
            raise Unauthorized("authorization: expected a key that was made here")
        if (reason := key.refusal(given.secret, self._utc_now())) is not None:
            raise Unauthorized(f"authorization: {reason}")
        return Caller(key.tenant, f"key:{given.id}", "key", given.id)

    async def limits(self, tenant: str) -> TenantLimits:
        """What a tenant may, or what the table's item `LIMITS#default` says of all others. Raises AccessStoreError."""
        own, usual = await self._read(*_limits_of(tenant))
        return own or usual or TenantLimits()

    def lease(self, tenant: str, limits: TenantLimits) -> "Lease | None":
        """The slice of its budget that a tenant's request is to draw on, if it comes often; `end` ends its part."""
        if self._leases is None:
            if not limits.leasable:
                return None
            from weir.access.leases import Leases

            self._leases = Leases(os.urandom(6).hex())
        return self._leases.begin(tenant, limits, self._utc_now())

    async def reserve(
        self,
        tenant: str,
        request_id: str,
        amount: Decimal,
        limits: TenantLimits,
        lease: "Lease | None" = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Reservation | Denied:
        """Set `amount` (USD, rounded up to nano-USD) aside, in the table or out of a lease, if every limit has room.

        `meanwhile` is called when the table is asked, for work in the time that its answer takes.

        Raises AccessStoreError, where nobody can say: `without_table` decides then.
        """
        at, nano = self._utc_now(), _nano(amount)
        if lease is not None:
            return await self._draw(lease, max(nano, 1), limits)  # what costs nothing costs Lambda
        reservation = Reservation(tenant, tenant_item.hold_of(request_id, at), nano, at)
        if not limits.counted:
            return reservation._replace(settled=True)
        try:
            denied = await self._set_aside(tenant, reservation.hold, nano, limits, at, meanwhile=meanwhile)
        except asyncio.CancelledError:  # it may be written all the same
            with suppress(AccessStoreError):
                await self.settle(reservation, Decimal(0), 0)
            raise
        return denied or reservation

    async def settle(self, reservation: Reservation, spent: Decimal, tokens: int) -> None:
        """Put what was spent in the place of what was set aside.

        Raises AccessStoreError: the ledger settles it then.
        """
        if not reservation.settled:
            await self._settle(
                reservation.tenant,
                reservation.hold,
                reservation.at,
                reservation.nano_usd,
                _nano(spent),
                tokens,
            )

    async def end(self, lease: "Lease", reserved: int, spent: Decimal, tokens: int) -> None:
        """End a request under a lease, and return the leases whose time is over.

        Raises AccessStoreError: the ledger settles them then.
        """
        assert self._leases is not None, "a lease is of these"
        lease.end(reserved, _nano(spent), tokens)
        await self._return(self._leases.due())

    async def aclose(self) -> None:
        """Return all leases that nobody draws on. Raises AccessStoreError."""
        if self._leases is not None:
            await self._return(self._leases.due(all_of_them=True))

    async def _draw(self, lease: "Lease", nano: int, limits: TenantLimits) -> Reservation | Denied:
        from weir.access.leases import slice_for

        async with lease.turn:
            for more in (slice_for(nano, limits), nano - lease.left):
                if lease.left >= nano:
                    break
                if lease.is_lost:  # what is held would be written over
                    raise AccessStoreError("the table: expected to know what a lease holds, got no answer")
                try:  # in the day and the month that it began in, whichever it is now
                    denied = await self._set_aside(
                        lease.tenant, lease.hold, more, limits, lease.at, lease.held
                    )
                except (AccessStoreError, asyncio.CancelledError):
                    lease.is_lost = True
                    raise
                if denied is None:
                    lease.held += more
                    lease.left += more
            if lease.left < nano:
                assert denied is not None, "it was not filled up"
                return denied
            lease.left -= nano
        return Reservation(lease.tenant, lease.hold, nano, lease.at, lease=lease)

    async def _set_aside(
        self,
        tenant: str,
        hold: str,
        nano: int,
        limits: TenantLimits,
        at: datetime,
        held: int = 0,
        meanwhile: Callable[[], None] | None = None,
    ) -> Denied | None:
        """Add `nano` to a hold in the table; why not, if a limit has no room."""
        minute, begins = self._minutes.get(tenant), False
        if minute is not None and tenant_item.runs(minute, at):
            minute = None
        for _ in range(_TRIES):
            asked = (
                tenant_item.begin(tenant, hold, nano, at)
                if begins
                else tenant_item.reserve(tenant, hold, nano, limits, at, new_minute_after=minute, held=held)
            )
            try:
                usage = Usage.read(await self._table.update(asked, meanwhile))
            except ConditionFailed as failed:
                usage, begins = Usage.read(failed.item), "holds" not in failed.item
                self._note(tenant, usage, limits, at)
                if (denied := usage.refusal(nano, limits, at)) is not None:
                    return denied
                minute = None if tenant_item.runs(usage.minute, at) else usage.minute
                continue
            except ItemRefused as error:  # it is not down, and what it does not count is not bought
                detail = (
                    f"{error}; this month of the tenant is no item of ours, and nothing is set aside in it"
                )
                return Denied("month", detail, 60)
            self._note(tenant, usage, limits, at)
            return None
        return Denied("requests", "requests: expected a turn, got others' each time", 1)

    async def _settle(
        self, tenant: str, hold: str, at: datetime, reserved: int, spent: int, tokens: int
    ) -> None:
        try:
            await self._table.update(tenant_item.settle(tenant, hold, at, reserved, spent, tokens))
        except ConditionFailed:
            pass  # the ledger was quicker

    async def _return(self, leases: "Sequence[Lease]") -> None:
        for lease in leases:
            await self._settle(lease.tenant, lease.hold, lease.at, lease.held, lease.spent, lease.tokens)

    def without_table(self, tenant: str, limits: TenantLimits | None) -> TenantLimits | None:
        """What a tenant may while the table does not answer; None is nothing."""
        known = limits or TenantLimits()
        if self._used.get(tenant, Decimal(0)) >= OPEN_BELOW or 0 in known:
            return None
        own = known.max_output_tokens
        cap = SMALL_OUTPUT_TOKENS if own is None else min(own, SMALL_OUTPUT_TOKENS)
        return TenantLimits(models=known.models, max_output_tokens=cap)

    def _note(self, tenant: str, usage: Usage, limits: TenantLimits, at: datetime) -> None:
        shares = [
            Decimal(used) / limit if limit else Decimal(1)
            for used, limit in (
                (usage.month, limits.monthly_budget),
                (usage.days.get(f"d{at.astimezone(UTC):%d}", 0), limits.daily_budget),
            )
            if limit is not None
        ]
        if len(self._used) >= MAX_KEPT:
            self._used.clear()
            self._minutes.clear()
        self._minutes[tenant] = usage.minute
        self._used[tenant] = max(shares, default=Decimal(0))

    async def _read(self, *places: tuple[str, str], beside: Sequence[tuple[str, str]] = ()) -> Sequence[Any]:
        """What the table has at places (kind, name); one answer tells all that is not known, and what is `beside`."""
        now, known = self._utc_now(), {place: self._kept.get(place) for place in (*places, *beside)}
        missing = sorted(
            place for place, kept in known.items() if kept is None or not timedelta(0) <= now - kept[0] < KEPT
        )
        try:
            keys = [_item_key(*place) for place in missing]
            found = await self._table.get_all(keys) if missing else ()
        except AccessStoreError:
            if None in map(known.get, places):
                raise
            missing = []  # what is old is better than nothing
        items = {str(item["pk"]["S"]): item for item in found} if missing else {}
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        for kind, name in missing:
            item = items.get(f"{kind}#{name}")
            known[kind, name] = self._kept[kind, name] = now, None if item is None else _READ[kind](item)
        return [kept[1] for kept in map(known.get, places) if kept is not None]


def _item_key(kind: str, name: str) -> dict[str, Any]:
    return {"pk": {"S": f"{kind}#{name}"}, "sk": {"S": kind}}


def _limits_of(tenant: str) -> tuple[tuple[str, str], ...]:
    return ("LIMITS", tenant), ("LIMITS", "default")


def limits_item(tenant: str, limits: TenantLimits) -> dict[str, Any]:
    """The table's item of a tenant's limits; members without a limit are left out."""
    numbers = {name: getattr(limits, name) for name in _NUMBERS if getattr(limits, name) is not None}
    item = _item_key("LIMITS", tenant) | {name: {"N": str(value)} for name, value in numbers.items()}
    if limits.models is not None:
        item["models"] = {"L": [{"S": model} for model in sorted(limits.models)]}
    return item


def key_item(key: ApiKey) -> dict[str, Any]:
    """The table's item of a key: never the key itself."""
    item = _item_key("KEY", key.id)
    item |= {name: {"S": getattr(key, name)} for name in ("id", "secret_sha256", "tenant", "name")}
    for name in ("created_at", "expires_at", "revoked_at"):
        if (at := getattr(key, name)) is not None:
            item[name] = {"S": at.astimezone(UTC).isoformat()}
    return item


def _nano(amount: Decimal) -> int:
    return int((amount * NANO).to_integral_value(ROUND_CEILING))


_NUMBERS = (
    "max_output_tokens", "requests_per_minute", "tokens_per_minute", "concurrent_requests", "daily_budget",
    "monthly_budget",
)  # fmt: skip


def _limits(item: Mapping[str, Any]) -> TenantLimits:
    numbers = {name: _whole(item[name]) for name in _NUMBERS if name in item}
    listed = item.get("models")
    models = None if listed is None else frozenset(str(one.get("S")) for one in listed.get("L", ()))
    return TenantLimits(models=models, **numbers)


def _whole(value: Mapping[str, Any]) -> int:
    try:
        return max(0, int(value["N"]))
    except (KeyError, TypeError, ValueError):
        return 0  # a limit that cannot be read lets nobody in


def _key(item: Mapping[str, Any]) -> ApiKey | None:
    def text(name: str) -> str:
        return str(item[name]["S"])

    def instant(name: str) -> datetime | None:
        if name not in item:
            return None
        at = datetime.fromisoformat(text(name))
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)

    try:
        created, tenant, digest = instant("created_at"), text("tenant"), text("secret_sha256")
        if created is None or not tenant or tenant_name(tenant) != tenant or not digest.isascii():
            return None
        return ApiKey(
            text("id"), digest, tenant, text("name"), created, instant("expires_at"), instant("revoked_at")
        )
    except (KeyError, TypeError, ValueError):
        return None  # a foreign item is no key


_READ: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {"KEY": _key, "LIMITS": _limits}
