"""What a request leaves behind: its facts as JSON lines, the last of which is its metrics, too.

Metrics are CloudWatch's embedded metric format, recorded by Powertools. It is imported when the first request ends, not
before the first byte. Its `Metrics` collects for the whole process, which would merge concurrent requests: here one
`EphemeralMetrics` has the names and units of all, checked once, and writes each request's values. All goes to stdout,
which is what Lambda collects, and what is billed by the byte: so the completion and its metrics are one line, and
nothing is said twice (ledger/facts.py).
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from weir.embedded_metrics import NAMESPACE
from weir.ledger.facts import said
from weir.outcomes import Outcome

if TYPE_CHECKING:
    from aws_lambda_powertools.metrics import EphemeralMetrics

# The metrics of every request, beside the count of its outcome, and their units.
METRICS = {
    "ColdStart": "Count",
    "TimeToFirstToken": "Milliseconds",
    "TimeToLastToken": "Milliseconds",
    "InvocationLatency": "Milliseconds",
    "ValidationTime": "Milliseconds",
    "EventLoopGap": "Milliseconds",
    "InputTokenCount": "Count",
    "OutputTokenCount": "Count",
    # US dollars, for the alarm on cost per 1,000 requests; the ledger's rows are exact.
    "EstimatedCost": "None",
}
_COUNTED = ("None", "Count")
# Kept: json.dumps makes an encoder for each call. ASCII, since names come from outside, and U+2028 and the like end a
# line for many readers.
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Telemetry:
    """Writes log lines and metrics of this process; `service` and `stage` are the metrics' dimensions.

    `mask` takes out what must never leave, such as a key that a provider gave back. `error_text` is for a laptop: on
    AWS the text of an error may quote what a caller wrote, and stays out of the log.
    """

    def __init__(
        self, service: str, stage: str, *, mask: Callable[[str], str] = str, error_text: bool = False
    ) -> None:
        self.service = service
        self.stage = stage
        self._mask = mask
        self._error_text = error_text
        self._recorder: EphemeralMetrics | None = None

    def fact(self, fact: Mapping[str, Any], **beside: Any) -> None:
        """Write one fact; it is nested, so that nothing in it can pass for a record of the platform."""
        self._line("INFO", fact["at"], fact["request_id"], fact["kind"], fact=said(fact), **beside)

    def completed(
        self, fact: Mapping[str, Any], outcome: Outcome, cold_start: bool, summary: Mapping[str, Any]
    ) -> None:
        """Write the fact with which a request ends, and its metrics in the same line.

        The fact is written even where the metrics cannot be made, and that error raised afterwards.
        """
        try:
            metrics = self._metrics(outcome, cold_start, summary)
        except Exception:
            self.fact(fact)
            raise
        self.fact(fact, **metrics)

    def spans(self, export: Mapping[str, Any]) -> None:
        """Write a trace's spans: a line of its own, which is OTLP's JSON and nothing else."""
        self._write(export)

    def failure(self, at: str, request_id: str, error: BaseException) -> None:
        """Write an error of our own: its type and where it was raised, but not its text, which may quote content."""
        frames: list[str] = []
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"{code.co_filename}:{trace.tb_lineno} in {code.co_qualname}")
            trace = trace.tb_next
        self._line(
            "ERROR",
            at,
            request_id,
            "internal error",
            error={
                "type": type(error).__name__,
                **({"message": str(error)} if self._error_text else {}),
                "frames": frames[-8:],
            },
        )

    def _metrics(self, outcome: Outcome, cold_start: bool, summary: Mapping[str, Any]) -> dict[str, Any]:
        """The metrics of one request, read off its usage and timing; what is unknown is left out."""
        recorder = self._recorder = self._recorder or self._make_recorder()
        usage, timing, cost = summary["usage"], summary["timing"], summary["cost"]
        values = (
            int(cold_start),
            timing["ttft_ms"],
            timing["ttlt_ms"],
            timing["duration_ms"],
            timing["validate_ms"],
            (timing["event_loop_gap_ms"] or {}).get("max"),
            usage["input_tokens"],
            usage["output_tokens"],
            float(cost["total"]) if cost else None,
        )
        metrics = {
            name: {**recorder.metric_set[name], "Value": _plain(value)}
            for name, value in (*zip(METRICS, values, strict=True), (outcome.metric, 1))
            if value is not None
        }
        found: dict[str, Any] = {**recorder.serialize_metric_set(metrics=metrics)}
        for described in found["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
            if described["Unit"] in _COUNTED:
                del described["Unit"]  # a number of things is read as well without
        return found

    def _make_recorder(self) -> "EphemeralMetrics":
        from aws_lambda_powertools.metrics import EphemeralMetrics

        recorder = EphemeralMetrics(namespace=NAMESPACE, service=self.service)
        recorder.add_dimension("stage", self.stage)
        for name, unit in (*METRICS.items(), *((outcome.metric, "Count") for outcome in Outcome)):
            recorder.add_metric(name=name, unit=unit, value=0)
        return recorder

    def _line(self, level: str, at: str, request_id: str, message: str, **members: Any) -> None:
        line = {"level": level, "timestamp": at, "requestId": request_id, "message": message, **members}
        self._write(line)

    def _write(self, line: Mapping[str, Any]) -> None:
        # One write of a whole line: concurrent requests must not interleave theirs.
        sys.stdout.write(self._mask(_encode(line)) + "\n")
        sys.stdout.flush()


def _plain(value: float) -> float:
    """A whole number needs no decimals."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
