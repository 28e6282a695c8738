"""How late the event loop is while a 10 MB document comes in and is validated: inline, in a thread, as it arrives.

`python -m tests.bench.loop_gap` measures and draws `tests/bench/loop_gap.svg`. A coroutine asks to be woken every
millisecond and notes how much later it is woken: that is how late every other stream in the process is. The document
comes in pieces of 4 KB, one a millisecond. This is wall time: other work on the machine shows, in all the same.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic_streaming import StreamedValidator
from tests.bench.documents import BlogPost, prose, tokens
from tests.bench.tables import Bound, Table, percentile
from weir.generate.validator_process import ValidatorProcess, close

SIZE = 10_000_000
PIECE_CHARS = 4096
TICK_S = 0.001
ROUNDS = 3
PICTURE = Path(__file__).with_suffix(".svg")

type Point = tuple[float, float]  # seconds since the first piece, lateness in ms


@dataclass(frozen=True, slots=True)
class Run:
    """One document: how late the loop was, when its last piece came, and when it was validated."""

    points: list[Point]
    last_piece_s: float
    done_s: float

    @property
    def worst_ms(self) -> float:
        """The longest that anyone waited."""
        return max(late for _, late in self.points)


async def nothing(pieces: list[str]) -> float:
    """The pieces come and nobody validates them."""
    for _ in pieces:
        await asyncio.sleep(TICK_S)
    return time.perf_counter()


async def inline(pieces: list[str]) -> float:
    """Validate and dump the whole when it is there."""
    last = await nothing(pieces)
    BlogPost.model_validate_json("".join(pieces)).model_dump_json()
    return last


async def in_a_thread(pieces: list[str]) -> float:
    """The same in a thread, as is usual."""
    last = await nothing(pieces)
    await asyncio.to_thread(lambda: BlogPost.model_validate_json("".join(pieces)).model_dump_json())
    return last


async def as_it_arrives(pieces: list[str]) -> float:
    """Ours: all values and the JSON of the document, as the service takes them."""
    process = ValidatorProcess()
    validator = StreamedValidator(BlogPost)
    for piece in pieces:
        validator.feed(piece)
        await asyncio.sleep(TICK_S)
    last = time.perf_counter()
    document = await close(validator, process)
    for _ in document.json_parts():
        await asyncio.sleep(0)
    assert process.started == process.inline == 0
    return last


WAYS: dict[str, Callable[[list[str]], Awaitable[float]]] = {
    "no validation": nothing,
    "inline": inline,
    "in a thread": in_a_thread,
    "as it arrives (ours)": as_it_arrives,
}


def measure(way: Callable[[list[str]], Awaitable[float]], pieces: list[str]) -> Run:
    """Run one document through `way` on a loop of its own."""
    points: list[Point] = []

    async def watched() -> Run:
        began = time.perf_counter()

        async def tick() -> None:
            while True:
                asked = time.perf_counter()
                await asyncio.sleep(TICK_S)
                woken = time.perf_counter()
                points.append((woken - began, max(0.0, woken - asked - TICK_S) * 1e3))

        ticking = asyncio.create_task(tick())
        last = await way(pieces)
        done = time.perf_counter()
        await asyncio.sleep(0.2)
        ticking.cancel()
        return Run(points, last - began, done - began)

    gc.collect()
    gc.freeze()
    try:
        return asyncio.run(watched())
    finally:
        gc.unfreeze()


def runs() -> dict[str, Run]:
    """The least disturbed of several rounds of each way; rounds take turns."""
    pieces = tokens(prose(SIZE), PIECE_CHARS)
    best: dict[str, Run] = {}
    for _ in range(ROUNDS):
        for name, way in WAYS.items():
            found = measure(way, pieces)
            if name not in best or found.worst_ms < best[name].worst_ms:
                best[name] = found
    return best


def run() -> list[Table]:
    """The figures behind the picture."""
    return [table(runs())]


def table(found: dict[str, Run]) -> Table:
    """Median, p99 and maximum of the lateness, for each way."""
    rows = []
    for name, one in found.items():
        late = [ms for _, ms in one.points]
        rows.append(
            [
                name,
                percentile(late, 50),
                percentile(late, 99),
                one.worst_ms,
                (one.done_s - one.last_piece_s) * 1e3,
            ]
        )
    limit = Bound("the loop's worst lateness, ours against inline", found["as it arrives (ours)"].worst_ms / found["inline"].worst_ms, 0.2)  # fmt: skip
    columns = ["validation", "late, p50 ms", "p99 ms", "max ms", "done after the last piece, ms"]
    return Table("Lateness of the event loop, 10 MB of prose", columns, rows, [limit])


def svg(found: dict[str, Run]) -> str:
    """Return a picture: one strip for each way, time to the right, lateness upwards, the same scale for all."""
    width, strip, left, top, gap = 760, 92, 60, 34, 30
    end_s = max(one.points[-1][0] for one in found.values())
    scale = (strip - 8) / max(one.worst_ms for one in found.values())
    height = top + len(found) * (strip + gap) + 14
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
        f' font-size="12" role="img" aria-label="Lateness of the event loop over time">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{left}" y="18" font-weight="bold">How late the event loop is while 10 MB of prose is validated</text>',
    ]
    for index, (name, one) in enumerate(found.items()):
        base = top + index * (strip + gap) + strip
        color = "#0a7d4b" if "ours" in name else "#8a8a8a" if name == "no validation" else "#c23b22"
        at = left + one.last_piece_s / end_s * (width - left - 12)
        out += [
            f'<line x1="{left}" y1="{base}" x2="{width - 12}" y2="{base}" stroke="#444444"/>',
            f'<line x1="{at:.1f}" y1="{base - strip + 8}" x2="{at:.1f}" y2="{base}" stroke="#bbbbbb" stroke-dasharray="3 3"/>',
            f'<text x="{left + 6}" y="{base - strip + 18}" fill="{color}">{name}: at most {one.worst_ms:.1f} ms</text>',
            f'<text x="{left - 6}" y="{base - strip + 16}" text-anchor="end" fill="#666666">{(strip - 8) / scale:.0f} ms</text>',
            f'<text x="{left - 6}" y="{base}" text-anchor="end" fill="#666666">0</text>',
        ]
        columns: dict[int, float] = {}
        for second, late in one.points:
            x = int(second / end_s * (width - left - 12))
            columns[x] = max(columns.get(x, 0.0), late)
        path = " ".join(f"M{left + x} {base}v-{late * scale:.1f}" for x, late in sorted(columns.items()))
        out.append(f'<path d="{path}" stroke="{color}" stroke-width="1.4" fill="none"/>')
    out += [
        f'<text x="{width - 12}" y="{height - 8}" text-anchor="end" fill="#666666">'
        f"{end_s:.1f} s; the dashed line is the last piece of the text</text>",
        "</svg>",
    ]
    return "\n".join(out) + "\n"


def main() -> None:
    """Measure, print the table, draw the picture."""
    found = runs()
    print(table(found).markdown())
    PICTURE.write_text(svg(found))
    print(f"drawn: {PICTURE}")


if __name__ == "__main__":
    main()
