"""What finance asks of the ledger: the statements of sql/, with what a reader chose as their parameters.

Three laws hold in all of them:

- Null is unknown. Sums and percentiles are over the rows that know the value, and null where none does.
- A correction is money and quantities, not a request: it is in sums, and in no count and no percentile.
- Money is added there, which is exact in DECIMAL, and divided in Python: engines disagree on what a quotient is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from weir.ledger.table import COMPONENTS, PHASES, TOKENS
from weir.reports.statements import Query, Source, Values, statement
from weir.reports.time_buckets import Unit, spans

UNKNOWN = (
    "(unknown)"  # parentheses are ours: a name that begins with one is written with a backslash in front
)
OTHER = "(other)"
NO_TAG = "(no tag)"
NO_OUTCOME = "unknown"
BREAKDOWNS = ("outcome", "model", "tenant", "feature", "function")
TOP_NAMES = 20
TOP_GROUPS = 8

# Cost per request is drawn between these, and below and above them.
COST_EDGES = tuple(Decimal(f"{digit}e{power}") for power in range(-7, 2) for digit in (1, 2, 5))

SUMMED = (
    *COMPONENTS, *PHASES, "billed_ms", "gb_s", "streamed_bytes", "input_tokens", "cached_input_tokens",
    "output_tokens", "reasoning_tokens", "saved_tokens", "saved_total",
)  # fmt: skip
# What a period's change is split by: what is charged by tokens and by time, with their quantities.
PERIOD_SUMS = (
    *(name for name in COMPONENTS if name.endswith("_tokens")), "cost_lambda_duration", "billed_ms", "input_tokens",
    "cached_input_tokens", "cache_write_tokens", "audio_input_tokens", "output_tokens", "audio_output_tokens",
)  # fmt: skip
# What is left of tokens where their parts are charged for by themselves (sql/source_rows.sql).
TOKEN_RESTS = ("fresh_tokens", "unnamed_tokens", "text_tokens", "told_tokens")
# What each charge is a multiple of; what no row counts has no quantity.
MULTIPLES = {
    "lambda_duration": "gb_s",
    "lambda_request": "billed_invocations",
    "lambda_streamed_bytes": "beyond_bytes",
    "api_gateway": "gateway_requests",
    "logs": "log_bytes",
    "input_tokens": "fresh_tokens",
    "cached_input_tokens": "cached_input_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "audio_input_tokens": "audio_input_tokens",
    "output_tokens": "text_tokens",
    "audio_output_tokens": "audio_output_tokens",
}
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which rows: from `start` (inclusive) to `end` (exclusive), aware; None or empty does not filter.

    `outcome` "unknown", and `model`, `tenant` and `function` "(unknown)", find rows without one. `model` finds what was
    asked for and what answered, `served_model` the one name that groups go by: what answered, else what was asked for.
    Each of `tags` is `name=value`, or `name` for any value; all must hold.
    """

    start: datetime
    end: datetime
    outcome: str | None = None
    model: str | None = None
    served_model: str | None = None
    tenant: str | None = None
    function: str | None = None
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Keep both in UTC: Python subtracts two times of one zone by their clocks, an hour off where those change."""
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))

    @property
    def days(self) -> tuple[date, date]:
        """The first and the last UTC day that the range touches."""
        return self.start.date(), (self.end - timedelta(microseconds=1)).date()


def requested(filters: Filters, zone: ZoneInfo = _UTC) -> Values:
    """The parameters of sql/requested.sql: the filters, and the reader's clock."""
    first, last = filters.days
    clock = spans(filters.start, filters.end, zone)
    tags = [tag.partition("=")[::2] for tag in filters.tags if "=" in tag]
    return {
        "first_day": first.isoformat(),
        "last_day": last.isoformat(),
        "start": timestamp(filters.start),
        "end": timestamp(filters.end),
        "until": [timestamp(span.until or filters.end) for span in clock],
        "shift_s": [str(round(span.offset.total_seconds())) for span in clock],
        "outcome": filters.outcome,
        "model": filters.model,
        "served_model": filters.served_model,
        "tenant": filters.tenant,
        "function": filters.function,
        "tag_named": [name for name, _ in tags],
        "tag_value": [value for _, value in tags],
        "tag_of_any_value": [tag for tag in filters.tags if "=" not in tag],
    }


def sums(filters: Filters, zone: ZoneInfo, unit: Unit, source: Source = "rows") -> Query:
    """Every sum and count of the report by hour or day."""
    return statement("sums", {**requested(filters, zone), "unit": unit.value, "summed": SUMMED}, source)


def latency(filters: Filters, zone: ZoneInfo, unit: Unit) -> Query:
    """Percentiles of each hour or day, from rows."""
    return statement("latency", {**requested(filters, zone), "unit": unit.value})


def steps(filters: Filters, zone: ZoneInfo, unit: Unit) -> Query:
    """How many requests lie in each step of a histogram, by hour or day, from roll-ups."""
    return statement("steps", {**requested(filters, zone), "unit": unit.value}, "rollups")


def largest(filters: Filters) -> Query:
    """What the dearest request cost, from roll-ups."""
    return statement("largest", requested(filters), "rollups")


def percentiles(filters: Filters) -> Query:
    """Percentiles over the whole range: latency, cost per request, and how far the estimates were off."""
    return statement("percentiles", requested(filters))


def breakdowns(filters: Filters, source: Source = "rows") -> Query:
    """The most expensive names of every breakdown, and the others together; one pass over the rows."""
    return statement("breakdowns", {**requested(filters), "names": str(TOP_NAMES)}, source)


def breakdown_of(dimension: int) -> str:
    """The name of a breakdown by the bits of `grouping`: a bit is 0 for the column that was grouped by."""
    bits = len(BREAKDOWNS)
    return next(
        name for n, name in enumerate(BREAKDOWNS) if dimension == (2**bits - 1) ^ (1 << (bits - 1 - n))
    )


def series(filters: Filters, zone: ZoneInfo, unit: Unit, by: str, source: Source = "rows") -> Query:
    """Cost by hour or day and by name: one of `BREAKDOWNS`, or `tag:NAME`."""
    tag = by.removeprefix("tag:") if by.startswith("tag:") else None
    return statement(
        "series",
        {
            **requested(filters, zone),
            "unit": unit.value,
            "dimension": "tag_name" if tag else f"{by}_name",
            "tag": tag,
            "names": str(TOP_GROUPS),
        },
        source,
    )


def distribution(filters: Filters) -> Query:
    """How many requests cost how much: the number of edges of `COST_EDGES` that each request reaches."""
    return statement(
        "distribution",
        {
            **requested(filters),
            "edge": [f"{edge:f}" for edge in COST_EDGES],
            "below": [str(n) for n in range(len(COST_EDGES))],
            "edges": str(len(COST_EDGES)),
        },
    )


def reasons(filters: Filters, source: Source = "rows") -> Query:
    """Why requests are not priced in full, and how many for each reason."""
    return statement("reasons", requested(filters), source)


def hours(filters: Filters, source: Source = "rows") -> Query:
    """Reports that rows account for in each UTC hour, and rows; to be held against another count."""
    return statement("hours", requested(filters), source)


def corrections(filters: Filters, until: datetime, limit: int) -> Query:
    """Corrections that were found in the range, and those found later, until `until`, for its requests."""
    return statement("corrections", {**_corrected(filters, until), "limit": str(limit)})


def corrected(filters: Filters, until: datetime) -> Query:
    """What these come to, by the month that they correct."""
    return statement("corrected", _corrected(filters, until))


def _corrected(filters: Filters, until: datetime) -> Values:
    wider = replace(filters, end=max(filters.end, until))
    return {
        **requested(wider),
        "range_start": timestamp(filters.start),
        "range_end": timestamp(filters.end),
    }


def booked(filters: Filters, request_ids: Sequence[str]) -> Query:
    """What is booked of some requests."""
    return statement("booked", {**requested(filters), "wanted": request_ids})


def versions(filters: Filters, source: Source = "rows") -> Query:
    """The price books that made the rows."""
    return statement("versions", requested(filters), source)


def spending(filters: Filters, zone: ZoneInfo, unit: Unit, source: Source = "rows") -> Query:
    """What was spent by hour or day, and nothing else."""
    return statement("spending", {**requested(filters, zone), "unit": unit.value}, source)


def phases(filters: Filters, zone: ZoneInfo) -> Query:
    """What latency costs, by day, model, tenant and function, and altogether."""
    charged = tuple(name for name in COMPONENTS if name.endswith("_tokens"))
    return statement(
        "phases",
        {
            **requested(filters, zone),
            "unit": Unit.DAY.value,
            "charged": ("cost_lambda_duration", *PHASES, *charged),
            "timed": ("init_ms", "wait_ms", "stream_ms", "validate_ms"),
            "names": str(TOP_NAMES),
        },
    )


def scenarios(filters: Filters, sooner_ms: int) -> Query:
    """Quantities and money of requests that are billed alike on a day."""
    charged = tuple(name for name in COMPONENTS if not name.endswith("_tokens"))
    return statement("scenarios", {**requested(filters), "charged": charged, "sooner_ms": str(sooner_ms)})


def tokens(filters: Filters, sizes: Sequence[int]) -> Query:
    """Tokens by day, model, tier, and how many of the sizes of input a request is beyond."""
    return statement(
        "tokens",
        {
            **requested(filters),
            "size": [str(size) for size in sizes],
            "below": [str(n) for n in range(len(sizes))],
            "sizes": str(len(sizes)),
            "counted": TOKENS,
            "charged": tuple(name for name in COMPONENTS if name.endswith("_tokens")),
        },
    )


def charges(filters: Filters) -> Query:
    """Quantities that AWS charges for, and what is booked of them, by day and place."""
    charged = tuple(name for name in COMPONENTS if not name.endswith(("_tokens", "_metering")))
    components = tuple(name.removeprefix("cost_") for name in charged)
    multiples = tuple(MULTIPLES.get(name, f"cost_{name}") for name in components)
    return statement(
        "charges",
        {
            **requested(filters),
            "charged": charged,
            "component": components,
            "multiple": multiples,
            "counted": tuple(name for name in multiples if not name.startswith("cost_")),
        },
    )


def charged_tokens(filters: Filters, sizes: Sequence[int]) -> Query:
    """Tokens of requests whose tokens are charged alike: of the same kinds, by day, model, tier and size of input."""
    return statement(
        "charged_tokens",
        {
            **requested(filters),
            "size": [str(size) for size in sizes],
            "below": [str(n) for n in range(len(sizes))],
            "sizes": str(len(sizes)),
            "counted": (*TOKENS, *TOKEN_RESTS),
            "charged": tuple(name for name in COMPONENTS if name.endswith("_tokens")),
        },
    )


def charged_beside(filters: Filters) -> Query:
    """What is booked beside requests, by charge: corrections, and what the ledger itself cost."""
    components = tuple(name.removeprefix("cost_") for name in COMPONENTS)
    return statement("charged_beside", {**requested(filters), "charged": COMPONENTS, "component": components})


def unpriced(filters: Filters) -> Query:
    """Why requests are not priced in full, with their tokens and what AWS charges for."""
    counted = (*TOKENS, "gb_s", "billed_invocations", "log_bytes")
    return statement("unpriced", {**requested(filters), "counted": counted})


def models(filters: Filters) -> Query:
    """The models that answered."""
    return statement("models", requested(filters))


def functions(filters: Filters) -> Query:
    """Each function's peaks, validation time and busiest minute."""
    return statement("functions", requested(filters))


def period(filters: Filters, by: str, source: Source = "rows") -> Query:
    """A period's money and what it was spent on, by name (one of `BREAKDOWNS`, or `tag:NAME`) and model."""
    tag = by.removeprefix("tag:") if by.startswith("tag:") else None
    return statement(
        "period",
        {
            **requested(filters),
            "dimension": "tag_name" if tag else f"{by}_name",
            "tag": tag,
            "summed": PERIOD_SUMS,
        },
        source,
    )


def timestamp(instant: datetime) -> str:
    """An instant as the table has it: UTC, milliseconds, no zone."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")
