"""Metrics that ride on a log line: what CloudWatch's format asks for, whole."""

import json
from datetime import UTC, datetime

from weir.embedded_metrics import embedded_metrics


def test_a_line_with_metrics_is_what_cloudwatch_reads() -> None:
    at = datetime(2026, 11, 22, 12, 0, 0, 250_000, UTC)
    made = embedded_metrics(
        "ledger-jobs", at, {"CompletenessPercent": ("Percent", 99.5), "DaysCompacted": ("Count", 2)}
    )
    assert json.loads(json.dumps({"message": "ledger_jobs.compact", **made})) == {
        "message": "ledger_jobs.compact",
        "_aws": {
            "Timestamp": 1_795_348_800_250,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Weir",
                    "Dimensions": [["service"]],
                    "Metrics": [
                        {"Name": "CompletenessPercent", "Unit": "Percent"},
                        {"Name": "DaysCompacted", "Unit": "Count"},
                    ],
                }
            ],
        },
        "service": "ledger-jobs",
        "CompletenessPercent": 99.5,
        "DaysCompacted": 2,
    }
