"""Facts: what a request came through, and what a function knows of itself."""

import pytest

from asgiric.events import request
from weir.generate.settings import function_from_environment
from weir.ledger.facts import event_source_of
from weir.pricing.event_source import EventSource


@pytest.mark.parametrize("name", EventSource.__value__.__args__)
def test_an_event_source_is_what_the_runtime_client_calls_it(name: str) -> None:
    assert event_source_of(name) == name


def test_the_runtime_client_knows_no_event_source_that_a_fact_does_not() -> None:
    assert request.EventSource.__args__ == EventSource.__value__.__args__  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [None, "carrier pigeon", 5])
def test_what_nobody_named_is_an_unknown_event_source(name: object) -> None:
    """A container, or another runtime client, names none."""
    assert event_source_of(name) is None


def test_a_function_knows_its_storage_from_the_template_alone() -> None:
    environment = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_MAX_CONCURRENCY": "64"}
    unsaid = function_from_environment(environment, "aarch64")
    assert (unsaid.ephemeral_storage_mb, unsaid.max_concurrency) == (None, 64)
    said = function_from_environment({"WEIR_EPHEMERAL_STORAGE_MB": "2048"}, "aarch64")
    assert (said.ephemeral_storage_mb, said.max_concurrency) == (2048, 1)
