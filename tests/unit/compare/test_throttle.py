"""The account of a processor's share: parts of periods, which do not outlast them, and debts, which do."""

import pytest

from tests.compare.throttle import PERIOD_S, Quota, share_of


@pytest.mark.parametrize(("memory_mb", "share"), [(128, 128 / 1769), (1769, 1.0), (3538, 1.0)])
def test_a_share_is_that_of_memory_and_at_most_one_processor(memory_mb: int, share: float) -> None:
    assert share_of(memory_mb) == pytest.approx(share)


@pytest.mark.parametrize("share", [0.07, 0.3, 0.9])
def test_who_wants_all_gets_his_share_in_the_long_run(share: float) -> None:
    look_s = 0.0005
    quota, used_s, runs = Quota(share, 0.0, 0.0), 0.0, True
    for look in range(1, 20_000):
        used_s += look_s if runs else 0.0
        runs = quota.may_run(look * look_s, used_s)
    assert used_s / (20_000 * look_s) == pytest.approx(share, rel=0.05)


def test_idle_periods_are_not_saved_up() -> None:
    quota = Quota(0.1, 0.0, 0.0)
    assert quota.may_run(500.1 * PERIOD_S, 0.0)
    assert not quota.may_run(500.6 * PERIOD_S, 0.1 * PERIOD_S)
    assert quota.may_run(501.1 * PERIOD_S, 0.1 * PERIOD_S)


def test_an_overrun_is_paid_back_by_later_periods() -> None:
    quota = Quota(0.1, 0.0, 0.0)
    assert not quota.may_run(0.001, 0.5 * PERIOD_S)  # the part of five periods in one
    assert not quota.may_run(3.5 * PERIOD_S, 0.5 * PERIOD_S)
    assert quota.may_run(5.5 * PERIOD_S, 0.5 * PERIOD_S)
