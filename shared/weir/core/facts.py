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


@dataclass(frozen=True, slots=True)
class RequestIdentity:
    """What every fact of one request repeats: who, what and where, and nothing that was said."""

    request_id: str
    function: Function
    function_arn: str | None
    cold_start: bool
    tags: Mapping[str, str]
    model: str | None

    def fact(self, kind: Kind, at: datetime, attempt: int, **members: Any) -> dict[str, Any]:
        """One fact at `at` (UTC); `members` are the kind's own."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": kind,
            "at": instant(at),
            "request_id": self.request_id,
            "attempt": attempt,
            "tenant": None,
            "tags": dict(self.tags),
            "function": self.function.name,
            "function_arn": self.function_arn,
            "region": self.function.region,
            "memory_mb": self.function.memory_mb,
            "architecture": self.function.architecture,
            "initialization_type": self.function.initialization_type,
            "cold_start": self.cold_start,
            "model": self.model,
            **members,
        }


def instant(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as CloudWatch writes it: `2026-11-22T18:46:31.123Z`."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
