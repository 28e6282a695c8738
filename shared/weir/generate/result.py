"""How an attempt and a request ended: one value from the moment that it is known to the last byte.

A violation is found while the text streams, or by the validator at its end; a provider fails by a status, by an event
or by silence. Whatever it was becomes a `Verdict` where it is first known, and nothing downstream asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from weir.generate.events import Wire
from weir.light_tuples import LightTuple
from weir.outcomes import Outcome
from weir.problems import Problem

if TYPE_CHECKING:
    from pydantic_streaming import Document, Value, Violation
    from weir.providers.events import ToolCall

MAX_VIOLATIONS_SHOWN = 20


class Verdict(LightTuple):
    """How one attempt ended.

    `problem` is what the caller is told where it did not give what was asked, None where it did. `document` is the
    validated document where one was asked for.
    """

    outcome: Outcome
    problem: Problem | None = None
    violations: tuple[Violation, ...] = ()
    document: Document | None = None

    @classmethod
    def failed(cls, problem: Problem, violations: tuple[Violation, ...] = ()) -> Self:
        """The attempt failed, or never began; `violations` are those that were known by then."""
        return cls(problem.outcome, problem, violations)

    @classmethod
    def invalid(cls, violations: Sequence[Violation]) -> Self:
        """The model's text broke the schema."""
        first = violations[0]
        where = first.path if first.path is not None else "/".join(map(str, first.loc))
        problem = Problem(
            Outcome.INVALID_OUTPUT,
            f"{where or 'document'}: {first.message}",
            members={"violations": [_violation_json(item) for item in violations[:MAX_VIOLATIONS_SHOWN]]},
        )
        return cls(problem.outcome, problem, tuple(violations))


class Result(LightTuple):
    """How a request ended: what is left to say when its last byte is written.

    `verdict` is the last attempt's, or says why there was none. `summary` holds usage, timing and cost. Where they were
    kept, `text` is the model's text, and `values` are the parts of a document that were valid. `tool_calls` are those
    of functions that were passed on.
    """

    attempt: int
    verdict: Verdict
    summary: dict[str, Any]
    text: str | None = None
    values: tuple[Value, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()


def _violation_json(item: Violation) -> dict[str, Any]:
    return {"path": item.path, "loc": list(item.loc), "type": item.type, "message": item.message}


class Response(Protocol):
    """The way back to whoever asked; `streams` tells whether it carries events, or only the result.

    `wire` writes events as this caller reads them.
    """

    streams: bool
    wire: Wire

    async def open(self) -> None:
        """Send status 200 and the headers, if that has not been done; from now on errors are events."""

    async def send(self, data: bytes) -> None:
        """Send the bytes of whole events; returns when the transport takes more.

        Raises:
            OSError: nobody is there to take them, as ASGI servers report it.
        """

    def encode(self, result: Result) -> bytes:
        """The last bytes: a final event, or the one object."""

    async def finish(self, result: Result, data: bytes) -> None:
        """Send them; before `open`, with the status that the result has."""
