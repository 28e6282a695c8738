"""Which ledger is meant, with whose credentials: a bucket by its name, or that of a stack by its outputs."""

import argparse
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3

from weir.errors import CallerError
from weir.ledger.current_book import CurrentBook
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook

_OUTPUTS = {
    "bucket": "LedgerBucket",
    "finance": "FinanceUrl",
    "access": "AccessTable",
    "answers": "AnswersTable",
}


class UsageError(CallerError):
    """The command line asks for what cannot be; one line says what was expected and what came."""


@dataclass(frozen=True)
class Ledger:
    """The options that every command has."""

    bucket: str | None
    stack: str | None
    region: str | None
    profile: str | None
    endpoint_url: str | None
    price_overrides: str

    @classmethod
    def of(cls, given: argparse.Namespace) -> "Ledger":
        """As parsed from `add_options`."""
        return cls(
            given.bucket, given.stack, given.region, given.profile, given.endpoint_url, given.price_overrides
        )

    @cached_property
    def session(self) -> Any:
        """boto3's session, with the profile and region that were asked for."""
        return boto3.Session(profile_name=self.profile, region_name=self.region)

    def client(self, service: str) -> Any:
        """boto3's client of a service. Raises botocore's errors for what is not configured."""
        return self.session.client(service, endpoint_url=self.endpoint_url)

    @cached_property
    def store(self) -> Store:
        """The ledger's bucket. Raises UsageError."""
        return Store(self.bucket or self.output("bucket"), self.client("s3"))

    @cached_property
    def book(self) -> PriceBook:
        """The prices that the ledger's functions have. Raises PriceBookError, StoreError."""
        region = self.store.client.meta.region_name
        return CurrentBook(self.store, region, self.price_overrides).get()

    def output(self, what: str) -> str:
        """The stack's output for the "bucket" or "finance". Raises UsageError, and botocore's errors."""
        if self.stack is None:
            raise UsageError(
                f"expected --stack NAME{' or --bucket NAME' if what == 'bucket' else ''}, got neither"
            )
        [stack] = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in stack.get("Outputs", [])}
        if _OUTPUTS[what] not in outputs:
            raise UsageError(
                f"stack {self.stack}: expected an output {_OUTPUTS[what]}, got {', '.join(sorted(outputs)) or 'none'}"
            )
        return str(outputs[_OUTPUTS[what]])


def add_options(parser: argparse.ArgumentParser, environment: dict[str, str]) -> None:
    """The options of `Ledger`; what the functions read from the environment is read here, too."""
    group = parser.add_argument_group("which ledger")
    group.add_argument("--bucket", default=environment.get("WEIR_LEDGER_BUCKET"), help="the ledger's bucket")
    group.add_argument("--stack", help="the CloudFormation stack whose outputs name bucket and finance's URL")
    # boto3 knows AWS_DEFAULT_REGION alone; Lambda and the newer SDKs say AWS_REGION.
    group.add_argument(
        "--region", default=environment.get("AWS_REGION"), help="default: AWS_REGION, or the profile's"
    )
    group.add_argument("--profile", help="of the AWS configuration")
    group.add_argument("--endpoint-url", help="where AWS is instead, such as the moto of `make dev`")
    group.add_argument(
        "--price-overrides",
        default=environment.get("WEIR_PRICE_OVERRIDES", ""),
        help="contract prices: JSON, the path of a file, s3://BUCKET/KEY or ssm:/NAME",
    )
