"""S3 as far as the ledger uses it, in a folder: objects with metadata and ETags, conditions, listings, and a count of
what is asked. It stands in where a million requests have to be measured without the time of a server in Python."""

import io
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

_PAGE = 1_000  # keys


class CountingS3:
    """A boto3 client for one bucket; `asked` counts requests as S3 bills them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.asked: Counter[str] = Counter()
        self.sizes: dict[str, tuple[int, str, dict[str, str], datetime]] = {}
        self._folder = folder
        self._lock = Lock()

    def put_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Body: Any,
        Metadata: dict[str, str] | None = None,
        IfNoneMatch: str | None = None,
        IfMatch: str | None = None,
    ) -> dict[str, Any]:
        self._count("PUT")
        content = Body if isinstance(Body, bytes) else Body.read()
        etag = md5(content, usedforsecurity=False).hexdigest()
        with self._lock:
            there = self.sizes.get(Key)
            if (IfNoneMatch and there) or (IfMatch and (there is None or there[1] != IfMatch.strip('"'))):
                raise _error("PreconditionFailed", 412, "PutObject")
            self._path(Key).write_bytes(content)
            self.sizes[Key] = len(content), etag, Metadata or {}, datetime.now(UTC)
        return {"ETag": f'"{etag}"'}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        self._count("GET")
        size, etag, metadata, _ = self._known(Key, "GetObject", "NoSuchKey")
        body = StreamingBody(io.BytesIO(self._path(Key).read_bytes()), size)
        return {"Body": body, "ETag": f'"{etag}"', "Metadata": metadata}

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        self._count("GET")
        size, etag, metadata, _ = self._known(Key, "HeadObject", "404")
        return {"ETag": f'"{etag}"', "Metadata": metadata, "ContentLength": size}

    def copy_object(
        self, *, Bucket: str, Key: str, CopySource: dict[str, str], CopySourceIfMatch: str
    ) -> dict[str, Any]:
        self._count("PUT")
        known = self._known(CopySource["Key"], "CopyObject", "NoSuchKey")
        if known[1] != CopySourceIfMatch.strip('"'):
            raise _error("PreconditionFailed", 412, "CopyObject")
        self._path(Key).write_bytes(self._path(CopySource["Key"]).read_bytes())
        self.sizes[Key] = known
        return {}

    def get_paginator(self, name: str) -> "CountingS3":
        assert name == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str, StartAfter: str = "") -> Iterator[dict[str, Any]]:
        keys = sorted(key for key in self.sizes if key.startswith(Prefix) and key > StartAfter)
        for start in range(0, max(len(keys), 1), _PAGE):
            self._count("LIST")
            entries = [(key, self.sizes[key]) for key in keys[start : start + _PAGE]]
            yield {
                "Contents": [
                    {"Key": key, "Size": size, "ETag": f'"{etag}"', "LastModified": modified}
                    for key, (size, etag, _, modified) in entries
                ]
            }

    def bytes_under(self, prefix: str) -> int:
        """What the objects under a prefix take."""
        return sum(size for key, (size, *_) in self.sizes.items() if key.startswith(prefix))

    def _count(self, what: str) -> None:
        with self._lock:
            self.asked[what] += 1

    def _known(self, key: str, operation: str, code: str) -> tuple[int, str, dict[str, str], datetime]:
        if key not in self.sizes:
            raise _error(code, 404, operation)
        return self.sizes[key]

    def _path(self, key: str) -> Path:
        return self._folder / quote(key, safe="")


def _error(code: str, status: int, operation: str) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        operation,
    )
