"""The usage record: merged member by member, never falling; stored and read again; summed over attempts."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.pricing.usage import (
    COUNTS,
    NOTHING_BOUGHT,
    Usage,
    estimate_usage,
    read_cost,
    read_count,
    usage_from_json,
)

COUNT = st.none() | st.integers(0, 10_000)
REPORTS = st.builds(
    Usage,
    **dict.fromkeys(COUNTS, COUNT),
    source=st.sampled_from(["provider", "estimated"]),
    service_tier=st.sampled_from([None, "default", "flex"]),
    provider_cost_usd=st.none() | st.decimals(0, 100, places=6),
    complete=st.booleans(),
    fell=st.booleans(),
)


@given(REPORTS, REPORTS, REPORTS)
def test_in_which_pairs_reports_are_merged_is_all_the_same(one: Usage, two: Usage, three: Usage) -> None:
    assert one.merged(two).merged(three) == one.merged(two.merged(three))


@given(st.lists(REPORTS, min_size=1, max_size=5))
def test_no_counter_falls_and_none_is_forgotten(reports: list[Usage]) -> None:
    merged = Usage()
    for report in reports:
        before, merged = merged, merged.merged(report)
        for name in COUNTS:
            known = [count for count in (getattr(before, name), getattr(report, name)) if count is not None]
            assert getattr(merged, name) == (max(known) if known else None)


@given(REPORTS)
def test_nothing_known_adds_nothing(report: Usage) -> None:
    assert Usage().merged(report) == report == report.merged(Usage())


@given(REPORTS)
def test_what_was_stored_is_read_again(report: Usage) -> None:
    assert usage_from_json(json.loads(json.dumps(report.as_json()))) == report


@pytest.mark.parametrize(
    ("stored", "usage"),
    [
        # As the first version of the facts wrote it.
        ({"input_tokens": 3, "output_tokens": 2, "cached_input_tokens": None, "reasoning_tokens": None, "total_tokens": 5,
          "source": "provider"}, Usage(3, 2, None, None, 5, "provider")),
        ({"input_tokens": 3.0, "output_tokens": -2, "source": "provider"}, Usage(3, -2, source="provider")),
        ({"input_tokens": True, "output_tokens": "2", "total_tokens": 10**16, "source": "?", "service_tier": 5,
          "provider_cost_usd": "1e999", "complete": None, "fell": 1}, Usage()),
        ({}, Usage()),
    ],
)  # fmt: skip
def test_facts_of_other_versions_stay_readable_and_what_is_absent_is_unknown(
    stored: Any, usage: Usage
) -> None:
    assert usage_from_json(stored) == usage


@pytest.mark.parametrize(
    ("usage", "inconsistent"),
    [
        (Usage(100, 20, 80, None, 120, "provider", cache_write_tokens=20), False),
        (
            Usage(100, 20, 80, None, 120, "provider", cache_write_tokens=21),
            True,
        ),  # more in the cache than was given
        (Usage(100, 20, audio_input_tokens=101), True),
        (Usage(100, 20, tool_prompt_tokens=101), True),
        (Usage(100, 20, cache_write_tokens=5, cache_write_5m_tokens=3, cache_write_1h_tokens=2), False),
        (Usage(100, 20, cache_write_tokens=5, cache_write_5m_tokens=3, cache_write_1h_tokens=3), True),
        (Usage(100, 20, None, 21, 120), False),  # OpenRouter reports more thoughts than output
        (
            Usage(100, 20, None, None, 130, "provider", complete=False),
            False,
        ),  # running totals need not add up
    ],
)
def test_parts_are_never_more_than_the_whole(usage: Usage, inconsistent: bool) -> None:
    assert usage.inconsistent is inconsistent


def test_what_was_written_for_a_time_that_nobody_named_is_the_rest() -> None:
    usage = Usage(cache_write_tokens=10, cache_write_5m_tokens=3, cache_write_1h_tokens=2)
    assert usage.cache_write_unnamed_tokens == 5
    assert Usage().cache_write_unnamed_tokens is None


def test_attempts_add_up_and_one_lower_bound_makes_the_sum_one() -> None:
    one = Usage(10, 5, 2, 1, 15, "provider", provider_cost_usd=Decimal("0.001"), service_tier="flex")
    two = one._replace(source="estimated", complete=False, service_tier="default")
    total = Usage.total([NOTHING_BOUGHT, one, two])
    assert (total.input_tokens, total.output_tokens, total.total_tokens) == (20, 10, 30)
    assert (total.source, total.complete, total.service_tier) == ("estimated", False, None)
    assert total.provider_cost_usd == Decimal("0.002")
    assert Usage.total([one, two._replace(provider_cost_usd=None)]).provider_cost_usd is None
    assert Usage.total([NOTHING_BOUGHT, NOTHING_BOUGHT]) == NOTHING_BOUGHT


def test_an_estimate_is_no_less_than_what_was_reported_and_than_what_was_counted() -> None:
    placeholder = Usage(1234, 1, total_tokens=1235, source="provider", complete=False)
    estimated = estimate_usage(placeholder, 99, 4.0, 100, 30)
    assert (estimated.input_tokens, estimated.output_tokens) == (1234, 30)
    assert (estimated.source, estimated.complete) == ("estimated", False)
    running = placeholder._replace(output_tokens=500)
    assert estimate_usage(running, 99, 4.0, 100, 30).output_tokens == 500


@pytest.mark.parametrize(
    ("value", "count"),
    [(5, 5), (5.0, 5), (-1, -1), (5.5, None), (True, None), ("5", None), (None, None), (10**16, None), (float("nan"), None),
     (float("inf"), None), ([5], None)],
)  # fmt: skip
def test_integral_numbers_are_counts(value: object, count: int | None) -> None:
    assert read_count(value) == count


@pytest.mark.parametrize(
    ("value", "cost"),
    [(0.0001017, "0.0001017"), ("0.00147", "0.00147"), (0, "0"), (-1, None), (float("nan"), None), ("x", None), (True, None),
     (1e-40, None), ({}, None)],
)  # fmt: skip
def test_what_a_provider_says_it_charged_is_money(value: object, cost: str | None) -> None:
    assert read_cost(value) == (None if cost is None else Decimal(cost))
