"""The ledger function on a real S3 interface: stored once, set aside with a reason, raised where S3 fails."""

import gzip
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from functions.ledger import app
from tests import log_lines as lines

LINES = [*lines.request("r1"), *lines.request("r2")]


@pytest.fixture(autouse=True)
def fresh_store() -> None:
    app._store.cache_clear()


def objects(bucket: str) -> dict[str, bytes]:
    s3 = boto3.client("s3")
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    return {key: gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys}


def test_a_batch_becomes_one_object_for_each_kind_and_day_named_by_its_content(
    bucket: str, context: Any
) -> None:
    late = lines.log_event(lines.report("r3"), "late", lines.NOON_MS + 86_400_000)
    done = app.handler(lines.batch([*lines.log_events(LINES), late]), context)
    assert done == {"records": 9, "objects_written": 5, "objects_existing": 0, "poison": 0}
    stored = objects(bucket)
    assert sorted(key.rpartition("/")[0] for key in stored) == [
        "facts/v1/kind=platform.report/dt=2026-11-22",
        "facts/v1/kind=platform.report/dt=2026-11-23",
        "facts/v1/kind=platform.start/dt=2026-11-22",
        "facts/v1/kind=request.completed/dt=2026-11-22",
        "facts/v1/kind=request.started/dt=2026-11-22",
    ]
    assert all(key.endswith(".ndjson.gz") for key in stored)
    assert sum(content.count(b"\n") for content in stored.values()) == 9


def test_the_event_of_the_repository_becomes_a_complete_request(bucket: str, context: Any) -> None:
    event = json.loads((Path(__file__).parents[2] / "events" / "logs_ledger.json").read_text())
    assert app.handler(event, context) == {
        "records": 4,
        "objects_written": 4,
        "objects_existing": 0,
        "poison": 0,
    }


def test_a_batch_that_is_delivered_twice_is_stored_once(bucket: str, context: Any) -> None:
    event = lines.batch(lines.log_events(LINES))
    app.handler(event, context)
    before = objects(bucket)
    again = app.handler(event, context)
    assert (again["objects_written"], again["objects_existing"]) == (0, 4)
    assert objects(bucket) == before


def test_a_failure_of_s3_is_raised_and_the_repeat_loses_and_doubles_nothing(
    bucket: str, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = lines.batch([*lines.log_events(LINES), 7])
    put = app._store().client.put_object
    calls = 0

    def fails_at_the_third(**arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            answer = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
            raise ClientError(answer, "PutObject")
        return put(**arguments)

    with monkeypatch.context() as patched:
        patched.setattr(app._store().client, "put_object", fails_at_the_third)
        with pytest.raises(ClientError, match="SlowDown"):
            app.handler(event, context)
    assert len(objects(bucket)) == 2
    done = app.handler(event, context)
    assert (done["objects_written"], done["objects_existing"]) == (3, 2)


def test_a_bucket_that_is_gone_is_raised(bucket: str, context: Any) -> None:
    boto3.client("s3").delete_bucket(Bucket=bucket)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        app.handler(lines.batch(lines.log_events(LINES)), context)


def test_an_s3_that_cannot_be_reached_is_raised(
    bucket: str, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(BotoCoreError):
        app.handler(lines.batch(lines.log_events(LINES)), context)


def test_a_broken_batch_is_set_aside_whole_and_is_no_failure(bucket: str, context: Any) -> None:
    packed = gzip.compress(json.dumps({"logEvents": lines.log_events(LINES)}).encode())[:-20]
    event = lines.packed(packed)
    assert app.handler(event, context)["poison"] == 1
    assert app.handler(event, context)["objects_existing"] == 1
    ((key, content),) = objects(bucket).items()
    assert key.startswith("poison/v1/dt=unknown/")
    poison = json.loads(content)
    assert "truncated" in poison["reason"]
    assert poison["raw"] == event["awslogs"]["data"]
    assert poison["offset"] is None


def test_a_poison_record_is_set_aside_and_its_neighbours_stored_once(bucket: str, context: Any) -> None:
    events = lines.log_events(LINES)
    events.insert(2, lines.log_event(lines.report("r1", -1), "bad"))
    done = app.handler(lines.batch(events), context)
    assert (done["records"], done["poison"]) == (8, 1)
    (poison,) = [json.loads(body) for key, body in objects(bucket).items() if key.startswith("poison/")]
    assert (poison["offset"], poison["event_id"]) == (2, "bad")


def test_a_bomb_and_a_forged_line_bill_nothing(bucket: str, context: Any) -> None:
    app.handler(lines.packed(gzip.compress(b"\0" * 100_000_000)), context)
    forged = {"level": "INFO", "message": json.dumps(lines.report("r1", 900_000))}
    app.handler(lines.batch(lines.log_events([forged])), context)
    assert not [key for key in objects(bucket) if key.startswith("facts/")]


def test_a_control_message_stores_nothing(bucket: str, context: Any) -> None:
    done = app.handler(lines.batch([], messageType="CONTROL_MESSAGE"), context)
    assert set(done.values()) == {0}
    assert objects(bucket) == {}


def test_its_own_log_line_has_counts_and_reasons_and_nothing_of_what_was_set_aside(
    bucket: str, context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = lines.log_event('{"type":"platform.report","record":"a secret prompt', "bad")
    app.handler(lines.batch([*lines.log_events(LINES), secret]), context)
    (line,) = capsys.readouterr().out.splitlines()
    written = json.loads(line)
    assert (written["message"], written["level"], written["requestId"]) == (
        "batch.ingested",
        "WARN",
        "7f0c1c4e",
    )
    assert written["batch"]["poison"] == 1
    assert (written["RecordsStored"], written["RecordsSetAside"], written["service"]) == (8, 1, "ledger")
    (metrics,) = written["_aws"]["CloudWatchMetrics"]
    assert {metric["Name"] for metric in metrics["Metrics"]} == {"RecordsStored", "RecordsSetAside"}
    assert "secret" not in line


def test_its_own_log_line_stays_short_however_many_reasons_there_are(
    bucket: str, context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    poison = [lines.report(f"no id\t{number}{'x' * 60}") for number in range(100)]
    assert app.handler(lines.batch(lines.log_events(poison)), context)["poison"] == 100
    written = json.loads(capsys.readouterr().out)
    assert (len(written["batch"]["reasons"]), written["RecordsSetAside"]) == (20, 100)
