"""One row of the ledger: what a request was, what was billed and what it cost, and how far that is known.

This is where the fields of a row are declared, once: type, unit and meaning stand beside each. The table's columns,
Parquet's and Glue's schema, the API's model, the headings of an export and finance's documentation are made from them
(table.py). A new field is a line here and a line in the join.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from weir.pricing.cost import Cost
from weir.pricing.event_source import EventSource
from weir.pricing.usage import Usage

MONEY = "decimal(38,15)"
# What a correction makes of a column. dimension: rows that differ in it are kept apart; quantity: differences add up;
# state: said of the row as it is now; measure: of one request only, so a correction has none; key: which row it is.
type Role = Literal["dimension", "quantity", "state", "measure", "key"]


class JoinStatus(StrEnum):
    """Whose records of a request are known; a late record turns any of the others into `complete`."""

    COMPLETE = "complete"  # billed by the platform, and completed by the application
    BILL_ONLY = "bill_only"  # a report, but no completion: killed, or its facts are late or lost
    USAGE_ONLY = "usage_only"  # a completion, but no report: late or lost
    STARTED_ONLY = "started_only"  # neither: still running, or both lost


@dataclass(frozen=True, slots=True)
class Declared:
    """What a field of the row says of its column; `type` is Trino's, `path` where it stands in the API's JSON."""

    type: str
    description: str
    unit: str | None = None
    role: Role = "dimension"
    name: str | None = None
    path: str | None = None


def _count(description: str, unit: str | None = None, role: Role = "quantity") -> Declared:
    return Declared("bigint", description, unit, role)


def _ms(description: str, role: Role = "quantity") -> Declared:
    return Declared("double", description, "ms", role)


def _text(description: str) -> Declared:
    return Declared("varchar", description)


@dataclass(slots=True, kw_only=True)
class Row:
    """One request; None is unknown. `usage` and `cost` have columns of their own for each of their members (table.py).

    `at` and `day` are those of the last report (before it comes: of the last record), UTC. `estimate_total` leaves out
    `cost.components.logs`, so its error is `estimate_total - (total - logs)`.
    """

    request_id: Annotated[
        str, Declared("varchar", "Lambda's request id, which the caller got as x-request-id", role="key")
    ]
    at: Annotated[
        datetime,
        Declared(
            "timestamp(3)",
            "When it was reported, or a correction was found; UTC",
            role="key",
            name="at_utc",
            path="at",
        ),
    ]
    join_status: Annotated[
        JoinStatus,
        Declared(
            "varchar",
            "Whose records are known: the platform's bill, the application's usage, both or neither",
            role="state",
        ),
    ]
    outcome: Annotated[str | None, _text("Null: no completion arrived, and the platform reports success")]
    http_status: Annotated[int | None, _count("Of the response's prelude", role="dimension")]
    report_status: Annotated[str | None, _text("The platform's word: success, timeout, error, failure")]
    function: Annotated[str | None, _text("The function's name")]
    function_arn: Annotated[str | None, _text("With the version or alias that was invoked")]
    region: Annotated[str | None, _text("The function's, or its log group's")]
    architecture: Annotated[str | None, _text("arm64 or x86_64")]
    memory_mb: Annotated[int | None, _count("The function's memory", unit="MB", role="dimension")]
    max_memory_mb: Annotated[
        int | None, _count("The most memory that its environment had used by then", unit="MB", role="measure")
    ] = None
    initialization_type: Annotated[
        str | None, _text("on-demand, provisioned-concurrency, snap-start, managed instances")
    ]
    front: Annotated[EventSource | None, _text("How it came: function_url, rest_api or direct")]
    model: Annotated[str | None, _text("As requested")]
    model_returned: Annotated[str | None, _text("As the provider named it; prices go by this name")]
    schema: Annotated[
        str | None,
        Declared("varchar", "What the document was validated against", name="schema_name", path="schema"),
    ]
    tenant: Annotated[str | None, _text("Whose request it was; null until somebody is authenticated")]
    tags: Annotated[Mapping[str, str], Declared("map(varchar,varchar)", "As the caller sent them")]
    billed_ms: Annotated[
        int | None, _count("As reported, summed over the reports; never recomputed", unit="ms")
    ]
    billed_invocations: Annotated[int, _count("Reports: more than one where Lambda retried an event")]
    init_ms: Annotated[float | None, _ms("Cold start; 0 is a warm one")]
    duration_ms: Annotated[float | None, _ms("As Lambda reports it, cold start not included")]
    wait_ms: Annotated[float | None, _ms("From each upstream call to its first token")]
    stream_ms: Annotated[float | None, _ms("From the first to the last token")]
    validate_ms: Annotated[float | None, _ms("Validation, while the stream runs")]
    ttft_ms: Annotated[float | None, _ms("From the request's start to the first token", role="measure")]
    streamed_bytes: Annotated[int | None, _count("Of the response", unit="bytes")]
    log_bytes: Annotated[
        int | None,
        _count("Of the log lines that made the row, with those of its environment's start", unit="bytes"),
    ]
    attempts: Annotated[int | None, _count("Calls of the provider")]
    usage: Usage
    violations: Annotated[int | None, _count("What validation found wrong")]
    validated_values: Annotated[int | None, _count("Fields and list elements that were valid")]
    saved_tokens: Annotated[
        int | None,
        _count(
            "Estimate: output not bought, by stopping at a violation or by giving an answer again",
            unit="tokens",
        ),
    ]
    cost: Cost
    estimate_total: Annotated[
        Decimal | None,
        Declared(
            MONEY,
            "What the final event told the caller; without the cost of its own log lines",
            unit="USD",
            role="quantity",
        ),
    ]
    saved_total: Annotated[
        Decimal | None,
        Declared(MONEY, "Estimate: what those tokens would have cost", unit="USD", role="quantity"),
    ]
    answered_from: Annotated[
        str | None,
        _text(
            "Given again without the model: idempotency_key or cache; null where it was not, or was not told"
        ),
    ] = None
    lease: Annotated[
        str | None,
        Declared(
            "varchar", "The slice of its tenant's budget that it drew on, where several did", role="measure"
        ),
    ] = None
    retry_total: Annotated[
        Decimal | None,
        Declared(
            MONEY, "Of the charges for tokens: those of attempts after the first", unit="USD", role="measure"
        ),
    ] = None
    anomalies: Annotated[
        tuple[str, ...], Declared("array(varchar)", "What contradicts itself in its records", role="state")
    ] = ()
    records: Annotated[int, _count("Distinct log records that made the row")]

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
