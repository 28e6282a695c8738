"""The stacks that `make smoke` looks at: one on AWS, asked through boto3 and signed requests, and the laptop's."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager
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

from .aws import Aws, AwsRefused
from .settings import ROOT, Settings

LOCAL = "local"


class Target(Protocol):
    """A running stack."""

    @property
    def name(self) -> str: ...
    @property
    def generate_url(self) -> str: ...
    @property
    def finance_url(self) -> str: ...
    @property
    def auth(self) -> httpx.Auth | None:
        """Signs; None where nobody checks signatures."""

    @property
    def row_timeout_s(self) -> float: ...
    async def alarms(self) -> Mapping[str, str]:
        """State by the template's name."""

    async def schedules(self) -> Mapping[str, str]:
        """Expression, or what is wrong with it, by the template's name."""


class SigV4(httpx.Auth):
    """Signs a request for a function URL with this person's credentials."""

    requires_request_body = True

    def __init__(self, region: str) -> None:
        import boto3

        self._region = region
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
        SigV4Auth(self._credentials.get_frozen_credentials(), "lambda", self._region).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        yield request


class OnAws:
    """A deployed stage."""

    row_timeout_s = 300.0  # a subscription delivers within a minute or so

    def __init__(self, settings: Settings) -> None:
        self._aws, self._stack = Aws(settings.region), settings.stack
        values = self._aws.stack(settings.stack).values
        self.name = f"{settings.stack} in {settings.region}"
        self.generate_url = values["GenerateUrl"].rstrip("/")
        self.finance_url = values["FinanceUrl"].rstrip("/")
        self.auth: httpx.Auth | None = SigV4(settings.region)

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


class OnLaptop:
    """The laptop's AWS; its alarms are evaluated here, from what the functions logged."""

    name = "the laptop's AWS"
    auth: httpx.Auth | None = None
    row_timeout_s = 30.0

    def __init__(self, aws: LocalAws) -> None:
        self._aws = aws
        self.generate_url = aws.function_url("GenerateFunction")
        self.finance_url = aws.function_url("FinanceFunction")

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
        yield OnAws(await asyncio.to_thread(Settings.load, ROOT, stage))
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
