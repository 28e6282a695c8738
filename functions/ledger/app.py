"""The ledger: landing objects of the log subscription in, facts in S3 out.

EventBridge tells of each object that Data Firehose has written. Whatever it holds is stored or set aside; only a
failure of S3 is raised, so that Lambda delivers the event again.
"""

import json
import os
from datetime import UTC, datetime
from functools import cache
from typing import Any

from weir.embedded_metrics import embedded_metrics, stage_of
from weir.ledger import s3_keys
from weir.ledger.facts import format_timestamp
from weir.ledger.ingest import ingest
from weir.ledger.store import Store

_MAX_REASONS = 20  # each can be of its own, and a line that CloudWatch cuts is no metric


@cache
def _store() -> Store:
    # Kept between invocations for its connection; made at the first, so that importing reads nothing.
    return Store(os.environ["WEIR_LEDGER_BUCKET"])


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Store what landed in one object; the answer is for whoever invokes by hand. Raises StoreError."""
    key = str(event["detail"]["object"]["key"])
    if not key.startswith(s3_keys.LANDING):
        raise ValueError(f"expected an object under {s3_keys.LANDING}, got {key[:80]!r}")
    used = _store().used
    used.take()
    try:
        done = ingest(_store().landed(key), _store(), os.environ.get("AWS_REGION"))
    except Exception:
        failed = {"level": "ERROR", "message": "landing.failed", "used": used.take().as_json()}
        print(json.dumps(failed), flush=True)
        raise
    # What was stored before was delivered, and billed, before.
    if done.objects_written or not done.objects_existing:
        used.firehose_bytes += done.firehose_bytes
        used.s3_puts += 1  # Firehose's own, of the object
    counts = {
        "records": done.records,
        "objects_written": done.objects_written,
        "objects_existing": done.objects_existing,
        "poison": done.poison,
    }
    now = datetime.now(UTC)
    # Counts and reasons only: what was set aside may hold anything, and a log of logs would grow without end.
    line = {
        "level": "WARN" if done.poison else "INFO",
        "timestamp": format_timestamp(now),
        "requestId": context.aws_request_id,
        "message": "landing.ingested",
        "landing": {**counts, "ignored": done.ignored, "reasons": sorted(done.reasons)[:_MAX_REASONS]},
        "used": used.take().as_json(),
        **embedded_metrics(
            "ledger",
            stage_of(os.environ),
            now,
            {"RecordsStored": ("Count", done.records), "RecordsSetAside": ("Count", done.poison)},
        ),
    }
    print(json.dumps(line), flush=True)
    return counts
