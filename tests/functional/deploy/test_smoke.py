"""`make smoke` tells what differs: against stacks that hold a stream back, lose a row, or answer anybody."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import boto3
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from infra.deploy.aws import AwsRefused
from infra.deploy.settings import Settings
from infra.deploy.smoke import Check, checks, table
from infra.deploy.smoke_targets import Endpoint, OnAws, OwnKey, SigV4, expectations
from infra.local.endpoints.http_server import HttpServer
from tests.buckets import enter_account
from tests.functional.costs.sigv4 import verifying
from tests.unit.cloudformation import ROOT
from weir.schemas.blog_post import Author, BlogPost, Section

DOCUMENT = BlogPost(
    title="Weirs",
    slug="weirs",
    summary="A weir.",
    tags=["water"],
    author=Author(name="A"),
    sections=[Section(heading="H", content="C", keywords=[])],
    conclusion="C",
    references=[],
).model_dump_json()
ROW = {
    "join_status": "complete",
    "outcome": "ok",
    "estimate_total": "0.0010",
    "anomalies": [],
    "cost": {"total": "0.0011", "components": {"logs": "0.0001"}, "unpriced": []},
}


class Stack:
    """A stack that behaves as told."""

    name = "a stack"
    auth: httpx.Auth | None = None
    row_timeout_s = 0.5

    def __init__(
        self, *, held_back: bool = False, row: Mapping[str, Any] | None = None, outcome: str = "ok"
    ) -> None:
        self._held_back, self._row, self._outcome = held_back, row, outcome
        self.endpoints = [Endpoint("function URL", "")]
        self.finance_url = ""
        self.versions: tuple[str, str] | None = ("3", "3")
        self.states = {"GenerateErrors": "OK", "LedgerErrors": "INSUFFICIENT_DATA"}

    async def version(self) -> tuple[str, str] | None:
        return self.versions

    async def alarms(self) -> Mapping[str, str]:
        return self.states

    async def schedules(self) -> Mapping[str, str]:
        return {"Compact": "rate(15 minutes)"}

    async def generations(self, request: Request) -> Response:
        async def events() -> AsyncIterator[bytes]:
            for number, part in enumerate([DOCUMENT[:20], DOCUMENT[20:60], DOCUMENT[60:]]):
                if self._held_back and number == 0:
                    await asyncio.sleep(0.3)
                elif not self._held_back:
                    await asyncio.sleep(0.1)
                yield event("delta", {"attempt": 1, "text": part})
            yield event("value", {"attempt": 1, "path": "/title", "value": "Weirs"})
            yield event("done", {"attempt": 1, "outcome": self._outcome})

        return StreamingResponse(
            events(), headers={"content-type": "text/event-stream", "x-request-id": "r-1"}
        )

    async def row(self, request: Request) -> Response:
        return JSONResponse({"row": self._row}) if self._row else JSONResponse({}, 404)


def event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


@asynccontextmanager
async def running(stack: Stack) -> AsyncIterator[Stack]:
    app = Starlette(
        routes=[
            Route("/v1/generations", stack.generations, methods=["POST"]),
            Route("/api/requests/r-1", stack.row),
        ]
    )
    server = HttpServer(app, 0)
    server.start()
    try:
        stack.endpoints = [replace(one, url=server.url) for one in stack.endpoints]
        stack.finance_url = server.url
        yield stack
    finally:
        await server.close()


async def looked_at(stack: Stack) -> dict[str, Check]:
    async with running(stack):
        found = await checks(stack, {"GenerateErrors", "LedgerErrors"}, {"Compact": "rate(15 minutes)"})
    return {one.what: one for one in found}


async def test_a_stack_that_is_as_believed_differs_in_nothing() -> None:
    found = await looked_at(Stack(row=ROW))
    assert [one for one in found.values() if one.ok is False] == []
    assert table("a stack", list(found.values()))[-1] == f"{len(found) - 1} as believed, 0 differ, 1 not seen"


async def test_a_stream_that_somebody_holds_back_is_seen() -> None:
    found = await looked_at(Stack(held_back=True, row=ROW))
    assert [name for name, one in found.items() if one.ok is False] == ["arrives as it is made"]


@pytest.mark.parametrize(
    ("row", "differs"),
    [
        (None, {"ledger row": "no row after"}),
        ({**ROW, "join_status": "started_only"}, {"ledger row": "started_only after"}),
        ({**ROW, "estimate_total": "0.0005"}, {"estimate and row": "-50.0%"}),
        ({**ROW, "cost": {**ROW["cost"], "unpriced": ["duration"]}}, {"unpriced": "duration"}),  # type: ignore[dict-item]
        ({**ROW, "anomalies": ["clock"]}, {"anomalies": "clock"}),
    ],
)
async def test_a_row_that_is_not_what_the_caller_was_told_is_seen(
    row: Mapping[str, Any] | None, differs: dict[str, str]
) -> None:
    found = await looked_at(Stack(row=row))
    wrong = {name: one.got for name, one in found.items() if one.ok is False}
    assert wrong.keys() == differs.keys()
    assert all(differs[name] in got for name, got in wrong.items())


async def test_an_alarm_that_rings_or_is_not_there_and_a_schedule_that_is_off_are_seen() -> None:
    stack = Stack(row=ROW)
    stack.states = {"GenerateErrors": "ALARM"}
    async with running(stack):
        found = await checks(
            stack, {"GenerateErrors", "LedgerErrors"}, {"Compact": "rate(1 hour)", "Count": "rate(1 day)"}
        )
    wrong = {one.what for one in found if one.ok is False}
    assert wrong == {
        "alarm GenerateErrors", "alarm LedgerErrors", "alarms that are quiet", "schedule Compact", "schedule Count",
    }  # fmt: skip


async def test_a_stack_that_does_not_answer_is_told_and_every_other_check_is_made() -> None:
    stack = Stack()
    stack.endpoints, stack.finance_url = (
        [Endpoint("function URL", "http://127.0.0.1:9")],
        "http://127.0.0.1:9",
    )
    found = await checks(stack, {"GenerateErrors", "LedgerErrors"}, {"Compact": "rate(15 minutes)"})
    by_name = {one.what: one for one in found}
    assert "ConnectError" in by_name["request"].got
    assert by_name["alarms that are quiet"].ok and by_name["schedule Compact"].ok


async def test_an_alias_that_stayed_behind_and_every_endpoint_of_the_stack_are_seen() -> None:
    stack = Stack(row=ROW)
    stack.versions = ("4", "3, and 4 for 10%")
    # This one answers anybody; the other one would refuse, and is the stack's REST API.
    stack.endpoints = [Endpoint("function URL", "", OwnKey("k"), 401), Endpoint("REST API", "", OwnKey("k"))]
    found = await looked_at(stack)
    wrong = {name: (one.expected, one.got) for name, one in found.items() if one.ok is False}
    assert wrong == {
        "version behind the URL": ("4", "3, and 4 for 10%"),
        "unsigned request": ("401", "200"),
        "REST API: unsigned request": ("403", "200"),
    }
    assert found["REST API: arrives as it is made"].ok and found["REST API: document"].ok


async def test_requests_are_signed_as_a_function_url_checks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["AKIDEXAMPLE"])
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with verifying(keys) as server:
        async with httpx.AsyncClient(auth=SigV4("eu-central-1")) as client:
            posted = await client.post(f"{server.url}/v1/generations?a=b%20c", json={"prompt": "x"})
            got = await client.get(f"{server.url}/api/requests/r-1")
        async with httpx.AsyncClient() as client:
            refused = await client.get(f"{server.url}/api/requests/r-1")
    assert (posted.status_code, got.status_code, refused.status_code) == (200, 200, 403)
    assert (posted.json()["service"], posted.json()["region"]) == ("lambda", "eu-central-1")


RESOURCES = {
    ("weir-dev", "AWS::CloudFormation::Stack"): {"ObservabilityStack": "weir-dev-Obs-1"},
    ("weir-dev-Obs-1", "AWS::CloudWatch::Alarm"): {
        "GenerateErrors": "obs-Gen-1",
        "LedgerErrors": "obs-Led-1",
    },
    ("weir-dev", "AWS::Lambda::Version"): {
        "GenerateFunctionVersion0a1b": "arn:aws:lambda:eu-central-1:123456789012:function:generate:2"
    },
    ("weir-dev", "AWS::Scheduler::Schedule"): {"Compact": "compact-1", "Count": "count-1"},
}


class Known(OnAws):
    """moto's CloudFormation knows neither alarms nor schedules: what lies in the stack is told, the rest is asked."""

    def _resources(self, stack: str, kind: str) -> dict[str, str]:
        return RESOURCES[stack, kind]


OUTPUTS = {"GenerateUrl": "https://g.example/", "FinanceUrl": "https://f.example/"}


def create_stack(outputs: Mapping[str, str], **parameters: str) -> None:
    """A stack that says so of itself."""
    template = {
        "Parameters": {name: {"Type": "String"} for name in parameters},
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    given = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
    boto3.client("cloudformation", "eu-central-1").create_stack(
        StackName="weir-dev", TemplateBody=json.dumps(template), Parameters=given
    )


def test_alarms_and_schedules_are_asked_for_by_the_names_that_aws_gave_them(
    moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter_account(moto_url, monkeypatch)
    region = "eu-central-1"
    create_stack(OUTPUTS, LandingSeconds="900")
    boto3.client("cloudwatch", region).put_metric_alarm(
        AlarmName="obs-Gen-1", Namespace="Weir", MetricName="M", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=0, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    scheduler = boto3.client("scheduler", region)
    for name, state in (("compact-1", "ENABLED"), ("count-1", "DISABLED")):
        scheduler.create_schedule(
            Name=name, State=state, ScheduleExpression="rate(15 minutes)", FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": "arn:aws:lambda:eu-central-1:123456789012:function:f", "RoleArn": "arn:aws:iam::1:role/r"},
        )  # fmt: skip
    stack = Known(Settings.load(ROOT, "dev"), {})
    assert ([one.url for one in stack.endpoints], stack.finance_url) == (
        ["https://g.example"],
        "https://f.example",
    )
    assert stack.row_timeout_s == 1140
    states = asyncio.run(stack.alarms())
    assert states["LedgerErrors"] == "absent" and states["GenerateErrors"] in ("OK", "INSUFFICIENT_DATA")
    assert asyncio.run(stack.schedules()) == {"Compact": "rate(15 minutes)", "Count": "DISABLED"}


def test_the_version_behind_the_url_is_that_of_the_alias(
    moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter_account(moto_url, monkeypatch)
    create_stack(OUTPUTS)
    role = boto3.client("iam").create_role(RoleName="generate", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client = boto3.client("lambda", "eu-central-1")
    archive = BytesIO()
    with ZipFile(archive, "w") as files:
        files.writestr("app.py", "")
    client.create_function(
        FunctionName="generate", Role=role, Runtime="python3.13", Handler="app.app",
        Code={"ZipFile": archive.getvalue()}, Publish=True,
    )  # fmt: skip
    client.create_alias(FunctionName="generate", Name="live", FunctionVersion="1")
    assert asyncio.run(Known(Settings.load(ROOT, "dev"), {}).version()) == ("2", "1")


def test_an_open_url_is_asked_with_an_own_key_and_every_endpoint_is_known(
    moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter_account(moto_url, monkeypatch)
    outputs = {
        **OUTPUTS,
        "GenerateRestApiUrl": "https://r.example/live",
        "GenerateManagedUrl": "https://m.example/",
    }
    create_stack(outputs, GenerateUrlAuth="NONE")
    with pytest.raises(AwsRefused, match="WEIR_API_KEY: expected an own key, since GenerateUrlAuth is NONE"):
        OnAws(Settings.load(ROOT, "dev"), {})
    stack = OnAws(Settings.load(ROOT, "dev"), {"WEIR_API_KEY": "weir_x"})
    assert [(one.name, one.url, type(one.auth), one.refusal) for one in stack.endpoints] == [
        ("function URL", "https://g.example", OwnKey, 401),
        ("managed", "https://m.example", OwnKey, 401),
        ("REST API", "https://r.example/live", SigV4, 403),
    ]


def test_a_stack_whose_deployment_failed_is_told(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    enter_account(moto_url, monkeypatch)
    create_stack({})
    with pytest.raises(
        AwsRefused, match="expected one that was deployed, got CREATE_COMPLETE without outputs"
    ):
        OnAws(Settings.load(ROOT, "dev"), {})


def test_what_is_expected_is_what_the_templates_say() -> None:
    alarms, schedules = expectations()
    assert {"DeadLetters", "LogsDropped", "GenerateErrors"} <= alarms
    assert schedules["LedgerJobsFunctionCompactOpenDays"] == "rate(15 minutes)"
