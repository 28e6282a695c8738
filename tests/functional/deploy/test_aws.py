"""What a deployment asks AWS before it begins, against moto."""

import json
from collections.abc import Callable

import boto3
import pytest

from infra.deploy.aws import Aws, AwsRefused
from infra.deploy.settings import Settings
from tests.buckets import enter_account
from tests.unit.cloudformation import ROOT

REGION = "eu-central-1"


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Aws:
    enter_account(moto_url, monkeypatch)
    return Aws(REGION)


def settings(key: str) -> Settings:
    return Settings.load(ROOT, "dev", f"UpstreamKey={key}")


@pytest.mark.parametrize(
    ("key", "store", "command"),
    [
        (
            "secretsmanager:weir/upstream",
            lambda: boto3.client("secretsmanager", REGION).create_secret(
                Name="weir/upstream", SecretString="k"
            ),
            "aws secretsmanager create-secret --name weir/upstream",
        ),
        (
            "ssm:/weir/upstream",
            lambda: boto3.client("ssm", REGION).put_parameter(
                Name="/weir/upstream", Value="k", Type="SecureString"
            ),
            "aws ssm put-parameter --type SecureString --name /weir/upstream",
        ),
    ],
)
def test_a_key_that_is_not_there_is_told_with_the_command_that_puts_it_there(
    aws: Aws, key: str, store: Callable[[], object], command: str
) -> None:
    [line] = aws.missing(settings(key))
    assert key in line and command in line and f"--region {REGION}" in line
    store()
    assert aws.missing(settings(key)) == []


def test_no_credentials_is_told(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    [line] = Aws(REGION).missing(settings(""))
    assert line.startswith("credentials: expected AWS's")


def test_a_stack_says_its_outputs_and_parameters(aws: Aws) -> None:
    template = {
        "Parameters": {"UpstreamModel": {"Type": "String", "Default": "m"}},
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {"GenerateUrl": {"Value": "https://g.example/"}},
    }
    boto3.client("cloudformation", REGION).create_stack(
        StackName="weir-dev", TemplateBody=json.dumps(template)
    )
    found = aws.stack("weir-dev")
    assert (found.values, found.parameters) == ({"GenerateUrl": "https://g.example/"}, {"UpstreamModel": "m"})
    with pytest.raises(AwsRefused, match="stack other in eu-central-1"):
        aws.stack("other")
