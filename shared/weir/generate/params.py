"""What is asked, whichever endpoint's body said it: the values of one request that has been read."""

from collections.abc import Mapping
from typing import Any, Literal

from weir.light_tuples import LightTuple
from weir.providers.call import Message


class GenerationParams(LightTuple):
    """A document, or plain text, to be generated. Parameters are None where the caller named none.

    `passed` goes to the provider as the caller wrote it, where the protocols are the same: no body of
    `/v1/generations` can name it.
    """

    messages: tuple[Message, ...]
    schema_name: str | None = None
    model: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    reasoning_effort: str | None = None
    service_tier: str | None = None
    extra_body: Mapping[str, Any] = {}
    timeout_ms: int | None = None
    include: tuple[str, ...] = ("delta", "value")
    max_cost: str | None = None
    release: Literal["raw", "validated"] = "raw"
    on_violation: Literal["stop", "finish", "retry"] = "stop"
    tags: Mapping[str, str] = {}
    passed: Mapping[str, Any] = {}
