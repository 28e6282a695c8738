"""What generate really logs, through the ledger function, to what finance shows: the chain without stand-ins."""

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from functions.ledger import app as ledger
from tests import log_lines as lines
from tests.buckets import facts_of, landed
from tests.functional.generate.door import BLOG_POST, Answer, door
from tests.functional.generate.scripted import DONE, END, HEAD, USAGE, Step, chunk, provider, status
from weir.ledger.join import join
from weir.ledger.row import Row
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook

FUNCTION_URL = lines.json.loads((Path(__file__).parents[2] / "events" / "url_generate.json").read_text())
DOCUMENT = lines.json.dumps(BLOG_POST)


def completion(document: str) -> list[Step]:
    """A stream of a model that has a price."""
    model = {"model": "gpt-4o-mini-2024-07-18"}
    return [
        HEAD,
        chunk({"content": document}, **model),
        chunk(finish="stop", **model),
        chunk(usage=USAGE, **model),
        DONE,
        END,
    ]


async def ask(
    script: list[Step],
    body: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    headers: dict[str, str] | None = None,
) -> tuple[Answer, list[str]]:
    """One request of a cold process: what its caller saw, and the lines it logged."""
    capsys.readouterr()
    async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request(body, headers=headers, event_source="function_url")
    return answer, capsys.readouterr().out.splitlines()


def written_lines(written: list[str], row: Row) -> list[str]:
    """The lines of which the row is made, those of the platform around them included."""
    around = [
        lines.platform("start", row.request_id, version="$LATEST"),
        lines.report(row.request_id, row.billed_ms, initDurationMs=250.0),
    ]
    return [line for line in written if '"fact":' in line] + [lines.json.dumps(line) for line in around]


def booked(written: list[str], request_id: str, billed_ms: int, bucket: str, context: Any) -> Row:
    """The row of a request, with what the platform says around it, after the ledger took its batch twice."""
    whole = [
        lines.platform("start", request_id, version="$LATEST"),
        *written,
        lines.report(request_id, billed_ms, initDurationMs=250.0),
    ]
    event = landed(lines.batch(lines.log_events(whole)))
    ledger._store.cache_clear()
    for _ in range(2):
        assert ledger.handler(event, context)["poison"] == 0
    day = lines.NOON.date()
    (row,) = join(facts_of(Store(bucket), day, day), PriceBook.load())
    assert row.anomalies == ()
    return row


async def test_a_document_is_booked_with_its_bill_its_tokens_and_the_estimate_its_caller_saw(
    bucket: str, context: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"prompt": "Write", "schema": "blog_post", "tags": {"team": "docs"}}
    answer, written = await ask(completion(DOCUMENT), body, monkeypatch, capsys)
    kind, final = answer.final
    billed_ms = math.ceil(250 + final["timing"]["duration_ms"])
    row = booked(written, answer.headers["x-request-id"], billed_ms, bucket, context)
    assert (kind, row.outcome, row.join_status) == ("done", "ok", "complete")
    assert (row.tags, row.schema, row.attempts) == ({"team": "docs"}, "blog_post", 1)
    assert (row.billed_ms, row.memory_mb, row.init_ms) == (billed_ms, 512, 250.0)
    assert (row.wait_ms, row.stream_ms) == (final["timing"]["wait_ms"], final["timing"]["stream_ms"])
    assert row.streamed_bytes == len(answer.body)
    assert row.cost.unpriced == ()
    assert row.cost.components.output_tokens == Decimal("0.000003")  # 5 x 0.60 / 1M
    assert row.estimate_total == Decimal(final["cost"]["total"])
    assert not row.cost.is_estimate
    told, booked_ = final["cost"]["components"], row.cost.as_json()["components"]
    # What the caller was told is what was booked, but for the platform's own time and for lines not yet written.
    assert {name for name in booked_ if told[name] != booked_[name]} <= {"lambda_duration", "logs"}
    assert (told["logs"], row.log_bytes) == (None, sum(map(len, written_lines(written, row))))
    assert (row.front, row.cost.components.api_gateway) == ("function_url", 0)
    assert (row.violations, row.validated_values, row.saved_tokens) == (0, len(answer.of("value")), None)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (status(429, {"error": {"message": "slow down"}}), "rate_limited"),
        (status(500, {"error": {"message": "no"}}), "upstream_error"),
        (completion('{"title": 7}'), "invalid_output"),
        ([HEAD, chunk({"content": '{"title": "On'}), END], "incomplete_stream"),
    ],
    ids=["rate limited", "provider failed", "broken document", "cut off"],
)
async def test_a_failure_is_booked_under_its_outcome_and_costs_what_was_billed(
    script: list[Step],
    outcome: str,
    bucket: str,
    context: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    body = {"prompt": "Write", "schema": "blog_post"}
    answer, written = await ask(script, body, monkeypatch, capsys)
    row = booked(written, answer.headers["x-request-id"], 900, bucket, context)
    assert (row.outcome, row.join_status) == (outcome, "complete")
    assert row.cost.total > 0
    assert row.cost.components.lambda_duration is not None and row.cost.components.lambda_duration > 0


async def test_a_refused_request_bought_no_tokens_and_knows_it(
    bucket: str, context: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, written = await ask([], {"prompt": 7}, monkeypatch, capsys)
    row = booked(written, answer.headers["x-request-id"], 300, bucket, context)
    assert (answer.status, row.http_status, row.outcome) == (422, 422, "bad_request")
    assert row.cost.components.output_tokens == 0
    assert row.cost.unpriced == ()
