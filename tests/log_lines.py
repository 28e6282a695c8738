"""Log lines as the generate function and the Lambda platform write them, and the batches CloudWatch delivers."""

import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from weir.ledger.landing import read_landing
from weir.ledger.log_subscription import LogBatch

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOON_MS = round(NOON.timestamp() * 1000)
GROUP, STREAM = "/aws/lambda/generate", "2026/11/22/[$LATEST]aa"


def fact(kind: str, request_id: str, /, **members: Any) -> dict[str, Any]:
    """An application line with its fact; `members` replace or add to what every fact holds."""
    body = {
        "schema_version": 1,
        "kind": kind,
        "at": "2026-11-22T12:00:00.000Z",
        "request_id": request_id,
        "attempt": 1,
        "tenant": None,
        "tags": {"team": "search"},
        "function": "generate",
        "function_arn": "arn:aws:lambda:us-east-1:123456789012:function:generate",
        "region": "us-east-1",
        "memory_mb": 512,
        "architecture": "arm64",
        "initialization_type": "on-demand",
        "ephemeral_storage_mb": 512,
        "max_concurrency": 1,
        "front": "function_url",
        "cold_start": False,
        "model": "gpt-4o-mini",
        **members,
    }
    return {
        "level": "INFO",
        "timestamp": body["at"],
        "requestId": request_id,
        "message": kind,
        "fact": body,
    }


def usage(input_tokens: int | None = 1000, output_tokens: int | None = 500, **members: Any) -> dict[str, Any]:
    """The `usage` of a fact."""
    both = input_tokens is not None and output_tokens is not None
    return {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cached_input_tokens": 0,
        "reasoning_tokens": 0,
        "total_tokens": (input_tokens or 0) + (output_tokens or 0) if both else None,
        "source": "provider",
        **members,
    }


def completed(request_id: str, /, **members: Any) -> dict[str, Any]:
    """A request.completed line; one attempt with the request's usage unless `attempts` is given."""
    counted = members.pop("usage", usage())
    attempt = {
        "attempt": 1,
        "model": "gpt-4o-mini",
        "outcome": "ok",
        "usage": counted,
        "timing": {"wait_ms": 400.0, "stream_ms": 900.0},
    }
    return fact(
        "request.completed",
        request_id,
        **{
            "outcome": "ok",
            "http_status": 200,
            "model_returned": "gpt-4o-mini-2024-07-18",
            "schema": "blog_post",
            "on_violation": "stop",
            "usage": counted,
            "attempts": [attempt],
            "timing": {
                "duration_ms": 1500.0,
                "wait_ms": 400.0,
                "stream_ms": 900.0,
                "validate_ms": 20.0,
                "ttft_ms": 420.0,
                "ttlt_ms": 1400.0,
                "event_loop_gap_ms": None,
            },
            "streamed_bytes": 20_000,
            "violations": 0,
            "validated_values": 12,
            "saved": None,
            "cost": {"total": "0.0005"},
            "price_book_version": "x",
            **members,
        },
    )


def platform(kind: str, request_id: str | None, /, **members: Any) -> dict[str, Any]:
    """A platform line."""
    record = members if request_id is None else {"requestId": request_id, **members}
    return {"time": "2026-11-22T12:00:02.000Z", "type": f"platform.{kind}", "record": record}


def report(
    request_id: str, billed_ms: int | None = 1600, *, status: str = "success", **metrics: Any
) -> dict[str, Any]:
    """A platform.report line."""
    known = {"durationMs": (billed_ms or 1) - 0.4, "memorySizeMB": 512, "maxMemoryUsedMB": 80, **metrics}
    if billed_ms is not None:
        known["billedDurationMs"] = billed_ms
    return platform("report", request_id, status=status, metrics=known)


def request(request_id: str, billed_ms: int = 1600, **members: Any) -> list[dict[str, Any]]:
    """The lines of a request that went well."""
    return [
        platform("start", request_id, version="$LATEST"),
        fact("request.started", request_id, schema="blog_post", on_violation="stop", stream=True),
        completed(request_id, **members),
        report(request_id, billed_ms),
    ]


def log_event(line: dict[str, Any] | str, event_id: str, timestamp_ms: int = NOON_MS) -> dict[str, Any]:
    """One log event; a line that is no string is written as JSON."""
    message = line if isinstance(line, str) else json.dumps(line)
    return {"id": event_id, "timestamp": timestamp_ms, "message": message}


def log_events(lines: Iterable[dict[str, Any] | str], prefix: str = "e") -> list[dict[str, Any]]:
    """Log events with ids and times in order."""
    return [log_event(line, f"{prefix}{n:08d}", NOON_MS + n) for n, line in enumerate(lines)]


def batch(
    events: list[Any], *, log_stream: str = STREAM, compress: Any = gzip.compress, **members: Any
) -> list[bytes]:
    """The bytes of a landing object that holds one batch of a subscription."""
    document = {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": GROUP,
        "logStream": log_stream,
        "subscriptionFilters": ["ledger"],
        "logEvents": events,
        **members,
    }
    return [compress(json.dumps(document).encode())]


def read_batch(chunks: Iterable[bytes], *, region: str | None = None, **limits: int) -> LogBatch:
    """What is read of a landing object that holds one batch."""
    (found,) = read_landing(chunks, region, **limits)
    return found
