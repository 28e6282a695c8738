"""The stacks that `make smoke` looks at: one on AWS, asked through boto3 and signed requests, and the laptop's."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from infra.local.alarms import Sample, samples_of, state
from infra.local.chosen_upstream import chosen_upstream
from infra.local.execution.invocation import Invocation
from infra.local.sam.cloudformation import CloudFormation
from infra.local.sam.template import Template
from infra.local.stack import LocalAws, LocalAwsConfig

from .aws import Aws, AwsRefused, Output
from .settings import ROOT, Settings

LOCAL = "local"
KEY_VARIABLE = "WEIR_API_KEY"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One way to generate: `auth` is None where nobody checks signatures, `refusal` the status without it."""

    name: str
    url: str
    auth: httpx.Auth | None = None
    refusal: int = 403


class Target(Protocol):
    """A running stack."""

    @property
    def name(self) -> str: ...
    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The function URL, and what else the stack has."""

    @property
    def finance_url(self) -> str: ...
    @property
    def auth(self) -> httpx.Auth | None:
        """Signs for finance; None where nobody checks signatures."""

    @property
    def row_timeout_s(self) -> float: ...
    async def version(self) -> tuple[str, str] | None:
        """The newest version of generate, and the one behind its URL; None where there are none."""

    async def alarms(self) -> Mapping[str, str]:
        """State by the template's name."""

    async def schedules(self) -> Mapping[str, str]:
        """Expression, or what is wrong with it, by the template's name."""


class OwnKey(httpx.Auth):
    """A key that was made with `costs keys create`, for a URL that is open."""

    def __init__(self, key: str) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """httpx's: the request with the key."""
        request.headers["authorization"] = f"Bearer {self._key}"
        yield request


class SigV4(httpx.Auth):
    """Signs a request with this person's credentials, for a function URL unless told."""

    requires_request_body = True

    def __init__(self, region: str, service: str = "lambda") -> None:
        import boto3

        self._region, self._service = region, service
        self._credentials = boto3.Session().get_credentials()
        if self._credentials is None:
            raise AwsRefused("credentials: expected AWS's, in the environment or a profile, got none")

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """httpx's: the request with the headers that sign it."""
        # What httpx writes and what is signed must be the same: the host, and what the answer depends on.
        headers = {
            name: request.headers[name] for name in ("host", "content-type") if name in request.headers
        }
        signed = AWSRequest(request.method, str(request.url), data=request.content, headers=headers)
        SigV4Auth(self._credentials.get_frozen_credentials(), self._service, self._region).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        yield request


class OnAws:
    """A deployed stage."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        region = settings.region
        self._aws, self._stack = Aws(region), settings.stack
        found = self._aws.stack(settings.stack)
        if "GenerateUrl" not in found.values:
            raise AwsRefused(
                f"stack {settings.stack} in {region}: expected one that was deployed, got {found.status} "
                f"without outputs"
            )
        self.name = f"{settings.stack} in {region}"
        self.endpoints = list(_endpoints(found, region, environment.get(KEY_VARIABLE, "")))
        self.finance_url = found.values["FinanceUrl"].rstrip("/")
        self.auth: httpx.Auth | None = SigV4(region)
        # The logs land, the ledger reads them, and finance joins what it stored.
        self.row_timeout_s = 240.0 + float(found.parameters.get("LandingSeconds", 60))

    async def version(self) -> tuple[str, str] | None:
        """CloudFormation's newest, and Lambda's alias."""
        return await asyncio.to_thread(self._version)

    async def alarms(self) -> Mapping[str, str]:
        """CloudWatch's own."""
        return await asyncio.to_thread(self._alarms)

    async def schedules(self) -> Mapping[str, str]:
        """EventBridge's own."""
        return await asyncio.to_thread(self._schedules)

    def _alarms(self) -> dict[str, str]:
        nested = self._resources(self._stack, "AWS::CloudFormation::Stack")["ObservabilityStack"]
        names = self._resources(nested, "AWS::CloudWatch::Alarm")
        client = self._aws.client("cloudwatch")
        found = client.describe_alarms(AlarmNames=list(names.values()))["MetricAlarms"]
        states = {one["AlarmName"]: one["StateValue"] for one in found}
        return {name: states.get(physical, "absent") for name, physical in names.items()}

    def _schedules(self) -> dict[str, str]:
        client = self._aws.client("scheduler")
        found = {}
        for name, physical in self._resources(self._stack, "AWS::Scheduler::Schedule").items():
            one = client.get_schedule(Name=physical)
            enabled = one["State"] == "ENABLED"
            found[name] = one["ScheduleExpression"] if enabled else one["State"]
        return found

    def _version(self) -> tuple[str, str]:
        versions = self._resources(self._stack, "AWS::Lambda::Version")
        [newest] = (arn for name, arn in versions.items() if name.startswith("GenerateFunctionVersion"))
        function = newest.rpartition(":")[0]
        alias = self._aws.client("lambda").get_alias(FunctionName=function, Name="live")
        weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        shifting = "".join(f", and {version} for {weight:.0%}" for version, weight in weights.items())
        return newest.rpartition(":")[2], f"{alias['FunctionVersion']}{shifting}"

    def _resources(self, stack: str, kind: str) -> dict[str, str]:
        pages = (
            self._aws.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        )
        return {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for page in pages
            for one in page["StackResourceSummaries"]
            if one["ResourceType"] == kind
        }


def _endpoints(found: Output, region: str, key: str) -> Iterator[Endpoint]:
    """What the stack's outputs name. Raises AwsRefused where an own key is wanted and not given."""
    auth: httpx.Auth = SigV4(region)
    refusal = 403
    if found.parameters.get("GenerateUrlAuth") == "NONE":
        if not key:
            raise AwsRefused(
                f"{KEY_VARIABLE}: expected an own key, since GenerateUrlAuth is NONE, got nothing; "
                f"`infra/costs/costs keys create smoke` makes one"
            )
        auth, refusal = OwnKey(key), 401
    yield Endpoint("function URL", found.values["GenerateUrl"].rstrip("/"), auth, refusal)
    if managed := found.values.get("GenerateManagedUrl"):
        yield Endpoint("managed", managed.rstrip("/"), auth, refusal)
    if rest := found.values.get("GenerateRestApiUrl"):
        yield Endpoint("REST API", rest.rstrip("/"), SigV4(region, "execute-api"))


class OnLaptop:
    """The laptop's AWS; its alarms are evaluated here, from what the functions logged."""

    name = "the laptop's AWS"
    auth: httpx.Auth | None = None
    row_timeout_s = 30.0

    def __init__(self, aws: LocalAws) -> None:
        self._aws = aws
        self.endpoints = [Endpoint("function URL", aws.function_url("GenerateFunction"))]
        self.finance_url = aws.function_url("FinanceFunction")

    async def version(self) -> tuple[str, str] | None:
        """A laptop runs the working tree."""
        return None

    async def alarms(self) -> Mapping[str, str]:
        """The template's, over the log lines so far; a compaction is run, as the schedule would by then."""
        await self._aws.settled()
        invocation = self._aws.functions["LedgerJobsFunction"].invoke(Invocation(b'{"task": "compact"}'))
        await invocation.response.body()
        await self._aws.settled()
        observability = Template(ROOT / "template.yaml", region=self._aws.config.region).nested(
            "ObservabilityStack"
        )
        samples = [sample for name in self._aws.functions for sample in self._samples(name)]
        now_ms = time.time() * 1000
        return {
            name: state(observability.resolve(properties), samples, now_ms)
            for name, properties in observability.resources_of("AWS::CloudWatch::Alarm").items()
        }

    async def schedules(self) -> Mapping[str, str]:
        """What would start a function here, and how often."""
        return {
            f"{name}{schedule.name}": f"rate({_rate(schedule.every_s)})"
            for name, function in self._aws.functions.items()
            for schedule in function.config.schedules
        }

    def _samples(self, function: str) -> list[Sample]:
        """A function's metrics: its own, and what Lambda would count of its reports."""
        found: list[Sample] = []
        for event in self._aws.log_events(function):
            line: dict[str, Any] = event.record or {}
            found += samples_of(line)
            if line.get("type") == "platform.report":
                record, at = line["record"], event.timestamp_ms
                dimensions = frozenset({("FunctionName", function)})
                failed = float(record["status"] != "success")
                found.append(Sample("AWS/Lambda", "Errors", dimensions, at, failed))
                found.append(
                    Sample("AWS/Lambda", "Duration", dimensions, at, record["metrics"]["durationMs"])
                )
        return found


@asynccontextmanager
async def target_of(stage: str) -> AsyncIterator[Target]:
    """The stage's stack; `local` is started for it and ended with it.

    Raises:
        SettingsMistake: there is no such stage.
        AwsRefused: its stack cannot be asked.
    """
    if stage != LOCAL:
        yield OnAws(await asyncio.to_thread(Settings.load, ROOT, stage), os.environ)
        return
    async with chosen_upstream(os.environ) as upstream:
        config = LocalAwsConfig(
            upstream_base_url=upstream.base_url,
            upstream_model=upstream.model,
            upstream_key=upstream.key,
            parameters={"PriceOverrides": upstream.price_overrides},
        )
        async with LocalAws(config) as aws:
            yield OnLaptop(aws)


def expectations() -> tuple[set[str], dict[str, str]]:
    """The alarms and the schedules of the template, by the names that CloudFormation gives them."""
    observability = CloudFormation(ROOT / "infra/observability.yaml", {"CostAlarmUsd": "0"}, region="")
    functions = CloudFormation(ROOT / "template.yaml", region="").resources_of("AWS::Serverless::Function")
    schedules = {
        f"{name}{event}": str(source["Properties"]["ScheduleExpression"])
        for name, function in functions.items()
        for event, source in function.get("Events", {}).items()
        if source["Type"] == "ScheduleV2"
    }
    return set(observability.resources_of("AWS::CloudWatch::Alarm")), schedules


def _rate(every_s: float) -> str:
    for unit, seconds in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if every_s % seconds == 0:
            count = int(every_s // seconds)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{every_s:g} seconds"
