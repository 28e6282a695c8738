"""The laptop's AWS as one object: everything that template.yaml names, running, and nothing left afterwards.

`async with LocalAws() as aws:` starts moto, the functions' endpoints and log subscriptions; functions start cold when
they are first called. What the template names and no function can see (a table for Athena, alarms) is not there.
"""

import asyncio
import itertools
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .aws_services import CREDENTIALS, AwsServices
from .endpoints.function_url import FunctionUrlEndpoint
from .endpoints.http_server import HttpServer
from .endpoints.lambda_api import lambda_api
from .endpoints.logs_api import logs_api
from .endpoints.loopback import proxies_of
from .execution.code import ROOT, Built, Code, Source, describe_isolation, remove, staging_folder
from .execution.lambda_function import RETRY_DELAYS_S, LambdaFunction
from .logs.landing import INTERVAL_S, Landing
from .logs.log_groups import LogEvent, LogGroups
from .sam.function import FunctionConfig
from .sam.template import Template
from .schedules import Ticking


@dataclass(frozen=True, slots=True)
class LocalAwsConfig:
    """How the stack is to run; by default as template.yaml says, from the working tree.

    `upstream_key` is put into Secrets Manager, and the template's UpstreamKey points there; `secrets` are put there by
    their names. `parameters` are values
    of template parameters, and win. `functions` replaces the template: name to config, with `layer` as the folder
    of /opt/python. `ports` names fixed ports for "moto", "lambda", "logs" and functions' URLs; all others are any free
    one. `schedules` lets time start functions as the template says, for a stack that stays up.
    """

    upstream_base_url: str = "http://127.0.0.1:9/v1"
    upstream_model: str = "sim-1"
    upstream_key: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    built: bool = False
    region: str = "us-east-1"
    template: Path = ROOT / "template.yaml"
    parameters: Mapping[str, str] = field(default_factory=dict)
    functions: Sequence[FunctionConfig] | None = None
    layer: Path | None = ROOT / "shared"
    retry_delays_s: Sequence[float] = RETRY_DELAYS_S
    schedules: bool = False
    landing_interval_s: float = INTERVAL_S  # between two landing objects; a minute on AWS
    services: bool = True  # moto; without it functions find no other AWS service
    # More environment variables, for every function.
    variables: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)


class LocalAws:
    """The running stack.

    Raises, on entering:
        TemplateError: the template says what is not known here.
        CodeError: a function's files are missing.
        OSError: a fixed port is taken.
    """

    def __init__(self, config: LocalAwsConfig | None = None) -> None:
        self.config = config or LocalAwsConfig()
        self.logs = LogGroups()
        self.functions: dict[str, LambdaFunction] = {}
        self.services = AwsServices(self.config.region, self.config.ports.get("moto", 0))
        self.lambda_endpoint = ""
        self.logs_endpoint = ""
        self.isolation = describe_isolation()
        # Nobody who did not start this stack knows where its key lies.
        self._key_secret = f"weir/upstream-key-{secrets.token_hex(8)}"
        self._folder = Path()
        self._stagings = itertools.count()
        self._urls: dict[str, str] = {}
        self._landings: list[Landing] = []
        self._cleanup = AsyncExitStack()

    @property
    def moto_endpoint(self) -> str:
        """For boto3's `endpoint_url`: Secrets Manager, S3, DynamoDB."""
        return self.services.url

    def function_url(self, name: str) -> str:
        """Where HTTP callers reach that function, without a slash at the end."""
        return self._urls[name]

    def log_group(self, function: str) -> str:
        """The name of the log group that a function writes to."""
        return self.functions[function].config.log_group

    def log_events(self, function: str) -> list[LogEvent]:
        """All that the function and the platform have written for it so far, in order."""
        return list(self.logs[self.log_group(function)].events)

    async def wait_for_log(
        self, function: str, wanted: Callable[[LogEvent], bool], timeout_s: float = 10.0
    ) -> LogEvent:
        """The first event, past or to come, that is wanted. Raises TimeoutError with the last lines."""
        return await self.logs[self.log_group(function)].wait_for(wanted, timeout_s)

    async def wait_for_report(
        self, function: str, request_id: str, timeout_s: float = 10.0
    ) -> dict[str, Any]:
        """platform.report's record of a request."""

        def reports(event: LogEvent) -> bool:
            line = event.record or {}
            return line.get("type") == "platform.report" and line["record"]["requestId"] == request_id

        event = await self.wait_for_log(function, reports, timeout_s)
        record: dict[str, Any] = (event.record or {})["record"]
        return record

    async def settled(self, timeout_s: float = 30.0) -> None:
        """Wait until nothing runs and every log event that has a subscriber was delivered and worked on."""
        async with asyncio.timeout(timeout_s):
            while True:
                for landing in self._landings:
                    await landing.flush()
                busy = [function for function in self.functions.values() if function.busy]
                if not busy and all(landing.idle for landing in self._landings):
                    return
                await asyncio.gather(*(function.idle() for function in busy))

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._cleanup.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._cleanup.aclose()

    async def _start(self) -> None:
        config = self.config
        self._cleanup.push_async_callback(self.services.close)
        folder = staging_folder()
        self._cleanup.callback(remove, folder)
        template = None if config.functions is not None else self._template()
        functions = list(template.functions.values()) if template else list(config.functions or ())
        if config.services:
            kept = dict(config.secrets)
            if config.upstream_key is not None:
                kept[self._key_secret] = config.upstream_key
            await self.services.start(
                buckets=template.buckets if template else (),
                tables=template.tables if template else {},
                secrets=kept,
            )
        self._folder = folder
        code = await self._code()
        scratch = folder / "tmp"
        scratch.mkdir()
        # Functions start functions, so the Lambda API listens before there are any.
        self.lambda_endpoint = self._serve(lambda_api(self.functions), "lambda")
        self.logs_endpoint = self._serve(logs_api(self.logs), "logs")
        surroundings = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": self.services.url,
            "AWS_ENDPOINT_URL_LAMBDA": self.lambda_endpoint,
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": self.logs_endpoint,
            # On Lambda /tmp is an environment's own; here what functions leave there goes with the stack.
            "TMPDIR": str(scratch),
            **proxies_of(os.environ),
            **config.variables,
        }
        for function in functions:
            placement = await asyncio.to_thread(code.place, function)
            running = LambdaFunction(
                function, placement, self.logs[function.log_group], surroundings,
                retry_delays_s=config.retry_delays_s,
            )  # fmt: skip
            self.functions[function.name] = running
            self._cleanup.push_async_callback(running.close)
        for running in self.functions.values():
            for wanted in running.config.subscriptions:
                landing = Landing(
                    wanted,
                    self.logs[wanted.log_group],
                    self.services.put_object,
                    running.invoke_event,
                    config.landing_interval_s,
                )
                self._landings.append(landing)
                self._cleanup.push_async_callback(landing.close)
            for schedule in running.config.schedules if config.schedules else ():
                self._cleanup.push_async_callback(Ticking(schedule, running.invoke_event).close)
            if running.config.url is not None:
                cors = running.config.url.cors
                self._urls[running.config.name] = self._serve(
                    FunctionUrlEndpoint(running), running.config.name, cors.allow_origins if cors else ()
                )

    async def reload(self) -> None:
        """Take the code as it is now: environments that run finish with the old one, others begin with the new.

        Raises CodeError, and then keeps the old code.
        """
        code = await self._code()
        for function in self.functions.values():
            await function.place(await asyncio.to_thread(code.place, function.config))

    async def _code(self) -> Code:
        if self.config.built:
            return Built(self._folder)
        staging = self._folder / f"code-{next(self._stagings)}"
        staging.mkdir()
        return await asyncio.to_thread(Source, staging, self.config.layer)

    def _template(self) -> Template:
        config = self.config
        parameters = {
            "Architecture": {"aarch64": "arm64", "arm64": "arm64"}.get(os.uname().machine, "x86_64"),
            "UpstreamBaseUrl": config.upstream_base_url,
            "UpstreamModel": config.upstream_model,
            "UpstreamProvider": "simulator",
            # Nobody is Athena here: DuckDB answers whatever the size.
            "AthenaOverMegabytes": "0",
            "UpstreamKey": f"secretsmanager:{self._key_secret}" if config.upstream_key is not None else "",
            **config.parameters,
        }
        return Template(config.template, parameters, region=config.region)

    def _serve(self, app: Any, name: str, allowed_origins: Sequence[str] = ()) -> str:
        server = HttpServer(app, self.config.ports.get(name, 0), allowed_origins)
        self._cleanup.push_async_callback(server.close)
        server.start()
        return server.url
