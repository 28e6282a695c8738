"""Which memory size a function could have, by the peaks and the pauses of its own requests.

A size fits where it is a quarter larger than the highest peak. Lambda's share of a processor goes with memory: one at
1,769 MB (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html). So what computes takes longer in a
smaller size, and a caller notices it as pauses: validation, which runs while the text streams. What waits for the
provider takes as long in any size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

SIZES = (128, 256, 512, 768, 1024, 1536, 1769, 2048, 3072, 4096, 6144, 8192, 10_240)
MARGIN = Fraction(5, 4)
MAX_ADDED_PAUSE_MS = 50.0
_MB_OF_ONE_CPU, _MOST_CPUS = 1769, 6


def cpu_share(memory_mb: int) -> float:
    """How much of a processor a function of this size has."""
    return min(memory_mb / _MB_OF_ONE_CPU, _MOST_CPUS)


def fits(memory_mb: int, peak_mb: int) -> bool:
    """Whether a size is a quarter larger than the peak."""
    return memory_mb >= peak_mb * MARGIN


@dataclass(frozen=True, slots=True)
class FunctionMemory:
    """A function's sizes in the range, the highest peak (None: no request says), and the time that validation took."""

    function: str
    requests: int
    least_mb: int | None
    most_mb: int | None
    peak_mb: int | None
    peak_known: int
    validate_ms_p95: float | None
    busiest_ms: int | None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "FunctionMemory":
        """From a row of sql/functions.sql."""
        return cls(
            row["function_name"],
            int(row["requests"]),
            row["least_mb"],
            row["most_mb"],
            row["peak_mb"],
            int(row["peak_known"] or 0),
            row["validate_ms_p95"],
            None if row["busiest_ms"] is None else int(row["busiest_ms"]),
        )

    def added_pause_ms(self, memory_mb: int) -> float | None:
        """What a size adds to the validation of all but the slowest 5 % of requests; None is not known."""
        if self.validate_ms_p95 is None or self.most_mb is None:
            return None
        # Validation runs on one processor, whatever the size.
        now, then = (min(cpu_share(size), 1.0) for size in (self.most_mb, memory_mb))
        return self.validate_ms_p95 * (now / then - 1)

    @property
    def recommended_mb(self) -> int | None:
        """The smallest size that fits and adds no pause that a caller would notice; None where no peak is known."""
        if self.peak_mb is None:
            return None
        for size in SIZES:
            added = self.added_pause_ms(size)
            if fits(size, self.peak_mb) and added is not None and added <= MAX_ADDED_PAUSE_MS:
                return size
        return self.most_mb

    def as_json(self) -> dict[str, Any]:
        """As the API shows it, with every size."""
        peak = self.peak_mb
        return {
            "function": self.function,
            "requests": self.requests,
            "memory_mb": self.most_mb,
            "peak_mb": peak,
            "peak_known": self.peak_known,
            "validate_ms_p95": None if self.validate_ms_p95 is None else round(self.validate_ms_p95, 3),
            "recommended_mb": self.recommended_mb,
            "sizes": [
                {
                    "memory_mb": size,
                    "cpu_share": round(cpu_share(size), 3),
                    "fits": None if peak is None else fits(size, peak),
                    "added_pause_ms": None
                    if (added := self.added_pause_ms(size)) is None
                    else round(added, 3),
                }
                for size in SIZES
            ],
        }
