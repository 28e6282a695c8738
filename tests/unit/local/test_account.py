"""The demo's tables: what they show of a row of the ledger, within 80 columns."""

from decimal import Decimal
from typing import Any

from infra.local.terminal.account import (
    Entry,
    cost_lines,
    estimate_error,
    money,
    request_lines,
    timing_lines,
    total,
    whole,
)
from infra.local.terminal.caller import Generation

COST: dict[str, Any] = {
    "components": {
        "lambda_duration": "0.000102",
        "lambda_request": "0.0000002",
        "lambda_streamed_bytes": "0",
        "lambda_ephemeral_storage": "0",
        "lambda_restore": "0",
        "api_gateway": None,
        "logs": "0.0000022",
        "input_tokens": "0.00012",
        "cached_input_tokens": "0.00001",
        "output_tokens": None,
    },
    "phases": {
        "cold_start": "0.000012",
        "waiting": "0.00003",
        "streaming": "0.00005",
        "validating": "0.00000000005",
        "rest": "0.00000999995",
    },
    "total": "0.0002322",
    "unpriced": [],
}


def row(**changes: Any) -> dict[str, Any]:
    usage = {"input_tokens": 400, "cached_input_tokens": 100, "output_tokens": 700, "source": "provider"}
    values = {
        "outcome": "ok",
        "init_ms": 512.4,
        "billed_ms": 5_213,
        "memory_mb": 1024,
        "architecture": "x86_64",
        "log_bytes": 4_724,
        "usage": usage,
        "cost": COST,
        "estimate_total": "0.00023",
    }
    return {**values, **changes}


def entry(name: str = "blog post", **changes: Any) -> Entry:
    return Entry(name, Generation(status=200, ttft_ms=340.6, ttlt_ms=4_812.2), row(**changes))


def test_unknown_is_a_dash_and_never_zero() -> None:
    assert money(None) == whole(None) == "–"
    assert money("0") == "0.0000000000"
    assert whole(0) == "0"
    assert "output tokens                    700               –" in "\n".join(cost_lines(entry(), COST))


def test_money_is_rounded_half_even_at_ten_decimals() -> None:
    assert (money("0.00000000005"), money("0.00000000015")) == ("0.0000000000", "0.0000000002")


def test_the_cost_of_a_request_is_shown_by_phase_beside_its_estimate() -> None:
    lines = cost_lines(entry(), {**COST, "total": "0.00023"})
    assert lines[1].split() == ["cold", "start", "0.0000120000", "0.0000120000"]
    assert lines[-1].split() == ["total", "0.0002322000", "0.0002300000"]
    assert [line.split()[2] for line in lines if "input tokens" in line] == ["300", "tokens"]
    assert max(map(len, lines)) <= 80


def test_components_that_a_request_does_not_pay_for_are_not_shown() -> None:
    labels = [line[2:26].strip() for line in cost_lines(entry(), COST)]
    assert "bytes of log lines" in labels
    assert not {"bytes beyond 6 MB", "/tmp beyond 512 MB", "restore of a snapshot", "API Gateway"} & set(
        labels
    )
    through_a_gateway = {**COST, "components": {**COST["components"], "api_gateway": "0.0000035"}}
    shown = [line for line in cost_lines(entry(cost=through_a_gateway), None) if "API Gateway" in line]
    assert [line.split() for line in shown] == [["API", "Gateway", "0.0000035000", "–"]]


def test_a_final_event_without_an_estimate_leaves_its_column_unknown() -> None:
    assert cost_lines(entry(), None)[-1].split() == ["total", "0.0002322000", "–"]


def test_the_error_of_the_estimate_is_relative_to_the_ledger() -> None:
    assert estimate_error(row(estimate_total="0.00046")) == Decimal(1)  # of 0.00023 without log lines
    assert estimate_error(row(estimate_total=None)) is None


def test_requests_are_one_line_each_within_eighty_columns() -> None:
    estimated = {**row()["usage"], "source": "estimated", "output_tokens": 12_345}
    none = {"input_tokens": None, "output_tokens": None, "cached_input_tokens": None, "source": "none"}
    unpriced = {**COST, "unpriced": ["output_tokens_unknown"]}
    lines = request_lines(
        [
            entry("invalid output", outcome="invalid_output", usage=estimated, init_ms=None),
            Entry(
                "upstream 500",
                Generation(),
                row(outcome="upstream_error", usage=none, init_ms=0, cost=unpriced),
            ),
        ]
    )
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[2:] == [
        "invalid_output",
        "warm",
        "341",
        "4,812",
        "5,213",
        "~400/12345",
        "0.0002322",
    ]
    assert lines[2].split()[2:] == ["upstream_error", "warm", "–", "–", "5,213", "–", "≥0.0002322"]


def test_a_cold_start_is_named_with_what_it_took() -> None:
    assert "512 ms" in timing_lines(entry())[2]
    assert request_lines([entry()])[1].split()[3] == "cold"


def test_totals_are_exact() -> None:
    assert total([entry(), entry()]) == Decimal("0.0004644")
