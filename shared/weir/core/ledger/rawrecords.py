"""What the ledger keeps of a log: raw records as they were written, and what had to be set aside."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One fact as it was logged: `body` is the application's fact or the platform's `record`.

    `event_id` is CloudWatch's, the same on every delivery; `request_id` is None where the platform gives none;
    `region` is the log group's, which a report does not say and its price needs.
    """

    log_group: str
    log_stream: str
    event_id: str
    timestamp_ms: int
    kind: str
    request_id: str | None
    region: str | None
    body: Mapping[str, Any]

    @property
    def at(self) -> datetime:
        """When it was logged, UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def day(self) -> date:
        """The UTC day it is stored under."""
        return self.at.date()

    def line(self) -> bytes:
        """The record as one line of JSON, the same bytes for the same record."""
        members = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(members, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read what `line` wrote. Raises ValueError."""
        members = json.loads(line)
        try:
            return cls(**members)
        except TypeError as error:
            raise ValueError(f"expected a stored record, got {line[:80]!r}: {error}") from error


@dataclass(frozen=True, slots=True)
class Poison:
    """What was set aside, and why; `offset` counts in `logEvents`, None is the whole batch."""

    reason: str
    offset: int | None
    event_id: str | None
    log_group: str | None
    raw: str

    def line(self) -> bytes:
        """The poison as one line of JSON, the same bytes for the same poison."""
        members = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
