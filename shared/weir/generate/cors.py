"""Cross-origin answers, for the event sources that leave them to the function.

A function URL answers preflights and adds the headers itself, from its own configuration; a second set from here
would be refused by browsers. API Gateway and a plain container leave them to us.
https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from collections.abc import Sequence

from weir.pricing.event_source import EventSource

_OURS = ("content-type", "accept", "authorization", "idempotency-key", "traceparent")
# What OpenAI's SDK says of itself in a browser.
_OF_SDKS = tuple(
    f"x-stainless-{name}"
    for name in (
        "arch",
        "lang",
        "os",
        "package-version",
        "retry-count",
        "runtime",
        "runtime-version",
        "timeout",
    )
)


def cors_headers(
    origin: str | None, allowed: Sequence[str], event_source: EventSource | None
) -> list[tuple[str, str]]:
    """The headers that let a page of `origin` read the answer; none if it is not allowed, or not ours to say."""
    if origin is None or event_source == "function_url" or not ("*" in allowed or origin in allowed):
        return []
    return [
        ("access-control-allow-origin", origin),
        ("access-control-allow-methods", "POST, GET, DELETE"),
        ("access-control-allow-headers", ", ".join((*_OURS, *_OF_SDKS))),
        ("access-control-expose-headers", "x-request-id, server-timing"),
        ("access-control-max-age", "600"),
        ("vary", "origin"),
    ]
