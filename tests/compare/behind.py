"""Where ours is not the best: each figure over all rows, and why another row has a better one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.compare.claims import SAME
from tests.compare.figures import Row
from tests.compare.variants import OURS_GROUP


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that is compared over all rows; `why` is said where a row of ours is not the best."""

    name: str
    of: Callable[[Row], float | None]
    shown: str
    why: str
    more_is_better: bool = False


def _of_most(name: str) -> Callable[[Row], float | None]:
    return lambda row: None if row.most is None else getattr(row.most, name)


def _streamed_cpu(row: Row) -> float | None:
    load = row.most
    streams = load is not None and load.ttft_p50_ms is not None and load.last_p50_ms is not None
    return load.cpu_ms_per_1k if load and streams and load.ttft_p50_ms != load.last_p50_ms else None


FIGURES = (
    Figure("TTFT p50", _of_most("ttft_p50_ms"), "{:,.0f} ms",
           "before its first delta ours checks the request, writes a fact and builds the provider's request"),
    Figure("TTFT p99", _of_most("ttft_p99_ms"), "{:,.0f} ms",
           "the slowest of a few requests; other work on the machine is in it"),
    Figure("first validated part", _of_most("validated_p50_ms"), "{:,.0f} ms",
           "each value is sent when it has closed, which is after its own last token"),
    Figure("last byte p50", _of_most("last_p50_ms"), "{:,.0f} ms", "the provider's pace decides it, in all alike"),
    Figure("requests a second", _of_most("per_s"), "{:.2f}",
           "the provider's pace decides it; a row with more callers has more", more_is_better=True),
    Figure("longest stall", _of_most("stall_ms"), "{:.1f} ms",
           "ours validates, prices and accounts in the loop, and a function's stall is what it says itself, with other work in it"),
    Figure("CPU per 1,000 tokens", _of_most("cpu_ms_per_1k"), "{:.0f} ms", "who waits for the whole answer touches no token"),
    Figure("CPU per 1,000 tokens, of those that stream", _streamed_cpu, "{:.0f} ms",
           "ours validates and accounts, too; an environment that is alone wakes for each token, where 32 streams come several at once"),
    Figure("peak memory, one caller", lambda row: row.peak_mb, "{:.0f} MB",
           "a worker without an event loop and a price book loads less"),
    Figure("INIT", lambda row: row.init_ms, "{:.0f} ms",
           "Node starts faster than CPython; a prefork master listens before its workers have imported anything"),
    Figure("Lambda USD per 1,000", lambda row: None if row.dollars is None else float(row.dollars.function), "{:.4f}",
           "an environment of one request is billed while it waits"),
    Figure("tokens USD per 1,000", lambda row: None if row.dollars is None else float(row.dollars.tokens), "{:.4f}",
           "all buy the same document; who stops early buys less of a wrong one"),
    Figure("knee", lambda row: None if row.knee is None else row.knee.tokens_per_core, "{:,.0f} tokens/s/core",
           "the careful server does nothing with a token but pass it on", more_is_better=True),
)  # fmt: skip


def not_best(rows: Sequence[Row]) -> list[str]:
    """A sentence for each figure in which a row of ours is behind the best of the others by more than a tenth."""
    found = []
    for figure in FIGURES:
        known = [(value, row) for row in rows if not row.missing and (value := figure.of(row)) is not None]
        others = [pair for pair in known if pair[1].group != OURS_GROUP]
        if not others:
            continue
        best, best_row = (max if figure.more_is_better else min)(others, key=lambda pair: pair[0])
        behind = [
            f"{figure.shown.format(value)} ({row.name})"
            for value, row in known
            if row.group == OURS_GROUP
            and (value * SAME < best if figure.more_is_better else value > best * SAME)
        ]
        if behind:
            against = f"{figure.shown.format(best)} ({best_row.name})"
            found.append(f"- {figure.name}: {', '.join(behind)} against {against}: {figure.why}")
    return found
