"""What one request cost: exact sums, and nothing made up where something is unknown."""

import csv
from dataclasses import fields
from datetime import UTC, datetime
from decimal import ROUND_UP, Context, Decimal, localcontext
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.bill import line_cost
from tests.corpora import corpus
from weir.pricing.cost import (
    API_GATEWAY_METERED_BYTES,
    FREE_STREAMED_BYTES,
    Cost,
    TokensBought,
    UsageQuantities,
    price_request,
    price_saved,
)
from weir.pricing.money import charge, plain, split
from weir.pricing.price_book import PriceBook
from weir.pricing.token_charges import TokenCharges
from weir.pricing.usage import Usage
from weir.reports.report_math import charges_of

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BOOK = PriceBook.load()
TOKENS = (TokensBought("gpt-4o-mini", Usage(1000, 500, 0, 0, 1500, "provider")),)
USED = UsageQuantities(
    at=NOW,
    billed_ms=1600,
    memory_mb=512,
    architecture="arm64",
    region="us-east-1",
    initialization_type="on-demand",
    ephemeral_storage_mb=512,
    max_concurrency=1,
    front="function_url",
    duration_ms=1599.6,
    init_ms=0.0,
    restores=0,
    wait_ms=400.0,
    stream_ms=900.0,
    validate_ms=20.0,
    streamed_bytes=20_000,
    log_bytes=0,
    tokens=TOKENS,
)


def parts(group: Any) -> list[Decimal]:
    amounts = [getattr(group, column.name) for column in fields(group)]
    return [amount for amount in amounts if amount is not None]


def test_the_published_lines_of_a_lambda_bill_reproduce_exactly() -> None:
    with corpus("focus_aws_lambda_rows.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 9
    for line in lines:
        cost = line_cost(Decimal(line["PricingQuantity"]), Decimal(line["ListUnitPrice"]))
        assert cost == Decimal(line["BilledCost"]), line["ChargeDescription"]


def test_the_book_has_the_list_prices_of_the_published_lines_of_its_region() -> None:
    with corpus("focus_aws_lambda_rows.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["RegionId"] == "us-east-1"]
    assert len(lines) == 2
    for line in lines:
        at = datetime.fromisoformat(line["ChargePeriodStart"]).replace(tzinfo=UTC)
        item = "duration" if "Compute" in line["ChargeDescription"] else "request"
        price = BOOK.aws_price(item, region=line["RegionId"], architecture="x86_64", at=at)
        assert price is not None
        assert price.amount == Decimal(line["ListUnitPrice"])


def test_a_request_costs_its_gb_seconds_its_invocation_and_its_tokens() -> None:
    cost = price_request(USED, BOOK)
    assert cost.as_json() == {
        "components": {
            "lambda_duration": "0.00001066672",  # 1.6 s x 0.5 GB x 0.0000133334
            "lambda_request": "0.0000002",
            "lambda_streamed_bytes": "0",
            "lambda_ephemeral_storage": "0",
            "lambda_restore": "0",
            "api_gateway": "0",
            "logs": "0",
            "input_tokens": "0.00015",
            "cached_input_tokens": "0",
            "cache_write_tokens": "0",
            "audio_input_tokens": "0",
            "output_tokens": "0.0003",
            "audio_output_tokens": "0",
        },
        "phases": {
            "cold_start": "0",
            "waiting": "0.00000266668",
            "streaming": "0.00000600003",
            "validating": "0.000000133334",
            "rest": "0.000001866676",
        },
        "total": "0.00046086672",
        "currency": "USD",
        "price_book_version": BOOK.version,
        "unpriced": [],
        "is_estimate": False,
    }


def test_bytes_are_charged_beyond_six_mebibytes_of_a_response() -> None:
    def streamed(count: int | None) -> Decimal | None:
        return price_request(USED._replace(streamed_bytes=count), BOOK).components.lambda_streamed_bytes

    assert streamed(FREE_STREAMED_BYTES) == 0
    assert streamed(FREE_STREAMED_BYTES + 1) == Decimal("7E-12").quantize(Decimal("1e-15")) + Decimal(
        "4.51E-13"
    )
    assert streamed(FREE_STREAMED_BYTES + 1024**3) == Decimal("0.008")
    assert streamed(None) is None


def test_cached_input_is_charged_at_its_own_price_and_not_twice() -> None:
    cached = USED._replace(tokens=(TokensBought("gpt-4o-mini", Usage(1000, 0, 400, 0, 1000, "provider")),))
    components = price_request(cached, BOOK).components
    assert components.input_tokens == Decimal("0.00009")  # 600 x 0.15 / 1M
    assert components.cached_input_tokens == Decimal("0.00003")  # 400 x 0.075 / 1M


def test_cached_input_of_a_model_that_sells_none_costs_what_input_costs() -> None:
    price = {"input": [{"price": "2"}], "output": [{"price": "4"}]}
    book = PriceBook.load({"models": [{"model": "own", "records": [{"prices": price}]}]})
    cost = price_request(
        USED._replace(tokens=(TokensBought("own", Usage(1_000_000, 0, 250_000, 0, None)),)), book
    )
    assert (cost.components.input_tokens, cost.components.cached_input_tokens) == (
        Decimal("1.5"),
        Decimal("0.5"),
    )


def test_the_output_price_follows_the_tier_of_the_input() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)

    def output(input_tokens: int) -> Decimal | None:
        tokens = (TokensBought("claude-sonnet-4-6", Usage(input_tokens, 1_000_000, 0, 0, None, "provider")),)
        return price_request(USED._replace(at=at, tokens=tokens), BOOK).components.output_tokens

    assert output(200_000) == 15
    assert output(200_001) == Decimal("22.5")


def test_attempts_are_summed_each_at_the_price_of_the_model_that_answered() -> None:
    both = USED._replace(tokens=(*TOKENS, TokensBought("gpt-4o", Usage(1000, 500, 0, 0, 1500, "provider"))))
    components = price_request(both, BOOK).components
    assert components.input_tokens == Decimal("0.00015") + Decimal("0.0025")
    assert components.output_tokens == Decimal("0.0003") + Decimal("0.005")


def test_a_request_that_never_called_the_provider_bought_no_tokens_and_knows_it() -> None:
    cost = price_request(USED._replace(tokens=()), BOOK)
    assert cost.components.input_tokens == cost.components.output_tokens == 0
    assert cost.unpriced == ()


UNKNOWN = Usage()
UNPRICED: list[tuple[str, dict[str, Any], str, str]] = [
    ("billed time", {"billed_ms": None}, "lambda_duration", "billed_duration_unknown"),
    ("negative billed time", {"billed_ms": -1}, "lambda_duration", "billed_duration_negative"),
    ("memory", {"memory_mb": None}, "lambda_duration", "memory_unknown"),
    ("architecture", {"architecture": None}, "lambda_duration", "architecture_unknown"),
    ("region", {"region": None}, "lambda_request", "no_price:request:unknown:2026-11-22"),
    ("invocations", {"billed_invocations": None}, "lambda_request", "billed_invocations_unknown"),
    ("bytes", {"streamed_bytes": None}, "lambda_streamed_bytes", "streamed_bytes_unknown"),
    ("input", {"tokens": (TokensBought("gpt-4o", UNKNOWN),)}, "input_tokens", "input_tokens_unknown"),
    ("output", {"tokens": (TokensBought("gpt-4o", UNKNOWN),)}, "output_tokens", "output_tokens_unknown"),
    (
        "a model's price",
        {"tokens": (TokensBought("who", Usage(1, 1)),)},
        "input_tokens",
        "no_price:tokens:who:2026-11-22",
    ),
    (
        "negative usage",
        {"tokens": (TokensBought("gpt-4o", Usage(-1, 1)),)},
        "input_tokens",
        "usage_inconsistent",
    ),
    (
        "cached over input",
        {"tokens": (TokensBought("gpt-4o", Usage(1, 1, 2)),)},
        "input_tokens",
        "usage_inconsistent",
    ),
    (
        "absurd usage",
        {"tokens": (TokensBought("gpt-4o", Usage(10**9, 1)),)},
        "input_tokens",
        "usage_inconsistent",
    ),
    (
        "a total that is no sum",
        {"tokens": (TokensBought("gpt-4o", Usage(1, 1, total_tokens=3)),)},
        "output_tokens",
        "usage_inconsistent",
    ),
    (
        "managed instances of a price nobody gave",
        {"initialization_type": "lambda-managed-instances"},
        "lambda_duration",
        "no_price:managed_instances_memory:us-east-1/arm64:2026-11-22",
    ),
    (
        "the time on managed instances",
        {"initialization_type": "lambda-managed-instances", "duration_ms": None},
        "lambda_duration",
        "duration_unknown",
    ),
    (
        "the size of /tmp",
        {"ephemeral_storage_mb": None},
        "lambda_ephemeral_storage",
        "ephemeral_storage_unknown",
    ),
    (
        "a restore",
        {"restores": None, "initialization_type": "snap-start"},
        "lambda_restore",
        "restores_unknown",
    ),
    ("the front", {"front": None}, "api_gateway", "front_unknown"),
    ("an HTTP API", {"front": "http_api"}, "api_gateway", "event_source_unpriced:http_api"),
    ("a load balancer", {"front": "alb"}, "api_gateway", "event_source_unpriced:alb"),
    ("log lines", {"log_bytes": None}, "logs", "log_bytes_unknown"),
    (
        "a gateway's region",
        {"front": "rest_api", "region": "xx-west-1"},
        "api_gateway",
        "no_price:api_gateway_request:xx-west-1:2026-11-22",
    ),
    (
        "a log's region",
        {"log_bytes": 1, "region": "xx-west-1"},
        "logs",
        "no_price:logs_ingestion:xx-west-1:2026-11-22",
    ),
]


@pytest.mark.parametrize(
    ("change", "component", "reason"), [c[1:] for c in UNPRICED], ids=[c[0] for c in UNPRICED]
)
def test_what_is_unknown_is_not_priced_and_says_why(
    change: dict[str, Any], component: str, reason: str
) -> None:
    cost = price_request(USED._replace(**change), BOOK)
    assert getattr(cost.components, component) is None
    assert reason in cost.unpriced
    assert sum(parts(cost.components)) == cost.total


def test_one_attempt_without_usage_leaves_a_lower_bound_that_says_so() -> None:
    cost = price_request(USED._replace(tokens=(*TOKENS, TokensBought("gpt-4o-mini", UNKNOWN))), BOOK)
    assert cost.components.input_tokens == Decimal("0.00015")
    assert cost.unpriced == ("input_tokens_unknown", "output_tokens_unknown")


def test_no_tokens_cost_nothing_whatever_the_model() -> None:
    cost = price_request(USED._replace(tokens=(TokensBought("nobody-knows", Usage(0, 0, 0, 0, 0)),)), BOOK)
    assert cost.unpriced == ()
    assert cost.components.output_tokens == 0


def test_provisioned_concurrency_is_charged_at_its_own_duration_price() -> None:
    cost = price_request(USED._replace(initialization_type="provisioned-concurrency"), BOOK)
    assert cost.components.lambda_duration == Decimal("0.8") * Decimal("0.0000077778")
    assert cost.unpriced == ("provisioned_concurrency_not_allocated",)


def test_a_snapshots_cache_belongs_to_no_single_request() -> None:
    cost = price_request(USED._replace(initialization_type="snap-start"), BOOK)
    assert cost.components.lambda_duration == Decimal("0.00001066672")
    assert cost.unpriced == ("snapstart_cache_not_allocated",)


def test_storage_beyond_half_a_gigabyte_is_charged_for_the_billed_time() -> None:
    cost = price_request(USED._replace(ephemeral_storage_mb=512 + 1024), BOOK)
    assert cost.components.lambda_ephemeral_storage == Decimal("1.6") * Decimal("0.0000000309")


def test_a_restore_from_a_snapshot_is_charged_by_memory_and_nothing_else_starts_from_one() -> None:
    snapshot = USED._replace(initialization_type="snap-start", restores=2)
    assert price_request(snapshot, BOOK).components.lambda_restore == Decimal("0.0001397998")
    assert price_request(USED._replace(restores=None), BOOK).components.lambda_restore == 0


def test_a_rest_api_is_charged_a_request_for_each_ten_megabytes_that_a_response_began() -> None:
    def charged(streamed_bytes: int | None) -> Decimal | None:
        used = USED._replace(front="rest_api", streamed_bytes=streamed_bytes)
        return price_request(used, BOOK).components.api_gateway

    one = Decimal("0.0000035")
    ten = API_GATEWAY_METERED_BYTES
    assert [charged(count) for count in (0, 1, ten, ten + 1)] == [one, one, one, 2 * one]
    assert charged(None) is None
    assert price_request(USED._replace(front="direct"), BOOK).components.api_gateway == 0


def test_an_estimate_leaves_out_log_lines_that_are_not_written_yet_and_calls_that_no_gap() -> None:
    cost = price_request(USED._replace(log_bytes=None, is_estimate=True), BOOK)
    assert (cost.components.logs, cost.unpriced) == (None, ())
    final = price_request(USED._replace(log_bytes=3_000), BOOK)
    assert final.components.logs == Decimal("0.000001396983862")
    assert final.total - final.components.logs == cost.total


MANAGED = USED._replace(
    initialization_type="lambda-managed-instances",
    billed_ms=None,
    duration_ms=1599.2,
    memory_mb=2048,
    max_concurrency=64,
)


def instances(price: str) -> PriceBook:
    memory = {"item": "managed_instances_memory", "region": "us-east-1", "architecture": "arm64"}
    return PriceBook.load({"records": [{**memory, "tiers": [{"price": price}]}]})


def test_on_managed_instances_a_request_is_allocated_its_part_of_the_memory_with_the_fee_and_says_so() -> (
    None
):
    cost = price_request(MANAGED, instances("0.0000028"))
    gb_s = Decimal("1.6") * 2 / 64
    assert cost.components.lambda_duration == charge(gb_s, Decimal("0.0000028") * Decimal("1.15"))
    assert cost.components.lambda_request == Decimal("0.0000002")
    assert cost.unpriced == ("managed_instances_allocated_by_gb_seconds",)
    assert cost.is_estimate
    assert (
        price_request(MANAGED._replace(ephemeral_storage_mb=4096), BOOK).components.lambda_ephemeral_storage
        == 0
    )
    assert sum(parts(cost.phases)) == cost.components.lambda_duration


def test_an_environment_full_of_requests_is_allocated_its_memory_once() -> None:
    book = instances("0.0000028")
    amounts = [price_request(MANAGED, book).components.lambda_duration for _ in range(64)]
    alone = price_request(MANAGED._replace(max_concurrency=1), book).components.lambda_duration
    assert alone is not None
    assert abs(sum((amount or Decimal(0) for amount in amounts), Decimal(0)) - alone) < 64 * Decimal("1e-15")


def test_what_was_not_bought_is_valued_at_the_output_price_of_its_attempts_tier() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)

    def saved(tokens: int, model: str | None, input_tokens: int | None) -> Decimal | None:
        return price_saved(tokens, TokensBought(model, Usage(input_tokens)), at, BOOK)

    assert saved(1_000_000, "claude-sonnet-4-6", 200_000) == 15
    assert saved(1_000_000, "claude-sonnet-4-6", 200_001) == Decimal("22.5")
    assert (saved(0, "who", 1), saved(1, "who", 1), saved(1, None, 1)) == (0, None, None)


def test_a_cold_start_keeps_its_time_and_the_phases_after_it_share_what_is_left() -> None:
    cost = price_request(
        USED._replace(billed_ms=1000, init_ms=400.0, wait_ms=900.0, stream_ms=300.0, validate_ms=None), BOOK
    )
    duration = cost.components.lambda_duration
    assert duration is not None
    assert cost.phases.cold_start == duration * Decimal("0.4")
    assert cost.phases.waiting == duration * Decimal("0.45")
    assert cost.phases.streaming == duration * Decimal("0.15")
    assert cost.phases.validating is None
    assert cost.phases.rest == 0


def test_estimated_usage_makes_an_estimate() -> None:
    tokens = (TokensBought("gpt-4o-mini", TOKENS[0].usage._replace(source="estimated")),)
    assert price_request(USED._replace(tokens=tokens), BOOK).is_estimate
    assert price_request(USED._replace(is_estimate=True), BOOK).is_estimate


def test_a_callers_decimal_context_changes_no_price() -> None:
    with localcontext(Context(prec=3, rounding=ROUND_UP)):
        assert price_request(USED, BOOK) == price_request(USED, BOOK)
        rough = price_request(USED, BOOK).as_json()
    assert rough == price_request(USED, BOOK).as_json()


counts = st.none() | st.integers(0, 2_000_000)
times = st.none() | st.floats(0, 2_000_000, allow_nan=False)
usages = st.builds(
    Usage, counts, counts, counts, counts, st.none(), st.sampled_from(["provider", "estimated"])
)
quantities = st.builds(
    UsageQuantities,
    at=st.just(NOW),
    billed_ms=st.none() | st.integers(0, 2_000_000),
    memory_mb=st.none() | st.integers(128, 10_240),
    architecture=st.sampled_from(["arm64", "x86_64", "mips", None]),
    region=st.sampled_from(["us-east-1", "nowhere-1", None]),
    billed_invocations=st.none() | st.integers(1, 5),
    initialization_type=st.sampled_from(
        ["on-demand", "provisioned-concurrency", "snap-start", "lambda-managed-instances", None]
    ),
    ephemeral_storage_mb=st.none() | st.integers(512, 10_240),
    max_concurrency=st.none() | st.integers(1, 64),
    front=st.sampled_from(["function_url", "rest_api", "direct", None]),
    duration_ms=times,
    init_ms=times,
    restores=st.none() | st.integers(0, 3),
    restore_ms=times,
    log_bytes=st.none() | st.integers(0, 10**7),
    wait_ms=times,
    stream_ms=times,
    validate_ms=times,
    streamed_bytes=st.none() | st.integers(0, 200 * 1024**2),
    tokens=st.lists(
        st.builds(TokensBought, st.sampled_from(["gpt-4o", "claude-sonnet-5", "who", None]), usages),
        max_size=3,
    ),
)


@given(quantities, st.booleans())
def test_components_sum_to_the_total_and_phases_to_the_duration_exactly(
    used: UsageQuantities, instances_have_a_price: bool
) -> None:
    cost = price_request(used, instances("0.0000028") if instances_have_a_price else BOOK)
    assert sum(parts(cost.components), Decimal(0)) == cost.total
    if cost.components.lambda_duration is None:
        assert parts(cost.phases) == []
    else:
        assert sum(parts(cost.phases), Decimal(0)) == cost.components.lambda_duration
    assert all(amount >= 0 for amount in (*parts(cost.components), *parts(cost.phases)))


@given(quantities)
def test_an_unknown_component_has_a_reason_and_a_known_one_is_money_in_fifteen_places(
    used: UsageQuantities,
) -> None:
    cost = price_request(used, BOOK)
    unknown = {name for name, amount in cost.as_json()["components"].items() if amount is None}
    # Who counts the input, and none that was read from a cache, may have read none; an estimate has no lines yet.
    unknown -= {"cached_input_tokens", "logs"} if used.is_estimate else {"cached_input_tokens"}
    assert unknown <= {name for why in cost.unpriced for name in charges_of(why)}
    for amount in parts(cost.components):
        exponent = amount.as_tuple().exponent
        assert isinstance(exponent, int) and exponent >= -15


@given(quantities)
def test_pricing_again_with_the_same_book_gives_the_same_numbers(used: UsageQuantities) -> None:
    first: Cost = price_request(used, BOOK)
    assert price_request(used, PriceBook.load()) == first


@given(
    st.decimals(0, 10, places=15),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=5),
)
def test_a_split_loses_nothing_and_gives_each_its_share(amount: Decimal, weights: list[int]) -> None:
    shares = {str(n): weight for n, weight in enumerate(weights)}
    cut = split(amount, shares)
    assert sum(cut.values()) == amount
    whole = sum(weights)
    if whole:
        for name, share in shares.items():
            assert abs(cut[name] - amount * share / whole) < Decimal("1.1e-15")


def slow_phases(used: UsageQuantities, duration: Decimal) -> dict[str, Decimal]:
    """The same law in fractions and words: an oracle that shares no line with the code."""
    billed = Fraction(used.billed_ms or 0)
    named = {"cold_start": used.init_ms, "waiting": used.wait_ms, "streaming": used.stream_ms}
    named |= {"validating": used.validate_ms}
    times = {name: Fraction(str(ms)) for name, ms in named.items() if ms is not None}
    if used.init_ms is not None:
        times["cold_start"] = min(Fraction(str(used.init_ms + (used.restore_ms or 0.0))), billed)
    left = billed - times.get("cold_start", 0)
    others = sum(ms for name, ms in times.items() if name != "cold_start")
    if others > left:
        times = {name: ms if name == "cold_start" else ms * left / others for name, ms in times.items()}
    times["rest"] = billed - sum(times.values())
    units = int(duration * 10**15)
    exact = {name: units * ms / billed if billed else Fraction(0) for name, ms in times.items()}
    cut = {name: floor(part) for name, part in exact.items()}
    for name in sorted(cut, key=lambda name: (cut[name] - exact[name], name))[: units - sum(cut.values())]:
        cut[name] += 1
    return {name: Decimal(part) / 10**15 for name, part in cut.items()}


written_ms = st.none() | st.integers(0, 3_000_000).map(lambda thousandths: thousandths / 1000)


@given(
    st.integers(1, 900_000),
    st.tuples(written_ms, written_ms, written_ms, written_ms),
    st.none() | st.integers(0, 500).map(float),
)
def test_phases_are_those_of_a_slow_calculation_in_fractions(
    billed_ms: int, times: tuple[float | None, ...], restore_ms: float | None
) -> None:
    init_ms, wait_ms, stream_ms, validate_ms = times
    used = USED._replace(
        billed_ms=billed_ms,
        init_ms=init_ms,
        restore_ms=restore_ms,
        wait_ms=wait_ms,
        stream_ms=stream_ms,
        validate_ms=validate_ms,
    )
    cost = price_request(used, BOOK)
    assert cost.components.lambda_duration is not None
    found = {column.name: getattr(cost.phases, column.name) for column in fields(cost.phases)}
    known = {name: amount for name, amount in found.items() if amount is not None}
    assert known == slow_phases(used, cost.components.lambda_duration)


def test_money_is_written_without_exponent_and_trailing_zeros() -> None:
    assert [plain(Decimal(text)) for text in ("2E-7", "1.500", "0", "0E-15", "100")] == [
        "0.0000002",
        "1.5",
        "0",
        "0",
        "100",
    ]


def test_a_charge_is_rounded_half_even_at_the_fifteenth_place() -> None:
    assert charge(Decimal("0.5"), Decimal("1e-15")) == 0
    assert charge(Decimal("1.5"), Decimal("1e-15")) == Decimal("2e-15")


FABLE = {"model": "own", "records": [{"prices": {
    "input": "10", "cached_input": "1", "cache_write": "12.5", "cache_write_1h": "20", "output": "50",
    "audio_input": "30", "audio_output": "90", "reasoning": "40",
}}, {"tier": "flex", "prices": {"input": "5", "output": "25"}}]}  # fmt: skip


def tokens_of(usage: Usage, *models: Any) -> Cost:
    book = PriceBook.load({"models": [FABLE, *models]})
    return price_request(USED._replace(tokens=(TokensBought("own", usage),)), book)


@pytest.mark.parametrize(
    ("usage", "component", "usd", "reasons"),
    [
        # Of 100 thousand input 80 thousand were written to a cache: the kind that was lost.
        ({"cache_write_tokens": 80_000}, "cache_write_tokens", "1", ()),
        ({"cache_write_tokens": 80_000, "cache_write_5m_tokens": 80_000}, "cache_write_tokens", "1", ()),
        ({"cache_write_tokens": 80_000, "cache_write_30m_tokens": 80_000}, "cache_write_tokens", "1", ()),
        ({"cache_write_tokens": 80_000, "cache_write_1h_tokens": 80_000}, "cache_write_tokens", "1.6", ()),
        # Nobody lists what twelve hours cost: no less than one hour.
        ({"cache_write_tokens": 80_000, "cache_write_12h_tokens": 80_000}, "cache_write_tokens", "1.6",
         ("no_price:cache_write_1h:own:2026-11-22",)),
        ({"cache_write_tokens": 80_000}, "input_tokens", "0.2", ()),
        ({"cached_input_tokens": 50_000}, "cached_input_tokens", "0.05", ()),
        ({"audio_input_tokens": 10_000}, "audio_input_tokens", "0.3", ()),
        ({"audio_output_tokens": 100}, "audio_output_tokens", "0.009", ()),
        ({"reasoning_tokens": 1_000}, "output_tokens", "0.04", ()),
        ({"service_tier": "flex"}, "input_tokens", "0.5", ()),
        ({"service_tier": "default"}, "input_tokens", "1", ()),
        ({"service_tier": "priority"}, "input_tokens", None, ("no_price:tier:priority:own:2026-11-22",)),
        ({"complete": False}, "output_tokens", "0.05", ("usage_lower_bound",)),
        ({"cached_input_tokens": 60_000, "audio_input_tokens": 60_000}, "cached_input_tokens", None,
         ("usage_inconsistent",)),
    ],
)  # fmt: skip
def test_every_kind_and_tier_of_tokens_has_its_price_or_a_reason(
    usage: dict[str, Any], component: str, usd: str | None, reasons: tuple[str, ...]
) -> None:
    cost = tokens_of(Usage(100_000, 1_000, source="provider", **usage))
    amount = getattr(cost.components, component)
    assert amount == (None if usd is None else Decimal(usd))
    assert cost.unpriced == reasons


def test_a_kind_without_a_price_of_its_own_costs_no_less_than_what_contains_it() -> None:
    plain = {"model": "own", "records": [{"prices": {"input": "10", "output": "50"}}]}
    book = PriceBook.load({"models": [plain]})
    usage = Usage(1_000, 10, 200, cache_write_tokens=300, audio_input_tokens=100, audio_output_tokens=5)
    cost = price_request(USED._replace(tokens=(TokensBought("own", usage),)), book)
    tokens = [getattr(cost.components, name) for name in TokenCharges._fields]
    assert sum(tokens) == Decimal("0.0105")  # 1,000 at 10 and 10 at 50, by the million
    assert set(cost.unpriced) == {
        f"no_price:{kind}:own:2026-11-22" for kind in ("cache_write", "audio_input", "audio_output")
    }


@pytest.mark.parametrize(
    ("seller", "model", "usd"),
    [
        ("openai", "gpt-4o-mini", "0.15"),
        (None, "gpt-4o-mini", "0.15"),
        (None, "openai/gpt-4o-mini", "0.15"),
        ("openrouter", "openai/gpt-4o-mini", "0.15"),
        ("azure", "gpt-4o-mini-2024-07-18", "0.15"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:org::id", "0.3"),
        ("anthropic", "claude-sonnet-4-5-20250929", "3"),
        ("aws", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3"),
        ("aws", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "3"),
        (
            "aws",
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "3.3",
        ),
        ("groq", "openai/gpt-oss-120b", "0.15"),
        ("nobody", "gpt-4o-mini", None),
    ],
)
def test_a_price_is_that_of_the_seller_and_of_the_name_as_gateways_and_clouds_write_it(
    seller: str | None, model: str, usd: str | None
) -> None:
    found = BOOK.token_price("input", model=model, seller=seller, at=NOW)
    assert (None if found is None else found.amount) == (None if usd is None else Decimal(usd))


def test_a_seller_is_known_by_its_address() -> None:
    assert BOOK.seller_of("https://api.openai.com/v1") == "openai"
    assert BOOK.seller_of("https://openrouter.ai/api/v1") == "openrouter"
    assert BOOK.seller_of("https://bedrock-runtime.eu-central-1.amazonaws.com") == "aws"
    assert BOOK.seller_of("http://127.0.0.1:9/v1") is None


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1:8000/v1", "http://vllm:8000/v1", "https://localhost", "http://[::1]/v1"]
)
def test_an_address_that_is_no_public_name_is_no_sellers_by_any_pattern(url: str) -> None:
    assert BOOK.seller_of(url) is None
    assert not any(seller.serves(url) for seller in BOOK.sellers.values())


def test_a_price_by_the_hour_holds_in_its_hours_and_not_after() -> None:
    def price(hour: int, minute: int) -> Decimal:
        at = datetime(2026, 11, 22, hour, minute, tzinfo=UTC)
        found = BOOK.token_price("input", model="deepseek-chat", seller="deepseek", at=at)
        assert found is not None
        return found.amount

    assert [price(0, 29), price(0, 30), price(16, 29), price(16, 30)] == [
        Decimal("0.135"), Decimal("0.27"), Decimal("0.27"), Decimal("0.135"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "reason", ["report_without_billed_duration", "memory_differs_between_reports", "billed_duration_negative"]
)
def test_what_reports_leave_unsaid_of_time_or_size_is_missing_of_the_duration_and_of_no_tokens(
    reason: str,
) -> None:
    assert charges_of(reason) == ("lambda_duration",)
