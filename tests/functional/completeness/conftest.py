"""A bucket and log groups on moto's server, and the environment in which clients find them."""

import pytest

from tests.buckets import prepare_bucket
from weir.ledger.store import Store


@pytest.fixture
def store(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(prepare_bucket(moto_url, monkeypatch))
