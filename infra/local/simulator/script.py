"""What one simulated model does: pace, size, chunking and faults, as plain data.

A script is chosen by the `model` field of a request, as a real endpoint chooses a model, so that a test, the
demo and `curl` ask for a fault in the same way. The built-in ones are in `scripts.py`; a test passes its own
to `Simulator`. Everything here survives JSON, because scripts travel to the simulator's process that way.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FaultKind = Literal[
    # Before the response's headers
    "no_headers",  # the request is read and never answered
    "reset_before_headers",  # TCP reset instead of an answer
    "bad_status_line",  # bytes that are not HTTP
    # In the stream
    "bad_chunk",  # a chunk header that is not hexadecimal
    "cut",  # the connection is closed inside the chunked body
    "reset",  # the same with a TCP reset
    "silent_end",  # HTTP ends well, but without finish_reason, usage and [DONE]
    "stall",  # nothing more, the connection stays open
    "pings",  # comments twenty times a second and no further token
    "drip",  # from here on ten bytes a second
    "error_event",  # data: {"error": ...} inside the 200 response
    "bad_event",  # one event whose data is not JSON; the stream goes on
    "odd_event",  # one event that is JSON of another shape; the stream goes on
    "invalid_utf8",  # the next token carries bytes that are no UTF-8
    "endless_line",  # a data: line that grows without end, a megabyte at a time
]

Violation = Literal["wrong_type", "missing_key", "extra_key", "duplicate_key"]
Usage = Literal["last", "none", "twice", "running", "inconsistent"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of transport or protocol, and when it strikes.

    `at` is the share of the answer's tokens sent before it: 0.0 strikes before the first token, 0.5 half way.
    """

    kind: FaultKind
    at: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.at < 1.0:
            raise ValueError(f"Fault.at: expected a share of the answer, 0.0 <= at < 1.0, got {self.at!r}")


@dataclass(frozen=True, slots=True)
class HttpError:
    """An answer other than 200, in the shape of OpenAI's errors."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The behaviour of one model name.

    Pace: `ttft_ms` from the request's last byte to the first token, then `tokens_per_s`; None is as fast as
    the reader reads. Size: `sections` is the length of every list of objects, `words` that of a long text,
    both within the schema's own bounds. Chunking: `deltas_per_write` events leave in one TCP write;
    `cut_inside_characters` ends writes inside a multi-byte character where there is one; `newline` is the
    line end of the event stream. `times` limits error, fault and violation to the first requests of a
    conversation (same model, same first user message), so that a retry succeeds; None is every time.
    """

    name: str
    ttft_ms: float = 250.0
    tokens_per_s: float | None = 160.0
    characters_per_token: int = 4
    sections: int = 4
    words: int = 55
    deltas_per_write: int = 1
    cut_inside_characters: bool = False
    newline: Literal["\n", "\r\n", "\r"] = "\n"
    byte_order_mark: bool = False
    content_encoding: Literal["identity", "gzip", "broken_gzip"] = "identity"
    prefix: str = ""
    suffix: str = ""
    finish_reason: Literal["stop", "length", "content_filter", "tool_calls"] = "stop"
    share: float = 1.0
    refusal: str | None = None
    html: bool = False
    usage: Usage = "last"
    cached_share: float = 0.0
    reasoning_tokens: int = 0
    returned_model: str | None = None
    error: HttpError | None = None
    redirect: bool = False
    fault: Fault | None = None
    violation: Violation | None = None
    times: int | None = None

    def __post_init__(self) -> None:
        for name in ("characters_per_token", "sections", "words", "deltas_per_write"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"Script {self.name!r}: {name}: expected at least 1, got {getattr(self, name)!r}"
                )
        if self.tokens_per_s is not None and self.tokens_per_s <= 0:
            raise ValueError(
                f"Script {self.name!r}: tokens_per_s: expected more than 0, got {self.tokens_per_s!r}"
            )
        for name in ("share", "cached_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(
                    f"Script {self.name!r}: {name}: expected 0.0 to 1.0, got {getattr(self, name)!r}"
                )

    def well_behaved(self) -> "Script":
        """This script without error, fault and violation: what is played after `times` requests."""
        return dataclasses.replace(self, error=None, redirect=False, fault=None, violation=None)

    def as_json(self) -> dict[str, Any]:
        """The script as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Script":
        """The script that `as_json` gave. Raises TypeError for names it does not know."""
        known = dict(values)
        if known.get("fault") is not None:
            known["fault"] = Fault(**known["fault"])
        if known.get("error") is not None:
            known["error"] = HttpError(**known["error"])
        return cls(**known)
