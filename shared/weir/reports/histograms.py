"""Percentiles and a distribution from histograms, whose steps grow by 2 %: a figure is off by at most 1 %.

A roll-up does not keep each request's time and cost, but how many lie in each step (ledger/rollups.py). Steps of parts
are added, so the percentiles of a range are those of all its hours; a percentile of percentiles would be nothing.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from weir.ledger.rollups import middle_of
from weir.reports.queries import COST_EDGES

type Steps = Mapping[int, int]

_EDGES = [float(edge) for edge in COST_EDGES]
_BY_BUCKET = {"ttft_ms": (0.5, 0.95), "duration_ms": (0.5, 0.95)}
_OVERALL = {
    "ttft_ms": ("ttft_ms", (0.5, 0.95, 0.99)),
    "duration_ms": ("duration_ms", (0.5, 0.95, 0.99)),
    "total": ("cost", (0.5, 0.9, 0.99)),
    "off_percent": ("error", (0.5, 0.99)),
}


def percentile(steps: Steps, share: float) -> float | None:
    """The value that `share` of the requests do not exceed; None without any."""
    rank, seen = share * sum(steps.values()), 0
    for step in sorted(steps):
        seen += steps[step]
        if seen >= rank:
            return middle_of(step)
    return None


def by_bucket(rows: Iterable[Mapping[str, Any]]) -> dict[datetime, dict[str, float | None]]:
    """The percentiles that each hour or day is drawn with, from the rows of sql/steps.sql."""
    found: dict[datetime, dict[str, Counter[int]]] = {}
    for row in rows:
        measures = found.setdefault(row["bucket"], {})
        measures.setdefault(row["measure"], Counter())[row["step"]] += int(row["requests"])
    return {
        bucket: {
            f"{measure}_p{round(100 * share)}": percentile(measures.get(measure, {}), share)
            for measure, shares in _BY_BUCKET.items()
            for share in shares
        }
        for bucket, measures in found.items()
    }


def overall(rows: Iterable[Mapping[str, Any]], cost_max: Decimal | None) -> dict[str, Any]:
    """What sql/percentiles.sql gives, over the whole range."""
    summed = _summed(rows)
    found: dict[str, Any] = {"cost_max": cost_max}
    for measure, (name, shares) in _OVERALL.items():
        for share in shares:
            found[f"{name}_p{round(100 * share)}"] = percentile(summed.get(measure, {}), share)
    return found


def distribution(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, int]]:
    """What sql/distribution.sql gives: a request near an edge may be counted on its other side."""
    edges: Counter[int] = Counter()
    for step, requests in _summed(rows).get("total", {}).items():
        edges[bisect_right(_EDGES, middle_of(step))] += requests
    return [{"edges": edge, "requests": requests} for edge, requests in edges.items()]


def _summed(rows: Iterable[Mapping[str, Any]]) -> dict[str, Counter[int]]:
    found: dict[str, Counter[int]] = {}
    for row in rows:
        found.setdefault(row["measure"], Counter())[row["step"]] += int(row["requests"])
    return found
