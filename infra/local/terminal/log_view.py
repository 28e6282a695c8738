"""What functions print, as lines for a person: whose it is, which request, and the message of an error.

Facts and platform lines are for the ledger: of a request one line remains, how it ended and what was billed.
"""

import json
from collections.abc import Iterator
from typing import Any

from ..logs.log_groups import LogEvent

_COLOURS = (36, 33, 35, 34, 32)  # of functions, in the order in which they are first seen
_ERROR = 31
_QUIET_PLATFORM = frozenset(
    {"platform.start", "platform.runtimeDone", "platform.initStart", "platform.initRuntimeDone"}
)


class LogView:
    """Turns log events into lines; colours only where a terminal shows them."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour
        self._names: dict[str, int] = {}

    def lines(self, function: str, event: LogEvent) -> list[str]:
        """The lines that an event of a function's log is worth; none for what only the ledger reads."""
        return list(self._lines(function, event))

    def _lines(self, function: str, event: LogEvent) -> Iterator[str]:
        number = self._names.setdefault(function, _COLOURS[len(self._names) % len(_COLOURS)])
        label = self._paint(f"{function.removesuffix('Function').lower():<10}", number)
        shown = _shown(event)
        if shown is None:
            return
        request_id, text, is_error = shown
        for line in text.rstrip().splitlines() or [""]:
            yield f"{label} {request_id[:8]:<8} {self._paint(line, _ERROR) if is_error else line}"

    def _paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text


def _shown(event: LogEvent) -> tuple[str, str, bool] | None:
    """(request id, text, whether it is an error) of one line."""
    line = event.record
    if line is None:
        return "", event.message, _sounds_wrong(event.message)
    kind, record = line.get("type"), line.get("record")
    if isinstance(kind, str) and kind.startswith("platform."):
        return _platform(kind, record if isinstance(record, dict) else {})
    fact = line.get("fact")
    if isinstance(fact, dict):
        return _completed(fact) if fact.get("kind") == "request.completed" else None
    if "_aws" in line:
        return None  # metrics
    request_id = str(line.get("requestId") or line.get("request_id") or "")
    is_error = str(line.get("level", "")).upper() in ("ERROR", "CRITICAL", "FATAL")
    parts = [str(line[name]) for name in ("errorType", "message", "errorMessage") if line.get(name)]
    error, trace = line.get("error"), line.get("stackTrace")
    if isinstance(error, dict):
        parts.append(": ".join(str(error[name]) for name in ("type", "message") if error.get(name)))
        trace = error.get("frames")
    if isinstance(trace, list):
        parts += [
            "\n" + "".join(str(frame) if str(frame).endswith("\n") else f"{frame}\n" for frame in trace)
        ]
    elif line.get("exception"):
        parts += ["\n" + str(line["exception"])]
    return request_id, " ".join(filter(None, parts)) or json.dumps(line), is_error


def _platform(kind: str, record: dict[str, Any]) -> tuple[str, str, bool] | None:
    if kind in _QUIET_PLATFORM:
        return None
    request_id, status = str(record.get("requestId") or ""), record.get("status")
    metrics = record.get("metrics")
    metrics = metrics if isinstance(metrics, dict) else {}
    if kind == "platform.report" and status in (None, "success"):
        if record.get("errorType"):
            return request_id, f"{record['errorType']}", True
        cold = f", cold start {metrics['initDurationMs']:,.0f} ms" if metrics.get("initDurationMs") else ""
        return request_id, f"billed {metrics.get('billedDurationMs', '?')} ms{cold}", False
    text = f"{kind}: {status or ''} {record.get('errorType') or ''}".rstrip(": ")
    return request_id, text, status not in (None, "success") or "error" in kind.lower() or "fault" in kind


def _completed(fact: dict[str, Any]) -> tuple[str, str, bool]:
    problem = fact.get("problem")
    detail = f": {problem}" if isinstance(problem, str) else ""
    outcome = str(fact.get("outcome"))
    return (
        str(fact.get("request_id") or ""),
        f"{outcome}{detail}",
        outcome in ("internal_error", "upstream_error"),
    )


def _sounds_wrong(text: str) -> bool:
    return any(word in text for word in ("Traceback", "Error", "refused", "Task timed out"))
