"""From the total of a range to its lines, and from each line to its requests: whatever was booked, every step adds up
to the last digit, in the API, in CSV and page by page."""

import csv
import io
import json
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import boto3
import pytest
from starlette.testclient import TestClient

from functions.finance import app as finance
from tests import log_lines as lines
from tests.buckets import prepare_bucket
from tests.made_ledger import write_corrections, write_days
from weir.ledger.duck import open_ledger, write_query
from weir.ledger.join import join
from weir.ledger.landing import read_landing
from weir.ledger.log_records import RawRecord
from weir.ledger.table import COLUMNS
from weir.pricing.money import MONEY
from weir.pricing.price_book import PriceBook
from weir.reports import queries
from weir.reports.charge_sums import lines_of
from weir.reports.engine import DuckEngine
from weir.reports.queries import Filters
from weir.reports.token_scenarios import Tokens, input_sizes

START, FOUND = datetime(2026, 10, 31, 20, tzinfo=UTC), datetime(2026, 11, 2, 9, tzinfo=UTC)
RANGE = {"from": "2026-10-31", "to": "2026-11-03"}
ODD = ('say "hi", twice', "a,b\r\nc", "=1+1", "+cmd|' /C calc'!A0", "@SUM(1)", "-2", "\t=x", "größe")
UNPRICED = "=a-model-nobody-priced"
# A contract whose price changes in the range, by the size of the input, with every kind of token.
TIERS = [{"up_to": "20000", "price": "1.1"}, {"up_to": None, "price": "2.2"}]
KINDS = {"input": TIERS, "cached_input": "0.13", "cache_write_5m": "1.7", "cache_write_1h": "2.9", "output": "7",
         "reasoning": "9", "audio_input": "11"}  # fmt: skip
CONTRACT = {
    "models": [
        {
            "model": "ours",
            "equals": ["ours"],
            "records": [
                {"valid_to": "2026-11-01", "prices": KINDS},
                {"valid_from": "2026-11-01", "prices": {**KINDS, "output": "6.5"}},
            ],
        }
    ]
}


def usage(chance: random.Random) -> dict[str, Any]:
    """Counts of every kind, or of some; one in ten says more of a part than of the whole."""
    given, written = chance.choice((900, 3_000, 20_000, 20_001, 90_000)), chance.randrange(1, 4_000)
    if chance.random() < 0.2:
        return lines.usage(None, None, source="none")
    parts: dict[str, Any] = {}
    if chance.random() < 0.5:
        parts = {
            "cached_input_tokens": given // 3,
            "reasoning_tokens": chance.choice((0, written // 2, written)),
        }
    if chance.random() < 0.4:
        parts |= {"cache_write_tokens": given // 4, "cache_write_5m_tokens": given // 8}
        parts |= {"cache_write_1h_tokens": given // 16}
    if chance.random() < 0.2:
        parts["audio_input_tokens"] = given // 10
    if chance.random() < 0.1:
        parts["cached_input_tokens"] = given * 2
    return lines.usage(given, written, **parts)


def told(number: int, chance: random.Random) -> Iterator[Mapping[str, Any]]:
    """The log lines of one request."""
    request_id = chance.choice(("r{}", "=1+{}", "@r{}")).format(number)
    where = {
        "tenant": chance.choice(("acme", "-globex", None)),
        "tags": {"feature": chance.choice(ODD), chance.choice(ODD): "x"},
        "memory_mb": chance.choice((512, 1769)),
        "architecture": "arm64" if number % 2 else "x86_64",
        "region": chance.choice(("us-east-1", "us-east-1", "xx-nowhere-1")),
        "ephemeral_storage_mb": chance.choice((512, 2048)),
        "initialization_type": chance.choice(("on-demand", "snap-start")),
        "model": (model := chance.choice(("ours", "ours", "gpt-4o-mini", UNPRICED))),
    }
    bought, billed_ms = usage(chance), chance.randrange(300, 20_000)
    attempt = {"attempt": 1, "model": model, "model_returned": model, "usage": bought}
    yield lines.fact("request.started", request_id, **where)
    yield lines.completed(
        request_id,
        model_returned=model,
        attempts=[attempt] * chance.choice((1, 1, 1, 2)),
        front=chance.choice(("rest_api", "function_url")),
        streamed_bytes=chance.choice((20_000, 9_000_000, None)),
        **where,
    )
    if chance.random() < 0.9:
        restored = {"restoreDurationMs": 210.0} if where["initialization_type"] == "snap-start" else {}
        yield lines.report(request_id, billed_ms, memorySizeMB=where["memory_mb"], **restored)


def records() -> Iterator[RawRecord]:
    chance = random.Random(15)
    for number in range(160):
        at_ms = round((START + timedelta(minutes=11 * number)).timestamp() * 1000)
        for place, line in enumerate(told(number, chance)):
            body = line.get("fact") or line["record"]
            yield RawRecord(
                lines.GROUP, lines.STREAM, f"{number:06d}{place}", at_ms + place, line.get("message") or line["type"],
                body.get("request_id") or body["requestId"], body.get("region", "us-east-1"), body, len(json.dumps(line)),
            )  # fmt: skip


def metering(path: Path, files: list[Path]) -> Path:
    """An hour of the ledger's own cost, found where the corrections are."""
    own = {
        "entry": "'metering'",
        "request_id": "'metering'",
        "cost_metering": "0.0123",
        "total": "0.0123",
        "unpriced": "CAST([] AS VARCHAR[])",
    }
    kept = {"at_utc", "day", "function", "join_status", "price_book_version", "is_estimate"}
    chosen = (own.get(c.name) or (c.name if c.name in kept else "NULL") for c in COLUMNS)
    columns = ", ".join(f"{value} AS {c.name}" for value, c in zip(chosen, COLUMNS, strict=True))
    with open_ledger(files) as connection:
        write_query(connection, path, f"SELECT {columns} FROM ledger ORDER BY at_utc DESC LIMIT 1", {})
    return path


class AfterIt(finance.Services):
    """The services weeks later, with a contract's prices: other ones than those that priced gpt-4o-mini's rows."""

    book = PriceBook.load(CONTRACT)

    def now(self) -> datetime:
        return datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def client(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("rows")
    dearer = {
        "model": "gpt-4o-mini",
        "equals": ["gpt-4o-mini"],
        "records": [{"prices": {"input": "3", "output": "4"}}],
    }
    booked = PriceBook.load({"models": [*CONTRACT["models"], dearer]})
    days = write_days(folder, join(list(records()), booked))
    corrections = write_corrections(folder / "corrections.parquet", days, 12, FOUND)
    with pytest.MonkeyPatch.context() as patch:
        bucket = prepare_bucket(moto_url, patch)
        s3 = boto3.client("s3")
        for path in days:
            s3.upload_file(str(path), bucket, f"rows/v1/dt={path.stem}/rows.parquet")
        at = f"rows/v1/dt={FOUND.date().isoformat()}"
        s3.upload_file(str(corrections), bucket, f"{at}/correction-2026-10-0001-abc.parquet")
        s3.upload_file(
            str(metering(folder / "metering.parquet", [corrections])), bucket, f"{at}/metering.parquet"
        )
        with TestClient(finance.create_app(AfterIt())) as made:
            yield made


@pytest.fixture(scope="module")
def charges(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/charges", params=RANGE).raise_for_status().json()
    return found


def added(texts: list[str | None]) -> Decimal | None:
    with localcontext(MONEY):
        known = [Decimal(text) for text in texts if text]
        return sum(known, Decimal(0)) if known else None


def same(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def test_the_lines_add_up_to_the_report_charge_by_charge(client: TestClient, charges: dict[str, Any]) -> None:
    totals = client.get("/api/report", params=RANGE).raise_for_status().json()["totals"]
    assert (
        added([line["booked"] for line in charges["lines"]])
        == Decimal(totals["total"])
        == Decimal(charges["total"])
    )
    for component in charges["components"]:
        of = [line for line in charges["lines"] if line["component"] == component["component"]]
        assert added([line["booked"] for line in of]) == Decimal(totals["components"][component["component"]])
        assert added([line["amount"] for line in of]) == same(
            component["explained"] if component["explained"] != "0" else None
        )
    booked = {name: Decimal(amount) for name, amount in totals["components"].items() if amount}
    assert {one["component"]: Decimal(one["booked"]) for one in charges["components"]} == {
        name: amount for name, amount in booked.items() if amount
    } | {one["component"]: Decimal(0) for one in charges["components"] if one["booked"] == "0"}


def test_the_ledger_of_this_test_has_what_can_go_wrong(charges: dict[str, Any]) -> None:
    """Prices by day, by size, in other books; what has no price or quantity; corrections; contradictions."""
    found = charges["lines"]
    assert {line["entry"] for line in found} == {"request", "correction", "metering"}
    assert {line["unit_price"] for line in found if (line["component"], line["model"]) == ("output_tokens", "ours")} == {
        "7", "6.5", "9",
    }  # fmt: skip
    assert {line["unit_price"] for line in found if line["component"] == "input_tokens"} >= {
        "1.1",
        "2.2",
        "0.15",
        None,
    }
    assert {line["component"] for line in found} >= {
        "lambda_duration", "lambda_request", "lambda_streamed_bytes", "lambda_ephemeral_storage", "lambda_restore",
        "api_gateway", "logs", "cache_write_tokens", "audio_input_tokens", "metering",
    }  # fmt: skip
    assert any(line["model"] == UNPRICED and line["quantity"] and line["amount"] is None for line in found)
    assert any(line["region"] == "xx-nowhere-1" and line["unit_price"] is None for line in found)
    assert any(
        line["booked"]
        and line["amount"]
        and abs(Decimal(line["booked"]) - Decimal(line["amount"])) > Decimal("0.001")
        for line in found
    )
    assert len({line["id"] for line in found}) == len(found) > 30


def test_the_requests_of_each_line_add_up_to_it_to_the_last_digit(
    client: TestClient, charges: dict[str, Any]
) -> None:
    for line in charges["lines"]:
        if line["entry"] == "metering":
            assert line["requests_query"] is None
            continue
        address = f"/api/charges/requests?{line['requests_query']}"
        page = client.get(f"{address}&limit=500").raise_for_status().json()
        assert page["line"] == line and page["next_cursor"] is None
        rows = page["rows"]
        assert (
            len({(share["row"]["request_id"], share["row"]["at"]) for share in rows})
            == len(rows)
            == line["requests"]
        )
        assert {share["row"]["entry"] for share in rows} == {line["entry"]}
        for name in ("quantity", "amount", "booked"):
            assert added([share[name] for share in rows]) == same(line[name]), (line, name)
        assert not any(share["quantity"] == "0" and share["booked"] in (None, "0") for share in rows), line
        if line["entry"] == "request":
            for share in rows:
                assert share["row"]["model_returned"] == (line["model"] or share["row"]["model_returned"])


def test_a_line_is_read_page_by_page_each_request_once(client: TestClient, charges: dict[str, Any]) -> None:
    """Also where most rows that look like the line's are another's: another size of input, another price."""
    for line in charges["lines"]:
        if line["component"] not in ("input_tokens", "output_tokens") or line["requests"] < 12:
            continue
        whole = client.get(f"/api/charges/requests?{line['requests_query']}&limit=500").json()["rows"]
        limit = len(whole) // 3 + 1
        paged, cursor = [], ""
        while cursor is not None:
            page = client.get(f"/api/charges/requests?{line['requests_query']}&limit={limit}{cursor}").json()
            assert page["rows"] and len(page["rows"]) <= limit
            paged += page["rows"]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        assert paged == whole


def test_csv_of_lines_and_of_their_requests_adds_up_and_no_spreadsheet_runs_a_cell(
    client: TestClient, charges: dict[str, Any]
) -> None:
    answer = client.get("/api/charges", params={**RANGE, "format": "csv"}).raise_for_status()
    listed = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["booked"] for row in listed] == [line["booked"] or "" for line in charges["lines"]]
    seen = set()
    for row in listed:
        if not row["requests_at"] or row["component"] not in ("logs", "output_tokens", "lambda_request"):
            continue
        text = client.get(row["requests_at"]).raise_for_status().text
        requests = list(csv.DictReader(io.StringIO(text, newline="")))
        assert len(requests) == int(row["requests"])
        for name in ("quantity", "amount", "booked"):
            assert added([request[name] for request in requests]) == same(row[name] or None), row
        for request in requests:
            numbers = {"quantity", "unit_price", "amount", "booked"}
            assert not any(
                cell.startswith(("=", "+", "-", "@", "\t", "\r"))
                for name, cell in request.items()
                if name not in numbers
            )
            seen |= {value for tags in [json.loads(request["tags"])] for value in (*tags, *tags.values())}
    assert seen >= set(ODD)


def test_a_request_of_a_lines_csv_is_found_at_its_address(
    client: TestClient, charges: dict[str, Any]
) -> None:
    line = next(line for line in charges["lines"] if line["component"] == "lambda_restore")
    text = client.get(f"/api/charges/requests?{line['requests_query']}&format=csv").text
    for row in list(csv.DictReader(io.StringIO(text, newline="")))[:6]:
        found = client.get(f"/api{row['request_at']}").raise_for_status().json()["row"]
        assert found["request_id"] == row["request_id"].removeprefix("'")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"line": "0123456789abcdef"}, "line"),
        ({"line": "=1+1"}, "line"),
        ({}, "line"),
        ({"cursor": "x"}, "cursor"),
    ],
)
def test_a_line_that_the_range_has_not_is_refused_with_its_name(
    client: TestClient, charges: dict[str, Any], query: dict[str, str], field: str
) -> None:
    known = {"line": charges["lines"][0]["id"]} if "cursor" in query else {}
    answer = client.get("/api/charges/requests", params={**RANGE, **known, **query})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{field}")


@pytest.mark.parametrize(
    "counts",
    [
        lines.usage(1000, 500, total_tokens=1400),
        lines.usage(10**9, 500),
        lines.usage(1000, 500, tool_prompt_tokens=1001),
        lines.usage(1000, 500, cached_input_tokens=1001),
    ],
    ids=[
        "a total that is no sum",
        "absurd",
        "a tool's prompt over the input",
        "a cached part over the input",
    ],
)
def test_counts_that_contradict_each_other_in_any_way_are_in_no_quantity_as_they_are_in_no_price(
    counts: dict[str, Any], tmp_path: Path
) -> None:
    book = PriceBook.load()
    written = [*lines.request("counted"), *lines.request("contradictory", usage=counts)]
    (batch,) = read_landing(lines.batch(lines.log_events(written)))
    whole_day = Filters(start=lines.NOON - timedelta(hours=12), end=lines.NOON + timedelta(hours=12))
    sizes = input_sizes([], whole_day.days, book)
    with DuckEngine(write_days(tmp_path / "rows", join(batch.records, book))) as engine:
        [rows] = engine.rows([queries.charged_tokens(whole_day, sizes)])
    found = lines_of([], Tokens(rows, sizes, book), [], book).values()
    assert {line.part.component: (line.quantity, line.amount) for line in found} == {
        "input_tokens": (Decimal("0.001"), Decimal("0.00015")),
        "output_tokens": (Decimal("0.0005"), Decimal("0.0003")),
    }
    assert all(line.booked == line.amount and line.requests == 1 for line in found)
