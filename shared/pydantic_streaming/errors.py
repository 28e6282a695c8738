"""The errors of this distribution, one tree; the branch under `Stopped` never leaves `feed` and `close`.

StreamingError
├── InvalidDocument        (ValueError) the finished text is not a valid document; the fault is the text's
├── UnsafeSchema           (ValueError) a model that can hold the loop; the fault is the schema's
├── UnsupportedPydantic    (ImportError) the installed Pydantic is older than the oldest that is tested
└── Stopped                splitting ended before the text did
    ├── CannotSplit            exactness cannot be proved from here on; the whole text must be validated
    ├── ValueInvalid           Pydantic refuses a value
    └── SyntaxInvalid          the text is not JSON; the parser must say what it makes of it so far
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from pydantic_streaming.values import Violation

__all__ = [
    "CannotSplit",
    "InvalidDocument",
    "Stopped",
    "StreamingError",
    "SyntaxInvalid",
    "UnsafeSchema",
    "UnsupportedPydantic",
    "ValueInvalid",
]


class StreamingError(Exception):
    """Any error of this distribution."""


class InvalidDocument(StreamingError, ValueError):
    """The finished text is not a valid document; the fault is the language model's, not the caller's.

    `violations` are Pydantic's for the whole text, in its order, at most `MAX_VIOLATIONS` of `error_count`.
    """

    def __init__(self, violations: tuple[Violation, ...], error_count: int | None = None) -> None:
        self.violations = violations
        self.error_count = len(violations) if error_count is None else error_count
        first = violations[0]
        where = "the document" if not first.loc else ".".join(map(str, first.loc))
        super().__init__(
            f"{self.error_count} violation(s), the first at {where}: {first.message} [{first.type}]"
        )


class UnsafeSchema(StreamingError, ValueError):
    """A model that can hold the loop, by a pattern that backtracks or a lazy iterable; the message names the field."""


class UnsupportedPydantic(StreamingError, ImportError):
    """The installed Pydantic is older than the oldest that is tested: it would never be split, and silently so."""


class Stopped(StreamingError):
    """Splitting ended before the text did; StreamedValidator takes it from there."""


class CannotSplit(Stopped):
    """Exactness cannot be proved from here on; the whole text must be validated."""


class ValueInvalid(Stopped):
    """Pydantic refuses a part of the document; `loc` is where, from the container on that raises it.

    `text` is the part, and `begin` where it begins in the batch that it came in.
    """

    def __init__(self, error: ErrorDetails, *above: str | int, text: str = "") -> None:
        super().__init__(error["msg"])
        self.type, self.message = error["type"], error["msg"]
        self.loc: tuple[int | str, ...] = (*above, *error["loc"])
        self.text = text
        self.begin = 0

    def moved(self, chars: int) -> ValueInvalid:
        """Return the same for a batch that begins so many characters before."""
        self.begin += chars
        return self


class SyntaxInvalid(Stopped):
    """A part is not JSON, or not where it stands; the parser must say what it makes of the text so far."""
