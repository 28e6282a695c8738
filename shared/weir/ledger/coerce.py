"""Values out of raw facts: of the right type and within reason, or unknown.

What was logged was written by another version, another function, or by nobody we know: a value that is not
what it should be is None, like one that is absent, and never an exception in the middle of a month's report.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from math import ceil
from types import MappingProxyType
from typing import Any

from weir.pricing.usage import MAX_COUNT, Usage, read_count, usage_from_json

_EMPTY: Mapping[str, Any] = MappingProxyType({})
# Far more than a function can have; GB-seconds of as much as JSON can say would not fit their column.
_MAX_MEGABYTES = 10**6


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object; what is none is an empty one."""
    return value if isinstance(value, dict) else _EMPTY


def text(value: object) -> str | None:
    """A string; half a surrogate pair, which JSON can carry and UTF-8 cannot, becomes a question mark."""
    if not isinstance(value, str):
        return None
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def count(value: object) -> int | None:
    """A whole number from 0 to 10**15, also where JSON wrote it as 12.0."""
    read = read_count(value)
    return read if read is not None and read >= 0 else None


def megabytes(value: object) -> int | None:
    """A size of memory or disk, up to a terabyte."""
    size = count(value)
    return size if size is not None and size <= _MAX_MEGABYTES else None


def whole(value: object) -> int | None:
    """Milliseconds as they are billed, in whole ones."""
    milliseconds = number(value)
    return None if milliseconds is None else ceil(milliseconds)  # a fraction was rounded up


def number(value: object) -> float | None:
    """A finite number from 0 to 10**15."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= MAX_COUNT else None  # NaN compares false


def sum_all(values: Sequence[int | None]) -> int | None:
    """The sum; one unknown part makes it unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def sum_known(values: Sequence[float | None]) -> float | None:
    """The sum of the parts that are known; None if none is."""
    if len(values) == 1:
        return values[0]
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def money(value: object) -> Decimal | None:
    """An amount that was written as a string, up to 10**15 either way: more would not fit its column."""
    try:
        amount = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None
    return amount if amount is not None and amount.is_finite() and abs(amount) <= MAX_COUNT else None


def usage_of(value: object) -> Usage:
    """A fact's `usage`."""
    members = mapping(value)
    return usage_from_json({**members, "service_tier": text(members.get("service_tier"))})
