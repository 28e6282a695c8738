"""Answers that are given again, from the command line: how many a tenant has, and all of them deleted."""

import argparse
import os
from collections.abc import Iterator
from typing import Any

from weir.access.answers import item_key
from weir.access.identity import tenant_name

from .ledger import Ledger, UsageError


def answers(ledger: Ledger, given: argparse.Namespace) -> int:
    """Count, or delete, what is kept of a tenant's answers."""
    tenant = given.tenant
    if tenant_name(tenant) != tenant or not tenant:
        raise UsageError(f"tenant: expected 1 to 64 usual characters, got {tenant!r:.80}")
    client, table = ledger.client("dynamodb"), given.table or ledger.output("answers")
    count = 0
    for key in _keys(client, table, tenant):
        if given.action == "delete":
            client.delete_item(TableName=table, Key=key)
        count += 1
    print(f"{count} items {'deleted' if given.action == 'delete' else 'kept'}")
    return 0


def add_command(command: Any) -> None:
    """The options; `command` makes one by its name and text."""
    made = command("answers", "what is kept to be given again to a tenant: count TENANT, delete TENANT")
    made.add_argument("action", choices=("count", "delete"))
    made.add_argument("tenant")
    default = os.environ.get("WEIR_ANSWERS_TABLE")
    made.add_argument("--table", default=default, help="the answers table; default: the stack's output")


def _keys(client: Any, table: str, tenant: str) -> Iterator[dict[str, Any]]:
    pages = client.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": item_key(tenant, "")["pk"]},
        ProjectionExpression="pk, sk",
    )
    for page in pages:
        yield from page["Items"]
