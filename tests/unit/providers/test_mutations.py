"""Recorded events with any of their values replaced by any other: each is read, or is our error; nothing raises.

Whatever a decoder hands on is text that UTF-8 can say, and counts that are numbers or unknown.
"""

import base64
import functools
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from infra.local.simulator.event_stream import encode_message
from tests.recordings import DECODERS, recordings
from weir.providers.event_stream import EventStreamDecoder
from weir.providers.events import (
    Finished,
    ProviderEvent,
    Reasoning,
    Refusal,
    Served,
    Text,
    ToolCall,
    UsageReported,
)
from weir.providers.failed import Failed
from weir.providers.sse import SSEDecoder

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 1.5, 1e308, float("nan"), 10**30, "", "text", "\ud800", "\udc00 half", "[DONE]", [], [None], ["x"],
    [[]], [{}], {}, {"text": "x"}, {"error": "x"}, {"message": {"detail": [1]}}, {"type": "text"}, {"index": None}, [1, 2, 3],
]  # fmt: skip
ROUNDS = 500

type Event = tuple[str, Any]


@functools.cache
def events(api: str) -> list[list[Event]]:
    """The recorded events by stream: of each its name and its document."""
    found: list[list[Event]] = []
    for recording in recordings(api):
        if len(recording.body) > 30_000:
            continue
        if api.startswith("bedrock"):
            messages = EventStreamDecoder().feed(recording.body)
            stream = [(message.headers[":event-type"], json.loads(message.payload)) for message in messages]
            if api == "bedrock.invoke":
                stream = [
                    (name, json.loads(base64.b64decode(document["bytes"]))) for name, document in stream
                ]
        else:
            sse = SSEDecoder().feed(recording.body)
            stream = [(event.event, json.loads(event.data)) for event in sse if event.data != "[DONE]"]
        found.append(stream)
    return found


def mutated(value: Any, random: Random) -> Any:
    """The value with one node replaced, taken out or given another name."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        name = random.choice(list(value))
        chance = random.random()
        if chance < 0.1:
            return {key: item for key, item in value.items() if key != name}
        return value | {name: mutated(value[name], random)}
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        return [*value[:at], mutated(value[at], random), *value[at + 1 :]]
    return random.choice(VALUES)


def sse_frame(name: str, document: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(document)}\n\n".encode()


def aws_frame(name: str, document: Any) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return encode_message(headers, json.dumps(document).encode())


def invoke_frame(name: str, document: Any) -> bytes:
    return aws_frame(name, {"bytes": base64.b64encode(json.dumps(document).encode()).decode()})


FRAMES: dict[str, Callable[[str, Any], bytes]] = {
    "bedrock.converse": aws_frame,
    "bedrock.invoke": invoke_frame,
}


@pytest.mark.parametrize("api", list(DECODERS))
def test_any_event_with_a_value_replaced_is_read_or_is_our_error(api: str) -> None:
    random = Random(f"{api} 1")
    frame = FRAMES.get(api, sse_frame)
    for _ in range(ROUNDS):
        stream = list(random.choice(events(api)))
        at = random.randrange(len(stream))
        stream[at] = (stream[at][0], mutated(stream[at][1], random))
        decoder = DECODERS[api]()
        found = decoder.feed(b"".join(frame(name, document) for name, document in stream)) + decoder.close()
        for event in found:
            check(event)


def check(event: ProviderEvent) -> None:
    match event:
        case Text(text) | Reasoning(text) | Refusal(text) | ToolCall(arguments=text) | Failed(text):
            text.encode()
        case UsageReported(usage):
            json.dumps(usage.as_json(), allow_nan=False)
        case Served(model, tier, region):
            for name in (model, tier, region):
                assert name is None or name.encode()
        case Finished(_, raw):
            raw.encode()
    if isinstance(event, Failed) and event.code is not None:
        event.code.encode()
