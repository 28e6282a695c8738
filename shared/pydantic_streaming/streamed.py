"""`StreamedValidator`: the text of one attempt in, validated values out as they close, the exact verdict at the end.

Use, where nothing else runs (a script, a test)::

    validator = StreamedValidator(BlogPost)
    for text in deltas:
        for event in validator.feed(text):
            ...                       # a Value; at most once a Violation
    document = validator.close()      # or InvalidDocument

Use on an event loop: the same, with a child process of yours for a large text at the end::

    outcome = validator.end()         # a Document; or a WholeText, because only the whole text can tell
    if isinstance(outcome, WholeText):
        outcome = validator.finish(await in_a_child(outcome) if outcome.large else outcome.validate())

**Exact.** The verdict, the document, and the errors of a refused text are those of `Model.model_validate_json(text)`,
NaN and Infinity excepted, which are refused unless `allow_nan` (by default: unless the model's own config says
`allow_inf_nan=True`). A Violation that `feed` returns is what Pydantic would report if the rest of the text were well
formed, complete, did not repeat that key, and made no list too long (of such a list Pydantic says nothing else). After
it nothing is split any more: `feed` takes text and returns nothing, and the end lists all violations; of a text that
may hold more than 20,000 errors the first of each list and dict.

(One thing can undo a Violation: a validator of a later element that raises PydanticUseDefault for the whole field.)

A repeated key is a Violation of its own kind (`duplicate_key`), because its first value was handed out; the end may
still accept the text, as Pydantic does, and the last value then replaces the first. A repeated key that no field knows
is none. Where a field has several keys (choices of an alias, its name beside its alias), what stands under another than
the first is handed out, or a Violation, when its object closes without a better one.

A validator or a serializer that raises what Pydantic lets through makes the text invalid: the violation, of type
`validator_raised` or `serializer_raised`, says which function raised what. A model that can hold the loop (hazards.py)
is refused at once.

**Strict.** The text must be the JSON document and nothing else: prose before it, a Markdown fence around it, or
anything but whitespace after it is a syntax error at its first character. Nothing is searched for or repaired.

**Pure validators.** Validators run in the order of the text and, where the whole text is validated, once more.

**Early and cheap.** A piece of text that cannot complete a value costs a search for one character. What can is scanned
at once, as long as that stays rare: characters add to a scan budget and a scan takes from it, so that values of a few
characters do not cost a scan each. `feed("")` scans whatever is due: call it when the upstream has nothing more to
read now.
"""

from __future__ import annotations

import dataclasses

from pydantic import BaseModel

from pydantic_streaming.buffers import TextBuffer
from pydantic_streaming.document import Document
from pydantic_streaming.errors import CannotSplit, InvalidDocument, SyntaxInvalid, ValueInvalid
from pydantic_streaming.plan import plan_for
from pydantic_streaming.splitter import HUGE, MAX_PATIENCE, Splitter
from pydantic_streaming.syntax import NO_UNICODE, syntax_violation
from pydantic_streaming.values import Value, Violation, path_of
from pydantic_streaming.whole import Report, WholeText

__all__ = ["StreamedValidator"]

# What a scan takes from the budget, and how much can be saved up: 40 scans at once, then one for each 48 tokens.
SCAN_CHARS = 192
MAX_SCAN_BUDGET = 8192
# In no text that is worth a scan: JSON has no control characters, and who sends one need not be told at once.
NOTHING = "\0"


class StreamedValidator:
    """Validates one streamed JSON document of `model`; see the module for what it promises.

    `chars` counts the characters fed, `values_completed` the values handed out, `violation` is the one that was
    handed out, `fallback` says why the whole text will be validated, "" while that is not necessary.

    With `instances` the validated objects are kept and `document.model` is assembled from them; without, the document
    is its JSON, and `document.model` validates the text again if it is asked for at all.
    """

    __slots__ = (
        "_closer",
        "_due",
        "_fresh",
        "_fresh_chars",
        "_hold",
        "_late",
        "_other",
        "_out",
        "_patience",
        "_raised_at",
        "_scan_budget",
        "_splitter",
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
        self._text = TextBuffer()
        self._out: list[Value] = []
        self._splitter = (
            None if plan.root is None else Splitter(plan.root, instances, self.allow_nan, self._out)
        )
        # Text that was not scanned yet, and what must be in it to be worth a scan before it is a batch.
        self._fresh: list[str] = []
        self._hold = self._fresh.append
        self._fresh_chars = 0
        self._closer = self._other = "" if plan.split else NOTHING
        self._scan_budget = MAX_SCAN_BUDGET
        self._patience = MAX_PATIENCE
        # Something may have closed, or be wrong, that was not scanned.
        self._due = False
        # A skeleton and the text from the last part on, where it does not look like JSON and may still be.
        self._suspect: tuple[str, str] | None = None
        # The loc of what raised an exception while it was validated.
        self._raised_at: tuple[int | str, ...] = ()
        # Values that closed with the last piece of the text.
        self._late: list[Value] = []

    @property
    def validated_chars(self) -> int:
        """How many characters, from the beginning, hold values that were handed out and what is between them."""
        return 0 if self._splitter is None else self._splitter.validated_chars

    @property
    def member_chars(self) -> int:
        """The same for whole members of the document: an open list counts only when it closes."""
        return 0 if self._splitter is None else self._splitter.member_chars

    @property
    def chars(self) -> int:
        """The number of characters fed."""
        return self._text.chars + self._fresh_chars

    def feed(self, text: str) -> list[Value | Violation]:
        """Take the next piece of the text and return what it completes: values, and at most once a violation."""
        if not text:
            return self._scan() if self._due and self._fresh else []
        self._hold(text)
        self._fresh_chars += len(text)
        if self._fresh_chars < self._patience:
            if self._closer not in text and self._other not in text:
                return []
            if self._scan_budget + self._fresh_chars < SCAN_CHARS:
                self._due = True
                return []
        return self._scan()

    def end(self) -> Document | WholeText:
        """Say that the text is finished; return the document, or the whole text where only that can tell."""
        self._late = [event for event in self._scan() if isinstance(event, Value)]
        splitter = self._splitter
        if splitter is not None and splitter.closed and not self.fallback:
            return Document(
                self._late, splitter.root.dump, self._validate if splitter.model is None else splitter.model
            )
        if not self.fallback:
            self.fallback = "the text is not complete"
        return WholeText(
            self.model, tuple(self._text.pieces()), self.allow_nan, self.fallback, self._text.broken
        )

    def finish(self, report: Report) -> Document:
        """Return the document of a text that was validated whole, for which `report` is the verdict.

        Raises:
            InvalidDocument: the text is not a valid document; with Pydantic's errors for the whole text.
        """
        if report.violations:
            raise InvalidDocument(self._placed(report.violations), report.error_count)
        sent = {} if self._splitter is None else self._splitter.root.dumps_by_path()
        changed = [v for v in report.values if v.path not in sent or not sent[v.path].equals(v.json)]
        instance = self._validate if report.model is None else report.model
        return Document([*self._late, *changed], report.parts, instance)

    def close(self) -> Document:
        """Say that the text is finished and return the document, validated inline where the whole text must be.

        Raises:
            InvalidDocument: the text is not a valid document; with Pydantic's errors for the whole text.
        """
        outcome = self.end()
        return outcome if isinstance(outcome, Document) else self.finish(outcome.validate())

    def _placed(self, violations: tuple[Violation, ...]) -> tuple[Violation, ...]:
        """Return `violations`; where an exception is the only one, with its place, which only the parts could tell."""
        if violations[0].type.endswith("_raised") and not violations[0].loc and self._raised_at:
            path = path_of(self.model.__pydantic_core_schema__, self._raised_at)
            return (dataclasses.replace(violations[0], path=path, loc=self._raised_at),)
        return violations

    def _validate(self) -> BaseModel:
        return self.model.model_validate_json(b"".join(self._text.pieces()))

    def _scan(self) -> list[Value | Violation]:
        text = "".join(self._fresh)
        self._fresh.clear()
        self._fresh_chars = 0
        self._due = False
        self._scan_budget = min(self._scan_budget + len(text) - SCAN_CHARS, MAX_SCAN_BUDGET)
        known = self.violation
        readable = self._text.add(text)
        if self._suspect is not None:
            self._ask_parser(*self._suspect, readable)
        elif not self.fallback and self._splitter is not None:
            self._split(self._splitter, readable)
        if len(readable) < len(text) and (self._suspect or not self.fallback):
            self.violation = NO_UNICODE
            self._give_up("the text is not Unicode")
        events: list[Value | Violation] = [*self._out]
        self._out.clear()
        self.values_completed += len(events)
        if self.violation is not None and self.violation is not known:
            events.append(self.violation)
        return events

    def _split(self, splitter: Splitter, text: str) -> None:
        read = 0
        try:
            while read < len(text):
                piece = text[read : read + HUGE]
                read += len(piece)
                splitter.split(piece)
        except CannotSplit as reason:
            self._give_up(str(reason))
        except ValueInvalid as invalid:
            loc = (*splitter.loc(), *invalid.loc)
            path = path_of(self.model.__pydantic_core_schema__, loc)
            self.violation = Violation(path, loc, invalid.type, invalid.message)
            self._give_up("a violation")
        except SyntaxInvalid:
            self._give_up("the text is not JSON")
            self._ask_parser(splitter.skeleton, splitter.rest, text[read:])
        except Exception as error:
            self._raised_at = splitter.place()
            # A validator that raises what Pydantic lets through, or a schema that no test has seen: validating the
            # whole text meets the same, and what comes of it is Pydantic's.
            self._give_up(f"{type(error).__name__} while splitting: {error}")
        else:
            self._closer, self._other = splitter.closers
            self._patience = splitter.patience
            self._due = splitter.between

    def _give_up(self, reason: str) -> None:
        """Split no more: from here on the text is only kept."""
        self.fallback = reason
        self._suspect = None
        self._closer = self._other = NOTHING
        self._patience = MAX_PATIENCE

    def _ask_parser(self, skeleton: str, rest: str, more: str) -> None:
        """Ask the parser whether the text that looks wrong is; as long as it says "EOF", more text may tell."""
        rest += more
        self.violation, undecided = syntax_violation(
            self._text.before(rest), skeleton, rest, allow_nan=self.allow_nan
        )
        self._suspect = (skeleton, rest) if undecided and len(rest) < HUGE else None
        self._closer = self._other = "" if self._suspect else NOTHING
