"""What a function logs lands in the bucket as CloudWatch Logs and Data Firehose bring it, and its reader is told."""

import asyncio
import gzip
import json
from typing import Any

import pytest

from infra.local.logs.landing import Landing
from infra.local.logs.log_groups import LogGroups
from infra.local.sam.function import LogSubscription
from weir.ledger.landing import Members

PATTERN = '{ ($.type = "platform.*") || ($.message = "request.*") }'


class Bucket:
    """What was put, and what the reader was told."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.told: list[dict[str, Any]] = []

    async def put(self, bucket: str, key: str, data: bytes) -> None:
        assert bucket == "bucket"
        self.objects[key] = data

    def tell(self, payload: bytes) -> None:
        event = json.loads(payload)
        assert event["detail"]["object"]["key"] in self.objects
        self.told.append(event)

    @property
    def batches(self) -> list[dict[str, Any]]:
        found = [member for data in self.objects.values() for member in Members().feed(data)]
        return [json.loads(member) for member in found if isinstance(member, bytes)]


def landing(groups: LogGroups, bucket: Bucket, pattern: str = "", interval_s: float = 60) -> Landing:
    wanted = LogSubscription("Wanted", "/test/plain", pattern, "bucket", "landing/")
    return Landing(wanted, groups[wanted.log_group], bucket.put, bucket.tell, interval_s)


@pytest.fixture
def groups() -> LogGroups:
    return LogGroups()


async def test_an_interval_is_one_object_with_a_gzip_member_for_each_stream(groups: LogGroups) -> None:
    bucket = Bucket()
    lands = landing(groups, bucket)
    for number in range(6):
        groups["/test/plain"].write(f"stream-{number % 2}", f"line {number}")
    await lands.flush()
    (key,) = bucket.objects
    assert key.startswith("landing/20") and bucket.objects[key].startswith(b"\x1f\x8b")
    assert gzip.decompress(bucket.objects[key]).count(b"DATA_MESSAGE") == 2
    assert [batch["logStream"] for batch in bucket.batches] == ["stream-0", "stream-1"]
    for batch in bucket.batches:
        events = batch.pop("logEvents")
        assert batch.keys() == {"messageType", "owner", "logGroup", "logStream", "subscriptionFilters"}
        assert all(event.keys() == {"id", "timestamp", "message"} for event in events)
        assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    (told,) = bucket.told
    assert (told["source"], told["detail-type"]) == ("aws.s3", "Object Created")
    assert told["detail"]["bucket"]["name"] == "bucket"
    assert lands.idle


async def test_time_lands_what_was_written_and_nothing_lands_twice(groups: LogGroups) -> None:
    bucket = Bucket()
    lands = landing(groups, bucket, interval_s=0.01)
    for number in range(3):
        groups["/test/plain"].write("stream", f"line {number}")
        await asyncio.sleep(0.02)
        await lands.flush()
    messages = [event["message"] for batch in bucket.batches for event in batch["logEvents"]]
    assert messages == ["line 0", "line 1", "line 2"]
    assert len(bucket.told) == len(bucket.objects)


async def test_only_what_the_pattern_matches_lands(groups: LogGroups) -> None:
    bucket = Bucket()
    lands = landing(groups, bucket, PATTERN)
    for line in (
        "text",
        '{"message": "request.completed"}',
        '{"message": "other"}',
        '{"type": "platform.start"}',
    ):
        groups["/test/plain"].write("stream", line)
        groups["/test/other"].write("stream", line)
    await lands.flush()
    messages = [event["message"] for batch in bucket.batches for event in batch["logEvents"]]
    assert messages == ['{"message": "request.completed"}', '{"type": "platform.start"}']


async def test_after_closing_nothing_lands(groups: LogGroups) -> None:
    bucket = Bucket()
    lands = landing(groups, bucket, interval_s=0.001)
    groups["/test/plain"].write("stream", "line")
    await lands.close()
    assert bucket.objects == {}
