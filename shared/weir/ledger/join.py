"""The join: raw records of any number of deliveries, in any order, become one row a request.

A record counts once, by CloudWatch's event id (`distinct`), then records are grouped by request id. What
follows from the field's laws:

- An async retry reuses its request id: several reports are all billed, so they are summed, and so is the
  usage of several completions.
- A request without a completion whose report says that the process did not end well was `killed`; without a
  completion and with status success its outcome is unknown (its line is late or lost), and so are its tokens,
  unless a checkpoint (`request.progress`) holds them up to then.
- A report without a start, or more reports than starts, cannot be told from a forged one: it stays in the
  sums, which must agree with the bill, and is named in the row's anomalies.
- The architecture, which a report does not say, is taken from other facts of its log stream, because one
  stream is one execution environment; the region is that of the log group. Nothing else is inferred.

Pure functions: the same records and the same price book give the same rows, byte for byte.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, cast

from weir.ledger.coerce import count, mapping, megabytes, number, sum_all, sum_known, text, whole
from weir.ledger.log_records import RawRecord
from weir.ledger.request_log import RequestRecords
from weir.ledger.row import Row
from weir.pricing.charge_lines import ChargeLine
from weir.pricing.cost import TokensBought, UsageQuantities, price_request, price_retries, price_saved
from weir.pricing.event_source import EventSource
from weir.pricing.price_book import PriceBook
from weir.pricing.usage import NOTHING_BOUGHT, Usage

# Less than the margin with which a range is read, so that a day alone and within a longer range give the same row.
ENVIRONMENT_LIFE_MS = 6 * 3_600_000
# Facts that say where a request runs; a completion says it only where nothing was said before.
SAYS_WHERE = ("request.started", "request.progress")
_ENVIRONMENT = (
    "function",
    "function_arn",
    "region",
    "architecture",
    "memory_mb",
    "initialization_type",
    "ephemeral_storage_mb",
    "max_concurrency",
)
_FRONTS: frozenset[str | None] = frozenset(EventSource.__value__.__args__)


def distinct(records: Iterable[RawRecord]) -> list[RawRecord]:
    """Each log record once, in an order that does not depend on how they were delivered."""
    kept: dict[tuple[str, str], RawRecord] = {}
    for record in records:
        other = kept.setdefault((record.log_group, record.event_id), record)
        # One id with two contents should not be; which one counts must not depend on the order of arrival.
        if other is not record and record.content() < other.content():
            kept[record.log_group, record.event_id] = record
    return sorted(kept.values(), key=attrgetter("timestamp_ms", "event_id", "log_group"))


def join(records: Iterable[RawRecord], book: PriceBook) -> list[Row]:
    """One row for each request id among `records`, by time and id; records without one make no row."""
    requests: dict[str, list[RawRecord]] = {}
    environments: dict[tuple[str, str], list[RawRecord]] = {}
    for record in distinct(records):
        if record.request_id is not None:
            requests.setdefault(record.request_id, []).append(record)
            if record.kind in SAYS_WHERE:
                environments.setdefault((record.log_group, record.log_stream), []).append(record)
    rows = [row_of(request_id, group, environments, book) for request_id, group in requests.items()]
    return sorted(rows, key=attrgetter("at", "request_id"))


def row_of(
    request_id: str,
    group: Sequence[RawRecord],
    environments: Mapping[tuple[str, str], Sequence[RawRecord]],
    book: PriceBook,
    lines: list[ChargeLine] | None = None,
) -> Row:
    """The row of one request; `environments` are the facts of each log stream, by log group and stream.

    The products that its price is the sum of are written down in `lines`, where they are asked for.
    """
    known = RequestRecords(group)
    last = group[-1]
    bodies = known.facts or [_environment(last, environments.get((last.log_group, last.log_stream), ()))]
    billed = [whole(metric.get("billedDurationMs")) for metric in known.metrics]
    known_billed = [milliseconds for milliseconds in billed if milliseconds is not None]
    memories = {memory for metric in known.metrics if (memory := megabytes(metric.get("memorySizeMB")))}
    if not memories:
        memories = {memory for body in bodies[:1] if (memory := megabytes(body.get("memory_mb")))}
    peaks = [peak for metric in known.metrics if (peak := megabytes(metric.get("maxMemoryUsedMB")))]
    front = _first(bodies, "front", text)
    tokens, saved, given = known.tokens, known.saved, known.given_again
    used = UsageQuantities(
        at=(known.reports or group)[-1].at,
        billed_ms=sum(known_billed) if known_billed else None,
        memory_mb=next(iter(memories)) if len(memories) == 1 else None,
        architecture=_first(bodies, "architecture", text),
        region=_first(bodies, "region", text)
        or next((record.region for record in group if record.region), None),
        billed_invocations=len(known.reports) or None,
        initialization_type=_first(bodies, "initialization_type", text),
        ephemeral_storage_mb=_first(bodies, "ephemeral_storage_mb", megabytes),
        max_concurrency=_first(bodies, "max_concurrency", count),
        front=cast(EventSource, front) if front in _FRONTS else None,
        duration_ms=sum_known([number(metric.get("durationMs")) for metric in known.metrics]),
        init_ms=known.init_ms,
        restores=known.restores,
        restore_ms=known.restore_ms,
        wait_ms=known.timed("wait_ms"),
        stream_ms=known.timed("stream_ms"),
        validate_ms=known.timed("validate_ms"),
        streamed_bytes=known.streamed_bytes,
        log_bytes=sum_all([record.line_bytes for record in group]),
        tokens=tokens,
    )
    cost = price_request(used, book, lines)
    partly = 0 < len(known_billed) < len(billed)
    if more := _unpriced(known, len(memories), partly):
        cost = replace(cost, unpriced=(*cost.unpriced, *more))
    completion = known.completed[-1].body if known.completed else {}
    return Row(
        request_id=request_id,
        at=used.at,
        join_status=known.status,
        outcome=known.outcome,
        http_status=count(completion.get("http_status")),
        report_status=text(known.reports[-1].body.get("status")) if known.reports else None,
        function=_first(bodies, "function", text),
        function_arn=_first(bodies, "function_arn", text),
        region=used.region,
        architecture=used.architecture,
        memory_mb=used.memory_mb,
        max_memory_mb=max(peaks, default=None),
        initialization_type=used.initialization_type,
        front=used.front,
        model=_first(bodies, "model", text),
        model_returned=text(completion.get("model_returned")),
        schema=_first(bodies, "schema", text),
        tenant=_first(bodies, "tenant", text),
        tags=_tags(bodies),
        billed_ms=used.billed_ms,
        billed_invocations=len(known.reports),
        init_ms=used.init_ms,
        duration_ms=used.duration_ms,
        wait_ms=used.wait_ms,
        stream_ms=used.stream_ms,
        validate_ms=used.validate_ms,
        ttft_ms=number(known.timings[-1].get("ttft_ms")) if known.timings else None,
        streamed_bytes=used.streamed_bytes,
        log_bytes=used.log_bytes,
        attempts=known.calls,
        violations=known.counted("violations"),
        validated_values=known.counted("validated_values"),
        usage=Usage.total([bought.usage for bought in tokens]) if tokens else NOTHING_BOUGHT,
        cost=cost,
        estimate_total=known.estimate_total,
        saved_tokens=sum_all([tokens for tokens, _ in (*saved, *given)]),
        saved_total=_saved_total(saved, given, used.at, book),
        answered_from=text(completion.get("answered_from")),
        lease=_first(bodies, "lease", text),
        retry_total=None if known.retried is None else price_retries(known.retried, used.at, book),
        records=len(group),
        anomalies=known.anomalies,
    )


def _first[T](bodies: Sequence[Mapping[str, Any]], name: str, read: Callable[[object], T | None]) -> T | None:
    """The member of the first fact that has it."""
    for body in bodies:
        value = read(body.get(name))
        if value is not None:
            return value
    return None


def _saved_total(
    saved: Sequence[tuple[int, TokensBought]],
    given: Sequence[tuple[int | None, Decimal | None]],
    at: datetime,
    book: PriceBook,
) -> Decimal | None:
    amounts = [price_saved(tokens, attempt, at, book) for tokens, attempt in saved]
    amounts += [amount for _, amount in given]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(amounts) else None


def _environment(record: RawRecord, neighbours: Sequence[RawRecord]) -> Mapping[str, Any]:
    """Where `record` ran, by the first fact of its log stream within hours of it."""
    for fact in neighbours:
        if abs(fact.timestamp_ms - record.timestamp_ms) <= ENVIRONMENT_LIFE_MS:
            return {name: fact.body.get(name) for name in _ENVIRONMENT}
    return {}


def _unpriced(known: RequestRecords, memory_sizes: int, billed_in_part: bool) -> list[str]:
    """What is not in the price though every quantity that was priced is known."""
    reasons = []
    if billed_in_part:
        reasons.append("report_without_billed_duration")
    if memory_sizes > 1:
        reasons.append("memory_differs_between_reports")
    if 0 < len(known.completed) < len(known.reports):
        reasons.append("invocations_without_usage")
    if not known.completed and known.progress:
        reasons.append("usage_up_to_checkpoint")
    return reasons


def _tags(bodies: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    tags = next((mapping(body.get("tags")) for body in bodies if "tags" in body), {})
    known = ((text(name), text(value)) for name, value in tags.items())
    return {name: value for name, value in known if name is not None and value is not None}
