"""Least privilege, shown: what each function asks AWS for is what its role allows, no less and no more.

Every function of the template does all that it can do, on the laptop's AWS; a recorder in front of each writes down
what each request takes. A role depends on the template's parameters, so there are three stacks over one bucket: one
with keys and prices in Secrets Manager and S3 and an access table, one with both in Parameter Store and a large ledger,
and one with a models' file. Only what AWS does by itself with a role cannot run here; it is listed with its reason.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import httpx
import pytest

from infra.deploy.models import routes_of, with_permissions
from infra.deploy.settings import Settings, template_parameters
from infra.local.endpoints.http_server import HttpServer
from infra.local.endpoints.logs_api import logs_api
from infra.local.endpoints.url_event import event_of
from infra.local.logs.log_groups import LogEvent, LogGroups
from infra.local.sam.function import ACCOUNT_ID, FunctionConfig
from infra.local.sam.template import Template
from infra.local.simulator import Script, Simulator
from tests import log_lines as lines
from tests.buckets import new_account
from tests.forked import Forked
from tests.granted import Grant, findings, grants
from tests.price_offers import offer
from tests.recording import ACCOUNT, Permission, Recorder
from tests.unit.cloudformation import ROOT
from tests.unit.ledger.test_metering import report as platform_report
from weir.access import tenant_item
from weir.access.admission import key_item, limits_item
from weir.access.api_keys import new_key
from weir.access.tenant_item import NANO, TenantLimits

STACK = f"weir-{uuid4().hex[:8]}"  # all tests' buckets are on one server
BUCKET = f"{STACK}-ledgerstack-bucket"
KMS_KEY = f"arn:aws:kms:{ACCOUNT}:key/0a1b"
SECRET, PARAMETER = "weir/upstream", "/weir/upstream"
CONTRACTS, CONTRACT, CONTRACT_PARAMETER = f"{STACK}-contracts", "weir/prices.json", "/weir/prices"
PRICES = (ROOT / "infra/local/prices.json").read_text()
BEDROCK = {
    "foundation": "anthropic.sim-v1:0",
    "profile": "eu.anthropic.sim-v1:0",
    "application": f"arn:aws:bedrock:{ACCOUNT}:application-inference-profile/sim",
}
AT_BEDROCK = "http://bedrock.test"
POISON = lines.platform("report", "no-metrics")
DROPPED = {"time": "2026-11-22T12:00:00Z", "type": "platform.logsDropped", "record": {"droppedRecords": 3}}
# Five objects of this size are a run that starts itself for each unit, and one unit.
LARGE_BYTES = 30 * 1024**2

# Granted, and asked for by AWS itself with the function's role, never by our code: it cannot be recorded here.
_ATHENA = "Athena, with its caller's permissions"
BY_AWS = {
    Grant("GenerateFunction", "kms:Decrypt", KMS_KEY): "Secrets Manager, for a key of the customer's",
    Grant("LedgerFunction", "sqs:SendMessage", f"arn:aws:sqs:{ACCOUNT}:DeadLetterQueue"): (
        "Lambda, for an object that could not be stored three times"
    ),
    Grant("FinanceFunction", "s3:GetBucketLocation", f"arn:aws:s3:::{BUCKET}"): _ATHENA,
    **{
        Grant("FinanceFunction", f"s3:{action}", f"arn:aws:s3:::{BUCKET}/athena/*"): _ATHENA
        for action in ("GetObject", "PutObject", "AbortMultipartUpload", "ListMultipartUploadParts")
    },
    **{
        Grant("FinanceFunction", f"glue:{action}", f"arn:aws:glue:{ACCOUNT}:{resource}"): _ATHENA
        for action, resources in (
            ("GetDatabase", ("catalog", "database/default", "database/Database")),
            ("GetDatabases", ("catalog", "database/default")),
            ("GetTable", ("catalog", "database/Database", "table/Database/ledger")),
            ("GetPartitions", ("catalog", "database/Database", "table/Database/ledger")),
        )
        for resource in resources
    },
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the roles of all three stacks allow, and what their functions asked for."""

    granted: frozenset[Grant]
    asked: dict[str, set[Permission]]


# One test: the recording is most of it, and processes that share the tests would each make their own.
@pytest.mark.timeout(180)
def test_each_function_is_allowed_what_it_asks_for_and_nothing_else(moto_url: str, tmp_path: Path) -> None:
    recorded = asyncio.run(record(moto_url, tmp_path))
    assert not (wrong := findings(recorded.granted, recorded.asked, BY_AWS)), "\n".join(wrong)
    for grant in recorded.granted:
        assert findings(recorded.granted - {grant}, recorded.asked, BY_AWS), f"nobody misses {grant}"
        for more in (
            replace(grant, action="s3:DeleteObject"),
            replace(grant, action=f"{grant.action}Version"),
            replace(grant, resource=f"{grant.resource}/of-another-stack"),
        ):
            assert findings(recorded.granted | {more}, recorded.asked, BY_AWS) == [
                f"{more.function} may {more.action} on {more.resource}, and never does: take it away"
            ]
    found = "\n".join(table(recorded))
    assert found in (ROOT / "infra/README.md").read_text(), f"infra/README.md: expected this table\n{found}"


def table(recorded: Recorded) -> Iterator[str]:
    """What each function may do, and who asks for it, for people: a row for actions on the same resources."""
    actions: dict[tuple[str, str, str], set[str]] = {}
    resources: dict[tuple[str, str, str], set[str]] = {}
    for grant in recorded.granted:
        used = any(map(grant.covers, recorded.asked[grant.function]))
        who = "its code" if used else BY_AWS.get(grant, "nobody")
        resources.setdefault((grant.function, who, grant.action), set()).add(place_of(grant.resource))
    for (function, who, action), places in resources.items():
        actions.setdefault((function, who, ", ".join(sorted(places))), set()).add(action)
    yield from ("| function | may | on | asked for by |", "|---|---|---|---|")
    for function, who, places in sorted(actions):
        name = function.removesuffix("Function")
        may = ", ".join(f"`{action}`" for action in sorted(actions[function, who, places]))
        yield f"| {name} | {may} | {places} | {who} |"


def place_of(resource: str) -> str:
    """An ARN in the words of the template: what a parameter names by it, what lies in the ledger's bucket by its key."""
    of_parameters = {
        f"arn:aws:s3:::{CONTRACTS}/{CONTRACT}": "`PriceOverrides`",
        f"arn:aws:ssm:{ACCOUNT}:parameter{CONTRACT_PARAMETER}": "`PriceOverrides`",
        f"arn:aws:ssm:{ACCOUNT}:parameter{PARAMETER}": "`UpstreamKey`, keys of `Models`",
        f"arn:aws:secretsmanager:{ACCOUNT}:secret:{SECRET}-??????": "`UpstreamKey`, keys of `Models`",
        KMS_KEY: "`UpstreamKeyKmsKeyArn`",
        f"arn:aws:s3:::{BUCKET}": "the ledger's bucket",
        "*": "everything: it knows no resources",
    }
    if resource in of_parameters:
        return of_parameters[resource]
    name = resource.removeprefix(f"arn:aws:s3:::{BUCKET}/").split(":", 5)[-1]
    return f"`{re.sub(rf'(Function)-[ab]|{STACK}', lambda found: found[1] or 'STACK', name)}`"


# ---- three stacks over one bucket, and a recorder in front of each function


class Deployed(Template):
    """Functions have names as CloudFormation gives them: what one may start of itself is told by its name."""

    letter = ""

    def physical_id(self, name: str) -> str:
        found = super().physical_id(name)
        return f"{STACK}-{name}-{self.letter}" if name.endswith("Function") else found


def deployed(letter: str, parameters: Mapping[str, str]) -> Template:
    """The template with the parameters of one stack."""
    kind = type("Deployed", (Deployed,), {"letter": letter})
    template: Template = kind(ROOT / "template.yaml", parameters, region="us-east-1", stack=STACK)
    return template


def stacks(simulator: Simulator) -> dict[str, Template]:
    """The three, with their parameters as `make deploy` gives them."""
    one = {
        "UpstreamBaseUrl": simulator.base_url,
        "UpstreamModel": "sim-fast",
        "UpstreamProvider": "simulator",
    }
    first = {
        **one,
        "UpstreamModel": "sim-1",  # it takes long enough for a look at the stop flag
        "UpstreamKey": f"secretsmanager:{SECRET}",
        "UpstreamKeyKmsKeyArn": KMS_KEY,
        "PriceOverrides": f"s3://{CONTRACTS}/{CONTRACT}",
        "EnableAccessTable": "true",
    }
    second = {**one, "UpstreamKey": f"ssm:{PARAMETER}", "PriceOverrides": f"ssm:{CONTRACT_PARAMETER}"}
    simulated = {"provider": "simulator", "base_url": simulator.base_url, "model": "sim-fast"}
    converse = {"provider": "bedrock", "base_url": AT_BEDROCK, "region": "us-east-1", "key": "role"}
    bearer = {**converse, "provider": "bedrock-openai", "base_url": f"{AT_BEDROCK}/openai/v1"}
    models = {
        "secret": {**simulated, "key": f"secretsmanager:{SECRET}"},
        "parameter": {**simulated, "key": f"ssm:{PARAMETER}"},
        **{name: {**converse, "model": model} for name, model in BEDROCK.items()},
        **{f"{name}-bearer": {**bearer, "model": model} for name, model in BEDROCK.items()},
    }
    given = {"Models": json.dumps({"default": "secret", "models": models})}
    defaults = {name: str(one.get("Default", "")) for name, one in template_parameters(ROOT).items()}
    settings = Settings("third", STACK, "us-east-1", {**defaults, **given}, frozenset(given))
    routes = routes_of(ROOT, settings)
    assert routes is not None
    third = with_permissions(settings, routes, ACCOUNT_ID, "aws").parameters
    return {"a": deployed("a", first), "b": deployed("b", second), "c": deployed("c", third)}


async def record(moto_url: str, folder: Path) -> Recorded:
    simulated = [Script(name=name, ttft_ms=0, tokens_per_s=None) for name in BEDROCK.values()]
    async with (
        Simulator(scripts=simulated) as simulator,
        aclosing(Everything(moto_url, simulator, folder)) as everything,
    ):
        await asyncio.to_thread(everything.prepare)
        await everything.run()
    granted = frozenset(
        grant
        for letter, template in everything.stacks.items()
        for grant in grants(template)
        if f"{grant.function}-{letter}" in everything.functions
    )
    return Recorded(granted, everything.asked())


# ---- all that the functions can do


class Everything:
    """The functions of the stacks, each in its process, and all that they can do, side by side where nothing waits."""

    def __init__(self, moto_url: str, simulator: Simulator, folder: Path) -> None:
        self.account = new_account(moto_url)
        self.stacks = stacks(simulator)
        self.folder = folder
        self.servers: list[HttpServer] = []
        self.now = datetime.now(UTC)
        self.key, self.kept_key = new_key(bytes(42), "acme", "x", self.now)
        self.groups = LogGroups()
        self.recorders: dict[str, Recorder] = {}
        self.functions: dict[str, Forked] = {}
        self.started: list[asyncio.Task[Any]] = []
        self.offers = self._serve(price_list)
        self.endpoints = {
            "": moto_url,
            "bedrock": simulator.origin,
            "logs": self._serve(logs_api(self.groups)),
            "lambda": self._serve(self._invocations),
        }
        for letter, template in self.stacks.items():
            for name, function in template.functions.items():
                if letter != "c" or name == "GenerateFunction":
                    self.functions[f"{name}-{letter}"] = self._forked(function)

    def asked(self) -> dict[str, set[Permission]]:
        """What was recorded, by the function's name in the template."""
        found: dict[str, set[Permission]] = {}
        for name, recorder in self.recorders.items():
            found.setdefault(name.rsplit("-", 2)[1], set()).update(recorder.seen)
        return found

    async def aclose(self) -> None:
        """End the functions, whose connections go with them, and then whoever listened to them."""
        await asyncio.gather(*(asyncio.to_thread(one.close) for one in self.functions.values()))
        await asyncio.gather(*(one.close() for one in (*self.recorders.values(), *self.servers)))

    def _serve(self, app: Any) -> str:
        server = HttpServer(app)
        server.start()
        self.servers.append(server)
        return server.url

    def _forked(self, function: FunctionConfig) -> Forked:
        of_a_large_ledger = function.name.endswith("LedgerJobsFunction-b")
        recorder = Recorder(self.endpoints, LARGE_BYTES if of_a_large_ledger else None)
        recorder.start()
        self.recorders[function.name] = recorder
        temporary = self.folder / function.name
        temporary.mkdir()
        self.groups[function.log_group]  # there as soon as it is asked for
        variables = {
            **self.account,
            "AWS_ENDPOINT_URL": recorder.server.url,
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "TMPDIR": str(temporary),
            **function.environment,
        }
        if "WEIR_MODELS" in variables:
            variables["WEIR_MODELS"] = variables["WEIR_MODELS"].replace(AT_BEDROCK, recorder.server.url)
        if "WEIR_PRICE_LIST" in variables:
            variables["WEIR_PRICE_LIST"] = self.offers
        if function.name.endswith("FinanceFunction-b"):
            variables["WEIR_ATHENA_OVER_BYTES"] = "1"  # the parameter counts megabytes
        return Forked(function.code.name, variables)

    def prepare(self) -> None:
        """What has to lie in the account before anything runs."""

        def client(service: str) -> Any:
            names = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
            keys = {name.lower(): value for name, value in self.account.items() if name in names}
            return boto3.client(service, endpoint_url=self.endpoints[""], region_name="us-east-1", **keys)

        self.s3 = client("s3")
        for bucket in (BUCKET, CONTRACTS):
            self.s3.create_bucket(Bucket=bucket)
        self.s3.put_object(Bucket=CONTRACTS, Key=CONTRACT, Body=PRICES.encode())
        client("secretsmanager").create_secret(Name=SECRET, SecretString="sim-key")
        ssm = client("ssm")
        ssm.put_parameter(Name=PARAMETER, Value="sim-key", Type="SecureString")
        ssm.put_parameter(Name=CONTRACT_PARAMETER, Value=PRICES, Type="String")
        place = {"ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/athena/"}}
        client("athena").create_work_group(Name="WorkGroup", Configuration=place)
        dynamodb = client("dynamodb")
        for name, described in self.stacks["a"].tables.items():
            dynamodb.create_table(TableName=name, **described)
        limits = TenantLimits(monthly_budget=100 * NANO)
        for item in (key_item(self.kept_key), limits_item("acme", limits)):
            dynamodb.put_item(TableName="AccessTable", Item=item)
        # A hold of a request that was killed, and of which the ledger never heard.
        killed = self.now - timedelta(days=20)
        hold = tenant_item.hold_of("killed", killed)
        dynamodb.update_item(TableName="AccessTable", **tenant_item.begin("globex", hold, 1, killed))

    async def run(self) -> None:
        own = {"authorization": f"Bearer {self.key}", "idempotency-key": "once"}
        by_role = [f"{name}{how}" for name in BEDROCK for how in ("", "-bearer")]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._generate("a", ["sim-1", "sim-1"], own))
            group.create_task(self._generate("b", ["sim-fast"], {}))
            group.create_task(self._generate("c", ["secret", "parameter", *by_role], {}))
            group.create_task(self._ledger())

    async def _generate(self, letter: str, models: list[str], headers: dict[str, str]) -> None:
        bodies = [{"prompt": "x", "model": model} for model in models]
        for status, text in await self.functions[f"GenerateFunction-{letter}"].post(
            "/v1/generations", bodies, headers
        ):
            assert status == 200 and "event: done" in text, text

    async def _ledger(self) -> None:
        """What the ledger's functions and finance do, in the order in which one needs the other."""
        old = last_month(self.now)
        first, day = old.date().isoformat(), self.now - timedelta(hours=6)
        # An hour with several objects is gathered, and its copy is read by whoever joins the day again: finance, where
        # something came after the compaction, and the next compaction.
        for number, at in enumerate([old, *[day] * 3, day + timedelta(hours=2)]):
            await self._land(f"early-{number}", lines.request(f"early-{number}"), at)
        await self._land("odd", [POISON, DROPPED], self.now)
        await self._task("refresh_prices")
        await self._task("compact", first=first)
        await self._task("close", month=old.strftime("%Y-%m"))
        await self._land("late", lines.request("late"), day)
        nothing = old - timedelta(days=1)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._finance("b", (old, old), (nothing, nothing)))
            await self._rest_of_jobs()
            await self._finance("a", (old, self.now), (old, self.now))
        await self._task("compact", "b", first=day.date().isoformat(), last=day.date().isoformat())
        await asyncio.gather(*self.started)

    async def _rest_of_jobs(self) -> None:
        group = self.groups[self.stacks["a"].functions["GenerateFunction"].log_group]
        at = round(self.now.timestamp() * 1000) - 60_000
        skipped = [*lines.request("skipped"), POISON, DROPPED]
        # No subscriber hears of it, and the count brings it in.
        group.events += [
            LogEvent(f"{9000 + n:056d}", at + n, json.dumps(line), "s") for n, line in enumerate(skipped)
        ]
        for _ in range(2):  # the second one reads what the first one kept
            await self._task("reconcile_completeness", hours=1, settle_minutes=0)
        await self._task("meter", hours=1, settle_minutes=0)
        await self._task("settle_budgets")

    async def _finance(
        self,
        letter: str,
        reported: tuple[datetime, datetime],
        exported: tuple[datetime, datetime],
    ) -> None:
        status, text = await self._ask(letter, "GET", "/api/report", span(*reported))
        # Over moto's Athena, which has no rows, an answer is none: that it was asked is what counts.
        assert status == 200 or letter == "b", text
        status, text = await self._ask(
            letter, "POST", "/api/exports", {}, {"format": "csv", **span(*exported)}
        )
        assert status == 202, text
        await asyncio.gather(*self.started)
        _, text = await self._ask(letter, "GET", json.loads(text)["status_url"], {})
        done = json.loads(text)
        assert done["status"] == "done", done

    async def _land(self, name: str, written: list[dict[str, Any]], at: datetime) -> None:
        """What a subscription would have delivered on that day."""
        moved = json.loads(json.dumps(written).replace("2026-11-22", at.date().isoformat()))
        stamp = round(at.timestamp() * 1000)
        events = [lines.log_event(line, f"{name}-{n}", stamp + n) for n, line in enumerate(moved)]
        key, body = f"landing/{name}", b"".join(lines.batch(events))
        await asyncio.to_thread(self.s3.put_object, Bucket=BUCKET, Key=key, Body=body)
        detail = {"bucket": {"name": BUCKET}, "object": {"key": key}}
        await self._invoke("LedgerFunction-a", {"source": "aws.s3", "detail": detail})

    async def _task(self, task: str, letter: str = "a", **members: Any) -> None:
        await self._invoke(f"LedgerJobsFunction-{letter}", {"task": task, **members})

    async def _ask(
        self,
        letter: str,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        event = event_of(
            method=method,
            raw_path=path,
            query=str(httpx.QueryParams(query)),
            headers=[("host", "finance.test"), ("content-type", "application/json")],
            body=json.dumps(body).encode() if body else b"",
            source_ip="127.0.0.1",
            request_id="r",
            domain="finance.test",
            at=self.now,
        )
        answer = await self._invoke(f"FinanceFunction-{letter}", event)
        return answer["statusCode"], answer["body"]

    async def _invoke(self, name: str, event: Mapping[str, Any]) -> Any:
        answer, printed = await self.functions[name].invoke(event)
        function, _, letter = name.rpartition("-")
        group = self.groups[self.stacks[letter].functions[function].log_group]
        for line in (*printed, platform_report()):
            group.write("stream", line)
        return answer

    async def _invocations(self, scope: Any, receive: Any, send: Any) -> None:
        """The Lambda API, as far as a function starts another: an event."""
        name = scope["path"].split("/")[3].removeprefix(f"{STACK}-")
        event = json.loads((await receive())["body"])
        self.started.append(asyncio.create_task(self._invoke(name, event)))
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body"})


async def price_list(scope: Any, receive: Any, send: Any) -> None:
    """AWS's, of nothing: public, and no permission."""
    code = scope["path"].split("/")[4]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(offer(code)).encode()})


def span(first: datetime, last: datetime) -> dict[str, str]:
    """A range of days as finance is asked for it: up to the day after the last one."""
    return {"from": first.date().isoformat(), "to": (last + timedelta(days=1)).date().isoformat()}


def last_month(now: datetime) -> datetime:
    """Noon of a day of the month before last: its month can be closed."""
    first = now.replace(day=1, hour=12, minute=0, second=0, microsecond=0)
    return (first - timedelta(days=3)).replace(day=1) - timedelta(days=3)
