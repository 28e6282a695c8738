"""The finance function over stored facts: through Mangum with function URL events, and as an ASGI application."""

import base64
import gzip
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from openapi_spec_validator import validate
from starlette.testclient import TestClient

from functions.finance import app as finance
from functions.ledger import app as ledger
from tests import log_lines as lines
from weir.core.outcomes import Outcome

EVENTS = Path(__file__).parents[2] / "events"


class At(finance.Services):
    """The real services at a fixed time, an hour after the requests."""

    def now(self) -> datetime:
        return lines.NOON + timedelta(hours=1)


@pytest.fixture
def client(bucket: str, context: Any) -> Iterator[TestClient]:
    ledger._store.cache_clear()
    finance._store.cache_clear()
    written = [
        *lines.request("r1"),
        *lines.request("r2", model="gpt-4o", model_returned="gpt-4o-2024-11-20", tags={"team": "shop"}),
        lines.platform("start", "r3", version="$LATEST"),
        lines.fact("request.started", "r3"),
        lines.report("r3", 30_000, status="timeout"),
        lines.completed("r4", outcome="invalid_output"),
    ]
    ledger.handler(lines.batch(lines.log_events(written)), context)
    with TestClient(finance.create_app(At())) as made:
        yield made


def ids(client: TestClient, **query: Any) -> list[str]:
    answer = client.get("/api/requests", params=query)
    assert answer.status_code == 200, answer.text
    return [row["request_id"] for row in answer.json()["rows"]]


def test_rows_come_newest_first_with_money_as_text(client: TestClient) -> None:
    answer = client.get("/api/requests").json()
    assert [row["request_id"] for row in answer["rows"]] == ["r4", "r3", "r2", "r1"]
    assert answer["rows"][-1]["cost"]["total"] == "0.00046086672"
    assert answer["rows"][1]["outcome"] == "killed"
    assert answer["next_cursor"] is None
    assert answer["unreadable_objects"] == 0


def test_filters_by_outcome_model_tag_and_time_find_their_rows(client: TestClient) -> None:
    assert ids(client, outcome="killed") == ["r3"]
    assert ids(client, model="gpt-4o") == ["r2"]
    assert ids(client, model="gpt-4o-2024-11-20") == ["r2"]
    assert ids(client, tag="team=shop") == ["r2"]
    assert ids(client, tag=["team", "team=search"]) == ["r4", "r3", "r1"]
    assert ids(client, tag="nobody") == []
    assert ids(client, **{"from": "2026-11-22", "to": "2026-11-23"}) == ["r4", "r3", "r2", "r1"]
    assert ids(client, **{"from": "2026-11-22T13:00:00.011+01:00", "to": "2026-11-22T12:00:00.012Z"}) == [
        "r4"
    ]
    assert ids(client, **{"from": "2026-11-23", "to": "2026-11-24"}) == []


def test_pages_join_up_and_new_rows_do_not_shift_them(client: TestClient, context: Any) -> None:
    first = client.get("/api/requests", params={"limit": 3}).json()
    later = [
        lines.log_event(line, f"n{n}", lines.NOON_MS + 60_000) for n, line in enumerate(lines.request("r5"))
    ]
    ledger.handler(lines.batch(later), context)
    second = client.get("/api/requests", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [row["request_id"] for row in (*first["rows"], *second["rows"])] == ["r4", "r3", "r2", "r1"]
    assert second["next_cursor"] is None
    assert ids(client, limit=1) == ["r5"]


def test_a_late_half_completes_its_row_at_the_next_look(client: TestClient, context: Any) -> None:
    assert client.get("/api/requests/r4").json()["join_status"] == "usage_only"
    ledger.handler(
        lines.batch([lines.log_event(lines.report("r4", 500), "late", lines.NOON_MS + 900)]), context
    )
    row = client.get("/api/requests/r4").json()
    assert (row["join_status"], row["billed_ms"]) == ("complete", 500)


def test_the_summary_says_what_is_known_and_what_is_not(client: TestClient) -> None:
    totals = client.get("/api/summary").json()
    assert totals["requests"] == 4
    assert {name: group["requests"] for name, group in totals["by_outcome"].items()} == {
        "invalid_output": 1,
        "killed": 1,
        "ok": 2,
    }
    assert totals["unpriced"]["rows"] == 2
    assert totals["unpriced"]["reasons"]["billed_duration_unknown"] == 1
    assert totals["completeness"] == {
        "complete": 2,
        "bill_only": 1,
        "usage_only": 1,
        "started_only": 0,
        "rows_with_anomalies": 0,
        "logs_dropped": 0,
        "set_aside": 0,
        "unreadable_objects": 0,
    }
    assert totals["estimates"]["rows"] == 2
    assert client.get("/api/summary", params={"outcome": "killed"}).json()["tokens"]["output_tokens"] is None


def test_an_object_that_cannot_be_read_is_counted_and_hides_nothing_else(
    client: TestClient, bucket: str
) -> None:
    key = "facts/v1/kind=platform.report/dt=2026-11-22/broken.ndjson.gz"
    for body in (b"no gzip", gzip.compress(b"{}\n"), gzip.compress(b"{")):
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        totals = client.get("/api/summary").json()
        assert (totals["requests"], totals["completeness"]["unreadable_objects"]) == (4, 1)


def test_text_that_utf8_cannot_carry_spoils_no_answer(client: TestClient, context: Any) -> None:
    half = "a\ud800b"
    odd = lines.completed("r6", model=half, model_returned=half, tags={half: half}, schema=half)
    ledger.handler(lines.batch([lines.log_event(odd, "odd")]), context)
    assert client.get("/api/requests/r6").json()["model_returned"] == "a?b"
    assert "a?b" in client.get("/api/summary").json()["by_model"]


def test_what_was_set_aside_is_counted(client: TestClient, context: Any) -> None:
    ledger.handler(lines.batch([7]), context)
    ledger.handler(lines.batch(lines.log_events([lines.platform("logsDropped", None)], "d")), context)
    completeness = client.get("/api/summary").json()["completeness"]
    assert (completeness["set_aside"], completeness["logs_dropped"]) == (1, 1)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("from=2026-11-22T10:00:00", "from"),
        ("to=2026-02-30", "to"),
        ("from=2026-11-23&to=2026-11-22", "from"),
        ("from=2020-01-01", "from"),
        ("outcome=splendid", "outcome"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=ten", "limit"),
        ("tag=a%20b", "tag"),
        ("tag==x", "tag"),
        ("cursor=!!", "cursor"),
        ("cursor=bm9uZQ", "cursor"),
        ("model=" + "m" * 257, "model"),
    ],
)
def test_a_parameter_that_is_wrong_is_named_in_a_problem_document(
    client: TestClient, query: str, field: str
) -> None:
    answer = client.get(f"/api/requests?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_an_unknown_request_and_an_unknown_path_are_not_found(client: TestClient) -> None:
    for path in ("/api/requests/nobody", "/nowhere", "/page/app.py", "/page/..%2fapp.py"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["status"] if answer.status_code == 404 else 404) in {
            (404, 404),
            (422, 404),
        }
    assert client.post("/api/summary").status_code == 405


def test_a_ledger_that_cannot_be_read_is_a_503_that_says_why(client: TestClient, bucket: str) -> None:
    s3 = boto3.client("s3")
    for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        s3.delete_object(Bucket=bucket, Key=entry["Key"])
    s3.delete_bucket(Bucket=bucket)
    answer = client.get("/api/summary")
    assert (answer.status_code, answer.json()["detail"]) == (503, "S3 answered NoSuchBucket")


def test_the_outcome_filter_knows_every_outcome(client: TestClient) -> None:
    listed = set(client.get("/openapi.json").json()["components"]["schemas"]["OutcomeFilter"]["enum"])
    assert listed == {outcome.value for outcome in Outcome} | {"unknown"}
    script = (finance.PAGE / "dashboard.js").read_text()
    assert all(f'"{name}"' in script for name in listed)


def test_the_openapi_document_is_valid(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    validate(document)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == 3
    for operation in operations:
        assert set(operation["responses"]["422"]["content"]) == {"application/problem+json"}


class References(HTMLParser):
    """Collects what a page loads, and what its policy would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if (tag == "script" and "src" not in given) or tag == "style":
            self.inline.append(tag)
        self.loaded += [value for name, value in attributes if name in ("src", "href") and value]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_loads_only_what_the_function_serves_under_a_strict_policy(
    client: TestClient, path: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    page = References()
    page.feed(answer.text)
    assert page.inline == []
    for reference in page.loaded:
        if not reference.startswith(("#", "data:")):
            assert client.get(f"/{reference}").status_code == 200, reference


def url_event(path: str, query: str = "") -> dict[str, Any]:
    """A function URL's event (payload format 2.0)."""
    event: dict[str, Any] = json.loads((EVENTS / "url_get_requests.json").read_text())
    event["requestContext"]["http"]["path"] = path
    return event | {"rawPath": path, "rawQueryString": query}


@pytest.mark.usefixtures("client")
def test_a_function_url_event_is_answered_in_plain_text(handler: Any, context: Any) -> None:
    query = urlencode({"from": "2026-11-22", "to": "2026-11-23", "tag": "team=shop"})
    answer = handler(url_event("/api/requests", query), context)
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
    assert [row["request_id"] for row in json.loads(answer["body"])["rows"]] == ["r2"]
    assert answer["headers"]["cache-control"] == "no-store"
    refused = handler(url_event("/api/requests", "limit=0"), context)
    assert (refused["statusCode"], refused["isBase64Encoded"]) == (422, False)
    assert json.loads(refused["body"])["errors"][0]["field"] == "limit"


@pytest.mark.usefixtures("client")
def test_a_function_url_event_gets_the_page(handler: Any, context: Any) -> None:
    answer = handler(url_event("/"), context)
    body = answer["body"]
    text = base64.b64decode(body).decode() if answer["isBase64Encoded"] else body
    assert "What each request cost" in text
