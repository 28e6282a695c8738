"""Own keys, limits and what killed requests left set aside: the access table from the command line.

A key is shown once, when it is made; the table has its hash. What is set aside for requests that were killed is settled
by the ledger's rows (`settle`), as often as one likes.
"""

import argparse
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from weir.access.admission import key_item, limits_item
from weir.access.api_keys import ID_BYTES, SECRET_BYTES, new_key
from weir.access.identity import tenant_name
from weir.access.settlement import Cost, settle_all
from weir.access.tenant_item import LEASE, NANO, TenantLimits
from weir.reports.parquet_cache import RowFiles
from weir.reports.report import LedgerReader

from .ledger import Ledger, UsageError


def keys(ledger: Ledger, given: argparse.Namespace) -> int:
    """Make, list and revoke own keys."""
    table, now = AccessItems(ledger, given.table), datetime.now(UTC)
    if given.action == "create":
        tenant = _tenant(given.tenant)
        expires = now + timedelta(days=given.days) if given.days else None
        text, kept = new_key(os.urandom(ID_BYTES + SECRET_BYTES), tenant, given.name, now, expires)
        table.put(key_item(kept))
        print(text)
        return 0
    if given.action == "revoke":
        if not given.tenant:
            raise UsageError("keys revoke: expected a key's id, got nothing")
        table.revoke(given.tenant, now)
        print(f"revoked {given.tenant}: processes that know it still take it for a minute")
        return 0
    shown = Table("id", "tenant", "name", "made", "expires", "revoked")
    for item in table.of_kind("KEY"):
        texts = [
            item.get(name, {}).get("S", "")
            for name in ("id", "tenant", "name", "created_at", "expires_at", "revoked_at")
        ]
        shown.add_row(*texts[:3], *(text[:10] for text in texts[3:]))
    Console().print(shown)
    return 0


def limits(ledger: Ledger, given: argparse.Namespace) -> int:
    """Set a tenant's limits, or `default`'s; without any option, show all."""
    table = AccessItems(ledger, given.table)
    if given.tenant is None:
        shown = Table("tenant", *TenantLimits._fields)
        for item in table.of_kind("LIMITS"):
            name = item["pk"]["S"].removeprefix("LIMITS#")
            models = ", ".join(one["S"] for one in item["models"]["L"]) if "models" in item else ""
            numbers = [item.get(name, {}).get("N", "") for name in TenantLimits._fields[1:]]
            shown.add_row(name, models, *numbers)
        Console().print(shown)
        return 0
    wanted = TenantLimits(
        models=frozenset(given.model) if given.model else None,
        max_output_tokens=given.max_output_tokens,
        requests_per_minute=given.requests_per_minute,
        tokens_per_minute=given.tokens_per_minute,
        concurrent_requests=given.concurrent_requests,
        daily_budget=_nano("--daily-usd", given.daily_usd),
        monthly_budget=_nano("--monthly-usd", given.monthly_usd),
    )
    table.put(limits_item(_tenant(given.tenant), wanted))
    print(f"{given.tenant}: {wanted}")
    return 0


def settle_holds(ledger: Ledger, given: argparse.Namespace) -> int:
    """Settle what killed requests left set aside, by the cost of their rows."""
    table, now = AccessItems(ledger, given.table), datetime.now(UTC)
    with TemporaryDirectory(prefix="costs-") as folder:
        files = RowFiles(ledger.store, ledger.book, Path(folder), lambda: now)
        reader = LedgerReader(ledger.store, ledger.book, files, lambda: now)

        def cost_of(name: str, begun: datetime) -> Cost | None:
            return reader.of_lease(name, begun) if name.startswith(LEASE) else reader.cost_of(name)

        count = settle_all(table.all(), cost_of, table.update, now)
    print(f"{count} settled")
    return 0


def add_commands(command: Any) -> None:
    """The options of the three commands; `command` makes one by its name and text."""
    made = command("keys", "own keys: create TENANT, list, revoke ID; a key is shown once")
    made.add_argument("action", choices=("create", "list", "revoke"))
    made.add_argument("tenant", nargs="?", help="whom the key is for; of revoke, the key's id")
    made.add_argument("--name", default="", help="what it is for")
    made.add_argument("--days", type=int, help="how long it holds; default: for ever")
    _add_table(made)
    made = command("limits", "what a tenant may: models, rates, budgets; `default` is all others")
    made.add_argument("tenant", nargs="?", help="without one, all are shown")
    made.add_argument(
        "--model", action="append", default=[], help="one that may be asked; repeat it for more"
    )
    for name in ("max-output-tokens", "requests-per-minute", "tokens-per-minute", "concurrent-requests"):
        made.add_argument(f"--{name}", type=int)
    made.add_argument("--daily-usd", metavar="USD")
    made.add_argument("--monthly-usd", metavar="USD")
    _add_table(made)
    _add_table(command("settle", "settle what killed requests left set aside, by the ledger's rows"))


def _add_table(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get("WEIR_ACCESS_TABLE")
    parser.add_argument("--table", default=default, help="the access table; default: the stack's output")


class AccessItems:
    """The table's items, by boto3. Raises UsageError where no table is named, and botocore's errors."""

    def __init__(self, ledger: Ledger, table: str | None) -> None:
        self._client = ledger.client("dynamodb")
        self._table = table or ledger.output("access")

    def put(self, item: dict[str, Any]) -> None:
        """Write an item over the one that is there."""
        self._client.put_item(TableName=self._table, Item=item)

    def update(self, request: Mapping[str, Any]) -> None:
        """Change an item, unless somebody else did."""
        try:
            self._client.update_item(TableName=self._table, **request)
        except self._client.exceptions.ConditionalCheckFailedException:
            pass

    def revoke(self, key_id: str, now: datetime) -> None:
        """Let a key open nothing from now on. Raises UsageError where there is none."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"pk": {"S": f"KEY#{key_id}"}, "sk": {"S": "KEY"}},
                UpdateExpression="SET revoked_at = :now",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues={":now": {"S": now.isoformat()}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise UsageError(f"keys revoke: expected the id of a key, got {key_id[:40]!r}") from None

    def of_kind(self, kind: str) -> Iterator[dict[str, Any]]:
        """Items of one kind, in the table's order."""
        return (item for item in self.all() if item["sk"].get("S") == kind)

    def all(self) -> Iterator[dict[str, Any]]:
        """All items."""
        for page in self._client.get_paginator("scan").paginate(TableName=self._table):
            yield from page["Items"]


def _tenant(name: str | None) -> str:
    if not name or tenant_name(name) != name:
        raise UsageError(f"tenant: expected 1 to 64 usual characters, got {name!r:.80}")
    return name


def _nano(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise UsageError(f"{option}: expected US dollars, 0 or more, got {text[:40]!r}")
    return int((amount * NANO).to_integral_value(ROUND_FLOOR))
