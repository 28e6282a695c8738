"""One call of the model, sans IO: the provider's bytes in, the caller's events out, and a verdict at the end.

Text leaves as a `delta` the moment it comes, and is validated right behind; a violation ends the attempt at the chunk
that brought it. Until `begin_validation` text waits, read by read: then each is looked at as if nothing had come after
it, so that the verdict does not hang on when the validator was there. A document that has closed is validated whatever
the finish reason says; of one that has not, the finish reason says why: a document that the token limit cut is not the
model's mistake. Plain text that the limit cut was paid for, and is the caller's.

The output cap is held here too, by count, whatever the server does with it: one delta is one token with most
providers, and no token is longer than some characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from weir.generate.asked import Asked
from weir.generate.events import Wire
from weir.generate.policy import Caps
from weir.generate.result import Verdict
from weir.generate.timing import RequestTiming
from weir.outcomes import Outcome
from weir.pricing.usage import Usage
from weir.problems import Problem
from weir.providers.events import (
    Decoder,
    ProviderEvent,
    Reasoning,
    Refusal,
    Served,
    Text,
    ToolCall,
    UsageReported,
)
from weir.providers.failed import Failed
from weir.providers.upstream import problem_of

if TYPE_CHECKING:
    from pydantic_streaming import Document, InvalidDocument, StreamedValidator, Value, Violation
    from weir.generate.null_as_absent import NullAsAbsent
    from weir.generate.release import ValidatedRelease
    from weir.generate.retry import Splice

_MAX_CHARS_PER_TOKEN = 16
_BLANKS = " \t\r\n"


class CallTimes(NamedTuple):
    """When the call of an attempt, by its number in a trace, began, gave its first token and ended: monotonic
    nanoseconds."""

    number: int
    called_ns: int
    first_ns: int | None
    ended_ns: int


class Attempt:
    """The state of one upstream call; `clock` gives monotonic nanoseconds.

    `verdict` is how it ended, as soon as that is known, and `failed` the provider's own failure, if it was one; `over`
    says that no more bytes are wanted, `progressed` that the last ones held text of the model. `keep` is for callers
    who want one response and no events, for a retry, and for an answer that is given again: text and values are kept.
    `whole_members` is for what may be asked once more: of a validated text only whole members leave.
    """

    def __init__(
        self,
        number: int,
        asked: Asked,
        decoder: Decoder,
        *,
        include: frozenset[str],
        wire: Wire,
        validated_release: bool,
        released: str,
        stop_at_violation: bool,
        keep: bool,
        whole_members: bool,
        caps: Caps,
        timing: RequestTiming,
        clock: Callable[[], int],
    ) -> None:
        self.number = number
        self.asked = asked
        self.decoder = decoder
        self.include = include
        self._wire = wire
        self.seller = asked.route.seller
        self.model_returned: str | None = None
        self.service_tier: str | None = None
        self.served_region: str | None = None
        self.validator: StreamedValidator | None = None
        self.usage = Usage()
        self.verdict: Verdict | None = None
        self.failed: Failed | None = None
        self.sent_paths: list[str] = []
        self.values: list[Value] = []
        self.call: CallTimes | None = None
        self.tool_calls: dict[int, ToolCall] = {}
        self.deltas = 0
        self.output_chars = 0
        self.over = False
        self.progressed = False
        self._stop_at_violation = stop_at_violation
        self._caps = caps
        self._texts: list[str] | None = [] if keep else None
        self._unseen: list[str] = []  # forwarded, and not yet validated
        self._reads: list[list[str]] = []  # of earlier reads, as long as there is no validator
        self._read_bytes = self._held = self._blanks = 0
        self._cut = ""  # why we took no more of it
        self._refused = False
        self._timing = timing
        self._clock = clock
        self._splice: Splice | None = None
        self._absent: NullAsAbsent | None = None
        self._release: ValidatedRelease | None = None
        self._holds_back = validated_release and asked.schema is not None
        self._whole_members = whole_members
        self._released = released
        self._by_tool = asked.structured is not None and asked.structured.mode == "tool"
        self._tool_index: int | None = None

    def timed(self, number: int, called_ns: int, first_ns: int | None, ended_ns: int) -> None:
        """Keep when its call, by its number in a trace, began, gave its first token and ended."""
        self.call = CallTimes(number, called_ns, first_ns, ended_ns)

    def begin_validation(self) -> None:
        """Make the validator, whose import a cold start does not wait for; `validate` then looks at what has come."""
        from pydantic_streaming import StreamedValidator
        from weir.generate.null_as_absent import NullAsAbsent
        from weir.generate.release import ValidatedRelease
        from weir.generate.retry import Splice

        asked, retry = self.asked, self.asked.retry
        assert asked.schema is not None, "what has no schema is not validated"
        self.validator = StreamedValidator(asked.schema())
        self._splice = Splice(retry.prefix, retry.kept, retry.open_list, retry.released) if retry else None
        self._absent = NullAsAbsent(asked.document) if asked.document is not None else None
        if self._holds_back:
            self._release = ValidatedRelease(
                self.validator, whole_members=self._whole_members, released=self._released
            )

    @property
    def waits(self) -> bool:
        """Whether its text waits for a validator."""
        return self.validator is None and self.asked.schema is not None

    @property
    def ended_by_us(self) -> bool:
        """Whether we hung up while the model was still writing."""
        stopped = self.over and (self.failed is None)
        return stopped and not (self.decoder.terminated or self.decoder.finish)

    @property
    def model(self) -> str:
        """The provider's model that was asked for."""
        return self.asked.route.model

    @property
    def answering_model(self) -> str:
        """The model that is to be priced: the route's word for it, or the one that the provider named, or was asked."""
        return self.asked.route.price_key or self.model_returned or self.model

    @property
    def input_chars(self) -> int:
        """All that the model reads, in characters."""
        return self.asked.input_chars

    @property
    def text(self) -> str | None:
        """All of the text, where it was kept."""
        return None if self._texts is None else "".join(self._texts)

    def absorb(self, data: bytes) -> bytes:
        """Take bytes of the provider's body; return the deltas that they give, as bytes for the caller.

        What `validate` makes of them comes after: text leaves the moment it comes.
        """
        out: list[bytes] = []
        self.progressed = False
        self._read_bytes += len(data)
        if self._unseen:
            self._reads.append(self._unseen)
            self._unseen = []
        for event in self.decoder.feed(data):
            self._take(event, out)
        if self._read_bytes > self._caps.read_bytes and not self.decoder.terminated:
            self._stop(f"provider: expected at most {self._caps.read_bytes} bytes, got more")
        self.over = self.over or self.decoder.terminated
        return b"".join(out)

    def validate(self) -> bytes:
        """Look at the text that came since the last time, all at once; return the values that it completes."""
        if self.waits or (not self._unseen and not self._reads):
            return b""
        out: list[bytes] = []
        if self._reads:
            self._catch_up(out)
        texts, self._unseen = self._unseen, []
        if texts:
            self._look_at(texts, out)
        return b"".join(out)

    def _look_at(self, texts: list[str], out: list[bytes]) -> None:
        self._validate("".join(texts), out)
        if not self.over:
            self._validate("", out)  # nothing more has come for now: look at all that has
        for text in texts:
            self._hold(text)

    def _catch_up(self, out: list[bytes]) -> None:
        """Look at earlier reads, each as if nothing had come after it: what ends the answer there ends it."""
        reads, self._reads = self._reads, []
        came = self.failed, self.verdict, self.over
        self.failed, self.verdict, self.over = None, None, False
        for texts in reads:
            self._look_at(texts, out)
            if self.over:
                self._unseen = []
                return
        self.failed, ended, self.over = came
        if ended is not None:
            found = self.verdict.violations if self.verdict is not None else ()
            self.verdict = ended._replace(violations=(*found, *ended.violations))

    def end_body(self) -> bytes:
        """The provider's body has ended, or was ended; return the events that only its end gives."""
        out: list[bytes] = []
        if not self.over:  # else what stands half-read is none of the answer
            for event in self.decoder.close():
                self._take(event, out)
        out.append(self.validate())
        if self._absent is not None and self.verdict is None:
            self._check(self._absent.close(), out)
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
            case ToolCall() if self._by_tool and self._tool_index in (None, event.number):
                # The forced tool's arguments are the document.
                self._tool_index = event.number
                if event.arguments and not self.over:
                    self._absorb_text(event.arguments, out)
            case ToolCall() if self.asked.passes_tools:
                if not self.over:
                    self._pass_on(event, out)
            case Reasoning(text) | ToolCall(arguments=text):
                self._count(text)
            case Refusal():
                self._refused = self.progressed = True
            case Failed():
                self.failed = event
                self.fail(problem_of(event))
            case _:
                pass  # why it finished the decoder holds for `conclude`

    def _pass_on(self, call: ToolCall, out: list[bytes]) -> None:
        self._timing.token(self._clock())
        self._count(call.arguments)
        if self._cut:
            return
        so_far = self.tool_calls.get(call.number)
        self.tool_calls[call.number] = (
            call if so_far is None else so_far._replace(arguments=so_far.arguments + call.arguments)
        )
        if "delta" in self.include:
            out.append(self._wire.tool_call(self.number, call))

    def _count(self, text: str) -> None:
        self.progressed = True
        self.deltas += 1
        self.output_chars += len(text)
        cap = self.asked.max_tokens
        if self.deltas > cap or self.output_chars > cap * _MAX_CHARS_PER_TOKEN:
            self._cut, self.over = f"{cap} tokens", True

    def _absorb_text(self, text: str, out: list[bytes]) -> None:
        self._timing.token(self._clock())
        self._count(text)
        if self._cut:
            return  # beyond the cap: not the caller's any more
        if self._texts is not None:
            self._texts.append(text)
        if "delta" in self.include and not self._holds_back:
            out.append(self._wire.delta(self.number, text))
        self._unseen.append(text)

    def _hold(self, text: str) -> None:
        """Bound what is kept: text at all, and white space where a document is due, which may go on for ever."""
        if self.validator is None:
            if self._texts is not None:
                self._held += len(text) * (1 if text.isascii() else 2)
        else:
            self._held += len(text) * (1 if text.isascii() else 2)
            self._blanks = self._blanks + len(text) if not text.strip(_BLANKS) else 0
            if self._blanks > self._caps.blank_chars:
                self._cut, self.over = f"{self._caps.blank_chars} blanks in a row", True
        if self._held > self._caps.held_chars:
            self._stop(f"output: expected at most {self._caps.held_chars} characters to hold, got more")

    def _stop(self, detail: str) -> None:
        if not self.over:
            self.fail(Problem(Outcome.STOPPED, detail))

    def _validate(self, text: str, out: list[bytes]) -> None:
        if self.validator is None:
            return
        if self._splice is not None:
            text = self._splice.feed(text)
        self._check(text if self._absent is None else self._absent.feed(text), out)

    def _check(self, text: str, out: list[bytes]) -> None:
        assert self.validator is not None
        started_ns = self._clock()
        if self._release is not None:
            self._release.hold(text)
        found = self.validator.feed(text)
        self._timing.validate_ns += self._clock() - started_ns
        if found:
            self._found(found, out)
        if self._release is not None:
            self._send_text(self._release.due(), out)

    def _found(self, found: Iterable[Value | Violation], out: list[bytes]) -> None:
        from pydantic_streaming import Violation

        for item in found:
            if isinstance(item, Violation):
                ended = self.verdict.problem if self.verdict and self.failed else None
                # Of a failure that came right behind the text the caller is told, as if it had come later.
                self.verdict = Verdict.failed(ended, (item,)) if ended else Verdict.invalid([item])
                self.over = self.over or self._stop_at_violation
            else:
                self._value(item, out)

    def _send_text(self, text: str, out: list[bytes]) -> None:
        if text and "delta" in self.include:
            out.append(self._wire.delta(self.number, text))

    @property
    def released(self) -> str:
        """The text that has left because it was validated."""
        return self._release.released if self._release is not None else ""

    def _value(self, value: Value, out: list[bytes]) -> None:
        retry, splice = self.asked.retry, self._splice
        if retry is not None and value.path in retry.kept_paths and splice is not None and not splice.whole:
            return  # the caller has it from the attempt before
        self.sent_paths.append(value.path)
        if self._texts is not None:
            self.values.append(value)
        if "value" in self.include:
            out.append(self._wire.value(self.number, value.path, value.json))

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
        problem = self._incomplete()
        if problem is None:
            if self.validator is not None:
                return self.validator
            self.verdict = Verdict(Outcome.OK)
        elif problem.outcome in (Outcome.INCOMPLETE_STREAM, Outcome.REFUSED):
            self.fail(problem)
        elif self.validator is not None:
            return self.validator
        elif problem.outcome is Outcome.TRUNCATED_OUTPUT:
            self.verdict = Verdict(Outcome.TRUNCATED_OUTPUT)
        else:
            self.fail(problem)
        return None

    def _incomplete(self) -> Problem | None:
        """Why the text may not be all that the model had to say, by the way in which its stream ended."""
        if self._cut:
            return Problem(
                Outcome.TRUNCATED_OUTPUT,
                f"output: expected at most {self._cut}, got more: stopped after "
                f"{self.output_chars} characters",
            )
        if not self.decoder.complete:
            return Problem(
                Outcome.INCOMPLETE_STREAM,
                f"provider: expected a finish reason or [DONE], got the end of the stream "
                f"after {self.output_chars} characters",
            )
        if self._refused:
            return Problem(Outcome.REFUSED, "the model refused to answer; its refusal is no document")
        finish = self.decoder.finish
        if (
            finish is None
            or finish.normal in ("stop", "other")
            or (finish.normal == "tool" and (self._by_tool or self.asked.passes_tools))
        ):
            return None  # a reason that nobody knows says nothing of the text: its document is validated
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
        if self._release is not None:
            self._send_text(self._release.rest(), out)
        return b"".join(out)

    def refuse(self, error: InvalidDocument) -> None:
        """Take the finding that the finished text is no such document; of one that has not closed, the finish reason
        says why."""
        problem = self._incomplete()
        if problem is not None and error.violations[0].type == "json_invalid":
            self.fail(problem)
        else:
            self.verdict = Verdict.invalid(error.violations)

    @property
    def maybe_served(self) -> bool:
        """Whether the provider may have worked on it without our knowing what that took."""
        return self.failed is not None and self.failed.maybe_served and not self.deltas

    def as_json(self) -> dict[str, Any]:
        """This attempt's line in the request's fact: what was asked of whom, who served it, and what it used."""
        route, structured = self.asked.route, self.asked.structured
        members: dict[str, Any] = {
            "attempt": self.number,
            "model": self.model,
            "outcome": self.verdict.outcome if self.verdict else None,
            "usage": self.usage.as_json(),
            "route": route.name,
            "seller": self.seller,
            "model_returned": self.answering_model,
            "service_tier": self.service_tier,
            "region": self.served_region or route.region,
            "structured_output": structured.mode if structured else None,
        }
        if self.maybe_served:
            members["maybe_served"] = True
        if self.decoder.replaced:
            members["replaced"] = self.decoder.replaced
        return members
