"""`costs dashboard` as a person starts and ends it, in front of a function URL that verifies signatures."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import boto3
import httpx
import pytest

from tests.buckets import new_account
from tests.unit.cloudformation import ROOT

from .conftest import Costs
from .sigv4 import verifying

KEYS = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
OWN = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": KEYS["AKIDEXAMPLE"],
    "AWS_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@contextmanager
def dashboard(*options: str, **environment: str) -> Iterator[str]:
    """The command, on any free port; yields the address that it prints, and ends it by Ctrl-C."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WEIR_"))}
    process = subprocess.Popen(
        [ROOT / "infra/costs/costs", "dashboard", "--port", "0", *options],
        env=kept | OWN | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        assert first.endswith("Ctrl-C ends it\n"), first
        yield first.split()[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_the_page_is_reached_signed_until_ctrl_c() -> None:
    with verifying(dict(KEYS)) as server, dashboard("--url", server.url, "--no-browser") as address:
        echo = httpx.get(f"{address}api/report?from=2026-11-01").json()
        assert (echo["key"], echo["region"], echo["target"]) == (
            "AKIDEXAMPLE",
            "eu-central-1",
            "/api/report?from=2026-11-01",
        )
        rebound = httpx.get(address, headers={"host": "attacker.example"})
        assert rebound.status_code == 403


def test_a_browser_is_opened_on_the_address(tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.part && mv {opened}.part {opened}\n')
    browser.chmod(0o755)
    with verifying(dict(KEYS)) as server, dashboard("--url", server.url, BROWSER=f"{browser} %s") as address:
        wait = f"until [ -e {opened} ]; do sleep 0.05; done"
        subprocess.run(["timeout", "20", "sh", "-c", wait], check=True)
        assert opened.read_text().strip() == address


def test_the_stack_says_where_finance_is(moto_url: str) -> None:
    secrets = dict(KEYS)
    with verifying(secrets) as server:
        template = {
            "Resources": {
                "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": f"ledger-{uuid4().hex}"}}
            },
            "Outputs": {
                "FinanceUrl": {"Value": f"{server.url}/"},
                "LedgerBucket": {"Value": {"Ref": "Bucket"}},
            },
        }
        account = new_account(moto_url) | {"AWS_REGION": "eu-central-1"}
        cloudformation = boto3.client(
            "cloudformation",
            endpoint_url=moto_url,
            region_name=account["AWS_REGION"],
            aws_access_key_id=account["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=account["AWS_SECRET_ACCESS_KEY"],
        )
        cloudformation.create_stack(StackName="weir-test", TemplateBody=json.dumps(template))
        secrets[account["AWS_ACCESS_KEY_ID"]] = account["AWS_SECRET_ACCESS_KEY"]
        with dashboard("--stack", "weir-test", "--no-browser", **account) as address:
            assert httpx.get(address).json()["target"] == "/"
        report = subprocess.run(
            [ROOT / "infra/costs/costs", "report", "--stack", "weir-test"],
            env=os.environ | OWN | account,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "0 requests" in report.stdout


def test_no_credentials_is_told_before_anything_is_opened(
    environment: None, costs: Costs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_EC2_METADATA_DISABLED", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, OWN[name])
    code, _, err = costs("dashboard", "--url", "https://x.lambda-url.eu-central-1.on.aws", "--no-browser")
    assert (code, err) == (
        2,
        "costs dashboard: expected AWS credentials in the environment or a profile, got none\n",
    )


def test_a_stack_that_is_not_there_and_a_port_that_is_taken(environment: None, costs: Costs) -> None:
    code, _, err = costs("report", "--bucket", "", "--stack", "no-such-stack")
    assert code == 2 and "no-such-stack" in err and err.count("\n") == 1
    with verifying({}) as server:
        code, _, err = costs(
            "dashboard", "--url", server.url, "--port", server.url.rpartition(":")[2], "--no-browser"
        )
        assert code == 2 and "Address already in use" in err


@pytest.mark.parametrize(
    ("option", "given"),
    [("--port", "99999"), ("--port", "-1"), ("--url", "https://["), ("--url", "https://me:key@x.on.aws"), ("--url", "https://")],
)  # fmt: skip
def test_an_address_that_cannot_be_is_told_in_one_line(
    environment: None, costs: Costs, option: str, given: str
) -> None:
    options = {"--url": "http://127.0.0.1:9", "--port": "0", option: given}
    code, _, err = costs("dashboard", "--no-browser", *(f"{name}={value}" for name, value in options.items()))
    assert code == 2 and err.startswith(f"costs dashboard: {option}: expected") and err.count("\n") == 1


def test_the_module_and_the_executable_are_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.costs", "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "shared")},
        capture_output=True,
        text=True,
        check=True,
    )
    own = subprocess.run([ROOT / "infra/costs/costs", "--help"], capture_output=True, text=True, check=True)
    assert own.stdout == done.stdout
    for command in ("report", "export", "reconcile", "reprice", "close", "compact", "dashboard"):
        assert f"    {command} " in own.stdout
