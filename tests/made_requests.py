"""Requests to measure with, as log lines and as what Firehose writes of them.

The lines are those of a mix of requests: warm and cold, of one or two attempts, stopped at a violation, killed. The
platform sends the lines of one log stream in one message, and an environment handles one request at a time. So a request
is two messages however many there are: what its start logged, and what its end did. Firehose puts messages one behind the
other, each a gzip member.
"""

import gzip
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests import log_lines as lines
from weir.ledger.facts import SCHEMA_VERSION, said

_MADE = 5_000  # requests whose lines are made one by one; the others are copies under other ids
_MIDNIGHT_MS = round(datetime(2026, 11, 22, tzinfo=UTC).timestamp() * 1000)


def requests(count: int, seed: int = 1, *, of_version_1: float = 0.0) -> Iterator[list[dict[str, Any]]]:
    """The lines of `count` requests, each in order; that share of them with facts of the first version."""
    random_, versions = random.Random(seed), random.Random(seed)
    for _ in range(count):
        written = _request(random_)
        is_old = versions.random() < of_version_1
        yield written if is_old else [_as_written(line) for line in written]


def _request(random_: random.Random) -> list[dict[str, Any]]:
    request_id = str(random_.randbytes(16).hex())
    wait, stream = round(random_.uniform(150, 900), 3), round(random_.uniform(500, 9000), 3)
    validate, billed = round(random_.uniform(1, 60), 3), round(wait + stream) + random_.randrange(5, 60)
    cold, killed, stopped = (random_.random() < share for share in (0.05, 0.01, 0.1))
    usage = lines.usage(random_.randrange(200, 4000), random_.randrange(50, 2500))
    usage["source"] = "estimated" if stopped else "provider"
    timing = {"wait_ms": wait, "stream_ms": stream}
    attempt = {"attempt": 1, "model": "gpt-4o-mini", "outcome": "ok", "usage": usage, "timing": timing}
    attempts = [attempt, {**attempt, "attempt": 2}] if random_.random() < 0.05 else [attempt]
    tags = {"team": random_.choice(("search", "docs", "mail")), "feature": f"feature-{random_.randrange(12)}"}
    common = {"tags": tags, "memory_mb": 512, "cold_start": cold}
    written = [
        lines.platform("start", request_id, version="7"),
        lines.fact(
            "request.started", request_id, schema="blog_post", on_violation="stop", stream=True, **common
        ),
    ]
    if killed or random_.random() < 0.1:
        progress = {"usage": usage, "timing": {**timing, "validate_ms": validate, "ttft_ms": wait}}
        written.append(lines.fact("request.progress", request_id, **progress, **common))
    if not killed:
        written.append(
            lines.completed(
                request_id,
                outcome="invalid_output" if stopped else "ok",
                usage=usage,
                attempts=attempts,
                timing={"duration_ms": wait + stream, **timing, "validate_ms": validate, "ttft_ms": wait},
                streamed_bytes=random_.randrange(2_000, 90_000),
                violations=int(stopped),
                saved={"output_tokens": 300, "method": "estimated"} if stopped else None,
                cost={"total": f"0.000{random_.randrange(10**9)}", "unpriced": []},
                **common,
            )
        )
    status = "timeout" if killed else "success"
    if killed:  # what ends well is told at another level
        done = {"durationMs": billed - 0.4, "producedBytes": 20_000}
        written.append(lines.platform("runtimeDone", request_id, status=status, metrics=done))
    init = {"initDurationMs": 260.5} if cold else {}
    written.append(lines.report(request_id, billed, status=status, **init))
    return written


def _as_written(line: dict[str, Any]) -> dict[str, Any]:
    """A line as generate writes it: nothing twice, and a completion's metrics in its own line."""
    if "fact" not in line:
        return line
    fact = {
        **line["fact"],
        "schema_version": SCHEMA_VERSION,
        "attempt": None,
        "on_violation": None,
        "stream": None,
    }
    fact["cold_start"] = fact["cold_start"] or None
    metrics: dict[str, Any] = {}
    if line["message"] == "request.completed":
        metrics = _METRICS | dict.fromkeys(_NAMES, 123.456)
        unsaid = (
            "usage",
            "price_book_version",
            "function",
            "function_arn",
            "region",
            "memory_mb",
            "architecture",
        )
        unsaid += (
            "initialization_type",
            "ephemeral_storage_mb",
            "max_concurrency",
            "front",
            "tags",
            "schema",
        )
        fact |= dict.fromkeys(unsaid)
        fact["attempts"] = [{"usage": {**one["usage"], "total_tokens": None}} for one in fact["attempts"]]
    return {**line, "fact": said(fact), **metrics}


_NAMES = (
    "ColdStart", "TimeToFirstToken", "TimeToLastToken", "InvocationLatency", "ValidationTime", "InputTokenCount",
    "OutputTokenCount", "EstimatedCost", "Ok",
)  # fmt: skip
_DESCRIBED = {
    "Namespace": "Weir",
    "Dimensions": [["stage", "service"]],
    "Metrics": [
        {"Name": name, "Unit": "Milliseconds"} if name[:4] in ("Time", "Invo", "Vali") else {"Name": name}
        for name in _NAMES
    ],
}
_METRICS = {
    "_aws": {"Timestamp": lines.NOON_MS, "CloudWatchMetrics": [_DESCRIBED]},
    "stage": "weir",
    "service": "generate",
}


_lines: list[tuple[str, list[str]]] = []


def landing(first: int, count: int, minute: int) -> bytes:
    """What Firehose writes of one minute's requests: of each, what its start logged, and what its end did."""
    if not _lines:
        for written in requests(_MADE):
            texts = [json.dumps(line, separators=(",", ":")) for line in written]
            _lines.append((str(written[0]["record"]["requestId"]), texts))
    members = []
    for number in range(first, first + count):
        made_id, texts = _lines[number % _MADE]
        request_id = f"{made_id[:24]}{number:08x}"
        at_ms = _MIDNIGHT_MS + minute * 60_000 + (number - first) * 60_000 // max(count, 1)
        events = [
            lines.log_event(text.replace(made_id, request_id), f"{number:036d}{place:020d}", at_ms + place)
            for place, text in enumerate(texts)
        ]
        stream = f"2026/11/22/[7]{number % 5_000:032x}"
        for part in (events[:2], events[2:]):
            document = {
                "messageType": "DATA_MESSAGE",
                "owner": "123456789012",
                "logGroup": lines.GROUP,
                "logStream": stream,
                "subscriptionFilters": ["ledger"],
                "logEvents": part,
            }
            members.append(gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 6, mtime=0))
    return b"".join(members)
