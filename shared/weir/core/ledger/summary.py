"""Sums over rows: what a set of requests cost, by what, and how complete the figure is.

A total never stands alone: beside it stand how many rows are not fully priced (and why), and how many are only
half known. A sum is over the rows that know the value, and null where rows exist and none of them does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from weir.core.ledger.rows import JoinStatus, Row
from weir.core.pricing.cost import Components
from weir.core.pricing.money import plain
from weir.core.pricing.phases import Phases


def summarise(rows: Iterable[Row], price_book_version: str) -> dict[str, Any]:
    """The totals of `rows` as JSON: money as strings, counts as numbers."""
    listed = list(rows)
    unpriced = [row for row in listed if row.cost.unpriced]
    compared = [row for row in listed if row.estimate_total is not None and not row.cost.unpriced]
    return {
        "requests": len(listed),
        "total": plain(_total(listed)),
        "currency": "USD",
        "price_book_version": price_book_version,
        "components": _by_member(Components, [row.cost.components for row in listed]),
        "phases": _by_member(Phases, [row.cost.phases for row in listed]),
        "by_outcome": _groups(listed, lambda row: row.outcome or "unknown"),
        "by_model": _groups(listed, lambda row: row.model_returned or row.model or "unknown"),
        "billed_ms": _sum([row.billed_ms for row in listed]),
        "tokens": {
            name: _sum([getattr(row.usage, name) for row in listed])
            for name in ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")
        },
        "unpriced": {"rows": len(unpriced), "reasons": _reasons(unpriced)},
        "completeness": {
            **{status.value: sum(row.join_status is status for row in listed) for status in JoinStatus},
            "rows_with_anomalies": sum(bool(row.anomalies) for row in listed),
        },
        "estimates": {
            "rows": len(compared),
            "estimated": plain(sum((row.estimate_total or Decimal(0) for row in compared), Decimal(0))),
            "final": plain(_total(compared)),
        },
    }


def _total(rows: Iterable[Row]) -> Decimal:
    return sum((row.cost.total for row in rows), Decimal(0))


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known or not values else None


def _by_member(
    kind: type[Components | Phases], groups: list[Components] | list[Phases]
) -> dict[str, str | None]:
    sums: dict[str, str | None] = {}
    for column in fields(kind):
        known = [amount for group in groups if (amount := getattr(group, column.name)) is not None]
        sums[column.name] = plain(sum(known, Decimal(0))) if known or not groups else None
    return sums


def _groups(rows: list[Row], key: Any) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return {
        name: {"requests": len(group), "total": plain(_total(group))}
        for name, group in sorted(groups.items())
    }


def _reasons(rows: list[Row]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        for reason in row.cost.unpriced:
            counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items()))
