"""From answers to figures, and from figures to dollars: by hand."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.compare.callers import Answer
from tests.compare.documents import SMALL, documents, wrong
from tests.compare.figures import (
    Prices,
    dollars_of,
    gb_s_of_1000,
    load_of,
    mean_duration,
    prices_of,
    sufficient_mb,
    tokens_usd_of_1000,
)
from tests.compare.variants import ON_DEMAND
from tests.unit.compare.rows import row
from weir.pricing.price_book import PriceBook

PRICES = Prices(Decimal("0.0000133334"), Decimal("0.0000002"), Decimal("0.15"), Decimal("0.60"))


def load(answers: list[Answer], **given: float | None):
    known: dict[str, float | None] = {"cpu_s": 0.2, "tokens": 2_000.0, "stall_ms": 3.0, "peak_mb": 50.0}
    return load_of(SMALL.name, len(answers), answers, wall_s=10.0, **{**known, **given})  # type: ignore[arg-type]


def test_times_of_valid_parts_and_ends_are_those_of_right_documents_alone() -> None:
    right = [Answer(False, True, 0.3, 0.4 + number / 100, 6.0) for number in range(9)]
    found = load([*right, Answer(True, True, 0.3, None, 3.0)])
    assert (found.requests, found.as_expected, found.per_s) == (10, 10, 1.0)
    assert found.validated_p50_ms == pytest.approx(440.0)
    assert found.last_p50_ms == found.last_p99_ms == pytest.approx(6_000.0)
    assert found.cpu_ms_per_1k == pytest.approx(100.0)


def test_answers_that_were_not_as_expected_are_counted_and_quoted_and_give_no_times() -> None:
    found = load([Answer(False, True, 0.3, 0.4, 6.0), Answer(False, False, 9.9, 9.9, 9.9, said="500 oh")])
    assert (found.as_expected, found.said, found.ttft_p99_ms) == (1, "500 oh", pytest.approx(300.0))
    nothing = load([Answer(False, False, said="refused")], cpu_s=None, tokens=0.0)
    assert (nothing.ttft_p50_ms, nothing.cpu_ms_per_1k, nothing.said) == (None, None, "refused")


def test_what_nobody_watched_is_what_the_server_says_of_its_own_loop_or_unknown() -> None:
    answers = [Answer(False, True, 0.3, 0.4, 6.0, loop_gap_ms=gap) for gap in (4.0, 7.0, None)]
    assert load(answers, stall_ms=None).stall_ms == 7.0
    assert load([Answer(False, True, 0.3, 0.4, 6.0)], stall_ms=None).stall_ms is None


@pytest.mark.parametrize(
    ("peak_mb", "cores", "expected"),
    [
        (47, 0.01, 128),  # 70 MB: the smallest there is
        (85.4, 0.01, 192),  # 128.1 MB
        (533, 0.05, 832),  # 799.5 MB, in steps of 64
        (47, 0.1, 256),  # a tenth of a processor and a quarter more are 221 MB
    ],
)
def test_memory_that_suffices_holds_peak_and_processor_with_room(
    peak_mb: float, cores: float, expected: int
) -> None:
    assert sufficient_mb(peak_mb, cores) == expected


def test_gb_seconds_are_memory_times_duration_and_the_share_of_inits() -> None:
    # 1,000 requests of 6 s and 50 starts of 0.2 s, in an eighth of a GB.
    assert gb_s_of_1000(128, 6.0, 0.2) == Decimal("0.125") * (6_000 + 10)
    assert gb_s_of_1000(2048, 6.4, 0.0, many_in_one=64) == 2 * 100


def test_dollars_of_1000_requests_are_those_that_a_hand_reckons() -> None:
    found = dollars_of(row(ON_DEMAND), PRICES)
    assert found is not None
    # 0.9 of 6 s and 0.1 of 3 s are 5.7 s; 5 % of 0.2 s are 0.01 s; 5,710 s of 0.125 GB.
    assert found.gb_s == Decimal("713.75")
    assert found.function == Decimal("713.75") * Decimal("0.0000133334") + Decimal("0.0002")
    # 380 tokens at 0.15 and 0.9 * 680 + 0.1 * 347 = 646.7 at 0.60 a million; unstopped 679.7.
    assert found.tokens == Decimal("0.057") + Decimal("0.38802")
    assert found.tokens_without_stop == Decimal("0.057") + Decimal("0.40782")


def test_another_memory_changes_what_duration_costs_in_proportion() -> None:
    small, large = dollars_of(row(ON_DEMAND), PRICES), dollars_of(row(ON_DEMAND), PRICES, 512)
    assert small is not None and large is not None
    assert large.gb_s == 4 * small.gb_s and large.tokens == small.tokens


@pytest.mark.parametrize("absent", ["duration", "bought", "init_ms", "sufficient_mb"])
def test_what_was_not_measured_has_no_dollars(absent: str) -> None:
    assert dollars_of(replace(row(ON_DEMAND), **{absent: None}), PRICES) is None


def test_prices_are_the_books() -> None:
    assert prices_of(PriceBook.load()) == PRICES


def test_stopping_early_saves_what_a_wrong_document_would_have_gone_on_to_cost() -> None:
    saved = tokens_usd_of_1000(680, 677, PRICES) - tokens_usd_of_1000(680, 347, PRICES)
    assert saved == 100 * (677 - 347) * Decimal("0.60") / 1_000_000


def test_a_mean_needs_both_kinds() -> None:
    assert mean_duration([(False, 6.0), (False, 6.2)]) is None
    found = mean_duration([(False, 6.0), (False, 6.2), (True, 3.0)])
    assert found is not None and found.mean_s == pytest.approx(0.9 * 6.1 + 0.1 * 3.0)


def test_one_in_ten_documents_is_wrong_in_its_second_section() -> None:
    assert sum(map(wrong, range(100))) == 10
    made = documents((SMALL,))
    assert made["post-2k"].tokens == 680
    assert '"heading":7' in made["post-2k-wrong"].text.split('"heading"', 2)[2].join(['"heading"', ""])
