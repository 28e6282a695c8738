"""What a function logs arrives at its subscriber as CloudWatch Logs delivers it."""

import base64
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.local.sam.function import LogSubscription

from .conftest import PLAIN, Start, invoke, report

PATTERN = '{ ($.type = "platform.*") || ($.message = "request.*") }'


def batches(file: Path) -> list[dict[str, Any]]:
    """What has been delivered so far."""
    if not file.exists():
        return []
    events = [json.loads(line) for line in file.read_text().splitlines()]
    return [json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"]))) for event in events]


def subscriber(file: Path, pattern: str = "") -> Any:
    return replace(
        PLAIN,
        name="Subscriber",
        handler="app.subscriber",
        log_group="/test/subscriber",
        environment={"KEPT": str(file)},
        subscriptions=(LogSubscription("Wanted", "/test/plain", pattern),),
    )


async def test_every_event_is_delivered_once_in_its_order_with_an_id_of_its_own(start: Start, tmp_path: Path):
    file = tmp_path / "kept"
    aws = await start(PLAIN, subscriber(file))
    for number in range(3):
        await report(aws, "Plain", await invoke(aws, "Plain", do="talk", lines=[f"line {number}"]))
    await aws.settled()
    delivered = [event for batch in batches(file) for event in batch["logEvents"]]
    # Batches that are delivered at the same time may overtake each other; ids tell the order.
    delivered.sort(key=lambda event: event["id"])
    assert [event["message"] for event in delivered] == [event.message for event in aws.log_events("Plain")]
    ids = [event["id"] for event in delivered]
    assert len(set(ids)) == len(ids)
    assert all(len(event_id) == 56 and event_id.isdecimal() for event_id in ids)


async def test_a_batch_has_cloudwatchs_form(start: Start, tmp_path: Path):
    file = tmp_path / "kept"
    aws = await start(PLAIN, subscriber(file))
    await report(aws, "Plain", await invoke(aws, "Plain", do="echo", payload=1))
    await aws.settled()
    for batch in batches(file):
        events = batch.pop("logEvents")
        assert batch == {
            "messageType": "DATA_MESSAGE",
            "owner": "123456789012",
            "logGroup": "/test/plain",
            "logStream": aws.log_events("Plain")[0].stream,
            "subscriptionFilters": ["Wanted"],
        }
        assert all(event.keys() == {"id", "timestamp", "message"} for event in events)


async def test_only_what_the_pattern_matches_is_delivered(start: Start, tmp_path: Path):
    file = tmp_path / "kept"
    aws = await start(PLAIN, subscriber(file, PATTERN))
    lines = ["text", '{"message": "request.completed"}', '{"message": "other"}', '{"type": 1}']
    await report(aws, "Plain", await invoke(aws, "Plain", do="talk", lines=lines))
    await aws.settled()
    messages = [event["message"] for batch in batches(file) for event in batch["logEvents"]]
    assert [message for message in messages if '"platform.' not in message] == [
        '{"message": "request.completed"}'
    ]
    assert sum('"platform.' in message for message in messages) == 6


async def test_the_subscribers_own_log_is_not_delivered(start: Start, tmp_path: Path):
    file = tmp_path / "kept"
    aws = await start(PLAIN, subscriber(file))
    await report(aws, "Plain", await invoke(aws, "Plain", do="echo", payload=1))
    await aws.settled()
    assert aws.log_events("Subscriber")
    assert {batch["logGroup"] for batch in batches(file)} == {"/test/plain"}


async def test_a_batch_that_fails_three_times_is_kept(start: Start, tmp_path: Path):
    aws = await start(PLAIN, subscriber(tmp_path / "missing" / "kept"))
    await report(aws, "Plain", await invoke(aws, "Plain", do="echo", payload=1))
    await aws.settled()
    letters = aws.functions["Subscriber"].dead_letters
    assert letters
    assert {letter.error.kind for letter in letters} == {"FileNotFoundError"}
    attempts = [event for event in aws.log_events("Subscriber") if '"platform.report"' in event.message]
    assert len(attempts) == 3 * len(letters)
