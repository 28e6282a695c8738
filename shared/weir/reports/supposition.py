"""What a reader supposes, from text, and what came of supposing it: money, requests, and what is not known.

A scenario that lacks what it needs is unknown, and never 0. One that lacks it for some requests is known in part.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from weir.pricing.money import MONEY, PLACES, plain
from weir.reports.params import FieldError
from weir.reports.report_math import percent

type Status = Literal["known", "partial", "unknown", "not_offered"]

ARCHITECTURES = ("arm64", "x86_64")
_LONGEST_MS, _LARGEST_MB, _MOST_ENVIRONMENTS = 60_000, 10_240, 100_000
_SMALLEST_MB = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Supposed:
    """What a reader supposes; None is not said, and then chosen from the range or left out.

    `ttft_ms` is added to the wait for the first token. `environments` are kept warm for each function, `concurrency`
    requests share an environment on Managed Instances, `cache_percent` of the input is read from a cache. An instance
    of `instance_memory_gb` costs `instance_usd_hour`, and AWS's fee `instance_fee_percent` of that.
    """

    ttft_ms: int = -200
    memory_mb: int | None = None
    architecture: str | None = None
    environments: int | None = None
    concurrency: int = 10
    instance_usd_hour: Decimal | None = None
    instance_memory_gb: Decimal | None = None
    instance_fee_percent: Decimal | None = None
    cache_percent: float | None = None
    from_model: str | None = None
    to_model: str | None = None
    to_region: str | None = None

    def __post_init__(self) -> None:
        """Raises FieldError."""
        _within("ttft_ms", self.ttft_ms, -_LONGEST_MS, _LONGEST_MS)
        _within("memory_mb", self.memory_mb, _SMALLEST_MB, _LARGEST_MB)
        _within("environments", self.environments, 1, _MOST_ENVIRONMENTS)
        _within("concurrency", self.concurrency, 1, 1_000)
        _within("cache_percent", self.cache_percent, 0, 100)
        _within("instance_usd_hour", self.instance_usd_hour, 0, 1_000)
        _within("instance_memory_gb", self.instance_memory_gb, 1, 100_000)
        _within("instance_fee_percent", self.instance_fee_percent, 0, 100)
        if (self.instance_usd_hour is None) != (self.instance_memory_gb is None):
            missing = "instance_usd_hour" if self.instance_usd_hour is None else "instance_memory_gb"
            raise FieldError(missing, "expected both an instance's price and its memory, got one of them")
        if self.architecture not in (None, *ARCHITECTURES):
            raise FieldError("architecture", f"expected arm64 or x86_64, got {self.architecture!r:.40}")
        if self.from_model and not self.to_model:
            raise FieldError("to_model", "expected the model that takes the place of from_model, got nothing")


def _within(name: str, value: float | Decimal | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise FieldError(name, f"expected a number from {least} to {most}, got {value}")


@dataclass(slots=True)
class Scenario:
    """One supposition, worked out: what it adds to the range's money, over which requests, on which assumptions."""

    name: str
    title: str
    parameters: Mapping[str, str | int | float | None] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)
    difference: Decimal = Decimal(0)
    changed: int = 0
    is_offered: bool = True
    unknown: Counter[str] = field(default_factory=Counter)

    def add(self, amount: Decimal, requests: int) -> None:
        """Book what some requests would cost more, or less."""
        self.difference += amount
        self.changed += requests

    def leave_out(self, reason: str, requests: int) -> None:
        """Say that it is not known what some requests would cost, and why; a price is missing on all days at once."""
        if requests:
            self.unknown[reason.rpartition(":")[0] if reason.startswith("no_price:") else reason] += requests

    @property
    def status(self) -> Status:
        """How far it is known."""
        if not self.is_offered:
            return "not_offered"
        if not self.unknown:
            return "known"
        return "partial" if self.changed else "unknown"

    def as_json(self, before: Decimal) -> dict[str, Any]:
        """As the API shows it, beside what the range costs now."""
        said = self.status in ("known", "partial")
        difference = MONEY.quantize(self.difference, PLACES)
        return {
            "name": self.name,
            "title": self.title,
            "parameters": {
                name: None if value is None else str(value) for name, value in self.parameters.items()
            },
            "status": self.status,
            "difference": plain(difference) if said else None,
            "after": plain(MONEY.add(before, difference)) if said else None,
            "percent": percent(difference, before) if said else None,
            "requests_changed": self.changed,
            "requests_unknown": sum(self.unknown.values()),
            "unknown": [
                {"reason": reason, "requests": requests} for reason, requests in self.unknown.most_common()
            ],
            "assumptions": self.assumptions,
        }
