"""One row as the API shows it: the flat row of the table folded back, and what its time went to, in order."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date
from decimal import Decimal
from typing import Any

from weir.ledger.facts import format_timestamp
from weir.ledger.table import COLUMNS
from weir.pricing.money import plain

# Each phase with the column of its time; the last is what is left of the billed time.
_TIMES = {
    "cold_start": "init_ms",
    "waiting": "wait_ms",
    "streaming": "stream_ms",
    "validating": "validate_ms",
}


def row_json(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A row that was read from the table as the API shows it: each column where its path says."""
    row: dict[str, Any] = {}
    for column in COLUMNS:
        *folders, name = column.path
        place = row
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = _JSON.get(column.type.partition("(")[0], _same)(flat[column.name])
    usage = row["usage"]
    both = (usage["input_tokens"], usage["output_tokens"])
    usage["total_tokens"] = None if None in both else sum(both)
    row["cost"]["currency"] = "USD"
    return row


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


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _same(value: Any) -> Any:
    return value


_JSON: dict[str, Callable[[Any], Any]] = {
    "decimal": _text,
    "timestamp": lambda at: at and format_timestamp(at.replace(tzinfo=UTC)),
    "date": date.isoformat,
    "map": lambda tags: json.loads(tags or "{}"),
    "array": lambda listed: json.loads(listed or "[]"),
}
