"""One call of a model, in words of no protocol, and how a protocol's builder says what it cannot pass."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from weir.errors import CallerError
from weir.light_tuples import LightTuple
from weir.providers.routes import Route
from weir.providers.structured_output import StructuredOutput

# Kept: json.dumps makes an encoder for each call.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

type Role = Literal["system", "developer", "user", "assistant"]


class NotPassed(CallerError):
    """A parameter or a part of a message that the route's protocol has no place for; `pointer` is the request's."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}")
        self.pointer = pointer
        self.detail = detail


class TextPart(LightTuple):
    """Text of a message."""

    text: str


class ImagePart(LightTuple):
    """An image of a message: at an address, or its bytes as base64 with their media type."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None

    @property
    def data_url(self) -> str:
        """The address, or the bytes as one."""
        return self.url or f"data:{self.media_type};base64,{self.data}"


class Message(LightTuple):
    """One turn of a conversation."""

    role: Role
    parts: tuple[TextPart | ImagePart, ...]

    @property
    def text(self) -> str:
        """Its text, parts joined."""
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def data_chars(self) -> int:
        """The characters of its images' bytes, which no provider counts as text."""
        return sum(len(part.data or "") for part in self.parts if isinstance(part, ImagePart))

    @property
    def plain(self) -> bool:
        """Whether it is text alone."""
        return len(self.parts) == 1 and isinstance(self.parts[0], TextPart)


class ModelCall(LightTuple):
    """What is asked of a model in one attempt. Parameters are None where the caller named none."""

    messages: Sequence[Message]
    max_output_tokens: int
    structured: StructuredOutput | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    reasoning_effort: str | None = None
    service_tier: str | None = None
    extra_body: Mapping[str, Any] = {}
    request_id: str = ""
    # Members in the words of Chat Completions, for routes that speak it; messages among them replace ours.
    passed: Mapping[str, Any] = {}


class ProviderRequest(LightTuple):
    """What goes to the provider, but for its key: the path below the route's base URL, and the body."""

    path: str
    body: dict[str, Any]
    headers: Mapping[str, str] = {}

    def encoded(self) -> bytes:
        """The body's bytes. Raises NotPassed: JSON has no word for a number among the caller's own members."""
        try:
            return _encode(self.body).encode()
        except ValueError as error:
            raise NotPassed("", f"expected numbers that JSON has: {error}") from None


def parameters(call: ModelCall, route: Route, names: Mapping[str, str]) -> dict[str, Any]:
    """The sampling and other parameters of `call`, by the wire's `names`; `stop` is a list.

    Raises:
        NotPassed: the protocol, or this provider, has no such parameter.
    """
    given = {
        "temperature": call.temperature,
        "top_p": call.top_p,
        "seed": call.seed,
        "stop": list(call.stop) or None,
        "reasoning_effort": call.reasoning_effort,
        "service_tier": call.service_tier,
    }
    passed = {}
    for name, value in given.items():
        if value is None:
            continue
        if name not in names or name in route.profile.refused:
            raise NotPassed(
                f"/{name}", f"model {route.name!r} is served by {route.profile.name}, which has no {name}"
            )
        passed[names[name]] = value
    return passed


# What decides how an answer is framed, bounded and priced: no extra member may replace it.
_OURS = {
    "model", "messages", "input", "contents", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens",
    "max_output_tokens", "maxTokens", "generationConfig", "inferenceConfig", "response_format", "text", "outputConfig",
    "output_config", "tools", "tool_choice", "toolConfig", "background",
}  # fmt: skip


def with_extra(body: dict[str, Any], call: ModelCall, route: Route) -> dict[str, Any]:
    """The body with the route's extra members and the caller's, which may add and not replace.

    Raises:
        NotPassed: an extra member of the caller's is one that we set.
    """
    for name in call.extra_body:
        if name in _OURS or name in body:
            raise NotPassed(f"/extra_body/{name}", "expected members that are not set by other fields")
    return {**body, **route.extra_body, **call.extra_body}


def with_prompt(messages: Sequence[Message], structured: StructuredOutput | None) -> list[Message]:
    """The messages, and before them what is to be read of the schema: one system message, which templates expect."""
    if structured is None or structured.prompt is None:
        return list(messages)
    first, rest = (messages[0], messages[1:]) if messages[0].role == "system" else (None, messages)
    text = structured.prompt if first is None else f"{first.text}\n\n{structured.prompt}"
    return [Message("system", (TextPart(text),)), *rest]


def images_taken(messages: Sequence[Message], route: Route) -> None:
    """Hold the parts against what the provider takes.

    Raises:
        NotPassed: an image, or an image by address, that it does not take.
    """
    images = route.profile.images
    for index, message in enumerate(messages):
        for number, part in enumerate(message.parts):
            if isinstance(part, ImagePart) and (images == "none" or (images == "data" and part.url)):
                taken = "text alone" if images == "none" else "an image's data, not its address"
                raise NotPassed(
                    f"/messages/{index}/content/{number}",
                    f"model {route.name!r} is served by {route.profile.name}, which takes {taken}",
                )


def _alternate(messages: Sequence[Message]) -> list[tuple[Role, list[TextPart | ImagePart]]]:
    """The turns with neighbours of one role joined."""
    turns: list[tuple[Role, list[TextPart | ImagePart]]] = []
    for message in messages:
        if turns and turns[-1][0] == message.role:
            turns[-1][1].extend(message.parts)
        else:
            turns.append((message.role, list(message.parts)))
    return turns


def system_and_turns(
    call: ModelCall, route: Route
) -> tuple[list[Message], list[tuple[Role, list[TextPart | ImagePart]]]]:
    """The instructions, and apart from them the turns, alternating, as some protocols want it.

    Raises:
        NotPassed: a part that the provider does not take, or no turn at all.
    """
    images_taken(call.messages, route)
    messages = with_prompt(call.messages, call.structured)
    system = [message for message in messages if message.role in ("system", "developer")]
    turns = _alternate([message for message in messages if message.role in ("user", "assistant")])
    if not turns:
        raise NotPassed(
            "/messages",
            f"model {route.name!r} is served by {route.profile.name}, which wants a turn of the user, got none",
        )
    return system, turns
