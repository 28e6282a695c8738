"""The closed set of ways in which a request can end.

One vocabulary for the final event, the log, the metrics and the ledger: a report never has to translate.
"""

from enum import StrEnum


class Outcome(StrEnum):
    """How a request ended; every value but `ok` ends its stream in an `error` event."""

    OK = "ok"
    INVALID_OUTPUT = "invalid_output"  # the model's text broke the schema
    INCOMPLETE_STREAM = "incomplete_stream"  # the provider closed without a terminator
    TRUNCATED_OUTPUT = "truncated_output"  # finish_reason length
    REFUSED = "refused"
    FILTERED = "filtered"  # finish_reason content_filter
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    RATE_LIMITED = "rate_limited"
    CLIENT_DISCONNECTED = "client_disconnected"
    STOPPED = "stopped"  # a stop flag, or the environment is shutting down
    DEADLINE = "deadline"  # the function's own time is nearly up
    BUDGET_EXCEEDED = "budget_exceeded"
    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    KILLED = "killed"  # known only to the ledger: the process left no completion
    INTERNAL_ERROR = "internal_error"

    @property
    def metric(self) -> str:
        """The name of this outcome's CloudWatch count: `invalid_output` is counted as `InvalidOutput`."""
        return "".join(word.capitalize() for word in self.value.split("_"))
