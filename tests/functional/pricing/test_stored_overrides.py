"""A contract's prices in S3, in Systems Manager and in a file: read, read again, refused."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import boto3
import pytest

from infra.deploy.aws import Aws
from infra.deploy.settings import Settings
from tests.buckets import enter_account
from tests.unit.cloudformation import ROOT
from weir.errors import ConfigurationError
from weir.generate.stored_prices import StoredPrices
from weir.pricing import overrides
from weir.pricing.overrides import OverridesUnreadable, load_price_book
from weir.pricing.price_book import PriceBook, PriceBookError

REGION = "eu-central-1"


def contract(price: str) -> str:
    record = {"valid_from": None, "valid_to": None, "prices": {"input": price}}
    return json.dumps({"models": [{"model": "ours-1", "provider": "openai", "records": [record]}]})


def input_price(book: PriceBook) -> str:
    found = book.token_prices(model="ours-1", seller="openai", at=datetime(2026, 11, 1, tzinfo=UTC))
    assert found is not None
    return str(found.kinds["input"].amount)


class Store:
    """One place for prices: where it is, how something gets there, and how it goes."""

    def __init__(self, address: str, put: Callable[[str], object], remove: Callable[[], object]) -> None:
        self.address, self.put, self.remove = address, put, remove


@pytest.fixture(params=["s3", "ssm", "file"])
def store(
    request: pytest.FixtureRequest, moto_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Store:
    enter_account(moto_url, monkeypatch)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setattr(overrides, "_known", {})
    if request.param == "s3":
        s3 = boto3.client("s3", REGION)
        bucket = f"contracts-{uuid4().hex}"  # moto's buckets, as AWS's, are of all accounts
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        place = {"Bucket": bucket, "Key": "weir/prices.json"}
        return Store(
            f"s3://{bucket}/weir/prices.json",
            lambda text: s3.put_object(**place, Body=text.encode()),
            lambda: s3.delete_object(**place),
        )
    if request.param == "ssm":
        ssm = boto3.client("ssm", REGION)
        return Store(
            "ssm:/weir/prices",
            lambda text: ssm.put_parameter(
                Name="/weir/prices", Value=text, Type="SecureString", Overwrite=True
            ),
            lambda: ssm.delete_parameter(Name="/weir/prices"),
        )
    path = tmp_path / "prices.json"
    return Store(str(path), path.write_text, path.unlink)


def test_prices_are_read_where_they_lie_and_again_when_they_are_old(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(contract("1.25"))
    first = load_price_book(store.address)
    assert input_price(first) == "1.25"
    assert first.version == load_price_book(contract("1.25")).version
    store.put(contract("2.50"))
    assert load_price_book(store.address) is first
    monkeypatch.setattr(overrides, "MAX_AGE_S", 0.0)
    overrides._known[store.address] = (0.0, contract("1.25"))
    again = load_price_book(store.address)
    assert input_price(again) == "2.50" and again.version != first.version
    # The store is down: what was known goes on.
    store.remove()
    assert load_price_book(store.address) is again


def test_where_nothing_lies_is_named(store: Store) -> None:
    with pytest.raises(OverridesUnreadable) as error:
        load_price_book(store.address)
    assert f"got {store.address!r}" in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prices: 7", "expected a JSON object at"),
        ("[]", "expected a JSON object at"),
        ('{"modles": []}', "perhaps 'models'"),
        ('{"records": [{"itme": "request"}]}', "perhaps 'item'"),
        ('{"models": [{"model": "m", "records": [{"prices": {"inptu": "1"}}]}]}', "perhaps 'input'"),
        ('{"models": [{"modle": "m", "records": []}]}', "perhaps 'model'"),
    ],
)
def test_what_is_no_contract_is_refused_with_the_nearest_right_key(
    store: Store, text: str, said: str
) -> None:
    store.put(text)
    with pytest.raises(PriceBookError) as error:
        load_price_book(store.address)
    assert said in str(error.value)


async def test_no_request_waits_for_stored_prices_and_later_ones_take_the_newer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overrides, "MAX_AGE_S", 0.0)
    prices = StoredPrices(store.address)
    with pytest.raises(ConfigurationError, match="none were read yet"):
        prices.book()
    await prices.read()
    with pytest.raises(OverridesUnreadable):
        prices.book()
    store.put(contract("1"))
    await prices.read()
    assert input_price(prices.book()) == "1"
    store.put(contract("2"))
    for _ in range(2):  # the first may have begun before the newer ones were there
        assert prices._reading is not None
        await prices._reading
        book = prices.book()
    assert input_price(book) == "2"


def test_a_deployment_looks_at_the_prices_before_it_begins(store: Store) -> None:
    if store.address.startswith("/"):
        pytest.skip("a deployment knows no files of this machine")
    settings = Settings.load(ROOT, "dev", f"UpstreamKey= PriceOverrides={store.address}")
    aws = Aws(REGION)
    [line] = aws.missing(settings)
    assert f"expected prices as JSON at {store.address} in {REGION}, got none there" in line
    store.put('{"recrods": []}')
    [line] = aws.missing(settings)
    assert line.startswith("PriceOverrides:") and "perhaps 'records'" in line
    store.put(contract("1"))
    assert aws.missing(settings) == []
