"""The ledger's properties through S3 and DuckDB: a small part of `make fuzz`, and the proof that it can fail."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.fuzz import ledger_store
from weir.ledger import compact, corrections, s3_keys
from weir.reports import parquet_cache


@pytest.mark.parametrize("seed", [0, 1])
def test_every_property_holds_through_the_life_of_a_month(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_store, "WORLDS", 4)
    with ledger_store.in_memory_s3():
        ledger_store.one_case(seed)


def no_margin(patch: pytest.MonkeyPatch) -> None:
    """Days joined without the hours around them: requests over midnight fall apart."""
    patch.setattr(s3_keys, "MARGIN", timedelta(0))


def late_facts_unseen(patch: pytest.MonkeyPatch) -> None:
    """A tail that trusts its compaction."""
    patch.setattr(parquet_cache, "is_stale", lambda objects, known: known is None and bool(objects))


def dimensions_not_kept_apart(patch: pytest.MonkeyPatch) -> None:
    """One difference a request, booked under what it is now: sums by outcome drift."""
    told = (name for name in corrections._KEPT_APART if name != "region")
    patch.setattr(corrections, "_TOLD", (*corrections._TOLD, *told))
    patch.setattr(corrections, "_KEPT_APART", ("region",))


def closed_days_written(patch: pytest.MonkeyPatch) -> None:
    """Compaction that knows of no closed month."""
    patch.setattr(compact.Store, "closed", lambda store, month: None)


# With the seed of a life that finds it; where worlds are drawn in another way, one of the first twenty does.
@pytest.mark.parametrize(
    ("bug", "first"),
    [
        (no_margin, 2),
        (late_facts_unseen, 0),
        (dimensions_not_kept_apart, 2),
        (closed_days_written, 0),
    ],
)
def test_a_planted_bug_is_found(bug: Callable[[pytest.MonkeyPatch], None], first: int) -> None:
    with pytest.MonkeyPatch.context() as patch, ledger_store.in_memory_s3():
        patch.setattr(ledger_store, "WORLDS", 6)
        bug(patch)
        for seed in (first, *range(20)):
            try:
                ledger_store.one_case(seed)
            except (AssertionError, ValueError):
                return
    pytest.fail("20 lives of a month, and nobody noticed")
