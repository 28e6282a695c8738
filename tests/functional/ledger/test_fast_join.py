"""The quick join makes the join's own rows, whatever is in the facts, and knows the facts that generate writes."""

import json
from datetime import date
from pathlib import Path

import pytest

from tests import log_lines as lines
from tests.functional.generate.door import BLOG_POST, door
from tests.functional.generate.scripted import DONE, END, HEAD, USAGE, chunk, provider
from tests.fuzz.fast_join import DAY, Facts, compare, one_case, stored, write_facts
from weir.ledger import fast_join
from weir.ledger.fast_join import join_unit
from weir.ledger.log_records import RawRecord
from weir.pricing.price_book import PriceBook


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.load()


def facts_of(written: list[list[str]]) -> tuple[Facts, list[RawRecord]]:
    """What is stored of the lines of some requests, one log stream each."""
    facts: Facts = []
    records = []
    for number, messages in enumerate(written):
        events = [
            lines.log_event(message, f"{number:036d}{place:020d}", lines.NOON_MS + number * 10 + place)
            for place, message in enumerate(messages)
        ]
        batch = lines.read_batch(lines.batch(events, log_stream=f"s{number}"), region="us-east-1")
        by_id = {event["id"]: event["message"] for event in events}
        records += batch.records
        facts += [stored(record, by_id[record.event_id]) for record in batch.records]
    return facts, records


def written(*requests: list[dict[str, object]]) -> list[list[str]]:
    return [[json.dumps(line) for line in request] for request in requests]


@pytest.mark.parametrize("seed", [1, 5])
def test_rows_of_usual_broken_and_doubled_requests_are_the_joins_own(seed: int, tmp_path: Path) -> None:
    unit = one_case(seed, tmp_path, 500)
    assert unit.plain > 0.4 * unit.rows, "expected a case that tries the SQL"


def test_a_unit_taken_in_sub_shards_and_slices_has_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_join, "SUB_SHARD_REQUESTS", 40)
    monkeypatch.setattr(fast_join, "JOINED_AT_ONCE", 7)
    one_case(3, tmp_path, 200)


def test_a_day_without_a_request_has_a_file_without_rows(tmp_path: Path, book: PriceBook) -> None:
    facts, _ = facts_of(written(lines.request("r-1")))
    file = write_facts(tmp_path / "facts.parquet", facts)
    unit = join_unit(
        [file],
        date(2026, 11, 24),
        book,
        tmp_path / "rows.parquet",
        rollup=tmp_path / "rollup.parquet",
        metadata={},
    )
    assert unit.rows == 0 and (tmp_path / "rows.parquet").exists()


def test_requests_that_went_as_usual_are_plain_on_one_attempt_and_on_two(
    tmp_path: Path, book: PriceBook
) -> None:
    attempt = {"attempt": 1, "model": "gpt-4o-mini", "outcome": "ok", "usage": lines.usage(), "timing": {}}
    never_served = {**attempt, "usage": {**lines.usage(0, 0), "source": "none"}}
    facts, records = facts_of(
        written(
            lines.request("one"),
            lines.request("two", attempts=[attempt, attempt]),
            lines.request("second", attempts=[never_served, attempt]),
            lines.request("never", attempts=[never_served, never_served]),
            lines.request("unpriced", model_returned="a-model-nobody-priced"),
        )
    )
    unit = compare([write_facts(tmp_path / "facts.parquet", facts)], records, tmp_path, book)
    assert unit.plain == unit.rows == 5


def test_a_member_that_nobody_knows_sends_its_request_through_the_join(
    tmp_path: Path, book: PriceBook
) -> None:
    of_later = lines.usage(seconds_of_video=3)
    facts, records = facts_of(
        written(
            lines.request("known"), lines.request("unknown", usage=of_later), lines.request("x", priority=1)
        )
    )
    unit = compare([write_facts(tmp_path / "facts.parquet", facts)], records, tmp_path, book)
    assert (unit.rows, unit.plain) == (3, 1)


async def test_what_generate_writes_of_a_document_is_plain(
    tmp_path: Path, book: PriceBook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"model": "gpt-4o-mini-2024-07-18"}
    script = [
        HEAD,
        chunk({"content": json.dumps(BLOG_POST)}, **model),
        chunk(finish="stop", **model),
        chunk(usage=USAGE, **model),
        DONE,
        END,
    ]
    capsys.readouterr()
    async with provider(script) as upstream, door(upstream.base_url, monkeypatch) as app:
        answer = await app.request({"prompt": "Write", "schema": "blog_post"}, event_source="function_url")
    logged = capsys.readouterr().out.splitlines()
    request_id = next(json.loads(line)["requestId"] for line in logged if '"fact":' in line)
    platform = [
        lines.platform("start", request_id, version="1"),
        lines.report(request_id, initDurationMs=250.25),
    ]
    facts, records = facts_of([[*logged, *map(json.dumps, platform)]])
    unit = compare([write_facts(tmp_path / "facts.parquet", facts)], records, tmp_path, book)
    assert answer.status == 200
    assert (unit.rows, unit.plain) == (1, 1), "expected its members in fast_join_shapes.py"
    assert DAY == lines.NOON.date()
