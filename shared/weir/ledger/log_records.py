"""What the ledger keeps of a log: raw records as they were written, and what had to be set aside."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Self

# Kept, because json.dumps with arguments makes an encoder for each call.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_encode_again = lru_cache(1024)(_encode)  # what all records of a batch share


# Not frozen, though nobody changes one: a frozen one takes longer to make, and there are millions.
@dataclass(slots=True)
class RawRecord:
    """One fact as it was logged: `body` is the application's fact or the platform's `record`.

    `event_id` is CloudWatch's, the same on every delivery; `request_id` is None where the platform gives none;
    `region` is the log group's, which a report does not say and its price needs. `line_bytes` is the size of the log
    line that held it, which its ingestion is billed by; None in what was stored before that was kept. `text` is the
    body's JSON as it was logged, where that fits one line of ASCII: then it is stored so, and not written anew.
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
    text: str | None = field(default=None, compare=False, repr=False)

    @property
    def at(self) -> datetime:
        """When it was logged, UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def day(self) -> date:
        """The UTC day it is stored under."""
        return self.at.date()

    def line(self) -> bytes:
        """The record as one line of JSON, the same bytes for the same log line."""
        # Put together by hand, members in order of their names: an encoder takes longer.
        return (
            f'{{"body":{_encode(self.body) if self.text is None else self.text}'
            f',"event_id":{_encode(self.event_id)},"kind":{_encode_again(self.kind)}'
            f',"line_bytes":{"null" if self.line_bytes is None else self.line_bytes}'
            f',"log_group":{_encode_again(self.log_group)},"log_stream":{_encode_again(self.log_stream)}'
            f',"region":{_encode_again(self.region)},"request_id":{_encode(self.request_id)}'
            f',"timestamp_ms":{self.timestamp_ms}}}'
        ).encode()

    def content(self) -> str:
        """What it says, in one form for however it was read: to tell two records apart, and to order them."""
        return _encode([self.body, *(getattr(self, name) for name in _BESIDE_BODY)])

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read what `line` wrote. Raises ValueError."""
        members = json.loads(line.decode())  # what json makes of bytes begins with guessing their encoding
        try:
            return cls(**members)
        except TypeError as error:
            raise ValueError(f"expected a stored record, got {line[:80]!r}: {error}") from error


_BESIDE_BODY = tuple(name for name in RawRecord.__slots__ if name not in ("body", "text"))


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
        return _encode({name: getattr(self, name) for name in self.__slots__}).encode()
