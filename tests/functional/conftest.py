"""What several suites stand on."""

from collections.abc import Iterator

import pytest

from tests.buckets import moto_server


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """moto's server, for S3, CloudWatch Logs, CloudFormation and Athena's API."""
    with moto_server() as url:
        yield url
