"""Tests share moto's server: each has an account of its own, and what lies where all could find it is told."""

from typing import Any

import boto3
import pytest

from tests.buckets import enter_account, left_behind


def group_names(logs: Any) -> list[str]:
    return [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]


def test_two_tests_may_say_the_same_name(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        enter_account(moto_url, monkeypatch)
        logs = boto3.client("logs")
        assert group_names(logs) == []
        logs.create_log_group(logGroupName="/weir/generate")
        assert group_names(logs) == ["/weir/generate"]
    assert left_behind() == []


def test_what_lies_in_the_account_of_all_tests_is_told_and_removed(
    moto_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    shared = {"endpoint_url": moto_url, "region_name": "eu-central-1", **keys}
    logs, s3 = boto3.client("logs", **shared), boto3.client("s3", **shared | {"region_name": "us-east-1"})
    logs.create_log_group(logGroupName="/weir/generate")
    s3.create_bucket(Bucket="ledger")
    assert sorted(left_behind()) == ["logs", "s3"]
    assert left_behind() == [] and group_names(logs) == []
