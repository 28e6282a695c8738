"""What one request cost: exact sums, and nothing made up where something is unknown."""

import csv
from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import ROUND_UP, Context, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.corpora import corpus
from weir.core.pricing.cost import FREE_STREAMED_BYTES, Cost, UsageQuantities, price_request
from weir.core.pricing.money import charge, line_cost, plain, split
from weir.core.pricing.prices import PriceBook
from weir.core.usage import Usage

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BOOK = PriceBook.load()
TOKENS = (("gpt-4o-mini", Usage(1000, 500, 0, 0, 1500, "provider")),)
USED = UsageQuantities(
    at=NOW,
    billed_ms=1600,
    memory_mb=512,
    architecture="arm64",
    region="us-east-1",
    init_ms=0.0,
    wait_ms=400.0,
    stream_ms=900.0,
    validate_ms=20.0,
    streamed_bytes=20_000,
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
        price = BOOK.lambda_price(item, region=line["RegionId"], architecture="x86_64", at=at)
        assert price is not None
        assert price.amount == Decimal(line["ListUnitPrice"])


def test_a_request_costs_its_gb_seconds_its_invocation_and_its_tokens() -> None:
    cost = price_request(USED, BOOK)
    assert cost.as_json() == {
        "components": {
            "lambda_duration": "0.00001066672",  # 1.6 s x 0.5 GB x 0.0000133334
            "lambda_request": "0.0000002",
            "lambda_streamed_bytes": "0",
            "input_tokens": "0.00015",
            "cached_input_tokens": "0",
            "output_tokens": "0.0003",
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
        return price_request(replace(USED, streamed_bytes=count), BOOK).components.lambda_streamed_bytes

    assert streamed(FREE_STREAMED_BYTES) == 0
    assert streamed(FREE_STREAMED_BYTES + 1) == Decimal("7E-12").quantize(Decimal("1e-15")) + Decimal(
        "4.51E-13"
    )
    assert streamed(FREE_STREAMED_BYTES + 1024**3) == Decimal("0.008")
    assert streamed(None) is None


def test_cached_input_is_charged_at_its_own_price_and_not_twice() -> None:
    cached = replace(USED, tokens=(("gpt-4o-mini", Usage(1000, 0, 400, 0, 1000, "provider")),))
    components = price_request(cached, BOOK).components
    assert components.input_tokens == Decimal("0.00009")  # 600 x 0.15 / 1M
    assert components.cached_input_tokens == Decimal("0.00003")  # 400 x 0.075 / 1M


def test_cached_input_of_a_model_that_sells_none_costs_what_input_costs() -> None:
    price = {"input": [{"price": "2"}], "output": [{"price": "4"}]}
    book = PriceBook.load({"models": [{"model": "own", "records": [{"prices": price}]}]})
    cost = price_request(replace(USED, tokens=(("own", Usage(1_000_000, 0, 250_000, 0, None)),)), book)
    assert (cost.components.input_tokens, cost.components.cached_input_tokens) == (
        Decimal("1.5"),
        Decimal("0.5"),
    )


def test_the_output_price_follows_the_tier_of_the_input() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)

    def output(input_tokens: int) -> Decimal | None:
        tokens = (("claude-sonnet-4-6", Usage(input_tokens, 1_000_000, 0, 0, None, "provider")),)
        return price_request(replace(USED, at=at, tokens=tokens), BOOK).components.output_tokens

    assert output(200_000) == 15
    assert output(200_001) == Decimal("22.5")


def test_attempts_are_summed_each_at_the_price_of_the_model_that_answered() -> None:
    both = replace(USED, tokens=(*TOKENS, ("gpt-4o", Usage(1000, 500, 0, 0, 1500, "provider"))))
    components = price_request(both, BOOK).components
    assert components.input_tokens == Decimal("0.00015") + Decimal("0.0025")
    assert components.output_tokens == Decimal("0.0003") + Decimal("0.005")


def test_a_request_that_never_called_the_provider_bought_no_tokens_and_knows_it() -> None:
    cost = price_request(replace(USED, tokens=()), BOOK)
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
    ("input", {"tokens": (("gpt-4o", UNKNOWN),)}, "input_tokens", "input_tokens_unknown"),
    ("output", {"tokens": (("gpt-4o", UNKNOWN),)}, "output_tokens", "output_tokens_unknown"),
    (
        "a model's price",
        {"tokens": (("who", Usage(1, 1)),)},
        "input_tokens",
        "no_price:tokens:who:2026-11-22",
    ),
    ("negative usage", {"tokens": (("gpt-4o", Usage(-1, 1)),)}, "input_tokens", "usage_inconsistent"),
    ("cached over input", {"tokens": (("gpt-4o", Usage(1, 1, 2)),)}, "input_tokens", "usage_inconsistent"),
    ("absurd usage", {"tokens": (("gpt-4o", Usage(10**9, 1)),)}, "input_tokens", "usage_inconsistent"),
    (
        "a total that is no sum",
        {"tokens": (("gpt-4o", Usage(1, 1, total_tokens=3)),)},
        "output_tokens",
        "usage_inconsistent",
    ),
    (
        "managed instances",
        {"initialization_type": "lambda-managed-instances"},
        "lambda_duration",
        "managed_instances_not_allocated",
    ),
]


@pytest.mark.parametrize(
    ("change", "component", "reason"), [c[1:] for c in UNPRICED], ids=[c[0] for c in UNPRICED]
)
def test_what_is_unknown_is_not_priced_and_says_why(
    change: dict[str, Any], component: str, reason: str
) -> None:
    cost = price_request(replace(USED, **change), BOOK)
    assert getattr(cost.components, component) is None
    assert reason in cost.unpriced
    assert sum(parts(cost.components)) == cost.total


def test_one_attempt_without_usage_leaves_a_lower_bound_that_says_so() -> None:
    cost = price_request(replace(USED, tokens=(*TOKENS, ("gpt-4o-mini", UNKNOWN))), BOOK)
    assert cost.components.input_tokens == Decimal("0.00015")
    assert cost.unpriced == ("input_tokens_unknown", "output_tokens_unknown")


def test_no_tokens_cost_nothing_whatever_the_model() -> None:
    cost = price_request(replace(USED, tokens=(("nobody-knows", Usage(0, 0, 0, 0, 0)),)), BOOK)
    assert cost.unpriced == ()
    assert cost.components.output_tokens == 0


def test_provisioned_concurrency_is_charged_at_its_own_duration_price() -> None:
    cost = price_request(replace(USED, initialization_type="provisioned-concurrency"), BOOK)
    assert cost.components.lambda_duration == Decimal("0.8") * Decimal("0.0000077778")
    assert cost.unpriced == ("provisioned_concurrency_not_allocated",)


def test_a_cold_start_keeps_its_time_and_the_phases_after_it_share_what_is_left() -> None:
    cost = price_request(
        replace(USED, billed_ms=1000, init_ms=400.0, wait_ms=900.0, stream_ms=300.0, validate_ms=None), BOOK
    )
    duration = cost.components.lambda_duration
    assert duration is not None
    assert cost.phases.cold_start == duration * Decimal("0.4")
    assert cost.phases.waiting == duration * Decimal("0.45")
    assert cost.phases.streaming == duration * Decimal("0.15")
    assert cost.phases.validating is None
    assert cost.phases.rest == 0


def test_estimated_usage_makes_an_estimate() -> None:
    tokens = (("gpt-4o-mini", replace(TOKENS[0][1], source="estimated")),)
    assert price_request(replace(USED, tokens=tokens), BOOK).is_estimate
    assert price_request(replace(USED, is_estimate=True), BOOK).is_estimate


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
    init_ms=times,
    wait_ms=times,
    stream_ms=times,
    validate_ms=times,
    streamed_bytes=st.none() | st.integers(0, 200 * 1024**2),
    tokens=st.lists(
        st.tuples(st.sampled_from(["gpt-4o", "claude-sonnet-5", "who", None]), usages), max_size=3
    ),
)


@given(quantities)
def test_components_sum_to_the_total_and_phases_to_the_duration_exactly(used: UsageQuantities) -> None:
    cost = price_request(used, BOOK)
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
    unknown = [name for name, amount in cost.as_json()["components"].items() if amount is None]
    if set(unknown) - {"cached_input_tokens"}:
        assert cost.unpriced
    for amount in parts(cost.components):
        exponent = amount.as_tuple().exponent
        assert isinstance(exponent, int) and exponent >= -15


@given(quantities)
def test_pricing_again_with_the_same_book_gives_the_same_numbers(used: UsageQuantities) -> None:
    first: Cost = price_request(used, BOOK)
    assert price_request(used, PriceBook.load()) == first


@given(
    st.decimals(0, 10, places=15),
    st.lists(st.decimals(0, 10**6, places=3), min_size=1, max_size=5),
)
def test_a_split_loses_nothing_and_gives_each_its_share(amount: Decimal, weights: list[Decimal]) -> None:
    shares = {str(n): weight for n, weight in enumerate(weights)}
    cut = split(amount, shares)
    assert sum(cut.values()) == amount
    whole = sum(weights)
    if whole:
        for name, share in shares.items():
            assert abs(cut[name] - amount * share / whole) < Decimal("1.1e-15")


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
