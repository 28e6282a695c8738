"""The log records of one request: what the platform said of it, what the application said, and what neither did.

Whatever arrives is read: a record more or less, twice, late or contradictory changes what is known, and never
raises. An async retry reuses the request id, so there may be several of every kind.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from weir.ledger.coerce import count, mapping, money, number, sum_all, sum_known, text, usage_of
from weir.ledger.log_records import RawRecord
from weir.ledger.row import JoinStatus
from weir.outcomes import Outcome
from weir.pricing.quantities import TokensBought
from weir.pricing.usage import Usage

_OUTCOMES = frozenset(outcome.value for outcome in Outcome)


class RequestRecords:
    """The platform's and the application's records of one request, by kind and each in order of time.

    With them comes what is read from them more than once.

    `metrics` are those of each report, `timings` those of each completion (else of the last checkpoint), `attempts`
    those of each completion, `calls` how often the provider was called, which only a completion knows, `facts` all
    that the application said, the fullest and latest first.
    """

    def __init__(self, group: Sequence[RawRecord]) -> None:
        kinds: dict[str, list[RawRecord]] = {}
        for record in group:
            kinds.setdefault(record.kind, []).append(record)
        self.starts = kinds.get("platform.start", [])
        self.reports = kinds.get("platform.report", [])
        self.runtime_done = kinds.get("platform.runtimeDone", [])
        self.started = kinds.get("request.started", [])
        self.progress = kinds.get("request.progress", [])
        self.completed = kinds.get("request.completed", [])
        self.facts = [record.body for record in (*self.started, *self.progress, *self.completed)]
        self.facts.reverse()
        self.metrics = [mapping(record.body.get("metrics")) for record in self.reports]
        timed = self.completed or self.progress[-1:]
        self.timings = [mapping(record.body.get("timing")) for record in timed]
        listed = [_listed(record.body) for record in self.completed]
        self.calls = sum(map(len, listed)) if listed else None
        self.attempts = [
            _attempts(record.body, attempts) for record, attempts in zip(self.completed, listed, strict=True)
        ]

    @property
    def status(self) -> JoinStatus:
        """Whose records are there."""
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
    def tokens(self) -> list[TokensBought]:
        """Every attempt that completed; else the sum that the last checkpoint holds."""
        if self.completed:
            return [attempt for attempts in self.attempts for attempt in attempts]
        # A checkpoint counts all attempts up to then; without one not even their number is known.
        bodies = [record.body for record in self.progress[-1:] or self.started[-1:]] or [{}]
        return [
            TokensBought(text(body.get("model")), usage_of(body.get("usage")), text(body.get("seller")))
            for body in bodies
        ]

    @property
    def retried(self) -> list[TokensBought] | None:
        """Every attempt after an invocation's first; None where no completion says which there were."""
        if not self.completed:
            return None
        return [attempt for attempts in self.attempts for attempt in attempts[1:]]

    @property
    def saved(self) -> list[tuple[int, TokensBought]]:
        """Output tokens that a stop at a violation spared, with the attempt that it stopped."""
        counted = [
            None
            if text(record.body.get("answered_from"))
            else count(mapping(record.body.get("saved")).get("output_tokens"))
            for record in self.completed
        ]
        # Only a first attempt is compared with whole documents.
        return [
            (tokens, attempts[0])
            for tokens, attempts in zip(counted, self.attempts, strict=True)
            if tokens is not None and attempts
        ]

    @property
    def given_again(self) -> list[tuple[int | None, Decimal | None]]:
        """The output tokens of answers that were given again, and what their tokens had cost when they were bought."""
        bodies = [record.body for record in self.completed if text(record.body.get("answered_from"))]
        saved = [mapping(body.get("saved")) for body in bodies]
        return [(count(members.get("output_tokens")), money(members.get("usd"))) for members in saved]

    @property
    def init_ms(self) -> float | None:
        """A report leaves initDurationMs out of a warm start: then it is 0, and without a report unknown."""
        return self._reported("initDurationMs")

    @property
    def restore_ms(self) -> float | None:
        """What of the billed duration went to restoring a snapshot: loading the runtime, and hooks."""
        return self._reported("billedRestoreDurationMs")

    @property
    def restores(self) -> int | None:
        """How often a snapshot was restored; a warm start's report does not mention it."""
        if not self.reports:
            return None
        names = ("restoreDurationMs", "billedRestoreDurationMs")
        return sum([any(metric.get(name) is not None for name in names) for metric in self.metrics])

    @property
    def streamed_bytes(self) -> int | None:
        """As the application counted them, else as the platform did."""
        if self.completed:
            return self.counted("streamed_bytes")
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

    def counted(self, name: str) -> int | None:
        """A count of the completions, summed."""
        return sum_all([count(record.body.get(name)) for record in self.completed])

    def timed(self, name: str) -> float | None:
        """A phase's milliseconds, summed."""
        return sum_known([number(timing.get(name)) for timing in self.timings])

    def _reported(self, name: str) -> float | None:
        if not self.reports:
            return None
        return sum([number(metric.get(name)) or 0.0 for metric in self.metrics], 0.0)


def _listed(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    attempts = body.get("attempts")
    return [entry for entry in attempts if isinstance(entry, dict)] if isinstance(attempts, list) else []


def _attempts(body: Mapping[str, Any], attempts: list[Mapping[str, Any]]) -> list[TokensBought]:
    requested = text(body.get("model"))
    answered = text(body.get("model_returned")) or requested
    tokens: list[TokensBought] = []
    for attempt in attempts:
        # Only the last attempt is known to be the one that answered under the returned name.
        model = answered
        if attempt is not attempts[-1]:
            model = text(attempt.get("model_returned")) or text(attempt.get("model")) or requested
        seller = text(attempt.get("seller")) or text(body.get("seller"))
        tokens.append(TokensBought(model, usage_of(attempt.get("usage")), seller))
    if not attempts:
        usage = usage_of(body.get("usage"))
        # An empty list says that the provider was never called; no list says nothing at all.
        if usage != Usage() or body.get("attempts") != []:
            tokens.append(TokensBought(answered, usage, text(body.get("seller"))))
    return tokens
