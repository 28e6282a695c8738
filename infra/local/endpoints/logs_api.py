"""The CloudWatch Logs API, as far as reading a group goes: FilterLogEvents over the stack's groups, in pages.

For boto3 with `endpoint_url`, or with AWS_ENDPOINT_URL_CLOUDWATCH_LOGS, which leaves the other services where they are.
Signatures are not checked.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

import base64
import json
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..logs.filter_pattern import FilterPatternError, compile_pattern
from ..logs.log_groups import LogEvent, LogGroups

MAX_PAGE_EVENTS, MAX_PAGE_BYTES = 10_000, 1024 * 1024
_TARGET = "Logs_20140328."


class _ApiError(Exception):
    """An error in the API's own words."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def logs_api(groups: LogGroups, *, max_page_events: int = MAX_PAGE_EVENTS) -> Starlette:
    """The application; a page holds at most `max_page_events` and 1 MB."""

    async def call(request: Request) -> Response:
        operation = request.headers.get("x-amz-target", "")
        try:
            if operation != f"{_TARGET}FilterLogEvents":
                name = operation.removeprefix(_TARGET)
                raise _ApiError("UnknownOperationException", f"expected FilterLogEvents, got {name!r}")
            return _answer(200, _filter(groups, await _parameters(request), max_page_events))
        except _ApiError as error:
            return _answer(400, {"__type": error.kind, "message": str(error)})

    return Starlette(routes=[Route("/", call, methods=["POST"])])


def _answer(status: int, body: dict[str, Any]) -> Response:
    headers = {"x-amzn-requestid": str(uuid4())}
    return Response(json.dumps(body), status, headers, media_type="application/x-amz-json-1.1")


async def _parameters(request: Request) -> dict[str, Any]:
    try:
        parameters = json.loads(await request.body())
    except ValueError as error:
        raise _ApiError("SerializationException", f"expected JSON: {error}") from None
    if not isinstance(parameters, dict):
        raise _ApiError("SerializationException", "expected a JSON object")
    return parameters


def _filter(groups: LogGroups, asked: dict[str, Any], max_page_events: int) -> dict[str, Any]:
    name = asked.get("logGroupName")
    if name not in groups.names():
        raise _ApiError("ResourceNotFoundException", "The specified log group does not exist.")
    try:
        matches = compile_pattern(asked.get("filterPattern") or "")
    except FilterPatternError as error:
        raise _ApiError("InvalidParameterException", f"Invalid filter pattern: {error}") from None
    # Both ends belong to the range.
    start, end = asked.get("startTime", 0), asked.get("endTime", 2**63)
    limit = min(asked.get("limit") or MAX_PAGE_EVENTS, max_page_events)
    streams = asked.get("logStreamNames")
    after = _after(asked.get("nextToken"))
    found = sorted(
        (
            event
            for event in groups[name].events
            if start <= event.timestamp_ms <= end and (streams is None or event.stream in streams)
        ),
        key=_place,
    )
    page: list[LogEvent] = []
    size = 0
    for event in found:
        if _place(event) <= after or not matches(event.message):
            continue
        size += len(event.message.encode())
        if page and (len(page) >= limit or size > MAX_PAGE_BYTES):
            token = base64.urlsafe_b64encode(json.dumps(_place(page[-1])).encode()).decode()
            return {"events": [_shown(event) for event in page], "searchedLogStreams": [], "nextToken": token}
        page.append(event)
    return {"events": [_shown(event) for event in page], "searchedLogStreams": []}


def _place(event: LogEvent) -> tuple[int, str]:
    """Where an event stands in a group: pages go on behind one, so what is written meanwhile moves nothing."""
    return event.timestamp_ms, event.id


def _after(token: str | None) -> tuple[int, str]:
    if token is None:
        return -1, ""
    try:
        at, event_id = json.loads(base64.urlsafe_b64decode(token))
        return int(at), str(event_id)
    except (ValueError, TypeError):
        raise _ApiError("InvalidParameterException", "The specified nextToken is invalid.") from None


def _shown(event: LogEvent) -> dict[str, Any]:
    return {
        "eventId": event.id,
        "logStreamName": event.stream,
        "timestamp": event.timestamp_ms,
        "ingestionTime": event.timestamp_ms,
        "message": event.message,
    }
