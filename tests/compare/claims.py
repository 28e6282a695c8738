"""What the rows say in words: which of the article's claims hold.

Each sentence is made from figures of rows and names them; a row that is missing leaves its sentence open.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.compare.figures import Load, Row
from tests.compare.variants import (
    ADAPTER,
    CAREFUL,
    CONTAINER,
    MANGUM,
    STEP_1,
    STEP_2,
    STEP_3,
    STEP_4,
)

type Rows = Mapping[str, Row]
SAME = 1.1  # within a tenth is the same


@dataclass(frozen=True, slots=True)
class Verdict:
    """One claim; `holds` None where a row of it is missing."""

    claim: str
    holds: bool | None
    because: str
    rows: tuple[str, ...]

    def __str__(self) -> str:
        word = {True: "holds", False: "does not hold", None: "not measured"}[self.holds]
        return f"- *{self.claim}* {word}: {self.because} ({'; '.join(self.rows)})"


@dataclass(frozen=True, slots=True)
class Parsing:
    """What validating a whole document costs: by size, and how late the loop is meanwhile, 4 MB."""

    parse_ms: Mapping[str, float]
    late_ms: Mapping[str, float]


def verdicts(rows: Rows, parsing: Parsing | None) -> list[Verdict]:
    """All of the article's claims that figures decide."""
    return [
        _of_rows(
            "Synchronous workers answer late, the last ones very late",
            rows,
            (STEP_1,),
            lambda one: (
                _last(one) > 1.5 * _last(one, 1),
                f"with {_most(one).callers} callers a request takes {_last(one) / 1e3:.1f} s (p99 "
                f"{_p99(one) / 1e3:.1f} s) instead of {_last(one, 1) / 1e3:.1f} s alone. It waits for a worker: "
                "it is queueing, and more workers end it as well",
            ),
        ),
        _of_rows(
            "Asynchronous calls shorten that",
            rows,
            (STEP_1, STEP_2),
            lambda one, two: (
                _last(two) < _last(one) / SAME,
                f"{_last(one) / 1e3:.1f} s become {_last(two) / 1e3:.1f} s",
            ),
        ),
        _of_rows(
            "Streaming shows the first token after a second or two instead of the whole wait",
            rows,
            (STEP_2, STEP_3),
            lambda two, three: (
                _ttft(three) < _ttft(two) / 2,
                f"{_ttft(two):,.0f} ms become {_ttft(three):,.0f} ms; but the first part that is known to be valid "
                f"comes after {_validated(three):,.0f} ms, as before",
            ),
        ),
        _parsing_blocks(parsing),
        _thread_frees(parsing),
        _of_rows(
            "Validating in a thread makes the last step better than inline",
            rows,
            (STEP_3, STEP_4),
            lambda three, four: (
                _stall(four, 1) < _stall(three, 1) / SAME and _cpu(four) < _cpu(three) * SAME,
                f"one caller's stream stalls the loop for {_stall(four, 1):.0f} ms against {_stall(three, 1):.0f} ms: "
                "what stalls it is not validation",
            ),
        ),
        _of_rows(
            "With these steps the path from provider to caller is no bottleneck any more",
            rows,
            (STEP_4, CAREFUL),
            lambda four, careful: (
                _stall(careful, 1) > _stall(four, 1) / SAME and _cpu(careful) > _cpu(four) / SAME,
                f"it makes a client for each call, on the loop. With one client a call stalls it for "
                f"{_stall(careful, 1):.0f} instead of {_stall(four, 1):.0f} ms, and a thousand tokens take {_cpu(careful):.0f} ms of "
                f"processor time instead of {_cpu(four):.0f}",
            ),
        ),
        _of_rows(
            "Streaming makes Lambda cheaper",
            rows,
            (MANGUM, ADAPTER),
            lambda buffered, streamed: (
                _gb_s_at_128(streamed) < _gb_s_at_128(buffered) / SAME,
                f"at the same memory {_gb_s_at_128(streamed):.0f} GB-seconds against {_gb_s_at_128(buffered):.0f}: an "
                "environment of one request is billed while it waits, streamed or not. Memory size and early stop are "
                "what saves",
            ),
        ),
        _of_rows(
            "(ours) Validating as it arrives gives the first valid part early",
            rows,
            (STEP_4, CONTAINER),
            lambda four, ours: (
                _validated(ours) <= 0.15 * _validated(four),
                f"{_validated(ours):,.0f} ms against {_validated(four):,.0f} ms",
            ),
        ),
    ]  # fmt: skip


def _of_rows(
    claim: str, rows: Rows, names: tuple[str, ...], decide: Callable[..., tuple[bool, str]]
) -> Verdict:
    found = [rows.get(name) for name in names]
    if any(row is None or row.missing for row in found):
        absent = [name for name, row in zip(names, found, strict=True) if row is None or row.missing]
        return Verdict(claim, None, f"{', '.join(absent)} is missing", names)
    try:
        holds, because = decide(*found)
    except _Unknown as error:
        return Verdict(claim, None, str(error), names)
    return Verdict(claim, holds, because, names)


class _Unknown(Exception):
    """A figure that was not measured."""


def _known(value: float | None, row: Row, what: str) -> float:
    if value is None:
        raise _Unknown(f"{row.name} has no {what}")
    return value


def _most(row: Row) -> Load:
    if row.most is None:
        raise _Unknown(f"{row.name} was under no load")
    return row.most


def _at(row: Row, callers: int | None) -> Load:
    load = _most(row) if callers is None else row.load(callers)
    if load is None:
        raise _Unknown(f"{row.name} was not asked by {callers}")
    return load


def _last(row: Row, callers: int | None = None) -> float:
    return _known(_at(row, callers).last_p50_ms, row, "last byte")


def _p99(row: Row) -> float:
    return _known(_most(row).last_p99_ms, row, "last byte")


def _ttft(row: Row) -> float:
    return _known(_most(row).ttft_p50_ms, row, "first token")


def _validated(row: Row) -> float:
    return _known(_most(row).validated_p50_ms, row, "validated part")


def _stall(row: Row, callers: int) -> float:
    return _known(_at(row, callers).stall_ms, row, "stall")


def _cpu(row: Row) -> float:
    return _known(_most(row).cpu_ms_per_1k, row, "processor time")


def _gb_s_at_128(row: Row) -> float:
    if row.duration is None:
        raise _Unknown(f"{row.name} has no duration")
    return 125 * row.duration.mean_s


def _parsing_blocks(parsing: Parsing | None) -> Verdict:
    claim = "Parsing tens of kilobytes blocks the loop for hundreds of milliseconds"
    if parsing is None:
        return Verdict(claim, None, "parsing was not measured", ("parsing",))
    shown = ", ".join(f"{ms:.2g} ms of {size}" for size, ms in parsing.parse_ms.items())
    return Verdict(claim, parsing.parse_ms["40 KB"] >= 100, f"it takes {shown}", ("parsing",))


def _thread_frees(parsing: Parsing | None) -> Verdict:
    claim = "A thread frees the loop from validation"
    if parsing is None:
        return Verdict(claim, None, "parsing was not measured", ("parsing",))
    late = parsing.late_ms
    because = (
        f"with 4 MB others wait {late['in a thread']:.1f} ms when it is in a thread, {late['inline']:.1f} ms inline: the "
        f"interpreter's lock is held while it parses. As it arrives it is {late['as it arrives (ours)']:.1f} ms"
    )
    return Verdict(claim, late["in a thread"] < late["inline"] / 2, because, ("parsing",))


def first_validated_ratio(rows: Rows) -> float | None:
    """The first validated part, ours over the article's last step; None without one of them."""
    ours, four = rows.get(CONTAINER), rows.get(STEP_4)
    if ours is None or four is None or ours.most is None or four.most is None:
        return None
    a, b = ours.most.validated_p50_ms, four.most.validated_p50_ms
    return a / b if a and b else None
