"""Leases on a real table's rules: few writes for a tenant that comes often, and a budget that is exact all the same."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from weir.access import tenant_item
from weir.access.admission import Admission, Reservation
from weir.access.dynamodb import AccessStoreError, AccessTable
from weir.access.leases import LIFE, OFTEN, REQUESTS, Lease
from weir.access.settlement import settlements
from weir.access.tenant_item import NANO, Denied, TenantLimits, Usage

from .conftest import Clock, Late

AMOUNT, SPENT = Decimal("0.0001"), Decimal("0.00004")
ONE_DOLLAR = TenantLimits(monthly_budget=NANO)


class Counted:
    """A table, and the writes that it was asked for, those that it refused too."""

    def __init__(self, table: AccessTable) -> None:
        self.table, self.writes = table, 0

    async def update(
        self, request: Mapping[str, Any], meanwhile: Callable[[], None] | None = None
    ) -> Mapping[str, Any]:
        self.writes += 1
        return await self.table.update(request, meanwhile)


@pytest.fixture
def counted(table: AccessTable) -> Counted:
    return Counted(table)


@pytest.fixture
def admission(counted: Counted, clock: Clock) -> Admission:
    return Admission(counted, clock)  # type: ignore[arg-type]  # it only writes here


async def usage(table: AccessTable, at: datetime, tenant: str = "acme") -> Usage:
    item = await table.get(tenant_item.key(tenant, at), consistent=True)
    assert item is not None
    return Usage.read(item)


async def begin(
    admission: Admission, n: int, limits: TenantLimits = ONE_DOLLAR, amount: Decimal = AMOUNT
) -> tuple[Lease | None, Reservation | Denied]:
    lease = admission.lease("acme", limits)
    return lease, await admission.reserve("acme", f"r{n}", amount, limits, lease)


async def end(admission: Admission, lease: Lease | None, answer: Reservation | Denied) -> None:
    reserved = answer.nano_usd if isinstance(answer, Reservation) else 0
    if lease is not None:
        await admission.end(lease, reserved, SPENT if reserved else Decimal(0), 10)
    elif isinstance(answer, Reservation):
        await admission.settle(answer, SPENT, 10)


async def test_a_tenant_that_comes_often_costs_few_writes_and_its_budget_is_exact_when_leases_are_returned(
    admission: Admission, counted: Counted, clock: Clock
) -> None:
    for n in range(100):
        await end(admission, *await begin(admission, n))
        clock.move(seconds=1)
    assert counted.writes < 100 * 2 / 4
    await admission.aclose()
    after = await usage(counted.table, clock())
    assert (after.holds, after.month) == ({}, 100 * int(SPENT * NANO))
    assert after.days == {"d28": after.month}


async def test_at_the_first_cent_of_many_at_once_a_lease_is_filled_up_for_all_of_them(
    admission: Admission, counted: Counted, clock: Clock
) -> None:
    for n in range(OFTEN - 1):
        await end(admission, *await begin(admission, n))
    begun = await asyncio.gather(*(begin(admission, n) for n in range(40)))
    assert len({id(lease) for lease, _ in begun}) == 1 and begun[0][0] is not None
    held = await usage(counted.table, clock())
    assert [amount for amount, _, _ in held.holds.values()] == [begun[0][0].held]
    assert begun[0][0].held >= 40 * int(AMOUNT * NANO)
    for one in begun:
        await end(admission, *one)
    await admission.aclose()
    after = await usage(counted.table, clock())
    assert (after.holds, after.month) == ({}, 43 * int(SPENT * NANO))


async def test_a_lease_takes_no_more_than_there_is_and_nobody_overspends_by_it(
    admission: Admission, counted: Counted, clock: Clock
) -> None:
    """Near the end of a budget slices are refused: then what one request needs is asked for, and then nothing."""
    small = TenantLimits(monthly_budget=int(AMOUNT * NANO * 10))
    begun = [await begin(admission, n, small) for n in range(30)]
    got = [answer for _, answer in begun if isinstance(answer, Reservation)]
    assert len(got) == 10
    assert {answer.reason for _, answer in begun if isinstance(answer, Denied)} == {"month"}
    assert (await usage(counted.table, clock())).month == small.monthly_budget
    for one in begun:
        await end(admission, *one)
    await admission.aclose()
    assert (await usage(counted.table, clock())).month == 10 * int(SPENT * NANO)


@pytest.mark.parametrize(
    "limits",
    [
        TenantLimits(monthly_budget=NANO, requests_per_minute=1000),
        TenantLimits(monthly_budget=NANO, tokens_per_minute=1000),
        TenantLimits(daily_budget=NANO, concurrent_requests=1000),
        TenantLimits(max_output_tokens=5),
    ],
)
async def test_who_has_limits_of_rate_or_no_budget_gets_no_lease(
    limits: TenantLimits, admission: Admission
) -> None:
    assert [admission.lease("acme", limits) for _ in range(10)] == [None] * 10


async def test_who_comes_seldom_gets_none_and_a_slice_is_for_some_requests_and_a_hundredth_at_most(
    admission: Admission, clock: Clock
) -> None:
    for _ in range(10):
        assert admission.lease("acme", ONE_DOLLAR) is None
        clock.move(seconds=11)
    for _ in range(OFTEN):
        lease, _ = await begin(admission, 0, TenantLimits(monthly_budget=NANO, daily_budget=NANO // 2))
    assert lease is not None and lease.held == int(AMOUNT * NANO) * REQUESTS
    other = Admission(admission._table, clock)
    for _ in range(OFTEN):
        lease = other.lease("globex", TenantLimits(monthly_budget=NANO // 100))
    assert lease is not None
    answer = await other.reserve(
        "globex", "r", Decimal("0.00005"), TenantLimits(monthly_budget=NANO // 100), lease
    )
    assert isinstance(answer, Reservation) and lease.held == NANO // 10_000


@pytest.mark.parametrize("move", [{"seconds": 60}, {"hours": 3}, {"hours": -1}, {"days": 1}])
async def test_a_process_that_was_frozen_or_whose_clock_jumped_begins_another_lease_and_returns_the_old_one(
    move: dict[str, float], admission: Admission, counted: Counted, clock: Clock
) -> None:
    leases = set()
    for n in range(3 * OFTEN):
        lease, answer = await begin(admission, n)
        if lease is not None:
            leases.add(lease.hold)
        await end(admission, lease, answer)
        if n == OFTEN:
            clock.move(**move)
    assert len(leases) == 2
    await admission.aclose()
    after = await usage(counted.table, clock())
    assert (after.holds, after.month) == ({}, 3 * OFTEN * int(SPENT * NANO))


async def test_what_a_killed_process_had_leased_is_settled_by_the_rows_that_name_it(
    admission: Admission, counted: Counted, clock: Clock
) -> None:
    rows: dict[str, Decimal] = {}
    for n in range(10):
        lease, answer = await begin(admission, n)
        if lease is not None:
            rows[lease.name] = rows.get(lease.name, Decimal(0)) + SPENT
        if n < 9:  # the last is killed in flight: its row tells its cost
            await end(admission, lease, answer)
    found = await usage(counted.table, clock())
    assert len(found.holds) == len(rows) == 1

    def cost_of(name: str, begun: datetime) -> Decimal | None:
        assert begun.date() == clock().date()
        return rows.get(name)

    clock.move(minutes=59)
    assert not list(settlements(found, cost_of, clock())), "rows may still come"
    clock.move(minutes=1)
    for hold in settlements(found, cost_of, clock()):
        await counted.update(
            tenant_item.settle("acme", hold.hold, hold.reserved_at, hold.reserved, hold.spent, 0)
        )
    after = await usage(counted.table, clock())
    assert (after.holds, after.month) == ({}, 10 * int(SPENT * NANO))
    await admission.aclose()  # the process was only frozen: the ledger was quicker
    assert (await usage(counted.table, clock())).month == after.month


async def test_a_lease_of_which_nobody_can_say_whether_it_was_filled_up_is_left_to_the_ledger(
    admission: Admission, counted: Counted, clock: Clock
) -> None:
    for n in range(OFTEN):
        lease, answer = await begin(admission, n)
        await end(admission, lease, answer)
    assert lease is not None
    update = counted.table.update

    async def answered_too_late(request: Mapping[str, Any], *_: Any) -> Mapping[str, Any]:
        await update(request)
        raise AccessStoreError("the table: expected an answer of DynamoDB, got ReadTimeout")

    counted.table.update = answered_too_late  # type: ignore[method-assign]  # the outcome is unknown
    lease = admission.lease("acme", ONE_DOLLAR)
    assert lease is not None
    lease.left = 0
    with pytest.raises(AccessStoreError):
        await admission.reserve("acme", "r", AMOUNT, ONE_DOLLAR, lease)
    counted.table.update = update  # type: ignore[method-assign]
    lease.end(0, 0, 0)
    other = admission.lease("acme", ONE_DOLLAR)
    assert other is not None and other.hold != lease.hold
    await admission.aclose()
    assert set((await usage(counted.table, clock())).holds) == {lease.hold}


async def settled_by_the_ledger(table: AccessTable, clock: Clock, row: Decimal) -> Usage:
    clock.move(hours=1)
    for hold in settlements(await usage(table, clock()), lambda name, _: row, clock()):
        await table.update(
            tenant_item.settle("acme", hold.hold, hold.reserved_at, hold.reserved, hold.spent, 0)
        )
    return await usage(table, clock())


@pytest.mark.parametrize("how", ["hung up", "nobody can say"])
async def test_a_lease_that_was_being_filled_up_when_its_request_ended_leaves_nothing_set_aside(
    how: str, admission: Admission, counted: Counted, clock: Clock
) -> None:
    """Two wait for their turn: what the first has written nobody told, and the second writes nothing over it."""
    for n in range(OFTEN):
        lease, answer = await begin(admission, n)
        await end(admission, lease, answer)
    update = counted.table.update
    late = Late(counted.table, None if how == "hung up" else AccessStoreError("the table: got ReadTimeout"))
    counted.table.update = late  # type: ignore[method-assign]
    first, second = admission.lease("acme", ONE_DOLLAR), admission.lease("acme", ONE_DOLLAR)
    assert first is not None and first is second
    first.left = 0
    tasks = [asyncio.create_task(admission.reserve("acme", "r", AMOUNT, ONE_DOLLAR, first)) for _ in "12"]
    await late.written.wait()
    counted.table.update = update  # type: ignore[method-assign]
    if how == "hung up":
        tasks[0].cancel()
    failed = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError | AccessStoreError) for each in failed] == [True, True]
    for _ in tasks:
        await admission.end(first, 0, Decimal(0), 0)
    await admission.aclose()
    after = await settled_by_the_ledger(counted.table, clock, SPENT)  # of the one request that drew on it
    assert (after.holds, after.month) == ({}, OFTEN * int(SPENT * NANO))


async def test_a_request_that_ends_while_it_is_set_aside_for_holds_nothing(
    admission: Admission, counted: Counted, clock: Clock
) -> None:
    limits = ONE_DOLLAR._replace(concurrent_requests=1)
    await end(admission, None, await admission.reserve("acme", "r0", AMOUNT, limits))
    update = counted.table.update
    counted.table.update = late = Late(counted.table)  # type: ignore[assignment]
    asking = asyncio.create_task(admission.reserve("acme", "r1", AMOUNT, limits))
    await late.written.wait()
    counted.table.update = update  # type: ignore[method-assign]
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    after = await usage(counted.table, clock())
    assert (after.holds, after.month) == ({}, int(SPENT * NANO))


@pytest.mark.parametrize("eve", [datetime(2026, 11, day, 23, 59, 59, tzinfo=UTC) for day in (28, 30)])
async def test_a_lease_that_is_filled_up_behind_midnight_is_of_the_day_and_month_that_it_began_in(
    eve: datetime, admission: Admission, counted: Counted, clock: Clock
) -> None:
    clock.now = eve
    for n in range(OFTEN - 1):
        await end(admission, *await begin(admission, n))
    lease = admission.lease("acme", ONE_DOLLAR)
    answers = [await admission.reserve("acme", "r", AMOUNT, ONE_DOLLAR, lease)]
    assert lease is not None and isinstance(answers[0], Reservation)
    clock.move(seconds=1)  # others were admitted before midnight, too
    for _ in range(REQUESTS):
        lease.drawing += 1
        answers.append(await admission.reserve("acme", "r", AMOUNT, ONE_DOLLAR, lease))
    for answer in answers:
        await end(admission, lease, answer)
    await admission.aclose()
    spent = (OFTEN + REQUESTS) * int(SPENT * NANO)
    before = await usage(counted.table, lease.at)
    assert (before.holds, before.month, before.days) == ({}, spent, {f"d{eve:%d}": spent})
    assert await counted.table.get(tenant_item.key("acme", clock())) in (
        None, await counted.table.get(tenant_item.key("acme", lease.at)),
    )  # fmt: skip


def test_a_lease_is_over_before_the_ledger_takes_it_for_abandoned() -> None:
    at = datetime(2026, 11, 28, tzinfo=UTC)
    assert not Lease("acme", "lease-x~1", at).is_over(at) and Lease("acme", "lease-x~1", at).is_over(
        at + LIFE
    )
    assert Lease("acme", "lease-x~1", at).name == "lease-x"
