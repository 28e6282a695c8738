"""The report's SQL is text in sql/, one file a statement, in Trino's subset, which DuckDB runs from the same text.

Athena takes values as question marks in order, and so does DuckDB: `:name` becomes one. Three rules make a statement of
a file, and sql/requested.sql says them where an analyst reads them:

- `:name` is a value that a reader chose. It is never written into the text.
- `{name}` is a word of ours: a column of the table, or a number of the code. It is written into the text.
- A line that has a name which is not given is left out; one whose name has several values stands once for each.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

_NAME = re.compile(r"(?<![:\w]):([a-z_]+)|\{([a-z_]+)\}")
_COMMENT = re.compile(r"\s*--[^\n]*")
_WORD = re.compile(r"[a-z0-9_]+")

type Source = Literal["rows", "rollups"]
type Values = Mapping[str, str | Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class Query:
    """One statement: `parameters` are its question marks in order, all text."""

    text: str
    parameters: tuple[str, ...] = ()


def statement(name: str, values: Values, source: Source = "rows") -> Query:
    """The statement sql/<name>.sql over what sql/requested.sql gives, with `values` by their names."""
    rows, asked = _requested(values, source), rendered(_text(name), values)
    # A statement that names parts of its own goes on in the same list of them.
    own = asked.text.removeprefix("WITH ")
    joint = ", " if own != asked.text else "\n"
    return Query(f"{rows.text}{joint}{own}", rows.parameters + asked.parameters)


def selection(sql: str, values: Values) -> tuple[str, list[str]]:
    """A statement of the code's own over `requested`, and its parameters: for exports, which DuckDB alone writes."""
    rows = _requested(values, "rows")
    return f"{rows.text}\n{sql}", list(rows.parameters)


def _requested(values: Values, source: Source) -> Query:
    requested = rendered(_text("requested"), values)
    text = f"WITH source AS (\n{_text(f'source_{source}')}\n), requested AS (\n{requested.text}\n)"
    return Query(text, requested.parameters)


def rendered(text: str, values: Values) -> Query:
    """A text by the three rules. Raises ValueError for a `{name}` whose value is no word."""
    lines: list[str] = []
    parameters: list[str] = []
    for line in text.splitlines():
        for given in _each(line, values):

            def write(found: re.Match[str], given: Mapping[str, str] = given) -> str:
                value = given[found[1] or found[2]]
                if found[1]:
                    parameters.append(value)
                    return "?"
                if not _WORD.fullmatch(value):
                    raise ValueError(f"{{{found[2]}}}: expected a word of ours, got {value[:80]!r}")
                return value

            lines.append(_NAME.sub(write, line))
    return Query("\n".join(lines), tuple(parameters))


def _each(line: str, values: Values) -> Iterator[Mapping[str, str]]:
    """The values of a line's names, once for each time that it stands."""
    names = {found[1] or found[2] for found in _NAME.finditer(line)}
    given = {name: values.get(name) for name in names}
    if any(value is None for value in given.values()):
        return
    several = {
        name: value for name, value in given.items() if value is not None and not isinstance(value, str)
    }
    single = {name: value for name, value in given.items() if isinstance(value, str)}
    if not several:
        yield single
        return
    for members in zip(*several.values(), strict=True):
        yield {**single, **dict(zip(several, members, strict=True))}


@cache
def _text(name: str) -> str:
    content = (resources.files("weir.reports") / "sql" / f"{name}.sql").read_text()
    return "\n".join(line for line in _COMMENT.sub("", content).splitlines() if line.strip())
