"""The log stream of one environment: the platform's lines, the function's, and what was refused."""

from collections.abc import Mapping
from typing import Any

from ..logs import platform_log
from ..logs.log_groups import LogGroup
from .invocation import Invocation
from .runtime_protocol import Refusal


class EnvironmentLog:
    """Writes to `stream` of `group`; `active` are the invocations at this moment, for their tails."""

    def __init__(
        self, group: LogGroup, stream: str, system_log_level: str, active: Mapping[str, Invocation]
    ) -> None:
        self._group = group
        self._stream = stream
        self._system_log_level = system_log_level
        self._active = active

    def output(self, line: str) -> None:
        """A line that the process has printed."""
        # With several invocations at a time nobody can tell whose line it is: all of them get it.
        for invocation in self._active.values():
            invocation.log_tail.append(line)
        self._group.write(self._stream, line)

    def line(self, line: str, invocation: Invocation) -> None:
        """A line of the platform in plain text, about an invocation."""
        invocation.log_tail.append(line)
        self._group.write(self._stream, line)

    def refusal(self, refusal: Refusal) -> None:
        """What the runtime did wrong: whoever develops it reads it here."""
        text = f"Runtime API refused: {refusal.status} {refusal.kind}: {refusal.message}"
        self._group.write(self._stream, text)

    def platform(
        self, kind: str, at_s: float, record: dict[str, Any], invocation: Invocation | None = None
    ) -> None:
        """A platform event, if the function's SystemLogLevel lets it through; `kind` is without its prefix."""
        event = platform_log.event(kind, at_s, record)
        status = str(record.get("status", "success"))
        if not platform_log.written(event["type"], self._system_log_level, status):
            return
        line = platform_log.line(event)
        if invocation is not None:
            invocation.log_tail.append(line)
        self._group.write(self._stream, line)
