"""What of a deployment only AWS knows: who asks, whether the key is there, what the stack says of itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from weir.pricing.overrides import parse_overrides
from weir.pricing.price_book import PriceBookError

from .settings import Settings


class AwsRefused(Exception):
    """AWS did not answer as needed; says what was asked and what came back."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a deployed stack says of itself, by the names of template.yaml's Outputs."""

    values: Mapping[str, str]
    parameters: Mapping[str, str]
    status: str = "CREATE_COMPLETE"


class Aws:
    """One account and Region; clients are boto3's, made when first asked for."""

    def __init__(self, region: str) -> None:
        self.region = region

    def client(self, service: str) -> Any:
        """boto3's client for a service."""
        import boto3  # half a second that an answer about settings does not need

        return boto3.client(service, region_name=self.region)

    def missing(self, settings: Settings, model_keys: Sequence[str] = ()) -> list[str]:
        """What has to be there before a deployment begins, and is not: one line each."""
        try:
            self.client("sts").get_caller_identity()
        except (BotoCoreError, ClientError) as error:
            return [
                f"credentials: expected AWS's, in the environment or a profile, got none that work ({error}). "
                f"`aws configure`, or AWS_PROFILE=..., then again"
            ]
        return [
            *self._missing_key("UpstreamKey", settings.parameters["UpstreamKey"]),
            *(line for key in model_keys for line in self._missing_key("Models", key)),
            *self._missing_prices(settings.parameters["PriceOverrides"]),
        ]

    def account(self) -> tuple[str, str]:
        """The account's number, and the partition that it is in. Raises AwsRefused."""
        try:
            identity = self.client("sts").get_caller_identity()
        except (BotoCoreError, ClientError) as error:
            raise AwsRefused(f"credentials: {error}") from error
        return identity["Account"], identity["Arn"].split(":")[1]

    def _missing_key(self, parameter: str, key: str) -> list[str]:
        store, _, name = key.partition(":")
        if not name:
            return []
        try:
            if store == "secretsmanager":
                self.client(store).describe_secret(SecretId=name)
            else:
                self.client(store).get_parameter(Name=name)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ResourceNotFoundException", "ParameterNotFound"):
                command = (
                    f"secretsmanager create-secret --name {name} --secret-string file:///dev/stdin"
                    if store == "secretsmanager"
                    else f"ssm put-parameter --type SecureString --name {name} --value file:///dev/stdin"
                )
                return [
                    f"{parameter}: expected a secret at {key} in {self.region}, got none. "
                    f"`aws {command} --region {self.region}` takes it from standard input"
                ]
            # Whoever deploys need not be allowed to look at it.
        return []

    def _missing_prices(self, address: str) -> list[str]:
        store, _, name = address.partition(":")
        try:
            if store == "s3":
                bucket, _, key = name.removeprefix("//").partition("/")
                text = self.client(store).get_object(Bucket=bucket, Key=key)["Body"].read().decode()
            elif store == "ssm":
                text = self.client(store).get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
            else:
                return []
            parse_overrides(text, f" at {address}")
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket", "ParameterNotFound"):
                return [
                    f"PriceOverrides: expected prices as JSON at {address} in {self.region}, got none there"
                ]
            # Whoever deploys need not be allowed to look at them.
        except (PriceBookError, UnicodeDecodeError) as error:
            return [f"PriceOverrides: {error}"]
        return []

    def stack(self, name: str) -> Output:
        """Outputs and parameters of a deployed stack.

        Raises:
            AwsRefused: there is none of that name, or it cannot be asked.
        """
        try:
            [found] = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except (BotoCoreError, ClientError) as error:
            raise AwsRefused(f"stack {name} in {self.region}: {error}") from error
        return Output(
            {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())},
            {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", ())},
            found["StackStatus"],
        )
