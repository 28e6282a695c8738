r"""Patterns of schemas that callers bring: which ones are taken, and what they cost before any text comes.

The engine that runs them takes linear time, and unrolls each counted repetition when it is built: some kilobytes of
`\w{90}`, once for each of many members, would hold the loop for minutes and take gigabytes. So steps are counted first.
Where the engine reads more or something else than ECMA-262, which JSON Schema names, a pattern is refused: flags, sets
in sets and what joins them, empty sets.
https://262.ecma-international.org/#sec-patterns
https://docs.rs/regex/latest/regex/#syntax
"""

import re

from pydantic_core import SchemaError, SchemaValidator, core_schema

from weir.errors import CallerError

_PARTS = re.compile(
    r"(?P<open>\((?:\?(?::|P?<[A-Za-z_]\w*>))?)|(?P<close>\))"
    r"|(?P<times>\{(?P<least>\d{1,9})(?:(?P<more>,)(?P<most>\d{0,9}))?\})"
    r"|(?P<set>\[\^?+(?:\\.|[^\[\]\\])+\])|(?P<one>\\[pP](?:\{[^}]*\}|.)|\\.|.)",
    re.DOTALL,
)
# Steps of one character out of so many: all letters of all scripts, all digits or blanks.
_LETTERS, _FEW = re.compile(r"\\[wWpP]"), re.compile(r"\\[dDsS]")


class PatternRefused(CallerError, ValueError):
    """A pattern is none that can be taken; the message says why."""


def pattern_steps(pattern: str) -> int:
    """How many steps the engine makes of a pattern, roughly. Raises PatternRefused."""
    groups, last = [0], 0  # steps of each group that is open, and of what a repetition would repeat
    for found in _PARTS.finditer(pattern):
        part, kind = found[0], found.lastgroup
        if kind == "open":
            if pattern.startswith("?", found.end()) and part == "(":
                raise PatternRefused("expected no flags and no looking ahead or behind")
            groups.append(0)
        elif kind == "close":
            last = groups.pop()
            if not groups:
                raise PatternRefused("expected as many ( as )")
            groups[-1] += last
        elif found["times"]:
            times = max(int(found["least"]) + bool(found["more"]), int(found["most"] or 0), 1)
            groups[-1] += last * (times - 1)
            last *= times
        elif part in ("[", "{"):
            raise PatternRefused(f"expected {part} in a set, a count, or behind a backslash")
        elif part in ("*", "+", "?"):
            pass  # what can be repeated again is what came before it
        elif kind == "set" and any(join in part for join in ("&&", "--", "~~")):
            raise PatternRefused("expected sets without &&, -- and ~~")
        else:
            last = 50 if _LETTERS.search(part) else 10 if _FEW.search(part) else 1 + len(part) // 10
            groups[-1] += last
    return groups[0]


def check_pattern(pattern: str) -> None:
    """Refuse what the engine cannot build. Raises PatternRefused."""
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern))
    except (SchemaError, ValueError) as error:
        reason = str(error).rpartition("error: ")[2].strip()
        raise PatternRefused(f"expected a pattern that Rust's regex takes: {reason:.120}") from None
