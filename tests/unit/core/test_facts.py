"""Facts: what a request came through, and what a function knows of itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from weir.ledger.facts import event_source_of
from weir.settings import function_from_environment

EVENTS = Path(__file__).parents[2] / "events"


@pytest.mark.parametrize(
    ("name", "front"),
    [
        ("url_generate", "function_url"),
        ("url_get_openapi", "function_url"),
        ("rest_generate", "rest_api"),
        ("direct_generate", "direct"),
        ("alb_generate", None),
    ],
)
def test_the_shape_of_an_event_tells_what_it_came_through(name: str, front: str | None) -> None:
    assert event_source_of(json.loads((EVENTS / f"{name}.json").read_text())) == front


HTTP_API = {"version": "2.0", "requestContext": {"domainName": "a1b2.execute-api.eu-central-1.amazonaws.com"}}


@pytest.mark.parametrize(
    ("event", "front"),
    [
        (None, None),
        (HTTP_API, None),
        ([1, 2], "direct"),
        ("text", "direct"),
        ({"prompt": "x", "requestContext": "mine"}, "direct"),
    ],
    ids=["none, as in a container", "an HTTP API", "a list", "text", "a payload with a member of that name"],
)
def test_an_event_of_another_shape_is_a_payload_or_unknown(event: Any, front: str | None) -> None:
    assert event_source_of(event) == front


def test_a_function_knows_its_storage_from_the_template_alone() -> None:
    environment = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_MAX_CONCURRENCY": "64"}
    unsaid = function_from_environment(environment, "aarch64")
    assert (unsaid.ephemeral_storage_mb, unsaid.max_concurrency) == (None, 64)
    said = function_from_environment({"WEIR_EPHEMERAL_STORAGE_MB": "2048"}, "aarch64")
    assert (said.ephemeral_storage_mb, said.max_concurrency) == (2048, 1)
