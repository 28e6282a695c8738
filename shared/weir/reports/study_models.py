"""The API's models of what latency costs and of what if."""

from typing import Any, Literal

from pydantic import Field

from weir.reports.response_models import LOWER_BOUND, Instant, Money, RangeResponse
from weir.reports.row_models import Model, RowResponse

LISTED = Field(
    description="Query of /api/requests, and of the page, that lists them; null where there is no request"
)


class PhaseCostResponse(Model):
    """A part of the billed time: what it cost, how long it was, and what a millisecond of it cost."""

    phase: Literal["cold_start", "waiting", "streaming", "validating", "rest"] = Field(
        description="What the time went to"
    )
    cost: Money | None = Field(description="Its share of the charge for duration; null is unknown")
    ms: float | None = Field(description="Milliseconds of all requests; null is unknown")
    cost_per_ms: Money | None = Field(description="What one of these milliseconds cost on average")
    share_percent: float | None = Field(description="Of the group's total")
    share_of_range_percent: float | None = Field(description="Of the range's total")
    requests_query: str | None = Field(
        description="Query of the group's requests, those first of which this phase cost most"
    )


class LatencyGroupResponse(Model):
    """What the time of a group's requests cost, beside its tokens on the same scale."""

    name: str = Field(description="A day of the zone, a model, a tenant, a function; or total")
    requests: int = Field(description="Requests of the group")
    total: Money = Field(description="All charges; corrections included")
    is_lower_bound: bool = LOWER_BOUND
    duration: Money | None = Field(description="The charge for duration; the phases sum to it")
    tokens: Money | None = Field(description="The charges for tokens; null is unknown")
    billed_ms: int | None = Field(description="Milliseconds that Lambda billed")
    waiting_unknown: int = Field(description="Billed requests of which nobody measured how long they waited")
    requests_query: str | None = LISTED
    phases: list[PhaseCostResponse] = Field(description="What the charge for duration went to")


class LatencyResponse(Model):
    """What latency costs."""

    range: RangeResponse = Field(description="What was asked for")
    currency: Literal["USD"] = Field(description="Of every amount")
    total: LatencyGroupResponse = Field(description="The whole range")
    by_day: list[LatencyGroupResponse] = Field(description="By day of the zone's calendar")
    by_model: list[LatencyGroupResponse] = Field(
        description="By the model that answered; the dearest time first"
    )
    by_tenant: list[LatencyGroupResponse] = Field(description="By tenant; the dearest time first")
    by_function: list[LatencyGroupResponse] = Field(description="By function; the dearest time first")


class PartsResponse(Model):
    """What a change is made of; the parts sum to it exactly."""

    volume: Money = Field(description="More requests, of the same mix and cost")
    mix: Money = Field(description="Other shares of names and models, new ones and those that are gone")
    tokens: Money = Field(description="More tokens a request, at the price before")
    latency: Money = Field(description="More billed milliseconds a request, at the price before")
    price: Money = Field(description="What tokens and milliseconds cost; memory and processor are in it")
    other: Money = Field(description="What is charged by the request, by bytes and by log lines")
    corrections: Money = Field(description="What was found of closed months in each period")


class PeriodResponse(Model):
    """One period's sums."""

    requests: int = Field(description="Requests of the period")
    total: Money = Field(description="What they cost; corrections included")
    is_lower_bound: bool = LOWER_BOUND


class MovedResponse(Model):
    """How a name's cost changed."""

    name: str = Field(description="The tenant, model, ...; `(unknown)` and `(no tag)` are without one")
    before: PeriodResponse = Field(description="The period before")
    after: PeriodResponse = Field(description="The range")
    change: Money = Field(description="What it cost more; below 0, less")
    percent: float | None = Field(description="Of what it cost before; null where that was nothing")
    parts: PartsResponse = Field(description="What the change is made of, within this name")


class OthersMovedResponse(Model):
    """The names that are not listed."""

    groups: int = Field(description="How many")
    change: Money = Field(description="What all of them cost more")


class CompareResponse(Model):
    """Two periods held against each other."""

    before_range: RangeResponse = Field(description="The period before")
    range: RangeResponse = Field(description="What was asked for")
    currency: Literal["USD"] = Field(description="Of every amount")
    by: str = Field(description="What it is split by")
    before: PeriodResponse = Field(description="The period before")
    after: PeriodResponse = Field(description="The range")
    change: Money = Field(description="What it cost more; below 0, less")
    percent: float | None = Field(description="Of what it cost before; null where that was nothing")
    parts: PartsResponse = Field(description="What the change is made of")
    groups: list[MovedResponse] = Field(description="The ten names that moved most")
    others: OthersMovedResponse = Field(description="The others")


class ChargeLineResponse(Model):
    """One product: a quantity by a unit price is an amount."""

    component: str = Field(description="The charge that it is part of")
    id: str | None = Field(
        description="Of a sum's line: its name, which /api/charges/requests takes as `line`; null of one request's"
    )
    entry: Literal["request", "correction", "metering"] = Field(
        description="What is charged: requests; corrections of closed months; what the ledger itself cost"
    )
    attempt: int | None = Field(
        description="Of a request's tokens, from 1; null in a sum, and of AWS's charges"
    )
    quantity: str | None = Field(description="How many units; null where the rows do not have it")
    unit: str | None = Field(description="What is counted; null without a price")
    unit_price: Money | None = Field(
        description="What one unit costs, in the tier that holds; null without a price"
    )
    amount: Money | None = Field(
        description="Their product; of a request rounded to 15 places, of a sum exact"
    )
    booked: Money | None = Field(
        description="Of a sum: what its rows have booked, each rounded, at the price of its day's book; null where "
        "nothing is, or where it stands with another line of the same charge"
    )
    item: str | None = Field(description="The price record's item")
    requests: int = Field(description="How many requests are in it")
    model: str | None = Field(description="Of tokens: the model that answered")
    seller: str | None = Field(
        description="Of a request's tokens: who sold them; null where the name alone tells"
    )
    tier: str | None = Field(description="Of tokens: the service tier; null is the default one")
    region: str | None = Field(description="Of AWS's charges")
    architecture: str | None = Field(description="Of the charge for duration")
    source: str | None = Field(description="Who says what a unit costs")
    valid_from: str | None = Field(description="The day on which that price began; null: it always held")
    valid_to: str | None = Field(description="The day on which it ends, not included; null: it holds")
    price_book_version: str = Field(description="The price book with that record")
    requests_query: str | None = Field(
        description="Of a sum: query of /api/charges/requests that lists its requests; null of the ledger's own cost"
    )


class DiffersResponse(Model):
    """A charge whose lines do not sum to what is booked: another price book made it, or records are gone."""

    component: str = Field(description="The charge")
    booked: Money | None = Field(description="As it stands in the row; null: it was not known")
    explained: Money | None = Field(description="What its lines sum to; null: there are none any more")


class ExplainedResponse(Model):
    """One request's charges, taken apart."""

    request_id: str = Field(description="Lambda's id")
    at: Instant = Field(description="When it was reported")
    total: Money = Field(description="As it is booked")
    booked_with: str = Field(description="The price book that made the row")
    explained_with: str | None = Field(description="The price book of the lines; null: its records are gone")
    lines: list[ChargeLineResponse] = Field(description="The products that its price is the sum of")
    differs: list[DiffersResponse] = Field(description="Charges whose lines do not sum to what is booked")
    unpriced: list[str] = Field(description="Why something is not priced, or not in full")


class ComponentSumResponse(Model):
    """A charge of the range: booked, and what its lines come to."""

    component: str = Field(description="The charge")
    booked: Money = Field(
        description="The rows' sum, each rounded to 15 places; the report's, to the last digit"
    )
    explained: Money = Field(description="The lines' sum of amounts, at today's price book")
    corrections: Money = Field(description="Of what is booked: corrections of closed months")


class ChargesResponse(Model):
    """What the sums of a range are made of."""

    range: RangeResponse = Field(description="What was asked for")
    currency: Literal["USD"] = Field(description="Of every amount")
    total: Money = Field(description="What all lines have booked: the report's total, to the last digit")
    lines: list[ChargeLineResponse] = Field(description="What has one price is one line; the dearest first")
    components: list[ComponentSumResponse] = Field(description="Each charge, booked and explained")


class ShareResponse(Model):
    """A request's share of a line."""

    row: RowResponse = Field(description="The request, or the correction")
    quantity: str | None = Field(description="Of the line's unit; null where the row does not have it")
    amount: Money | None = Field(description="Quantity by the line's unit price, not rounded")
    booked: Money | None = Field(description="What the row has booked of it; as `booked` of the line")


class ChargeRequestsResponse(Model):
    """The requests that a line is made of; quantities, amounts and what is booked add up to it to the last digit."""

    range: RangeResponse = Field(description="What was asked for")
    currency: Literal["USD"] = Field(description="Of every amount")
    line: ChargeLineResponse = Field(description="The whole line, whatever the page")
    rows: list[ShareResponse] = Field(description="Those first of which most is booked")
    next_cursor: str | None = Field(description="Where the next page begins; null on the last")


class UnpricedItemResponse(Model):
    """One reason why requests are not priced in full."""

    reason: str = Field(description="As rows give it; a missing price is one reason for all days")
    requests: int = Field(description="Requests that have it")
    first_at: Instant = Field(description="The first of them")
    last_at: Instant = Field(description="The last of them")
    input_tokens: int | None = Field(description="What they read; null where nobody counted")
    output_tokens: int | None = Field(description="What they wrote; null where nobody counted")
    model: str | None = Field(description="The model that has no price; null for other reasons")
    nearest: str | None = Field(
        description="The listed model, or the place of AWS's, whose name is most like it"
    )
    at_nearest: Money | None = Field(
        description="What was used would cost so much at its price; null is unknown"
    )
    prices: dict[str, str] = Field(
        description="Its prices, USD a million tokens: input, cached_input, output"
    )


class UnpricedQueueResponse(Model):
    """What is not priced, as a queue of work."""

    range: RangeResponse = Field(description="What was asked for")
    currency: Literal["USD"] = Field(description="Of every amount")
    items: list[UnpricedItemResponse] = Field(description="The reasons, those with most requests first")


class OverrideResponse(Model):
    """A record that would price a model, checked; nothing is changed by asking for it."""

    model: str = Field(description="The model")
    requests: int = Field(description="Requests of the range that it would price")
    adds: Money = Field(description="What their tokens would cost with it")
    override: dict[str, Any] = Field(description="As WEIR_PRICE_OVERRIDES takes it")


class UnknownResponse(Model):
    """Why it is not known what some requests would cost."""

    reason: str = Field(description="As rows give reasons; for all days at once")
    requests: int = Field(description="Requests of which something is not known for it")


class ScenarioResponse(Model):
    """One thing supposed to be another, by itself."""

    name: str = Field(
        description="ttft, memory, architecture, snapstart, provisioned, early_stop_off, retries_off, cache, "
        "managed_instances, model, region"
    )
    title: str = Field(description="In words")
    parameters: dict[str, str | None] = Field(description="What was supposed, by the query's names")
    status: Literal["known", "partial", "unknown", "not_offered"] = Field(
        description="partial: of some requests it is not known; not_offered: the size fits no function"
    )
    difference: Money | None = Field(description="What the range would have cost more; null is unknown")
    after: Money | None = Field(description="What the range would have cost; null is unknown")
    percent: float | None = Field(description="The difference, of what the range cost")
    requests_changed: int = Field(description="Requests that would have cost something else")
    requests_unknown: int = Field(description="Requests of which something is not known")
    unknown: list[UnknownResponse] = Field(description="Why")
    assumptions: list[str] = Field(description="What has to hold for it, in words")


class MemorySizeResponse(Model):
    """A size that a function could have."""

    memory_mb: int = Field(description="MB")
    cpu_share: float = Field(description="Of a processor: one at 1,769 MB")
    fits: bool | None = Field(description="A quarter larger than the peak; null where no peak is known")
    added_pause_ms: float | None = Field(
        description="What it adds to the validation of all but the slowest 5 % of requests; null is unknown"
    )


class MemoryResponse(Model):
    """A function's peak of memory, and which size it could have."""

    function: str = Field(description="Its name")
    requests: int = Field(description="Of the range")
    memory_mb: int | None = Field(description="Its size; the largest, where it had several")
    peak_mb: int | None = Field(description="The highest peak of its requests; null is unknown")
    peak_known: int = Field(description="Requests whose peak is known")
    validate_ms_p95: float | None = Field(description="Of the time that validation took in a request")
    recommended_mb: int | None = Field(
        description="The smallest that fits and adds no more than 50 ms to the validation of 95 % of requests"
    )
    sizes: list[MemorySizeResponse] = Field(description="The usual sizes")


class PricedByResponse(Model):
    """Whose prices these are."""

    version: str = Field(description="Of the price book that scenarios are priced with")
    versions_in_rows: list[str] = Field(description="The price books that made the rows of this range")


class WhatIfResponse(Model):
    """What a range would have cost."""

    range: RangeResponse = Field(description="What was asked for")
    as_of: Instant | None = Field(description="Whatever had arrived by then is in it; null without any row")
    currency: Literal["USD"] = Field(description="Of every amount")
    requests: int = Field(description="Requests of the range")
    total: Money = Field(description="What the range cost")
    is_lower_bound: bool = LOWER_BOUND
    price_book: PricedByResponse = Field(description="Whose prices these are")
    scenarios: list[ScenarioResponse] = Field(description="Each by itself: they do not add up")
    memory: list[MemoryResponse] = Field(description="Of each function")
    models: list[str] = Field(description="The models that answered in the range")
    regions: list[str] = Field(description="Regions that the price book knows")
