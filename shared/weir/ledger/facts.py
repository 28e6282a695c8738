"""The facts that a request leaves in the log, from which the ledger is joined.

One JSON object a line, versioned; never prompts, outputs, headers or the environment. `request.started` is written
before the upstream is called, so that a request which is killed can still be attributed. Within a version members are
only added, and a reader takes an absent one for unknown: facts stay in the bucket for ever.

Each byte of a line is billed, so nothing is said twice. Version 1 said in the fact what its line says: kind, instant
and request id. Since version 2 the line alone says these, the function's name and Region are those in its ARN, an
attempt's number is said from the second on, and what is not known is not there.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from weir.light_tuples import LightTuple
from weir.pricing.event_source import EventSource

SCHEMA_VERSION = 2
_LINES = ("kind", "at", "request_id")
_NAME = 6  # where a function's ARN has its name

_EVENT_SOURCES: frozenset[object] = frozenset(EventSource.__value__.__args__)

type Kind = Literal["request.started", "request.progress", "request.completed"]


class Function(LightTuple):
    """The Lambda function that runs, as far as its environment tells; sizes in MB.

    `max_concurrency` is how many requests share one environment, on managed instances; elsewhere 1.
    """

    name: str
    region: str
    memory_mb: int | None
    architecture: str
    initialization_type: str
    ephemeral_storage_mb: int | None
    max_concurrency: int


def event_source_of(name: object) -> EventSource | None:
    """What a request came through, as the runtime client calls it (`aws.event_source`); None is unknown.

    The client alone tells sources apart, since what can be streamed to hangs on the same answer as what it costs.
    """
    return name if name in _EVENT_SOURCES else None  # type: ignore[return-value]  # the set holds its literals


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
    event_source: EventSource | None,
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
        "at": format_timestamp(at),
        "request_id": request_id,
        "attempt": attempt if attempt > 1 else None,
        "tenant": tenant,
        "tags": dict(tags),
        "function": function.name,
        "function_arn": function_arn,
        "region": function.region,
        "memory_mb": function.memory_mb,
        "architecture": function.architecture,
        "initialization_type": function.initialization_type,
        "ephemeral_storage_mb": function.ephemeral_storage_mb,
        "max_concurrency": function.max_concurrency,
        "front": event_source,  # the name that stored facts have
        "cold_start": cold_start or None,
        "model": model,
        **members,
    }


def said(fact: Mapping[str, Any]) -> dict[str, Any]:
    """What of a fact is written: what its line or another member says is left out, and what is unknown."""
    elsewhere = named_by(fact.get("function_arn"))
    return {
        name: _known(value)
        for name, value in fact.items()
        if value is not None and name not in _LINES and value != elsewhere.get(name)
    }


def named_by(function_arn: object) -> dict[str, str]:
    """The function's name and its Region, as its ARN has them; what is no such ARN names nothing."""
    parts = function_arn.split(":") if isinstance(function_arn, str) else []
    found = {"region": parts[3], "function": parts[6]} if len(parts) > _NAME else {}
    return {name: value for name, value in found.items() if value}


def _known(value: Any) -> Any:
    """An object without the members that are null: who reads a fact takes an absent one for unknown."""
    if isinstance(value, dict):
        return {name: _known(member) for name, member in value.items() if member is not None}
    return [_known(member) for member in value] if isinstance(value, list) else value


def format_timestamp(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as CloudWatch writes it: `2026-11-22T18:46:31.123Z`."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
