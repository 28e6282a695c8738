"""One simulator for the tests of this folder; scripts that only a test needs are added here."""

from collections.abc import Iterator

import pytest

from infra.local.simulator import Script, Simulator

PACED = Script(name="test-paced", ttft_ms=100.0, tokens_per_s=1_000.0)
CRAWLING = Script(name="test-crawling", ttft_ms=0.0, tokens_per_s=50.0)


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    with Simulator(scripts=[PACED, CRAWLING]) as running:
        yield running
