"""How a call of a provider fails, in one set of words for all protocols; failures.py reads theirs.

Apart from what answers say (events.py), which a cold start imports when it has asked.
"""

from typing import Literal

from weir.light_tuples import LightTuple
from weir.outcomes import Outcome

type Retryable = Literal["yes", "no", "unknown"]
type FailureKind = Literal[
    "rate_limited", "quota", "overloaded", "timeout", "server", "key", "filtered", "context", "request", "unreadable"
]  # fmt: skip


class Failed(LightTuple):
    """The provider reported an error, before the stream or in it, or sent what is none of its protocol.

    `status` is the HTTP status, or the one that the error itself names. `retryable` says whether the same request
    may be sent again. `retry_after_s` is how long the provider asks to wait. `maybe_served` says that the model may
    have worked all the same, so that its usage is unknown and not 0.
    """

    message: str
    code: str | None = None
    status: int | None = None
    retryable: Retryable = "unknown"
    kind: FailureKind = "server"
    retry_after_s: float | None = None
    maybe_served: bool = False

    @property
    def outcome(self) -> Outcome:
        """What the request comes to, where this ends it."""
        return _OUTCOMES.get(self.kind, Outcome.UPSTREAM_ERROR)


_OUTCOMES = {
    "rate_limited": Outcome.RATE_LIMITED,
    "quota": Outcome.RATE_LIMITED,
    "timeout": Outcome.UPSTREAM_TIMEOUT,
    "filtered": Outcome.FILTERED,
}
