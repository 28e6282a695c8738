"""What requests cost, as tables of at most 80 columns: figures of the ledger's rows, beside the caller's own.

Money is shown to ten decimals, as AWS's own bill is rounded; unknown is a dash and never 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .caller import Generation

type Row = dict[str, Any]

UNKNOWN = "–"
_PHASES = (
    ("cold_start", "cold start"),
    ("waiting", "waiting for the model"),
    ("streaming", "streaming"),
    ("validating", "validating"),
    ("rest", "rest of the invocation"),
)
# Every request has these; of the others only what it pays for is shown.
_ALWAYS = frozenset({"lambda_request", "input_tokens", "cached_input_tokens", "output_tokens"})
_COMPONENTS = (
    ("lambda_request", "request", None),
    ("lambda_streamed_bytes", "bytes beyond 6 MB", None),
    ("lambda_ephemeral_storage", "/tmp beyond 512 MB", None),
    ("lambda_restore", "restore of a snapshot", None),
    ("api_gateway", "API Gateway", None),
    ("logs", "bytes of log lines", "log_bytes"),
    ("input_tokens", "input tokens", "uncached_input_tokens"),
    ("cached_input_tokens", "cached input tokens", "cached_input_tokens"),
    ("cache_write_tokens", "tokens written to a cache", "cache_write_tokens"),
    ("audio_input_tokens", "audio input tokens", None),
    ("output_tokens", "output tokens", "output_tokens"),
    ("audio_output_tokens", "audio output tokens", None),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One request of the demo: what was asked, what its caller saw, and its row in the ledger."""

    name: str
    generation: Generation
    row: Row


def money(amount: str | None) -> str:
    """Ten decimals, half-even; a dash for what is unknown."""
    return UNKNOWN if amount is None else f"{Decimal(amount):.10f}"


def whole(number: float | None, unit: str = "") -> str:
    """A rounded number with separators; a dash for what is unknown."""
    return UNKNOWN if number is None else f"{number:,.0f}{unit}"


def estimate_error(row: Row) -> Decimal | None:
    """How far the final event's estimate is off, as a share of the ledger's total without log lines.

    When it is made no line is written yet: like is compared with like.
    """
    total = Decimal(row["cost"]["total"]) - Decimal(row["cost"]["components"]["logs"] or 0)
    if row["estimate_total"] is None or not total:
        return None
    return Decimal(row["estimate_total"]) / total - 1


def timing_lines(entry: Entry) -> list[str]:
    """When things came, as the caller saw it and as the platform billed it."""
    row, generation = entry.row, entry.generation
    memory = f"{row['memory_mb']:,} MB {row['architecture']}"
    return [
        f"  time to first token   {whole(generation.ttft_ms, ' ms'):>10}   at the caller, cold start included",
        f"  time to last token    {whole(generation.ttlt_ms, ' ms'):>10}",
        f"  cold start (init)     {whole(row['init_ms'], ' ms'):>10}   billed with this request",
        f"  billed duration       {whole(row['billed_ms'], ' ms'):>10}   of {memory}",
    ]


def cost_lines(entry: Entry, estimate: Row | None) -> list[str]:
    """The cost of one request by phase and component: the ledger's, and the final event's estimate of it."""
    final, usage = entry.row["cost"], {**entry.row["usage"], "log_bytes": entry.row["log_bytes"]}
    usage["uncached_input_tokens"] = usage["input_tokens"]
    if usage["input_tokens"] is not None:
        usage["uncached_input_tokens"] -= usage["cached_input_tokens"] or 0
    estimated: Row = estimate or {"phases": {}, "components": {}, "total": None}
    lines = [f"  {'USD':<24}{'quantity':>12}{'ledger':>16}{'estimate':>16}"]

    def line(label: str, quantity: str, group: str, key: str) -> None:
        left, right = money(final[group].get(key)), money(estimated[group].get(key))
        lines.append(f"  {label:<24}{quantity:>12}{left:>16}{right:>16}")

    for key, label in _PHASES:
        line(label, "", "phases", key)
    for key, label, counted in _COMPONENTS:
        if key not in _ALWAYS and final["components"].get(key) in (None, "0"):
            continue
        line(label, whole(usage[counted]) if counted else "", "components", key)
    lines.append(f"  {'total':<24}{'':>12}{money(final['total']):>16}{money(estimated['total']):>16}")
    return lines


def request_lines(entries: Sequence[Entry]) -> list[str]:
    """One line a request, and what the marks mean: a provider that broke off has not said what it counted."""
    lines = [
        f"  {'request':<15}{'outcome':<16}{'start':<5}{'TTFT':>6}{'last':>7}{'billed':>7}{'tokens':>11}{'USD':>11}"
    ]
    for entry in entries:
        row, generation = entry.row, entry.generation
        start = "cold" if row["init_ms"] else "warm"
        lines.append(
            f"  {entry.name:<15}{row['outcome'] or UNKNOWN:<16}{start:<5}{whole(generation.ttft_ms):>6}"
            f"{whole(generation.ttlt_ms):>7}{whole(row['billed_ms']):>7}{_tokens(row['usage']):>11}"
            f"{_total(row['cost']):>11}"
        )
    lines.append("  times in ms; tokens in/out; ~ estimated; ≥ without what nobody counted")
    return lines


def total(entries: Iterable[Entry]) -> Decimal:
    """What all of them cost, USD."""
    return sum((Decimal(entry.row["cost"]["total"]) for entry in entries), Decimal(0))


def _total(cost: Row) -> str:
    return f"{'≥' if cost['unpriced'] else ''}{Decimal(cost['total']):.7f}"


def _tokens(usage: Row) -> str:
    if usage["source"] == "none":
        return UNKNOWN
    mark = "~" if usage["source"] == "estimated" else ""
    return f"{mark}{usage['input_tokens']}/{usage['output_tokens']}"
