"""One slice of the text and Pydantic's word on it: accepted, refused, or not JSON.

Refused    Pydantic refuses the value; the model's text is wrong
NotJson    the slice is not JSON where it stands; the parser must say what it makes of the text so far
Surprise   exactness cannot be proved from here on; the whole text must be judged
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, SchemaValidator

from pydantic_streaming.syntax import names_nan, parser_error, strict_error

__all__ = ["NotJson", "Refused", "Surprise", "first_error", "validated"]


class Surprise(Exception):
    """Exactness cannot be proved from here on; the whole text must be judged."""


class NotJson(Exception):
    """A slice is not JSON, or not where it stands; the parser must say what it makes of the text so far."""


class Refused(Exception):
    """Pydantic refuses a part of the document."""

    def __init__(self, error: ErrorDetails, *above: str | int) -> None:
        self.type, self.message = error["type"], error["msg"]
        self.loc: tuple[int | str, ...] = (*above, *error["loc"])


def validated(validator: SchemaValidator, text: str, allow_nan: bool) -> Any:
    """Return what `text` is validated to, by Pydantic's own parser in JSON mode."""
    if not allow_nan and names_nan(text) and strict_error(text) is not None:
        raise NotJson
    return validator.validate_json(text)


def first_error(error: ValidationError, text: str = "") -> ErrorDetails:
    """Return the first of the errors that `error` lists about `text`.

    Raises:
        NotJson: the text is not JSON. (What a `Json` field holds may not be either, with the same error: that counts.)
    """
    details = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if (
        details["type"] == "json_invalid"
        and not details["loc"]
        and parser_error(text, allow_nan=True) is not None
    ):
        raise NotJson
    return details
