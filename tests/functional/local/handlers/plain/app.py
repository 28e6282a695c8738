"""Functions that say what they find, for the managed runtime's own client (awslambdaric)."""

import json
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

COUNT = 0
TICKS = 0


def _tick() -> None:
    global TICKS
    while True:
        time.sleep(0.01)
        TICKS += 1


def handler(event: dict[str, Any], context: Any) -> Any:
    """Does what the event's `do` says."""
    global COUNT
    COUNT += 1
    return globals()[event["do"]](event, context)


def about(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {
        "count": COUNT,
        "pid": os.getpid(),
        "request_id": context.aws_request_id,
        "remaining_ms": context.get_remaining_time_in_millis(),
        "memory": context.memory_limit_in_mb,
        "arn": context.invoked_function_arn,
        "log_group": context.log_group_name,
        "client": context.client_context and context.client_context.custom,
        "environment": dict(os.environ),
        "path": sys.path,
        "cwd": os.getcwd(),
    }


def echo(event: dict[str, Any], context: Any) -> Any:
    return event["payload"]


def large(event: dict[str, Any], context: Any) -> str:
    return "x" * event["size"]


def write(event: dict[str, Any], context: Any) -> str:
    path = Path(os.environ["LAMBDA_TASK_ROOT"]) / "written"
    try:
        path.write_text("x")
    except OSError as error:
        return type(error).__name__ + ": " + str(error.errno)
    return "written"


def shared_memory(event: dict[str, Any], context: Any) -> str:
    try:
        multiprocessing.Lock()
    except OSError as error:
        return type(error).__name__
    return "made"


def ticks(event: dict[str, Any], context: Any) -> int:
    if not TICKS:
        threading.Thread(target=_tick, daemon=True).start()
        time.sleep(0.1)
    return TICKS


def child(event: dict[str, Any], context: Any) -> str:
    """Starts a process that appends to a file for ever, by way of a shell."""
    script = 'while :; do echo x >> "$0"; sleep 0.01; done'
    os.spawnl(os.P_NOWAIT, "/bin/sh", "sh", "-c", f"sh -c '{script}' {event['file']}; true")
    while not Path(event["file"]).exists():
        time.sleep(0.01)
    return "started"


def wait(event: dict[str, Any], context: Any) -> int:
    """Waits until the test makes a file; says when it has begun by another."""
    Path(event["begun"]).touch()
    until_s = time.monotonic() + 20
    while not Path(event["go"]).exists() and time.monotonic() < until_s:
        time.sleep(0.01)
    return os.getpid()


def sleep(event: dict[str, Any], context: Any) -> str:
    time.sleep(event["seconds"])
    return "slept"


def leave(event: dict[str, Any], context: Any) -> None:
    print("going", flush=True)
    os._exit(event["status"])


def fail(event: dict[str, Any], context: Any) -> None:
    raise ValueError(event.get("why", "no reason"))


def talk(event: dict[str, Any], context: Any) -> str:
    for line in event["lines"]:
        print(line)
    print("to standard error", file=sys.stderr)
    return "said"


def fail_until(event: dict[str, Any], context: Any) -> str:
    """Fails until it has been called as often as the event says; a file counts."""
    with Path(event["file"]).open("a") as file:
        file.write(context.aws_request_id + "\n")
    attempts = Path(event["file"]).read_text().splitlines()
    if len(attempts) < event["times"]:
        raise RuntimeError(f"attempt {len(attempts)}")
    return "at last"


def subscriber(event: dict[str, Any], context: Any) -> None:
    """Keeps what a log subscription delivers, in the file that its environment names."""
    with Path(os.environ["KEPT"]).open("a") as file:
        file.write(json.dumps(event) + "\n")


def delivered(event: dict[str, Any], context: Any) -> None:
    subscriber(event, context)


def proxy(event: dict[str, Any], context: Any) -> Any:
    """A buffered HTTP answer; the request's query says which."""
    which = (event.get("queryStringParameters") or {}).get("which", "event")
    answers: dict[str, Any] = {
        "event": {"statusCode": 200, "body": json.dumps(event)},
        "cookies": {"statusCode": 201, "headers": {"X-Own": "1"}, "cookies": ["a=1", "b=2"], "body": "made"},
        "binary": {
            "statusCode": 200,
            "headers": {"content-type": "image/png"},
            "body": "iVBORw==",
            "isBase64Encoded": True,
        },
        "bare": {"answer": 42},
        "status": {"statusCode": "fine", "body": ""},
    }
    if which == "raise":
        raise ValueError("as asked")
    return answers[which]
