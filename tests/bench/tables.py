"""What a benchmark hands over: tables of figures, and bounds that are met or missed.

A part of the benchmark is a module in this folder with `run() -> list[Table]`; `python -m tests.bench NAME` calls it.
Bounds are ratios within one run, since absolute figures belong to one machine and one minute.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

type Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure that has to stay at or under its limit, in the same unit."""

    name: str
    measured: float
    limit: float
    unit: str = "x"

    @property
    def met(self) -> bool:
        """Whether it holds."""
        return self.measured <= self.limit

    def __str__(self) -> str:
        verdict = "met" if self.met else "MISSED"
        return f"{verdict}: {self.name}: {self.measured:.3g} {self.unit} (bound {self.limit:g} {self.unit})"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a title; `notes` say how they came about, or why rows are missing."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    bounds: Sequence[Bound] = field(default_factory=tuple)
    notes: Sequence[str] = field(default_factory=tuple)

    def markdown(self) -> str:
        """The table as text: padded, so that it also reads well in a terminal."""
        rows = [[_text(cell) for cell in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.columns, *rows, strict=True)]
        lines = [f"## {self.title}", ""]
        if rows:
            lines += [_line(self.columns, widths), "|" + "|".join("-" * (w + 2) for w in widths) + "|"]
            lines += [_line(row, widths) for row in rows]
            lines.append("")
        lines += self.notes
        lines += [f"- {bound}" for bound in self.bounds]
        return "\n".join(lines).rstrip() + "\n"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Minimum (median) of several runs; the minimum is the run that others on the machine disturbed least."""
    if not values:
        return "-"
    return f"{min(values):.{digits}f} ({median(values):.{digits}f})"


def percentile(values: Sequence[float], percent: float) -> float:
    """By the nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def bounds_of(tables: Sequence[Table]) -> Iterator[Bound]:
    """All bounds, in order."""
    for table in tables:
        yield from table.bounds


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
