"""What the ledger keeps of a log: raw records as they were written, and what had to be set aside."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Self

# Kept, because json.dumps with arguments makes an encoder for each call.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


# Not frozen, though nobody changes one: a frozen one takes longer to make, and there are millions.
@dataclass(slots=True)
class RawRecord:
    """One fact as it was logged: `body` is the application's fact or the platform's `record`.

    `event_id` is CloudWatch's, the same on every delivery; `request_id` is None where the platform gives none;
    `region` is the log group's, which a report does not say and its price needs. `line_bytes` is the size of the log
    line that held it, with those of an environment's start before it, which their ingestion is billed by; None in what
    was stored before that was kept. `message` is
    the line itself; None in what the first layout stored, which kept the body alone.
    """

    log_group: str
    log_stream: str
    event_id: str
    timestamp_ms: int
    kind: str
    request_id: str | None
    region: str | None
    body: Mapping[str, Any]
    line_bytes: int | None = None
    message: str | None = field(default=None, compare=False, repr=False)

    @property
    def at(self) -> datetime:
        """When it was logged, UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def day(self) -> date:
        """The UTC day it belongs to."""
        return self.at.date()

    @property
    def line(self) -> str:
        """The line as it was logged; where only the body was kept, one that says the same."""
        if self.message is not None:
            return self.message
        if self.kind.startswith("platform."):
            return _encode({"time": "", "type": self.kind, "record": self.body})
        return _encode({"message": self.kind, "fact": self.body})

    def content(self) -> str:
        """What it says, in one form for however it was read: to tell two records apart, and to order them."""
        return _encode([self.body, *(getattr(self, name) for name in _BESIDE_BODY)])

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read a record of the first layout: one JSON object a line. Raises ValueError."""
        members = json.loads(line.decode())  # what json makes of bytes begins with guessing their encoding
        try:
            return cls(**members)
        except TypeError as error:
            raise ValueError(f"expected a stored record, got {line[:80]!r}: {error}") from error


_BESIDE_BODY = tuple(name for name in RawRecord.__slots__ if name not in ("body", "message"))


@dataclass(frozen=True, slots=True)
class Poison:
    """What was set aside, and why.

    `offset` counts a batch's `logEvents`, or is the byte of a landing object at which a part that is no batch begins;
    None is a whole batch.
    """

    reason: str
    offset: int | None
    event_id: str | None
    log_group: str | None
    raw: str

    def line(self) -> bytes:
        """The poison as one line of JSON, the same bytes for the same poison."""
        return _encode({name: getattr(self, name) for name in self.__slots__}).encode()
