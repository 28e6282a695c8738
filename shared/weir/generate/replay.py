"""Give a stored answer again: the way of any answer, from text that no provider sends.

What was stored is text, so it is validated, released and written as it was the first time, for callers who stream and
for those who want one object. All of it is at hand before the first byte leaves: where it is not what it was, nothing
has been said, and the model can be asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic_streaming import InvalidDocument
from weir.access.answers import StoredAnswer
from weir.generate import events
from weir.generate.asked import Asked
from weir.generate.attempt import Attempt
from weir.generate.params import GenerationParams
from weir.generate.question import Run
from weir.generate.request_record import Given
from weir.generate.validator_process import close
from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.events import Finished, ProviderEvent, Text, ToolCall
from weir.providers.routes import Route
from weir.schemas import load_schema

_PIECE_CHARS = 16_000  # of one delta
_NO_CAP = 1 << 40  # it was held to its cap when it was bought


class _Stored:
    """A decoder of nothing: the stored text, and its end."""

    terminated = True
    complete = True
    replaced = 0

    def __init__(self, answer: StoredAnswer) -> None:
        self._text = answer.text
        self._tool_calls = [ToolCall(*call) for call in answer.tool_calls]
        cut = answer.outcome == Outcome.TRUNCATED_OUTPUT and answer.problem is None
        self.finish: Finished | None = Finished("length", "length") if cut else Finished("stop", "stop")

    def feed(self, data: bytes) -> list[ProviderEvent]:
        pieces = range(0, len(self._text), _PIECE_CHARS)
        return [*(Text(self._text[at : at + _PIECE_CHARS]) for at in pieces), *self._tool_calls]

    def close(self) -> list[ProviderEvent]:
        return []


@dataclass(frozen=True, slots=True)
class Replay:
    """An answer, ready to be given again: the attempt that it makes, and its events."""

    attempt: Attempt
    events: list[bytes]


async def replay(run: Run, request: GenerationParams, route: Route, answer: StoredAnswer) -> Replay | None:
    """Make the events of a stored answer; None where it is no longer what it was."""
    generate, streams = run.generate, run.response.streams
    attempt = Attempt(
        1,
        _asked(run, request, route, answer),
        _Stored(answer),
        include=frozenset(request.include) if streams else frozenset(),
        wire=run.response.wire,
        validated_release=request.release == "validated",
        released="",
        stop_at_violation=request.on_violation != "finish",
        keep=not streams,
        whole_members=False,
        caps=generate.policy.caps,
        timing=run.record.timing,
        clock=generate.monotonic_ns,
    )
    if attempt.waits:
        attempt.begin_validation()
    written = [attempt.absorb(b""), attempt.end_body()]
    if answer.problem is not None:
        try:
            attempt.fail(_problem_of(answer.problem))
        except (KeyError, TypeError, ValueError):
            return None
    elif (validator := attempt.conclude()) is not None:
        try:
            document = await close(validator, generate.validator_process())
        except InvalidDocument as error:
            attempt.refuse(error)
        else:
            written.append(attempt.accept(document))
            if "result" in attempt.include:
                parts = document.json_parts(events.RESULT_PART_BYTES)
                written += events.result(attempt.number, parts)
    verdict = attempt.verdict
    if verdict is None or verdict.outcome != answer.outcome:
        return None
    return Replay(attempt, written)


async def give(run: Run, ready: Replay, given: Given) -> None:
    """Send an answer's events, and have it on record that nothing was bought. Raises Problem: nobody is there."""
    run.record.given = given
    await run.open()
    for data in ready.events:
        await run.send(data)


def _asked(run: Run, request: GenerationParams, route: Route, answer: StoredAnswer) -> Asked:
    name = request.schema_name
    if name is None:
        return Asked(route, 0, _NO_CAP, passes_tools=bool(answer.tool_calls))
    structured, document = None, None
    if answer.is_model_text:
        from weir.generate.documents import document_schema

        structured = run.generate.documents.request(name, route)
        document = document_schema(name) if structured.null_is_absent else None
    return Asked(route, 0, _NO_CAP, None, partial(load_schema, name), None, document)


def _problem_of(stored: Mapping[str, Any]) -> Problem:
    own = {"outcome", "type", "title", "status", "detail"}
    return Problem(
        Outcome(stored["outcome"]),
        str(stored["detail"]),
        status=int(stored["status"]),
        title=str(stored["title"]),
        members={name: value for name, value in stored.items() if name not in own},
    )
