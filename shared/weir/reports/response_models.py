"""The finance API's responses as Pydantic models: what is documented is what is sent, field by field.

Money and GB-seconds are decimal strings: a JSON number is read as binary floating point. Null is unknown, never 0.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from weir.reports.row_models import ComponentsResponse, Model, PhasesResponse, RowResponse

type Money = Annotated[str, Field(description="USD, exact", examples=["0.00046086672"])]
type Instant = Annotated[str, Field(description="ISO 8601", examples=["2026-11-22T12:00:00.000Z"])]

LOWER_BOUND = Field(description="At least so much: a row in it is not priced in full")


class PageResponse(Model):
    """Rows in the order asked for."""

    rows: list[RowResponse] = Field(description="Requests; corrections are at /api/corrections")
    next_cursor: str | None = Field(description="Null on the last page")
    as_of: Instant | None = Field(description="Whatever had arrived by then is in it; null without any row")
    price_book_version: str = Field(description="The prices of this deployment; a row says which made it")
    unreadable_objects: int = Field(description="Stored objects that could not be read: rows may be missing")


class PhaseSpan(Model):
    """One phase on the clock of what was billed."""

    phase: Literal["cold_start", "waiting", "streaming", "validating", "rest"] = Field(
        description="What the time went to"
    )
    start_ms: float = Field(description="From the start of what was billed")
    end_ms: float = Field(description="From the start of what was billed")
    cost: Money | None = Field(description="Its share of the charge for duration; null is unknown")


class CorrectionOfRequest(Model):
    """What was found of a request at one instant, with what the request cost before and after."""

    found_at: Instant = Field(description="When it was found, which is the day on which its money is booked")
    corrects: str = Field(description="The closed month, YYYY-MM")
    outcome: str | None = Field(description="How the request ended, by what is known now")
    before: Money = Field(description="What the request cost before it")
    difference: Money = Field(description="What it adds")
    after: Money = Field(description="What the request costs with it")
    unpriced: list[str] = Field(description="Why that is still a lower bound; empty: it is not")
    price_book_version: str = Field(description="The prices that made it")


class ChangeResponse(Model):
    """One quantity before and after all corrections of a request."""

    name: str = Field(description="The column's name, as in an export")
    before: str | None = Field(description="As booked when the month was closed; null is unknown")
    difference: str = Field(description="What the corrections add")
    after: str = Field(description="With all corrections")


class RequestResponse(Model):
    """One request with what its time went to."""

    row: RowResponse = Field(description="As it is booked; what was found later is in `corrections`")
    timeline: list[PhaseSpan] = Field(
        description="The known phases, one after the other. Validation runs while the stream does and is placed "
        "after it; the waits of several attempts are placed before the first token"
    )
    corrections: list[CorrectionOfRequest] = Field(
        description="What came after the month was closed, in the order in which it was found"
    )
    corrected_total: Money | None = Field(description="What it cost after all corrections; null without any")
    changes: list[ChangeResponse] = Field(description="Every quantity that the corrections changed")


class RangeResponse(Model):
    """What was asked for, in the reader's zone."""

    from_: Instant = Field(alias="from", description="Included")
    to: Instant = Field(description="Not included")
    time_zone: str = Field(description="The IANA name of the reader's zone")


class PriceBookResponse(Model):
    """The prices of this deployment; a row says which version made it."""

    version: str = Field(description="Of this deployment: new rows are priced with it")
    as_of: str = Field(description="The day on which the oldest of its files was checked against its source")
    age_days: int = Field(description="Days since then")
    warning: str | None = Field(description="Said when that is long ago")
    versions_in_rows: list[str] = Field(description="The price books that made the rows of this range")


class TokensResponse(Model):
    """Sums over the rows that know the count; null where none does."""

    input: int | None = Field(description="Cached ones included")
    cached_input: int | None = Field(description="Of the input, read from the provider's cache")
    output: int | None = Field(description="Reasoning tokens included")
    reasoning: int | None = Field(description="Of the output, spent on reasoning")


class SavedByResponse(Model):
    """What was spared in one way."""

    how: Literal["early_stop", "idempotency_key", "cache"] = Field(
        description="early_stop: the stream ended at its first violation; idempotency_key, cache: the answer was there "
        "already, and was given again"
    )
    total: Money | None = Field(
        description="What it would have cost; of an answer given again, what it had cost"
    )
    tokens: int | None = Field(description="Output tokens that were not bought")
    requests: int = Field(description="Requests of that kind")


class SavedResponse(Model):
    """Estimate: output that stopping at the first violation, or giving an answer again, did not buy."""

    total: Money | None = Field(description="What those tokens would have cost")
    tokens: int | None = Field(description="Output tokens that were not bought")
    rows: int = Field(description="Requests that spared tokens")
    by: list[SavedByResponse] = Field(
        description="The same by how it was spared; the amounts sum to the total"
    )


class UnpricedResponse(Model):
    """Rows whose total is a lower bound."""

    rows: int = Field(description="Requests that are not priced in full")
    reasons: dict[str, int] = Field(description="How many requests have each reason")
    components: list[str] = Field(description="The charges that these reasons make lower bounds")


class EstimatesResponse(Model):
    """What callers were told against what it came to, over rows that are fully priced; logs are in neither."""

    rows: int = Field(description="Requests that are compared")
    estimated: Money = Field(description="What their callers were told, summed")
    final: Money = Field(description="What they came to, summed, without logs")
    bias_percent: float | None = Field(description="Of the sums: above 0, callers were told too much")
    error_p50_percent: float | None = Field(description="Of each request, without its sign")
    error_p99_percent: float | None = Field(description="99 % of the requests are off by at most this")


class TotalsResponse(Model):
    """Sums of the range; corrections are in money and quantities, not in counts."""

    requests: int = Field(description="Requests of the range")
    total: Money = Field(description="What they cost, and the corrections found in the range")
    is_lower_bound: bool = LOWER_BOUND
    components: ComponentsResponse = Field(description="The charges; they sum to the total")
    phases: PhasesResponse = Field(description="The charge for duration by what the time went to")
    tokens: TokensResponse = Field(description="Tokens by kind")
    billed_ms: int | None = Field(description="Milliseconds that Lambda billed")
    gb_s: str | None = Field(description="GB-seconds that Lambda billed")
    streamed_bytes: int | None = Field(description="Of all responses")
    saved: SavedResponse = Field(
        description="What stopping at a violation spared, and giving an answer again"
    )
    unpriced: UnpricedResponse = Field(description="What is not priced in full, and why")
    estimates: EstimatesResponse = Field(description="What callers were told, against what it came to")


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
    total: Money | None = Field(description="What went there; null is unknown")
    share_percent: float | None = Field(description="Of the range's total")
    is_lower_bound: bool = Field(
        description="At least so much: a row in it is not priced in full, or its time was not measured"
    )


class PercentilesResponse(Model):
    """Over the requests that know the value."""

    p50: float | None = Field(description="Half of the requests took at most this")
    p95: float | None = Field(description="95 % of the requests took at most this")
    p99: float | None = Field(description="99 % of the requests took at most this")


class LatencyResponse(Model):
    """How long requests took."""

    ttft_ms: PercentilesResponse = Field(
        description="From the request's start to the first token, in milliseconds"
    )
    duration_ms: PercentilesResponse = Field(description="As Lambda reports it, cold start not included")
    cold_start_percent: float | None = Field(description="Of the requests whose start is known")


class CostPointResponse(Model):
    """What one bucket of the series cost."""

    start: Instant = Field(description="Its first instant; a day is one of the zone, of 23 to 25 hours")
    requests: int = Field(description="Requests in the bucket")
    total: Money = Field(description="What the bucket's rows cost")
    is_lower_bound: bool = LOWER_BOUND
    groups: dict[str, Money | None] = Field(description="A name without cost in the bucket is left out")


class PointResponse(CostPointResponse):
    """One bucket of the series."""

    ttft_p50_ms: float | None = Field(description="Median time to first token")
    ttft_p95_ms: float | None = Field(description="95th percentile of the time to first token")
    duration_p50_ms: float | None = Field(description="Median duration, as Lambda reports it")
    duration_p95_ms: float | None = Field(description="95th percentile of the duration")


class GroupResponse(Model):
    """One part of the rows; `(unknown)` has no such value, `(other)` are those beyond the first twenty."""

    name: str = Field(description="A value of the rows; `(unknown)`, `(no tag)` and `(other)` are ours")
    requests: int = Field(description="How many requests have it")
    total: Money = Field(description="What its rows cost, corrections included")
    share_percent: float | None = Field(description="Of the range's total")
    is_lower_bound: bool = LOWER_BOUND


class CostSeriesResponse(Model):
    """Cost over time: by hour up to three days, then by day."""

    bucket: Literal["hour", "day"] = Field(description="How long a point is")
    by: str = Field(description="What the groups are")
    groups: list[str] = Field(description="The most expensive eight, `(other)`; or the components")
    totals: list[GroupResponse] = Field(
        description="Each group over the range; empty where the groups are components, which `totals` has"
    )
    points: Sequence[CostPointResponse] = Field(
        description="One for each hour or day of the range, the first first"
    )


class SeriesResponse(CostSeriesResponse):
    """Cost over time, and how long requests took."""

    points: Sequence[PointResponse] = Field(
        description="One for each hour or day of the range, the first first"
    )


class BreakdownsResponse(Model):
    """The most expensive names first."""

    outcome: list[GroupResponse] = Field(description="How requests ended; `unknown` has no outcome")
    model: list[GroupResponse] = Field(description="By the name returned, else by the name requested")
    tenant: list[GroupResponse] = Field(description="By identity; a tag names no tenant")
    feature: list[GroupResponse] = Field(description="The tag of that name")
    function: list[GroupResponse] = Field(description="The Lambda function")


class CostBucketResponse(Model):
    """Requests that cost at least `from` and less than `to`."""

    from_: Money = Field(alias="from", description="Included")
    to: Money | None = Field(description="Not included; null: whatever is above")
    requests: int = Field(description="How many requests cost so much")


class DistributionResponse(Model):
    """Cost per request; percentiles have six digits that count."""

    buckets: list[CostBucketResponse] = Field(
        description="In steps of 1, 2 and 5, without the empty ones at both ends"
    )
    p50: Money | None = Field(description="Half of the requests cost at most this")
    p90: Money | None = Field(description="90 % of the requests cost at most this")
    p99: Money | None = Field(description="99 % of the requests cost at most this")
    max: Money | None = Field(description="The dearest request")


class BudgetResponse(Model):
    """A calendar month in the reader's zone, all requests, whatever is filtered."""

    month: str = Field(description="YYYY-MM")
    limit: Money = Field(description="What the month may cost")
    spent: Money = Field(description="What the month has cost until now")
    forecast: Money | None = Field(description="What the month comes to by `method`; null: no forecast")
    percent: float = Field(description="Spent, of the limit")
    forecast_percent: float | None = Field(description="Forecast, of the limit")
    level: Literal["ok", "70", "90", "100"] = Field(
        description="The highest percentage reached by what is spent"
    )
    forecast_level: Literal["ok", "70", "90", "100"] | None = Field(
        description="The highest percentage that the forecast reaches"
    )
    method: str = Field(description="How the forecast was made, or why there is none")
    is_lower_bound: bool = Field(description="At least so much is spent: a row in it is not priced in full")
    forecast_is_lower_bound: bool = Field(description="At least so much is forecast, for the same reason")


class HourResponse(Model):
    """One UTC hour, whatever is filtered."""

    hour: Instant = Field(description="Its first instant")
    reports_in_log: int | None = Field(
        description="platform.report lines counted in the log; null: not counted"
    )
    rows: int = Field(description="Reports that the ledger's rows account for")
    missing: int | None = Field(description="Reports in the log without a row; null: not counted")


class CompletenessResponse(Model):
    """How far the totals can be trusted to be all."""

    complete: int = Field(description="Rows with bill and usage")
    bill_only: int = Field(description="Rows that Lambda reported and no completion came of")
    usage_only: int = Field(description="Completed requests that Lambda has not reported")
    started_only: int = Field(description="Requests of which only the start is known")
    rows_with_anomalies: int = Field(description="Rows whose records contradict each other")
    logs_dropped: int = Field(description="Times the platform said that it dropped log lines, in the range")
    set_aside: int = Field(description="Records and batches that could not be read, of any time")
    unreadable_objects: int = Field(description="Stored objects that could not be read: rows may be missing")
    hours: list[HourResponse] = Field(description="Beyond 35 days only those that miss something")
    counted_until: Instant | None = Field(
        description="Reports in the log were counted until then; null: never"
    )


class CorrectedMonthResponse(Model):
    """What was found after one month was closed."""

    month: str = Field(description="The closed month, YYYY-MM")
    is_later: bool = Field(description="Found after the range, for its requests: not in the range's total")
    corrections: int = Field(description="Correction rows")
    requests: int = Field(description="Requests that they correct")
    total: Money = Field(description="What they add")
    is_lower_bound: bool = LOWER_BOUND


class CorrectionsResponse(Model):
    """What came after its month was closed, and was found in this range."""

    rows: int = Field(description="Correction rows found in the range")
    total: Money = Field(description="What they add to the range's total, in which they are")
    is_lower_bound: bool = LOWER_BOUND
    months: list[CorrectedMonthResponse] = Field(
        description="By the month corrected, with those found after the range for its requests"
    )


class CorrectionResponse(Model):
    """What was found of one request at one instant, after its month was closed."""

    request_id: str = Field(description="Of the request that is corrected")
    corrects: str = Field(description="The closed month, YYYY-MM")
    corrects_at: Instant | None = Field(description="When the corrected request was reported")
    found_at: Instant = Field(description="When it was found, which is the day on which its money is booked")
    is_later: bool = Field(description="It was found after the range, for a request of the range")
    before: Money | None = Field(description="What the request cost before; null where its own row is gone")
    difference: Money = Field(description="What is booked now, in addition")
    after: Money | None = Field(description="What the request costs with it")
    is_lower_bound: bool = LOWER_BOUND


class CorrectionsPageResponse(Model):
    """Corrections found in a range, and those found later for its requests; the dearest first."""

    corrections: list[CorrectionResponse] = Field(description="At most as many as were asked for")
    has_more: bool = Field(description="There are more than are listed; the sums of the months hold all")
    months: list[CorrectedMonthResponse] = Field(description="All of them, summed")


class ReportResponse(Model):
    """What a range cost, by what, and how far that can be trusted."""

    range: RangeResponse = Field(description="What was asked for")
    as_of: Instant | None = Field(description="Whatever had arrived by then is in it; null without any row")
    engine: Literal["duckdb", "athena"] = Field(description="Which engine read the rows")
    currency: Literal["USD"] = Field(description="Of every amount")
    price_book: PriceBookResponse = Field(description="The prices: of this deployment, and of these rows")
    totals: TotalsResponse = Field(description="Sums of the range")
    unit_economics: UnitEconomicsResponse = Field(description="What one of each cost")
    waste: list[WasteResponse] = Field(description="What was paid for and gave no document")
    latency: LatencyResponse = Field(description="How long requests took")
    series: SeriesResponse = Field(description="Cost over time")
    breakdowns: BreakdownsResponse = Field(description="Cost by what it was for")
    distribution: DistributionResponse = Field(description="Requests by what they cost")
    budget: BudgetResponse | None = Field(description="Null: no budget is set")
    completeness: CompletenessResponse = Field(description="How far the totals can be trusted to be all")
    corrections: CorrectionsResponse = Field(description="What came after a month was closed")


class OverviewResponse(Model):
    """The part of a report that is there first; each member says what it says in the report."""

    range: RangeResponse = Field(description="What was asked for")
    as_of: Instant | None = Field(description="Whatever had arrived by then is in it; null without any row")
    engine: Literal["duckdb", "athena"] = Field(description="Which engine read the rows")
    currency: Literal["USD"] = Field(description="Of every amount")
    totals: TotalsResponse = Field(
        description="Sums of the range; the percentiles of its estimates' error are the report's, and null here"
    )
    unit_economics: UnitEconomicsResponse = Field(description="What one of each cost")
    series: CostSeriesResponse = Field(description="Cost over time")


class RunningResponse(Model):
    """Athena is still at work: ask for the same URL again."""

    status: Literal["running"] = Field(description="Athena has not answered yet")
    retry_after_s: int = Field(description="Seconds after which to ask again")


class ExportStartedResponse(Model):
    """An export that has begun."""

    id: str = Field(description="The job's id")
    status: Literal["running"] = Field(description="It has begun")
    status_url: str = Field(description="Where its state can be asked for")


class ExportFileResponse(Model):
    """One file of an export."""

    name: str = Field(description="The file's name")
    bytes: int = Field(description="Its size")
    url: str = Field(description="For whoever holds it, for 15 minutes")


class ExportResponse(Model):
    """How far an export is."""

    id: str = Field(description="The job's id")
    status: Literal["running", "done", "failed"] = Field(description="How far it is")
    files: list[ExportFileResponse] = Field(
        description="What it wrote: the file, and beside it what it is made of"
    )
    error: str | None = Field(description="Why it failed")


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
