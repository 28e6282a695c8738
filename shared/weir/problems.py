"""Errors that a caller sees: RFC 9457 problem details, before the first byte as a status, after it as an event.

https://www.rfc-editor.org/rfc/rfc9457
"""

from collections.abc import Mapping
from typing import Any

from weir.errors import WeirError
from weir.outcomes import Outcome

CONTENT_TYPE = "application/problem+json"

_STATUS = {
    Outcome.INVALID_OUTPUT: (502, "The model's output does not match the schema"),
    Outcome.INCOMPLETE_STREAM: (502, "The provider's stream ended early"),
    Outcome.TRUNCATED_OUTPUT: (502, "The output reached its token limit"),
    Outcome.REFUSED: (422, "The model refused"),
    Outcome.FILTERED: (422, "The provider's content filter stopped the output"),
    Outcome.UPSTREAM_ERROR: (502, "The provider failed"),
    Outcome.UPSTREAM_TIMEOUT: (504, "The provider did not answer in time"),
    Outcome.RATE_LIMITED: (429, "The provider limits the rate of requests"),
    Outcome.CLIENT_DISCONNECTED: (499, "The caller hung up"),
    Outcome.STOPPED: (503, "The request was stopped"),
    Outcome.DEADLINE: (504, "The function's time is nearly up"),
    Outcome.BUDGET_EXCEEDED: (429, "The budget is spent"),
    Outcome.BAD_REQUEST: (400, "The request is not valid"),
    Outcome.UNAUTHORIZED: (401, "The caller is not authorised"),
    Outcome.INTERNAL_ERROR: (500, "Internal error"),
}


class Problem(WeirError):
    """One failure, as the caller is told of it.

    `detail` names what was expected, what came and where; it goes to the caller and never to a log. `members` are
    further members of the problem document; `headers` go with the status, when there still is one.
    """

    def __init__(
        self,
        outcome: Outcome,
        detail: str,
        *,
        status: int | None = None,
        title: str | None = None,
        members: Mapping[str, Any] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(detail)
        usual_status, usual_title = _STATUS[outcome]
        self.outcome = outcome
        self.detail = detail
        self.status = status or usual_status
        self.title = title or usual_title
        self.members = members or {}
        self.headers = headers

    def as_json(self) -> dict[str, Any]:
        """The RFC's members and ours; `type` stays about:blank, the title is the outcome's."""
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }
