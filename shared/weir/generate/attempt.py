"""One call of the model, sans IO: the provider's bytes in, the caller's events out, and a verdict at the end.

Text leaves as a `delta` in the same breath in which it is validated; a violation ends the attempt at the chunk that
brought it. What the finish reason says of a text (cut off, refused, filtered) comes before what the schema says: a
document that the token limit cut is not the model's mistake.
"""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from pydantic_streaming import Document, InvalidDocument, StreamedValidator, Value, Violation
from weir.generate import events
from weir.generate.retry import Retry, Splice
from weir.generate.timing import RequestTiming
from weir.outcomes import Outcome
from weir.pricing.usage import Usage
from weir.problems import Problem
from weir.providers.chat_completions import (
    ChatCompletionsDecoder,
    Finished,
    ModelNamed,
    ProviderFailed,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    UsageReported,
)

MAX_VIOLATIONS = 20


class Attempt:
    """The state of one upstream call; `clock` gives monotonic nanoseconds, `input_chars` is all that the model reads.

    `over` says that no more bytes are wanted, `progressed` that the last ones held text of the model. `keep_text`
    is for callers who want one answer and no events, and for a retry. A `retry` says what is kept of the
    attempt before this one.
    """

    def __init__(
        self,
        number: int,
        *,
        model: str,
        input_chars: int,
        schema: type[BaseModel] | None,
        include: frozenset[str],
        stop_at_violation: bool,
        keep_text: bool,
        timing: RequestTiming,
        clock: Callable[[], int],
        retry: Retry | None = None,
    ) -> None:
        self.number = number
        self.model = model  # as asked for, until the provider names the one that answers
        self.input_chars = input_chars
        self.model_returned: str | None = None
        self.include = include
        self.decoder = ChatCompletionsDecoder()
        self.validator = StreamedValidator(schema) if schema is not None else None
        self.document: Document | None = None
        self.usage = Usage()
        self.violations: list[Violation] = []
        self.outcome: Outcome | None = None
        self.sent_paths: list[str] = []
        self.deltas = 0
        self.output_chars = 0
        self.over = False
        self.progressed = False
        self._stop_at_violation = stop_at_violation
        self._texts: list[str] | None = [] if keep_text else None
        self._failure: ProviderFailed | None = None
        self._refused = False
        self._timing = timing
        self._clock = clock
        self._splice = Splice(retry.prefix if retry else "", retry.kept if retry else frozenset())
        self._kept_paths = retry.kept_paths if retry else frozenset()

    @property
    def answering_model(self) -> str:
        """The model that is to be priced: the one that the provider named, or else the one asked for."""
        return self.model_returned or self.model

    @property
    def text(self) -> str | None:
        """All of the text, where it was kept."""
        return None if self._texts is None else "".join(self._texts)

    def absorb(self, data: bytes) -> bytes:
        """Take bytes of the provider's body; return the events that they give, as bytes for the caller."""
        out: list[bytes] = []
        self.progressed = False
        for event in self.decoder.feed(data):
            match event:
                case TextDelta(text):
                    if not self.over:  # text behind a violation is not read; usage that came with it counts
                        self._absorb_text(text, out)
                case UsageReported(usage):
                    self.usage = usage  # cumulative: the last one wins
                case ModelNamed(model):
                    self.model_returned = model
                case ReasoningDelta(text):
                    self.progressed = True
                    self.deltas += 1
                    self.output_chars += len(text)
                case RefusalDelta():
                    self._refused = self.progressed = True
                case ProviderFailed():
                    self._failure = event
                case Finished():
                    pass  # the decoder holds it for `conclude`
        if self.progressed and not self.over:
            self._validate("", out)  # nothing more has come for now: look at all that has
        self.over = self.over or self.decoder.terminated or self._failure is not None
        return b"".join(out)

    def _absorb_text(self, text: str, out: list[bytes]) -> None:
        self._timing.token(self._clock())
        self.progressed = True
        self.deltas += 1
        self.output_chars += len(text)
        if self._texts is not None:
            self._texts.append(text)
        if "delta" in self.include:
            out.append(events.delta(self.number, text))
        self._validate(text, out)

    def _validate(self, text: str, out: list[bytes]) -> None:
        if self.validator is None:
            return
        started_ns = self._clock()
        found = self.validator.feed(self._splice.feed(text))
        self._timing.validate_ns += self._clock() - started_ns
        for item in found:
            if isinstance(item, Violation):
                self.violations.append(item)
                self.over = self._stop_at_violation
            else:
                self._value(item, out)

    def _value(self, value: Value, out: list[bytes]) -> None:
        if value.path in self._kept_paths and not self._splice.whole:
            return  # the caller has it from the attempt before
        self.sent_paths.append(value.path)
        if "value" in self.include:
            out.append(events.value(self.number, value.path, value.json))

    def judge_stream(self) -> None:
        """The verdict on everything but the document, once the body has ended or was ended.

        Raises:
            Problem: the stream failed, broke off, was stopped at a violation, or ended for a reason other than stop.
        """
        complete = self.decoder.close()
        if self._failure is not None:
            raise Problem(
                Outcome.UPSTREAM_ERROR,
                f"provider: {self._failure.message}",
                members={"provider": {"status": 200, "code": self._failure.code}},
            )
        if self.violations and self._stop_at_violation:
            raise self._invalid(self.violations)
        if not complete:
            raise Problem(
                Outcome.INCOMPLETE_STREAM,
                f"provider: expected a finish reason or [DONE], got the end of the stream "
                f"after {self.output_chars} characters",
            )
        if self._refused:
            raise Problem(Outcome.REFUSED, "the model refused to answer; its refusal is no document")
        match self.decoder.finish_reason:
            case "length":
                raise Problem(
                    Outcome.TRUNCATED_OUTPUT,
                    f"finish reason: expected stop, got length after {self.output_chars} characters: "
                    "the token limit cut the output",
                )
            case "content_filter":
                raise Problem(Outcome.FILTERED, "finish reason: expected stop, got content_filter")
            case "stop" | None:
                pass
            case other:
                raise Problem(Outcome.UPSTREAM_ERROR, f"finish reason: expected stop, got {other[:64]!r}")

    def accept(self, document: Document) -> bytes:
        """Take the validated document; return the events of the values that were still to come."""
        self.document = document
        out: list[bytes] = []
        for value in document.values:
            self._value(value, out)
        return b"".join(out)

    def refuse(self, error: InvalidDocument) -> Problem:
        """Take the verdict that the finished text is no such document; return what the caller is told."""
        self.violations = list(error.violations)
        return self._invalid(self.violations)

    def _invalid(self, violations: list[Violation]) -> Problem:
        first = violations[0]
        where = first.path if first.path is not None else "/".join(map(str, first.loc))
        return Problem(
            Outcome.INVALID_OUTPUT,
            f"{where or 'document'}: {first.message}",
            members={"violations": [_violation_json(item) for item in violations[:MAX_VIOLATIONS]]},
        )

    def as_json(self, timing: dict[str, Any]) -> dict[str, Any]:
        """This attempt's line in the request's fact: what was asked of which model, and what it used."""
        return {
            "attempt": self.number,
            "model": self.answering_model,
            "outcome": self.outcome,
            "usage": self.usage.as_json(),
            "timing": timing,
        }


def _violation_json(item: Violation) -> dict[str, Any]:
    return {"path": item.path, "loc": list(item.loc), "type": item.type, "message": item.message}
