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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from weir.core.ledger.halves import Halves
from weir.core.ledger.lenient import count, mapping, number, sum_known, text, whole
from weir.core.ledger.rawrecords import RawRecord
from weir.core.ledger.rows import Row
from weir.core.pricing.cost import UsageQuantities, price_request
from weir.core.pricing.prices import PriceBook
from weir.core.usage import Usage

# Less than the margin with which a range is read, so that a day alone and within a longer range give the same row.
_ENVIRONMENT_LIFE_MS = 6 * 3_600_000
_ENVIRONMENT = ("function", "function_arn", "region", "architecture", "memory_mb", "initialization_type")


def distinct(records: Iterable[RawRecord]) -> list[RawRecord]:
    """Each log record once, in an order that does not depend on how they were delivered."""
    kept: dict[tuple[str, str], RawRecord] = {}
    for record in records:
        key = (record.log_group, record.event_id)
        other = kept.get(key)
        # One id with two contents should not be; which one counts must not depend on the order of arrival.
        if other is None or (record is not other and record.line() < other.line()):
            kept[key] = record
    return sorted(kept.values(), key=lambda record: (record.timestamp_ms, record.event_id, record.log_group))


def join(records: Iterable[RawRecord], book: PriceBook) -> list[Row]:
    """One row for each request id among `records`, by time and id; records without one make no row."""
    requests: dict[str, list[RawRecord]] = {}
    environments: dict[tuple[str, str], list[RawRecord]] = {}
    for record in distinct(records):
        if record.request_id is not None:
            requests.setdefault(record.request_id, []).append(record)
            if not record.kind.startswith("platform."):
                environments.setdefault((record.log_group, record.log_stream), []).append(record)
    rows = [_row(request_id, group, environments, book) for request_id, group in requests.items()]
    return sorted(rows, key=lambda row: (row.at, row.request_id))


def _row(
    request_id: str,
    group: Sequence[RawRecord],
    environments: Mapping[tuple[str, str], Sequence[RawRecord]],
    book: PriceBook,
) -> Row:
    halves = Halves.of(group)
    last = group[-1]
    bodies = halves.facts or [_environment(last, environments.get((last.log_group, last.log_stream), ()))]

    def first(name: str) -> str | None:
        return next((value for body in bodies if (value := text(body.get(name))) is not None), None)

    billed = [whole(metric.get("billedDurationMs")) for metric in halves.metrics]
    known_billed = [milliseconds for milliseconds in billed if milliseconds is not None]
    memories = {memory for metric in halves.metrics if (memory := count(metric.get("memorySizeMB")))}
    if not memories:
        memories = {memory for body in bodies[:1] if (memory := count(body.get("memory_mb")))}
    tokens, timings = halves.tokens, halves.timings
    used = UsageQuantities(
        at=(halves.reports or group)[-1].at,
        billed_ms=sum(known_billed) if known_billed else None,
        memory_mb=next(iter(memories)) if len(memories) == 1 else None,
        architecture=first("architecture"),
        region=first("region") or next((record.region for record in group if record.region), None),
        billed_invocations=len(halves.reports) or None,
        initialization_type=first("initialization_type"),
        init_ms=halves.init_ms,
        wait_ms=sum_known(number(timing.get("wait_ms")) for timing in timings),
        stream_ms=sum_known(number(timing.get("stream_ms")) for timing in timings),
        validate_ms=sum_known(number(timing.get("validate_ms")) for timing in timings),
        streamed_bytes=halves.streamed_bytes,
        tokens=tokens,
    )
    cost = price_request(used, book)
    partly = 0 < len(known_billed) < len(billed)
    completion = halves.completed[-1].body if halves.completed else {}
    return Row(
        request_id=request_id,
        at=used.at,
        join_status=halves.status,
        outcome=halves.outcome,
        http_status=count(completion.get("http_status")),
        report_status=text(halves.reports[-1].body.get("status")) if halves.reports else None,
        function=first("function"),
        function_arn=first("function_arn"),
        region=used.region,
        architecture=used.architecture,
        memory_mb=used.memory_mb,
        initialization_type=used.initialization_type,
        model=first("model"),
        model_returned=text(completion.get("model_returned")),
        schema=first("schema"),
        tenant=first("tenant"),
        tags=_tags(bodies),
        billed_ms=used.billed_ms,
        billed_invocations=len(halves.reports),
        init_ms=used.init_ms,
        duration_ms=sum_known(number(metric.get("durationMs")) for metric in halves.metrics),
        wait_ms=used.wait_ms,
        stream_ms=used.stream_ms,
        validate_ms=used.validate_ms,
        ttft_ms=number(timings[-1].get("ttft_ms")) if timings else None,
        streamed_bytes=used.streamed_bytes,
        attempts=halves.attempts,
        usage=Usage.total([usage for _, usage in tokens]) if tokens else Usage(0, 0, 0, 0, 0, "none"),
        cost=replace(cost, unpriced=(*cost.unpriced, *_unpriced(halves, len(memories), partly))),
        estimate_total=halves.estimate_total,
        records=len(group),
        anomalies=halves.anomalies,
    )


def _environment(record: RawRecord, neighbours: Sequence[RawRecord]) -> Mapping[str, Any]:
    """Where `record` ran, by the first fact of its log stream within hours of it."""
    for fact in neighbours:
        if abs(fact.timestamp_ms - record.timestamp_ms) <= _ENVIRONMENT_LIFE_MS:
            return {name: fact.body.get(name) for name in _ENVIRONMENT}
    return {}


def _unpriced(halves: Halves, memory_sizes: int, billed_in_part: bool) -> list[str]:
    """What is not in the price though every quantity that was priced is known."""
    reasons = []
    if billed_in_part:
        reasons.append("report_without_billed_duration")
    if memory_sizes > 1:
        reasons.append("memory_differs_between_reports")
    if any(number(metric.get("billedRestoreDurationMs")) for metric in halves.metrics):
        reasons.append("snapstart_restore_not_priced")
    if 0 < len(halves.completed) < len(halves.reports):
        reasons.append("invocations_without_usage")
    if not halves.completed and halves.progress:
        reasons.append("usage_up_to_checkpoint")
    return reasons


def _tags(bodies: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    tags = next((mapping(body.get("tags")) for body in bodies if "tags" in body), {})
    known = ((text(name), text(value)) for name, value in tags.items())
    return {name: value for name, value in known if name is not None and value is not None}
