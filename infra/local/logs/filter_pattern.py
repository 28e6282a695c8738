"""CloudWatch's filter patterns for JSON events, as far as templates of ours use them.

`{ ($.type = "platform.*") || ($.message = "request.*") }`: comparisons with = and != of a member with text (* stands
for anything), joined by && and ||, && first, with parentheses. Everything else is refused, never half understood.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

import json
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

type Test = Callable[[Any], bool]

_TOKEN = re.compile(r'\s*(?:(\$(?:\.[\w-]+)+)|("(?:[^"\\]|\\.)*")|(\|\||&&|!=|=|\(|\)))')


class FilterPatternError(Exception):
    """A filter pattern that is not understood here."""


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """A test for log lines; the empty pattern takes all. Raises FilterPatternError."""
    text = pattern.strip()
    if not text:
        return lambda line: True
    if not (text.startswith("{") and text.endswith("}")):
        raise FilterPatternError(f"expected a JSON filter pattern in braces, got {pattern!r}")
    parser = _Parser(text[1:-1])
    test = parser.either()
    parser.expect_end()

    def matches(line: str) -> bool:
        try:
            return test(json.loads(line))
        except ValueError:
            return False  # a pattern for JSON matches no other line

    return matches


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        position = 0
        while text[position:].strip():
            found = _TOKEN.match(text, position)
            if found is None:
                raise FilterPatternError(
                    f"expected a member, text or an operator, got {text[position:].strip()!r}"
                )
            self._tokens.append(found[found.lastindex or 0])
            position = found.end()

    def either(self) -> Test:
        tests = [self._all()]
        while self._accept("||"):
            tests.append(self._all())
        return lambda value: any(test(value) for test in tests)

    def expect_end(self) -> None:
        if self._tokens:
            raise FilterPatternError(f"expected the end of {self._text!r}, got {self._tokens[0]!r}")

    def _all(self) -> Test:
        tests = [self._one()]
        while self._accept("&&"):
            tests.append(self._one())
        return lambda value: all(test(value) for test in tests)

    def _one(self) -> Test:
        if self._accept("("):
            test = self.either()
            self._take(")")
            return test
        member, operator, text = self._take("$"), self._take("=", "!="), json.loads(self._take('"'))
        names, wanted = member.split(".")[1:], operator == "="

        def compare(value: Any) -> bool:
            for name in names:
                if not isinstance(value, dict) or name not in value:
                    return False
                value = value[name]
            # fnmatch knows more than *: the rest is taken literally.
            literal = re.sub(r"[\[?]", lambda found: f"[{found[0]}]", text)
            return (isinstance(value, str) and fnmatchcase(value, literal)) is wanted

        return compare

    def _accept(self, token: str) -> bool:
        if self._tokens[:1] != [token]:
            return False
        del self._tokens[0]
        return True

    def _take(self, *starts: str) -> str:
        token = self._tokens.pop(0) if self._tokens else ""
        if not any(
            token == start or (len(start) == 1 and start in '$"' and token.startswith(start))
            for start in starts
        ):
            raise FilterPatternError(f"expected {' or '.join(starts)} in {self._text!r}, got {token!r}")
        return token
