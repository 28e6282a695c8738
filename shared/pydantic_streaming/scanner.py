"""Where a JSON value ends: the only question asked of the text before Pydantic's parser reads it.

Nothing here decides. If the text between parts is what JSON wants there, and Pydantic accepts each part whole, then
the split is the only way to read the text, however it was found; a mistake of this module can only make Pydantic
refuse a part, and then the whole text is validated. So strings are skipped by memchr, brackets are counted without
asking which closes which, and flat values are taken by one regular expression.

Grammar: https://www.rfc-editor.org/rfc/rfc8259
"""

from __future__ import annotations

import re

__all__ = [
    "BARE_END",
    "KEY",
    "MEMBER_RUN",
    "RUN",
    "STRING_PIECE",
    "TOO_DEEP",
    "WHITESPACE",
    "ValueScanner",
    "skip_space",
    "split",
]

# Pydantic's parser refuses depth 202. Parts are parsed one by one, so the levels above a part are counted here.
MAX_DEPTH = 201
TOO_DEEP = -2

WHITESPACE = " \t\n\r"
_SPACE = re.compile(r"[ \t\n\r]*+")
_STRUCTURE = re.compile(r'["\[\]{}]')
# What can follow a number or a literal.
BARE_END = re.compile(r"[,\]} \t\n\r]")

# Possessive quantifiers throughout: without backtracking each expression is linear in what it reads.
_STRING = r'"(?:[^"\\]++|\\.)*+"'
_BARE = r'[^"\[\]{}, \t\n\r:]++'
_FLAT = rf'(?:\{{(?:[^"\[\]{{}}]++|{_STRING})*+\}}|\[(?:[^"\[\]{{}}]++|{_STRING})*+\])'
_NESTED = rf'(?:\{{(?:[^"\[\]{{}}]++|{_STRING}|{_FLAT})*+\}}|\[(?:[^"\[\]{{}}]++|{_STRING}|{_FLAT})*+\])'
_VALUE = rf"(?:{_BARE}|{_STRING}|{_NESTED})"
_GAP = r"[ \t\n\r]*+"
_CLOSED = re.compile(_NESTED, re.DOTALL)

# A value that is known to be complete whatever follows.
_ENDED = rf"(?:{_STRING}|{_NESTED}|{_BARE}(?=[\]}} \t\n\r]))"
# Whole elements, each with the comma after it (group 1), and one without (group 2): what is matched is a batch.
RUN = re.compile(rf"((?:{_GAP}{_VALUE}{_GAP},)*+)({_GAP}{_ENDED})?+", re.DOTALL)
# The same for the members of an object.
_NAME = rf"{_GAP}{_STRING}{_GAP}:{_GAP}"
MEMBER_RUN = re.compile(rf"((?:{_NAME}{_VALUE}{_GAP},)*+)({_NAME}{_ENDED})?+", re.DOTALL)
# A member's name and the colon after it.
KEY = re.compile(r'"((?:[^"\\\x00-\x1f]++|\\.)*+)"[ \t\n\r]*+:[ \t\n\r]*+', re.DOTALL)
# A piece of a string: it ends between escapes, and never between the two of a surrogate pair.
STRING_PIECE = re.compile(
    r'(?:[^"\\]++|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\[^u])*+'
)
# How deep a value of RUN can be.
RUN_DEPTH = 2


def skip_space(text: str, at: int) -> int:
    """Return where `text` goes on after whitespace from `at`."""
    match = _SPACE.match(text, at)
    assert match is not None  # it matches the empty string
    return match.end()


class ValueScanner:
    """The resumable search for the end of one value: give it each piece of text once, and let it hold those without.

    `closer` is the character that can end the value, "" if any can; text without it need not be scanned yet.
    """

    __slots__ = (
        "_bare",
        "_begun",
        "_depth",
        "_escaped",
        "_held",
        "_quoted",
        "chars",
        "closer",
        "deepest",
        "tried",
        "tried_huge",
    )

    def __init__(self) -> None:
        self._begun = False
        self._bare = False
        self._quoted = False
        # The last piece ended in an odd number of backslashes, so the next character is escaped.
        self._escaped = False
        self._depth = 0
        self.deepest = 0
        self.closer = ""
        # What was held, and whether it was tried to split the value inside, when it was long and when it was huge.
        self._held: list[str] = []
        self.chars = 0
        self.tried = self.tried_huge = False

    @property
    def text(self) -> str:
        """The pieces that were held."""
        return "".join(self._held)

    def hold(self, piece: str) -> None:
        """Keep a piece in which the value does not end."""
        self._held.append(piece)
        self.chars += len(piece)

    def end(self, text: str, at: int) -> int:
        """Return the index after the value in `text` from `at` on, -1 if it goes on beyond, `TOO_DEEP` if it is."""
        if not self._begun:
            first = text[at]
            self._begun = True
            if first == '"':
                self._quoted, self.closer = True, '"'
                at += 1
            elif first in "[{":
                self._depth, self.closer = 1, "]" if first == "[" else "}"
                at += 1
            else:
                self._bare = True
        if self._bare:
            match = BARE_END.search(text, at)
            return match.start() if match else -1
        while True:
            if self._quoted:
                at = self._end_of_string(text, at)
                if at < 0:
                    return -1
                self._quoted = False
                if self._depth == 0:
                    return at
            match = _STRUCTURE.search(text, at)
            if match is None:
                return -1
            at = match.end()
            found = match[0]
            if found == '"':
                self._quoted = True
            elif found in "[{":
                # Bounded, because each level of `[[[[` would read the same text again.
                closed = _CLOSED.match(text, at - 1, at + 4096)
                if closed:
                    at = closed.end()
                    self.deepest = max(self.deepest, self._depth + RUN_DEPTH)
                else:
                    self._depth += 1
                    if self._depth > MAX_DEPTH:
                        return TOO_DEEP
                    self.deepest = max(self.deepest, self._depth)
            else:
                self._depth -= 1
                if self._depth == 0:
                    return at

    def _end_of_string(self, text: str, at: int) -> int:
        if self._escaped and at < len(text):
            self._escaped = False
            at += 1
        while True:
            quote = text.find('"', at)
            last = (quote if quote >= 0 else len(text)) - 1
            slash = last
            while slash >= at and text[slash] == "\\":
                slash -= 1
            odd = (last - slash) & 1
            if quote < 0:
                self._escaped = self._escaped or bool(odd)
                return -1
            if not odd:
                return quote + 1
            at = quote + 1


def split(text: str, *, named: bool = False) -> list[tuple[int, str]]:
    """Return the parts of `text` and where each begins: values, or members if `named`, as far as it makes sense."""
    parts: list[tuple[int, str]] = []
    at = 0
    while (begin := skip_space(text, at)) < len(text):
        at = begin
        if named:
            at = skip_space(text, max(ValueScanner().end(text, at), at)) + 1
            at = skip_space(text, at)
        end = ValueScanner().end(text, at) if at < len(text) else -1
        if end < 0:
            return [*parts, (begin, text[begin:])]
        parts.append((begin, text[begin:end]))
        at = text.find(",", end) + 1
        if at == 0:
            break
    return parts
