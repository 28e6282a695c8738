"""The finance function over stored facts: through Mangum with function URL events, and as an ASGI application."""

import base64
import gzip
import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode, urljoin
from urllib.request import urlopen

import boto3
import pytest
from openapi_spec_validator import validate
from starlette.testclient import TestClient

from functions.finance import app as finance
from functions.ledger import app as ledger
from functions.ledger_jobs import app as jobs
from tests import log_lines as lines
from tests.buckets import landed, prepare_bucket
from weir.outcomes import Outcome
from weir.reports.web import PageFiles

EVENTS = Path(__file__).parents[2] / "events"


class At(finance.Services):
    """The real services at a fixed time, an hour after the requests."""

    def now(self) -> datetime:
        return lines.NOON + timedelta(hours=1)


def write_requests(context: Any) -> None:
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
    ledger.handler(landed(lines.batch(lines.log_events(written))), context)


@pytest.fixture
def client(bucket: str, context: Any) -> Iterator[TestClient]:
    write_requests(context)
    with TestClient(finance.create_app(At())) as made:
        yield made


@pytest.fixture(scope="module")
def read_ledger(moto_url: str) -> Iterator[tuple[str, TestClient]]:
    """The same requests, for tests that only read."""
    with pytest.MonkeyPatch.context() as patch:
        bucket = prepare_bucket(moto_url, patch)
        write_requests(SimpleNamespace(aws_request_id="7f0c1c4e"))
        with TestClient(finance.create_app(At())) as made:
            yield bucket, made


@pytest.fixture
def reading(read_ledger: tuple[str, TestClient], monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("WEIR_LEDGER_BUCKET", read_ledger[0])
    return read_ledger[1]


def ids(client: TestClient, **query: Any) -> list[str]:
    answer = client.get("/api/requests", params=query)
    assert answer.status_code == 200, answer.text
    return [row["request_id"] for row in answer.json()["rows"]]


def test_rows_come_newest_first_with_money_as_text(reading: TestClient) -> None:
    answer = reading.get("/api/requests").json()
    assert [row["request_id"] for row in answer["rows"]] == ["r4", "r3", "r2", "r1"]
    whole = answer["rows"][-1]["cost"]
    assert Decimal(whole["total"]) == sum(Decimal(part) for part in whole["components"].values() if part)
    assert answer["rows"][1]["outcome"] == "killed"
    assert answer["next_cursor"] is None
    assert answer["unreadable_objects"] == 0


def test_filters_by_outcome_model_tag_and_time_find_their_rows(reading: TestClient) -> None:
    assert ids(reading, outcome="killed") == ["r3"]
    assert ids(reading, model="gpt-4o") == ["r2"]
    assert ids(reading, model="gpt-4o-2024-11-20") == ["r2"]
    assert ids(reading, tag="team=shop") == ["r2"]
    assert ids(reading, tag=["team", "team=search"]) == ["r4", "r3", "r1"]
    assert ids(reading, tag="nobody") == []
    assert ids(reading, **{"from": "2026-11-22", "to": "2026-11-23"}) == ["r4", "r3", "r2", "r1"]
    assert ids(reading, **{"from": "2026-11-22T13:00:00.011+01:00", "to": "2026-11-22T12:00:00.012Z"}) == [
        "r4"
    ]
    assert ids(reading, **{"from": "2026-11-23", "to": "2026-11-24"}) == []


def test_pages_join_up_and_new_rows_do_not_shift_them(client: TestClient, context: Any) -> None:
    first = client.get("/api/requests", params={"limit": 3}).json()
    later = [
        lines.log_event(line, f"n{n}", lines.NOON_MS + 60_000) for n, line in enumerate(lines.request("r5"))
    ]
    ledger.handler(landed(lines.batch(later)), context)
    second = client.get("/api/requests", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [row["request_id"] for row in (*first["rows"], *second["rows"])] == ["r4", "r3", "r2", "r1"]
    assert second["next_cursor"] is None
    assert ids(client, limit=1) == ["r5"]


def test_a_late_half_completes_its_row_at_the_next_look(client: TestClient, context: Any) -> None:
    assert client.get("/api/requests/r4").json()["row"]["join_status"] == "usage_only"
    ledger.handler(
        landed(lines.batch([lines.log_event(lines.report("r4", 500), "late", lines.NOON_MS + 900)])), context
    )
    row = client.get("/api/requests/r4").json()["row"]
    assert (row["join_status"], row["billed_ms"]) == ("complete", 500)


def test_the_report_says_what_is_known_and_what_is_not(reading: TestClient) -> None:
    report = reading.get("/api/report").json()
    totals = report["totals"]
    assert totals["requests"] == 4
    assert {group["name"]: group["requests"] for group in report["breakdowns"]["outcome"]} == {
        "invalid_output": 1,
        "killed": 1,
        "ok": 2,
    }
    assert totals["unpriced"]["reasons"]["billed_duration_unknown"] == 1
    counted = {name: report["completeness"][name] for name in ("complete", "bill_only", "usage_only")}
    assert counted == {"complete": 2, "bill_only": 1, "usage_only": 1}
    killed = reading.get("/api/report", params={"outcome": "killed"}).json()["totals"]
    assert (killed["requests"], killed["tokens"]["output"]) == (1, None)


def test_an_object_that_cannot_be_read_is_counted_and_hides_nothing_else(
    client: TestClient, bucket: str
) -> None:
    key = "facts/v2/hour=2026-11-22T12/broken.parquet"
    for body in (b"no gzip", gzip.compress(b"{}\n"), gzip.compress(b"{")):
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        report = client.get("/api/report").json()
        assert (report["totals"]["requests"], report["completeness"]["unreadable_objects"]) == (4, 1)


def test_text_that_utf8_cannot_carry_spoils_no_answer(client: TestClient, context: Any) -> None:
    half = "a\ud800b"
    odd = lines.completed("r6", model=half, model_returned=half, tags={half: half}, schema=half)
    ledger.handler(landed(lines.batch([lines.log_event(odd, "odd")])), context)
    assert client.get("/api/requests/r6").json()["row"]["model_returned"] == "a?b"
    report = client.get("/api/report", params={"by": "tag:team"}).json()
    assert "a?b" in [group["name"] for group in report["breakdowns"]["model"]]


def test_what_was_set_aside_is_counted(client: TestClient, context: Any) -> None:
    ledger.handler(landed(lines.batch([7])), context)
    ledger.handler(landed(lines.batch(lines.log_events([lines.platform("logsDropped", None)], "d"))), context)
    completeness = client.get("/api/report").json()["completeness"]
    assert (completeness["set_aside"], completeness["logs_dropped"]) == (1, 1)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("from=2026-11-22T10:00:00", "from"),
        ("to=2026-02-30", "to"),
        ("from=2026-11-23&to=2026-11-22", "from"),
        ("from=2020-01-01", "from"),
        ("from=0001-01-01", "from"),
        ("from=9999-12-31T23:59:59-14:00", "from"),
        ("from=2026-11-22&tz=Mars/Olympus", "tz"),
        ("tz=../../etc/passwd", "tz"),
        ("tz=America", "tz"),
        ("sort=cheapest", "sort"),
        ("tennant=acme", "tennant"),
        ("by=tenant", "by"),
        ("tenant=acme&tenant=shop", "tenant"),
        ("tenant=" + "t" * 257, "tenant"),
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
    reading: TestClient, query: str, field: str
) -> None:
    answer = reading.get(f"/api/requests?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["pointer"].split("/")[1] for error in answer.json()["errors"]] == [field]
    assert all(error["detail"] for error in answer.json()["errors"])


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("tennant=acme", "tenant?"),
        ("form=2026-11-01", "from?"),
        ("Tag=a", "tag?"),
        ("zzz=1", "one of cursor, "),
    ],
)
def test_a_mistyped_parameter_is_refused_with_the_nearest_right_name(
    reading: TestClient, query: str, meant: str
) -> None:
    for path in ("/api/requests", "/api/requests/r1", "/api/report"):
        answer = reading.get(f"{path}?{query}")
        if meant.startswith("one") and path != "/api/requests":
            continue
        if answer.status_code == 422:
            [error] = answer.json()["errors"]
            assert f"expected {meant}" in error["detail"] or "one of" in error["detail"]
        assert answer.status_code == 422


def test_an_unknown_request_and_an_unknown_path_are_not_found(reading: TestClient) -> None:
    for path in ("/api/requests/nobody", "/nowhere", "/page/app.py", "/page/..%2fapp.py", "/api/summary"):
        answer = reading.get(path)
        assert (answer.status_code, answer.json()["status"]) == (404, 404)
        assert answer.headers["content-type"] == "application/problem+json"
    assert reading.post("/api/report").status_code == 405


def test_a_ledger_that_cannot_be_read_is_a_503_that_says_why(client: TestClient, bucket: str) -> None:
    s3 = boto3.client("s3")
    for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        s3.delete_object(Bucket=bucket, Key=entry["Key"])
    s3.delete_bucket(Bucket=bucket)
    answer = client.get("/api/report")
    assert (answer.status_code, answer.json()["detail"]) == (503, "S3 answered NoSuchBucket")


def test_the_outcome_filter_knows_every_outcome(reading: TestClient) -> None:
    listed = set(reading.get("/openapi.json").json()["components"]["schemas"]["OutcomeFilter"]["enum"])
    assert listed == {outcome.value for outcome in Outcome} | {"unknown"}
    page = "".join(path.read_text() for path in (*finance.PAGE.glob("*.js"), *finance.PAGE.glob("*.html")))
    assert [name for name in listed if f'"{name}"' not in page] == []


def test_every_member_and_every_parameter_of_the_api_is_described(reading: TestClient) -> None:
    document = reading.get("/openapi.json").json()
    schemas = document["components"]["schemas"]

    def described(member: dict[str, Any]) -> bool:
        named = schemas.get(member.get("$ref", "").rpartition("/")[2], {})
        return bool(member.get("description") or named.get("description"))

    missing = [
        f"{name}.{member}"
        for name, schema in schemas.items()
        for member, said in schema.get("properties", {}).items()
        if not described(said)
    ]
    missing += [
        f"{path} {parameter['name']}"
        for path, methods in document["paths"].items()
        for entry in methods.values()
        for parameter in entry.get("parameters", ())
        if not parameter.get("description")
    ]
    assert missing == []


def test_the_openapi_document_is_valid(reading: TestClient) -> None:
    document = reading.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    validate(document)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == 15
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


@pytest.mark.parametrize("path", ["/", "/docs", "/requests/r1"])
def test_a_page_loads_only_what_the_function_serves_under_a_strict_policy(
    reading: TestClient, path: str
) -> None:
    answer = reading.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    page = References()
    page.feed(answer.text)
    assert page.inline == []
    for reference in page.loaded:
        if not reference.startswith(("#", "data:")):
            assert reading.get(urljoin(path, reference)).status_code == 200, reference


def test_only_the_files_of_the_page_may_be_kept_and_only_after_asking(reading: TestClient) -> None:
    script = reading.get("/page/dashboard.js")
    assert script.headers["cache-control"] == "no-cache"
    again = reading.get("/page/dashboard.js", headers={"if-none-match": script.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")
    for path in ("/", "/api/report", "/api/requests/nobody"):
        assert reading.get(path).headers["cache-control"] == "no-store"
        assert "default-src 'none'" in reading.get(path).headers["content-security-policy"]


def test_a_file_that_changed_is_sent_again_whatever_its_date_and_size(tmp_path: Path) -> None:
    page = TestClient(PageFiles(directory=tmp_path))
    known = {}
    for content in ("const a = 1;", "const a = 2;"):
        (tmp_path / "a.js").write_text(content)
        os.utime(tmp_path / "a.js", (315532800, 315532800))  # 1980-01-01, as in SAM's zip
        answer = page.get("/a.js", headers=known)
        assert (answer.status_code, answer.text) == (200, content)
        known = {
            "if-none-match": answer.headers["etag"],
            "if-modified-since": answer.headers["last-modified"],
        }
    assert page.get("/a.js", headers=known).status_code == 304


class Books:
    """boto3's client for Lambda, with the ledger jobs behind it in this process, run when it is told to."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.events: list[dict[str, Any]] = []

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, int]:
        assert (FunctionName, InvocationType) == ("export", "Event")
        self.events.append(json.loads(Payload))
        return {"StatusCode": 202}

    def run(self) -> None:
        jobs._store.cache_clear()
        for event in self.events:
            jobs.handler(event, self.context)


@pytest.fixture
def exporting(client: TestClient, context: Any, monkeypatch: pytest.MonkeyPatch) -> Books:
    function = Books(context)
    monkeypatch.setenv("WEIR_EXPORT_FUNCTION", "export")
    monkeypatch.setenv("WEIR_LEDGER_TASKS", "export")
    monkeypatch.setattr(finance, "_lambda", lambda: function)
    return function


def test_an_export_is_started_asked_after_and_fetched_by_a_link(client: TestClient, exporting: Books) -> None:
    asked = {
        "format": "csv",
        "from": "2026-11-22",
        "to": "2026-11-23",
        "tz": "Europe/Berlin",
        "tag": ["team=shop"],
    }
    started = client.post("/api/exports", json=asked)
    assert started.status_code == 202, started.text
    job = started.json()
    assert job["status"] == "running"
    assert client.get(job["status_url"]).json() == {
        "id": job["id"],
        "status": "running",
        "files": [],
        "error": None,
    }
    exporting.run()
    done = client.get(job["status_url"]).json()
    assert (done["status"], done["error"]) == ("done", None)
    [rows] = [file for file in done["files"] if file["name"].endswith(".csv")]
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in rows["url"]
    with urlopen(rows["url"]) as answer:
        content = answer.read()
    assert len(content) == rows["bytes"]
    assert b"r2" in content and b"r1" not in content


def test_an_export_that_nobody_asked_for_or_that_never_began_is_not_found(
    client: TestClient, exporting: Books
) -> None:
    for job in ("nobody", "20261122t125900z", "20261122t125900z-../../facts", "20261122t125900z-abcdefabcdeg",
                "20261122t130001z-abcdefabcdef", "20261122t123900z-abcdefabcdef", "20269922t123900z-abcdefabcdef"):  # fmt: skip
        assert client.get(f"/api/exports/{job}").status_code == 404, job
    assert client.get("/api/exports/20261122t125900z-abcdefabcdef").json()["status"] == "running"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"format": "pdf"}, "format"),
        ({}, "format"),
        ({"format": "csv", "from": "soon"}, "from"),
        ({"format": "csv", "to": 7}, "to"),
        ({"format": "csv", "tz": "Mars"}, "tz"),
        ({"format": "csv", "outcome": "splendid"}, "outcome"),
        ({"format": "csv", "tag": ["=x"]}, "tag"),
        ({"format": "csv", "tags": ["team"]}, "tags"),
    ],
)
def test_a_field_of_an_export_that_is_wrong_is_named(
    client: TestClient, exporting: Books, body: dict[str, Any], field: str
) -> None:
    answer = client.post("/api/exports", json=body)
    assert (answer.status_code, [error["pointer"].split("/")[1] for error in answer.json()["errors"]]) == (
        422,
        [field],
    )
    assert exporting.events == []


def test_a_body_that_is_no_json_is_named_as_the_body(client: TestClient, exporting: Books) -> None:
    for body in (b"{bad", b"[]", b""):
        answer = client.post("/api/exports", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, [error["pointer"] for error in answer.json()["errors"]]) == (422, [""])
    assert exporting.events == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8080"}, 202),
        ({"origin": "http://testserver"}, 202),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"content-type": "text/plain"}, 422),
    ],
)
def test_a_page_of_another_site_cannot_start_an_export(
    client: TestClient, exporting: Books, headers: dict[str, str], status: int
) -> None:
    sent = {"content-type": "application/json", **headers}
    answer = client.post("/api/exports", content=b'{"format": "csv"}', headers=sent)
    assert answer.status_code == status, answer.text
    assert len(exporting.events) == (status == 202)


def test_without_a_function_that_writes_them_there_are_no_exports(client: TestClient) -> None:
    answer = client.post("/api/exports", json={"format": "csv"})
    assert (answer.status_code, "WEIR_EXPORT_FUNCTION" in answer.json()["detail"]) == (503, True)


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
    assert json.loads(refused["body"])["errors"][0]["pointer"] == "/limit"


@pytest.mark.usefixtures("client")
def test_a_function_url_event_gets_the_page(handler: Any, context: Any) -> None:
    answer = handler(url_event("/"), context)
    body = answer["body"]
    text = base64.b64decode(body).decode() if answer["isBase64Encoded"] else body
    assert "What each request cost" in text
