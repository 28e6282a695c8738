"""One part of the text and Pydantic's word on it; and what its parser says of text that is not JSON.

The parser's verdict on a wrong character depends on the containers around it and on nothing before them. So it is
shown a skeleton (`{"":[0,` stands for a megabyte of first elements) and the text from the last part on, and the line
and column of its message are moved to where that text really stands. Columns count bytes of UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, SchemaValidator, from_json

from pydantic_streaming.errors import SyntaxInvalid
from pydantic_streaming.values import Violation

__all__ = [
    "NO_UNICODE",
    "could_go_on",
    "first_error",
    "mentions_nan",
    "parser_error",
    "strict_error",
    "syntax_violation",
    "validated",
]


def validated(validator: SchemaValidator, text: str, allow_nan: bool) -> Any:
    """Return what `text` is validated to, by Pydantic's own parser in JSON mode."""
    if not allow_nan and mentions_nan(text) and strict_error(text) is not None:
        raise SyntaxInvalid
    return validator.validate_json(text)


def first_error(error: ValidationError, text: str = "") -> ErrorDetails:
    """Return the first of the errors that `error` lists about `text`.

    Raises:
        SyntaxInvalid: the text is not JSON. (What a `Json` field holds may not be either, with the same error: that
            counts.)
    """
    details = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if (
        details["type"] == "json_invalid"
        and not details["loc"]
        and parser_error(text, allow_nan=True) is not None
    ):
        raise SyntaxInvalid
    return details


_WHERE = re.compile(r" at line (\d+) column (\d+)$")
_ANY = SchemaValidator({"type": "any"})


def strict_error(text: str | bytes) -> str | None:
    """Return the parser's complaint about `text` where NaN and Infinity are no numbers, None if it has none."""
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError as error:
        # An integer of more than 4,300 digits is JSON; that Python refuses to make it is another matter.
        return str(error) if _WHERE.search(str(error)) else None
    except TypeError:
        return None  # half a surrogate pair, of which the lenient parser has its own opinion
    return None


def mentions_nan(text: str | bytes) -> bool:
    """Whether NaN or Infinity may be in `text`: two searches, so that parsing twice is rare."""
    if isinstance(text, str):
        return "NaN" in text or "Infinity" in text
    return b"NaN" in text or b"Infinity" in text


def parser_error(text: str, *, allow_nan: bool) -> str | None:
    """Return the parser's complaint about `text`, None if it has none."""
    complaint = None
    try:
        _ANY.validate_json(text)
    except ValidationError as error:
        complaint = error.errors(include_url=False)[0]["msg"].removeprefix("Invalid JSON: ")
    if not allow_nan and (complaint is not None or mentions_nan(text)):
        return strict_error(text) or complaint
    return complaint


def could_go_on(text: str) -> bool:
    """Whether `text` is JSON as far as it goes."""
    try:
        from_json(text)
    except ValueError as error:
        return str(error).startswith("EOF while parsing")
    return True


def syntax_violation(
    before: Iterable[bytes], skeleton: str, rest: str, *, allow_nan: bool
) -> tuple[Violation | None, bool]:
    """Return the violation that the parser finds in `rest`, and whether more text is needed to tell.

    Args:
        before: the text before `rest`, as UTF-8, in pieces.
        skeleton: a text that leads the parser to where `rest` begins.
        rest: the text from the last incomplete part on, as far as it has come.
        allow_nan: whether NaN and Infinity are numbers.
    """
    complaint = parser_error(skeleton + rest, allow_nan=allow_nan)
    where = None if complaint is None else _WHERE.search(complaint)
    if complaint is None or where is None:
        return None, False
    if complaint.startswith("EOF while parsing"):
        return None, True
    line, column = int(where[1]), int(where[2])
    lines_before, columns_before = 0, 0
    for piece in before:
        newlines = piece.count(b"\n")
        lines_before += newlines
        columns_before = len(piece) - piece.rfind(b"\n") - 1 if newlines else columns_before + len(piece)
    if line == 1:
        column += columns_before - len(skeleton)
    message = f"Invalid JSON: {complaint[: where.start()]} at line {lines_before + line} column {column}"
    return Violation("", (), "json_invalid", message), False


def _no_unicode() -> Violation:
    try:
        _ANY.validate_json('"\ud800"')
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        return Violation("", (), details["type"], details["msg"])
    raise AssertionError("expected Pydantic to refuse half a surrogate pair")


# What Pydantic says of any text with half a surrogate pair, whatever else is in it.
NO_UNICODE = _no_unicode()
