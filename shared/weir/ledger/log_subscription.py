"""One batch of a CloudWatch Logs subscription in, raw records out: nothing lost, nothing forged believed.

A batch is gzip (or zlib) of one JSON object. It is inflated under a cap, because 194 KB can hold 200 MB, and a
cut batch is refused: `zlib.decompressobj` hands its data over without a word, with `eof` false. What cannot be
read is set aside whole, as poison with a reason; a single bad record is set aside with its offset, and its
neighbours are kept.

Two kinds of record count. Facts of the application are lines whose `message` names the fact and whose `fact`
holds it. Platform records are taken only where the line itself is one, with exactly the members `time`,
`type`, `record`: our functions never print such an object, and text that a model or a caller made is always
nested under `message`.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""

import binascii
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weir.errors import DataError
from weir.ledger.facts import named_by
from weir.ledger.log_records import Poison, RawRecord

MAX_BATCH_BYTES = 64 * 1024**2
_MAX_RAW_BYTES = 1024**2  # of what is set aside as a whole; the landing object has the rest
_MAX_NUMBER = 10**15  # a count beyond this is no count: it would be priced, and break the arithmetic
_FACTS = ("request.started", "request.progress", "request.completed")
_PLATFORM = ("platform.start", "platform.runtimeDone", "platform.report")
KINDS = (*_FACTS, *_PLATFORM, "platform.logsDropped")
_OTHER_PLATFORM = "platform_other"
_SCHEMA_VERSIONS = (1, 2)  # the second does not say in the fact what its line says (facts.py)
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_REPORT_NUMBERS = (
    "billedDurationMs",
    "durationMs",
    "initDurationMs",
    "memorySizeMB",
    "maxMemoryUsedMB",
    "restoreDurationMs",
    "billedRestoreDurationMs",
)


class BatchError(DataError, ValueError):
    """A batch that cannot be read as a whole; the message is the reason it is set aside with."""


class PoisonError(ValueError):
    """A record that cannot be kept as a fact; the message is the reason."""


@dataclass(frozen=True, slots=True)
class LogBatch:
    """What one subscription event held; `ignored` counts the lines that are no facts, by kind."""

    records: tuple[RawRecord, ...] = ()
    poison: tuple[Poison, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)


def read_batch(data: bytes, *, region: str | None = None, max_bytes: int = MAX_BATCH_BYTES) -> LogBatch:
    """Read one batch, gzip or zlib, of a log group in `region`; whatever is wrong with it becomes poison."""
    try:
        text = inflate(data, max_bytes)
    except BatchError as error:
        return _aside(str(error), data)
    return read_document(text, region)


def read_document(text: bytes, region: str | None) -> LogBatch:
    """Read one batch that is inflated; whatever is wrong with it becomes poison."""
    try:
        batch = _document(text)
    except BatchError as error:
        return _aside(str(error), text)
    if batch.get("messageType") == "CONTROL_MESSAGE":
        return LogBatch(ignored={"control_message": 1})
    events = batch.get("logEvents")
    if batch.get("messageType") != "DATA_MESSAGE" or not isinstance(events, list):
        kind = str(batch.get("messageType"))[:40]
        return _aside(f"expected a DATA_MESSAGE with logEvents, got {kind!r}", text)
    log_group, log_stream = str(batch.get("logGroup", "")), str(batch.get("logStream", ""))
    return read_events(events, log_group, log_stream, region)


def set_aside(reason: str, raw: bytes, offset: int | None = None) -> Poison:
    """Bytes that are no batch as poison; of very many only the first are kept."""
    return Poison(
        reason, offset, None, None, binascii.b2a_base64(raw[:_MAX_RAW_BYTES], newline=False).decode()
    )


def _aside(reason: str, raw: bytes) -> LogBatch:
    return LogBatch(poison=(set_aside(reason, raw),))


def inflate(data: bytes, max_bytes: int) -> bytes:
    """Decompress gzip or zlib, whole or not at all. Raises BatchError: not that, cut, or over `max_bytes`."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: gzip or zlib, by the header
    try:
        text = inflater.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise BatchError(f"neither gzip nor zlib: {error}") from error
    if len(text) > max_bytes:
        raise BatchError(f"over {max_bytes} bytes when inflated, from {len(data)}")
    if not inflater.eof:
        raise BatchError(f"truncated: {len(data)} compressed bytes end before their end marker")
    if inflater.unused_data:
        raise BatchError(f"{len(inflater.unused_data)} bytes after the compressed data")
    return text


def record_of(
    event_id: str, timestamp_ms: int, log_group: str, log_stream: str, region: str | None, message: str
) -> RawRecord | None:
    """The record that one log line is; None where it holds no fact. Raises PoisonError."""
    event = {"id": event_id, "timestamp": timestamp_ms, "message": message}
    record = _record(event, log_group, log_stream, region)
    return record if isinstance(record, RawRecord) else None


def _document(text: bytes) -> dict[str, Any]:
    try:
        document = _loads(text.decode())
    except UnicodeDecodeError as error:
        raise BatchError(f"not UTF-8: {error.reason} at byte {error.start}") from error
    except PoisonError as error:
        raise BatchError(str(error)) from error
    if not isinstance(document, dict):
        raise BatchError(f"expected a JSON object, got {type(document).__name__}")
    return document


def _refuse(constant: str) -> None:
    raise PoisonError(f"not JSON: {constant}")


# Kept, because json.loads with arguments makes a decoder for each call.
_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _loads(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise PoisonError("JSON nested too deeply") from error
    except PoisonError:
        raise
    except ValueError as error:
        raise PoisonError(f"not JSON: {error}") from error


def read_events(events: list[Any], log_group: str, log_stream: str, region: str | None) -> LogBatch:
    """Read the log events of one stream.

    What the platform says of an environment's start names no request, and is billed like every line: its bytes are
    added to those of the record that follows, which is of the request that the environment was started for.
    """
    records: list[RawRecord] = []
    started_bytes = 0
    poison: list[Poison] = []
    ignored: dict[str, int] = {}
    for offset, event in enumerate(events):
        event_id = event.get("id") if isinstance(event, dict) else None
        try:
            record = _record(event, log_group, log_stream, region)
        except PoisonError as error:
            raw = json.dumps(event, sort_keys=True)
            known_id = event_id if isinstance(event_id, str) else None
            poison.append(Poison(str(error), offset, known_id, log_group, raw))
            continue
        if isinstance(record, RawRecord):
            if started_bytes:
                record.line_bytes, started_bytes = (record.line_bytes or 0) + started_bytes, 0
            records.append(record)
        else:
            ignored[record] = ignored.get(record, 0) + 1
            if record == _OTHER_PLATFORM:
                started_bytes += _bytes(event["message"])
    return LogBatch(tuple(records), tuple(poison), ignored)


def _record(event: Any, log_group: str, log_stream: str, region: str | None) -> RawRecord | str:
    """The record of one log event, or the kind of line that it is where it holds no fact."""
    if not isinstance(event, dict):
        raise PoisonError(f"expected a log event, got {type(event).__name__}")
    event_id, timestamp, message = event.get("id"), event.get("timestamp"), event.get("message")
    if not isinstance(event_id, str) or not event_id:
        raise PoisonError("log event without an id")
    if (
        not isinstance(timestamp, int)
        or isinstance(timestamp, bool)
        or not 0 <= timestamp < 253_402_300_800_000
    ):
        raise PoisonError(f"expected a timestamp in epoch milliseconds, got {str(timestamp)[:40]!r}")
    if not isinstance(message, str):
        raise PoisonError("log event without a message")
    line = message.strip()
    if not line.startswith("{"):
        return "text"
    try:
        members = _loads(line)
    except PoisonError:
        # A cut or broken line: it counts as lost only if it set out to be one of the records we keep.
        if any(f'"{kind}"' in line for kind in KINDS):
            raise
        return "text"
    kind, request_id, body = _kind(members)
    if body is None:
        return kind
    _check(kind, request_id, body, members)
    return RawRecord(
        log_group, log_stream, event_id, timestamp, kind, request_id, region, body, _bytes(message), message
    )


def _bytes(message: str) -> int:
    """What a line is billed for."""
    return len(message) if message.isascii() else len(message.encode("utf-8", "replace"))


def _kind(members: Mapping[str, Any]) -> tuple[str, Any, Any]:
    """Kind, request id and body of a line; the body is None where the line is no fact."""
    kind = members.get("type")
    if isinstance(kind, str) and kind.startswith("platform."):
        if members.keys() != {"time", "type", "record"}:
            return "forged_platform", None, None
        body = members["record"]
        if kind not in KINDS:
            return _OTHER_PLATFORM, None, None
        return kind, body.get("requestId") if isinstance(body, dict) else None, body
    message = members.get("message")
    if isinstance(message, str) and message in _FACTS and "fact" in members:
        body = members["fact"]
        request_id = body.get("request_id", members.get("requestId")) if isinstance(body, dict) else None
        return message, request_id, body
    return "metrics" if "_aws" in members else "application", None, None


def _check(kind: str, request_id: Any, body: Any, members: Mapping[str, Any]) -> None:
    if not isinstance(body, dict):
        raise PoisonError(f"{kind}: expected an object, got {type(body).__name__}")
    if kind == "platform.logsDropped":
        return
    if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        raise PoisonError(f"{kind}: expected a request id, got {str(request_id)[:40]!r}")
    if kind in _FACTS:
        version = body.get("schema_version")
        if version not in _SCHEMA_VERSIONS or isinstance(version, bool):
            raise PoisonError(f"{kind}: expected schema_version 1 or 2, got {str(version)[:40]!r}")
        is_kind = body.get("kind", kind if version > 1 else None) == kind
        for name, named in named_by(body.get("function_arn")).items():
            if body.get(name) is None:
                body[name] = named
        if not is_kind or members.get("requestId", request_id) != request_id:
            raise PoisonError(f"{kind}: line and fact contradict each other in kind or request id")
    elif kind == "platform.report":
        metrics = body.get("metrics")
        if not isinstance(metrics, dict):
            raise PoisonError("platform.report: expected metrics")
        for name in _REPORT_NUMBERS:
            value = metrics.get(name)
            if value is not None and not _is_count(value):
                raise PoisonError(
                    f"platform.report: expected {name} as a number >= 0, got {str(value)[:40]!r}"
                )


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MAX_NUMBER
