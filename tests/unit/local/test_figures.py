"""The ledger's own figures in the demo: known ones are shown, unknown ones are a dash and never 0."""

from typing import Any

from infra.local.terminal.figures import figure_lines, what_if_lines
from infra.local.terminal.live_view import width

POINTS = {"p50": None, "p95": None, "p99": None}
COUNTED = {"reports_in_log": 3, "reports_stored": 2}


def report(**members: Any) -> dict[str, Any]:
    names = ("waiting", "cold_start", "failed", "abandoned", "retried", "unknown")
    return {
        "totals": {
            "requests": 3,
            "total": "0.0012345678905",
            "components": {"lambda_duration": "0.0012345678905", "api_gateway": "0"},
            "estimates": {"error_p50_percent": None, "error_p99_percent": None},
        },
        "latency": {"ttft_ms": POINTS, "duration_ms": POINTS, "cold_start_percent": None},
        "unit_economics": {
            "per_1000_requests": "0.4115",
            "per_validated_document": None,
            "per_million_output_tokens": None,
        },
        "waste": [{"name": name, "share_percent": None} for name in names],
        **members,
    }


def test_what_nobody_knows_is_a_dash() -> None:
    lines = figure_lines(report(), {"days": ["2026-11-22"], "rows": 3}, COUNTED)
    text = "\n".join(lines)
    assert "per validated document" in text and "– (p50), – (p99)" in text
    assert next(line for line in lines if "per validated document" in line).split()[-1] == "–"
    assert next(line for line in lines if "time to first token" in line).split()[-3:] == ["–", "–", "–"]
    assert "0.0 %" not in text


def test_money_is_rounded_half_even_and_what_costs_nothing_is_left_out() -> None:
    lines = figure_lines(report(), {"days": ["2026-11-22"], "rows": 3}, COUNTED)
    assert next(line for line in lines if "lambda duration" in line).split()[-1] == "0.0012345679"
    assert not any("api gateway" in line for line in lines)
    assert "  completeness: of 3 reports in Lambda's log 2 are booked" in lines
    assert max(map(width, lines)) <= 80


def test_three_scenarios_are_a_line_each_with_their_sign_and_unknown_is_a_dash() -> None:
    found = {
        "scenarios": [
            {"name": "ttft", "title": "First token 200 ms sooner", "difference": "-0.001", "percent": -0.25},
            {"name": "memory", "title": "Another memory size", "difference": None, "percent": None},
            {"name": "architecture", "title": "On arm64", "difference": "0.002", "percent": 0.5},
        ]
    }
    sooner, memory, architecture = what_if_lines(found)
    assert sooner.split()[-3:] == ["-0.0010000000", "-0.2", "%"]
    assert memory.split()[-2:] == ["–", "–"]
    assert architecture.split()[-3:] == ["+0.0020000000", "0.5", "%"]
    assert max(map(width, (sooner, memory, architecture))) <= 80
