"""The finance API's answers as Pydantic models: what is documented is what is sent, field by field.

Money and GB-seconds are decimal strings: a JSON number is read as binary floating point. Null is unknown, never 0.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from weir.core.ledger.rows import JoinStatus

type Money = Annotated[str, Field(description="USD, exact", examples=["0.00046086672"])]


class _Answer(BaseModel):
    # A member that is not documented here fails the test that compares rows with these models.
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ComponentsAnswer(_Answer):
    """The charges; they sum to the total exactly."""

    lambda_duration: Money | None = Field(description="Billed time by memory, at the first tier's price")
    lambda_request: Money | None
    lambda_streamed_bytes: Money | None = Field(description="Beyond 6 MiB of the response")
    input_tokens: Money | None = Field(description="Without the cached ones")
    cached_input_tokens: Money | None = Field(description="Null where the provider reports no cached part")
    output_tokens: Money | None = Field(description="Reasoning tokens included")


class PhasesAnswer(_Answer):
    """The charge for duration by what the time went to; they sum to it exactly."""

    cold_start: Money | None
    waiting: Money | None = Field(description="From each upstream call to its first token")
    streaming: Money | None = Field(description="From the first to the last token, without validation")
    validating: Money | None
    rest: Money | None = Field(description="What is left, and what is unknown")


class CostAnswer(_Answer):
    """What a request cost; a lower bound where `unpriced` has reasons."""

    components: ComponentsAnswer
    phases: PhasesAnswer
    total: Money
    currency: Literal["USD"]
    price_book_version: str
    unpriced: list[str] = Field(description="Why something is not priced, or not priced in full")
    is_estimate: bool = Field(description="Tokens were estimated, because the provider's count never came")


class UsageAnswer(_Answer):
    """Tokens over all attempts."""

    input_tokens: int | None = Field(description="Cached ones included")
    output_tokens: int | None = Field(description="Reasoning tokens included")
    cached_input_tokens: int | None
    reasoning_tokens: int | None
    total_tokens: int | None
    source: Literal["provider", "estimated", "none"]


class RowAnswer(_Answer):
    """One request."""

    request_id: str = Field(description="Lambda's request id, which the caller got as x-request-id")
    at: str = Field(description="When it was reported, UTC")
    day: str = Field(description="The UTC day it belongs to")
    join_status: JoinStatus = Field(
        description="Which halves are known: the bill, the usage, both or neither"
    )
    outcome: str | None = Field(description="Null: no completion arrived, and the platform reports success")
    http_status: int | None
    report_status: str | None = Field(description="The platform's word: success, timeout, error, failure")
    function: str | None
    function_arn: str | None
    region: str | None
    architecture: str | None
    memory_mb: int | None
    initialization_type: str | None
    model: str | None = Field(description="As requested")
    model_returned: str | None = Field(description="As the provider named it; prices go by this name")
    document_schema: str | None = Field(alias="schema")
    tenant: str | None
    tags: dict[str, str]
    billed_ms: int | None = Field(description="As reported, summed over the reports; never recomputed")
    billed_invocations: int = Field(description="Reports: more than one where Lambda retried an event")
    gb_s: str | None = Field(description="GB-seconds billed")
    init_ms: float | None = Field(description="Cold start; 0 is a warm one")
    duration_ms: float | None
    wait_ms: float | None
    stream_ms: float | None
    validate_ms: float | None
    ttft_ms: float | None = Field(description="From the request's start to the first token")
    streamed_bytes: int | None
    attempts: int | None = Field(description="Calls of the provider")
    usage: UsageAnswer
    cost: CostAnswer
    estimate_total: Money | None = Field(description="What the final event told the caller")
    records: int = Field(description="Distinct log records that made the row")
    anomalies: list[str] = Field(description="What contradicts itself in them")


class PageAnswer(_Answer):
    """Rows, newest first."""

    rows: list[RowAnswer]
    next_cursor: str | None = Field(description="Null on the last page")
    price_book_version: str
    unreadable_objects: int = Field(description="Stored objects that could not be read: rows may be missing")


class GroupAnswer(_Answer):
    """One part of the rows."""

    requests: int
    total: Money


class TokensAnswer(_Answer):
    """Sums over the rows that know the count; null where none does."""

    input_tokens: int | None
    cached_input_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None


class UnpricedAnswer(_Answer):
    """Rows whose total is a lower bound."""

    rows: int
    reasons: dict[str, int]


class CompletenessAnswer(_Answer):
    """How far the totals can be trusted to be all."""

    complete: int = Field(description="Rows with bill and usage")
    bill_only: int
    usage_only: int
    started_only: int
    rows_with_anomalies: int
    logs_dropped: int = Field(description="Times the platform said that it dropped log lines, in the range")
    set_aside: int = Field(description="Records and batches that could not be read, of any time")
    unreadable_objects: int


class EstimatesAnswer(_Answer):
    """What callers were told against what it came to, over rows that are fully priced."""

    rows: int
    estimated: Money
    final: Money


class SummaryAnswer(_Answer):
    """Totals of a range."""

    requests: int
    total: Money
    currency: Literal["USD"]
    price_book_version: str
    components: ComponentsAnswer
    phases: PhasesAnswer
    by_outcome: dict[str, GroupAnswer]
    by_model: dict[str, GroupAnswer] = Field(description="By the name returned, else by the name requested")
    billed_ms: int | None
    tokens: TokensAnswer
    unpriced: UnpricedAnswer
    completeness: CompletenessAnswer
    estimates: EstimatesAnswer


class ProblemAnswer(_Answer):
    """RFC 9457 problem details."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] = Field([], description="The parameters that are wrong: `field`, `message`")


def problem_response(description: str) -> dict[str, Any]:
    """How OpenAPI describes an answer that is a problem (FastAPI would add application/json to a `model`)."""
    schema = ProblemAnswer.model_json_schema()
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}
