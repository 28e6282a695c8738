"""Log groups read directly, page by page: the second way to the lines that a subscription delivers; and counts of them.

FilterLogEvents is rate-limited for the account: the client backs off and slows down by itself (botocore's adaptive
mode). A page may be empty and yet not the last; the end is where there is no token.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from weir.errors import StorageError
from weir.ledger.log_subscription import KINDS

# The kinds that the ledger keeps, as CloudWatch's filter patterns say it.
PATTERN = "{ " + " || ".join(
    f'($.{"type" if kind.startswith("platform.") else "message"} = "{kind}")' for kind in KINDS
) + " }"  # fmt: skip
_MAX_ATTEMPTS = 10


class LogsError(StorageError):
    """A log group cannot be read; names the group and the failure."""


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """One line: `id` is the one that a subscription gives it too."""

    id: str
    stream: str
    timestamp_ms: int
    message: str


class LogReader:
    """CloudWatch Logs; `client` is boto3's, made at first use unless given."""

    def __init__(self, client: Any = None) -> None:
        self._client = client

    @property
    def client(self) -> Any:
        """The client for CloudWatch Logs."""
        if self._client is None:
            import boto3  # heavy: not before it is needed
            from botocore.config import Config

            config = Config(retries={"mode": "adaptive", "max_attempts": _MAX_ATTEMPTS})
            self._client = boto3.client("logs", config=config)
        return self._client

    def events(self, group: str, start_ms: int, end_ms: int) -> Iterator[FoundEvent]:
        """Lines of the kinds that the ledger keeps, from `start_ms` to `end_ms` (exclusive). Raises LogsError."""
        return self._filtered(group, start_ms, end_ms, {"filterPattern": PATTERN})

    def lines(self, group: str, start_ms: int, end_ms: int) -> Iterator[FoundEvent]:
        """Every line, from `start_ms` to `end_ms` (exclusive). Raises LogsError."""
        return self._filtered(group, start_ms, end_ms, {})

    def _filtered(
        self, group: str, start_ms: int, end_ms: int, pattern: Mapping[str, str]
    ) -> Iterator[FoundEvent]:
        from botocore.exceptions import BotoCoreError, ClientError

        asked: dict[str, Any] = {
            "logGroupName": group,
            "startTime": start_ms,
            "endTime": end_ms - 1,  # which the API includes
            **pattern,
        }
        try:
            # Not boto3's paginator, which takes the same token twice for the end.
            while True:
                page = self.client.filter_log_events(**asked)
                for event in page.get("events", ()):
                    if start_ms <= event["timestamp"] < end_ms:
                        yield FoundEvent(
                            str(event["eventId"]),
                            event["logStreamName"],
                            event["timestamp"],
                            event["message"],
                        )
                token = page.get("nextToken")
                if not token:
                    return
                asked["nextToken"] = token
        except ClientError as error:
            code = error.response["Error"].get("Code", "an error")
            raise LogsError(f"{group}: CloudWatch Logs answered {code}") from error
        except BotoCoreError as error:
            raise LogsError(f"{group}: CloudWatch Logs cannot be reached: {type(error).__name__}") from error


class ReportCounts:
    """What a metric filter counted of `platform.report`, in the metric `namespace/name`; `client` is boto3's."""

    def __init__(self, metric: str, client: Any = None) -> None:
        self._namespace, _, self._name = metric.rpartition("/")
        self._client = client

    def reports(self, start: datetime, end: datetime) -> dict[datetime, int]:
        """Of each UTC hour from `start` on; an hour without a count is not there. Raises LogsError."""
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        client = self._client or boto3.client("cloudwatch")
        metric = {"Namespace": self._namespace, "MetricName": self._name}
        asked = {"Id": "reports", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "Sum"}}
        found: dict[datetime, int] = {}
        try:
            pages = client.get_paginator("get_metric_data").paginate(
                MetricDataQueries=[asked], StartTime=start, EndTime=end
            )
            for page in pages:
                for result in page["MetricDataResults"]:
                    for at, count in zip(result["Timestamps"], result["Values"], strict=True):
                        found[at.astimezone(UTC)] = round(count)
        except (BotoCoreError, ClientError) as error:
            raise LogsError(f"{self._namespace}/{self._name}: {type(error).__name__}: {error}") from error
        return found
