"""Percentiles and a distribution from the steps of a histogram: off by a step's half, whatever the requests."""

from datetime import UTC, datetime
from decimal import Decimal
from math import ceil, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.ledger.rollups import STEP, ZERO_STEP
from weir.reports import histograms

AT = datetime(2026, 11, 22, tzinfo=UTC)


def step_of(value: float) -> int:
    return ZERO_STEP if value == 0 else ceil(log(value) / log(STEP))


def rows(values: list[float], measure: str = "total") -> list[dict[str, object]]:
    return [{"bucket": AT, "measure": measure, "step": step_of(value), "requests": 1} for value in values]


@given(
    st.lists(st.just(0.0) | st.floats(1e-9, 1e6), min_size=1, max_size=200),
    st.sampled_from([0.5, 0.95, 0.99]),
)
def test_a_percentile_is_that_of_the_values_to_one_percent(values: list[float], share: float) -> None:
    steps: dict[int, int] = {}
    for value in values:
        steps[step_of(value)] = steps.get(step_of(value), 0) + 1
    expected = sorted(values)[ceil(share * len(values)) - 1]
    assert histograms.percentile(steps, share) == pytest.approx(expected, rel=0.0101)


def test_without_requests_there_is_no_percentile() -> None:
    assert histograms.percentile({}, 0.5) is None
    found = histograms.overall([], None)
    assert set(found.values()) == {None}


def test_hours_are_added_and_not_averaged() -> None:
    quiet = {"bucket": AT, "measure": "ttft_ms", "step": step_of(10), "requests": 1}
    busy = {"bucket": AT.replace(hour=1), "measure": "ttft_ms", "step": step_of(1000), "requests": 99}
    overall = histograms.overall([quiet, busy], Decimal(1))
    assert overall["ttft_ms_p50"] == pytest.approx(1000, rel=0.01)
    assert histograms.by_bucket([quiet, busy])[AT]["ttft_ms_p50"] == pytest.approx(10, rel=0.01)


def test_a_distribution_holds_every_request_once() -> None:
    found = histograms.distribution(rows([0.0, 1.5e-3, 1.5e-3, 7.0]))
    assert sum(row["requests"] for row in found) == 4
    assert {row["edges"]: row["requests"] for row in found} == {0: 1, 13: 2, 24: 1}
