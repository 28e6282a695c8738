"""`StreamedValidator`: the text of one attempt in, validated values out as they close, the exact verdict at the end.

Use, where nothing else runs (a script, a test)::

    validator = StreamedValidator(BlogPost)
    for text in deltas:
        for event in validator.feed(text):
            ...                       # a Value; at most once a Violation
    document = validator.close()      # or InvalidDocument

Use on an event loop: the same, with `document = await weir.adapters.judge.close(validator, judge)` at the end. It is
these three lines, with a child process for a large text::

    outcome = validator.end()         # a Document; or a WholeText, because only the whole text can tell
    if isinstance(outcome, WholeText):
        outcome = validator.settle(await in_a_child(outcome) if outcome.large else outcome.judge())

**Exact.** The verdict, the document, and the errors of a refused text are those of `Model.model_validate_json(text)`,
NaN and Infinity excepted, which are refused unless `allow_nan` (by default: unless the model's own config says
`allow_inf_nan=True`). A Violation that `feed` returns is what Pydantic would report if the rest of the text were well
formed, complete, and did not repeat that key. After it nothing is cut any more: `feed` takes text and returns nothing,
and the end lists all violations.

A repeated key is a Violation of its own kind (`duplicate_key`), because its first value was handed out; the end may
still accept the text, as Pydantic does, and the last value then replaces the first.

**Strict.** The text must be the JSON document and nothing else: prose before it, a Markdown fence around it, or
anything but whitespace after it is a syntax error at its first character. Nothing is searched for or repaired.

**Pure validators.** Validators run in the order of the text and, where the whole text is judged, once more.

**Early and cheap.** A piece of text that cannot complete a value costs a search for one character. What can is looked
at once, as long as looking stays rare: each character earns credit and each look costs some, so that a token of a
dense document costs at most half a microsecond; past that text is looked at every 512 characters. `feed("")` looks at
what is held, whatever the credit: call it when the upstream pauses.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from weir.core.validation.cutter import HUGE, Cutter
from weir.core.validation.document import Document
from weir.core.validation.frames import NotJson, Refused, Surprise
from weir.core.validation.plan import plan_for
from weir.core.validation.locations import path_of
from weir.core.validation.syntax import NO_UNICODE, syntax_violation
from weir.core.validation.text import KeptText
from weir.core.validation.values import InvalidDocument, Value, Violation
from weir.core.validation.whole import Report, judge

__all__ = ["INLINE_MAX_BYTES", "StreamedValidator", "WholeText"]

# Judging a text of this size whole takes about a millisecond; the round trip to a child process takes as long.
INLINE_MAX_BYTES = 100_000
# Text is looked at in pieces of at least this many characters, except where a value may have closed and there is credit.
BATCH_CHARS = 512
LOOK_CHARS = 48
MAX_CREDIT = 8192


@dataclass(frozen=True, slots=True)
class WholeText:
    """A finished text that must be judged whole, for `reason`: inline by `judge`, or elsewhere from `pieces`."""

    model: type[BaseModel]
    pieces: tuple[bytes, ...]
    allow_nan: bool
    reason: str
    # Text that is no Unicode (half a surrogate pair) has no UTF-8 and is judged as it is.
    unencodable: str | None = None

    @property
    def size_bytes(self) -> int:
        """The length of the text in bytes of UTF-8."""
        return sum(map(len, self.pieces))

    @property
    def large(self) -> bool:
        """Whether judging it inline would stop an event loop for longer than a millisecond or so."""
        return self.size_bytes > INLINE_MAX_BYTES

    def judge(self) -> Report:
        """Return the verdict, here and now."""
        text = b"".join(self.pieces) if self.unencodable is None else self.unencodable
        return judge(self.model, text, allow_nan=self.allow_nan)


class StreamedValidator:
    """Validates one streamed JSON document of `model`; see the module for what it promises.

    `chars` counts the characters fed, `values_completed` the values handed out, `fallback` says why the whole text
    will be judged, "" while that is not necessary.
    """

    def __init__(self, model: type[BaseModel], allow_nan: bool | None = None) -> None:
        plan = plan_for(model)
        self.model = model
        self.allow_nan = plan.allow_nan if allow_nan is None else allow_nan
        self.chars = 0
        self.values_completed = 0
        self.violation: Violation | None = None
        self.fallback = "; ".join(plan.reasons)
        self._out: list[Value] = []
        self._cutter = Cutter(plan, self.allow_nan, self._out) if plan.cut else None
        self._text = KeptText()
        self._fresh: list[str] = []
        self._fresh_chars = 0
        self._credit = MAX_CREDIT
        self._closers = ""
        # Values that closed with the last piece of the text.
        self._late: list[Value] = []

    def feed(self, text: str) -> list[Value | Violation]:
        """Take the next piece of the text and return what it completes: values, and at most once a violation."""
        self._fresh.append(text)
        size = len(text)
        self._fresh_chars += size
        if self._fresh_chars < BATCH_CHARS and text:
            closers = self._closers
            if closers and closers[0] not in text and closers[-1] not in text:
                return []
            if self._credit + self._fresh_chars < LOOK_CHARS:
                return []
        return self._look()

    def end(self) -> Document | WholeText:
        """Say that the text is finished; return the document, or the whole text where only that can tell."""
        self._late = [event for event in self._look() if isinstance(event, Value)]
        cutter = self._cutter
        if cutter is not None and cutter.done and not self.fallback:
            model: BaseModel = cutter.model
            return Document(self._late, cutter.root.dump, model)
        if not self.fallback:
            self.fallback = "the text is not complete"
        return WholeText(self.model, tuple(self._text.pieces()), self.allow_nan, self.fallback, self._text.broken)

    def settle(self, report: Report) -> Document:
        """Return the document that a judge found in the whole text.

        Raises:
            InvalidDocument: the judge refuses the text.
        """
        if report.violations:
            raise InvalidDocument(report.violations, report.error_count)
        sent = self._cutter.root.dumps_by_path() if self._cutter is not None else {}
        changed = [v for v in report.values if v.path not in sent or sent[v.path].joined() != v.json]
        if report.model is not None:
            return Document([*self._late, *changed], report.parts, report.model)
        text, model = self._text, self.model
        return Document(
            [*self._late, *changed],
            report.parts,
            lambda: model.model_validate_json(b"".join(text.pieces())),
        )

    def close(self) -> Document:
        """Say that the text is finished and return the document, judged inline where the whole text must be.

        Raises:
            InvalidDocument: the text is not a valid document; with Pydantic's errors for the whole text.
        """
        outcome = self.end()
        return outcome if isinstance(outcome, Document) else self.settle(outcome.judge())

    def _look(self) -> list[Value | Violation]:
        if not self._fresh:
            return []
        text = "".join(self._fresh)
        self._fresh.clear()
        self._fresh_chars = 0
        size = len(text)
        self.chars += size
        self._credit = min(self._credit + size - LOOK_CHARS, MAX_CREDIT)
        known = self.violation
        readable = self._text.add(text)
        if not self.fallback and self._cutter is not None:
            self._cut(self._cutter, readable)
        if len(readable) < size and not self.fallback:
            self.violation = NO_UNICODE
            self.fallback = "the text is not Unicode"
        events: list[Value | Violation] = [*self._out]
        self._out.clear()
        self.values_completed += len(events)
        if self.violation is not known:
            events.append(self.violation)
        return events

    def _cut(self, cutter: Cutter, text: str) -> None:
        read = 0
        try:
            while read < len(text):
                piece = text[read : read + HUGE]
                read += len(piece)
                cutter.cut(piece)
        except Surprise as surprise:
            self.fallback = str(surprise)
        except Refused as refused:
            self._violate(cutter, refused)
        except NotJson:
            self._not_json(cutter, text[read:])
        except Exception as error:
            # A validator that raises what Pydantic lets through, or a schema that no test has seen: the judge of the
            # whole text meets the same, and what comes of it is Pydantic's.
            self.fallback = f"{type(error).__name__} while cutting: {error}"
        else:
            self._closers = cutter.closers

    def _violate(self, cutter: Cutter, refused: Refused) -> None:
        loc = (*cutter.loc(), *refused.loc)
        path = path_of(self.model.__pydantic_core_schema__, loc)
        self.violation = Violation(path, loc, refused.type, refused.message)
        self.fallback = "a violation"

    def _not_json(self, cutter: Cutter, unread: str) -> None:
        rest = cutter.rest + unread
        before = self._text.before(rest)
        self.violation = syntax_violation(before, cutter.skeleton, rest, allow_nan=self.allow_nan)
        self.fallback = "the text is not JSON"
