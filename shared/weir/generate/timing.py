"""Where a request's time went: the stopwatch that splits it into the phases which are priced.

Every instant is handed in, in nanoseconds of one monotonic clock, so that a test can be its own clock. A phase that
was never reached is None, not 0.
"""

from typing import Any

_MS = 1e-6


class RequestTiming:
    """Collects instants of one request, over all of its attempts.

    waiting     from each upstream call until its first token (or its end, if none came)
    streaming   from the first token until the end of the body, without what validation took of it
    validating  time in the validator, which runs on the loop between two reads, and for the verdict at the end
    """

    def __init__(self, started_ns: int) -> None:
        self.started_ns = started_ns
        self.validate_ns = 0
        self.attempts: list[dict[str, float | None]] = []
        self._called_ns = 0
        self._first_ns: int | None = None
        self._validated_before = 0
        self._wait_ns: int | None = None
        self._stream_ns: int | None = None
        self.first_token_ns: int | None = None
        self.last_token_ns: int | None = None

    def called(self, now_ns: int) -> None:
        """An attempt's upstream call begins."""
        self._called_ns, self._first_ns, self._validated_before = now_ns, None, self.validate_ns

    def token(self, now_ns: int) -> None:
        """Text of the model arrived."""
        if self._first_ns is None:
            self._first_ns = now_ns
            if self.first_token_ns is None:
                self.first_token_ns = now_ns
        self.last_token_ns = now_ns

    def ended(self, now_ns: int) -> tuple[int, int | None, int]:
        """The attempt's upstream response ended, in whichever way; return when it was called, gave a token, ended."""
        first = self._first_ns if self._first_ns is not None else now_ns
        wait = first - self._called_ns
        stream = max(0, now_ns - first - (self.validate_ns - self._validated_before))
        self._wait_ns = (self._wait_ns or 0) + wait
        self._stream_ns = (self._stream_ns or 0) + stream if self._first_ns is not None else self._stream_ns
        self.attempts.append(
            {"wait_ms": _ms(wait), "stream_ms": _ms(stream) if self._first_ns is not None else None}
        )
        return self._called_ns, self._first_ns, now_ns

    def as_json(self, now_ns: int, loop_gap: dict[str, float] | None) -> dict[str, Any]:
        """All phases in milliseconds, as of `now_ns`; `ttft_ms` and `ttlt_ms` count from the request's start."""

        def since_start(instant: int | None) -> float | None:
            return None if instant is None else _ms(instant - self.started_ns)

        return {
            "duration_ms": _ms(now_ns - self.started_ns),
            "wait_ms": _ms(self._wait_ns),
            "stream_ms": _ms(self._stream_ns),
            "validate_ms": _ms(self.validate_ns) if self.first_token_ns is not None else None,
            "ttft_ms": since_start(self.first_token_ns),
            "ttlt_ms": since_start(self.last_token_ns),
            "event_loop_gap_ms": loop_gap,
        }


def _ms(duration_ns: int | None) -> Any:
    return None if duration_ns is None else round(duration_ns * _MS, 3)
