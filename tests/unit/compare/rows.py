"""Rows with figures that a test can reckon with."""

from dataclasses import replace
from typing import Any

from tests.compare.documents import SMALL
from tests.compare.figures import Bought, Duration, Knee, Load, Row
from tests.compare.variants import VARIANTS

LOAD = Load(SMALL.name, 32, 32, 32, 300.0, 310.0, 6_000.0, 6_000.0, 6_100.0, 5.0, 20.0, 100.0, 60.0)


def row(name: str, *, missing: str = "", **changed: Any) -> Row:
    """A row of the variant of that name; `changed` are members of its load."""
    group = next(variant.group for variant in VARIANTS if variant.name == name)
    if missing:
        return Row(name, group, missing)
    many = replace(LOAD, **changed)
    return Row(
        name,
        group,
        loads={(SMALL.name, 1): replace(LOAD, callers=1), (SMALL.name, 32): many},
        init_ms=200.0,
        peak_mb=50.0,
        sufficient_mb=128,
        duration=Duration(6.0, 3.0),
        bought=Bought(680, 347, 677),
        knee=Knee(10_000, 12_000, True),
        burst_us=20.0,
    )


def rows() -> list[Row]:
    """One of each variant, all alike."""
    return [row(variant.name) for variant in VARIANTS]
