"""Mistakes that were made with other people's money, each named after its report: none may be made here.

litellm is https://github.com/BerriAI/litellm/issues/, langfuse is https://github.com/langfuse/langfuse/issues/.
"""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from tests import log_lines as lines
from weir.ledger.join import join
from weir.ledger.row import Row
from weir.pricing.cost import TokensBought, UsageQuantities, price_request
from weir.pricing.price_book import PriceBook
from weir.pricing.usage import Usage

BOOK = PriceBook.load()
START = lines.platform("start", "r1", version="$LATEST")
STARTED = lines.fact("request.started", "r1")
INPUT, CACHED, OUTPUT = (
    Decimal("0.00000015"),
    Decimal("0.000000075"),
    Decimal("0.0000006"),
)  # gpt-4o-mini, a token


def rows(*deliveries: list[dict[str, Any]]) -> list[Row]:
    """The rows of log events that came in several deliveries."""
    batches = [lines.read_batch(lines.batch(events), region="us-east-1") for events in deliveries]
    assert not any(batch.poison for batch in batches)
    return join([record for batch in batches for record in batch.records], BOOK)


def row(*written: dict[str, Any]) -> Row:
    """The one row of some lines."""
    (joined,) = rows(lines.log_events(written))
    return joined


def tokens_cost(joined: Row) -> Decimal:
    """What was paid for tokens."""
    components = joined.cost.components
    amounts = (components.input_tokens, components.cached_input_tokens, components.output_tokens)
    return sum((amount or Decimal(0) for amount in amounts), Decimal(0))


def test_langfuse_8559_cached_input_is_charged_once_and_at_the_price_of_cached_input() -> None:
    usage = lines.usage(100_000, 500, cached_input_tokens=90_000)
    joined = row(START, STARTED, lines.completed("r1", usage=usage), lines.report("r1"))
    assert tokens_cost(joined) == 10_000 * INPUT + 90_000 * CACHED + 500 * OUTPUT


def test_litellm_13245_a_stream_that_its_caller_left_costs_what_was_billed_and_what_was_counted() -> None:
    usage = lines.usage(1000, 40, source="estimated")
    left = lines.completed("r1", outcome="client_disconnected", usage=usage)
    joined = row(START, STARTED, left, lines.report("r1"))
    assert joined.outcome == "client_disconnected"
    assert joined.cost.components.lambda_duration == Decimal("0.8") * Decimal("0.0000133334")
    assert tokens_cost(joined) == 1000 * INPUT + 40 * OUTPUT
    assert joined.cost.is_estimate


def test_litellm_13245_a_stream_that_nobody_counted_is_named_as_unpriced_and_not_taken_for_free() -> None:
    left = lines.completed("r1", outcome="client_disconnected", usage=lines.usage(None, None, source="none"))
    joined = row(START, STARTED, left, lines.report("r1"))
    assert (joined.cost.components.output_tokens, joined.usage.output_tokens) == (None, None)
    assert {"input_tokens_unknown", "output_tokens_unknown"} <= set(joined.cost.unpriced)
    assert joined.cost.total > 0


def test_litellm_36168_usage_that_is_told_four_times_is_paid_once() -> None:
    told = lines.usage(1000, 500)
    checkpoints = [lines.fact("request.progress", "r1", usage=told) for _ in range(3)]
    written = [START, STARTED, *checkpoints, lines.completed("r1", usage=told), lines.report("r1")]
    once = lines.log_events(written)
    (joined,) = rows(once, once, list(reversed(once)), once)
    assert tokens_cost(joined) == 1000 * INPUT + 500 * OUTPUT
    assert joined.billed_invocations == 1


def test_litellm_36168_reasoning_is_part_of_the_output_and_not_charged_beside_it() -> None:
    usage = lines.usage(1000, 500, reasoning_tokens=400)
    joined = row(START, STARTED, lines.completed("r1", usage=usage), lines.report("r1"))
    assert joined.cost.components.output_tokens == 500 * OUTPUT


def test_litellm_37923_an_event_that_was_tried_again_is_billed_each_time() -> None:
    """Little was recorded of much that was invoiced: every report and every attempt counts."""
    failed = lines.completed("r1", outcome="upstream_error", usage=lines.usage(1000, 0))
    written = [START, STARTED, failed, lines.report("r1", 900), *lines.request("r1", 1600)]
    joined = row(*written)
    assert (joined.billed_ms, joined.billed_invocations) == (2500, 2)
    assert tokens_cost(joined) == 2000 * INPUT + 500 * OUTPUT


def test_litellm_37923_a_model_without_a_price_is_named_and_never_free() -> None:
    unknown = lines.completed("r1", model="brand-new", model_returned="brand-new-2026-11-20")
    joined = row(START, STARTED, unknown, lines.report("r1"))
    assert joined.cost.components.output_tokens is None
    assert "no_price:tokens:brand-new-2026-11-20:2026-11-22" in joined.cost.unpriced


@pytest.mark.parametrize("hours", [-12, -5, 0, 2, 14])
def test_litellm_27780_an_instant_has_one_price_and_one_day_in_every_time_zone(hours: int) -> None:
    """A price that changed at midnight UTC; the reader's zone moves neither it nor the row's day."""
    change = datetime(2026, 3, 13, tzinfo=UTC)
    usage = Usage(300_000, 0, 0, 0, None, "provider")

    def paid(at: datetime) -> Decimal | None:
        used = UsageQuantities(
            at=at.astimezone(timezone(timedelta(hours=hours))),
            billed_ms=1,
            memory_mb=128,
            architecture="arm64",
            region="us-east-1",
            tokens=[TokensBought("claude-sonnet-4-6", usage)],
        )
        return price_request(used, BOOK).components.input_tokens

    assert paid(change - timedelta(milliseconds=1)) == 300_000 * Decimal("0.000006")
    assert paid(change) == 300_000 * Decimal("0.000003")
