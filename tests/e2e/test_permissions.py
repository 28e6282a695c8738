"""Least privilege, shown: what each function asks AWS for is what its role allows, no less and no more.

Every function of the template does all that it can do, on the laptop's AWS; a recorder in front of each writes down
the permission that each request takes. What AWS does with a role by itself is listed here with its reason.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import httpx
import pytest

from infra.local.endpoints.http_server import HttpServer
from infra.local.logs.log_groups import LogEvent
from infra.local.sam.function import FunctionConfig
from infra.local.sam.template import Template
from infra.local.simulator import Simulator
from infra.local.stack import LocalAws, LocalAwsConfig
from tests import log_lines as lines
from tests.price_offers import offer
from tests.recording import Permission, Recorder
from tests.unit.cloudformation import ROOT
from tests.unit.test_template import granted
from weir.ledger.ingest import ingest
from weir.ledger.store import Store

# Granted, and never asked for by our code: who uses it instead.
BY_AWS = {
    "s3:GetBucketLocation": "Athena, with its caller's permissions",
    "s3:AbortMultipartUpload": "Athena, with its caller's permissions",
    "s3:ListMultipartUploadParts": "Athena, with its caller's permissions",
    "glue:GetDatabase": "Athena, with its caller's permissions",
    "glue:GetDatabases": "Athena, with its caller's permissions",
    "glue:GetTable": "Athena, with its caller's permissions",
    "glue:GetPartitions": "Athena, with its caller's permissions",
    "sqs:SendMessage": "Lambda, for a batch that failed three times",
    "kms:Decrypt": "Secrets Manager and Parameter Store, for a key of the customer's",
    "s3:PutObject athena/*": "Athena, with its caller's permissions",
    "s3:GetObject athena/*": "Athena, with its caller's permissions",
}
# Sums of compacted days: whoever reports will read them instead of the rows.
BY_AWS["s3:GetObject rollups/v1/*"] = "reports over compacted days"
# Asked for only where there is more to do than a test should make, with the test that shows it.
# Only with EnableAccessTable, which the laptop leaves off; tests/functional/access shows what is asked for.
BY_AWS |= {
    "dynamodb:GetItem": "generate, with EnableAccessTable",
    "dynamodb:UpdateItem": "generate and the ledger jobs, with EnableAccessTable",
    "dynamodb:Scan": "the ledger jobs, with EnableAccessTable",
    # Only with UpstreamKey=role; tests of the providers sign and mint as botocore does.
    "bedrock:InvokeModel": "generate, with UpstreamKey=role",
    "bedrock:InvokeModelWithResponseStream": "generate, with UpstreamKey=role",
    "bedrock:CallWithBearerToken": "generate, with UpstreamKey=role",
}
BY_SIZE = {
    "LedgerJobsFunction lambda:InvokeFunction": "a run of over 100 MB of facts starts itself for each unit"
}
# Only with PriceOverrides=ssm:; tests/functional/pricing shows it, and generate asks here as all of them do.
BY_SETTING = {
    f"{name} ssm:GetParameter": "a contract's prices, with PriceOverrides=ssm:"
    for name in ("LedgerJobsFunction", "ExportFunction", "FinanceFunction")
}
SECRET, PARAMETER = "weir/upstream", "/weir/upstream"
CONTRACTS, CONTRACT = "contracts", "weir/prices.json"
PRICES = ROOT / "infra/local/prices.json"
POISON = lines.platform("report", "no-metrics")
DROPPED = {"time": "2026-11-22T12:00:00Z", "type": "platform.logsDropped", "record": {"droppedRecords": 3}}
ROLE_OF = {"GenerateBySsm": "GenerateFunction", "FinanceByAthena": "FinanceFunction"}


def allowed(function: str) -> dict[str, list[str]]:
    """What the template grants: patterns of keys by action; "" where no object is meant."""
    return {
        action: sorted(
            CONTRACT if resource.endswith(":s3:::${Object}") else resource.partition("BucketArn}/")[2]
            for resource in resources
        )
        for action, resources in granted(function).items()
    }


def covers(pattern: str, key: str) -> bool:
    """Whether a resource of the template means that key."""
    return fnmatchcase(key, pattern) if pattern else not key


def last_month(now: datetime) -> datetime:
    """Noon of a day of the month before last: its month can be closed."""
    first = now.replace(day=1, hour=12, minute=0, second=0, microsecond=0)
    return (first - timedelta(days=3)).replace(day=1) - timedelta(days=3)


def book(store: Store, request_id: str, at: datetime) -> None:
    """What a subscription would have delivered on that day."""
    moved = json.loads(json.dumps(lines.request(request_id)).replace("2026-11-22", at.date().isoformat()))
    stamp = round(at.timestamp() * 1000)
    events = [lines.log_event(line, f"{request_id}-{n}", stamp + n) for n, line in enumerate(moved)]
    ingest(lines.batch(events), store, "us-east-1")


class Everything:
    """The functions, each behind a recorder, and all that they can do."""

    def __init__(self, aws: LocalAws, client: httpx.AsyncClient, bucket: str) -> None:
        self.aws, self.client, self.bucket = aws, client, bucket
        self.store = Store(bucket, aws.services.client("s3"))
        self.now = datetime.now(UTC)

    async def run(self) -> None:
        await self._generations()
        await self._old_months()
        await self._counted()
        await self._finance()

    async def _generations(self) -> None:
        for name in ("GenerateFunction", "GenerateBySsm"):
            answer = await self.client.post(
                f"{self.aws.function_url(name)}/v1/generations", json={"prompt": "x", "model": "sim-fast"}
            )
            assert answer.status_code == 200, answer.text
        # Delivered, and no report as Lambda writes it: it is set aside.
        group = self.aws.logs[self.aws.log_group("GenerateFunction")]
        group.write("stream", json.dumps(POISON))
        group.write("stream", json.dumps(DROPPED))
        await self.aws.settled()

    async def _old_months(self) -> None:
        old = last_month(self.now)
        days = {"first": old.date().isoformat(), "last": old.date().isoformat()}
        await asyncio.to_thread(book, self.store, "old-1", old)
        for _ in range(2):
            await self._task("refresh_prices")
        await self._task("compact", **days)
        await self._task("close", month=old.strftime("%Y-%m"))
        await asyncio.to_thread(book, self.store, "old-2", old)
        await self._task("compact", **days)
        await self._task("compact")
        # An hour with several objects is gathered, and its copy is read by whoever joins the day again: finance, where
        # something came after the compaction, and the next compaction.
        for ago in (1, 2):
            day = self.now.replace(hour=6) - timedelta(days=ago)
            for number, hour in enumerate((6, 6, 6, 9)):
                await asyncio.to_thread(book, self.store, f"d{ago}-{number}", day.replace(hour=hour))
        await self._task("compact")
        for ago in (1, 2):
            day = self.now.replace(hour=10) - timedelta(days=ago)
            await asyncio.to_thread(book, self.store, f"d{ago}-late", day)
        yesterday = (self.now - timedelta(days=1)).date().isoformat()
        for shard in range(2):
            await self._task("compact_unit", day=yesterday, shard=shard, shards=2)

    async def _counted(self) -> None:
        group = self.aws.logs[self.aws.log_group("GenerateFunction")]
        at = round(self.now.timestamp() * 1000) - 60_000
        skipped = [*lines.request("skipped"), POISON, DROPPED]
        # Appended, not written: no subscriber hears of it, and the count brings it in.
        group.events += [
            LogEvent(f"{9000 + n:056d}", at + n, json.dumps(line), "s") for n, line in enumerate(skipped)
        ]
        for _ in range(2):
            await self._task("reconcile_completeness", hours=1, settle_minutes=0)
        # The second time it reads what the first one kept.
        for _ in range(2):
            await self._task("meter", hours=1, settle_minutes=0)

    async def _finance(self) -> None:
        old = last_month(self.now)
        span = {
            "from": (old - timedelta(days=1)).date().isoformat(),
            "to": (old + timedelta(days=1)).date().isoformat(),
        }
        for name in ("FinanceFunction", "FinanceByAthena"):
            for path, query in (
                ("report", {}),
                ("report", span),
                ("requests", span),
                ("requests/old-1", span),
            ):
                answer = await self.client.get(f"{self.aws.function_url(name)}/api/{path}", params=query)
                # Over moto's Athena, which has no rows, an answer is none: that it was asked is what counts.
                assert answer.status_code == 200 or name == "FinanceByAthena", answer.text
        finance = self.aws.function_url("FinanceFunction")
        for query in ({"from": (self.now - timedelta(days=2)).date().isoformat()}, span):
            started = await self.client.post(f"{finance}/api/exports", json={"format": "csv", **query})
            assert started.status_code == 202, started.text
            await self.aws.settled()
            status = (await self.client.get(f"{finance}{started.json()['status_url']}")).json()
            assert status["status"] == "done", status
            # Links are signed with finance's own permissions, and used by whoever holds them.
            assert (await self.client.get(status["files"][0]["url"])).status_code == 200

    async def _task(self, task: str, **members: Any) -> None:
        answer = await self.client.post(
            f"{self.aws.lambda_endpoint}/2015-03-31/functions/LedgerJobsFunction/invocations",
            content=json.dumps({"task": task, **members}),
            headers={"content-type": "application/json"},
        )
        assert "x-amz-function-error" not in answer.headers, answer.text


@pytest.fixture
async def recorders() -> AsyncIterator[dict[str, Recorder]]:
    endpoints: dict[str, str] = {"": ""}
    found: dict[str, Recorder] = {}
    key = "sim-key"
    offers = HttpServer(price_list)
    offers.start()
    async with Simulator(api_key=key) as simulator:
        functions = functions_of(simulator.base_url)
        for name, function in functions.items():
            recorder = found[name] = Recorder(endpoints)
            recorder.start()
            names = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS")
            behind = dict.fromkeys(names, recorder.server.url)
            if "WEIR_PRICE_LIST" in function.environment:
                behind["WEIR_PRICE_LIST"] = offers.url
            functions[name] = replace(function, environment={**function.environment, **behind})
        async with (
            LocalAws(LocalAwsConfig(functions=list(functions.values()))) as aws,
            httpx.AsyncClient(timeout=60) as client,
        ):
            endpoints |= {"": aws.services.url, "lambda": aws.lambda_endpoint, "logs": aws.logs_endpoint}
            bucket = functions["LedgerFunction"].environment["WEIR_LEDGER_BUCKET"]
            workgroup = functions["FinanceFunction"].environment["WEIR_ATHENA_WORKGROUP"]
            await asyncio.to_thread(prepare, aws, key, bucket, workgroup)
            await Everything(aws, client, bucket).run()
        yield found
    for recorder in found.values():
        await recorder.close()
    await offers.close()


async def price_list(scope: Any, receive: Any, send: Any) -> None:
    """AWS's, of nothing: public, and no permission."""
    code = scope["path"].split("/")[4]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(offer(code)).encode()})


def functions_of(upstream: str) -> dict[str, FunctionConfig]:
    """The template's, and two more with other settings and the same roles."""
    parameters = {
        "UpstreamKey": f"secretsmanager:{SECRET}",
        "UpstreamBaseUrl": upstream,
        "UpstreamModel": "sim-1",
        "UpstreamProvider": "simulator",
        "PriceOverrides": f"s3://{CONTRACTS}/{CONTRACT}",
    }
    functions = dict(Template(ROOT / "template.yaml", parameters, region="us-east-1").functions)
    for name, setting in (
        ("GenerateBySsm", {"WEIR_UPSTREAM_KEY": f"ssm:{PARAMETER}"}),
        ("FinanceByAthena", {"WEIR_ATHENA_OVER_BYTES": "1"}),
    ):
        function = functions[ROLE_OF[name]]
        functions[name] = replace(function, name=name, environment={**function.environment, **setting})
    return functions


def prepare(aws: LocalAws, key: str, bucket: str, workgroup: str) -> None:
    """What has to lie in the account before anything runs."""
    s3 = aws.services.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=CONTRACTS)
    s3.put_object(Bucket=CONTRACTS, Key=CONTRACT, Body=PRICES.read_bytes())
    aws.services.client("secretsmanager").create_secret(Name=SECRET, SecretString=key)
    aws.services.client("ssm").put_parameter(Name=PARAMETER, Value=key, Type="SecureString")
    place = {"ResultConfiguration": {"OutputLocation": f"s3://{bucket}/athena/"}}
    aws.services.client("athena").create_work_group(Name=workgroup, Configuration=place)


@pytest.mark.timeout(240)
async def test_each_function_is_allowed_what_it_asks_for_and_nothing_else(
    recorders: dict[str, Recorder],
) -> None:
    asked: dict[str, set[Permission]] = {}
    for name, recorder in recorders.items():
        asked.setdefault(ROLE_OF.get(name, name), set()).update(recorder.seen)
    table, wrong = [], []
    for function, seen in sorted(asked.items()):
        may = allowed(function)
        for one in sorted(seen):
            if not any(covers(pattern, one.key) for pattern in may.get(one.action, ())):
                wrong.append(f"{function} asks for {one.action} {one.key}: its role does not allow it")
        for action, patterns in sorted(may.items()):
            for pattern in patterns:
                used = any(one.action == action and covers(pattern, one.key) for one in seen)
                why = (
                    "asked"
                    if used
                    else (
                        BY_AWS.get(action)
                        or BY_AWS.get(f"{action} {pattern}")
                        or (BY_SIZE | BY_SETTING).get(f"{function} {action}")
                    )
                )
                table.append(f"{function:20} {action:32} {pattern:20} {why or 'NEVER ASKED'}")
                if not why:
                    wrong.append(f"{function} may {action} {pattern}, and never does: take it away")
    print("\n".join(table))
    assert not wrong, "\n".join(wrong)
