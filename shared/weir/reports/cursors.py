"""Cursors: where a page of rows ended, as a text that only the next question of the same order can use."""

import base64
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from weir.errors import CallerError
from weir.reports.row_queries import Sort, position, position_types

_AMOUNT = re.compile(r"-?\d{1,23}(\.\d{1,15})?", re.ASCII)  # what DECIMAL(38, 15) holds


class CursorError(CallerError, ValueError):
    """A cursor that no page of this order gave out."""


def cursor_after(row: Mapping[str, Any], sort: Sort) -> str:
    """The cursor of a page that ends with `row`."""
    text = json.dumps([sort, *position(row, sort)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def position_of(cursor: str, sort: Sort) -> list[str]:
    """The position of the row that a page ended with. Raises CursorError."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        given, *parts = json.loads(text)
        kinds = position_types(sort)
        if given != sort or len(parts) != len(kinds):
            raise ValueError(f"a cursor of order {given}")
        for part, kind in zip(parts, kinds, strict=True):
            _check(part, kind)
        return list(parts)
    except (ValueError, TypeError) as error:
        raise CursorError(f"expected the next_cursor of an earlier page in the order {sort}") from error


def _check(part: object, kind: str) -> None:
    """Raise ValueError unless `part` is text that the engines can cast to `kind`: as `position` writes it."""
    if not isinstance(part, str):
        raise ValueError(f"expected text, got {type(part).__name__}")
    part.encode()  # JSON can escape half a character, which no engine takes
    # Python reads more spellings of an instant (weeks, no hyphens) than an engine casts.
    if kind.startswith("timestamp") and not _is_timestamp(part):
        raise ValueError("expected a timestamp in milliseconds without a zone")
    if kind.startswith("decimal") and not _AMOUNT.fullmatch(part):
        raise ValueError("expected an amount")


def _is_timestamp(text: str) -> bool:
    return datetime.fromisoformat(text).replace(tzinfo=None).isoformat(" ", "milliseconds") == text
