"""The ledger's objects in S3: written once, named by their content, found by kind and day.

    facts/v1/kind=<kind>/dt=<UTC day of the record>/<sha256 of the content>.ndjson.gz
    poison/v1/dt=<UTC day, or unknown>/<sha256 of the content>.json.gz

The name comes from the content and every write is conditional (`If-None-Match: *`), so a batch that is
delivered twice, or retried after it was written in part, finds its objects there: S3 answers 412, and that is
success. Every other failure is raised: Lambda then delivers the batch again.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

import gzip
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from itertools import takewhile
from threading import Lock
from typing import Any

from weir.core.ledger.logbatch import KINDS, BatchError, inflate
from weir.core.ledger.rawrecords import Poison, RawRecord

_MAX_OBJECT_BYTES = 256 * 1024**2
_MAX_CACHED_RECORDS = 200_000
_READERS = 8


class StoreError(Exception):
    """The bucket cannot be read; names the failure, and nothing of what it holds."""


@dataclass(slots=True)
class Facts:
    """What reading a range of days found; an object that cannot be read is named, not passed over."""

    records: list[RawRecord] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


class Store:
    """One bucket of raw facts; `client` is boto3's for S3, made at first use unless given."""

    def __init__(self, bucket: str, client: Any = None) -> None:
        self.bucket = bucket
        self._client = client
        # Objects never change, so what was read once is kept, up to a bound.
        self._cache: OrderedDict[str, list[RawRecord]] = OrderedDict()
        self._lock = Lock()  # a framework may read from several threads

    @property
    def client(self) -> Any:
        """The S3 client."""
        if self._client is None:
            import boto3  # 100 ms: not before it is needed

            self._client = boto3.client("s3")
        return self._client

    def write_facts(self, kind: str, day: date, records: Iterable[RawRecord]) -> bool:
        """Write one kind and day as one object; False if it was there. Raises botocore's errors."""
        lines = sorted({record.line() for record in records})
        return self._write(f"facts/v1/kind={kind}/dt={day.isoformat()}", b"\n".join(lines) + b"\n", "ndjson")

    def write_poison(self, poison: Poison, day: date | None) -> bool:
        """Set one poison aside; False if it was there. Raises botocore's errors."""
        folder = f"poison/v1/dt={'unknown' if day is None else day.isoformat()}"
        return self._write(folder, poison.line() + b"\n", "json")

    def facts(self, first: date, last: date) -> Facts:
        """Every raw record of the days `first` to `last`, both included. Raises StoreError."""
        with _readable():
            return self._facts(first, last)

    def _facts(self, first: date, last: date) -> Facts:
        found = Facts()
        with self._lock, ThreadPoolExecutor(_READERS) as pool:
            listed = pool.map(lambda kind: self._keys_of(kind, first, last), KINDS)
            keys = [key for of_kind in listed for key in of_kind]
            missing = [key for key in keys if key not in self._cache]
            read = dict(zip(missing, pool.map(self._read, missing), strict=True))
            for key in keys:
                records = self._cache[key] if key in self._cache else read[key]
                if records is None:
                    found.unreadable.append(key)
                    continue
                self._cache[key] = records
                self._cache.move_to_end(key)
                found.records.extend(records)
            cached = sum(map(len, self._cache.values()))
            while cached > _MAX_CACHED_RECORDS:
                cached -= len(self._cache.popitem(last=False)[1])
        return found

    def count_poison(self) -> int:
        """How many records and batches are set aside. Raises StoreError."""
        with _readable():
            return sum(1 for _ in self._keys("poison/v1/"))

    def _keys_of(self, kind: str, first: date, last: date) -> list[str]:
        # One listing a kind, from the first day on, however many days: keys come in order.
        prefix = f"facts/v1/kind={kind}/dt="
        end = f"{prefix}{last + timedelta(days=1)}"
        return list(takewhile(lambda key: key < end, self._keys(prefix, f"{prefix}{first}")))

    def _keys(self, prefix: str, start_after: str = "") -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, StartAfter=start_after
        )
        for page in pages:
            for entry in page.get("Contents", ()):
                yield entry["Key"]

    def _read(self, key: str) -> list[RawRecord] | None:
        body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        try:
            return [
                RawRecord.from_line(line) for line in inflate(body, _MAX_OBJECT_BYTES).splitlines() if line
            ]
        except (BatchError, ValueError):
            return None

    def _write(self, folder: str, content: bytes, extension: str) -> bool:
        from botocore.exceptions import ClientError  # as heavy as boto3

        key = f"{folder}/{sha256(content).hexdigest()}.{extension}.gz"
        body = gzip.compress(content, mtime=0)  # the same bytes for the same content
        try:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=body, IfNoneMatch="*")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 412:
                return False
            raise
        return True


@contextmanager
def _readable() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise StoreError(f"S3 answered {error.response['Error'].get('Code', 'an error')}") from error
    except BotoCoreError as error:
        raise StoreError(f"S3 cannot be reached: {type(error).__name__}") from error
