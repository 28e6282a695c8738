"""What is known of one variant while it is measured, and the row that it becomes."""

import statistics
from dataclasses import dataclass, field

from tests.compare.callers import Answer
from tests.compare.documents import SMALL, WRONG, compose
from tests.compare.figures import Bought, Knee, Load, Row, load_of, mean_duration, sufficient_mb
from tests.compare.running import Running
from tests.compare.starting import MANAGED_MB
from tests.compare.variants import Variant


@dataclass
class Measured:
    """What is known of one variant so far."""

    variant: Variant
    running: Running | None = None
    missing: str = ""
    loads: dict[tuple[str, int], Load] = field(default_factory=dict)
    one: list[Answer] = field(default_factory=list)
    durations: list[tuple[bool, float]] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)  # of each right document, one caller
    stall_ms: float | None = None  # of one caller
    peak_mb: float | None = None
    init_ms: list[float] = field(default_factory=list)
    tokens: dict[str, list[float]] = field(default_factory=dict)  # sent of each model's documents
    knee: Knee | None = None
    burst_us: list[float] = field(default_factory=list)  # of a token that comes as fast as it is read

    def lost(self) -> bool:
        """Whether it can no longer be measured: it never started, or has ended by itself since."""
        if self.running is not None and not self.running.alive and not self.missing:
            self.missing = f"crashed: {self.running.said()}"
        return bool(self.missing)


def _tokens(wrong: bool) -> float:
    return -(-len(compose(SMALL, wrong=wrong)) // 4)


def row_of(one: Measured) -> Row:
    """All that was found; of what was lost, why."""
    variant = one.variant
    if one.lost():
        return Row(variant.name, variant.group, one.missing)
    loads = dict(one.loads)
    right_tokens = _tokens(False)
    if one.one:
        cpu_s = sum(one.cpu_s) if one.cpu_s else None
        loads[SMALL.name, 1] = load_of(
            SMALL.name, 1, one.one, wall_s=sum(answer.last_s or 0.0 for answer in one.one) or 1.0, cpu_s=cpu_s,
            tokens=right_tokens * len(one.cpu_s), stall_ms=one.stall_ms, peak_mb=one.peak_mb,
        )  # fmt: skip
    bought = [one.tokens.get(model) for model in (SMALL.name, SMALL.name + WRONG)]
    duration = mean_duration(one.durations)
    cores = sum(one.cpu_s) / len(one.cpu_s) / duration.right_s if one.cpu_s and duration else None
    return Row(
        variant.name,
        variant.group,
        loads=loads,
        # A function's environments are started anew and in turn; a server has started once.
        init_ms=statistics.median(one.init_ms) if one.init_ms else None,
        peak_mb=one.peak_mb,
        sufficient_mb=_memory_mb(one, cores),
        duration=duration,
        bought=Bought(bought[0][-1], bought[1][-1], _tokens(True)) if bought[0] and bought[1] else None,
        knee=one.knee,
        burst_us=statistics.median(one.burst_us) if one.burst_us else None,
        many_in_one=variant.many_in_one,
    )


def _memory_mb(one: Measured, cores: float | None) -> int | None:
    if one.peak_mb is None or cores is None:
        return None
    if one.variant.many_in_one > 1:
        return MANAGED_MB
    return sufficient_mb(one.peak_mb, cores)
