"""The ledger as FOCUS 1.2, the FinOps Foundation's format for bills: one line a charge of a request.

One statement in Trino's subset, which DuckDB runs from the same text. Decided here:

- A line is one charge component of one row: the Lambda duration, its request fee, tokens by kind, and what else costs
  something. Phases of the duration are columns of its line (`x_...`), so they are counted once.
- The lines of a request add up to its total exactly. A component that is unknown has no line, since FOCUS has no null
  cost and unknown is not 0; `x_Unpriced` says on the request's other lines what is missing.
- The charge period is the hour in which AWS and the ledger book the request; the request's own time is `x_AtUtc`.
- Billed, effective and contracted cost are the same amount: what the row was charged, contract prices included. The
  ledger keeps no unit prices, so they are cost by quantity, rounded to the places that a price list has. A SkuPriceId
  is the SKU with that price: the same SKU at another price (another day, tier or contract) has another.
- List cost and list price are those by what the list asks for the same (list_prices.py).
- Provider, publisher and issuer are one name for a charge: 1.2 demands BilledCost 0 where another party issues the
  invoice (BilledCost-C-005-C), and these charges are paid to whoever provides the service.
- What the ledger itself cost has lines of its own, by function, hour and charge, each the price of one.
- A correction of a closed month is billed in the month in which it was found (ChargeClass `Correction`), for the hour
  of the request that it corrects.

https://focus.finops.org/focus-specification/v1-2/
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from weir.ledger.metering import TAG
from weir.ledger.sql import text_literal
from weir.ledger.table import MONEY, PHASES
from weir.reports.queries import Filters, requested
from weir.reports.statements import selection

NOT_RECORDED = "not recorded"

_MODEL = "coalesce(model_returned, model)"
_MODEL_OF_ROW = "coalesce(requested.model_returned, requested.model)"
_GIB = "1073741824e0"
_FREE_STREAMED_BYTES = 6 * 1024**2  # of a response: only what is beyond is charged
_AT = "coalesce(corrects_at, at_utc)"
_ACCOUNT = f"coalesce(split_part(function_arn, ':', 5), '{NOT_RECORDED}')"


@dataclass(frozen=True, slots=True)
class Service:
    """Who provides a charge, and under which of FOCUS's categories."""

    name: str
    category: str
    subcategory: str


_LAMBDA = Service("AWS Lambda", "Compute", "Serverless Compute")
_API_GATEWAY = Service("Amazon API Gateway", "Integration", "API Management")
_LOGS = Service("Amazon CloudWatch", "Management and Governance", "Observability")
_S3 = Service("Amazon S3", "Storage", "Object Storage")
_FIREHOSE = Service("Amazon Data Firehose", "Analytics", "Streaming Analytics")
_ATHENA = Service("Amazon Athena", "Analytics", "Data Processing")
_INFERENCE = Service("Language model inference", "AI and Machine Learning", "Generative AI")


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of charge: its component, its unit, and as SQL its quantity and what tells its SKU apart.

    `places` is how many decimals a price of one unit has in a price list. Where the ledger has no quantity for a charge
    (None, or null in a row), the charge is what one request was billed.
    """

    component: str
    meter: str
    service: Service
    unit: str
    quantity: str | None
    sku: str
    places: int = 10
    charge: str | None = None  # of the ledger's own cost: the tag that names it


def _mtok(tokens: str) -> str:
    return f"CAST({tokens} AS decimal(20,0)) * CAST('0.000001' AS decimal(7,6))"


def _gib(count: str) -> str:
    return f"round(CAST({count} AS double) / {_GIB}, 15)"


_BILLED = "coalesce(architecture, 'unknown') || '/' || coalesce(initialization_type, 'on-demand')"
_BEYOND = f"CASE WHEN entry = 'request' THEN greatest(streamed_bytes - {_FREE_STREAMED_BYTES}, 0) END"
_FRESH = (
    "input_tokens - coalesce(cached_input_tokens, 0) - coalesce(cache_write_tokens, 0)"
    " - coalesce(audio_input_tokens, 0)"
)

LINES = (
    Line("lambda_duration", "Compute", _LAMBDA, "GB-Seconds", "gb_s", f"'lambda/duration/' || {_BILLED}"),
    Line("lambda_request", "Requests", _LAMBDA, "Requests", "billed_invocations", "'lambda/request'"),
    Line(
        "lambda_streamed_bytes",
        "Streamed bytes beyond 6 MiB",
        _LAMBDA,
        "GiB",
        _gib(_BEYOND),
        "'lambda/streamed-bytes'",
        places=8,
    ),
    Line(
        "lambda_ephemeral_storage",
        "Ephemeral storage",
        _LAMBDA,
        "Requests",
        None,
        "'lambda/ephemeral-storage'",
    ),
    Line("lambda_restore", "SnapStart restore", _LAMBDA, "Requests", None, "'lambda/snapstart-restore'"),
    Line("api_gateway", "REST requests", _API_GATEWAY, "Requests", None, "'api-gateway/rest-request'"),
    Line("logs", "Log ingestion", _LOGS, "GiB", _gib("log_bytes"), "'cloudwatch/logs-ingestion'", 8),
    *(
        Line(
            component,
            meter,
            _INFERENCE,
            "1000000 Tokens",
            _mtok(tokens),
            f"'model/' || coalesce({_MODEL}, 'unknown') || '/{component.replace('_', '-')}'",
            places=8,
        )
        for component, meter, tokens in (
            ("input_tokens", "Input tokens", _FRESH),
            ("cached_input_tokens", "Cached input tokens", "cached_input_tokens"),
            ("cache_write_tokens", "Input tokens written to a cache", "cache_write_tokens"),
            ("audio_input_tokens", "Audio input tokens", "audio_input_tokens"),
            ("output_tokens", "Output tokens", "output_tokens - coalesce(audio_output_tokens, 0)"),
            ("audio_output_tokens", "Audio output tokens", "audio_output_tokens"),
        )
    ),
    *(
        Line(
            "metering",
            f"The ledger: {meter}",
            service,
            "Requests",
            None,
            f"'metering/{charge}'",
            charge=charge,
        )
        for charge, meter, service in (
            ("lambda_duration", "compute", _LAMBDA),
            ("lambda_request", "invocations", _LAMBDA),
            ("logs", "log ingestion", _LOGS),
            ("s3_get", "reads", _S3),
            ("s3_put", "writes and listings", _S3),
            ("firehose", "log delivery", _FIREHOSE),
            ("athena", "bytes scanned", _ATHENA),
        )
    ),
)


def charged_sql(filters: Filters) -> tuple[str, list[str]]:
    """What tells the prices of a range apart: model, service tier, Region, architecture, UTC day."""
    return selection(
        f"SELECT DISTINCT {_MODEL}, service_tier, region, architecture, CAST({_AT} AS date) FROM requested",
        requested(filters),
    )


# Filled by whoever runs the statement.
LIST_RATIO = (
    "CREATE TEMP TABLE list_ratio (component varchar, model varchar, service_tier varchar, region varchar, "
    f"architecture varchar, day date, ratio {MONEY})"
)


def focus_sql(
    filters: Filters, models: Iterable[str], provider_of: Callable[[str], str | None]
) -> tuple[str, list[str]]:
    """The lines of a range as one statement over `requested` and `list_ratio`, and its parameters."""
    known = {model: provider for model in sorted(models) if (provider := provider_of(model)) is not None}
    branches = [_branch(line, known) for line in LINES]
    return selection("\nUNION ALL\n".join(branches), requested(filters))


def _branch(line: Line, providers: dict[str, str]) -> str:
    quantity = f"CAST({line.quantity} AS {MONEY})" if line.quantity else f"CAST(NULL AS {MONEY})"
    selected = ", ".join(f'{value} AS "{name}"' for name, value in _columns(line, providers).items())
    cost = f"cost_{line.component}"
    own = f" AND element_at(tags, '{TAG}') = '{line.charge}'" if line.charge else ""
    return (
        f"SELECT {selected} FROM (SELECT requested.*, {cost} AS cost, {quantity} AS quantity, "
        f"coalesce(ratio, CAST(1 AS {MONEY})) AS ratio FROM requested "
        f"LEFT JOIN list_ratio ON component = '{line.component}' "
        f"AND list_ratio.model IS NOT DISTINCT FROM {_MODEL_OF_ROW} "
        "AND list_ratio.service_tier IS NOT DISTINCT FROM requested.service_tier "
        "AND list_ratio.region IS NOT DISTINCT FROM requested.region "
        "AND list_ratio.architecture IS NOT DISTINCT FROM requested.architecture "
        f"AND list_ratio.day = CAST({_AT} AS date) "
        f"WHERE {cost} IS NOT NULL{own}) AS charge WHERE cost <> 0 OR quantity <> 0"
    )


def _columns(line: Line, providers: dict[str, str]) -> dict[str, str]:
    """Each column of a line and its SQL, in FOCUS's order; `cost` and `quantity` are the line's own."""
    tokens = line.service is _INFERENCE
    provider = _provider(providers) if tokens else "'AWS'"
    # A request's charge without a quantity is one request's; a correction's is a difference, and may be none.
    known = "(quantity <> 0 OR entry = 'correction')"
    quantity = f"CASE WHEN {known} THEN coalesce(quantity, CAST(0 AS {MONEY})) ELSE CAST(1 AS {MONEY}) END"
    unit = f"CASE WHEN {known} THEN '{line.unit}' ELSE 'Requests' END"
    each = f"CAST(round(CAST(cost AS double) / CAST(quantity AS double), {line.places}) AS {MONEY})"
    price = f"CASE WHEN entry = 'correction' THEN NULL WHEN quantity <> 0 THEN {each} ELSE cost END"
    written = f"regexp_replace(CAST({price} AS varchar), '\\.?0+$', '')"
    asked = f"CAST(round(CAST({price} AS double) * CAST(ratio AS double), {line.places}) AS {MONEY})"
    list_price = f"CASE WHEN ratio = 1 THEN {price} ELSE {asked} END"
    list_cost = (
        f"CASE WHEN ratio = 1 THEN cost ELSE CAST(round(cost * CAST(ratio AS double), 15) AS {MONEY}) END"
    )
    on_lambda = line.component == "lambda_duration"
    return {
        "AvailabilityZone": _NO_TEXT,
        "BilledCost": "cost",
        "BillingAccountId": f"'{NOT_RECORDED}'" if tokens else _ACCOUNT,
        "BillingAccountName": f"'{NOT_RECORDED}'" if tokens else _ACCOUNT,
        "BillingAccountType": "'Account'",
        "BillingCurrency": "'USD'",
        "BillingPeriodEnd": _utc("date_trunc('month', at_utc) + interval '1' month"),
        "BillingPeriodStart": _utc("date_trunc('month', at_utc)"),
        "ChargeCategory": "'Usage'",
        "ChargeClass": "CASE WHEN entry = 'correction' THEN 'Correction' END",
        "ChargeDescription": f"'{line.service.name}: {line.meter}'",
        "ChargeFrequency": "'Usage-Based'",
        "ChargePeriodEnd": _utc(f"date_trunc('hour', {_AT}) + interval '1' hour"),
        "ChargePeriodStart": _utc(f"date_trunc('hour', {_AT})"),
        "CommitmentDiscountStatus": _NO_TEXT,
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "ContractedCost": "cost",
        "ContractedUnitPrice": price,
        "EffectiveCost": "cost",
        "InvoiceId": _NO_TEXT,
        "InvoiceIssuerName": provider,
        "ListCost": list_cost,
        "ListUnitPrice": list_price,
        "PricingCategory": "'Standard'",
        "PricingCurrency": "'USD'",
        "PricingCurrencyContractedUnitPrice": price,
        "PricingCurrencyEffectiveCost": "cost",
        "PricingCurrencyListUnitPrice": list_price,
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ProviderName": provider,
        "PublisherName": provider,
        "RegionId": _NO_TEXT if tokens else "region",
        "RegionName": _NO_TEXT if tokens else "region",
        "ResourceId": _NO_TEXT if tokens else "function_arn",
        "ResourceName": _NO_TEXT if tokens else "CASE WHEN function_arn IS NOT NULL THEN function END",
        "ResourceType": _NO_TEXT if tokens else "CASE WHEN function_arn IS NOT NULL THEN 'Function' END",
        "ServiceCategory": f"'{line.service.category}'",
        "ServiceName": f"'{line.service.name}'",
        "ServiceSubcategory": f"'{line.service.subcategory}'",
        "SkuId": line.sku,
        "SkuMeter": f"'{line.meter}'",
        "SkuPriceDetails": _NO_TEXT,
        "SkuPriceId": f"{line.sku} || coalesce('/' || {written}, '')",
        "SubAccountId": _NO_TEXT,
        "SubAccountName": _NO_TEXT,
        "SubAccountType": _NO_TEXT,
        "Tags": _TAGS,
        "x_RequestId": "request_id",
        "x_Component": f"'{line.component}'",
        "x_AtUtc": _AT,
        "x_Corrects": "corrects",
        "x_Outcome": "outcome",
        "x_JoinStatus": "join_status",
        "x_Tenant": "tenant",
        "x_Feature": "element_at(tags, 'feature')",
        "x_Function": "function",
        "x_Model": _MODEL,
        "x_TtftMs": "ttft_ms",
        "x_DurationMs": "duration_ms",
        "x_BilledMs": "billed_ms",
        "x_MemoryMb": "memory_mb",
        "x_Attempts": "attempts",
        "x_UsageSource": "usage_source",
        "x_IsEstimate": "is_estimate",
        "x_Unpriced": "json_format(CAST(unpriced AS json))",
        "x_PriceBookVersion": "price_book_version",
        **{f"x_{_pascal(name)}": name if on_lambda else _NO_MONEY for name in PHASES},
    }


_NO_TEXT = "CAST(NULL AS varchar)"
_NO_MONEY = f"CAST(NULL AS {MONEY})"
# What a caller tags stays as it is; ours have a prefix, as FOCUS asks of tags that a provider adds. The two objects are
# joined as text: DuckDB's map_concat is slow.
_CALLERS = "json_format(CAST(tags AS json))"
_OURS = "json_format(CAST(map(ARRAY['weir/request-id', 'weir/tenant'], ARRAY[request_id, tenant]) AS json))"
_TAGS = (
    f"CASE WHEN cardinality(tags) > 0 THEN substr({_CALLERS}, 1, length({_CALLERS}) - 1) || ',' "
    f"|| substr({_OURS}, 2) ELSE {_OURS} END"
)


def _utc(timestamp: str) -> str:
    return f"({timestamp}) AT TIME ZONE 'UTC'"


def _provider(providers: dict[str, str]) -> str:
    if not providers:
        return f"'{NOT_RECORDED}'"
    cases = " ".join(
        f"WHEN {text_literal(model)} THEN {text_literal(name)}" for model, name in providers.items()
    )
    return f"CASE {_MODEL} {cases} ELSE '{NOT_RECORDED}' END"


def _pascal(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))
