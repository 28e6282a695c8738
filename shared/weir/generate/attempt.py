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
from weir.generate.result import Verdict
from weir.generate.retry import Retry, Splice
from weir.generate.timing import RequestTiming
from weir.outcomes import Outcome
from weir.pricing.usage import Usage
from weir.problems import Problem
from weir.providers.chat_completions import ChatCompletionsDecoder
from weir.providers.events import (
    Decoder,
    Failed,
    ProviderEvent,
    Reasoning,
    Refusal,
    Served,
    Text,
    ToolCall,
    UsageReported,
)


class Attempt:
    """The state of one upstream call; `clock` gives monotonic nanoseconds, `input_chars` is all that the model reads.

    `verdict` is how it ended, as soon as that is known; `over` says that no more bytes are wanted, `progressed` that
    the last ones held text of the model. `keep_text` is for callers who want one response and no events, and for a
    retry. A `retry` says what is kept of the attempt before this one.
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
        self.service_tier: str | None = None
        self.served_region: str | None = None
        self.include = include
        self.decoder: Decoder = ChatCompletionsDecoder()
        self.validator = StreamedValidator(schema) if schema is not None else None
        self.usage = Usage()
        self.verdict: Verdict | None = None
        self.sent_paths: list[str] = []
        self.deltas = 0
        self.output_chars = 0
        self.over = False
        self.progressed = False
        self._stop_at_violation = stop_at_violation
        self._texts: list[str] | None = [] if keep_text else None
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
            self._take(event, out)
        if self.progressed and not self.over:
            self._validate("", out)  # nothing more has come for now: look at all that has
        self.over = self.over or self.decoder.terminated
        return b"".join(out)

    def end_body(self) -> bytes:
        """The provider's body has ended; return the events that only its end gives."""
        out: list[bytes] = []
        for event in self.decoder.close():
            self._take(event, out)
        return b"".join(out)

    def _take(self, event: ProviderEvent, out: list[bytes]) -> None:
        match event:
            case Text(text):
                if not self.over:  # text behind a violation is not read; usage that came with it counts
                    self._absorb_text(text, out)
            case UsageReported(usage):
                self.usage = usage  # the decoder has merged it with those before
            case Served():
                self.model_returned = event.model or self.model_returned
                self.service_tier = event.tier or self.service_tier
                self.served_region = event.region or self.served_region
            case Reasoning(text) | ToolCall(arguments=text):
                self.progressed = True
                self.deltas += 1
                self.output_chars += len(text)
            case Refusal():
                self._refused = self.progressed = True
            case Failed():
                members = {"provider": {"status": 200, "code": event.code}}
                self.fail(Problem(event.outcome, f"provider: {event.message}", members=members))
            case _:
                pass  # why it finished the decoder holds for `conclude`

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
                self.verdict = Verdict.invalid([item])
                self.over = self._stop_at_violation
            else:
                self._value(item, out)

    def _value(self, value: Value, out: list[bytes]) -> None:
        if value.path in self._kept_paths and not self._splice.whole:
            return  # the caller has it from the attempt before
        self.sent_paths.append(value.path)
        if "value" in self.include:
            out.append(events.value(self.number, value.path, value.json))

    def fail(self, problem: Problem) -> None:
        """End the attempt with a failure of the provider, the connection or the caller."""
        self.verdict = Verdict.failed(problem, self.verdict.violations if self.verdict else ())
        self.over = True

    def conclude(self) -> StreamedValidator | None:
        """End the attempt, once the body has ended or was ended; return the validator if only that can tell the rest.

        What the validator finds goes to `accept` or `refuse`.
        """
        if self.verdict is not None and (
            self._stop_at_violation or self.verdict.outcome is not Outcome.INVALID_OUTPUT
        ):
            return None
        if (problem := self._incomplete()) is not None:
            self.fail(problem)
        elif self.validator is None:
            self.verdict = Verdict(Outcome.OK)
        else:
            return self.validator
        return None

    def _incomplete(self) -> Problem | None:
        """Why the text is not all that the model had to say, by the way in which its stream ended."""
        if not self.decoder.complete:
            return Problem(
                Outcome.INCOMPLETE_STREAM,
                f"provider: expected a finish reason or [DONE], got the end of the stream "
                f"after {self.output_chars} characters",
            )
        if self._refused:
            return Problem(Outcome.REFUSED, "the model refused to answer; its refusal is no document")
        finish = self.decoder.finish
        if finish is None or finish.normal in ("stop", "other"):
            return None  # a reason that nobody knows says nothing of the text: its document is judged
        said = f"finish reason: expected stop, got {finish.raw!r} after {self.output_chars} characters"
        match finish.normal:
            case "length" | "context":
                return Problem(Outcome.TRUNCATED_OUTPUT, f"{said}: the token limit cut the output")
            case "filtered":
                return Problem(Outcome.FILTERED, said)
            case "refused":
                return Problem(Outcome.REFUSED, "the model refused to answer; its refusal is no document")
            case _:
                return Problem(Outcome.UPSTREAM_ERROR, said)

    def accept(self, document: Document) -> bytes:
        """Take the validated document; return the events of the values that were still to come."""
        self.verdict = Verdict(Outcome.OK, document=document)
        out: list[bytes] = []
        for value in document.values:
            self._value(value, out)
        return b"".join(out)

    def refuse(self, error: InvalidDocument) -> None:
        """Take the finding that the finished text is no such document."""
        self.verdict = Verdict.invalid(error.violations)

    def as_json(self, timing: dict[str, Any]) -> dict[str, Any]:
        """This attempt's line in the request's fact: what was asked of which model, and what it used."""
        return {
            "attempt": self.number,
            "model": self.answering_model,
            "outcome": self.verdict.outcome if self.verdict else None,
            "usage": self.usage.as_json(),
            "timing": timing,
        }
