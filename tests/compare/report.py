"""The one table, the words under it, and the bounds: from rows to text."""

from collections.abc import Iterator, Mapping, Sequence

from tests.bench.tables import Bound, Cell, Table
from tests.compare.behind import not_best
from tests.compare.claims import Parsing, first_validated_ratio, verdicts
from tests.compare.documents import SMALL, Size
from tests.compare.figures import ARCHITECTURE, COLD_SHARE, MODEL, REGION, Load, Prices, Row, dollars_of
from tests.compare.picture import Point
from tests.compare.variants import CAREFUL, CONTAINER, MANGUM, ON_DEMAND, STEP_4

VALIDATED_BOUND, DOLLARS_BOUND = 0.15, 1.05
BURST_BOUND, KNEE_BOUND = 0.6, 1 / 1.3  # ours is to be 1.3 times careful's
COLUMNS = (
    "variant", "callers", "TTFT p50 / p99 ms", "first valid ms", "last byte p50 / p99 s", "req/s", "stall ms",
    "CPU ms/1k tok", "peak MB", "size MB", "INIT ms", "GB-s", "Lambda $", "tokens $ (no stop)", "knee tok/s/core",
)  # fmt: skip
NOT_MEASURED = "NOT MEASURED"


class BoundUnknown(Exception):
    """A bound whose rows are missing cannot be held."""


def number(value: float | None, digits: int = 0, scale: float = 1.0) -> str:
    """A figure, or a dash for what does not exist."""
    return "-" if value is None else f"{value * scale:,.{digits}f}"


def table(rows: Sequence[Row], callers: Sequence[int], notes: Sequence[str]) -> Table:
    """2.7 KB: a line for each variant and number of callers; what belongs to the variant stands in its first line."""
    lines: list[Sequence[Cell]] = []
    for row in rows:
        if row.missing:
            reason = f"{NOT_MEASURED}: {row.missing}"
            lines.append([row.name, reason, *[""] * (len(COLUMNS) - 2)])
            continue
        loads = [load for (size, _), load in sorted(row.loads.items()) if size == SMALL.name]
        for index, load in enumerate(loads):
            lines.append([row.name, *_of_load(load), *(_of_variant(row) if index == 0 else [""] * 6)])
    title = f"Side by side, documents of {SMALL.shown} at {SMALL.tokens_per_s:g} tokens/s, {' and '.join(map(str, callers))} callers"
    return Table(title, COLUMNS, lines, notes=notes)


def size_table(rows: Sequence[Row], size: Size) -> Table:
    """Another size: loads alone."""
    lines: list[Sequence[Cell]] = []
    for row in rows:
        if row.missing:
            lines.append([row.name, f"{NOT_MEASURED}: {row.missing}", *[""] * 7])
        for (name, _), load in sorted(row.loads.items()):
            if name == size.name:
                lines.append([row.name, *_of_load(load)])
    title = f"Documents of {size.shown} at {size.tokens_per_s:g} events/s"
    return Table(title, COLUMNS[:9], lines)


def _of_load(load: Load) -> list[Cell]:
    if load.as_expected == 0:
        return [
            str(load.callers),
            f"{NOT_MEASURED}: no answer as expected: {' '.join(load.said.split())[:80]}",
            *[""] * 6,
        ]
    failed = (
        f" ({load.requests - load.as_expected} of {load.requests} failed)"
        if load.as_expected < load.requests
        else ""
    )
    return [
        f"{load.callers}{failed}",
        f"{number(load.ttft_p50_ms)} / {number(load.ttft_p99_ms)}",
        number(load.validated_p50_ms),
        f"{number(load.last_p50_ms, 2, 1e-3)} / {number(load.last_p99_ms, 2, 1e-3)}",
        number(load.per_s, 2),
        number(load.stall_ms, 1),
        number(load.cpu_ms_per_1k),
        number(load.peak_mb),
    ]


def _of_variant(row: Row) -> list[Cell]:
    dollars, knee = row.dollars, row.knee
    return [
        number(row.sufficient_mb),
        number(row.init_ms),
        "-" if dollars is None else f"{dollars.gb_s:,.0f}",
        "-" if dollars is None else f"{dollars.function:.4f}",
        "-" if dollars is None else f"{dollars.tokens:.4f} ({dollars.tokens_without_stop:.4f})",
        "-" if knee is None else f"{'' if knee.reached else '> '}{knee.tokens_per_core:,.0f}",
    ]


def notes(wrong_share: float, processors: int, late_ms: float, load: float, managed_mb: int) -> list[str]:
    """How the figures came about, and what they are not."""
    said = [
        f"One in {1 / wrong_share:.0f} documents is wrong in its second section; times are "
        "those of right ones.",
        "Latencies are a caller's on loopback, without TLS. CPU is that of a variant's own processes, for the tokens that "
        "the provider sent. Stall is what the loop's own process caused; a dash: nothing watches it. Of functions it is "
        "what ours says itself.",
        f"Functions are asked by at most 8 callers: each has an environment of its own, and all share {processors} "
        "processors here.",
        f"Size: the peak of one request at a time and half as much again, or the processor that it uses and a quarter, "
        f"from 128 MB in steps of 64. Dollars: 1,000 requests on Lambda, {ARCHITECTURE}, {REGION}, {COLD_SHARE:.0%} of them cold, at "
        f"list prices; a server as what it would be there, one request in an environment. Tokens as {MODEL}'s.",
        f"64 an environment: {managed_mb:,} MB shared by 64, if billed as GB-seconds, which Managed Instances are not: they "
        "are billed as instances.",
        "LiteLLM validates nothing: its caller has to, when the last byte is there; what the SDK takes for that is not in "
        "its row. Hanging up saves tokens where that stops the provider's meter, which is the provider's word.",
    ]
    if late_ms > 50:
        said.append(
            f"The provider was up to {late_ms:.0f} ms late: this machine did not hold the load, and knees are low."
        )
    said.append(f"The machine's load when it began: {load:.1f}.")
    return said


def words(rows: Sequence[Row], parsing: Parsing | None) -> str:
    """Claims, and where we are not best."""
    by_name = {row.name: row for row in rows}
    lines = ["## Which of the article's claims hold", ""]
    lines += map(str, verdicts(by_name, parsing))
    lines += ["", "## Where ours is not the best", ""]
    behind = not_best(rows)
    lines += behind or ["- nowhere in this run"]
    if missing := [row for row in rows if row.missing]:
        lines += ["", "## Not measured", ""]
        lines += [f"- {row.name}: {row.missing}" for row in missing]
    return "\n".join(lines) + "\n"


def bounds(rows: Sequence[Row], prices: Prices) -> Iterator[Bound]:
    """What has to hold. Raises BoundUnknown where a row that it needs is missing."""
    by_name: Mapping[str, Row] = {row.name: row for row in rows}
    for name in (CONTAINER, STEP_4, ON_DEMAND, MANGUM, CAREFUL):
        if name not in by_name or by_name[name].missing:
            raise BoundUnknown(f"bounds: expected the row {name!r}, which is not measured")
    ratio = first_validated_ratio(by_name)
    if ratio is None:
        raise BoundUnknown("bounds: expected a first validated part of ours and of the article's last step")
    yield Bound("first validated part, ours / the article's last step", ratio, VALIDATED_BOUND)
    ours = by_name[ON_DEMAND]
    mine, theirs = (dollars_of(row, prices, ours.sufficient_mb) for row in (ours, by_name[MANGUM]))
    if mine is None or theirs is None:
        raise BoundUnknown(f"bounds: expected the dollars of {ON_DEMAND!r} and {MANGUM!r}")
    name = f"dollars per 1,000 requests, Lambda, ours / Mangum buffered at the same size ({ours.sufficient_mb} MB)"
    yield Bound(name, float(mine.function / theirs.function), DOLLARS_BOUND)
    knees = [by_name[name].knee for name in (CAREFUL, CONTAINER)]
    careful, own = (knee.tokens_per_core if knee and knee.reached else None for knee in knees)
    if not careful or not own:
        raise BoundUnknown(f"bounds: expected knees of {CAREFUL!r} and {CONTAINER!r} that were reached")
    yield Bound("knee, tokens/s/core, careful / ours", careful / own, KNEE_BOUND)
    slow, fast = by_name[CAREFUL].burst_us, by_name[CONTAINER].burst_us
    if not slow or not fast:
        raise BoundUnknown(
            f"bounds: expected tokens read as fast as possible by {CAREFUL!r} and {CONTAINER!r}"
        )
    yield Bound("CPU of a token read as fast as possible, ours / careful", fast / slow, BURST_BOUND)


def judged(rows: Sequence[Row], prices: Prices) -> tuple[str, bool]:
    """The bounds in words, and whether all hold; what cannot be looked at does not."""
    try:
        found = list(bounds(rows, prices))
    except BoundUnknown as error:
        return f"## Bounds\n\n- NOT HELD: {error}\n", False
    return "\n".join(["## Bounds", "", *(f"- {bound}" for bound in found)]) + "\n", all(
        bound.met for bound in found
    )


def points(rows: Sequence[Row]) -> list[Point]:
    """What the picture shows: each variant at its largest load."""
    found = []
    for row in rows:
        load = row.most
        if (
            row.missing
            or load is None
            or row.dollars is None
            or load.ttft_p50_ms is None
            or not load.as_expected
        ):
            continue
        found.append(
            Point(row.name, row.group, load.ttft_p50_ms, load.validated_p50_ms, float(row.dollars.function))
        )
    return found
