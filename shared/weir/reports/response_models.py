"""The finance API's responses as Pydantic models: what is documented is what is sent, field by field.

Money and GB-seconds are decimal strings: a JSON number is read as binary floating point. Null is unknown, never 0.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from weir.reports.row_models import ComponentsResponse, Model, PhasesResponse, RowResponse

type Money = Annotated[str, Field(description="USD, exact", examples=["0.00046086672"])]
type Instant = Annotated[str, Field(description="ISO 8601", examples=["2026-11-22T12:00:00.000Z"])]

LOWER_BOUND = Field(description="At least so much: a row in it is not priced in full")


class PageResponse(Model):
    """Rows in the order asked for."""

    rows: list[RowResponse]
    next_cursor: str | None = Field(description="Null on the last page")
    as_of: Instant | None = Field(description="Whatever had arrived by then is in it; null without any row")
    price_book_version: str
    unreadable_objects: int = Field(description="Stored objects that could not be read: rows may be missing")


class PhaseSpan(Model):
    """One phase on the clock of what was billed."""

    phase: Literal["cold_start", "waiting", "streaming", "validating", "rest"]
    start_ms: float
    end_ms: float
    cost: Money | None


class RequestResponse(Model):
    """One request with what its time went to."""

    row: RowResponse
    timeline: list[PhaseSpan] = Field(
        description="The known phases, one after the other. Validation runs while the stream does and is placed "
        "after it; the waits of several attempts are placed before the first token"
    )
    corrections: list[RowResponse] = Field(description="What came after the month was closed")


class RangeResponse(Model):
    """What was asked for, in the reader's zone."""

    from_: Instant = Field(alias="from")
    to: Instant = Field(description="Not included")
    time_zone: str


class PriceBookResponse(Model):
    """The prices of this deployment; a row says which version made it."""

    version: str
    as_of: str = Field(description="The day on which the oldest of its files was checked against its source")
    age_days: int
    warning: str | None = Field(description="Said when that is long ago")
    versions_in_rows: list[str] = Field(description="The price books that made the rows of this range")


class TokensResponse(Model):
    """Sums over the rows that know the count; null where none does."""

    input: int | None = Field(description="Cached ones included")
    cached_input: int | None
    output: int | None = Field(description="Reasoning tokens included")
    reasoning: int | None


class SavedResponse(Model):
    """Estimate: output that stopping at the first violation did not buy."""

    total: Money | None
    tokens: int | None
    rows: int


class UnpricedResponse(Model):
    """Rows whose total is a lower bound."""

    rows: int
    reasons: dict[str, int] = Field(description="How many requests have each reason")
    components: list[str] = Field(description="The charges that these reasons make lower bounds")


class EstimatesResponse(Model):
    """What callers were told against what it came to, over rows that are fully priced; logs are in neither."""

    rows: int
    estimated: Money
    final: Money
    bias_percent: float | None = Field(description="Of the sums: above 0, callers were told too much")
    error_p50_percent: float | None = Field(description="Of each request, without its sign")
    error_p99_percent: float | None


class TotalsResponse(Model):
    """Sums of the range; corrections are in money and quantities, not in counts."""

    requests: int
    total: Money
    is_lower_bound: bool = LOWER_BOUND
    components: ComponentsResponse
    phases: PhasesResponse
    tokens: TokensResponse
    billed_ms: int | None
    gb_s: str | None
    streamed_bytes: int | None
    saved: SavedResponse
    unpriced: UnpricedResponse
    estimates: EstimatesResponse


class UnitEconomicsResponse(Model):
    """What a unit cost, failures included; null where there is no unit."""

    is_lower_bound: bool = LOWER_BOUND
    per_1000_requests: Money | None = Field(description="All that was spent, for a thousand requests")
    per_validated_document: Money | None = Field(
        description="All that was spent on requests with a schema, for each that ended in ok"
    )
    per_million_output_tokens: Money | None = Field(
        description="All that was spent, for each million tokens that requests which ended in ok delivered"
    )


class WasteResponse(Model):
    """Money that gave no document. Parts overlap (a failed request waited, too), so they have no sum."""

    name: Literal["waiting", "cold_start", "failed", "abandoned", "retried", "unknown"] = Field(
        description="waiting and cold_start are parts of the duration; failed: any outcome but ok and the abandoned; "
        "abandoned: client_disconnected and stopped; retried: all of requests with more than one attempt; "
        "unknown: requests without an outcome"
    )
    total: Money | None
    share_percent: float | None = Field(description="Of the range's total")
    is_lower_bound: bool = Field(
        description="At least so much: a row in it is not priced in full, or its time was not measured"
    )


class PercentilesResponse(Model):
    """Over the requests that know the value."""

    p50: float | None
    p95: float | None
    p99: float | None


class LatencyResponse(Model):
    """How long requests took."""

    ttft_ms: PercentilesResponse
    duration_ms: PercentilesResponse = Field(description="As Lambda reports it, cold start not included")
    cold_start_percent: float | None


class PointResponse(Model):
    """One bucket of the series."""

    start: Instant = Field(description="Its first instant; a day is one of the zone, of 23 to 25 hours")
    requests: int
    total: Money
    is_lower_bound: bool = LOWER_BOUND
    groups: dict[str, Money | None] = Field(description="A name without cost in the bucket is left out")
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    duration_p50_ms: float | None
    duration_p95_ms: float | None


class GroupResponse(Model):
    """One part of the rows; `(unknown)` has no such value, `(other)` are those beyond the first twenty."""

    name: str
    requests: int
    total: Money
    share_percent: float | None = Field(description="Of the range's total")
    is_lower_bound: bool = LOWER_BOUND


class SeriesResponse(Model):
    """Cost over time: by hour up to three days, then by day."""

    bucket: Literal["hour", "day"]
    by: str
    groups: list[str] = Field(description="The most expensive eight, `(other)`; or the components")
    totals: list[GroupResponse] = Field(
        description="Each group over the range; empty where the groups are components, which `totals` has"
    )
    points: list[PointResponse]


class BreakdownsResponse(Model):
    """The most expensive names first."""

    outcome: list[GroupResponse]
    model: list[GroupResponse] = Field(description="By the name returned, else by the name requested")
    tenant: list[GroupResponse] = Field(description="The tenant, else the tag of that name")
    feature: list[GroupResponse] = Field(description="The tag of that name")
    function: list[GroupResponse]


class CostBucketResponse(Model):
    """Requests that cost at least `from` and less than `to`."""

    from_: Money = Field(alias="from")
    to: Money | None
    requests: int


class DistributionResponse(Model):
    """Cost per request; percentiles have six digits that count."""

    buckets: list[CostBucketResponse]
    p50: Money | None
    p90: Money | None
    p99: Money | None
    max: Money | None


class BudgetResponse(Model):
    """A calendar month in the reader's zone, all requests, whatever is filtered."""

    month: str
    limit: Money
    spent: Money
    forecast: Money | None
    percent: float
    forecast_percent: float | None
    level: Literal["ok", "70", "90", "100"] = Field(
        description="The highest percentage reached by what is spent"
    )
    forecast_level: Literal["ok", "70", "90", "100"] | None
    method: str = Field(description="How the forecast was made, or why there is none")
    is_lower_bound: bool = Field(description="At least so much is spent: a row in it is not priced in full")
    forecast_is_lower_bound: bool = Field(description="At least so much is forecast, for the same reason")


class HourResponse(Model):
    """One UTC hour, whatever is filtered."""

    hour: Instant
    reports_in_log: int | None = Field(
        description="platform.report lines counted in the log; null: not counted"
    )
    rows: int = Field(description="Reports that the ledger's rows account for")
    missing: int | None


class CompletenessResponse(Model):
    """How far the totals can be trusted to be all."""

    complete: int = Field(description="Rows with bill and usage")
    bill_only: int
    usage_only: int
    started_only: int
    rows_with_anomalies: int
    logs_dropped: int = Field(description="Times the platform said that it dropped log lines, in the range")
    set_aside: int = Field(description="Records and batches that could not be read, of any time")
    unreadable_objects: int
    hours: list[HourResponse] = Field(description="Beyond 35 days only those that miss something")
    counted_until: Instant | None


class CorrectionsResponse(Model):
    """What came after its month was closed, and was found in this range."""

    rows: int
    total: Money
    is_lower_bound: bool = LOWER_BOUND


class ReportResponse(Model):
    """What a range cost, by what, and how far that can be trusted."""

    range: RangeResponse
    as_of: Instant | None = Field(description="Whatever had arrived by then is in it; null without any row")
    engine: Literal["duckdb", "athena"]
    currency: Literal["USD"]
    price_book: PriceBookResponse
    totals: TotalsResponse
    unit_economics: UnitEconomicsResponse
    waste: list[WasteResponse]
    latency: LatencyResponse
    series: SeriesResponse
    breakdowns: BreakdownsResponse
    distribution: DistributionResponse
    budget: BudgetResponse | None = Field(description="Null: no budget is set")
    completeness: CompletenessResponse
    corrections: CorrectionsResponse


class RunningResponse(Model):
    """Athena is still at work: ask for the same URL again."""

    status: Literal["running"]
    retry_after_s: int


class ExportStartedResponse(Model):
    """An export that has begun."""

    id: str
    status: Literal["running"]
    status_url: str


class ExportFileResponse(Model):
    """One file of an export."""

    name: str
    bytes: int
    url: str = Field(description="For whoever holds it, for 15 minutes")


class ExportResponse(Model):
    """How far an export is."""

    id: str
    status: Literal["running", "done", "failed"]
    files: list[ExportFileResponse]
    error: str | None


class ProblemError(Model):
    """One place that is wrong."""

    pointer: str = Field(
        description="JSON Pointer into the query's parameters or the body", examples=["/from"]
    )
    detail: str = Field(description="What was expected, and what came")


class ProblemResponse(Model):
    """RFC 9457 problem details."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    errors: list[ProblemError] = Field([], description="What is wrong, place by place")


def problem_response(description: str) -> dict[str, Any]:
    """How OpenAPI describes a response that is a problem (FastAPI would add application/json to a `model`)."""
    schema = ProblemResponse.model_json_schema()
    [place] = schema.pop("$defs").values()  # written where it is used: this schema stands in another document
    schema["properties"]["errors"]["items"] = place
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}
