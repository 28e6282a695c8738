"""A DynamoDB table of one test, on the shared moto, reached as generate reaches it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import httpx
import pytest

from tests.buckets import enter_account
from weir.access.dynamodb import AccessTable
from weir.providers.role_credentials import RoleCredentials


class Clock:
    """A clock that stands until somebody moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 28, 12, 0, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    @staticmethod
    def real() -> float:
        return datetime.now(UTC).timestamp()

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def environment(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    enter_account(moto_url, monkeypatch)
    return dict(os.environ)


@pytest.fixture
def dynamodb(environment: dict[str, str], moto_url: str) -> Iterator[Any]:
    client = boto3.client("dynamodb", endpoint_url=moto_url, region_name="us-east-1")
    for name in ("access", "answers"):
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        )  # fmt: skip
    yield client
    client.close()


class OneAtATime(httpx.AsyncHTTPTransport):
    """DynamoDB checks a condition and writes in one step; moto's threads do not, so it is asked one question at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = asyncio.Lock()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with self._turn:
            response = await super().handle_async_request(request)
            await response.aread()
            return response


@pytest.fixture
async def named_table(
    dynamodb: Any, environment: dict[str, str], moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[str], AccessTable]]:
    monkeypatch.setattr("weir.access.dynamodb.TIMEOUT_S", 60.0)  # of a machine that is busy with other tests
    async with httpx.AsyncClient(transport=OneAtATime()) as client:
        yield lambda name: AccessTable(
            client.send, endpoint=moto_url, region="us-east-1", table=name,
            credentials=RoleCredentials(environment).get, utc_now=lambda: datetime.now(UTC),
        )  # fmt: skip


@pytest.fixture
def table(named_table: Callable[[str], AccessTable]) -> AccessTable:
    return named_table("access")


class Late:
    """Writes what it is asked, and answers that so late that nobody waits for it, or says that it broke."""

    def __init__(self, table: AccessTable, error: Exception | None = None) -> None:
        self._update, self._error = table.update, error
        self.written = asyncio.Event()

    async def __call__(self, request: Mapping[str, Any], *_: Any) -> Mapping[str, Any]:
        await self._update(request)
        self.written.set()
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()
        raise AssertionError("nobody waits as long")
