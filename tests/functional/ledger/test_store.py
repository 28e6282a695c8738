"""The store over S3: what was delivered any number of times, in any batches, is read back as it was logged."""

import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import log_lines as lines
from tests.buckets import facts_of
from weir.ledger.ingest import ingest, store_records
from weir.ledger.join import join
from weir.ledger.log_records import Poison
from weir.ledger.store import Store, StoreError
from weir.pricing.price_book import PriceBook

BOOK = PriceBook.load()
DAY = lines.NOON.date()


def events_of(count: int) -> list[dict[str, Any]]:
    """Requests of which every third lacks a half, spread over three days."""
    written: list[tuple[dict[str, Any], int]] = []
    for n in range(count):
        whole = lines.request(f"r{n}", 100 + n)
        written += [
            (line, n * 40_000_000 % (3 * 86_400_000)) for line in (whole if n % 3 else whole[: n % 4 + 1])
        ]
    return [lines.log_event(line, f"e{n:04d}", lines.NOON_MS + at) for n, (line, at) in enumerate(written)]


# The bucket is made anew in each example; the fixture only gives the environment.
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(0, 9), copies=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_any_deliveries_are_read_back_as_the_rows_of_what_was_logged(
    bucket: str, count: int, copies: int, seed: int
) -> None:
    choice, events = random.Random(seed), events_of(count)
    store = Store(f"ledger-{uuid4().hex}")
    store.client.create_bucket(Bucket=store.bucket)
    for _ in range(copies):
        shuffled = choice.sample(events, len(events))
        while shuffled:
            size = choice.randint(1, len(shuffled))
            ingest(lines.batch(shuffled[:size]), store)
            shuffled = shuffled[size:]
    logged = lines.read_batch(lines.batch(events)).records
    for reader in (store, store, Store(store.bucket, store.client)):
        found = facts_of(reader, DAY, DAY + timedelta(days=4))
        assert join(found, BOOK) == join(logged, BOOK)


def test_days_are_read_from_first_to_last_and_no_others(bucket: str) -> None:
    store = Store(bucket)
    for offset in range(-2, 3):
        at_ms = lines.NOON_MS + offset * 86_400_000
        ingest(lines.batch([lines.log_event(lines.report(f"r{offset}"), f"e{offset}", at_ms)]), store)

    def read(first: date, last: date) -> list[str | None]:
        return sorted(str(record.request_id) for record in facts_of(store, first, last))

    assert read(DAY, DAY) == ["r0"]
    assert read(DAY - timedelta(days=1), DAY + timedelta(days=1)) == ["r-1", "r0", "r1"]
    assert read(DAY + timedelta(days=3), DAY + timedelta(days=9)) == []


def test_what_is_written_again_is_there_already(bucket: str, tmp_path: Path) -> None:
    store = Store(bucket)
    records = list(lines.read_batch(lines.batch(lines.log_events(lines.request("r1")))).records)
    assert store_records(records, store, tmp_path) == 1
    assert store_records(records[::-1], store, tmp_path) == 0
    poison = Poison("reason", None, None, None, "raw")
    assert store.write_poison(poison, None)
    assert not store.write_poison(poison, None)
    assert store.count_poison() == 1


def test_an_object_is_replaced_only_in_the_state_that_was_seen(bucket: str, tmp_path: Path) -> None:
    store, path, key = Store(bucket), tmp_path / "file", "rows/v1/dt=2026-11-22/rows.parquet"
    path.write_bytes(b"one")
    assert store.upload(key, path, {"facts": "a"}, once=True)
    assert not store.upload(key, path, once=True)
    seen = store.metadata(key)
    assert seen is not None and seen["facts"] == "a"
    path.write_bytes(b"two")
    assert store.upload(key, path, {"facts": "b"}, replaces=seen["etag"])
    path.write_bytes(b"three")
    assert not store.upload(key, path, replaces=seen["etag"])
    store.download(key, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"two"
    assert store.metadata("rows/v1/nothing") is None


def test_documents_are_read_back_and_days_listed(bucket: str) -> None:
    store, day = Store(bucket), timedelta(days=1)
    assert store.completeness(DAY - day, DAY) == {}
    for number in range(3):
        store.put_completeness(DAY + number * day, {"hours": number})
    store.put_completeness(DAY, {"hours": "counted again"})
    assert store.completeness(DAY, DAY + day) == {DAY: {"hours": "counted again"}, DAY + day: {"hours": 1}}
    assert store.export_status("a-job") is None and store.closed("2026-10") is None
    store.client.put_object(Bucket=bucket, Key="exports/v1/a-job/status.json", Body=b"[]")
    with pytest.raises(StoreError, match="a-job/status.json: expected a JSON object, got list"):
        store.export_status("a-job")


def test_an_exports_files_are_listed_without_its_status_and_their_links_open(
    bucket: str, tmp_path: Path
) -> None:
    store, path = Store(bucket), tmp_path / "ledger.csv"
    path.write_text("a,b")
    store.put_export_status("job-1", {"status": "running"})
    store.put_export_file("job-1", path)
    (found, status) = store.objects("exports/v1/job-1/")
    assert status.key == "exports/v1/job-1/status.json"
    assert (found.key, found.size) == ("exports/v1/job-1/ledger.csv", 3)
    with urlopen(store.presign(found.key, 60)) as answer:
        assert answer.read() == b"a,b"
        assert answer.headers["content-disposition"] == 'attachment; filename="ledger.csv"'


def test_a_bucket_that_cannot_be_read_is_an_error_of_ours_that_names_the_code(bucket: str) -> None:
    with pytest.raises(StoreError, match="S3 answered NoSuchBucket"):
        Store("no-such-bucket").fact_objects(DAY, DAY)
    with pytest.raises(StoreError, match="S3 answered NoSuchBucket"):
        Store("no-such-bucket").count_poison()


def test_an_object_that_vanishes_while_it_is_read_is_an_error_and_no_silent_gap(bucket: str) -> None:
    store = Store(bucket)
    ingest(lines.batch(lines.log_events(lines.request("r1"))), store)
    s3 = boto3.client("s3")

    def vanish(params: Any, **_: Any) -> None:
        for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=entry["Key"])

    store.client.meta.events.register("before-call.s3.GetObject", vanish)
    with pytest.raises(StoreError, match="NoSuchKey") as raised:
        facts_of(store, DAY, DAY)
    assert isinstance(raised.value.__cause__, ClientError)


def test_links_name_the_host_of_the_buckets_region(monkeypatch: pytest.MonkeyPatch) -> None:
    # The global host sends readers of a new bucket on to the Region, where the signature is wrong (boto3#4768).
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    link = Store("ledger-1").presign("exports/v1/a/b.csv", 60)
    assert link.startswith("https://ledger-1.s3.eu-central-1.amazonaws.com/exports/v1/a/b.csv?")
