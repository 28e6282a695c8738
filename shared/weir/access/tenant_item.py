"""Limits and budgets of a tenant as one DynamoDB item a month: what is written, and what a refusal means.

One write reserves and one settles. Both are atomic, so nothing is read first and no two requests get the last cent:

    pk TENANT#name, sk USAGE#2026-11
    month    nano-USD spent and reserved this month       d28      the same of a day
    holds    {hold: [nano-USD, day, second]}              what is reserved and not settled; its size is the concurrency
    minute, requests, tokens                              of the minute that saw the last request

A period is part of a name, so nothing has to be reset. DynamoDB compares and cannot add in a condition: `month <= limit
- amount` is what is asked. A minute that is over is the one thing that a second write is for: it begins the next.
What a killed request holds stays in `holds` until the ledger settles it (`Settlement`).

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil
from typing import Any, Literal

from weir.light_tuples import LightTuple

type Reason = Literal["month", "day", "requests", "tokens", "concurrency"]

NANO = 1_000_000_000
LEASE = "lease-"  # how the hold of a lease begins (leases.py)
KEEP_S = 400 * 86_400  # an item is of no use a year after its month


def hold_of(request_id: str, at: datetime) -> str:
    """The name of a reservation: a request that Lambda delivers again makes another one."""
    return f"{request_id}~{int(at.timestamp() * 1000)}"


def request_of(hold: str) -> str:
    """The request that a reservation was made for."""
    return hold.rpartition("~")[0]


class TenantLimits(LightTuple):
    """What a tenant may; None is no limit, and 0 is nothing at all. Money in nano-USD."""

    models: frozenset[str] | None = None
    max_output_tokens: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    daily_budget: int | None = None
    monthly_budget: int | None = None

    @property
    def counted(self) -> bool:
        """Whether anything has to be written for a request."""
        limits = (self.requests_per_minute, self.tokens_per_minute, self.concurrent_requests)
        return any(limit is not None for limit in (*limits, self.daily_budget, self.monthly_budget))

    @property
    def leasable(self) -> bool:
        """Whether budgets are all that is counted, so that a slice of them can be a process's (leases.py)."""
        rates = (self.requests_per_minute, self.tokens_per_minute, self.concurrent_requests)
        budgets = (self.monthly_budget, self.daily_budget)
        return all(rate is None for rate in rates) and any(budget is not None for budget in budgets)


class Denied(LightTuple):
    """Why a request is not served, and when it is worth asking again, in seconds."""

    reason: Reason
    detail: str
    retry_after_s: int


def runs(minute: int, at: datetime) -> bool:
    """Whether a minute has begun and is not over: another process's clock may be ahead, by less than a minute."""
    return minute - int(at.timestamp()) // 60 in (0, 1)


def key(tenant: str, at: datetime) -> dict[str, Any]:
    """The item of a tenant's month (UTC)."""
    return {"pk": {"S": f"TENANT#{tenant}"}, "sk": {"S": f"USAGE#{at.astimezone(UTC):%Y-%m}"}}


def reserve(
    tenant: str,
    hold: str,
    amount: int,
    limits: TenantLimits,
    at: datetime,
    *,
    new_minute_after: int | None = None,
    held: int = 0,
) -> dict[str, Any]:
    """UpdateItem that reserves `amount` nano-USD, or fails with the item as it is.

    `new_minute_after` begins a minute: it is the minute that the item has (0: none), as a refusal told. Without limits
    of a minute none is counted. `held` is what the hold has already, which `amount` is added to.
    """
    at = at.astimezone(UTC)
    day, minute = f"d{at:%d}", int(at.timestamp()) // 60
    names = {"#month": "month", "#day": day, "#holds": "holds", "#hold": hold, "#minute": "minute",
             "#requests": "requests", "#tokens": "tokens", "#expires": "expires"}  # fmt: skip
    values: dict[str, int] = {":amount": amount, ":minute": minute, ":one": 1}
    conditions = ["attribute_exists(#holds)"]
    for name, limit in (("#month", limits.monthly_budget), ("#day", limits.daily_budget)):
        if limit is not None:
            values[f":{name[1:]}"] = limit - amount
            bound = f"{name} <= :{name[1:]}"
            conditions.append(f"(attribute_not_exists({name}) OR {bound})" if limit >= amount else bound)
    if limits.concurrent_requests is not None:
        values[":concurrent"] = limits.concurrent_requests
        conditions.append("size(#holds) < :concurrent")
    changes, adds = "#holds.#hold = :hold, #expires = :expires", ""
    if (limits.requests_per_minute, limits.tokens_per_minute) == (None, None):
        del values[":minute"], values[":one"]
    elif new_minute_after is None:
        values[":next"] = minute + 1
        conditions.append("#minute BETWEEN :minute AND :next")
        adds = ", #requests :one"
        for name, limit in (("#requests", limits.requests_per_minute), ("#tokens", limits.tokens_per_minute)):
            if limit is not None:
                values[f":{name[1:]}"] = limit
                conditions.append(f"{name} < :{name[1:]}")
    else:
        values |= {":before": new_minute_after, ":zero": 0}
        conditions.append("#minute = :before")
        changes += ", #minute = :minute, #requests = :one, #tokens = :zero"
        if 0 in (limits.requests_per_minute, limits.tokens_per_minute):
            conditions.append("#minute < :zero")  # never: nothing may be asked at all
    typed: dict[str, Any] = {name: {"N": str(value)} for name, value in values.items()}
    stamp = int(at.timestamp())
    typed[":hold"] = {"L": [{"N": str(held + amount)}, {"S": day}, {"N": str(stamp)}]}
    typed[":expires"] = {"N": str(stamp + KEEP_S)}
    return {
        "Key": key(tenant, at),
        "UpdateExpression": f"SET {changes} ADD #month :amount, #day :amount{adds}",
        "ConditionExpression": " AND ".join(conditions),
        "ExpressionAttributeNames": _used(names, changes + " ".join(conditions) + adds + "#month #day"),
        "ExpressionAttributeValues": typed,
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def begin(tenant: str, hold: str, amount: int, at: datetime) -> dict[str, Any]:
    """UpdateItem that makes the item of a month, with its first reservation; it fails where there is one already.

    Whether the limits have room for that is asked of an empty `Usage` before.
    """
    at = at.astimezone(UTC)
    stamp = int(at.timestamp())
    values: dict[str, Any] = {
        ":holds": {"M": {hold: {"L": [{"N": str(amount)}, {"S": f"d{at:%d}"}, {"N": str(stamp)}]}}},
        **{name: {"N": str(number)} for name, number in (
            (":amount", amount), (":minute", stamp // 60), (":one", 1), (":zero", 0), (":expires", stamp + KEEP_S),
        )},
    }  # fmt: skip
    return {
        "Key": key(tenant, at),
        "UpdateExpression": "SET #holds = :holds, #minute = :minute, #requests = :one, #tokens = :zero, "
        "#expires = :expires ADD #month :amount, #day :amount",  # what a foreign hand left of them stays spent
        "ConditionExpression": "attribute_not_exists(#holds)",
        "ExpressionAttributeNames": {
            "#holds": "holds", "#month": "month", "#day": f"d{at:%d}", "#minute": "minute", "#requests": "requests",
            "#tokens": "tokens", "#expires": "expires",
        },
        "ExpressionAttributeValues": values,
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }  # fmt: skip


def settle(
    tenant: str, hold: str, reserved_at: datetime, reserved: int, spent: int, tokens: int
) -> dict[str, Any]:
    """UpdateItem that puts what was spent in the place of what was reserved; nothing, if somebody has settled it."""
    names = {"#month": "month", "#day": f"d{reserved_at.astimezone(UTC):%d}", "#holds": "holds", "#hold": hold,
             "#tokens": "tokens"}  # fmt: skip
    return {
        "Key": key(tenant, reserved_at),
        "UpdateExpression": "REMOVE #holds.#hold ADD #month :difference, #day :difference, #tokens :tokens",
        "ConditionExpression": "attribute_exists(#holds.#hold)",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": {
            ":difference": {"N": str(spent - reserved)}, ":tokens": {"N": str(tokens)},
        },
    }  # fmt: skip


class Usage(LightTuple):
    """An item as it was read."""

    month: int
    days: Mapping[str, int]
    minute: int
    requests: int
    tokens: int
    holds: Mapping[str, tuple[int, str, int]]

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> "Usage":
        """The item; members of other shapes than ours count as absent."""
        return cls(
            _number(item.get("month")),
            {name: _number(value) for name, value in item.items() if len(name) == 3 and name[0] == "d"},
            _number(item.get("minute")),
            _number(item.get("requests")),
            _number(item.get("tokens")),
            {
                str(name): (_number(hold["L"][0]), str(hold["L"][1].get("S", "")), _number(hold["L"][2]))
                for name, hold in _mapping(_mapping(item.get("holds")).get("M")).items()
                if isinstance(hold.get("L"), list) and len(hold["L"]) == 3
            },
        )

    def refusal(self, amount: int, limits: TenantLimits, at: datetime) -> Denied | None:
        """Why a reservation failed against this item; None where only its minute was over, or it may be tried again."""
        at = at.astimezone(UTC)
        second = int(at.timestamp())
        if limits.monthly_budget is not None and self.month + amount > limits.monthly_budget:
            return _money("month", self.month, amount, limits.monthly_budget, _until_next_month(at))
        day = self.days.get(f"d{at:%d}", 0)
        if limits.daily_budget is not None and day + amount > limits.daily_budget:
            return _money("day", day, amount, limits.daily_budget, 86_400 - second % 86_400)
        if limits.concurrent_requests is not None and len(self.holds) >= limits.concurrent_requests:
            allowed = limits.concurrent_requests
            return Denied("concurrency", f"concurrent requests: expected at most {allowed}, got one more", 1)
        rest = 60 - second % 60
        for reason, used, limit in (
            ("requests", self.requests, limits.requests_per_minute),
            ("tokens", self.tokens, limits.tokens_per_minute),
        ):
            if limit is not None and (limit == 0 or (runs(self.minute, at) and used >= limit)):
                detail = f"{reason} a minute: expected at most {limit}, got {used} and this request"
                return Denied(reason, detail, rest)  # type: ignore[arg-type]  # of the two names above
        return None


def _money(reason: Reason, used: int, amount: int, limit: int, retry_after_s: int) -> Denied:
    def usd(nano: int) -> str:
        return f"{nano / NANO:.6f}"

    detail = (
        f"budget of the {reason}: expected at most {usd(limit)} USD, got {usd(used)} spent or reserved "
        f"and {usd(amount)} for this request"
    )
    return Denied(reason, detail, retry_after_s)


def _until_next_month(at: datetime) -> int:
    following = datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)
    return max(1, int((following - at).total_seconds()))


def _used(names: Mapping[str, str], text: str) -> dict[str, str]:
    # DynamoDB refuses names that no expression uses.
    return {short: name for short, name in names.items() if short in text.replace(".", " . ")}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> int:
    try:
        return ceil(Decimal(_mapping(value).get("N", "0")))  # by a foreign hand, not whole
    except (ArithmeticError, TypeError, ValueError):
        return 0
