"""One row of the ledger: what a request was, what was billed and what it cost, and how far that is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from weir.ledger.facts import instant
from weir.pricing.cost import Cost
from weir.pricing.money import plain
from weir.pricing.quantities import EventSource
from weir.pricing.usage import Usage


class JoinStatus(StrEnum):
    """Which halves of a request are known; a late half turns any of the others into `complete`."""

    COMPLETE = "complete"  # billed by the platform, and completed by the application
    BILL_ONLY = "bill_only"  # a report, but no completion: killed, or its facts are late or lost
    USAGE_ONLY = "usage_only"  # a completion, but no report: late or lost
    STARTED_ONLY = "started_only"  # neither: still running, or both lost


@dataclass(slots=True, kw_only=True)
class Row:
    """One request; times in milliseconds, money in USD, None is unknown.

    `at` and `day` are those of the last report (before it comes: of the last record), UTC. `outcome` is one
    of the closed set, or None where no completion arrived and the platform reports success. `records` counts
    the distinct log records that made the row, `anomalies` names what contradicts itself in them.
    `estimate_total` is what the final event told the caller; it leaves out `cost.components.logs`, so its error is
    `estimate_total - (total - logs)`. `log_bytes` are those of the lines that made the row. `saved_tokens` and
    `saved_total` are output that ending a stream at its first violation spared: an estimate by its nature, in no
    total, and null where there is nothing to estimate it from.
    """

    request_id: str
    at: datetime
    join_status: JoinStatus
    outcome: str | None
    http_status: int | None
    report_status: str | None
    function: str | None
    function_arn: str | None
    region: str | None
    architecture: str | None
    memory_mb: int | None
    initialization_type: str | None
    front: EventSource | None
    model: str | None
    model_returned: str | None
    schema: str | None
    tenant: str | None
    tags: Mapping[str, str]
    billed_ms: int | None
    billed_invocations: int
    init_ms: float | None
    duration_ms: float | None
    wait_ms: float | None
    stream_ms: float | None
    validate_ms: float | None
    ttft_ms: float | None
    streamed_bytes: int | None
    log_bytes: int | None
    attempts: int | None
    violations: int | None
    validated_values: int | None
    usage: Usage
    cost: Cost
    estimate_total: Decimal | None
    saved_tokens: int | None
    saved_total: Decimal | None
    records: int
    anomalies: tuple[str, ...] = ()

    @property
    def day(self) -> date:
        """The UTC day that the row belongs to."""
        return self.at.date()

    @property
    def gb_s(self) -> Decimal | None:
        """GB-seconds billed."""
        if self.billed_ms is None or self.memory_mb is None:
            return None
        return Decimal(self.billed_ms * self.memory_mb) / (1000 * 1024)

    def as_json(self) -> dict[str, Any]:
        """The row with money and GB-seconds as strings in plain notation, unknown as null."""
        gb_s = self.gb_s
        return {
            "request_id": self.request_id,
            "at": instant(self.at),
            "day": self.day.isoformat(),
            "join_status": self.join_status.value,
            "outcome": self.outcome,
            "http_status": self.http_status,
            "report_status": self.report_status,
            "function": self.function,
            "function_arn": self.function_arn,
            "region": self.region,
            "architecture": self.architecture,
            "memory_mb": self.memory_mb,
            "initialization_type": self.initialization_type,
            "front": self.front,
            "model": self.model,
            "model_returned": self.model_returned,
            "schema": self.schema,
            "tenant": self.tenant,
            "tags": dict(sorted(self.tags.items())),
            "billed_ms": self.billed_ms,
            "billed_invocations": self.billed_invocations,
            "gb_s": None if gb_s is None else plain(gb_s),
            "init_ms": self.init_ms,
            "duration_ms": self.duration_ms,
            "wait_ms": self.wait_ms,
            "stream_ms": self.stream_ms,
            "validate_ms": self.validate_ms,
            "ttft_ms": self.ttft_ms,
            "streamed_bytes": self.streamed_bytes,
            "log_bytes": self.log_bytes,
            "attempts": self.attempts,
            "violations": self.violations,
            "validated_values": self.validated_values,
            "usage": self.usage.as_json(),
            "cost": self.cost.as_json(),
            "estimate_total": None if self.estimate_total is None else plain(self.estimate_total),
            "saved_tokens": self.saved_tokens,
            "saved_total": None if self.saved_total is None else plain(self.saved_total),
            "records": self.records,
            "anomalies": list(self.anomalies),
        }
