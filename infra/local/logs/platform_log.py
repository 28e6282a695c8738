"""What Lambda itself writes into a function's log group, as JSON lines; and how it bills.

https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# Events that are of level DEBUG as long as all goes well.
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
_DEBUG = {"platform.initRuntimeDone", "platform.runtimeDone"}


def instant(at_s: float) -> str:
    """Seconds since the epoch as ISO 8601 with milliseconds, in UTC."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def billed_ms(duration_ms: float, init_ms: float = 0.0) -> int:
    """What is billed: init and duration together, each started millisecond (since 2025-08-01)."""
    # Rounded first: 1200.0000000001 ms come from adding floats, not from running longer.
    return max(1, math.ceil(round(duration_ms + init_ms, 6)))


@dataclass(slots=True)
class Timeline:
    """Instants of one invocation, seconds on one monotonic clock; None is what never happened."""

    start_s: float
    first_byte_s: float | None = None
    last_byte_s: float | None = None
    done_s: float | None = None

    @property
    def duration_ms(self) -> float:
        assert self.done_s is not None, "expected an invocation that is over"
        return round((self.done_s - self.start_s) * 1000, 3)


def written(kind: str, system_log_level: str, status: str = "success") -> bool:
    """Whether an event of this type is written at a function's SystemLogLevel; what did not end well is a warning."""
    if system_log_level == "DEBUG" or (status != "success" and kind != "platform.start"):
        return True
    return system_log_level == "INFO" and kind not in _DEBUG


def event(kind: str, at_s: float, record: dict[str, Any]) -> dict[str, Any]:
    """A platform event; `kind` is without the prefix."""
    return {"time": instant(at_s), "type": f"platform.{kind}", "record": record}


def line(event: dict[str, Any]) -> str:
    """The event as CloudWatch shows it."""
    return json.dumps(event, separators=(",", ":"))


def init_start(runtime: str, name: str) -> dict[str, Any]:
    return {
        "initializationType": "on-demand",
        "phase": "init",
        "runtimeVersion": runtime,
        "functionName": name,
        "functionVersion": "$LATEST",
    }


def init_end(status: str, error_type: str | None, duration_ms: float | None = None) -> dict[str, Any]:
    """The record of initRuntimeDone, and with a duration that of initReport."""
    record: dict[str, Any] = {"initializationType": "on-demand", "phase": "init", "status": status}
    if error_type is not None:
        record["errorType"] = error_type
    if duration_ms is not None:
        record["metrics"] = {"durationMs": duration_ms}
    return record


def runtime_done(
    request_id: str, status: str, error_type: str | None, times: Timeline, wall_s: float, produced_bytes: int
) -> dict[str, Any]:
    """`wall_s` is the time of day at `times.start_s`."""
    spans: list[dict[str, Any]] = []

    def span(name: str, start_s: float | None, end_s: float | None) -> None:
        if start_s is not None and end_s is not None:
            start = instant(wall_s + start_s - times.start_s)
            spans.append({"name": name, "start": start, "durationMs": round((end_s - start_s) * 1000, 3)})

    span("responseLatency", times.start_s, times.first_byte_s)
    span("responseDuration", times.first_byte_s, times.last_byte_s)
    span("runtimeOverhead", times.last_byte_s, times.done_s)
    record: dict[str, Any] = {"requestId": request_id, "status": status}
    if error_type is not None:
        record["errorType"] = error_type
    record["metrics"] = {"durationMs": times.duration_ms, "producedBytes": produced_bytes}
    record["spans"] = spans
    return record


def metrics(
    duration_ms: float, init_ms: float | None, memory_mb: int, max_memory_mb: int | None
) -> dict[str, Any]:
    """What a report measures, and bills; `init_ms` is of the invocation that started cold, None of others."""
    found: dict[str, Any] = {
        "durationMs": duration_ms,
        "billedDurationMs": billed_ms(duration_ms, init_ms or 0.0),
        "memorySizeMB": memory_mb,
    }
    if max_memory_mb is not None:
        found["maxMemoryUsedMB"] = max_memory_mb
    if init_ms is not None:
        found["initDurationMs"] = init_ms
    return found


def report(request_id: str, status: str, error_type: str | None, metrics: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {"requestId": request_id, "metrics": metrics, "status": status}
    if error_type is not None:
        record["errorType"] = error_type
    return record
