"""The runtime's own log lines: one JSON object a line on stdout, in the managed runtimes' format.

Decided here: keys `level`, `timestamp`, `requestId`, `message`, which CloudWatch and Lambda's level filter
know (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html), then fields.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgiric.failure import Failure


def write_log(level: str, message: str, request_id: str | None = None, **fields: object) -> None:
    """Write one line; what is not JSON is written as its repr."""
    now_s = time.time()
    timestamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_s)) + f".{int(now_s * 1000) % 1000:03d}Z"
    line: dict[str, object] = {"level": level, "timestamp": timestamp}
    if request_id is not None:
        line["requestId"] = request_id
    line |= {"message": message, **fields}
    # One write: two tasks' lines never mix. json.dumps escapes line ends, so no text can forge a line.
    sys.stdout.write(json.dumps(line, default=repr) + "\n")
    sys.stdout.flush()


def write_failure(
    message: str, failure: Failure, request_id: str | None = None, level: str = "ERROR"
) -> None:
    """Write a failure with its trace."""
    write_log(level, message, request_id, **failure.as_json())
