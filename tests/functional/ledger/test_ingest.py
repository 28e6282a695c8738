"""The ledger function on a real S3 interface: stored once, set aside with a reason, raised where S3 fails."""

import base64
import gzip
import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from functions.ledger import app
from tests import log_lines as lines
from tests.buckets import facts_of, landed
from weir.ledger.store import Store, StoreError

LINES = [*lines.request("r1"), *lines.request("r2")]
DAY = lines.NOON.date()


@pytest.fixture(autouse=True)
def fresh_store() -> None:
    app._store.cache_clear()


def keys(bucket: str, prefix: str = "") -> list[str]:
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return [entry["Key"] for entry in listed if not entry["Key"].startswith("landing/")]


def poison_of(bucket: str) -> list[dict[str, Any]]:
    s3 = boto3.client("s3")
    bodies = [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys(bucket, "poison/")]
    return [json.loads(gzip.decompress(body)) for body in bodies]


def test_what_landed_becomes_one_object_for_each_hour_named_by_its_content(bucket: str, context: Any) -> None:
    late = lines.log_event(lines.report("r3"), "late", lines.NOON_MS + 86_400_000)
    done = app.handler(landed(lines.batch([*lines.log_events(LINES), late])), context)
    assert done == {"records": 9, "objects_written": 2, "objects_existing": 0, "poison": 0}
    assert [key.rpartition("/")[0] for key in keys(bucket)] == [
        "facts/v2/hour=2026-11-22T12",
        "facts/v2/hour=2026-11-23T12",
    ]
    assert sorted(record.request_id or "" for record in facts_of(Store(bucket), DAY, DAY)) == 4 * [
        "r1"
    ] + 4 * ["r2"]


def test_the_same_records_in_other_members_and_another_order_are_the_same_object(
    bucket: str, context: Any
) -> None:
    events = lines.log_events(LINES)
    app.handler(landed(lines.batch(events)), context)
    parts = [*lines.batch(events[5:]), *lines.batch(events[:5][::-1])]
    again = app.handler(landed(parts), context)
    assert (again["records"], again["objects_written"], again["objects_existing"]) == (8, 0, 1)


def test_a_failure_of_s3_is_raised_and_the_repeat_loses_and_doubles_nothing(
    bucket: str, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = lines.log_event(lines.report("r3"), "late", lines.NOON_MS + 86_400_000)
    event = landed(lines.batch([*lines.log_events(LINES), 7, late]))
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
        with pytest.raises(StoreError, match="SlowDown"):
            app.handler(event, context)
    assert len(keys(bucket)) == 2
    done = app.handler(event, context)
    assert (done["objects_written"], done["objects_existing"]) == (1, 2)


def test_a_bucket_that_is_gone_is_raised(bucket: str, context: Any) -> None:
    event = landed(lines.batch(lines.log_events(LINES)))
    s3 = boto3.client("s3")
    s3.delete_object(Bucket=bucket, Key=event["detail"]["object"]["key"])
    with pytest.raises(StoreError, match="NoSuchKey"):
        app.handler(event, context)
    s3.delete_bucket(Bucket=bucket)
    with pytest.raises(StoreError, match="NoSuchBucket"):
        app.handler(event, context)


def test_an_s3_that_cannot_be_reached_is_raised(
    bucket: str, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = landed(lines.batch(lines.log_events(LINES)))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreError, match="cannot be reached"):
        app.handler(event, context)


def test_an_object_from_elsewhere_in_the_bucket_is_refused(bucket: str, context: Any) -> None:
    event = {"detail": {"object": {"key": "rows/v1/dt=2026-11-22/rows.parquet"}}}
    with pytest.raises(ValueError, match="expected an object under landing/"):
        app.handler(event, context)


def test_broken_members_are_set_aside_once_and_their_neighbours_stored(bucket: str, context: Any) -> None:
    (one,) = lines.batch(lines.log_events(lines.request("r1"), "a"))
    (two,) = lines.batch(lines.log_events(lines.request("r2"), "b"))
    (three,) = lines.batch(lines.log_events(lines.request("r3"), "c"))
    damaged = one[:-8] + bytes(8)
    event = landed([one, damaged, b"text", two, three[:-20]])
    done = app.handler(event, context)
    assert (done["records"], done["poison"]) == (8, 2)
    assert app.handler(event, context)["objects_existing"] == 3
    poison = sorted(poison_of(bucket), key=lambda found: found["offset"])
    assert [found["offset"] for found in poison] == [len(one), len(one + damaged + b"text" + two)]
    assert "damaged gzip" in poison[0]["reason"] and "truncated" in poison[1]["reason"]
    assert base64.b64decode(poison[0]["raw"]) == damaged + b"text"


def test_a_poison_record_is_set_aside_and_its_neighbours_stored_once(bucket: str, context: Any) -> None:
    events = lines.log_events(LINES)
    events.insert(2, lines.log_event(lines.report("r1", -1), "bad"))
    done = app.handler(landed(lines.batch(events)), context)
    assert (done["records"], done["poison"]) == (8, 1)
    (poison,) = poison_of(bucket)
    assert (poison["offset"], poison["event_id"]) == (2, "bad")


def test_a_bomb_and_a_forged_line_bill_nothing(bucket: str, context: Any) -> None:
    forged = {"level": "INFO", "message": json.dumps(lines.report("r1", 900_000))}
    bomb = gzip.compress(b"\0" * 100_000_000)
    done = app.handler(landed([bomb, *lines.batch(lines.log_events([forged]))]), context)
    assert (done["records"], done["poison"]) == (0, 1)
    assert keys(bucket, "facts/") == []


def test_a_control_message_stores_nothing(bucket: str, context: Any) -> None:
    done = app.handler(landed(lines.batch([], messageType="CONTROL_MESSAGE")), context)
    assert set(done.values()) == {0}
    assert app.handler(landed([b""]), context) == done
    assert keys(bucket) == []


def test_that_the_platform_lost_lines_is_kept_by_its_time(bucket: str, context: Any) -> None:
    event = landed(lines.batch(lines.log_events([lines.platform("logsDropped", None, droppedRecords=3)])))
    for _ in range(2):
        app.handler(event, context)
    assert Store(bucket).dropped(DAY, DAY) == [lines.NOON]
    assert Store(bucket).dropped(DAY.replace(day=23), DAY.replace(day=25)) == []


def test_its_own_log_line_has_counts_and_reasons_and_nothing_of_what_was_set_aside(
    bucket: str, context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = lines.log_event('{"type":"platform.report","record":"a secret prompt', "bad")
    app.handler(landed(lines.batch([*lines.log_events(LINES), secret])), context)
    (line,) = capsys.readouterr().out.splitlines()
    written = json.loads(line)
    said = (written["message"], written["level"], written["requestId"])
    assert said == ("landing.ingested", "WARN", "7f0c1c4e")
    assert written["landing"]["poison"] == 1
    assert (written["RecordsStored"], written["RecordsSetAside"], written["service"]) == (8, 1, "ledger")
    (metrics,) = written["_aws"]["CloudWatchMetrics"]
    assert {metric["Name"] for metric in metrics["Metrics"]} == {"RecordsStored", "RecordsSetAside"}
    assert "secret" not in line


def test_its_own_log_line_stays_short_however_many_reasons_there_are(
    bucket: str, context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    poison = [lines.report(f"no id\t{number}{'x' * 60}") for number in range(100)]
    assert app.handler(landed(lines.batch(lines.log_events(poison))), context)["poison"] == 100
    written = json.loads(capsys.readouterr().out)
    assert (len(written["landing"]["reasons"]), written["RecordsSetAside"]) == (20, 100)
