"""Who invoked the function: one module for each event source, told apart by what only it sends.

Decided here: the order of the questions. An event of a service that sends no HTTP requests is refused; one of a
source of HTTP requests is read by its module; every other document is a direct invoke's, also one that is no JSON at
all, or that looks like a source's event and lacks what that source always sends: only a direct caller can make one,
and the application, which knows what it takes, answers it.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from asgiric.events import alb, direct, function_url, rest_api
from asgiric.events.not_http import UnknownEventSource, sender_of
from asgiric.events.request import Request


class _Source(Protocol):
    """What each module of this package offers but the last resort, `direct`."""

    __name__: str

    def recognises(self, event: dict[str, Any]) -> bool: ...

    def read(self, event: dict[str, Any]) -> Request: ...


# In this order: a load balancer's event also has a method and a request context.
_HTTP_SOURCES: tuple[_Source, ...] = (function_url, alb, rest_api)


def read_event(document: bytes, direct_path: str = "/") -> Request:
    """The HTTP request in an event's bytes; what no HTTP source sent is a direct invoke to `direct_path`.

    Raises UnknownEventSource for an event behind which no HTTP request stands.
    """
    try:
        event: Any = json.loads(document)
    except (ValueError, RecursionError) as error:  # not UTF-8, huge numbers and nesting without end included
        return direct.read(None, document, direct_path, f"expected JSON: {error}")
    doubt = None
    if isinstance(event, dict):
        if sender := sender_of(event):
            raise UnknownEventSource(
                "expected an event of a function URL, API Gateway, a load balancer or a direct invoke, "
                f"got one of {sender}"
            )
        # All HTTP sources send one; a direct caller's document rarely has such a member, and never their contents.
        if isinstance(event.get("requestContext"), dict):
            for source in _HTTP_SOURCES:
                if source.recognises(event):
                    request = _read_http(source, event)
                    if isinstance(request, Request):
                        return request
                    doubt = request
                    break
    return direct.read(event, document, direct_path, doubt)


def _read_http(source: _Source, event: dict[str, Any]) -> Request | str:
    """The request; or what is wrong with an event that its source cannot have sent."""
    try:
        return source.read(event)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        name = source.__name__.rpartition(".")[2]
        return f"expected an event of {name}, but it lacks or mistypes {error}"


__all__ = ["Request", "UnknownEventSource", "read_event"]
