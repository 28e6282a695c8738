"""How a request ended: what is left to say when its last byte is written."""

from dataclasses import dataclass
from typing import Any

from pydantic_streaming import Document
from weir.problems import Problem


@dataclass(frozen=True, slots=True)
class Ending:
    """The verdict and the account, and, for callers who wait for one answer, what was generated.

    `account` holds usage, timing and cost; `problem` is None where the outcome is `ok`. `document` is the validated
    document where one was asked for, `text` the plain text where it was kept.
    """

    attempt: int
    problem: Problem | None
    account: dict[str, Any]
    document: Document | None
    text: str | None
