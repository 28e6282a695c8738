"""What streamed validation hands out: completed values, violations, and the error that ends a wrong document.

A `Value` points into the *result* (`model_dump(mode="json", by_alias=True)`); a `Violation` points into the *text*,
because what is wrong may never become part of a result. The two differ only where a field's alias for validation
and its alias for serialization do.

JSON Pointer: https://www.rfc-editor.org/rfc/rfc6901
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["InvalidDocument", "Value", "Violation", "pointer"]


class Value(NamedTuple):
    """One completed, validated part of the document: where it belongs and its JSON, serialised once.

    A tuple and not a dataclass: there may be one for every few tokens.
    """

    path: str
    json: bytes


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong, as Pydantic reports it: `loc`, `type` and `message` are Pydantic's own.

    `path` is the JSON Pointer into the text where `loc` amounts to one, and None where it does not: the loc of a
    union names the member that was tried, and that is no place in the text.
    """

    path: str | None
    loc: tuple[int | str, ...]
    type: str
    message: str


class InvalidDocument(ValueError):
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


def pointer(*tokens: str | int) -> str:
    """Return the JSON Pointer of `tokens`, escaped as RFC 6901 section 3 says."""
    # "Because the characters '~' and '/' have special meanings in JSON Pointer, '~' needs to be encoded as '~0'
    # and '/' needs to be encoded as '~1'": in this order, or '/' would become '~01'.
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)
