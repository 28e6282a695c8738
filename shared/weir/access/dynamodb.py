"""The access table, by signed HTTP over the transport that is there: no boto3 on a request's path.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx

from weir.errors import ConfigurationError, StorageError
from weir.providers.sigv4 import Credentials, sign

TIMEOUT_S = 2.0
_TARGET = "DynamoDB_20120810."
_TYPE = "application/x-amz-json-1.0"


class AccessStoreError(StorageError):
    """The table did not answer in time, or refused: nobody can say what it holds."""


class ConditionFailed(AccessStoreError):
    """A condition did not hold; `item` is what the table has, if it was asked to say."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        super().__init__("the table: expected a condition to hold, got another state")
        self.item = item


class ItemRefused(AccessStoreError):
    """The table answers, and an item cannot be changed as it was asked: it has members of other shapes, or is full."""


class AccessTable:
    """One table; what sends is shared with the process, its credentials are read for each call.

    A transport sends rather than a client, whose redirects, cookies and merging would be half of a call's own time.
    """

    def __init__(
        self,
        send: Callable[[httpx.Request], Awaitable[httpx.Response]],
        *,
        endpoint: str,
        region: str,
        table: str,
        credentials: Callable[[], Awaitable[Credentials]],
        utc_now: Callable[[], datetime],
    ) -> None:
        self._send = send
        self._url = httpx.URL(endpoint)
        self._region = region
        self._table = table
        self._credentials = credentials
        self._utc_now = utc_now

    async def update(
        self, request: Mapping[str, Any], meanwhile: Callable[[], None] | None = None
    ) -> Mapping[str, Any]:
        """UpdateItem; the item's attributes, if the request asks for them.

        `meanwhile` is called when the request has been written: the time that its answer takes is for other work.
        Raises ConditionFailed, ItemRefused, AccessStoreError.
        """
        return _mapping((await self._call("UpdateItem", request, meanwhile)).get("Attributes"))

    async def put(self, request: Mapping[str, Any]) -> None:
        """PutItem. Raises ConditionFailed, AccessStoreError."""
        await self._call("PutItem", request)

    async def get(self, key: Mapping[str, Any], *, consistent: bool = False) -> Mapping[str, Any] | None:
        """GetItem; None where there is none. Raises AccessStoreError."""
        answer = await self._call("GetItem", {"Key": key, "ConsistentRead": consistent})
        item = answer.get("Item")
        return item if isinstance(item, Mapping) else None

    async def get_all(self, keys: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """BatchGetItem: the items that there are, in any order. Raises AccessStoreError."""
        asked = {"RequestItems": {self._table: {"Keys": keys}}}
        answer = await self._call("BatchGetItem", asked)
        if answer.get("UnprocessedKeys"):
            raise AccessStoreError("the table: expected all items that were asked for, got fewer: it is busy")
        found = _mapping(answer.get("Responses")).get(self._table)
        return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []

    async def delete(self, request: Mapping[str, Any]) -> None:
        """DeleteItem. Raises ConditionFailed, AccessStoreError."""
        await self._call("DeleteItem", request)

    async def _call(
        self, operation: str, members: Mapping[str, Any], meanwhile: Callable[[], None] | None = None
    ) -> Mapping[str, Any]:
        named = members if "RequestItems" in members else {"TableName": self._table, **members}
        body = json.dumps(named, separators=(",", ":")).encode()
        headers = {"content-type": _TYPE, "x-amz-target": _TARGET + operation}
        host = self._url.netloc.decode("ascii")
        try:
            signed = sign(
                "POST", host, "/", headers, body,
                credentials=await self._credentials(), region=self._region, service="dynamodb", at=self._utc_now(),
            )  # fmt: skip
            timeout = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_S)
            extensions: dict[str, Any] = {"timeout": timeout}
            if meanwhile is not None:
                extensions["trace"] = _when_written(meanwhile)
            # Headers that are whole and a body that is a stream: httpx works out nothing of them.
            whole = {"host": host, "content-length": str(len(body)), **headers, **signed}
            stream = httpx.ByteStream(body)
            request = httpx.Request("POST", self._url, headers=whole, stream=stream, extensions=extensions)
            response = await self._send(request)
            try:
                answer = json.loads(await response.aread())
            finally:
                await response.aclose()
        except (httpx.HTTPError, ConfigurationError, ValueError) as error:
            raise AccessStoreError(
                f"the table: expected an answer of DynamoDB, got {type(error).__name__}"
            ) from error
        if response.status_code == 200 and isinstance(answer, dict):
            return answer
        kind = str(_mapping(answer).get("__type", "")).rpartition("#")[2]
        if kind == "ConditionalCheckFailedException":
            raise ConditionFailed(_mapping(_mapping(answer).get("Item")))
        message = str(_mapping(answer).get("message") or _mapping(answer).get("Message") or "")[:200]
        refused = ItemRefused if kind == "ValidationException" else AccessStoreError
        raise refused(f"the table: expected 200, got {response.status_code} {kind} {message}".rstrip())


def _when_written(call: Callable[[], None]) -> Callable[[str, Any], Awaitable[None]]:
    async def trace(event: str, info: Any) -> None:
        if event == "http11.send_request_body.complete":
            call()

    return trace


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
