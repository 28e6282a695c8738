"""The log records of one request: what the platform said of it, what the application said, and what neither did.

Whatever arrives is read: a record more or less, twice, late or contradictory changes what is known, and never
raises. An async retry reuses the request id, so there may be several of every kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from weir.core.ledger.lenient import count, mapping, money, number, sum_all, text, usage_of
from weir.core.ledger.rawrecords import RawRecord
from weir.core.ledger.rows import JoinStatus
from weir.core.outcomes import Outcome
from weir.core.usage import Usage

_OUTCOMES = frozenset(outcome.value for outcome in Outcome)


@dataclass(frozen=True, slots=True)
class Halves:
    """The records of one request by kind, each in order of time."""

    starts: Sequence[RawRecord]
    reports: Sequence[RawRecord]
    runtime_done: Sequence[RawRecord]
    started: Sequence[RawRecord]
    progress: Sequence[RawRecord]
    completed: Sequence[RawRecord]

    @classmethod
    def of(cls, group: Sequence[RawRecord]) -> Self:
        """Sort out the records of one request, which are in order of time."""
        kinds: dict[str, list[RawRecord]] = {}
        for record in group:
            kinds.setdefault(record.kind, []).append(record)
        platform = (kinds.get(f"platform.{name}", []) for name in ("start", "report", "runtimeDone"))
        application = (kinds.get(f"request.{name}", []) for name in ("started", "progress", "completed"))
        return cls(*platform, *application)

    @property
    def facts(self) -> list[Mapping[str, Any]]:
        """What the application said, the fullest and latest first."""
        records = (*reversed(self.completed), *reversed(self.progress), *reversed(self.started))
        return [record.body for record in records]

    @property
    def metrics(self) -> list[Mapping[str, Any]]:
        """The metrics of each report."""
        return [mapping(record.body.get("metrics")) for record in self.reports]

    @property
    def timings(self) -> list[Mapping[str, Any]]:
        """The timing of each completion, else of the last checkpoint."""
        return [mapping(record.body.get("timing")) for record in self.completed or self.progress[-1:]]

    @property
    def status(self) -> JoinStatus:
        """Which halves are there."""
        if self.reports:
            return JoinStatus.COMPLETE if self.completed else JoinStatus.BILL_ONLY
        return JoinStatus.USAGE_ONLY if self.completed else JoinStatus.STARTED_ONLY

    @property
    def outcome(self) -> str | None:
        """The last completion's; `killed` where there is none and the platform says that it did not end well."""
        if self.completed:
            outcome = text(self.completed[-1].body.get("outcome"))
            return outcome if outcome in _OUTCOMES else None
        statuses = [text(record.body.get("status")) for record in self.reports]
        return Outcome.KILLED.value if any(status not in (None, "success") for status in statuses) else None

    @property
    def attempts(self) -> int | None:
        """How often the provider was called; only a completion knows."""
        return sum(len(_attempts(record.body)) for record in self.completed) if self.completed else None

    @property
    def tokens(self) -> list[tuple[str | None, Usage]]:
        """(model that answered, usage) of every attempt that completed; else of the last checkpoints."""
        if self.completed:
            return [used for record in self.completed for used in _completed_tokens(record.body)]
        # A checkpoint counts all attempts up to then; without one not even their number is known.
        bodies = [record.body for record in self.progress[-1:] or self.started[-1:]] or [{}]
        return [(text(body.get("model")), usage_of(body.get("usage"))) for body in bodies]

    @property
    def init_ms(self) -> float | None:
        """A report leaves initDurationMs out of a warm start: then it is 0, and without a report unknown."""
        if not self.reports:
            return None
        return sum((number(metric.get("initDurationMs")) or 0.0 for metric in self.metrics), 0.0)

    @property
    def streamed_bytes(self) -> int | None:
        """As the application counted them, else as the platform did."""
        if self.completed:
            return sum_all([count(record.body.get("streamed_bytes")) for record in self.completed])
        done = [mapping(record.body.get("metrics")) for record in self.runtime_done]
        known = bool(done) and len(done) >= len(self.reports)
        return sum_all([count(metric.get("producedBytes")) for metric in done]) if known else None

    @property
    def estimate_total(self) -> Decimal | None:
        """What the final events told the callers."""
        totals = [money(mapping(record.body.get("cost")).get("total")) for record in self.completed]
        known = [total for total in totals if total is not None]
        return sum(known, Decimal(0)) if known and len(known) == len(totals) else None

    @property
    def anomalies(self) -> tuple[str, ...]:
        """What contradicts itself: such a row stays in the sums, which must agree with the bill, and is named."""
        found = []
        starts = max(len(self.starts), len(self.started))
        if self.reports and starts == 0:
            found.append("report_without_start")
        elif len(self.reports) > starts:
            found.append("more_reports_than_starts")
        if len(self.completed) > max(len(self.reports), starts, 1):
            found.append("more_completions_than_invocations")
        return tuple(found)


def _attempts(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    attempts = body.get("attempts")
    return [entry for entry in attempts if isinstance(entry, Mapping)] if isinstance(attempts, list) else []


def _completed_tokens(body: Mapping[str, Any]) -> list[tuple[str | None, Usage]]:
    requested = text(body.get("model"))
    answered = text(body.get("model_returned")) or requested
    tokens: list[tuple[str | None, Usage]] = []
    attempts = _attempts(body)
    for attempt in attempts:
        named = text(attempt.get("model_returned")) or text(attempt.get("model"))
        # Only the last attempt is known to be the one that answered under the returned name.
        model = answered if attempt is attempts[-1] else named or requested
        tokens.append((model, usage_of(attempt.get("usage"))))
    if not attempts:
        usage = usage_of(body.get("usage"))
        # An empty list says that the provider was never called; no list says nothing at all.
        if usage != Usage() or body.get("attempts") != []:
            tokens.append((answered, usage))
    return tokens
