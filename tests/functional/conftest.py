"""What several suites stand on."""

import sys
from collections.abc import Iterator

import pytest

from tests.buckets import left_behind, moto_server


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """moto's server, for S3, CloudWatch Logs, CloudFormation and Athena's API; tests/buckets.py gives accounts on it."""
    with moto_server() as url:
        yield url


@pytest.fixture(autouse=True)
def nothing_where_another_test_could_find_it() -> Iterator[None]:
    """Fails a test that used moto's default account: the next one that says the same name there would find it."""
    yield
    if "moto.core.base_backend" in sys.modules:
        assert left_behind() == [], "use tests.buckets.enter_account: every test shares the default account"
