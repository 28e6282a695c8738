"""The ledger's twelve properties: a small part of `make fuzz`, drawn by Hypothesis, and the proof that it can fail."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import log_lines as lines
from tests.fuzz import ledger
from tests.fuzz.ledger_oracle import expected
from weir.ledger import join as joining
from weir.ledger import log_subscription
from weir.ledger.join import join
from weir.ledger.log_records import RawRecord
from weir.ledger.request_log import RequestRecords


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**63))
def test_every_property_holds_in_any_world_against_the_oracle(seed: int) -> None:
    ledger.one_case(seed)


def test_the_oracle_knows_what_a_request_costs_by_hand() -> None:
    # 1,600 ms of 512 MB arm64 are 0.8 GB-seconds; 1,000 and 500 tokens of gpt-4o-mini at 0.15 and 0.60 a million.
    records = lines.read_batch(lines.batch(lines.log_events(lines.request("r1"))), region="us-east-1").records
    (row,) = join(records, ledger.BOOK)
    assert row.cost.components.lambda_duration == Decimal("0.8") * Decimal("0.0000133334")
    assert row.cost.components.lambda_request == Decimal("0.0000002")
    assert row.cost.components.input_tokens == Decimal("0.00015")
    assert row.cost.components.output_tokens == Decimal("0.0003")


# Bugs of the field, planted one at a time: each must be found, or the suite proves nothing.


def counted_twice(patch: pytest.MonkeyPatch) -> None:
    def distinct(records: Any) -> list[RawRecord]:
        return sorted(records, key=lambda record: (record.timestamp_ms, record.event_id))

    patch.setattr(joining, "distinct", distinct)


def in_order_of_arrival(patch: pytest.MonkeyPatch) -> None:
    def distinct(records: Any) -> list[RawRecord]:
        return list({record.event_id: record for record in records}.values())

    patch.setattr(joining, "distinct", distinct)


def last_report_wins(patch: pytest.MonkeyPatch) -> None:
    original = RequestRecords.__init__

    def init(self: RequestRecords, group: Any) -> None:
        original(self, group)
        self.metrics = self.metrics[-1:]

    patch.setattr(RequestRecords, "__init__", init)


def absent_is_nothing(patch: pytest.MonkeyPatch) -> None:
    original = joining.price_request

    def priced(used: Any, book: Any, lines: Any = None) -> Any:
        return original(used._replace(streamed_bytes=used.streamed_bytes or 0), book)

    patch.setattr(joining, "price_request", priced)


def cancelled_is_free(patch: pytest.MonkeyPatch) -> None:
    original = joining.price_request

    def priced(used: Any, book: Any, lines: Any = None) -> Any:
        cost = original(used, book)
        if used.tokens and used.wait_ms is not None:
            return cost
        free = replace(cost.components, lambda_duration=Decimal(0))
        return replace(cost, components=free, total=cost.total - (cost.components.lambda_duration or 0))

    patch.setattr(joining, "price_request", priced)


def forgeries_believed(patch: pytest.MonkeyPatch) -> None:
    original = log_subscription._kind

    def kind(members: Any) -> Any:
        record = members.get("record")
        if members.get("type") == "platform.report" and isinstance(record, dict):
            return "platform.report", record.get("requestId"), record
        return original(members)

    patch.setattr(log_subscription, "_kind", kind)


def poison_stops_its_batch(patch: pytest.MonkeyPatch) -> None:
    original = log_subscription.read_events

    def read(events: Any, *where: Any) -> Any:
        batch = original(events, *where)
        first = batch.poison[0].offset if batch.poison else None
        return batch if first is None else replace(batch, records=batch.records[:first])

    patch.setattr(log_subscription, "read_events", read)


def no_margin(patch: pytest.MonkeyPatch) -> None:
    original = ledger.MemoryStore.records

    def records(self: Any, first: Any, last: Any) -> Any:
        inner = last - first == 2 * ledger.DAY
        return original(self, first + ledger.DAY, last - ledger.DAY) if inner else original(self, first, last)

    patch.setattr(ledger.MemoryStore, "records", records)


@pytest.mark.parametrize(
    ("bug", "property_named"),
    [
        (counted_twice, "P1, P2"),
        (in_order_of_arrival, "P"),
        (last_report_wins, "P5"),
        (absent_is_nothing, "P12"),
        (cancelled_is_free, "P"),
        (forgeries_believed, "P"),
        (poison_stops_its_batch, "P"),
        (no_margin, "P7, P8, P9"),
    ],
)
def test_a_planted_bug_is_found(bug: Callable[[pytest.MonkeyPatch], None], property_named: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        for seed in range(400):
            try:
                ledger.one_case(seed)
            except AssertionError as error:
                assert property_named in str(error)
                return
    pytest.fail("400 worlds, and nobody noticed")


def test_a_case_that_fails_is_made_smaller() -> None:
    with pytest.MonkeyPatch.context() as patch:
        last_report_wins(patch)
        for seed in range(400):
            world = ledger.draw(Random(seed))
            try:
                ledger.check(world, seed)
            except AssertionError:
                break
        small, said = ledger.smallest(world, seed)
    assert "P5" in said
    assert [line.kind for line in small.lines].count("platform.report") >= 2
    assert len(small.lines) <= 3
    assert expected(small, small.lines)
