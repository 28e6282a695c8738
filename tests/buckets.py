"""A bucket of moto's for the functions under test."""

from uuid import uuid4

import boto3
import pytest


def prepare_bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket at `s3_url`, and the environment in which the functions find it."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    environment = {
        "AWS_ENDPOINT_URL": s3_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "WEIR_LEDGER_BUCKET": f"ledger-{uuid4().hex}",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket=environment["WEIR_LEDGER_BUCKET"])
    return environment["WEIR_LEDGER_BUCKET"]
