"""A string that matches a regular expression, for `pattern` in a JSON Schema.

The expression is read with CPython's own parser: `re._parser` is not public, but stable since 3.11, and
writing a second parser of regular expressions for a test server would be worse. The result is checked against
`re` before it is returned; an expression that needs more (look-around, back references) is an error that says
so.
"""

import random
import re
from re import _constants as op  # type: ignore[attr-defined]  # not public, see above
from re import _parser  # type: ignore[attr-defined]  # not public, see above
from typing import Any

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_CATEGORIES = {
    op.CATEGORY_DIGIT: "0123456789",
    op.CATEGORY_WORD: _LETTERS + "0123456789",
    op.CATEGORY_SPACE: " ",
    op.CATEGORY_NOT_DIGIT: _LETTERS,
    op.CATEGORY_NOT_WORD: "-",
    op.CATEGORY_NOT_SPACE: _LETTERS,
}
_ATTEMPTS = 60


def matching(
    pattern: str, source: random.Random, *, min_length: int = 0, max_length: int | None = None
) -> str:
    """A string in which `pattern` is found and whose length is within the bounds.

    Raises:
        ValueError: none was found; the message names the pattern.
    """
    parsed = _parser.parse(pattern)
    compiled = re.compile(pattern)
    for attempt in range(_ATTEMPTS):
        text = "".join(_emit(parsed, source, more=attempt))
        if (
            len(text) >= min_length
            and (max_length is None or len(text) <= max_length)
            and compiled.search(text)
        ):
            return text
    raise ValueError(
        f"pattern: expected one for which a text of {min_length} to {max_length} characters is easily found, "
        f"got {pattern!r}"
    )


def _emit(parsed: Any, source: random.Random, *, more: int) -> list[str]:
    out: list[str] = []
    for kind, value in parsed:
        if kind is op.LITERAL:
            out.append(chr(value))
        elif kind is op.NOT_LITERAL:
            out.append("a" if value != ord("a") else "b")
        elif kind is op.ANY:
            out.append(source.choice(_LETTERS))
        elif kind is op.IN:
            out.append(source.choice(_members(value)))
        elif kind is op.BRANCH:
            out += _emit(source.choice(value[1]), source, more=more)
        elif kind is op.SUBPATTERN:
            out += _emit(value[3], source, more=more)
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            low, high, inner = value
            # Short and ever longer repetitions in turn, so that either bound on length is met.
            wanted = low + (source.randint(2, 6) if more % 2 == 0 else source.randint(0, 2 + more))
            for _ in range(wanted if high is op.MAXREPEAT else min(wanted, int(high))):
                out += _emit(inner, source, more=more)
        elif kind is not op.AT:
            raise ValueError(f"pattern: expected literals, classes, groups and repetitions, got {kind}")
    return out


def _members(items: list[tuple[Any, Any]]) -> str:
    excluded = items[0][0] is op.NEGATE
    members = ""
    for kind, value in items:
        if kind is op.LITERAL:
            members += chr(value)
        elif kind is op.RANGE:
            members += "".join(chr(code) for code in range(value[0], min(value[1], value[0] + 255) + 1))
        elif kind is op.CATEGORY:
            members += _CATEGORIES[value]
    if excluded:
        members = "".join(c for c in _LETTERS + "0123456789 -_" if c not in members)
    if not members:
        raise ValueError("pattern: expected a class with printable ASCII members, got one without")
    return members
