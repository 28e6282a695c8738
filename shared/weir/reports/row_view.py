"""One row as the API shows it: the flat row of the table folded back, and what its time went to, in order."""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC
from decimal import Decimal
from typing import Any

from weir.ledger.facts import instant
from weir.pricing.cost import Components
from weir.pricing.money import plain
from weir.pricing.phases import Phases

# Each phase with the column of its time; the last is what is left of the billed time.
_TIMES = {
    "cold_start": "init_ms",
    "waiting": "wait_ms",
    "streaming": "stream_ms",
    "validating": "validate_ms",
}


def row_json(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`Row.as_json` of a row that was read from the table, with `entry` and `corrects`."""
    usage = {
        f"{name}_tokens": flat[f"{name}_tokens"] for name in ("input", "output", "cached_input", "reasoning")
    }
    both = (usage["input_tokens"], usage["output_tokens"])
    cost = {
        "components": _amounts(flat, "cost", Components),
        "phases": _amounts(flat, "phase", Phases),
        "total": plain(flat["total"]),
        "currency": "USD",
        "price_book_version": flat["price_book_version"],
        "unpriced": json.loads(flat["unpriced"] or "[]"),
        "is_estimate": flat["is_estimate"],
    }
    folded = (
        "cost_",
        "phase_",
        "at_utc",
        "corrects_at",
        "unpriced",
        "is_estimate",
        "total",
        "price_book_version",
        "usage_source",
    )
    plainly = {
        name: value
        for name, value in flat.items()
        if not name.startswith(folded) and name not in usage and name != "schema_name"
    }
    corrected = flat["corrects_at"]
    return {
        **plainly,
        "at": instant(flat["at_utc"].replace(tzinfo=UTC)),
        "corrects_at": corrected and instant(corrected.replace(tzinfo=UTC)),
        "day": flat["day"].isoformat(),
        "schema": flat["schema_name"],
        "tags": json.loads(flat["tags"] or "{}"),
        "gb_s": _text(flat["gb_s"]),
        "usage": {
            **usage,
            "total_tokens": None if None in both else sum(both),
            "source": flat["usage_source"],
        },
        "cost": cost,
        "estimate_total": _text(flat["estimate_total"]),
        "saved_total": _text(flat["saved_total"]),
        "anomalies": json.loads(flat["anomalies"] or "[]"),
    }


def timeline(flat: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The phases that are known, one after the other in milliseconds from the start of what was billed.

    Validation runs while the stream does: it is placed after it, and streaming is without it. Nor does waiting come at
    once where there were several attempts: all of it is placed before the first token.
    """
    phases: list[dict[str, Any]] = []
    at = 0.0
    for phase, column in _TIMES.items():
        took = flat[column]
        if took is not None:
            phases.append(_phase(phase, at, at + took, flat))
            at += took
    if flat["billed_ms"] is not None:
        phases.append(_phase("rest", at, max(at, float(flat["billed_ms"])), flat))
    return phases


def _phase(name: str, start_ms: float, end_ms: float, flat: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "phase": name,
        "start_ms": round(start_ms, 3),
        "end_ms": round(end_ms, 3),
        "cost": _text(flat[f"phase_{name}"]),
    }


def _amounts(flat: Mapping[str, Any], prefix: str, kind: type[Components | Phases]) -> dict[str, str | None]:
    return {member.name: _text(flat[f"{prefix}_{member.name}"]) for member in fields(kind)}


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)
