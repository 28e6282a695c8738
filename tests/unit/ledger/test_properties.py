"""The ledger's properties, over any deliveries of any requests: against a plain count of what was logged."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests import log_lines as lines
from weir.core.ledger.join import join
from weir.core.ledger.logbatch import LogBatch, read_batch
from weir.core.ledger.rawrecords import RawRecord
from weir.core.ledger.rows import JoinStatus, Row
from weir.core.pricing.prices import PriceBook
from weir.usecases.report import Filters, page, read

BOOK = PriceBook.load()
DAY = timedelta(days=1)

ids = st.sampled_from([f"r{n}" for n in range(5)])
usages = st.builds(lines.usage, st.none() | st.integers(0, 5000), st.none() | st.integers(0, 5000))
outcomes = st.sampled_from(["ok", "client_disconnected", "upstream_error", "deadline"])
log_lines = st.one_of(
    st.builds(lambda name: lines.platform("start", name), ids),
    st.builds(lambda name: lines.fact("request.started", name), ids),
    st.builds(lambda name, used: lines.fact("request.progress", name, usage=used), ids, usages),
    st.builds(lambda name, used, how: lines.completed(name, usage=used, outcome=how), ids, usages, outcomes),
    st.builds(
        lambda name, billed, status: lines.report(name, billed, status=status),
        ids,
        st.integers(1, 900_000),
        st.sampled_from(["success", "timeout", "error"]),
    ),
    st.just({"level": "INFO", "message": "hello"}),
)
poisons = st.sampled_from(
    [
        7,
        {"id": "p"},
        lines.log_event(lines.report("r1", -1), "p"),
        lines.log_event('{"type":"platform.report",', "p"),
    ]
)


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What was logged, in one log stream, each line with its own event id, over four days."""
    written = draw(st.lists(st.tuples(log_lines, st.integers(0, 4 * 86_400_000)), max_size=14))
    return [lines.log_event(line, f"e{n:04d}", lines.NOON_MS + at) for n, (line, at) in enumerate(written)]


def batch_of(events: list[Any]) -> LogBatch:
    """One delivery, as the ledger function reads it."""
    return read_batch(lines.batch(events), region="us-east-1")


def deliver(events: list[Any], choice: random.Random, copies: int = 1) -> list[RawRecord]:
    """The records of `events`, delivered `copies` times, each time in another order and other batches."""
    found: list[RawRecord] = []
    for _ in range(copies):
        shuffled = choice.sample(events, len(events))
        while shuffled:
            size = choice.randint(1, len(shuffled))
            found += batch_of(shuffled[:size]).records
            shuffled = shuffled[size:]
    return found


def billed_ms(events: list[dict[str, Any]]) -> int:
    """An independent count: the billed time of every distinct report line."""
    found = [
        lines.json.loads(event["message"]) for event in {event["id"]: event for event in events}.values()
    ]
    reports = [line["record"]["metrics"] for line in found if line.get("type") == "platform.report"]
    return sum(metrics["billedDurationMs"] for metrics in reports)


def known(amounts: list[Decimal | None]) -> Decimal:
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


class Source:
    """Raw records in memory, by day."""

    def __init__(self, records: list[RawRecord]) -> None:
        self._records = records
        self.unreadable: list[str] = []
        self.records: list[RawRecord] = []

    def facts(self, first: Any, last: Any) -> "Source":
        part = Source(self._records)
        part.records = [record for record in self._records if first <= record.day <= last]
        return part

    def count_poison(self) -> int:
        return 0


@given(logs(), st.randoms(use_true_random=False))
def test_p1_no_request_in_any_accepted_record_is_lost(events: list[Any], choice: random.Random) -> None:
    records = deliver(events, choice)
    rows = join(records, BOOK)
    assert {row.request_id for row in rows} == {record.request_id for record in records}
    assert sum(row.records for row in rows) == len(records)


@given(logs(), st.randoms(use_true_random=False), st.integers(2, 4))
def test_p2_none_is_counted_twice_under_repeated_deliveries(
    events: list[Any], choice: random.Random, copies: int
) -> None:
    assert join(deliver(events, choice, copies), BOOK) == join(deliver(events, choice), BOOK)


@given(logs(), st.randoms(use_true_random=False))
def test_p3_any_order_and_any_split_into_batches_gives_the_same_rows(
    events: list[Any], choice: random.Random
) -> None:
    in_order = join(list(batch_of(events).records), BOOK)
    assert [row.as_json() for row in join(deliver(events, choice), BOOK)] == [
        row.as_json() for row in in_order
    ]


@given(logs(), st.integers(0, 14))
def test_p4_a_late_half_completes_its_row(events: list[Any], early: int) -> None:
    first = list(batch_of(events[:early]).records)
    late = list(batch_of(events[early:]).records)
    then, now = ({row.request_id: row for row in join(found, BOOK)} for found in (first, [*first, *late]))
    for request_id, row in then.items():
        assert row.records <= now[request_id].records
        assert (row.billed_ms or 0) <= (now[request_id].billed_ms or 0)
        if row.join_status is JoinStatus.COMPLETE:
            assert now[request_id].join_status is JoinStatus.COMPLETE


@given(logs(), st.randoms(use_true_random=False), st.integers(1, 3))
def test_p5_the_ledger_has_the_billed_time_of_every_report_once_and_components_sum_to_totals(
    events: list[Any], choice: random.Random, copies: int
) -> None:
    rows = join(deliver(events, choice, copies), BOOK)
    assert sum(row.billed_ms or 0 for row in rows) == billed_ms(events)
    for row in rows:
        components, phases = row.cost.components, row.cost.phases
        charges = [components.lambda_duration, components.lambda_request, components.lambda_streamed_bytes]
        charges += [components.input_tokens, components.cached_input_tokens, components.output_tokens]
        assert known(charges) == row.cost.total
        if components.lambda_duration is not None:
            waited = [phases.cold_start, phases.waiting, phases.streaming, phases.validating, phases.rest]
            assert known(waited) == components.lambda_duration


@given(logs(), poisons, st.integers(0, 14))
def test_p6_a_poison_record_blocks_nothing_and_is_kept_with_its_offset(
    events: list[Any], poison: Any, position: int
) -> None:
    offset = min(position, len(events))
    batch = batch_of([*events[:offset], poison, *events[offset:]])
    assert batch.records == batch_of(events).records
    assert [(found.offset, bool(found.reason)) for found in batch.poison] == [(offset, True)]


@given(logs(), st.randoms(use_true_random=False))
def test_p7_joining_again_gives_the_same_bytes(events: list[Any], choice: random.Random) -> None:
    def written() -> str:
        return lines.json.dumps([row.as_json() for row in join(deliver(events, choice), BOOK)])

    assert written() == written()


@st.composite
def days_of_requests(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Requests over a week; the lines of one lie within six hours, as those of an async retry do."""
    begun = {f"r{n}": draw(st.integers(0, 7 * 86_400_000)) for n in range(5)}
    written = draw(st.lists(st.tuples(log_lines, st.integers(0, 6 * 3_600_000)), max_size=16))
    events = []
    for n, (line, after_ms) in enumerate(written):
        body = line.get("record") or line.get("fact") or {}
        name = body.get("requestId") or body.get("request_id") or "r0"
        events.append(lines.log_event(line, f"e{n:04d}", lines.NOON_MS + begun[name] + after_ms))
    return events


@given(days_of_requests(), st.integers(-12 * 60, 14 * 60))
def test_p8_the_days_of_a_range_give_the_rows_of_the_range_in_any_time_zone(
    events: list[Any], offset_min: int
) -> None:
    source = Source(list(batch_of(events).records))
    start = datetime(2026, 11, 21, tzinfo=UTC) - timedelta(minutes=offset_min)
    whole = read(source, BOOK, Filters(start=start, end=start + 11 * DAY)).rows
    days = [
        read(source, BOOK, Filters(start=start + n * DAY, end=start + (n + 1) * DAY)).rows for n in range(11)
    ]
    assert [row for day in reversed(days) for row in day] == whole
    assert {row.request_id for row in whole} == {record.request_id for record in source._records}


@given(logs())
def test_p9_pricing_again_with_the_same_book_gives_the_same_numbers(events: list[Any]) -> None:
    records = list(batch_of(events).records)
    assert join(records, BOOK) == join(records, PriceBook.load())


@given(logs(), st.randoms(use_true_random=False))
def test_p11_what_was_billed_costs_more_than_nothing_however_it_ended(
    events: list[Any], choice: random.Random
) -> None:
    for row in join(deliver(events, choice), BOOK):
        if row.billed_ms:
            assert row.cost.total > 0
            assert row.cost.components.lambda_duration != 0


@given(logs(), st.randoms(use_true_random=False))
def test_p12_absent_is_unknown_and_never_nothing(events: list[Any], choice: random.Random) -> None:
    for row in join(deliver(events, choice), BOOK):
        components = row.cost.components
        if row.join_status in (JoinStatus.USAGE_ONLY, JoinStatus.STARTED_ONLY):
            assert row.billed_ms is None and components.lambda_duration is None
            assert components.lambda_request is None and row.init_ms is None
            assert "billed_duration_unknown" in row.cost.unpriced
        if row.usage.output_tokens is None:
            assert "output_tokens_unknown" in row.cost.unpriced
        if row.join_status is JoinStatus.BILL_ONLY and row.usage.source == "none":
            assert components.output_tokens is None


@given(logs(), st.integers(1, 4))
def test_pages_give_every_row_once_newest_first(events: list[Any], limit: int) -> None:
    source = Source(list(batch_of(events).records))
    start = datetime(2026, 11, 20, tzinfo=UTC)
    rows = read(source, BOOK, Filters(start=start, end=start + 10 * DAY)).rows
    paged: list[Row] = []
    cursor: str | None = None
    while True:
        part, cursor = page(rows, cursor, limit)
        paged += part
        if cursor is None:
            break
    assert paged == rows
    assert [row.at for row in rows] == sorted((row.at for row in rows), reverse=True)
