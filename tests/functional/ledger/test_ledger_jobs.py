"""The ledger jobs' handler: each task as a schedule or finance asks for it, over S3 and CloudWatch Logs."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from functions.ledger_jobs import app as jobs
from tests import log_lines as lines
from weir.ledger.close import CloseError
from weir.ledger.ingest import ingest
from weir.ledger.store import Store

NOW = lines.NOON + timedelta(hours=1)


@pytest.fixture
def store(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The bucket, and the function at one o'clock with a temporary folder of its own."""
    monkeypatch.setenv("WEIR_LEDGER_TASKS", "compact,compact_unit,reconcile_completeness,export,close,meter")
    monkeypatch.setattr(jobs, "_now", lambda: NOW)
    monkeypatch.setattr(jobs, "gettempdir", lambda: str(tmp_path))
    for cached in (jobs._store, jobs._current_book):
        cached.cache_clear()
    yield Store(bucket)
    for cached in (jobs._store, jobs._current_book):
        cached.cache_clear()


def run(capsys: pytest.CaptureFixture[str], **event: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """One task's answer, and its log line."""
    done = jobs.handler(event, SimpleNamespace(aws_request_id="b-1"))
    return done, json.loads(capsys.readouterr().out.splitlines()[-1])


def log(store: Store, request: str, at: datetime = lines.NOON, **members: Any) -> None:
    at_ms = round(at.timestamp() * 1000)
    written = lines.request(request, **members)
    events = [lines.log_event(line, f"{request}-{n}", at_ms + n) for n, line in enumerate(written)]
    ingest(lines.batch(events), store, "us-east-1")


def test_compaction_says_what_it_did_in_its_answer_its_log_and_its_metrics(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_MONTHLY_BUDGET_USD", "0.001")
    for day in (0, 1, 30):
        log(store, f"r{day}", lines.NOON - timedelta(days=day))
    done, line = run(capsys, task="compact")
    assert (done["days"], done["rows"], done["corrections"]) == (["2026-11-21", "2026-11-22"], 2, [])
    assert (line["message"], line["requestId"], line["service"]) == (
        "ledger_jobs.compact",
        "b-1",
        "ledger-jobs",
    )
    (described,) = line["_aws"]["CloudWatchMetrics"]
    assert all(metric["Name"] in line for metric in described["Metrics"])
    assert (line["DaysCompacted"], line["RowsCompacted"], line["CorrectionRows"]) == (2, 2, 0)
    assert line["PriceBookAgeDays"] >= 0
    assert line["RequestsWithoutPrice"] == 0
    # Two requests of November, of about 0.00045 dollars each.
    assert 80 < line["BudgetUsedPercent"] < 100
    assert run(capsys, task="compact")[0]["days"] == []
    assert run(capsys, task="compact", days=40)[0]["days"] == ["2026-10-23"]
    assert run(capsys, task="compact", first="2026-11-20", last="2026-11-20")[0]["skipped"] == 1


def test_requests_without_a_price_are_counted_for_the_alarm(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    log(store, "priced")
    for number, hours in enumerate((0, 3, 40)):
        log(store, f"r{number}", lines.NOON - timedelta(hours=hours), model_returned="a-model-nobody-priced")
    assert run(capsys, task="compact")[1]["RequestsWithoutPrice"] == 2  # not those of the day before


def test_a_month_is_closed_and_its_late_facts_are_booked_by_the_next_compaction(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    in_october = datetime(2026, 10, 20, 12, tzinfo=UTC)
    log(store, "r1", in_october)
    with pytest.raises(CloseError, match="compact 2026-10-01 to 2026-10-31 first"):
        run(capsys, task="close", month="2026-10")
    run(capsys, task="compact", days=40)
    document, line = run(capsys, task="close", month="2026-10")
    assert (document["totals"]["requests"], line["MonthsClosed"]) == (1, 1)
    log(store, "r2", in_october)
    done, line = run(capsys, task="compact", days=40)
    assert done["frozen"] == 1
    assert done["corrections"] == [{"month": "2026-10", "number": 1, "days": ["2026-10-20"], "rows": 1}]
    assert line["CorrectionRows"] == 1


def test_an_export_leaves_its_files_and_says_how_it_ended(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    log(store, "r1")
    asked = {"from": "2026-11-22T00:00:00Z", "to": "2026-11-23T00:00:00Z"}
    done, line = run(capsys, task="export", job="job-1", format="csv", **asked)
    assert (done["status"], line["ExportsDone"]) == ("done", 1)
    assert store.export_status("job-1") == done
    sizes = {entry.key.rpartition("/")[2]: entry.size for entry in store.objects("exports/v1/job-1/")}
    del sizes["status.json"]
    assert sizes == {file["name"]: file["bytes"] for file in done["files"]}
    (name,) = (name for name in sizes if name.endswith(".csv"))
    body = store.client.get_object(Bucket=store.bucket, Key=f"exports/v1/job-1/{name}")["Body"].read()
    assert b"r1" in body
    failed, line = run(capsys, task="export", job="job-2", format="papyrus", **asked)
    assert failed["status"] == "failed" and "papyrus" in failed["error"]
    assert line["ExportsFailed"] == 1
    with pytest.raises(jobs.TaskError, match="job: expected an id"):
        run(capsys, task="export", job="../facts", format="csv", **asked)


def test_reports_are_counted_in_the_log_group_and_brought_in(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)  # moto's log groups keep no line from another time
    monkeypatch.setattr(jobs, "_now", lambda: now)
    with pytest.raises(jobs.TaskError, match="WEIR_LOG_GROUPS: expected the names"):
        run(capsys, task="reconcile_completeness")
    monkeypatch.setenv("WEIR_LOG_GROUPS", lines.GROUP)
    logs = boto3.client("logs")
    logs.create_log_group(logGroupName=lines.GROUP)
    logs.create_log_stream(logGroupName=lines.GROUP, logStreamName="stream")
    at_ms = round(time.time() * 1000) - 60_000
    events = [
        {"timestamp": at_ms + number, "message": json.dumps(line)}
        for number, line in enumerate(lines.request("r1"))
    ]
    logs.put_log_events(logGroupName=lines.GROUP, logStreamName="stream", logEvents=events)
    done, line = run(capsys, task="reconcile_completeness", hours=2, settle_minutes=0)
    assert (done["reports_in_log"], done["reports_stored"], done["backfilled"]) == (1, 0, 1)
    assert line["CompletenessPercent"] == 0
    done, line = run(capsys, task="reconcile_completeness", hours=2, settle_minutes=0)
    assert (done["backfilled"], line["CompletenessPercent"]) == (0, 100)
    assert run(capsys, task="compact")[0]["rows"] == 1


def test_a_run_with_much_to_do_starts_itself_for_each_unit_of_each_day(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        log(store, f"r{number}", lines.NOON + timedelta(minutes=number))
    started: list[dict[str, Any]] = []
    monkeypatch.setattr(jobs, "FAN_OUT_BYTES", 0)
    monkeypatch.setattr(jobs, "_start", started.append)
    monkeypatch.setattr("weir.ledger.compact.UNIT_BYTES", 40_000)
    done, _ = run(capsys, task="compact")
    assert (done["rows"], done["units_started"]) == (0, len(started))
    assert len(started) > 1 and {event["task"] for event in started} == {"compact_unit"}
    # One dies half way, and is started again; another runs twice.
    rows = [run(capsys, **event)[0]["rows"] for event in [*started[1:], started[1]]]
    assert rows[-1] == 0
    assert not [entry for entry in store.row_objects(NOW.date(), NOW.date()) if "rows.parquet" in entry.key]
    rows.append(run(capsys, **started[0])[0]["rows"])
    assert sum(rows) == 20
    assert run(capsys, task="compact")[0]["units_started"] == 0


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            {},
            "expected a task of compact, compact_unit, reconcile_completeness, export, close, meter .WEIR_LEDGER_TASKS., got 'None'",
        ),
        ({"task": "compact", "days": 0}, "days: expected a number from 1 to 400, got '0'"),
        ({"task": "compact", "days": True}, "days: expected a number"),
        ({"task": "compact", "first": "yesterday"}, "first: expected a day YYYY-MM-DD, got 'yesterday'"),
        ({"task": "compact", "first": "2026-11-20", "last": "2026-11-19"}, "in order, got 2026-11-20 to"),
        ({"task": "reconcile_completeness", "hours": "2"}, "hours: expected a number from 1"),
        ({"task": "close", "month": "soon"}, "expected a month YYYY-MM, got 'soon'"),
    ],
)
def test_an_event_that_cannot_be_done_says_what_was_expected(
    store: Store, capsys: pytest.CaptureFixture[str], event: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        run(capsys, **event)


def test_a_function_does_the_tasks_that_its_template_gives_it_and_no_others(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_LEDGER_TASKS", "export")
    with pytest.raises(jobs.TaskError, match="expected a task of export .*, got 'close'"):
        run(capsys, task="close", month="2026-10")
    monkeypatch.delenv("WEIR_LEDGER_TASKS")
    with pytest.raises(jobs.TaskError, match="expected a task of none"):
        run(capsys, task="compact")
