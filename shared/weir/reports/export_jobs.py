"""Exports as jobs: finance starts the ledger jobs' function, which writes the files and says how far it is.

Finance only reads: there is no trace of a job before that function writes its status. A job's id begins with the time
at which it was asked for, so an id without a status is one that is about to begin, or one that never was.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from weir.errors import StorageError
from weir.ledger import s3_keys
from weir.ledger.store import Store
from weir.reports.queries import Filters

_TIME = "%Y%m%dt%H%M%Sz"
# Lambda runs a job for 15 minutes at most, and may try an asynchronous event again.
_BEGINS_WITHIN = timedelta(minutes=20)
_LINK_S = 900


class LedgerJobsError(StorageError):
    """The ledger jobs could not be started; says what Lambda answered."""


def start(client: Any, function: str, kind: str, filters: Filters, time_zone: str, now: datetime) -> str:
    """Start an export of `kind` through boto3's client for Lambda, and return the job's id. Raises LedgerJobsError."""
    from botocore.exceptions import BotoCoreError, ClientError  # as heavy as boto3

    job = f"{now.astimezone(UTC):{_TIME}}-{uuid4().hex[:12]}"
    event = {
        "task": "export",
        "job": job,
        "format": kind,
        "from": filters.start.isoformat(),
        "to": filters.end.isoformat(),
        "time_zone": time_zone,
        **{
            name: getattr(filters, name)
            for name in ("outcome", "model", "served_model", "tenant", "function")
        },
        "tags": list(filters.tags),
    }
    try:
        client.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())
    except ClientError as error:
        raise LedgerJobsError(f"Lambda answered {error.response['Error'].get('Code', 'an error')}") from error
    except BotoCoreError as error:
        raise LedgerJobsError(f"Lambda cannot be reached: {type(error).__name__}") from error
    return job


def status(store: Store, job: str, now: datetime) -> dict[str, Any] | None:
    """How far a job is, with links to its files; None if there is no such job. Raises StoreError."""
    asked_at = _asked_at(job)
    if asked_at is None:
        return None
    found = store.export_status(job)
    if found is None:
        begins = asked_at <= now < asked_at + _BEGINS_WITHIN
        return {"id": job, "status": "running", "files": [], "error": None} if begins else None
    return {
        "id": job,
        "status": found["status"],
        "files": _linked(store, job, found.get("files", ())),
        "error": found.get("error"),
    }


def _linked(store: Store, job: str, files: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": file["name"],
            "bytes": file["bytes"],
            "url": store.presign(s3_keys.export_key(job, file["name"]), _LINK_S),
        }
        for file in files
    ]


def _asked_at(job: str) -> datetime | None:
    time, hyphen, random = job.partition("-")
    if not hyphen or len(random) != 12 or not set(random) <= set("0123456789abcdef"):
        return None
    try:
        return datetime.strptime(time, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
