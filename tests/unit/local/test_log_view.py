"""What functions print, as lines for a person."""

import json
from typing import Any

import pytest

from infra.local.logs.log_groups import LogEvent
from infra.local.terminal.log_view import LogView


def lines(message: str | dict[str, Any], *, colour: bool = False) -> list[str]:
    text = message if isinstance(message, str) else json.dumps(message)
    return LogView(colour=colour).lines("GenerateFunction", LogEvent("1", 0, text, "stream"))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("anything printed", ["generate            anything printed"]),
        (
            {"level": "ERROR", "requestId": "06c4c663-11da", "message": "internal error",
             "error": {"type": "KeyError", "message": "'title'", "frames": ["/var/task/app.py:7 in f"]}},
            ["generate   06c4c663 internal error KeyError: 'title' ", "generate   06c4c663 /var/task/app.py:7 in f"],
        ),
        (
            {"level": "INFO", "requestId": "06c4c663-11da", "fact": {"kind": "request.completed", "request_id": "06c4c663-11da", "outcome": "ok"}},
            ["generate   06c4c663 ok"],
        ),
        ({"fact": {"kind": "request.started"}}, []),
        ({"_aws": {}, "ColdStart": 1}, []),
        ({"type": "platform.start", "record": {"requestId": "a"}}, []),
        (
            {"type": "platform.report", "record": {"requestId": "06c4c663", "status": "success",
             "metrics": {"billedDurationMs": 120, "initDurationMs": 1512.4}}},
            ["generate   06c4c663 billed 120 ms, cold start 1,512 ms"],
        ),
        (
            {"type": "platform.report", "record": {"requestId": "06c4c663", "status": "timeout", "metrics": {}}},
            ["generate   06c4c663 platform.report: timeout"],
        ),
        # An error as a managed runtime logs it.
        (
            {"level": "ERROR", "errorType": "ValueError", "errorMessage": "no", "requestId": "1", "stackTrace": ["  File a.py\n"]},
            ["generate   1        ValueError no ", "generate   1          File a.py"],
        ),
        # Lines that are JSON and nothing that is known stay whole.
        ({"a": 1}, ['generate            {"a": 1}']),
        ("[1, 2]", ["generate            [1, 2]"]),
    ],
)  # fmt: skip
def test_a_line_says_whose_it_is_which_request_and_what(message: Any, expected: list[str]) -> None:
    assert lines(message) == expected


def test_colours_stand_only_where_they_are_asked_for_and_errors_are_red() -> None:
    (shown,) = lines({"level": "ERROR", "message": "broken"}, colour=True)
    assert "\x1b[31mbroken\x1b[0m" in shown
    assert "\x1b" not in lines({"level": "ERROR", "message": "broken"})[0]
