"""Who invoked the function: one module for each source, told apart by what only it sends."""

from __future__ import annotations

import json
from typing import Any, Protocol

from asgiric.events import alb, direct, function_url, rest_api
from asgiric.events.request import BadEvent, Request


class _Source(Protocol):
    """What each module of this package offers but the last resort, `direct`."""

    __name__: str

    def recognises(self, event: dict[str, Any]) -> bool: ...

    def read(self, event: dict[str, Any]) -> Request: ...


# In this order: a load balancer's event also has a method and a request context.
_HTTP_SOURCES: tuple[_Source, ...] = (function_url, alb, rest_api)


def read_event(document: bytes, direct_path: str = "/") -> Request:
    """The HTTP request in an event's bytes; what no HTTP source sent is a direct invoke to `direct_path`.

    Raises BadEvent when the bytes are not JSON or an event lacks what its source always sends.
    """
    try:
        event: Any = json.loads(document)
    except (ValueError, RecursionError) as error:  # not UTF-8 and nesting without end included
        raise BadEvent(f"expected the event to be JSON: {error}") from None
    # All HTTP sources send one; a direct caller's document rarely has such a member, and never their contents.
    if isinstance(event, dict) and isinstance(event.get("requestContext"), dict):
        for source in _HTTP_SOURCES:
            if source.recognises(event):
                return _read_http(source, event)
    return direct.read(event, document, direct_path)


def _read_http(source: _Source, event: dict[str, Any]) -> Request:
    name = source.__name__.rpartition(".")[2]
    try:
        request = source.read(event)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadEvent(f"expected an event of {name}, but it lacks or mistypes {error}") from error
    if not isinstance(request.method, str) or not isinstance(request.path, str):
        raise BadEvent(
            f"expected method and path in an event of {name}, got {request.method!r}, {request.path!r}"
        )
    return request


__all__ = ["BadEvent", "Request", "read_event"]
