"""What a request used, as far as it is known: the quantities that prices are multiplied by."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from weir.pricing.event_source import EventSource
from weir.pricing.usage import Usage


class TokensBought(NamedTuple):
    """The tokens of one attempt, the model that answered, and who sold them; None is not known.

    `seller` is one of the price book's; without it the model's name has to tell.
    """

    model: str | None
    usage: Usage
    seller: str | None = None


# A named tuple: the ledger makes millions of them.
class UsageQuantities(NamedTuple):
    """What a request used; None is unknown. `tokens` has one entry for each attempt.

    `billed_ms` is the sum over `billed_invocations` (a retried event is billed twice under one request id), with
    `init_ms` and `restore_ms`, the billed parts of a start and of a restore from a snapshot, in it; both are 0 for a
    warm start. `duration_ms` and `max_concurrency` are read on managed instances only, which bill no time. `log_bytes`
    is the size of the request's log lines. No attempts means that no token was bought, which is known.
    """

    at: datetime
    billed_ms: int | None
    memory_mb: int | None
    architecture: str | None
    region: str | None
    billed_invocations: int | None = 1
    initialization_type: str | None = None
    ephemeral_storage_mb: int | None = None
    max_concurrency: int | None = None
    front: EventSource | None = None
    duration_ms: float | None = None
    init_ms: float | None = None
    restores: int | None = None
    restore_ms: float | None = None
    wait_ms: float | None = None
    stream_ms: float | None = None
    validate_ms: float | None = None
    streamed_bytes: int | None = None
    log_bytes: int | None = None
    tokens: Sequence[TokensBought] = ()
    is_estimate: bool = False
