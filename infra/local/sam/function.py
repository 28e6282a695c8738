"""A function as the template describes it: plain values, no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ACCOUNT_ID = "123456789012"


@dataclass(frozen=True, slots=True)
class Cors:
    """The CORS answers that a function URL gives in the function's place."""

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    allow_credentials: bool = False
    max_age_s: int = 0


@dataclass(frozen=True, slots=True)
class FunctionUrl:
    """How a function URL passes answers on: streamed (RESPONSE_STREAM) or whole (BUFFERED)."""

    streams: bool = False
    auth_type: str = "AWS_IAM"
    cors: Cors | None = None


@dataclass(frozen=True, slots=True)
class LogSubscription:
    """Events of `log_group` that match `pattern` (CloudWatch's filter language; empty is all) land in a bucket.

    The function is told of each object under `prefix`.
    """

    name: str
    log_group: str
    pattern: str
    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """The function is invoked asynchronously with `payload`, JSON, every so many seconds."""

    name: str
    every_s: float
    payload: str


@dataclass(frozen=True, slots=True)
class FunctionConfig:
    """One function. `code` is its folder in the repository; `environment` its own variables."""

    name: str
    code: Path
    handler: str
    region: str = "us-east-1"
    timeout_s: float = 3.0
    memory_mb: int = 128
    environment: Mapping[str, str] = field(default_factory=dict)
    log_group: str = "/aws/lambda/function"
    log_format: str = "JSON"
    system_log_level: str = "DEBUG"
    application_log_level: str = "INFO"
    url: FunctionUrl | None = None
    subscriptions: tuple[LogSubscription, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    max_concurrency: int = 1  # requests in one environment at the same time (Lambda Managed Instances)
    max_environments: int | None = None  # reserved concurrency; None is as many as are asked for

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{ACCOUNT_ID}:function:{self.name}"
