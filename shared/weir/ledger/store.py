"""The ledger's bucket: facts written once, and objects that are read, replaced or closed.

Where things lie is s3_keys' to say. A file of facts is named by its content and every write of one is conditional
(`If-None-Match: *`), so a landing object that is delivered twice, or retried after it was written in part, finds its
objects there: S3 answers 412, and that is success. Every other failure is raised: Lambda then delivers it again.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

import gzip
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import takewhile
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from weir.errors import StorageError
from weir.ledger import s3_keys
from weir.ledger.fact_files import FactFile
from weir.ledger.log_records import Poison, RawRecord
from weir.ledger.log_subscription import KINDS, BatchError, inflate
from weir.ledger.metering import Used

_MAX_OBJECT_BYTES = 256 * 1024**2
_READERS = 8
_CHUNK = 256 * 1024


class StoreError(StorageError):
    """The bucket cannot be read or written; names the failure, and nothing of what it holds."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One object as a listing shows it; `size` in bytes, `modified` UTC."""

    key: str
    size: int
    etag: str
    modified: datetime


class Store:
    """One bucket; `client` is boto3's for S3, made at first use unless given. `used` counts what is asked of it."""

    def __init__(self, bucket: str, client: Any = None) -> None:
        self.bucket = bucket
        self._client = client
        self._old_facts: bool | None = None  # whether there are any; None is not known yet
        self.used = Used()
        self._counting = Lock()
        self._making = Lock()

    @property
    def client(self) -> Any:
        """The S3 client."""
        if self._client is None:
            with self._making:  # two threads that ask at once would make two, each in a fifth of a second
                if self._client is None:
                    self._client = self._made_client()
        return self._client

    @staticmethod
    def _made_client() -> Any:
        import boto3  # heavy: not before it is needed
        from botocore.config import Config

        # For links: in us-east-1 boto3 signs them by version 2 unless told, which S3 takes for old buckets only.
        # Elsewhere it names the global host, which sends a new bucket's readers on to its Region, where the
        # signature is wrong (boto3#4768); the virtual style names the Region's host.
        return boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}))

    # Facts

    def write_facts(self, file: FactFile) -> bool:
        """Write one hour's facts as one object; False if they were there. Raises StoreError."""
        return self.upload(s3_keys.fact_key(file.hour, file.name), file.path, once=True)

    def write_poison(self, poison: Poison, day: date | None) -> bool:
        """Set one poison aside; False if it was there. Raises StoreError."""
        content = poison.line() + b"\n"
        key = f"{s3_keys.poison_folder(day)}/{sha256(content).hexdigest()}.json.gz"
        return self._put(key, gzip.compress(content, mtime=0), {}, True, None)

    def write_dropped(self, record: RawRecord) -> bool:
        """Keep that the platform lost log lines; False if it was known. Raises StoreError."""
        return self.write_json(s3_keys.dropped_key(record.at, record.event_id), record.body, once=True)

    def landed(self, key: str) -> Iterator[bytes]:
        """The bytes of a landing object, in pieces. Raises StoreError."""
        self._count(gets=1)
        with _answers():
            body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"]
            yield from body.iter_chunks(_CHUNK)

    def fact_objects(self, first: date, last: date) -> list[Stored]:
        """The objects with facts that the joins of the days `first` to `last` read, by key. Raises StoreError."""
        first_hour, last_hour = s3_keys.hours_around(first, last)
        # A slash is the character before 0: what lies in the last hour's folder comes before this.
        end = f"{s3_keys.FACT_HOURS}{last_hour}0"
        listed = self.objects(s3_keys.FACT_HOURS, f"{s3_keys.FACT_HOURS}{first_hour}")
        found = list(takewhile(lambda entry: entry.key < end, listed))
        if self._has_old_facts():
            old_first, old_last = s3_keys.old_days_around(first, last)
            between = partial(self._between, first=old_first, last=old_last)
            with _answers(), ThreadPoolExecutor(_READERS) as pool:
                for old in pool.map(between, map(s3_keys.old_fact_days, KINDS)):
                    found += old
        return sorted(found, key=attrgetter("key"))

    def gathered(self, first: date, last: date) -> dict[str, Stored]:
        """The objects that hold an hour's facts in one, by hour. Raises StoreError."""
        first_hour, last_hour = s3_keys.hours_around(first, last)
        end = f"{s3_keys.GATHERED_HOURS}{last_hour}0"
        listed = self.objects(s3_keys.GATHERED_HOURS, f"{s3_keys.GATHERED_HOURS}{first_hour}")
        return {
            str(s3_keys.hour_of(entry.key)): entry
            for entry in takewhile(lambda entry: entry.key < end, listed)
        }

    def download_all(self, keys: Mapping[str, Path]) -> None:
        """Bring several objects, a few at a time. Raises StoreError."""
        with ThreadPoolExecutor(_READERS) as pool:
            list(pool.map(self.download, keys.keys(), keys.values()))

    def old_records(self, keys: Sequence[str], unreadable: list[str]) -> Iterator[RawRecord]:
        """Each raw record of some objects of the first layout, a few in memory at a time. Raises StoreError.

        The keys of objects that are not what they should be are appended to `unreadable`.
        """
        ahead: deque[Future[list[RawRecord] | None]] = deque()
        with _answers(), ThreadPoolExecutor(_READERS) as pool:
            try:
                for number, key in enumerate(keys):
                    while len(ahead) < 2 * _READERS and number + len(ahead) < len(keys):
                        ahead.append(pool.submit(self._read_old_facts, keys[number + len(ahead)]))
                    records = ahead.popleft().result()
                    if records is None:
                        unreadable.append(key)
                    else:
                        yield from records
            finally:
                for waiting in ahead:
                    waiting.cancel()

    def dropped(self, first: date, last: date) -> list[datetime]:
        """When the platform lost log lines, on the days `first` to `last`. Raises StoreError."""
        with _answers():
            found = self._between(s3_keys.DROPPED_DAYS, first, last)
        milliseconds = (int(entry.key.rpartition("/")[2].partition("-")[0]) for entry in found)
        return [datetime.fromtimestamp(ms / 1000, UTC) for ms in milliseconds]

    def count_poison(self) -> int:
        """How many records and batches are set aside. Raises StoreError."""
        return sum(1 for _ in self.objects(s3_keys.POISON))

    # Rows, closed months, completeness

    def row_objects(self, first: date, last: date) -> list[Stored]:
        """Compacted rows, and corrections found, on the days `first` to `last`, by key. Raises StoreError."""
        with _answers():
            return self._between(s3_keys.ROW_DAYS, first, last)

    def rollup_objects(self, first: date, last: date) -> list[Stored]:
        """The roll-ups of the days `first` to `last`, by key. Raises StoreError."""
        with _answers():
            return self._between(s3_keys.ROLLUP_DAYS, first, last)

    def closed(self, month: str) -> dict[str, Any] | None:
        """The document that closes a month; None while it is open. Raises StoreError."""
        return self.read_json(s3_keys.close_key(month))

    def put_completeness(self, day: date, document: Mapping[str, Any]) -> None:
        """Replace the day's independent count. Raises StoreError."""
        self.write_json(s3_keys.completeness_key(day), document)

    def completeness(self, first: date, last: date) -> dict[date, dict[str, Any]]:
        """The counts of the days `first` to `last` that were counted. Raises StoreError."""
        with _answers():
            keys = [entry.key for entry in self._between(s3_keys.COMPLETENESS_DAYS, first, last)]
        with ThreadPoolExecutor(_READERS) as pool:
            found = zip(map(s3_keys.day_of, keys), pool.map(self.read_json, keys), strict=True)
            return {day: document for day, document in found if day is not None and document is not None}

    # Prices

    def price_list(self, region: str) -> str:
        """AWS's prices of a Region as they were refreshed, JSON; empty where nobody did. Raises StoreError."""
        document = self.read_json(s3_keys.price_list_key(region))
        return "" if document is None else json.dumps(document)

    def put_price_list(self, region: str, document: Mapping[str, Any]) -> None:
        """Replace them. Raises StoreError."""
        self.write_json(s3_keys.price_list_key(region), document)

    def write_once(self, key: str, content: bytes) -> bool:
        """Write an object; False if it was there. Raises StoreError."""
        return self._put(key, content, {}, True, None)

    def read_bytes(self, key: str) -> bytes | None:
        """An object's bytes; None if it is not there. Raises StoreError."""
        with _answers():
            answer = self._found(self.client.get_object, Bucket=self.bucket, Key=key)
            return None if answer is None else bytes(answer["Body"].read())

    # Exports

    def put_export_status(self, job: str, document: Mapping[str, Any]) -> None:
        """Say how far an export is. Raises StoreError."""
        self.write_json(s3_keys.export_key(job, "status.json"), document)

    def export_status(self, job: str) -> dict[str, Any] | None:
        """How far an export is; None if there is none of that id. Raises StoreError."""
        return self.read_json(s3_keys.export_key(job, "status.json"))

    def put_export_file(self, job: str, path: Path) -> None:
        """Upload one file of an export under its own name. Raises StoreError."""
        self.upload(s3_keys.export_key(job, path.name), path)

    def presign(self, key: str, seconds: int) -> str:
        """A link to one object for whoever holds it, for `seconds`; it downloads under the object's own name."""
        name = key.rpartition("/")[2]
        asked = {
            "Bucket": self.bucket,
            "Key": key,
            "ResponseContentDisposition": f'attachment; filename="{name}"',
        }
        return str(self.client.generate_presigned_url("get_object", Params=asked, ExpiresIn=seconds))

    # Objects

    def objects(self, prefix: str, start_after: str = "") -> Iterator[Stored]:
        """What lies under a prefix, in order of key. Raises StoreError."""
        with _answers():
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix, StartAfter=start_after
            )
            for page in pages:
                self._count(puts=1)  # a listing costs what a PUT does
                for entry in page.get("Contents", ()):
                    yield Stored(entry["Key"], entry["Size"], entry["ETag"].strip('"'), entry["LastModified"])

    def metadata(self, key: str) -> dict[str, str] | None:
        """An object's own metadata with its `etag`; None if it is not there. Raises StoreError."""
        with _answers():
            answer = self._found(self.client.head_object, Bucket=self.bucket, Key=key)
        return None if answer is None else {**answer["Metadata"], "etag": answer["ETag"].strip('"')}

    def download(self, key: str, path: Path) -> None:
        """Bring an object to `path`, whole or not at all. Raises StoreError."""
        part = path.with_name(f"{path.name}.{uuid4().hex}.part")  # two readers may bring the same one
        self._count(gets=1)
        try:
            with _answers(), part.open("wb") as file:
                body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"]
                for chunk in body.iter_chunks(1024**2):
                    file.write(chunk)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def upload(
        self,
        key: str,
        path: Path,
        metadata: Mapping[str, str] | None = None,
        *,
        once: bool = False,
        replaces: str | None = None,
    ) -> bool:
        """Write a file as one object. Raises StoreError.

        False, and nothing is written, if `once` and it is there, or if its ETag is no longer `replaces`.
        """
        with path.open("rb") as file:
            return self._put(key, file, metadata or {}, once, replaces)

    def copy(self, source: str, key: str, etag: str) -> bool:
        """Have S3 copy an object with its metadata; False if the source's ETag is another. Raises StoreError."""
        from botocore.exceptions import ClientError

        self._count(puts=1)
        with _answers():
            try:
                self.client.copy_object(
                    Bucket=self.bucket,
                    Key=key,
                    CopySource={"Bucket": self.bucket, "Key": source},
                    CopySourceIfMatch=f'"{etag}"',
                )
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 412:
                    return False
                raise
        return True

    def read_json(self, key: str) -> dict[str, Any] | None:
        """An object that holds a JSON object; None if it is not there. Raises StoreError."""
        with _answers():
            answer = self._found(self.client.get_object, Bucket=self.bucket, Key=key)
            content = None if answer is None else answer["Body"].read()
        if content is None:
            return None
        try:
            document = json.loads(content)
        except ValueError as error:
            raise StoreError(f"{key}: expected JSON, got {error}") from error
        if not isinstance(document, dict):
            raise StoreError(f"{key}: expected a JSON object, got {type(document).__name__}")
        return document

    def write_json(self, key: str, document: Mapping[str, Any], *, once: bool = False) -> bool:
        """Write a JSON object; False if `once` and it is there. Raises StoreError."""
        content = json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
        return self._put(key, content, {}, once, None)

    def _between(self, prefix: str, first: date, last: date) -> list[Stored]:
        # One listing, from the first day on, however many days: keys come in order.
        end = f"{prefix}{last + timedelta(days=1)}"
        return list(takewhile(lambda entry: entry.key < end, self.objects(prefix, f"{prefix}{first}")))

    def _has_old_facts(self) -> bool:
        # Nobody writes the first layout any more: what is not there now never will be.
        if self._old_facts is None:
            self._old_facts = next(iter(self.objects(s3_keys.OLD_FACTS)), None) is not None
        return self._old_facts

    def _read_old_facts(self, key: str) -> list[RawRecord] | None:
        self._count(gets=1)
        body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        try:
            lines = inflate(body, _MAX_OBJECT_BYTES).splitlines()
            return [RawRecord.from_line(line) for line in lines if line]
        except (BatchError, ValueError):
            return None

    def _put(
        self, key: str, body: Any, metadata: Mapping[str, str], once: bool, replaces: str | None
    ) -> bool:
        conditions = {"IfNoneMatch": "*"} if once else {"IfMatch": f'"{replaces}"'} if replaces else {}
        with _answers():
            return self._conditional(key, body, Metadata=dict(metadata), **conditions)

    def _conditional(self, key: str, body: Any, **asked: Any) -> bool:
        from botocore.exceptions import ClientError  # as heavy as boto3

        self._count(puts=1)
        try:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **asked)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 412:
                return False
            raise
        return True

    def _count(self, gets: int = 0, puts: int = 0) -> None:
        with self._counting:
            self.used.s3_gets += gets
            self.used.s3_puts += puts

    def _found(self, call: Any, **asked: Any) -> Any:
        from botocore.exceptions import ClientError

        self._count(gets=1)
        try:
            return call(**asked)
        except ClientError as error:
            # HEAD has no body, so its 404 has no name; a bucket that is missing is not an object that is.
            if error.response["Error"].get("Code") in ("NoSuchKey", "404"):
                return None
            raise


@contextmanager
def _answers() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise StoreError(f"S3 answered {error.response['Error'].get('Code', 'an error')}") from error
    except BotoCoreError as error:
        raise StoreError(f"S3 cannot be reached: {type(error).__name__}") from error
