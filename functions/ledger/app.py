"""The ledger: CloudWatch Logs subscription batches in, raw facts in S3 out.

Whatever a batch holds is stored or set aside; only a failure of S3 is raised, so that Lambda delivers it
again.
"""

import json
import os
from datetime import UTC, datetime
from functools import cache
from typing import Any

from weir.embedded_metrics import embedded_metrics, stage_of
from weir.ledger.facts import format_timestamp
from weir.ledger.ingest import ingest
from weir.ledger.store import Store

_MAX_REASONS = 20  # each can be of its own, and a line that CloudWatch cuts is no metric


@cache
def _store() -> Store:
    # Kept between invocations for its connection; made at the first, so that importing reads nothing.
    return Store(os.environ["WEIR_LEDGER_BUCKET"])


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Store one batch; the answer is for whoever invokes by hand. Raises botocore's errors."""
    done = ingest(event, _store(), os.environ.get("AWS_REGION"))
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
        "message": "batch.ingested",
        "batch": {**counts, "ignored": dict(done.ignored), "reasons": done.reasons[:_MAX_REASONS]},
        **embedded_metrics(
            "ledger",
            stage_of(os.environ),
            now,
            {"RecordsStored": ("Count", done.records), "RecordsSetAside": ("Count", done.poison)},
        ),
    }
    print(json.dumps(line), flush=True)
    return counts
