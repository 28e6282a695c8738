"""The protocols by name: each one's builder of requests and decoder of answers, imported when it is first needed."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from weir.providers.call import ModelCall, NotPassed, ProviderRequest
from weir.providers.profiles import Protocol
from weir.providers.routes import Route

if TYPE_CHECKING:
    from weir.providers.events import Decoder

_MODULES: Mapping[Protocol, tuple[str, str, str]] = {
    "chat_completions": ("chat_completions_request", "chat_completions", "ChatCompletionsDecoder"),
    "responses": ("responses_request", "responses", "ResponsesDecoder"),
    "anthropic": ("anthropic_request", "messages", "MessagesDecoder"),
    "converse": ("converse_request", "converse", "ConverseDecoder"),
    "gemini": ("gemini_request", "gemini", "GeminiDecoder"),
}


def build_request(call: ModelCall, route: Route) -> ProviderRequest:
    """What goes to the route's provider. Raises NotPassed, naming what its protocol has no place for."""
    if call.passed and route.profile.protocol != "chat_completions":
        name = next(name for name in ("tools", "response_format", *call.passed) if name in call.passed)
        raise NotPassed(
            f"/{name}",
            f"model {route.name!r} is served by {route.profile.name}, whose protocol has no such {name}",
        )
    build: Callable[[ModelCall, Route], ProviderRequest] = _module(_MODULES[route.profile.protocol][0]).build
    return build(call, route)


def make_decoder(route: Route, max_event_bytes: int) -> "Decoder":
    """A decoder for one answer of the route's provider."""
    _, module, name = _MODULES[route.profile.protocol]
    decoder: Decoder = getattr(_module(module), name)(max_event_bytes=max_event_bytes)
    return decoder


def import_builder(route: Route) -> None:
    """Import what writes the route's requests: at start, where Lambda gives the most CPU."""
    _module(_MODULES[route.profile.protocol][0])


def import_decoder(route: Route) -> None:
    """Import what reads the route's answers, where that cannot wait until one is due."""
    _module(_MODULES[route.profile.protocol][1])


def _module(name: str) -> Any:
    return import_module(f"weir.providers.{name}")
