"""What template.yaml says about the functions, so that a laptop runs what a deployment would.

Only what a running function can see is read: handler, timeout, memory, environment, function URL, log group, log
subscriptions and schedules. Other resources (Glue's table, Athena's workgroup) have names here, and nothing behind.
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html
"""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from .cloudformation import NESTED, CloudFormation, TemplateError
from .function import Cors, FunctionConfig, FunctionUrl, LogSubscription, Schedule

__all__ = ["Template", "TemplateError"]

_UNITS_S = {"minute": 60.0, "hour": 3600.0, "day": 86_400.0}


class Template(CloudFormation):
    """A SAM template with values for its parameters.

    Raises:
        TemplateError: it uses what is not known here, or a parameter has no value.
    """

    @cached_property
    def functions(self) -> dict[str, FunctionConfig]:
        """The functions whose conditions hold, by logical id."""
        return {
            name: self._function(name, properties)
            for name, properties in self.resources_of("AWS::Serverless::Function").items()
        }

    @cached_property
    def buckets(self) -> list[str]:
        """Names of all S3 buckets, those of nested stacks included."""
        own = [self.physical_id(name) for name in self.resources_of("AWS::S3::Bucket")]
        nested = (self.nested(name) for kind in NESTED for name in self.resources_of(kind))
        return own + [bucket for template in nested for bucket in template.buckets]

    @cached_property
    def tables(self) -> dict[str, dict[str, Any]]:
        """The DynamoDB tables of this stack, by name: what they are made with."""
        wanted = ("BillingMode", "AttributeDefinitions", "KeySchema")
        return {
            self.physical_id(name): {key: self.resolve(own[key]) for key in wanted}
            for name, own in self.resources_of("AWS::DynamoDB::Table").items()
        }

    def _function(self, name: str, own: dict[str, Any]) -> FunctionConfig:
        shared = self.document.get("Globals", {}).get("Function", {})
        # SAM merges maps of Globals and lets a function's own value win otherwise.
        properties = self.resolve(_merge(shared, own))
        url = properties.get("FunctionUrlConfig")
        logging = properties.get("LoggingConfig", {})
        variables = properties.get("Environment", {}).get("Variables", {})
        instances = properties.get("CapacityProviderConfig", {})
        return FunctionConfig(
            name=self.physical_id(name),
            region=self.region,
            code=self.path.parent / properties["CodeUri"],
            handler=properties["Handler"],
            timeout_s=float(properties.get("Timeout", 3)),
            memory_mb=int(properties.get("MemorySize", 128)),
            environment={key: str(value) for key, value in variables.items()},
            log_group=logging.get("LogGroup", f"/aws/lambda/{self.physical_id(name)}"),
            log_format=logging.get("LogFormat", "Text"),
            system_log_level=logging.get("SystemLogLevel", "INFO"),
            application_log_level=logging.get("ApplicationLogLevel", "INFO"),
            url=_function_url(url) if url else None,
            subscriptions=tuple(
                subscription
                for source in _events(properties, "EventBridgeRule").values()
                for subscription in self._landings(source["Pattern"])
            ),
            schedules=tuple(
                Schedule(event, every_s(source["ScheduleExpression"]), source["Input"])
                for event, source in _events(properties, "ScheduleV2").items()
            ),
            max_environments=properties.get("ReservedConcurrentExecutions"),
            max_concurrency=int(instances.get("PerExecutionEnvironmentMaxConcurrency", 1)),
        )

    def _landings(self, pattern: dict[str, Any]) -> Iterator[LogSubscription]:
        """The log subscriptions whose objects match an event pattern for S3."""
        if pattern.get("source") != ["aws.s3"]:
            raise TemplateError(f"event pattern: expected the source aws.s3, got {pattern.get('source')}")
        [wanted] = pattern["detail"]["bucket"]["name"]
        [prefix] = (entry["prefix"] for entry in pattern["detail"]["object"]["key"])
        streams = self.resources_of("AWS::KinesisFirehose::DeliveryStream")
        for name, own in self.resources_of("AWS::Logs::SubscriptionFilter").items():
            [stream] = [found for found in streams if own["DestinationArn"] == {"Fn::GetAtt": [found, "Arn"]}]
            lands = self.resolve(streams[stream])["ExtendedS3DestinationConfiguration"]
            bucket = lands["BucketARN"].removeprefix("arn:aws:s3:::")
            if bucket == wanted and lands["Prefix"].startswith(prefix):
                properties = self.resolve(own)
                yield LogSubscription(
                    name,
                    properties["LogGroupName"],
                    properties.get("FilterPattern", ""),
                    bucket,
                    lands["Prefix"],
                )


def every_s(expression: str) -> float:
    """The seconds of a `rate(15 minutes)`. Raises TemplateError for anything else, cron() too."""
    found = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    if found is None or not int(found[1]):
        raise TemplateError(f"schedule: expected rate(N minutes), hours or days, got {expression!r}")
    return int(found[1]) * _UNITS_S[found[2]]


def _function_url(given: dict[str, Any]) -> FunctionUrl:
    cors = given.get("Cors")
    return FunctionUrl(
        streams=given.get("InvokeMode", "BUFFERED") == "RESPONSE_STREAM",
        auth_type=given["AuthType"],
        cors=Cors(
            allow_origins=tuple(cors.get("AllowOrigins", ())),
            allow_methods=tuple(cors.get("AllowMethods", ())),
            allow_headers=tuple(cors.get("AllowHeaders", ())),
            expose_headers=tuple(cors.get("ExposeHeaders", ())),
            allow_credentials=bool(cors.get("AllowCredentials", False)),
            max_age_s=int(cors.get("MaxAge", 0)),
        )
        if cors
        else None,
    )


def _events(properties: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    events = properties.get("Events", {}).items()
    return {name: event["Properties"] for name, event in events if event["Type"] == kind}


def _merge(shared: Any, own: Any) -> Any:
    if (
        isinstance(shared, dict)
        and isinstance(own, dict)
        and not _is_intrinsic(shared)
        and not _is_intrinsic(own)
    ):
        return {key: _merge(shared.get(key), own.get(key, shared.get(key))) for key in {**shared, **own}}
    return own


def _is_intrinsic(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith(("Ref", "Fn::"))
