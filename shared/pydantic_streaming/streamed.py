"""`StreamedValidator`: the text of one attempt in, validated values out as they close, the exact verdict at the end.

Use, where nothing else runs (a script, a test)::

    validator = StreamedValidator(BlogPost)
    for text in deltas:
        for event in validator.feed(text):
            ...                       # a Value; at most once a Violation
    document = validator.close()      # or InvalidDocument

Use on an event loop: the same, with `document = await validator_process.close(validator, judge)` at the end. It is
these three lines, with a child process for a large text::

    outcome = validator.end()         # a Document; or a WholeText, because only the whole text can tell
    if isinstance(outcome, WholeText):
        outcome = validator.settle(await in_a_child(outcome) if outcome.large else outcome.judge())

**Exact.** The verdict, the document, and the errors of a refused text are those of `Model.model_validate_json(text)`,
NaN and Infinity excepted, which are refused unless `allow_nan` (by default: unless the model's own config says
`allow_inf_nan=True`). A Violation that `feed` returns is what Pydantic would report if the rest of the text were well
formed, complete, and did not repeat that key. After it nothing is cut any more: `feed` takes text and returns nothing,
and the end lists all violations.

(One thing can undo a Violation: a validator of a later element that raises PydanticUseDefault for the whole field.)

A repeated key is a Violation of its own kind (`duplicate_key`), because its first value was handed out; the end may
still accept the text, as Pydantic does, and the last value then replaces the first.

**Strict.** The text must be the JSON document and nothing else: prose before it, a Markdown fence around it, or
anything but whitespace after it is a syntax error at its first character. Nothing is searched for or repaired.

**Pure validators.** Validators run in the order of the text and, where the whole text is judged, once more.

**Early and cheap.** A piece of text that cannot complete a value costs a search for one character. What can is looked
at once, as long as that stays rare: characters earn credit and a look costs some, so that values of a few characters
do not cost a look each. `feed("")` looks at whatever is due: call it when the upstream has nothing more to read now.
"""

from __future__ import annotations

from pydantic import BaseModel

from pydantic_streaming.cutter import HUGE, Cutter
from pydantic_streaming.document import Document
from pydantic_streaming.locations import path_of
from pydantic_streaming.plan import plan_for
from pydantic_streaming.slices import NotJson, Refused, Surprise
from pydantic_streaming.syntax import NO_UNICODE, syntax_violation
from pydantic_streaming.text import KeptText
from pydantic_streaming.values import InvalidDocument, Value, Violation
from pydantic_streaming.whole import Report, WholeText

__all__ = ["StreamedValidator"]

# Measured (tests/bench/validation.py): a look costs 5 to 10 us, so one for each 512 tokens is next to nothing.
BATCH_CHARS = 2048
# What a look costs, and how much can be saved up: 40 looks at once, then one for each 48 tokens.
LOOK_CHARS = 192
MAX_CREDIT = 8192
# In no text that is worth a look: JSON has no control characters, and who sends one need not be told at once.
NOTHING = "\0"


class StreamedValidator:
    """Validates one streamed JSON document of `model`; see the module for what it promises.

    `chars` counts the characters fed, `values_completed` the values handed out, `violation` is the one that was
    handed out, `fallback` says why the whole text will be judged, "" while that is not necessary.

    With `instances` the validated objects are kept and `document.model` is assembled from them; without, the document
    is its JSON, and `document.model` validates the text again if it is asked for at all.
    """

    __slots__ = (
        "_closer",
        "_credit",
        "_cutter",
        "_due",
        "_fresh",
        "_fresh_chars",
        "_hold",
        "_late",
        "_other",
        "_out",
        "_suspect",
        "_text",
        "allow_nan",
        "fallback",
        "model",
        "values_completed",
        "violation",
    )

    def __init__(
        self, model: type[BaseModel], allow_nan: bool | None = None, *, instances: bool = False
    ) -> None:
        plan = plan_for(model)
        self.model = model
        self.allow_nan = plan.allow_nan if allow_nan is None else allow_nan
        self.values_completed = 0
        self.violation: Violation | None = None
        self.fallback = "; ".join(plan.reasons)
        self._text = KeptText()
        self._out: list[Value] = []
        self._cutter = None if plan.root is None else Cutter(plan.root, instances, self.allow_nan, self._out)
        # Text that was not looked at yet, and what must be in it to be worth a look before it is a batch.
        self._fresh: list[str] = []
        self._hold = self._fresh.append
        self._fresh_chars = 0
        self._closer = self._other = "" if plan.cut else NOTHING
        self._credit = MAX_CREDIT
        # Something may have closed, or be wrong, that was not looked at.
        self._due = False
        # A skeleton and the text from the last part on, where it does not look like JSON and may still be.
        self._suspect: tuple[str, str] | None = None
        # Values that closed with the last piece of the text.
        self._late: list[Value] = []

    @property
    def chars(self) -> int:
        """The number of characters fed."""
        return self._text.chars + self._fresh_chars

    def feed(self, text: str) -> list[Value | Violation]:
        """Take the next piece of the text and return what it completes: values, and at most once a violation."""
        if not text:
            return self._look() if self._due and self._fresh else []
        self._hold(text)
        self._fresh_chars += len(text)
        if self._fresh_chars < BATCH_CHARS:
            if self._closer not in text and self._other not in text:
                return []
            if self._credit + self._fresh_chars < LOOK_CHARS:
                self._due = True
                return []
        return self._look()

    def end(self) -> Document | WholeText:
        """Say that the text is finished; return the document, or the whole text where only that can tell."""
        self._late = [event for event in self._look() if isinstance(event, Value)]
        cutter = self._cutter
        if cutter is not None and cutter.closed and not self.fallback:
            return Document(
                self._late, cutter.root.dump, self._validate if cutter.model is None else cutter.model
            )
        if not self.fallback:
            self.fallback = "the text is not complete"
        return WholeText(
            self.model, tuple(self._text.pieces()), self.allow_nan, self.fallback, self._text.broken
        )

    def settle(self, report: Report) -> Document:
        """Return the document that a judge found in the whole text.

        Raises:
            InvalidDocument: the judge refuses the text.
        """
        if report.violations:
            raise InvalidDocument(report.violations, report.error_count)
        sent = {} if self._cutter is None else self._cutter.root.dumps_by_path()
        changed = [v for v in report.values if v.path not in sent or not sent[v.path].equals(v.json)]
        instance = self._validate if report.model is None else report.model
        return Document([*self._late, *changed], report.parts, instance)

    def close(self) -> Document:
        """Say that the text is finished and return the document, judged inline where the whole text must be.

        Raises:
            InvalidDocument: the text is not a valid document; with Pydantic's errors for the whole text.
        """
        outcome = self.end()
        return outcome if isinstance(outcome, Document) else self.settle(outcome.judge())

    def _validate(self) -> BaseModel:
        return self.model.model_validate_json(b"".join(self._text.pieces()))

    def _look(self) -> list[Value | Violation]:
        text = "".join(self._fresh)
        self._fresh.clear()
        self._fresh_chars = 0
        self._due = False
        self._credit = min(self._credit + len(text) - LOOK_CHARS, MAX_CREDIT)
        known = self.violation
        readable = self._text.add(text)
        if self._suspect is not None:
            self._ask_parser(*self._suspect, readable)
        elif not self.fallback and self._cutter is not None:
            self._cut(self._cutter, readable)
        if len(readable) < len(text) and (self._suspect or not self.fallback):
            self.violation = NO_UNICODE
            self._give_up("the text is not Unicode")
        events: list[Value | Violation] = [*self._out]
        self._out.clear()
        self.values_completed += len(events)
        if self.violation is not None and self.violation is not known:
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
            self._give_up(str(surprise))
        except Refused as refused:
            loc = (*cutter.loc(), *refused.loc)
            path = path_of(self.model.__pydantic_core_schema__, loc)
            self.violation = Violation(path, loc, refused.type, refused.message)
            self._give_up("a violation")
        except NotJson:
            self._give_up("the text is not JSON")
            self._ask_parser(cutter.skeleton, cutter.rest, text[read:])
        except Exception as error:
            # A validator that raises what Pydantic lets through, or a schema that no test has seen: the judge of the
            # whole text meets the same, and what comes of it is Pydantic's.
            self._give_up(f"{type(error).__name__} while cutting: {error}")
        else:
            self._closer, self._other = cutter.closers
            self._due = cutter.between

    def _give_up(self, reason: str) -> None:
        """Cut no more: from here on the text is only kept."""
        self.fallback = reason
        self._suspect = None
        self._closer = self._other = NOTHING

    def _ask_parser(self, skeleton: str, rest: str, more: str) -> None:
        """Ask the parser whether the text that looks wrong is; as long as it says "EOF", more text may tell."""
        rest += more
        self.violation, undecided = syntax_violation(
            self._text.before(rest), skeleton, rest, allow_nan=self.allow_nan
        )
        self._suspect = (skeleton, rest) if undecided and len(rest) < HUGE else None
        self._closer = self._other = "" if self._suspect else NOTHING
