"""Athena's way of answering: moto's Athena, whose results are what DuckDB gives for the same statements.

moto runs no SQL: each result is computed by DuckDB from the statement and the literals that Athena was sent, written as
Athena writes results, and queued through moto's own API before the statement is started.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.exceptions import ClientError
from starlette.testclient import TestClient

from functions.finance import app as finance
from tests import log_lines as lines
from tests.buckets import landed
from weir.ledger import s3_keys
from weir.ledger.compact import compact
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook
from weir.reports.athena import AthenaEngine, AthenaError, AthenaRunning, literal, value
from weir.reports.engine import DuckEngine
from weir.reports.statements import Query

DAY = date(2026, 11, 22)
# What DuckDB calls Athena's types.
TYPES = {"VARCHAR": "varchar", "TIMESTAMP": "timestamp", "TIMESTAMP_MS": "timestamp", "DATE": "date", "DOUBLE": "double",
         "BOOLEAN": "boolean", "HUGEINT": "bigint", "BIGINT": "bigint", "INTEGER": "integer"}  # fmt: skip


def post(url: str, body: dict[str, Any]) -> None:
    """Tell moto something."""
    request = Request(url, json.dumps(body).encode(), {"content-type": "application/json"}, method="POST")
    with urlopen(request) as answer:
        assert answer.status in (200, 201)


def cell(found: Any) -> dict[str, str]:
    """A value as Athena prints it."""
    if found is None:
        return {}
    if isinstance(found, bool):
        return {"VarCharValue": str(found).lower()}
    if isinstance(found, datetime):
        return {"VarCharValue": found.isoformat(" ", "milliseconds")}
    return {"VarCharValue": f"{found:f}" if isinstance(found, Decimal) else str(found)}


class OverDuck(AthenaEngine):
    """The engine as it is, in front of which each statement's result is put into moto's queue."""

    def __init__(self, url: str, files: Sequence[Path], *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.url, self.files = url, files
        self.started: list[str] = []

    def at(self, state: str) -> "OverDuck":
        other = OverDuck(self.url, self.files, self._workgroup, self._database, state, wait_s=self._wait_s)
        other._executions, other.started = self._executions, self.started
        return other

    def _start(self, sql: str, values: tuple[str, ...]) -> str:
        before = set(self._executions)
        with DuckEngine(self.files) as duck:
            # As Athena does it: the literals take the place of the question marks.
            texts = sql.split("?")
            whole = "".join(text + literal for text, literal in zip(texts, [*values, ""], strict=True))
            ran = duck._connection.execute(whole)
            names, kinds = zip(
                *((column[0], str(column[1])) for column in ran.description or ()), strict=True
            )
            rows = ran.fetchall()
        types = ["decimal" if kind.startswith("DECIMAL") else TYPES[kind] for kind in kinds]
        shown = [{"Data": [{"VarCharValue": name} for name in names]}]
        shown += [{"Data": [cell(found) for found in row]} for row in rows]
        columns = [{"Name": name, "Type": kind} for name, kind in zip(names, types, strict=True)]
        result = {"rows": shown, "column_info": columns}
        account = boto3.client("sts").get_caller_identity()["Account"]
        queue = {"results": [result], "region": "us-east-1", "account_id": account}
        known = self._key(sql, values) in before
        if not known:
            post(f"{self.url}/moto-api/static/athena/query-results", queue)
        key = super()._start(sql, values)
        if key not in before:
            self.started.append(self._executions[key])
        return key


class At(finance.Services):
    """The real services an hour after the requests."""

    def now(self) -> datetime:
        return lines.NOON + timedelta(hours=1)


@pytest.fixture
def stored(bucket: str, context: Any, tmp_path: Path) -> Path:
    """A day of requests, ingested and compacted; the compacted file."""
    from functions.ledger import app as ledger

    ledger._store.cache_clear()
    written = [
        line
        for n in range(12)
        for line in lines.request(
            f"r{n:02d}",
            1000 + n,
            outcome=["ok", "stopped", "upstream_error"][n % 3],
            tags={"feature": ["it's", "b"][n % 2]} if n % 5 else {},
            usage=lines.usage(100 * n, None if n == 7 else n),
        )
    ]
    ledger.handler(landed(lines.batch(lines.log_events(written))), context)
    compact(Store(bucket), PriceBook.load(), DAY, DAY, tmp_path)
    folder = tmp_path / f"dt={DAY}"
    folder.mkdir()
    path = folder / "rows.parquet"
    boto3.client("s3").download_file(bucket, s3_keys.rows_key(DAY), str(path))
    return path


@pytest.fixture
def workgroup(bucket: str) -> str:
    """A workgroup that says where results go."""
    name = f"weir-{bucket[-12:]}"
    boto3.client("athena").create_work_group(
        Name=name, Configuration={"ResultConfiguration": {"OutputLocation": f"s3://{bucket}/athena/"}}
    )
    return name


@pytest.fixture
def athena(
    stored: Path, moto_url: str, workgroup: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OverDuck]:
    """Finance with a workgroup and a size from which it is used: one byte."""
    engine = OverDuck(moto_url, [stored], workgroup, "weir", wait_s=0.0)
    monkeypatch.setenv("WEIR_ATHENA_WORKGROUP", workgroup)
    monkeypatch.setenv("WEIR_ATHENA_DATABASE", "weir")
    monkeypatch.setenv("WEIR_ATHENA_OVER_BYTES", "1")
    monkeypatch.setattr(finance, "AthenaEngine", lambda workgroup, database, used: engine)
    yield engine
    transition(moto_url, {"progression": "immediate"})


def transition(url: str, how: dict[str, Any]) -> None:
    """How a query goes from QUEUED to SUCCEEDED in moto."""
    post(
        f"{url}/moto-api/state-manager/set-transition", {"model_name": "athena::execution", "transition": how}
    )


def test_athena_gives_the_report_that_duckdb_gives(athena: OverDuck, monkeypatch: pytest.MonkeyPatch) -> None:
    client = TestClient(finance.create_app(At()))
    for query in (
        {"by": "feature"},
        {"by": "tag:feature", "outcome": "ok", "tag": "feature=b"},
        {"tz": "Europe/Berlin"},
    ):
        # It ends within a quarter of an hour, so DuckDB reads rows, too: its percentiles are as exact.
        query |= {"to": "2026-11-22T23:59:59Z"}
        by_athena = client.get("/api/report", params=query)
        assert by_athena.status_code == 200, by_athena.text
        monkeypatch.setenv("WEIR_ATHENA_OVER_BYTES", "0")
        by_duckdb = client.get("/api/report", params=query).json()
        monkeypatch.setenv("WEIR_ATHENA_OVER_BYTES", "1")
        assert (by_athena.json()["engine"], by_duckdb["engine"]) == ("athena", "duckdb")
        for member in by_duckdb.keys() - {"engine", "as_of"}:
            assert by_athena.json()[member] == by_duckdb[member], member


def test_rows_come_from_athena_with_their_tags_and_reasons(
    athena: OverDuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = TestClient(finance.create_app(At()))
    first = client.get("/api/requests", params={"limit": 5}).json()
    rest = client.get("/api/requests", params={"limit": 50, "cursor": first["next_cursor"]}).json()
    one = client.get("/api/requests/r03").json()
    monkeypatch.setenv("WEIR_ATHENA_OVER_BYTES", "0")
    assert first["rows"] + rest["rows"] == client.get("/api/requests").json()["rows"]
    assert one == client.get("/api/requests/r03").json()
    assert one["row"]["tags"] == {"feature": "b"}


def test_whoever_has_to_wait_asks_the_same_again_and_starts_nothing_twice(
    athena: OverDuck, moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ticking(At):
        """Time passes between one question and the next."""

        asked = 0

        def now(self) -> datetime:
            Ticking.asked += 1
            return super().now() + timedelta(milliseconds=Ticking.asked)

    monkeypatch.setenv("WEIR_MONTHLY_BUDGET_USD", "1")
    transition(moto_url, {"progression": "manual", "times": 3})
    client = TestClient(finance.create_app(Ticking()))
    answers = [client.get("/api/report")]
    while answers[-1].status_code == 202 and len(answers) < 20:
        answers.append(client.get("/api/report"))
    running, done = answers[0], answers[-1]
    assert (running.status_code, running.json()) == (202, {"status": "running", "retry_after_s": 2})
    assert running.headers["retry-after"] == "2"
    assert done.json()["totals"]["requests"] == 12
    assert len(athena.started) == len(set(athena.started)) == 9
    told = boto3.client("athena").get_query_execution(QueryExecutionId=athena.started[0])["QueryExecution"]
    assert told["WorkGroup"] == athena._workgroup
    assert told["QueryExecutionContext"] == {"Database": "weir"}
    assert {"'2026-11-16'", "'2026-11-22'"} <= set(told["ExecutionParameters"])


def test_a_range_that_is_small_is_asked_of_duckdb(athena: OverDuck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_ATHENA_OVER_BYTES", "000001000000")
    answer = TestClient(finance.create_app(At())).get("/api/report").json()
    assert (answer["engine"], answer["totals"]["requests"], athena.started) == ("duckdb", 12, [])


def test_every_type_is_sent_and_read(moto_url: str, workgroup: str) -> None:
    engine = OverDuck(moto_url, [], workgroup, "weir", wait_s=5.0)
    now = datetime(2026, 11, 22, 12, 0, 0, 123000)  # noqa: DTZ001  # as the table has it: UTC without a zone
    sql = "SELECT ? AS a, CAST(? AS bigint) AS b, CAST(? AS decimal(38,15)) AS c, ? AS d, ? AS e, 0.5e0 AS f, true AS g, CAST(NULL AS varchar) AS h"
    rows = engine.query(sql, ["it's; DROP -- x", 7, Decimal("0.000000000000001"), now, DAY])
    assert rows == [("it's; DROP -- x", 7, Decimal("0.000000000000001"), now, DAY, 0.5, True, None)]


class Answering:
    """boto3's client for Athena as far as a query that ends badly needs it: moto's queries all succeed."""

    def __init__(self, state: str, reason: str) -> None:
        self.status = {"State": state, "StateChangeReason": reason}
        self.started: dict[str, str] = {}

    @property
    def starts(self) -> int:
        return len(self.started)

    def start_query_execution(self, **asked: Any) -> dict[str, str]:
        """A token that was used before gives the same execution, as Athena's documentation says."""
        assert 32 <= len(asked["ClientRequestToken"]) <= 128
        assert "ResultReuseConfiguration" not in asked  # it would answer a new state from an old one
        return {"QueryExecutionId": self.started.setdefault(asked["ClientRequestToken"], f"q{self.starts}")}

    def get_query_execution(self, QueryExecutionId: str) -> dict[str, Any]:
        return {"QueryExecution": {"QueryExecutionId": QueryExecutionId, "Status": self.status}}


def test_a_query_that_fails_says_why_and_may_be_asked_again() -> None:
    for state, reason in (
        ("FAILED", "SYNTAX_ERROR: line 1:8"),
        ("CANCELLED", "Bytes scanned limit was exceeded"),
    ):
        client = Answering(state, reason)
        engine = AthenaEngine("ledger", "weir", client=client)
        for _ in range(2):
            with pytest.raises(AthenaError, match=f"{state}: {reason}"):
                engine.rows([Query("SELECT 1")])
        assert client.starts == 2


class Expired(Answering):
    """Its first query's results are gone, as those of a week ago are."""

    def get_paginator(self, operation: str) -> Any:
        return self

    def paginate(self, QueryExecutionId: str) -> list[dict[str, Any]]:
        if QueryExecutionId == "q0":
            raise ClientError({"Error": {"Code": "InvalidRequestException"}}, "GetQueryResults")
        columns = {"ColumnInfo": [{"Name": "a", "Type": "bigint"}]}
        rows = [{"Data": [{"VarCharValue": text}]} for text in ("a", "1")]
        return [{"ResultSet": {"ResultSetMetadata": columns, "Rows": rows}}]


def test_results_that_are_gone_are_made_again() -> None:
    client = Expired("SUCCEEDED", "")
    with pytest.raises(AthenaError, match="InvalidRequestException"):
        AthenaEngine("ledger", "weir", client=client).query("SELECT 1")
    another = AthenaEngine("ledger", "weir", client=client)  # a process that knows only what was asked
    with pytest.raises(AthenaError):
        another.query("SELECT 1")
    assert another.at("").query("SELECT 1") == [(1,)]


def test_another_state_of_the_rows_is_another_question() -> None:
    client = Answering("RUNNING", "")
    engine = AthenaEngine("ledger", "weir", client=client, wait_s=0)
    for state in ("a", "a", "b"):
        with pytest.raises(AthenaRunning):
            engine.at(state).query("SELECT 1")
    assert client.starts == 2


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("it's", "'it''s'"),
        ("'; SELECT 1 --", "'''; SELECT 1 --'"),
        (7, "7"),
        (True, "true"),
        (Decimal("1E-7"), "0.0000001"),
        (date(2026, 11, 22), "DATE '2026-11-22'"),
    ],
)
def test_a_value_becomes_a_literal_that_cannot_end_itself(given: Any, written: str) -> None:
    assert literal(given) == written


def test_what_has_no_safe_literal_is_refused() -> None:
    for given in (1.5, None, b"x", datetime(2026, 11, 22, tzinfo=UTC)):
        with pytest.raises(TypeError, match="expected"):
            literal(given)


@pytest.mark.parametrize(
    ("kind", "text"), [("bigint", "many"), ("decimal", "x"), ("timestamp", "noon"), ("row", "{}")]
)
def test_a_cell_that_is_not_of_its_type_is_an_error_that_names_it(kind: str, text: str) -> None:
    with pytest.raises(AthenaError, match="expected"):
        value(kind, {"VarCharValue": text})


@pytest.mark.usefixtures("bucket")
def test_a_workgroup_that_is_not_there_is_named_as_athena_names_it() -> None:
    with pytest.raises(AthenaError, match="InvalidRequestException: WorkGroup does not exist"):
        AthenaEngine("nobody", "weir").query("SELECT 1")


def test_an_athena_that_cannot_be_reached_is_a_503(athena: OverDuck, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere(AthenaEngine):
        def at(self, state: str) -> AthenaEngine:
            return Nowhere("ledger", "weir", client=boto3.client("athena", endpoint_url="http://127.0.0.1:9"))

    monkeypatch.setattr(finance, "AthenaEngine", Nowhere)
    answer = TestClient(finance.create_app(At())).get("/api/report")
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "Athena cannot be reached: EndpointConnectionError",
    )
