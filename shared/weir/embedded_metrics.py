"""Metrics as members of a JSON log line, for functions that write their one line themselves and carry no Powertools.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

NAMESPACE = "Weir"


def stage_of(environment: Mapping[str, str]) -> str:
    """The stack whose metrics these are: two of one account must not share an alarm."""
    return environment.get("WEIR_STAGE") or "local"


def embedded_metrics(
    service: str, stage: str, at: datetime, values: Mapping[str, tuple[str, float]]
) -> dict[str, Any]:
    """Members that make a JSON log line metrics too: `values` is name to (CloudWatch unit, value)."""
    metrics = {
        "Namespace": NAMESPACE,
        "Dimensions": [["service", "stage"]],
        "Metrics": [{"Name": name, "Unit": unit} for name, (unit, _) in values.items()],
    }
    described = {"Timestamp": round(at.timestamp() * 1000), "CloudWatchMetrics": [metrics]}
    dimensions = {"service": service, "stage": stage}
    return {"_aws": described, **dimensions, **{name: value for name, (_, value) in values.items()}}
