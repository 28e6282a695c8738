"""The ledger jobs count the laptop's log groups through boto3, as on AWS, and brings in what was never delivered."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import boto3

from infra.local.aws_services import CREDENTIALS
from infra.local.logs.log_groups import LogEvent
from infra.local.stack import LocalAws
from tests import log_lines as lines
from tests.buckets import facts_of
from weir.ledger.join import join
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook


def client(service: str, endpoint: str) -> Any:
    keys = {name.lower(): value for name, value in CREDENTIALS.items()}
    return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1", **keys)


async def test_lines_that_no_subscription_delivered_are_brought_in_once() -> None:
    now, numbers = datetime.now(UTC), count(1)
    async with LocalAws() as aws:
        group = aws.logs[aws.log_group("GenerateFunction")]
        for request_id in ("r1", "r2", "r3"):
            for line in lines.request(request_id):
                at = round((now - timedelta(minutes=1)).timestamp() * 1000) + next(numbers)
                # Appended, not written: no subscriber hears of it.
                group.events.append(LogEvent(f"{next(numbers):056d}", at, json.dumps(line), "stream"))
        functions = client("lambda", aws.lambda_endpoint)
        task = json.dumps({"task": "reconcile_completeness", "hours": 1, "settle_minutes": 0})
        answers = []
        for _ in range(2):
            answer = await asyncio.to_thread(
                functions.invoke, FunctionName="LedgerJobsFunction", Payload=task
            )
            answers.append(json.loads(answer["Payload"].read()))
        s3 = client("s3", aws.moto_endpoint)
        (bucket,) = [entry["Name"] for entry in (await asyncio.to_thread(s3.list_buckets))["Buckets"]]
        store = Store(bucket, s3)
        days: tuple[date, date] = (now.date() - timedelta(days=1), datetime.now(UTC).date())
        facts = await asyncio.to_thread(facts_of, store, *days)
        documents = await asyncio.to_thread(store.completeness, *days)
    first, again = answers
    assert (first["reports_in_log"], first["reports_stored"], first["backfilled"]) == (3, 0, 3), answers
    assert (again["reports_in_log"], again["reports_stored"], again["backfilled"]) == (3, 3, 0), answers
    rows = join(facts, PriceBook.load())
    assert [row.request_id for row in rows] == ["r1", "r2", "r3"]
    assert {row.join_status for row in rows} == {"complete"}
    counted = [entry for document in documents.values() for entry in document["hours"].values()]
    assert sum(entry["reports_in_log"] for entry in counted) == 3
    assert sum(entry["backfilled"] for entry in counted) == 3
