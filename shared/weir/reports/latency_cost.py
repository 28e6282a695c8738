"""What latency costs: the charge for duration by what the time went to, what a millisecond of each costs, and beside
it, on the same scale, what the tokens cost."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from weir.ledger.table import COMPONENTS
from weir.pricing.money import PLACES, plain
from weir.reports.report_math import amount, percent

type Row = Mapping[str, Any]
type Phase = Literal["cold_start", "waiting", "streaming", "validating", "rest"]
# The query of the requests of a group, by what is grouped by ("all" for the whole) and its name, in an order.
type Link = Callable[[str, str, Phase | Literal["newest"]], str]

# Each phase with the column of its time; rest is what is left of the billed time.
_TIMES: dict[Phase, str] = {
    "cold_start": "init_ms_us",
    "waiting": "wait_ms_us",
    "streaming": "stream_ms_us",
    "validating": "validate_ms_us",
}
PHASES: tuple[Phase, ...] = (*_TIMES, "rest")
_DIMENSIONS = {0b0111: "day", 0b1011: "model", 0b1101: "tenant", 0b1110: "function"}
_ALL = 0b1111
_TOKENS = tuple(name for name in COMPONENTS if name.endswith("_tokens"))


def shown(rows: Sequence[Row], link: Link) -> dict[str, Any]:
    """The rows of sql/phases.sql as the API shows them, each with the query of its requests."""
    [total] = [row for row in rows if row["dimension"] == _ALL] or [_NOTHING]
    by: dict[str, list[dict[str, Any]]] = {name: [] for name in _DIMENSIONS.values()}
    for row in rows:
        if row["dimension"] != _ALL:
            dimension = _DIMENSIONS[row["dimension"]]
            by[dimension].append(_group(dimension, row["name"], row, total, link))
    by["day"].sort(key=lambda group: str(group["name"]))
    return {
        "total": _group("all", "total", total, total, link),
        **{f"by_{name}": groups for name, groups in by.items()},
    }


def _group(by: str, name: str, row: Row, total: Row, link: Link) -> dict[str, Any]:
    tokens = _sum(row[column] for column in _TOKENS)
    duration = row["cost_lambda_duration"]
    return {
        "name": name,
        "requests": int(row["requests"] or 0),
        "total": amount(row["total"] or Decimal(0)),
        "is_lower_bound": bool(row["lower_bounds"]),
        "duration": amount(duration),
        "tokens": amount(tokens),
        "billed_ms": None if row["billed_us"] is None else int(row["billed_us"]) // 1000,
        "waiting_unknown": int(row["wait_unknown"] or 0),
        "requests_query": link(by, name, "newest") if row["requests"] else None,
        "phases": [
            {
                **_phase(phase, row, total),
                "requests_query": link(by, name, phase) if row["requests"] else None,
            }
            for phase in PHASES
        ],
    }


def _phase(phase: Phase, row: Row, total: Row) -> dict[str, Any]:
    cost, us = row[f"phase_{phase}"], _time(phase, row)
    return {
        "phase": phase,
        "cost": amount(cost),
        "ms": None if us is None else us / 1000,
        # What one millisecond of it cost on average: prices, sizes and requests that took no time at all are in it.
        "cost_per_ms": None if cost is None or not us else plain((cost * 1000 / us).quantize(PLACES)),
        "share_percent": percent(cost, row["total"]),
        "share_of_range_percent": percent(cost, total["total"]),
    }


def _time(phase: Phase, row: Row) -> int | None:
    if phase in _TIMES:
        us = row[_TIMES[phase]]
        return None if us is None else int(us)
    if row["billed_us"] is None:
        return None
    return max(0, int(row["billed_us"]) - sum(int(row[column] or 0) for column in _TIMES.values()))


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


_NOTHING: Row = {
    "requests": 0,
    "total": Decimal(0),
    "lower_bounds": 0,
    "wait_unknown": 0,
    "billed_us": None,
    "cost_lambda_duration": None,
    **dict.fromkeys(f"phase_{phase}" for phase in PHASES),
    **dict.fromkeys(_TIMES.values()),
    **dict.fromkeys(_TOKENS),
}
