"""moto's server over loopback HTTP, an account and a bucket of it for the functions under test, and what lies in one.

Decided here: tests share a server, never names on it. Each asks STS for keys of an account that nobody else has, as
one would on AWS, so that a log group, a workgroup, a stack or a secret may be called as the code calls it. Buckets,
whose names all accounts share, are named at random. `left_behind` says who forgot.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import boto3
import botocore.session
import pytest
from botocore.loaders import Loader, create_loader
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.base_backend import BackendDict, BaseBackend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import ThreadedMotoServer

from weir.ledger.fact_files import read_facts
from weir.ledger.log_records import RawRecord
from weir.ledger.s3_keys import day_of, hour_of
from weir.ledger.store import Store

REGION = "us-east-1"
# Who asks for keys does so from moto's default account.
_FOR_EVERYONE = {"iam", "sts"}
_MODELS: dict[tuple[object, ...], object] = {}


def _loader(search_path: str | None = None) -> Loader:
    # Each test has a session of its own, which would read the same models of services again: a tenth of a second.
    loader = create_loader(search_path)
    loader._cache = _MODELS
    return loader


botocore.session.create_loader = _loader
# For each request moto lists its own folder, and tries the patterns of all services' URLs.
DomainDispatcherApplication.get_backend_for_host = cache(DomainDispatcherApplication.get_backend_for_host)


@contextmanager
def moto_server() -> Iterator[str]:
    """Its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def new_account(moto_url: str) -> dict[str, str]:
    """Keys of an account that no other test has, and where to use them, as environment variables."""
    role = f"arn:aws:iam::{uuid4().int % 10**12:012d}:role/test"
    keys = _sts(moto_url).assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return {
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_MAX_ATTEMPTS": "1",
    }


@cache
def _sts(moto_url: str) -> Any:
    return boto3.client(
        "sts", endpoint_url=moto_url, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
    )


def enter_account(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new account, as the environment of this process."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    boto3.DEFAULT_SESSION = None  # it keeps the keys of its first client
    for name, value in new_account(moto_url).items():
        monkeypatch.setenv(name, value)


def prepare_bucket(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket in an account of its own at `moto_url`, and the environment in which the functions find it."""
    enter_account(moto_url, monkeypatch)
    bucket = f"ledger-{uuid4().hex}"
    monkeypatch.setenv("WEIR_LEDGER_BUCKET", bucket)
    boto3.client("s3").create_bucket(Bucket=bucket)
    return bucket


def left_behind() -> list[str]:
    """Services of moto, in this process, that hold something in the account that all tests share; it is removed."""
    found = []
    for backends in list(BackendDict._instances):
        if backends.service_name in _FOR_EVERYONE or DEFAULT_ACCOUNT_ID not in backends:
            continue
        for backend in backends[DEFAULT_ACCOUNT_ID].values():
            if _sizes(backend) != _sizes_of_new(type(backend)):
                found.append(backends.service_name)
                backend.reset()
    return found


def _sizes(backend: BaseBackend) -> dict[str, int]:
    """How much of everything it holds."""
    return {name: len(held) for name, held in vars(backend).items() if isinstance(held, (dict, list))}


@cache
def _sizes_of_new(kind: type[BaseBackend]) -> dict[str, int]:
    return _sizes(kind(REGION, DEFAULT_ACCOUNT_ID))


def facts_of(store: Store, first: date, last: date) -> list[RawRecord]:
    """Every raw record of some days, each object of which can be read."""
    unreadable: list[str] = []
    keys = [entry.key for entry in store.fact_objects(first, last)]
    with TemporaryDirectory() as folder:
        hours = [key for key in keys if (day := day_of(key)) and first <= day <= last and hour_of(key)]
        paths = {key: Path(folder) / f"{number}.parquet" for number, key in enumerate(hours)}
        store.download_all(paths)
        found = list(read_facts(list(paths.values())))
    old = [key for key in keys if (day := day_of(key)) and first <= day <= last and not hour_of(key)]
    found += store.old_records(old, unreadable)
    assert unreadable == []
    return found


def landed(chunks: Iterable[bytes]) -> dict[str, Any]:
    """An object in the ledger's bucket, as Firehose writes it, and the event that tells of it."""
    bucket, key = os.environ["WEIR_LEDGER_BUCKET"], f"landing/2026/11/22/12/{uuid4().hex}"
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"".join(chunks))
    return {"source": "aws.s3", "detail": {"bucket": {"name": bucket}, "object": {"key": key}}}
