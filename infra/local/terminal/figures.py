"""The ledger's own figures, as finance's report gives them: lines of at most 80 columns.

Unknown is a dash and never 0.
"""

from collections.abc import Mapping
from typing import Any

from .account import UNKNOWN, money, whole

type Report = Mapping[str, Any]


def figure_lines(report: Report, compacted: Mapping[str, Any], counted: Mapping[str, Any]) -> list[str]:
    """A report's sums by component, what bought nothing, times and unit prices; what the jobs did and counted."""
    totals, latency, units = report["totals"], report["latency"], report["unit_economics"]
    estimates, wasted = totals["estimates"], {part["name"]: part for part in report["waste"]}
    components = [(name, amount) for name, amount in totals["components"].items() if float(amount or 0)]
    lines = [f"  {'USD by component':<28}{totals['requests']:>4} requests"]
    lines += [f"  {name.replace('_', ' '):<28}{money(amount):>16}" for name, amount in components]
    lines.append(f"  {'total':<28}{money(totals['total']):>16}")
    names = ("waiting", "cold_start", "failed", "abandoned")
    lines.append(
        "  of it " + ", ".join(f"{name.replace('_', ' ')} {_percent(wasted[name])}" for name in names)
    )
    lines += [
        f"  {'per 1,000 requests':<28}{money(units['per_1000_requests']):>16}",
        f"  {'per validated document':<28}{money(units['per_validated_document']):>16}",
        f"  {'per million output tokens':<28}{money(units['per_million_output_tokens']):>16}",
        f"  {'ms':<28}{'p50':>16}{'p95':>10}{'p99':>10}",
        f"  {'time to first token':<28}{_points(latency['ttft_ms'])}",
        f"  {'duration':<28}{_points(latency['duration_ms'])}",
        f"  started cold {_share(latency['cold_start_percent'])};"
        f" estimates were off by {_share(estimates['error_p50_percent'])} (p50),"
        f" {_share(estimates['error_p99_percent'])} (p99)",
        f"  completeness: of {counted['reports_in_log']} reports in Lambda's log"
        f" {counted['reports_stored']} are booked",
        f"  compacted to Parquet: {len(compacted['days'])} day, {compacted['rows']} rows",
    ]
    return lines


def what_if_lines(found: Report) -> list[str]:
    """What the same requests would have cost, had one thing been another: three scenarios, a line each."""
    scenarios = {scenario["name"]: scenario for scenario in found["scenarios"]}
    return [
        f"  {scenario['title']:<44}{_signed(scenario['difference']):>16}{_share(scenario['percent']):>10}"
        for scenario in (scenarios[name] for name in ("ttft", "memory", "architecture"))
    ]


def _signed(amount: str | None) -> str:
    return money(amount) if amount is None or float(amount) <= 0 else f"+{money(amount)}"


def _percent(part: Mapping[str, Any]) -> str:
    return _share(part["share_percent"])


def _share(percent: float | None) -> str:
    return UNKNOWN if percent is None else f"{percent:.1f} %"


def _points(percentiles: Mapping[str, float | None]) -> str:
    p50, p95, p99 = (whole(percentiles[name]) for name in ("p50", "p95", "p99"))
    return f"{p50:>16}{p95:>10}{p99:>10}"
