"""Facts become rows: whose records are known, what is summed, and what stays unknown."""

import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests import log_lines as lines
from tests.made_ledger import row_as_json
from weir.ledger.coerce import usage_of
from weir.ledger.duck import write_rows
from weir.ledger.join import distinct, join
from weir.ledger.log_records import RawRecord
from weir.ledger.row import JoinStatus, Row
from weir.pricing.price_book import PriceBook

BOOK = PriceBook.load()
FACTS = Path(__file__).parent / "facts"


def records(written: Iterable[dict[str, Any]], **members: Any) -> list[RawRecord]:
    batch = lines.read_batch(lines.batch(lines.log_events(written, **members)))
    assert batch.poison == ()
    return list(batch.records)


def row(*written: dict[str, Any]) -> Row:
    (joined,) = join(records(written), BOOK)
    return joined


def without_logs(joined: Row) -> Decimal:
    """A total without its log lines, whose length these tests do not fix."""
    return joined.cost.total - (joined.cost.components.logs or 0)


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
    assert without_logs(joined) == Decimal("0.00046086672")
    assert joined.estimate_total == Decimal("0.0005")
    assert not joined.cost.is_estimate
    assert joined.tags == {"team": "search"}
    assert joined.records == 4
    assert joined.anomalies == ()


def test_a_row_as_json_has_money_as_text_and_unknown_as_null() -> None:
    written = row_as_json(row(*lines.request("r1")))
    assert written["cost"]["total"] == "0.000462002933541"
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
    alone = lines.read_batch(lines.batch(lines.log_events([lines.report("r1")])), region="us-east-1").records
    (joined,) = join(alone, BOOK)
    assert (joined.region, without_logs(joined)) == ("us-east-1", Decimal("0.0000002"))


def test_a_completion_alone_is_visible_as_usage_only_with_its_bill_unknown() -> None:
    joined = row(STARTED, lines.completed("r1"))
    assert (joined.join_status, joined.outcome) == (JoinStatus.USAGE_ONLY, "ok")
    assert (joined.billed_ms, joined.init_ms, joined.report_status) == (None, None, None)
    assert joined.cost.components.lambda_duration is None
    assert joined.cost.components.lambda_request is None
    assert without_logs(joined) == Decimal("0.00045")
    assert "billed_duration_unknown" in joined.cost.unpriced


def test_a_request_that_only_started_is_a_row() -> None:
    joined = row(START, STARTED)
    assert (joined.join_status, joined.outcome, without_logs(joined)) == (JoinStatus.STARTED_ONLY, None, 0)


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


def test_a_restore_from_a_snapshot_is_charged_by_memory_and_its_billed_time_is_the_cold_starts() -> None:
    restored = {"restoreDurationMs": 480.5, "billedRestoreDurationMs": 120}
    completed = lines.completed("r1", initialization_type="snap-start")
    joined = row(START, completed, lines.report("r1", 1600, **restored))
    assert joined.cost.components.lambda_restore == Decimal("0.5") * Decimal("0.0001397998")
    duration = joined.cost.components.lambda_duration
    assert duration is not None
    assert joined.cost.phases.cold_start == duration * 120 / 1600
    assert joined.cost.unpriced == ("snapstart_cache_not_allocated",)


def test_a_warm_start_from_a_snapshot_restores_nothing() -> None:
    joined = row(START, lines.completed("r1", initialization_type="snap-start"), lines.report("r1"))
    assert joined.cost.components.lambda_restore == 0


def test_managed_instances_report_no_billed_time_and_are_not_priced_by_it() -> None:
    on_instances = {"initialization_type": "lambda-managed-instances"}
    joined = row(START, lines.completed("r1", **on_instances), lines.report("r1", None, memorySizeMB=None))
    assert "no_price:managed_instances_memory:us-east-1/arm64:2026-11-22" in joined.cost.unpriced
    assert joined.cost.components.lambda_duration is None


def test_a_request_through_a_rest_api_pays_for_each_ten_megabytes_that_it_began() -> None:
    def charged(streamed_bytes: int) -> Decimal | None:
        completed = lines.completed("r1", front="rest_api", streamed_bytes=streamed_bytes)
        return row(START, completed, lines.report("r1")).cost.components.api_gateway

    assert [charged(count) for count in (0, 10 * 1024**2, 10 * 1024**2 + 1)] == [
        Decimal("0.0000035"),
        Decimal("0.0000035"),
        Decimal("0.000007"),
    ]


def test_the_log_lines_of_a_request_are_charged_by_their_bytes() -> None:
    events = lines.log_events([*lines.request("r1"), {"level": "INFO", "message": "another line"}])
    kept = sum(len(event["message"]) for event in events[:-1])
    joined = row(*lines.request("r1"))
    assert joined.log_bytes == kept
    assert joined.cost.components.logs == (Decimal(kept) / 1024**3 * Decimal("0.5")).quantize(
        Decimal("1e-15")
    )


def test_what_a_stop_at_a_violation_saved_is_priced_at_the_output_price_and_in_no_total() -> None:
    saved = {"output_tokens": 2_000, "method": "estimated: mean of 3 whole documents"}
    stopped = row(START, lines.completed("r1", saved=saved, violations=1), lines.report("r1"))
    plain = row(START, lines.completed("r1", violations=1), lines.report("r1"))
    assert (stopped.saved_tokens, stopped.saved_total) == (2_000, Decimal("0.0012"))
    assert without_logs(stopped) == without_logs(plain)
    assert (plain.saved_tokens, plain.saved_total) == (None, None)


@pytest.mark.parametrize("outcome", ["ok", "invalid_output"])
@pytest.mark.parametrize("source", ["idempotency_key", "cache"])
def test_an_answer_that_was_given_again_bought_nothing_keeps_its_outcome_and_says_what_it_saved(
    outcome: str, source: str
) -> None:
    saved = {"output_tokens": 321, "usd": "0.00123", "request_id": "r0"}
    given = lines.completed(
        "r1", outcome=outcome, attempts=[], answered_from=source, saved=saved, usage=lines.usage(0, 0)
    )
    joined = row(START, given, lines.report("r1"))
    assert (joined.outcome, joined.answered_from, joined.attempts) == (outcome, source, 0)
    assert (joined.usage.input_tokens, joined.usage.output_tokens) == (0, 0)
    assert (joined.saved_tokens, joined.saved_total) == (321, Decimal("0.00123"))
    assert joined.cost.components.output_tokens == 0 and joined.cost.total > 0
    assert row(*lines.request("r2")).answered_from is None


def test_a_request_that_was_killed_says_which_lease_it_drew_on() -> None:
    started = lines.fact("request.started", "r1", lease="lease-p~1")
    assert row(START, started, lines.report("r1", status="timeout")).lease == "lease-p~1"
    assert row(START, started, lines.completed("r1"), lines.report("r1")).lease == "lease-p~1"


def test_saved_tokens_of_a_model_without_a_price_are_counted_and_not_valued() -> None:
    unknown = {"saved": {"output_tokens": 5}, "model": "who", "model_returned": None}
    joined = row(START, lines.completed("r1", **unknown), lines.report("r1"))
    assert (joined.saved_tokens, joined.saved_total) == (5, None)


def test_a_request_that_was_killed_has_no_count_of_values_and_violations() -> None:
    joined = row(START, STARTED, lines.report("r1", 30_000, status="timeout"))
    assert (joined.front, joined.violations, joined.validated_values) == ("function_url", None, None)


def test_a_front_that_nobody_knows_is_unknown() -> None:
    joined = row(START, lines.completed("r1", front="carrier pigeon"), lines.report("r1"))
    assert (joined.front, joined.cost.components.api_gateway) == (None, None)
    assert "front_unknown" in joined.cost.unpriced


def test_stored_facts_give_the_rows_that_they_gave_when_they_were_stored() -> None:
    """Facts of a real generate behind a function URL, a REST API and direct invocations, with one that was killed.

    The rows were read by eye, and hold whatever becomes of the join; only a new price book may give others.
    """
    stored = (FACTS / "2026-11-with-front.ndjson").read_bytes().splitlines()
    expected = json.loads((FACTS / "2026-11-with-front.rows.json").read_text())
    rows = [row_as_json(joined) for joined in join(map(RawRecord.from_line, stored), BOOK)]
    for row_ in rows:
        assert row_["cost"].pop("price_book_version") == BOOK.version
    assert [_as_in(row_, one) for row_, one in zip(rows, expected, strict=True)] == expected


def _as_in(row_: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    """The members that `one` has: rows have got more since."""
    return {
        name: _as_in(row_[name], value) if isinstance(value, dict) else row_[name]
        for name, value in one.items()
    }


def test_facts_of_the_version_before_are_read_and_what_they_do_not_say_is_unknown() -> None:
    stored = (FACTS / "2026-11-without-front.ndjson").read_bytes().splitlines()
    rows = {joined.outcome: joined for joined in join(map(RawRecord.from_line, stored), BOOK)}
    assert {outcome: joined.cost.total for outcome, joined in rows.items()} == {
        "ok": Decimal("0.00001833336"),
        "invalid_output": Decimal("0.000061100015"),
        "rate_limited": Decimal("0.000007700015"),
        "killed": Decimal("0.0002502005"),
    }
    for joined in rows.values():
        components = joined.cost.components
        assert (components.api_gateway, components.lambda_ephemeral_storage, components.logs) == (None,) * 3
        assert {"front_unknown", "ephemeral_storage_unknown", "log_bytes_unknown"} <= set(
            joined.cost.unpriced
        )
        assert (joined.front, joined.log_bytes) == (None, None)
        assert components.lambda_restore == 0
    assert (rows["ok"].validated_values, rows["invalid_output"].violations) == (10, 1)


def test_what_a_report_does_not_say_is_taken_from_its_own_log_stream_and_no_other() -> None:
    killed = lines.report("r2", status="timeout")
    here = {entry.request_id: entry for entry in join(records([*lines.request("r1"), killed]), BOOK)}
    assert here["r2"].architecture == "arm64"
    assert here["r2"].model is None
    other = lines.read_batch(
        lines.batch(lines.log_events([killed], prefix="x"), log_stream="another")
    ).records
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


def test_amounts_that_no_column_holds_are_unknown_and_do_not_stop_a_day(tmp_path: Path) -> None:
    forged = lines.completed(
        "r1", cost={"total": "1e30"}, memory_mb=10**15, ephemeral_storage_mb=10**15, streamed_bytes=10**15
    )
    joined = row(START, forged, lines.report("r1", 10**15, memorySizeMB=10**15))
    assert (joined.estimate_total, joined.memory_mb, joined.gb_s) == (None, None, None)
    assert "memory_unknown" in joined.cost.unpriced
    assert write_rows(tmp_path / "rows.parquet", [joined], {"day": "2026-11-22"}) == 1


def test_a_record_counts_once_by_its_event_id_however_often_it_comes() -> None:
    once = records(lines.request("r1"))
    assert distinct([*once, *reversed(once), *once]) == once


def test_two_contents_under_one_event_id_give_the_same_row_in_either_order() -> None:
    a, b = (
        lines.read_batch(lines.batch([lines.log_event(lines.report("r1", n), "same")])).records
        for n in (100, 200)
    )
    assert join([*a, *b], BOOK) == join([*b, *a], BOOK)


def test_a_record_from_a_batch_and_the_same_one_from_the_store_are_ordered_alike() -> None:
    a, b = (
        lines.read_batch(lines.batch([lines.log_event(lines.report("r1", n), "same")])).records[0]
        for n in (100, 200)
    )
    members = {name: getattr(a, name) for name in RawRecord.__slots__ if name != "message"}
    stored = RawRecord.from_line(json.dumps(members).encode())
    rows = [row_as_json(joined) for joined in join([a, b], BOOK)]
    assert [row_as_json(joined) for joined in join([b, stored], BOOK)] == rows
    assert [row_as_json(joined) for joined in join([stored, b, a], BOOK)] == rows


def test_half_a_character_in_a_tier_that_a_provider_names_does_not_reach_the_files() -> None:
    assert usage_of({"input_tokens": 1, "service_tier": "a\ud800"}).service_tier == "a?"


def test_a_row_has_the_peak_of_memory_over_its_reports_and_none_where_no_report_says_it() -> None:
    two = row(START, STARTED, lines.report("r1", maxMemoryUsedMB=80), lines.report("r1", maxMemoryUsedMB=211))
    assert two.max_memory_mb == 211
    for unknown in (None, 0, 10**7):
        assert row(START, STARTED, lines.report("r1", maxMemoryUsedMB=unknown)).max_memory_mb is None
    assert row(START, STARTED).max_memory_mb is None


def test_a_row_says_what_the_tokens_of_its_later_attempts_cost() -> None:
    attempt = {"attempt": 1, "model": "gpt-4o-mini", "usage": lines.usage(1000, 500)}
    # 0.15 and 0.60 USD a million tokens.
    assert row(*lines.request("r1", attempts=[attempt, attempt, attempt])).retry_total == Decimal("0.0009")
    assert row(*lines.request("r1", attempts=[attempt])).retry_total == 0
    assert row(*lines.request("r1", attempts=[])).retry_total == 0
    unpriced = {**attempt, "model": "a-model-nobody-priced"}
    assert row(*lines.request("r1", attempts=[attempt, unpriced, attempt])).retry_total is None
    assert row(START, STARTED, lines.report("r1")).retry_total is None
