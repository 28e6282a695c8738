"""The Lambda API, called by boto3 as it is."""

import asyncio
import base64
import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.local.stack import LocalAws

from .conftest import PLAIN, STREAMS, Start, gate


def client(aws: LocalAws) -> Any:
    return boto3.client(
        "lambda",
        endpoint_url=aws.lambda_endpoint,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"max_attempts": 0}),
    )


async def call(aws: LocalAws, method: str, **arguments: Any) -> Any:
    """A method of boto3's client, in a thread, with the payload read."""

    def work() -> Any:
        lambda_client = client(aws)
        try:
            answer = getattr(lambda_client, method)(**arguments)
            if hasattr(answer.get("Payload"), "read"):
                answer["Payload"] = answer["Payload"].read()
            elif "EventStream" in answer:
                answer["EventStream"] = list(answer["EventStream"])
            return answer
        finally:
            lambda_client.close()

    return await asyncio.to_thread(work)


async def test_invoke_gives_the_answer_and_the_log(start: Start):
    aws = await start(PLAIN)
    payload = json.dumps({"do": "talk", "lines": ["a line"]})
    answer = await call(aws, "invoke", FunctionName="Plain", Payload=payload, LogType="Tail")
    assert (answer["StatusCode"], answer["ExecutedVersion"], answer["Payload"]) == (200, "$LATEST", b'"said"')
    assert "FunctionError" not in answer
    log = base64.b64decode(answer["LogResult"]).decode()
    assert "a line\n" in log
    assert '"type":"platform.report"' in log


async def test_invoke_finds_a_function_by_name_qualifier_or_arn(start: Start):
    aws = await start(PLAIN)
    arn = "arn:aws:lambda:us-east-1:123456789012:function:Plain"
    for name in ("Plain", "Plain:live", arn, f"{arn}:live", "123456789012:function:Plain"):
        answer = await call(aws, "invoke", FunctionName=name, Payload='{"do": "echo", "payload": 7}')
        assert answer["Payload"] == b"7"


async def test_client_context_reaches_the_function(start: Start):
    aws = await start(PLAIN)
    context = base64.b64encode(json.dumps({"custom": {"who": "me"}}).encode()).decode()
    answer = await call(aws, "invoke", FunctionName="Plain", Payload='{"do": "about"}', ClientContext=context)
    assert json.loads(answer["Payload"])["client"] == {"who": "me"}


async def test_a_failure_is_a_function_error(start: Start):
    aws = await start(PLAIN)
    answer = await call(aws, "invoke", FunctionName="Plain", Payload='{"do": "fail"}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"])["errorType"] == "ValueError"


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"FunctionName": "Nobody"}, "ResourceNotFoundException"),
        ({"FunctionName": "Plain", "Payload": "{"}, "InvalidRequestContentException"),
        ({"FunctionName": "Plain", "Payload": '"' + "x" * 6_291_456 + '"'}, "RequestTooLargeException"),
    ],
)
@pytest.mark.parametrize("method", ["invoke", "invoke_with_response_stream"])
async def test_a_call_that_cannot_be_is_lambdas_exception(
    start: Start, method: str, arguments: dict[str, str], kind: str
):
    aws = await start(PLAIN)
    with pytest.raises(ClientError) as raised:
        await call(aws, method, **arguments)
    assert raised.value.response["Error"]["Code"] == kind


async def test_an_answer_over_6_mb_is_an_error(start: Start):
    aws = await start(PLAIN)
    answer = await call(aws, "invoke", FunctionName="Plain", Payload='{"do": "large", "size": 6291600}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"])["errorType"] == "Function.ResponseSizeTooLarge"
    warm = await call(aws, "invoke", FunctionName="Plain", Payload='{"do": "large", "size": 6291000}')
    assert len(warm["Payload"]) == 6_291_002


async def test_an_event_is_taken_at_once_and_tried_three_times_with_one_request_id(
    start: Start, tmp_path: Path
):
    aws = await start(PLAIN)
    payload = json.dumps({"do": "fail_until", "file": f"{tmp_path}/attempts", "times": 3})
    answer = await call(aws, "invoke", FunctionName="Plain", Payload=payload, InvocationType="Event")
    assert answer["StatusCode"] == 202
    await aws.settled()
    attempts = (tmp_path / "attempts").read_text().splitlines()
    assert attempts == [answer["ResponseMetadata"]["RequestId"]] * 3
    reports = [event.record for event in aws.log_events("Plain") if '"platform.report"' in event.message]
    assert [line["record"]["status"] for line in reports if line] == ["error", "error", "success"]
    assert aws.functions["Plain"].dead_letters == []


async def test_an_event_that_always_fails_is_kept(start: Start):
    aws = await start(PLAIN)
    await call(aws, "invoke", FunctionName="Plain", Payload='{"do": "fail"}', InvocationType="Event")
    await aws.settled()
    [letter] = aws.functions["Plain"].dead_letters
    assert letter.payload == b'{"do": "fail"}'
    assert letter.error.kind == "ValueError"


# ---- streams


class Reader:
    """boto3 reads a stream in a thread; the test waits for its events one by one."""

    def __init__(self, aws: LocalAws, event: dict[str, Any], **arguments: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[float, dict[str, Any] | None]] = asyncio.Queue()
        self._client = client(aws)
        self._event, self._arguments = event, arguments
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        answer = self._client.invoke_with_response_stream(
            FunctionName="Streams", Payload=json.dumps(self._event), **self._arguments
        )
        for event in answer["EventStream"]:
            self._loop.call_soon_threadsafe(self._events.put_nowait, (time.monotonic(), event))
        self._client.close()
        self._loop.call_soon_threadsafe(self._events.put_nowait, (time.monotonic(), None))

    async def next(self) -> tuple[float, dict[str, Any] | None]:
        async with asyncio.timeout(20):
            return await self._events.get()


async def test_chunks_arrive_as_the_function_sends_them(start: Start):
    aws = await start(STREAMS)
    async with gate() as opened:
        reader = Reader(aws, {"parts": ["one", "two", "three"], "gate": opened.port})
        for expected in (b"one", b"two", b"three"):
            await opened.open()
            # The next one is not sent before this one is here: held back until then, it would never come.
            async with asyncio.timeout(30):
                _, event = await reader.next()
            assert event == {"PayloadChunk": {"Payload": expected}}
        _, end = await reader.next()
        assert end == {"InvokeComplete": {}}
        assert (await reader.next())[1] is None


async def test_the_log_comes_with_the_end_of_a_stream(start: Start):
    aws = await start(STREAMS)
    answer = await call(
        aws, "invoke_with_response_stream", FunctionName="Streams", Payload='{"parts": ["x"]}', LogType="Tail"
    )
    assert answer["StatusCode"] == 200
    log = base64.b64decode(answer["EventStream"][-1]["InvokeComplete"]["LogResult"]).decode()
    assert '"platform.report"' in log


async def test_a_caller_of_a_streamed_http_function_gets_the_prelude_raw(start: Start):
    aws = await start(STREAMS)
    event = {"requestContext": {}, "body": json.dumps({"parts": ["body"]})}
    answer = await call(aws, "invoke_with_response_stream", FunctionName="Streams", Payload=json.dumps(event))
    data = b"".join(
        part["PayloadChunk"]["Payload"] for part in answer["EventStream"] if "PayloadChunk" in part
    )
    prelude, _, body = data.partition(bytes(8))
    assert json.loads(prelude)["statusCode"] == 200
    assert body == b"body"


@pytest.mark.parametrize(
    ("then", "code", "status"),
    [
        ("fail", "Own.Broke", "success"),
        ("hang up", "Runtime.TruncatedResponse", "error"),
        ("exit", "Runtime.ExitError", "error"),
        ("sleep", "Sandbox.Timedout", "timeout"),
    ],
)
async def test_a_failure_in_the_middle_ends_the_stream_with_its_code(
    start: Start, then: str, code: str, status: str
):
    aws = await start(replace(STREAMS, timeout_s=1.0))
    payload = json.dumps({"parts": ["half"], "then": then})
    answer = await call(aws, "invoke_with_response_stream", FunctionName="Streams", Payload=payload)
    chunk, end = answer["EventStream"]
    assert chunk == {"PayloadChunk": {"Payload": b"half"}}
    assert end["InvokeComplete"]["ErrorCode"] == code
    record = await aws.wait_for_report("Streams", answer["ResponseMetadata"]["RequestId"])
    assert record["status"] == status, (
        "a failure told by trailers counts as success for Lambda, the others do not"
    )


async def test_a_buffered_function_can_be_streamed_and_a_streamed_one_buffered(start: Start):
    aws = await start(PLAIN, STREAMS)
    streamed = await call(
        aws, "invoke_with_response_stream", FunctionName="Plain", Payload='{"do": "echo", "payload": "whole"}'
    )
    assert streamed["EventStream"][0] == {"PayloadChunk": {"Payload": b'"whole"'}}
    whole = await call(aws, "invoke", FunctionName="Streams", Payload='{"parts": ["a", "b"]}')
    assert whole["Payload"] == b"ab"
