"""Forwarding: from `send` to the byte at the Runtime API, from an invocation to its prelude, and CPU per chunk.

Every way from an application to the Runtime API, in one run: a blocking socket that does only what any runtime must
(the floor), asgiric, uvicorn behind a compiled proxy (the Lambda Web Adapter's shape), and Node's own runtime. The
applications stamp each chunk with CLOCK_MONOTONIC, which all processes share; the reader is a blocking one in this
process, the same for all. The ways take turns in short rounds, since a shared machine's mood changes more between
minutes than between rounds; figures are medians of the rounds, bounds medians of each round's own ratio.
"""

import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.bench.tables import Bound, Table, percentile, spread
from tests.bench.ways import FLOOR, NODE, OURS, UVICORN, Way, start_ways

ROUNDS = 12
TURNS = 4  # of each way in a round
CHUNKS, PAUSE_S = 40, 0.002
SHORT_INVOCATIONS = 10  # of one chunk each, for the time to the prelude
BURST = 20_000  # chunks, once a round

SEND_BOUND, CPU_BOUND, PRELUDE_BOUND, NODE_CPU_BOUND = 1.3, 0.6, 2.0, 2.5


@dataclass
class Figures:
    """Of one way, one figure a round."""

    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    prelude_us: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)


def measure(ways: dict[str, Way], figures: dict[str, Figures], order: random.Random) -> None:
    """One round: the ways in turn, several times, so that a disturbance falls on all of them."""
    delays_us: dict[str, list[float]] = {name: [] for name in ways}
    preludes_us: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        # Each comes behind each other, and first of all once uncounted: it finds the caches as the other left them.
        for name in order.sample(list(ways), len(ways)):
            ways[name].invoke(1)
            _, delays = ways[name].invoke(CHUNKS, PAUSE_S)
            if len(delays) < CHUNKS:
                raise RuntimeError(f"{name}: expected {CHUNKS} chunks, got {len(delays)}")
            delays_us[name] += delays
            preludes_us[name] += [ways[name].invoke(1)[0] for _ in range(SHORT_INVOCATIONS)]
    for name in order.sample(list(ways), len(ways)):
        before_s = ways[name].cpu_s()
        ways[name].invoke(BURST)
        of = figures[name]
        of.cpu_us.append((ways[name].cpu_s() - before_s) / BURST * 1e6)
        of.p50_us.append(percentile(delays_us[name], 50))
        of.p99_us.append(percentile(delays_us[name], 99))
        of.prelude_us.append(median(preludes_us[name]))


def run() -> list[Table]:
    """Alternate short rounds between all ways that this machine has."""
    ways: dict[str, Way] = {}
    missing: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            ways = start_ways(Path(folder), missing)
            figures = {name: Figures() for name in ways}
            order = random.Random(1)
            measure(ways, {name: Figures() for name in ways}, order)  # all of it warm, nothing counted
            for _ in range(ROUNDS):
                measure(ways, figures, order)
        finally:
            for way in ways.values():
                way.close()
    rows = [
        (name, spread(of.p50_us), spread(of.p99_us), spread(of.prelude_us), spread(of.cpu_us, 1))
        for name, of in figures.items()
    ]
    notes = (
        f"{ROUNDS} rounds of each in turn, minimum (median); {TURNS * CHUNKS} chunks one each {PAUSE_S * 1e3:g} ms,",
        f"{TURNS * SHORT_INVOCATIONS} short invocations, {BURST} chunks back to back. CPU: all processes of a way.",
        "The blocking socket does what Lambda asks of every runtime (event, trace id, context, answer), and no more.",
        *missing,
    )
    return [
        Table(
            "Forwarding, application to the Runtime API",
            ("way", "send to byte p50 us", "p99 us", "invoke to prelude p50 us", "CPU us/chunk"),
            rows,
            tuple(_bounds(figures)),
            notes,
        )
    ]


def _bounds(figures: dict[str, Figures]) -> list[Bound]:
    def ratio(figure: str, other: str) -> float:
        pairs = zip(getattr(figures[OURS], figure), getattr(figures[other], figure), strict=True)
        return median(ours / theirs for ours, theirs in pairs)

    def bound(what: str, figure: str, other: str, limit: float) -> Bound:
        return Bound(f"{what}, {OURS} / {other}, median of rounds", ratio(figure, other), limit)

    others = [name for name in figures if name not in (FLOOR, OURS)]
    return [
        bound("send to byte p50", "p50_us", FLOOR, SEND_BOUND),
        *(bound("send to byte p50", "p50_us", name, 1.0) for name in others),
        # httptools parses in C, and over it the blocking socket alone takes more than half: shown, and not judged.
        bound("CPU per chunk", "cpu_us", UVICORN["h11"], CPU_BOUND),
        *(bound("CPU per chunk", "cpu_us", name, NODE_CPU_BOUND) for name in figures if name == NODE),
        bound("invoke to prelude p50", "prelude_us", FLOOR, PRELUDE_BOUND),
    ]
