"""Metrics that ride on a log line: what CloudWatch's format asks for, whole."""

import json
from datetime import UTC, datetime

from weir.embedded_metrics import embedded_metrics, stage_of


def test_a_line_with_metrics_is_what_cloudwatch_reads() -> None:
    at = datetime(2026, 11, 22, 12, 0, 0, 250_000, UTC)
    made = embedded_metrics(
        "ledger-jobs",
        "weir-dev",
        at,
        {"CompletenessPercent": ("Percent", 99.5), "DaysCompacted": ("Count", 2)},
    )
    assert json.loads(json.dumps({"message": "ledger_jobs.compact", **made})) == {
        "message": "ledger_jobs.compact",
        "_aws": {
            "Timestamp": 1_795_348_800_250,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Weir",
                    "Dimensions": [["service", "stage"]],
                    "Metrics": [
                        {"Name": "CompletenessPercent", "Unit": "Percent"},
                        {"Name": "DaysCompacted", "Unit": "Count"},
                    ],
                }
            ],
        },
        "service": "ledger-jobs",
        "stage": "weir-dev",
        "CompletenessPercent": 99.5,
        "DaysCompacted": 2,
    }


def test_metrics_of_a_process_that_no_stack_started_are_nobody_elses() -> None:
    assert stage_of({"WEIR_STAGE": "weir-dev"}) == "weir-dev"
    assert stage_of({}) == stage_of({"WEIR_STAGE": ""}) == "local"
