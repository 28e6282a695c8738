"""Budgets and limits on a real table's rules: reserved before, settled after, and exact whatever happens between."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from weir.access import tenant_item
from weir.access.admission import Admission, Reservation, Unauthorized, key_item, limits_item
from weir.access.api_keys import ID_BYTES, SECRET_BYTES, GivenKey, new_key, parse_authorization
from weir.access.dynamodb import AccessStoreError, AccessTable
from weir.access.settlement import settle_all, settlements
from weir.access.tenant_item import NANO, Denied, TenantLimits, Usage
from weir.providers.role_credentials import RoleCredentials

from .conftest import Clock

CENT = Decimal("0.01")
ONE_CENT = TenantLimits(monthly_budget=NANO // 100)


@pytest.fixture
def admission(table: AccessTable, clock: Clock) -> Admission:
    return Admission(table, clock)


def costs(**rows: Decimal) -> Callable[[str, datetime], Decimal | None]:
    return lambda name, _: rows.get(name)


async def usage(table: AccessTable, tenant: str, at: datetime) -> Usage:
    item = await table.get(tenant_item.key(tenant, at), consistent=True)
    assert item is not None
    return Usage.read(item)


async def got(admission: Admission, *arguments: Any) -> Reservation:
    reservation = await admission.reserve(*arguments)
    assert isinstance(reservation, Reservation), reservation
    return reservation


async def test_of_fifty_calls_at_the_last_cent_one_gets_it_and_none_overspends(
    admission: Admission, table: AccessTable, clock: Clock
) -> None:
    answers = await asyncio.gather(*(admission.reserve("acme", f"r{n}", CENT, ONE_CENT) for n in range(50)))
    won = [answer for answer in answers if isinstance(answer, Reservation)]
    assert len(won) == 1
    denied = [answer for answer in answers if isinstance(answer, Denied)]
    assert {answer.reason for answer in denied} <= {"month", "requests"}
    assert sum(answer.reason == "month" for answer in denied) >= 45
    assert (await usage(table, "acme", clock())).month == NANO // 100


async def test_what_was_not_spent_comes_back_and_a_second_settlement_changes_nothing(
    admission: Admission, table: AccessTable, clock: Clock
) -> None:
    reservation = await got(admission, "acme", "r1", CENT, ONE_CENT)
    await admission.settle(reservation, Decimal("0.0025"), 321)
    await admission.settle(reservation, Decimal("0.0025"), 321)
    after = await usage(table, "acme", clock())
    assert (after.month, after.days, after.tokens, after.holds) == (2_500_000, {"d28": 2_500_000}, 321, {})
    assert isinstance(await admission.reserve("acme", "r2", Decimal("0.0076"), ONE_CENT), Denied)
    await got(admission, "acme", "r3", Decimal("0.0075"), ONE_CENT)


@pytest.mark.parametrize(
    ("limits", "reason", "retry_after_s"),
    [
        (TenantLimits(monthly_budget=0), "month", 2 * 86_400 + 43_170),
        (TenantLimits(daily_budget=0), "day", 43_170),
        (TenantLimits(requests_per_minute=0), "requests", 30),
        (TenantLimits(tokens_per_minute=0), "tokens", 30),
        (TenantLimits(concurrent_requests=0), "concurrency", 1),
    ],
)
async def test_a_limit_of_nothing_lets_nobody_in_and_says_when_to_ask_again(
    admission: Admission, limits: TenantLimits, reason: str, retry_after_s: int
) -> None:
    denied = await admission.reserve("acme", "r1", CENT, limits)
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.retry_after_s) == (reason, retry_after_s)
    assert "expected at most" in denied.detail and "got" in denied.detail


async def test_a_minute_is_over_after_a_minute_and_a_day_and_a_month_at_utc_midnight(
    admission: Admission, clock: Clock
) -> None:
    two = TenantLimits(requests_per_minute=2)
    for n in range(2):
        await got(admission, "acme", f"r{n}", Decimal(0), two)
    assert isinstance(await admission.reserve("acme", "r2", Decimal(0), two), Denied)
    clock.move(seconds=30)
    await got(admission, "acme", "r3", Decimal(0), two)
    daily = TenantLimits(daily_budget=NANO // 100)
    await got(admission, "globex", "r1", CENT, daily)
    assert isinstance(await admission.reserve("globex", "r2", CENT, daily), Denied)
    clock.move(hours=12)
    await got(admission, "globex", "r3", CENT, daily)
    await got(admission, "hooli", "r1", CENT, ONE_CENT)
    assert isinstance(await admission.reserve("hooli", "r2", CENT, ONE_CENT), Denied)
    clock.move(days=3)
    await got(admission, "hooli", "r3", CENT, ONE_CENT)


async def test_tokens_of_a_minute_count_once_they_are_known_and_concurrency_while_it_lasts(
    admission: Admission,
) -> None:
    limits = TenantLimits(tokens_per_minute=1000, concurrent_requests=1)
    first = await got(admission, "acme", "r1", Decimal(0), limits)
    denied = await admission.reserve("acme", "r2", Decimal(0), limits)
    assert isinstance(denied, Denied) and denied.reason == "concurrency"
    await admission.settle(first, Decimal(0), 1000)
    denied = await admission.reserve("acme", "r3", Decimal(0), limits)
    assert isinstance(denied, Denied) and denied.reason == "tokens"


async def test_a_clock_that_jumps_back_neither_opens_a_limit_nor_breaks_it(
    admission: Admission, clock: Clock
) -> None:
    one = TenantLimits(requests_per_minute=1, monthly_budget=NANO)
    await got(admission, "acme", "r1", CENT, one)
    clock.move(minutes=-5)
    await got(admission, "acme", "r2", CENT, one)  # another minute, which is all that can be known
    assert isinstance(await admission.reserve("acme", "r3", CENT, one), Denied)


@pytest.mark.parametrize(
    ("limits", "most"), [(TenantLimits(requests_per_minute=3), 6), (TenantLimits(tokens_per_minute=30), 6)]
)
async def test_processes_whose_clocks_differ_at_the_end_of_a_minute_begin_it_once(
    limits: TenantLimits, most: int, table: AccessTable, clock: Clock
) -> None:
    """Else each would begin its own minute again, and count the other's no more."""
    ahead = Clock()
    clock.now = ahead.now.replace(second=59)
    ahead.now = clock.now + timedelta(seconds=2)
    processes = [Admission(table, clock), Admission(table, ahead)]
    served = 0
    for n in range(20):
        answer = await processes[n % 2].reserve("acme", f"r{n}", CENT, limits)
        if isinstance(answer, Reservation):
            served += 1
            await processes[n % 2].settle(answer, CENT, 10)
    assert 3 <= served <= most


async def test_a_tenant_without_limits_costs_no_write(
    admission: Admission, table: AccessTable, clock: Clock
) -> None:
    reservation = await got(admission, "acme", "r1", CENT, TenantLimits(models=frozenset({"m"})))
    await admission.settle(reservation, CENT, 1)
    assert await table.get(tenant_item.key("acme", clock())) is None


async def test_what_a_killed_request_held_is_settled_by_the_ledger_and_exact_then(
    admission: Admission, table: AccessTable, clock: Clock
) -> None:
    """100 tenants, 3 requests each, a fifth of them killed: after the ledger ran every budget is what rows cost."""
    chance = random.Random(4)
    limits = TenantLimits(monthly_budget=NANO)
    tenants = [f"t{n}" for n in range(100)]
    rows: dict[str, Decimal] = {}
    spent: Counter[str] = Counter()

    async def one(tenant: str, n: int) -> None:
        request = f"{tenant}-{n}"
        reservation = await got(admission, tenant, request, CENT, limits)
        cost = Decimal(chance.randrange(1, 9_000_000)) / NANO
        rows[request] = cost
        spent[tenant] += int(cost * NANO)
        if chance.random() > 0.2:
            await admission.settle(reservation, cost, 10)

    for n in range(3):
        for start in range(0, len(tenants), 50):
            await asyncio.gather(*(one(tenant, n) for tenant in tenants[start : start + 50]))
    clock.move(minutes=30)
    at = clock()
    left = 0
    for tenant in tenants:
        found = await usage(table, tenant, at)
        left += len(found.holds)
        for hold in settlements(found, lambda name, _: rows.get(name), at):
            await table.update(
                tenant_item.settle(tenant, hold.hold, hold.reserved_at, hold.reserved, hold.spent, 0)
            )
        after = await usage(table, tenant, at)
        assert (after.holds, after.month) == ({}, spent[tenant])
    assert left > 25


async def test_a_hold_is_left_alone_while_its_request_may_run_and_let_go_when_nobody_knows_it(
    admission: Admission, table: AccessTable, clock: Clock
) -> None:
    await got(admission, "acme", "r1", CENT, ONE_CENT)
    at = clock()
    found = await usage(table, "acme", at)
    assert list(settlements(found, costs(r1=CENT), at)) == []
    clock.move(minutes=21)
    assert [hold.spent for hold in settlements(found, costs(r1=CENT / 2), clock())] == [NANO // 200]
    assert list(settlements(found, costs(), clock())) == []
    clock.move(days=1)
    assert [hold.spent for hold in settlements(found, costs(), clock())] == [0]


async def test_a_request_that_lambda_delivers_again_makes_a_reservation_of_its_own(
    admission: Admission, table: AccessTable, clock: Clock
) -> None:
    first = await got(admission, "acme", "same", CENT / 4, ONE_CENT)
    clock.move(seconds=1)
    second = await got(admission, "acme", "same", CENT / 4, ONE_CENT)
    assert first.hold != second.hold
    await admission.settle(second, Decimal(0), 0)
    found = await usage(table, "acme", clock())
    assert set(found.holds) == {first.hold} and found.month == NANO // 400


async def test_with_the_table_down_who_was_far_from_the_limit_gets_in_with_a_small_cap_and_no_other(
    admission: Admission, clock: Clock, environment: dict[str, str]
) -> None:
    ten = ONE_CENT._replace(monthly_budget=NANO // 10, models=frozenset({"m"}), max_output_tokens=5000)
    await got(admission, "near", "r1", Decimal("0.08"), ten)
    await got(admission, "far", "r2", Decimal("0.0799"), ten)
    async with httpx.AsyncClient() as client:
        admission._table = AccessTable(
            client.send, endpoint="http://127.0.0.1:9", region="us-east-1", table="access",
            credentials=RoleCredentials(environment).get, utc_now=clock,
        )  # fmt: skip
        with pytest.raises(AccessStoreError, match="expected an answer of DynamoDB, got ConnectError"):
            await admission.reserve("far", "r3", CENT, ten)
    assert admission.without_table("near", ten) is None
    far, unseen = admission.without_table("far", ten), admission.without_table("who", None)
    assert far == TenantLimits(models=frozenset({"m"}), max_output_tokens=1024)
    assert unseen == TenantLimits(max_output_tokens=1024)


@pytest.mark.parametrize(
    "name",
    ["requests_per_minute", "tokens_per_minute", "concurrent_requests", "daily_budget", "monthly_budget"],
)
async def test_with_the_table_down_a_limit_of_nothing_lets_nobody_in(name: str, admission: Admission) -> None:
    assert admission.without_table("unseen", TenantLimits(**{name: 0})) is None
    assert admission.without_table("unseen", TenantLimits(**{name: 1})) is not None


async def test_a_key_is_found_by_its_id_and_kept_for_a_minute_also_when_it_is_unknown(
    admission: Admission, dynamodb: Any, clock: Clock
) -> None:
    text, kept = new_key(bytes(range(ID_BYTES + SECRET_BYTES)), "acme", "checkout", clock())
    given = parse_authorization(f"Bearer {text}")
    assert given is not None
    with pytest.raises(Unauthorized, match="expected a key that was made here"):
        await admission.caller(given)
    dynamodb.put_item(TableName="access", Item=key_item(kept))
    assert text not in json.dumps(key_item(kept)) and given.secret not in json.dumps(key_item(kept))
    with pytest.raises(Unauthorized):  # that it was unknown is still believed
        await admission.caller(given)
    clock.move(seconds=60)
    caller = await admission.caller(given)
    assert (caller.tenant, caller.means, caller.key_id) == ("acme", "key", given.id)
    dynamodb.put_item(TableName="access", Item=key_item(kept._replace(revoked_at=clock())))
    clock.move(seconds=60)
    with pytest.raises(Unauthorized, match="revoked"):
        await admission.caller(given)


class Operations:
    """What a table was asked."""

    def __init__(self, table: AccessTable, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        call = table._call

        async def note(operation: str, *arguments: Any) -> Mapping[str, Any]:
            self.asked.append(operation)
            return await call(operation, *arguments)

        monkeypatch.setattr(table, "_call", note)


async def test_one_answer_tells_of_a_key_and_of_the_limits_of_the_tenant_that_it_names(
    admission: Admission, table: AccessTable, dynamodb: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, kept = new_key(bytes(range(ID_BYTES + SECRET_BYTES)), "acme", "checkout", clock())
    for item in (key_item(kept), limits_item("acme", ONE_CENT)):
        dynamodb.put_item(TableName="access", Item=item)
    asked = Operations(table, monkeypatch).asked
    given = parse_authorization(f"Bearer {text}")
    assert given is not None
    caller = await admission.caller(given)
    assert await admission.limits(caller.tenant) == ONE_CENT
    assert asked == ["BatchGetItem"]


@pytest.mark.parametrize(("named", "opens"), [("globex", False), ("default", False), (None, True)])
async def test_whose_a_key_is_its_item_says_and_not_its_text(
    named: str | None, opens: bool, admission: Admission, dynamodb: Any, clock: Clock
) -> None:
    text, kept = new_key(bytes(range(ID_BYTES + SECRET_BYTES)), "acme", "checkout", clock())
    dynamodb.put_item(TableName="access", Item=key_item(kept))
    given = parse_authorization(f"Bearer {text}")
    assert given is not None
    if opens:  # as keys were made before they named their tenant
        assert (await admission.caller(given._replace(tenant=named))).tenant == "acme"
        return
    with pytest.raises(Unauthorized, match="expected a key that was made here"):
        await admission.caller(given._replace(tenant=named))


async def test_a_foreign_item_is_no_key_and_a_limit_that_cannot_be_read_lets_nobody_in(
    admission: Admission, dynamodb: Any
) -> None:
    dynamodb.put_item(
        TableName="access", Item={"pk": {"S": "KEY#aaaabbbbccccdddd"}, "sk": {"S": "KEY"}, "x": {"N": "1"}}
    )
    with pytest.raises(Unauthorized):
        await admission.caller(GivenKey("aaaabbbbccccdddd", "x" * 43, None))
    dynamodb.put_item(
        TableName="access",
        Item={"pk": {"S": "LIMITS#acme"}, "sk": {"S": "LIMITS"}, "monthly_budget": {"S": "much"}},
    )
    assert (await admission.limits("acme")).monthly_budget == 0


@pytest.mark.parametrize(
    ("text", "limits"),
    [("d28", TenantLimits(monthly_budget=NANO)), ("month", TenantLimits(daily_budget=NANO))],
)
async def test_where_the_table_answers_and_cannot_count_nothing_is_bought(
    text: str, limits: TenantLimits, admission: Admission, dynamodb: Any, clock: Clock
) -> None:
    """DynamoDB says of text that it is no less than a number; moto cannot say, and is asked of the other period."""
    item = {**tenant_item.key("acme", clock()), "holds": {"M": {}}, text: {"S": "much"}}
    dynamodb.put_item(TableName="access", Item=item)
    answer = await admission.reserve("acme", "r1", CENT, limits)
    assert isinstance(answer, Denied) and answer.reason == "month" and "no item of ours" in answer.detail


@pytest.mark.parametrize("spent", [NANO // 100, NANO // 100 - 1])
async def test_what_an_item_without_holds_says_was_spent_stays_spent(
    spent: int, admission: Admission, table: AccessTable, dynamodb: Any, clock: Clock
) -> None:
    sums = {name: {"N": str(spent)} for name in ("month", "d28")}
    dynamodb.put_item(TableName="access", Item={**tenant_item.key("acme", clock()), **sums})
    await got(admission, "acme", "r1", CENT, TenantLimits(monthly_budget=NANO // 50))
    found = await usage(table, "acme", clock())
    assert found.month == found.days["d28"] == spent + NANO // 100


@pytest.mark.parametrize(("number", "nano_usd"), [("999.5", 1000), ("1E+3", 1000), ("-7", -7), ("x", 0)])
def test_a_sum_that_is_not_whole_counts_as_no_less_than_it_is(number: str, nano_usd: int) -> None:
    assert Usage.read({"month": {"N": number}}).month == nano_usd


@pytest.mark.parametrize(
    "foreign",
    [
        {"month": {"S": "much"}},
        {"d28": {"L": []}},
        {"tokens": {"NULL": True}},
        {"holds": {"M": {"r~1": {"L": [{"N": "1"}, {"S": "d28"}, {"N": "9" * 20}]}, "x": {"N": "1"}}}},
        {"holds": {"M": {"r~1": {"L": [{"N": "1"}, {"S": "d28"}, {"S": "x"}]}}}},
        {"holds": {"S": "x"}},
    ],
)
async def test_a_foreign_item_keeps_the_ledger_from_settling_no_other(
    foreign: dict[str, Any], admission: Admission, table: AccessTable, dynamodb: Any, clock: Clock
) -> None:
    await got(admission, "acme", "r1", CENT, ONE_CENT)
    await got(admission, "zoo", "r2", CENT, ONE_CENT)
    key = tenant_item.key("acme", clock())
    item = dynamodb.get_item(TableName="access", Key=key)["Item"]
    dynamodb.put_item(TableName="access", Item={**item, **foreign})
    clock.move(hours=1)

    def update(settled: Mapping[str, Any]) -> None:  # as the ledger's jobs do
        with suppress(dynamodb.exceptions.ConditionalCheckFailedException):
            dynamodb.update_item(TableName="access", **settled)

    items = sorted(dynamodb.scan(TableName="access")["Items"], key=lambda item: str(item["pk"]))
    settle_all(items, costs(r1=CENT, r2=CENT / 2), update, clock())
    assert (await usage(table, "zoo", clock())).month == NANO // 200


async def test_a_tenants_own_limits_come_before_the_usual_ones(admission: Admission, dynamodb: Any) -> None:
    usual = TenantLimits(monthly_budget=NANO, requests_per_minute=60)
    own = TenantLimits(models=frozenset({"a", "b"}), daily_budget=5)
    for name, limits in (("default", usual), ("acme", own)):
        dynamodb.put_item(TableName="access", Item=limits_item(name, limits))
    assert await admission.limits("acme") == own
    assert await admission.limits("globex") == usual


async def test_the_table_of_another_name_is_an_error_that_says_so(
    environment: dict[str, str], moto_url: str, dynamodb: Any
) -> None:
    async with httpx.AsyncClient() as client:
        table = AccessTable(
            client.send, endpoint=moto_url, region="us-east-1", table="none",
            credentials=RoleCredentials(environment).get, utc_now=lambda: datetime.now(UTC),
        )  # fmt: skip
        with pytest.raises(AccessStoreError, match="got 400 ResourceNotFoundException"):
            await table.get({"pk": {"S": "a"}, "sk": {"S": "b"}})
