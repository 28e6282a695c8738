"""Facts become rows: which halves are known, what is summed, and what stays unknown."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from tests import log_lines as lines
from weir.core.ledger.join import distinct, join
from weir.core.ledger.logbatch import read_batch
from weir.core.ledger.rawrecords import RawRecord
from weir.core.ledger.rows import JoinStatus, Row
from weir.core.pricing.prices import PriceBook

BOOK = PriceBook.load()


def records(written: Iterable[dict[str, Any]], **members: Any) -> list[RawRecord]:
    batch = read_batch(lines.batch(lines.log_events(written, **members)))
    assert batch.poison == ()
    return list(batch.records)


def row(*written: dict[str, Any]) -> Row:
    (joined,) = join(records(written), BOOK)
    return joined


START = lines.platform("start", "r1", version="$LATEST")
STARTED = lines.fact("request.started", "r1")


def test_a_complete_row_has_quantities_quality_and_money() -> None:
    joined = row(*lines.request("r1"))
    assert joined.join_status is JoinStatus.COMPLETE
    assert (joined.outcome, joined.report_status, joined.http_status) == ("ok", "success", 200)
    assert (joined.billed_ms, joined.billed_invocations, joined.memory_mb) == (1600, 1, 512)
    assert (joined.wait_ms, joined.stream_ms, joined.validate_ms, joined.ttft_ms) == (
        400.0,
        900.0,
        20.0,
        420.0,
    )
    assert joined.gb_s == Decimal("0.8")
    assert joined.init_ms == 0.0
    assert (joined.usage.input_tokens, joined.usage.output_tokens, joined.usage.source) == (
        1000,
        500,
        "provider",
    )
    assert joined.cost.unpriced == ()
    assert joined.cost.total == Decimal("0.00046086672")
    assert joined.estimate_total == Decimal("0.0005")
    assert not joined.cost.is_estimate
    assert joined.tags == {"team": "search"}
    assert joined.records == 4
    assert joined.anomalies == ()


def test_a_row_as_json_has_money_as_text_and_unknown_as_null() -> None:
    written = row(*lines.request("r1")).as_json()
    assert written["cost"]["total"] == "0.00046086672"
    assert written["gb_s"] == "0.8"
    assert written["day"] == "2026-11-22"
    assert written["tenant"] is None


def test_a_cold_start_is_the_reports() -> None:
    joined = row(START, lines.completed("r1"), lines.report("r1", 2000, initDurationMs=400.0))
    assert joined.init_ms == 400.0
    assert joined.cost.phases.cold_start == Decimal("0.000002666680000")


def test_a_report_alone_is_visible_as_bill_only_with_its_outcome_unknown() -> None:
    joined = row(lines.report("r1"))
    assert (joined.join_status, joined.outcome) == (JoinStatus.BILL_ONLY, None)
    assert joined.anomalies == ("report_without_start",)
    assert joined.usage.output_tokens is None
    assert {"input_tokens_unknown", "output_tokens_unknown", "architecture_unknown"} <= set(
        joined.cost.unpriced
    )


def test_a_report_alone_costs_at_least_its_request_where_the_log_groups_region_is_known() -> None:
    alone = read_batch(lines.batch(lines.log_events([lines.report("r1")])), region="us-east-1").records
    (joined,) = join(alone, BOOK)
    assert (joined.region, joined.cost.total) == ("us-east-1", Decimal("0.0000002"))


def test_a_completion_alone_is_visible_as_usage_only_with_its_bill_unknown() -> None:
    joined = row(STARTED, lines.completed("r1"))
    assert (joined.join_status, joined.outcome) == (JoinStatus.USAGE_ONLY, "ok")
    assert (joined.billed_ms, joined.init_ms, joined.report_status) == (None, None, None)
    assert joined.cost.components.lambda_duration is None
    assert joined.cost.components.lambda_request is None
    assert joined.cost.total == Decimal("0.00045")
    assert "billed_duration_unknown" in joined.cost.unpriced


def test_a_request_that_only_started_is_a_row() -> None:
    joined = row(START, STARTED)
    assert (joined.join_status, joined.outcome, joined.cost.total) == (JoinStatus.STARTED_ONLY, None, 0)


@pytest.mark.parametrize("status", ["timeout", "error", "failure"])
def test_a_request_without_completion_whose_process_ended_badly_was_killed_and_costs_its_time(
    status: str,
) -> None:
    joined = row(START, STARTED, lines.report("r1", 30_000, status=status))
    assert (joined.outcome, joined.join_status) == ("killed", JoinStatus.BILL_ONLY)
    assert joined.architecture == "arm64"
    assert joined.cost.components.lambda_duration == Decimal("15") * Decimal("0.0000133334")
    assert joined.model == "gpt-4o-mini"


def test_a_completion_keeps_its_outcome_though_the_process_timed_out_after_it() -> None:
    joined = row(START, lines.completed("r1"), lines.report("r1", 30_000, status="timeout"))
    assert (joined.outcome, joined.report_status) == ("ok", "timeout")


def test_a_killed_request_has_the_usage_of_its_last_checkpoint_and_says_so() -> None:
    joined = row(
        START,
        STARTED,
        lines.fact(
            "request.progress",
            "r1",
            usage=lines.usage(1000, 100, source="estimated"),
            timing={"wait_ms": 7.0},
        ),
        lines.fact(
            "request.progress",
            "r1",
            usage=lines.usage(1000, 300, source="estimated"),
            timing={"wait_ms": 9.0},
        ),
        lines.report("r1", 30_000, status="timeout"),
    )
    assert (joined.usage.output_tokens, joined.usage.source, joined.wait_ms) == (300, "estimated", 9.0)
    assert joined.cost.is_estimate
    assert "usage_up_to_checkpoint" in joined.cost.unpriced


def test_a_checkpoint_holds_the_attempts_before_it_and_they_are_paid_once() -> None:
    joined = row(
        STARTED,
        lines.fact("request.progress", "r1", attempt=1, usage=lines.usage(1000, 100)),
        lines.fact("request.progress", "r1", attempt=2, usage=lines.usage(2000, 400)),
    )
    assert (joined.usage.input_tokens, joined.usage.output_tokens) == (2000, 400)


def test_several_reports_of_one_request_are_summed_and_so_are_its_completions() -> None:
    joined = row(*lines.request("r1", 1600), *lines.request("r1", 400))
    assert (joined.billed_ms, joined.billed_invocations) == (2000, 2)
    assert joined.usage.output_tokens == 1000
    assert joined.wait_ms == 800.0
    assert joined.cost.components.lambda_request == Decimal("0.0000004")
    assert joined.estimate_total == Decimal("0.001")
    assert joined.anomalies == ()


def test_a_retry_of_which_one_half_left_no_usage_says_so() -> None:
    joined = row(*lines.request("r1"), START, STARTED, lines.report("r1", 900, status="timeout"))
    assert joined.billed_ms == 2500
    assert "invocations_without_usage" in joined.cost.unpriced


def test_more_reports_than_starts_are_billed_and_named() -> None:
    joined = row(*lines.request("r1"), lines.report("r1", 10))
    assert joined.billed_ms == 1610
    assert joined.anomalies == ("more_reports_than_starts",)


def test_attempts_are_priced_one_by_one_the_last_under_the_name_the_provider_returned() -> None:
    attempts = [
        {"attempt": 1, "model": "gpt-4o", "outcome": "upstream_error", "usage": lines.usage(1000, 0)},
        {"attempt": 2, "model": "gpt-4o", "outcome": "ok", "usage": lines.usage(1000, 500)},
    ]
    joined = row(lines.completed("r1", model="gpt-4o", attempts=attempts, model_returned="gpt-4o-mini"))
    assert joined.attempts == 2
    assert joined.cost.components.input_tokens == Decimal("0.0025") + Decimal("0.00015")


def test_no_attempts_are_no_tokens_and_no_list_of_attempts_is_unknown() -> None:
    refused = row(lines.completed("r1", attempts=[], usage=None, outcome="bad_request", model_returned=None))
    assert refused.cost.components.output_tokens == 0
    silent = lines.completed("r1", usage=None)
    del silent["fact"]["attempts"]
    assert row(silent).cost.components.output_tokens is None


def test_usage_of_the_request_counts_where_attempts_are_not_listed() -> None:
    assert row(lines.completed("r1", attempts=[])).usage.output_tokens == 500


def test_the_bytes_of_a_killed_request_are_those_the_platform_counted() -> None:
    done = lines.platform(
        "runtimeDone", "r1", status="timeout", metrics={"durationMs": 1.0, "producedBytes": 777}
    )
    assert row(START, STARTED, done, lines.report("r1", status="timeout")).streamed_bytes == 777


def test_reports_that_disagree_on_memory_are_not_priced_silently() -> None:
    joined = row(*lines.request("r1"), START, lines.report("r1", 10, memorySizeMB=1024))
    assert joined.memory_mb is None
    assert "memory_differs_between_reports" in joined.cost.unpriced


def test_a_restore_from_a_snapshot_is_named_as_not_priced() -> None:
    joined = row(START, lines.completed("r1"), lines.report("r1", billedRestoreDurationMs=120))
    assert "snapstart_restore_not_priced" in joined.cost.unpriced


def test_managed_instances_report_no_billed_time_and_are_not_priced_by_it() -> None:
    on_instances = {"initialization_type": "lambda-managed-instances"}
    joined = row(START, lines.completed("r1", **on_instances), lines.report("r1", None, memorySizeMB=None))
    assert "managed_instances_not_allocated" in joined.cost.unpriced
    assert joined.cost.components.lambda_duration is None


def test_what_a_report_does_not_say_is_taken_from_its_own_log_stream_and_no_other() -> None:
    killed = lines.report("r2", status="timeout")
    here = {entry.request_id: entry for entry in join(records([*lines.request("r1"), killed]), BOOK)}
    assert here["r2"].architecture == "arm64"
    assert here["r2"].model is None
    other = read_batch(lines.batch(lines.log_events([killed], prefix="x"), log_stream="another")).records
    apart = {entry.request_id: entry for entry in join([*records(lines.request("r1")), *other], BOOK)}
    assert apart["r2"].architecture is None


def test_nonsense_in_a_fact_is_unknown_and_no_exception() -> None:
    nonsense: dict[str, Any] = {
        "usage": {
            "input_tokens": "many",
            "output_tokens": 1.5,
            "cached_input_tokens": True,
            "total_tokens": 10**30,
        },
        "attempts": [7, None],
        "timing": {"wait_ms": "long", "stream_ms": -3, "validate_ms": 10**400},
        "outcome": "splendid",
        "cost": {"total": "much"},
        "tags": [1],
        "model": 7,
        "model_returned": {},
        "memory_mb": "big",
        "streamed_bytes": -1,
        "http_status": "ok",
    }
    joined = row(START, lines.completed("r1", **nonsense), lines.report("r1"))
    assert (joined.outcome, joined.wait_ms, joined.stream_ms, joined.streamed_bytes) == (
        None,
        None,
        None,
        None,
    )
    assert (joined.usage.input_tokens, joined.estimate_total, joined.tags) == (None, None, {})
    assert joined.cost.components.lambda_duration is not None


def test_a_record_counts_once_by_its_event_id_however_often_it_comes() -> None:
    once = records(lines.request("r1"))
    assert distinct([*once, *reversed(once), *once]) == once


def test_two_contents_under_one_event_id_give_the_same_row_in_either_order() -> None:
    a, b = (
        read_batch(lines.batch([lines.log_event(lines.report("r1", n), "same")])).records for n in (100, 200)
    )
    assert join([*a, *b], BOOK) == join([*b, *a], BOOK)
