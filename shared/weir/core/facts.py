"""The facts that a request leaves in the log, from which the ledger is joined.

One JSON object a line, versioned; never prompts, outputs, headers or the environment. `request.started` is written
before the upstream is called, so that a request which is killed can still be attributed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

SCHEMA_VERSION = 1

type Kind = Literal["request.started", "request.progress", "request.completed"]


@dataclass(frozen=True, slots=True)
class Function:
    """The Lambda function that runs, as far as its environment tells; sizes in MB."""

    name: str
    region: str
    memory_mb: int | None
    architecture: str
    initialization_type: str


def fact(
    kind: Kind,
    at: datetime,
    function: Function,
    *,
    request_id: str,
    attempt: int,
    tenant: str | None,
    tags: Mapping[str, str],
    function_arn: str | None,
    cold_start: bool,
    model: str | None,
    **members: Any,
) -> dict[str, Any]:
    """One fact at `at` (UTC): what every kind says, and the kind's own `members`.

    `tenant` is null until somebody is authenticated, `model` is the one asked for.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "at": instant(at),
        "request_id": request_id,
        "attempt": attempt,
        "tenant": tenant,
        "tags": dict(tags),
        "function": function.name,
        "function_arn": function_arn,
        "region": function.region,
        "memory_mb": function.memory_mb,
        "architecture": function.architecture,
        "initialization_type": function.initialization_type,
        "cold_start": cold_start,
        "model": model,
        **members,
    }


def instant(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as CloudWatch writes it: `2026-11-22T18:46:31.123Z`."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
