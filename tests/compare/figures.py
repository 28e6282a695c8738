"""What a row consists of, and the arithmetic from answers to dollars. No clock, no process: values in, values out.

Dollars are those of 1,000 requests of 2.7 KB on Lambda, arm64, us-east-1, at the book's list prices: the mean duration
of right and wrong documents by their share, INIT for the share of requests that start cold, and the smallest memory
that suffices. A server of the article's steps is billed as what it would be there: one request in an environment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil
from statistics import mean

from tests.bench.tables import percentile
from tests.compare.callers import Answer
from tests.compare.documents import PROMPT_TOKENS, SMALL, WRONG_SHARE
from weir.pricing.price_book import PriceBook

COLD_SHARE = 0.05
REGION, ARCHITECTURE, MODEL = "us-east-1", "arm64", "gpt-4o-mini"
SMALLEST_MB, STEP_MB = 128, 64
MEMORY_MARGIN, PROCESSOR_MARGIN = 1.5, 1.25
PROCESSOR_MB = 1_769  # of memory have one processor


@dataclass(frozen=True, slots=True)
class Load:
    """One variant under one load; None is what does not exist for it, or was not seen."""

    size: str
    callers: int
    requests: int
    as_expected: int
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    validated_p50_ms: float | None
    last_p50_ms: float | None
    last_p99_ms: float | None
    per_s: float
    stall_ms: float | None
    cpu_ms_per_1k: float | None
    peak_mb: float | None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Knee:
    """Where the first token begins to come late: tokens a second for each processor that is used."""

    tokens_per_s: float
    tokens_per_core: float
    reached: bool  # False: the load ended before it


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds that one request takes, by what its document is."""

    right_s: float
    wrong_s: float

    @property
    def mean_s(self) -> float:
        """Of many requests, one in ten of them wrong."""
        return (1 - WRONG_SHARE) * self.right_s + WRONG_SHARE * self.wrong_s


@dataclass(frozen=True, slots=True)
class Bought:
    """Output tokens that the provider has sent of a right and of a wrong document, and what a wrong one has in all."""

    right: float
    wrong: float
    wrong_whole: float


@dataclass(frozen=True, slots=True)
class Dollars:
    """Of 1,000 requests."""

    gb_s: Decimal
    function: Decimal
    tokens: Decimal
    tokens_without_stop: Decimal


@dataclass(frozen=True, slots=True)
class Row:
    """Everything about one variant; `missing` says why there is nothing."""

    name: str
    group: str
    missing: str = ""
    loads: Mapping[tuple[str, int], Load] = field(default_factory=dict)
    init_ms: float | None = None
    peak_mb: float | None = None  # of one request at a time, since the process began
    sufficient_mb: int | None = None
    duration: Duration | None = None
    bought: Bought | None = None
    knee: Knee | None = None
    burst_us: float | None = None  # processor time of a token that comes as fast as it is read
    many_in_one: int = 1
    dollars: Dollars | None = None

    def load(self, callers: int, size: str = SMALL.name) -> Load | None:
        """That load; None where it was not run."""
        return self.loads.get((size, callers))

    @property
    def most(self) -> Load | None:
        """Of the small document, the load with the most callers."""
        loads = [load for (size, _), load in self.loads.items() if size == SMALL.name]
        return max(loads, key=lambda load: load.callers, default=None)


def load_of(
    size: str,
    callers: int,
    answers: Sequence[Answer],
    *,
    wall_s: float,
    cpu_s: float | None,
    tokens: float,
    stall_ms: float | None,
    peak_mb: float | None,
) -> Load:
    """The figures of many answers; times of right documents alone, since a wrong one ends early, or has no valid end."""
    good = [answer for answer in answers if answer.as_expected]
    right = [answer for answer in good if not answer.wrong]
    failed = [answer for answer in answers if not answer.as_expected]
    firsts = [answer.first_s * 1e3 for answer in right if answer.first_s is not None]
    validated = [answer.validated_s * 1e3 for answer in right if answer.validated_s is not None]
    lasts = [answer.last_s * 1e3 for answer in right if answer.last_s is not None]
    gaps = [answer.loop_gap_ms for answer in good if answer.loop_gap_ms is not None]
    return Load(
        size,
        callers,
        len(answers),
        len(good),
        _percentile(firsts, 50),
        _percentile(firsts, 99),
        _percentile(validated, 50),
        _percentile(lasts, 50),
        _percentile(lasts, 99),
        len(good) / wall_s,
        stall_ms if stall_ms is not None else max(gaps, default=None),
        None if cpu_s is None or not tokens else cpu_s * 1e3 / tokens * 1e3,
        peak_mb,
        failed[0].said if failed else "",
    )


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return percentile(values, percent) if values else None


def sufficient_mb(peak_mb: float, cores: float) -> int:
    """The smallest memory that holds the peak and half as much again, and whose share of a processor holds the work and
    a quarter; in steps that people set."""
    needed = max(peak_mb * MEMORY_MARGIN, cores * PROCESSOR_MB * PROCESSOR_MARGIN)
    return max(SMALLEST_MB, ceil(needed / STEP_MB) * STEP_MB)


@dataclass(frozen=True, slots=True)
class Prices:
    """What is used of the book, in dollars."""

    gb_s: Decimal
    request: Decimal
    input_mtok: Decimal
    output_mtok: Decimal


def prices_of(book: PriceBook, at: datetime | None = None) -> Prices:
    """List prices, of the day."""
    at = at or datetime.now(UTC)
    duration = book.aws_price("duration", region=REGION, architecture=ARCHITECTURE, at=at)
    request = book.aws_price("request", region=REGION, architecture=ARCHITECTURE, at=at)
    tokens = [book.token_price(kind, model=MODEL, at=at) for kind in ("input", "output")]
    assert duration is not None and request is not None and tokens[0] is not None and tokens[1] is not None
    return Prices(duration.amount, request.amount, tokens[0].amount, tokens[1].amount)


def gb_s_of_1000(memory_mb: int, duration_s: float, init_s: float, many_in_one: int = 1) -> Decimal:
    """Billed GB-seconds; requests that share an environment share what it is billed."""
    seconds = Decimal(str(round(duration_s / many_in_one + COLD_SHARE * init_s, 6)))
    return 1000 * Decimal(memory_mb) / 1024 * seconds


def dollars_of(row: Row, prices: Prices, memory_mb: int | None = None) -> Dollars | None:
    """What a row costs, at the memory that suffices or at another; None where something of it was not measured."""
    memory_mb = memory_mb or row.sufficient_mb
    if memory_mb is None or row.duration is None or row.bought is None or row.init_ms is None:
        return None
    # An environment of many requests stays: its starts are few, and shared.
    init_s = row.init_ms / 1e3 if row.many_in_one == 1 else 0.0
    gb_s = gb_s_of_1000(memory_mb, row.duration.mean_s, init_s, row.many_in_one)
    return Dollars(
        gb_s,
        gb_s * prices.gb_s + 1000 * prices.request,
        tokens_usd_of_1000(row.bought.right, row.bought.wrong, prices),
        tokens_usd_of_1000(row.bought.right, row.bought.wrong_whole, prices),
    )


def tokens_usd_of_1000(right: float, wrong: float, prices: Prices) -> Decimal:
    """Input and output; one document in ten is wrong."""
    output = Decimal(str(round((1 - WRONG_SHARE) * right + WRONG_SHARE * wrong, 6)))
    return 1000 * (PROMPT_TOKENS * prices.input_mtok + output * prices.output_mtok) / 1_000_000


def priced(row: Row, prices: Prices) -> Row:
    """The row with its dollars."""
    return replace(row, dollars=dollars_of(row, prices))


def mean_duration(answers: Sequence[tuple[bool, float]]) -> Duration | None:
    """Of (wrong, seconds) pairs; None where one of the kinds was not seen."""
    right = [seconds for is_wrong, seconds in answers if not is_wrong]
    wrong = [seconds for is_wrong, seconds in answers if is_wrong]
    return Duration(mean(right), mean(wrong)) if right and wrong else None
