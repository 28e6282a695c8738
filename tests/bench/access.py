"""What keys, budgets, answers given again and stops cost: DynamoDB's units a request, and whether budgets stay exact.

`budgets`: 1,000 tenants, 10,000 requests in 40 environments, of which some are killed with all that they hold; then the
ledger settles. `checks`: what one request with every option on writes and reads, by its items' sizes. `stop`: how long
a stop takes to end a stream that runs in another environment.
moto stands in for DynamoDB; it does not check and write in one step, so it is asked one question at a time.
"""

import asyncio
import io
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil
from statistics import median
from typing import Any

import httpx
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from infra.local.aws_services import CREDENTIALS, AwsServices
from tests.bench.tables import Bound, Table
from tests.functional.generate.door import BLOG_POST, Answer, Door, door
from tests.functional.generate.scripted import HEAD, Step, completion, provider, text
from weir.access import tenant_item
from weir.access.admission import Admission, Reservation, key_item, limits_item
from weir.access.api_keys import new_key
from weir.access.dynamodb import AccessTable
from weir.access.leases import Lease
from weir.access.settlement import settlements
from weir.access.tenant_item import NANO, TenantLimits, Usage
from weir.providers.role_credentials import RoleCredentials

TENANTS, REQUESTS, ENVIRONMENTS = 1_000, 10_000, 40
HOT_TENANTS, HOT_SHARE, KILLED_SHARE = 20, 0.5, 0.03
# On demand, us-east-1: https://aws.amazon.com/dynamodb/pricing/on-demand/
WRITE_UNIT_USD, READ_UNIT_USD = Decimal("0.000000625"), Decimal("0.000000125")
MOST_USD = Decimal("0.0000025")
TABLES = ("access", "answers")
ENDPOINT = "http://dynamodb.us-east-1.amazonaws.com"
SCHEMA: dict[str, Any] = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
}
TENANT = "acme"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


class InThisProcess(httpx.AsyncBaseTransport):
    """moto without a socket: what 20,000 writes would wait for there says nothing of DynamoDB."""

    def __init__(self) -> None:
        self._wsgi = httpx.WSGITransport(DomainDispatcherApplication(create_backend_app))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = httpx.Request(request.method, request.url, headers=request.headers, content=request.content)
        response = self._wsgi.handle_request(asked)
        return httpx.Response(response.status_code, content=response.read())


class Meter(httpx.AsyncBaseTransport):
    """Asks one question at a time, and counts units: of a write by its item's KB, of a read by half of 4 KB."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._turn = asyncio.Lock()
        self.units: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        async with self._turn:
            response = await self._inner.handle_async_request(request)
            answer = json.loads(await response.aread())
        if "RequestItems" in asked:  # each of its items is a read of its own
            ((table, wanted),) = asked["RequestItems"].items()
            items = {item["pk"]["S"]: item for item in answer["Responses"][table]}
            for key in wanted["Keys"]:
                size = _size(items.get(key["pk"]["S"], {}))
                self.units[f"{_what(key)}, read"] += 0.5 * max(1, ceil(size / 4096))
            return response
        what = _what(asked["Key"])
        self.calls[what] += 1
        if request.headers["x-amz-target"].endswith("GetItem"):
            whole = 1 if asked["ConsistentRead"] else 0.5
            self.units[f"{what}, read"] += whole * max(1, ceil(_size(answer.get("Item", {})) / 4096))
        else:
            item = answer.get("Attributes") or answer.get("Item") or {}
            written = {
                **asked["Key"],
                **{str(n): v for n, v in enumerate(asked["ExpressionAttributeValues"].values())},
            }
            self.units[f"{what}, written"] += max(1, ceil(max(_size(item), _size(written)) / 1024))
        return response


def _what(key: dict[str, Any]) -> str:
    kind, _, _ = key["pk"]["S"].partition("#")
    if kind != "ANSWERS":
        return {"TENANT": "budget", "STOP": "stop flag", "KEY": "key", "LIMITS": "limits"}[kind]
    name = key["sk"]["S"]
    part = "answer" if name.count("#") == 2 or name.startswith("CACHE") else "claim"
    return f"{name.partition('#')[0].lower()}: {part}"


def _size(value: Any) -> int:
    """An item's size by DynamoDB's rules, near enough: names and text as they are, 3 a container, a digit half."""
    match value:
        case {"S": str(content)}:
            return len(content.encode())
        case {"B": str(content)}:
            return len(content) * 3 // 4
        case {"N": str(digits)}:
            return 2 + len(digits) // 2
        case {"L": list(items)}:
            return 3 + sum(1 + _size(item) for item in items)
        case {"M": dict(members)}:
            return 3 + sum(1 + len(name) + _size(member) for name, member in members.items())
        case dict():
            return sum(len(name) + _size(member) for name, member in value.items())
        case _:
            return 1


@asynccontextmanager
async def tables() -> AsyncIterator[AwsServices]:
    services = AwsServices("us-east-1")
    try:
        await services.start(tables=dict.fromkeys(TABLES, SCHEMA))
        yield services
    finally:
        await services.close()


def table_of(client: httpx.AsyncClient) -> AccessTable:
    credentials = RoleCredentials(CREDENTIALS).get
    return AccessTable(
        client.send, endpoint=ENDPOINT, region="us-east-1", table="access", credentials=credentials,
        utc_now=lambda: datetime.now(UTC),
    )  # fmt: skip


class Simulation:
    """Environments that serve tenants' requests; a killed one leaves what it held, and another takes its place."""

    def __init__(self, table: AccessTable) -> None:
        self.table, self.now, self.random = table, NOW, random.Random(14)
        self.limits = TenantLimits(monthly_budget=NANO)
        self.environments = [self._environment() for _ in range(ENVIRONMENTS)]
        self.rows: dict[str, int] = {}  # what each request, or all of a lease, cost: what the ledger knows
        self.spent: Counter[str] = Counter()
        self.denied = self.killed = self.leased = 0

    def _environment(self) -> Admission:
        return Admission(self.table, lambda: self.now)

    async def request(self, number: int) -> None:
        chance = self.random
        hot = number >= TENANTS and chance.random() < HOT_SHARE  # first each tenant once
        tenant = f"t{number if number < TENANTS else chance.randrange(HOT_TENANTS if hot else TENANTS)}"
        place = chance.randrange(4) + 4 * (hash_of(tenant) % 10) if hot else chance.randrange(ENVIRONMENTS)
        admission, name = self.environments[place], f"r{number}"
        reserved, cost = chance.randrange(100_000, 400_000), chance.randrange(10_000, 90_000)
        lease = admission.lease(tenant, self.limits)
        answer = await admission.reserve(tenant, name, Decimal(reserved) / NANO, self.limits, lease)
        if not isinstance(answer, Reservation):
            self.denied += 1
            cost = 0
        booked = lease.name if lease is not None else name
        self.rows[booked] = self.rows.get(booked, 0) + cost
        self.spent[tenant] += cost
        self.leased += lease is not None
        if chance.random() < KILLED_SHARE:
            self.killed += 1
            self.environments[place] = self._environment()
            return
        await self._end(admission, lease, answer, Decimal(cost) / NANO)

    async def _end(self, admission: Admission, lease: Lease | None, answer: Any, cost: Decimal) -> None:
        if lease is not None:
            await admission.end(lease, answer.nano_usd if isinstance(answer, Reservation) else 0, cost, 100)
        elif isinstance(answer, Reservation):
            await admission.settle(answer, cost, 100)

    async def settle(self) -> tuple[int, int, int]:
        """What the ledger does; how many holds it settled, and how many budgets are off, or still hold something."""

        def cost_of(name: str, at: datetime) -> Decimal | None:
            return Decimal(self.rows[name]) / NANO if name in self.rows else None

        settled = off = held = 0
        for tenant, spent in self.spent.items():
            key = tenant_item.key(tenant, NOW)
            found = Usage.read(await self.table.get(key, consistent=True) or {})
            for hold in settlements(found, cost_of, self.now):
                await self.table.update(
                    tenant_item.settle(tenant, hold.hold, hold.reserved_at, hold.reserved, hold.spent, 0)
                )
                settled += 1
            after = Usage.read(await self.table.get(key, consistent=True) or {})
            off += after.month != spent
            held += len(after.holds)
        return settled, off, held


def hash_of(tenant: str) -> int:
    return sum(tenant.encode())


async def budgets() -> Table:
    inner = InThisProcess()
    meter = Meter(inner)
    await table_of(httpx.AsyncClient(transport=inner))._call("CreateTable", SCHEMA)
    async with httpx.AsyncClient(transport=meter) as client:
        simulation = Simulation(table_of(client))
        for number in range(REQUESTS):
            await simulation.request(number)
            simulation.now += timedelta(seconds=0.02)
        units, writes = meter.units["budget, written"], meter.calls["budget"]
        for admission in simulation.environments[
            ::2
        ]:  # half of them end in time, and half are frozen for ever
            await admission.aclose()
        simulation.now += timedelta(hours=2)
        settled, off, held = await simulation.settle()
        late = Admission(simulation.table, lambda: NOW)
        cent = TenantLimits(monthly_budget=NANO // 100)
        last = await asyncio.gather(
            *(late.reserve("last", f"r{n}", Decimal("0.01"), cent) for n in range(50))
        )
        over = sum(isinstance(answer, Reservation) for answer in last) - 1
    return Table(
        f"Budgets: {len(simulation.spent):,} tenants, {REQUESTS:,} requests, {simulation.killed} environments killed",
        (
            "requests",
            "on a lease",
            "writes a request",
            "units a request",
            "settled by the ledger",
            "budgets off",
            "holds left",
        ),
        [
            (
                REQUESTS,
                simulation.leased,
                f"{writes / REQUESTS:.2f}",
                f"{units / REQUESTS:.2f}",
                settled,
                off,
                held,
            )
        ],
        [
            Bound("write units a request, budget", units / REQUESTS, 2, "units"),
            Bound("budgets that are not exact after the ledger ran", off, 0, "budgets"),
            Bound("holds left after the ledger ran", held, 0, "holds"),
            Bound("of 50 at the last cent, reservations beyond the one", over, 0, "reservations"),
        ],
    )


def settings(services: AwsServices) -> dict[str, str]:
    return {
        **CREDENTIALS, "AWS_ENDPOINT_URL": services.url, "WEIR_ACCESS_TABLE": "access",
        "WEIR_ANSWERS_TABLE": "answers", "WEIR_RESPONSE_CACHE_S": "600",
    }  # fmt: skip


def headers(services: AwsServices) -> dict[str, str]:
    key, kept = new_key(os.urandom(42), TENANT, "bench", NOW)
    client = services.client("dynamodb")
    client.put_item(TableName="access", Item=key_item(kept))
    client.put_item(TableName="access", Item=limits_item(TENANT, TenantLimits(monthly_budget=1_000 * NANO)))
    return {"authorization": f"Bearer {key}"}


async def checks(services: AwsServices, patch: pytest.MonkeyPatch) -> Table:
    """Requests of 5 s with a document of some KB: the first in a process, which reads key and limits, and a repeat."""
    meter, document = (
        Meter(httpx.AsyncHTTPTransport()),
        json.dumps({**BLOG_POST, "summary": "Why waiting costs. " * 10}),
    )
    slow: list[Step] = [HEAD, text(document[:50]), 4.85, *completion(document[50:])[1:]]
    sent = headers(services)
    body = {"prompt": "x", "schema": "blog_post", "max_output_tokens": 2_000}
    async with (
        provider(completion(document)) as asked,
        door(asked.base_url, patch, **settings(services)) as opened,
    ):
        await opened.request({**body, "prompt": "y"}, headers=sent)  # the tenant's month has begun
    async with provider(slow) as asked, door(asked.base_url, patch, **settings(services)) as opened:
        generate = opened.app._generate
        assert generate.gate is not None and generate.repeats is not None, "there are tables"
        for table in (generate.gate._admission._table, generate.repeats()._store._table):
            table._send = meter.handle_async_request
        await opened.request(body, headers={**sent, "idempotency-key": "k"})
        first = Counter(meter.units)
        meter.units.clear()
        await opened.request(body, headers={**sent, "idempotency-key": "k"})
        again = Counter(meter.units)
    rows, totals = [], {"first": Decimal(0), "again": Decimal(0), "kept": Decimal(0)}
    for what in sorted(first | again):
        price = WRITE_UNIT_USD if what.endswith("written") else READ_UNIT_USD
        keeps = "answer" in what and what.endswith("written")
        for name, units in (("first", first), ("again", again)):
            totals["kept" if keeps else name] += Decimal(str(units[what])) * price
        rows.append((what, first[what], again[what], f"{Decimal(str(first[what])) * price:.10f}"))
    rows += [("checks, USD", f"{totals['first']:.10f}", f"{totals['again']:.10f}", "")]
    rows += [("keeping the answer, USD", f"{totals['kept']:.10f}", "", "")]
    return Table(
        "The checks of one request of 5 s, every option on: DynamoDB's units",
        ("what", "first", "its repeat", "USD, first"),
        rows,
        [
            Bound(
                "checks of a request, USD by 10^-6",
                float(totals["first"] * 10**6),
                float(MOST_USD * 10**6),
                "µUSD",
            )
        ],
    )


async def stop(services: AwsServices, patch: pytest.MonkeyPatch) -> Table:
    endless: list[Step] = [HEAD, text("one two"), "stall"]
    took, sent = [], headers(services)
    async with (
        provider(endless) as asked,
        door(asked.base_url, patch, **settings(services)) as here,
        door(asked.base_url, patch, **settings(services)) as elsewhere,
    ):
        for number in range(10):
            took.append(await _stop(here, elsewhere, sent, number * 0.07))
    return Table(
        "A stop from another environment: seconds from its request to the stream's final event",
        ("stops", "median", "longest"),
        [(len(took), f"{median(took):.2f}", f"{max(took):.2f}")],
        [Bound("longest stop", max(took), 1.5, "s")],
    )


async def _stop(here: Door, elsewhere: Door, sent: dict[str, str], wait_s: float) -> float:
    answer = Answer()
    task = asyncio.create_task(here.request({"prompt": "x"}, headers=sent, answer=answer))
    await answer.until(b"one two")
    await asyncio.sleep(wait_s)
    path, began_s = f"/v1/generations/{answer.headers['x-request-id']}", time.monotonic()
    stopping = asyncio.create_task(elsewhere.request(b"", method="DELETE", path=path, headers=sent))
    await task
    took_s = time.monotonic() - began_s
    assert (await stopping).status == 204 and answer.final[1]["outcome"] == "stopped"
    return took_s


async def _run() -> list[Table]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("weir.generate.telemetry.sys.stdout", io.StringIO())
        async with tables() as services:
            return [
                await checks(services, patch), await stop(services, patch), await budgets(),
            ]  # fmt: skip


def run() -> list[Table]:
    """The tables."""
    return asyncio.run(_run())
