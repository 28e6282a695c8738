"""What a caller may ask: the body of `POST /v1/generations`, read from bytes or refused with the field's name.

This is the word on every body; `accept` only passes it by where there is no doubt.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    FailFast,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json

from weir.generate.body import invalid_fields
from weir.generate.params import GenerationParams
from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.call import ImagePart, Message, TextPart
from weir.schemas import is_registered, schema_names

MAX_ERRORS = 20

type Include = Literal["delta", "value", "result"]
type BillTag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:/@-]{1,64}$")]


def _known(name: str) -> str:
    if name not in schema_names() and not is_registered(name):
        raise ValueError(f"expected one of {', '.join(schema_names())}, got {name[:64]!r}")
    return name


def _few(tags: Any) -> Any:
    if isinstance(tags, dict) and len(tags) > 10:  # before each of them becomes an error of its own
        raise PydanticCustomError("too_long", "expected at most 10 tags, got more")
    return tags


class TextContent(BaseModel):
    """Text, as a part of a message."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: Annotated[str, Field(min_length=1)]


class ImageContent(BaseModel):
    """An image, by its address or by its bytes."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["image"]
    url: Annotated[str, Field(pattern=r"^https://", max_length=2_000)] | None = None
    data: Annotated[str, Field(min_length=1, description="Base64.")] | None = None
    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.url is None) == (self.data is None) or (self.data is None) != (self.media_type is None):
            raise ValueError("expected url, or data with its media_type")
        return self


type Content = Annotated[TextContent | ImageContent, Field(discriminator="type")]


class RequestMessage(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        Annotated[str, Field(min_length=1), Tag("a text")]
        | Annotated[list[Content], FailFast(), Field(min_length=1, max_length=64), Tag("a list")],
        Discriminator(lambda content: "a list" if isinstance(content, list) else "a text"),
    ]

    def as_message(self) -> Message:
        """The turn in words of no protocol."""
        if isinstance(self.content, str):
            return Message(self.role, (TextPart(self.content),))
        return Message(
            self.role,
            tuple(
                TextPart(part.text)
                if isinstance(part, TextContent)
                else ImagePart(part.url, part.data, part.media_type)
                for part in self.content
            ),
        )


class GenerationRequest(BaseModel):
    """A document, or plain text, to be generated: from a prompt or from messages, but not both."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    prompt: Annotated[str, Field(min_length=1)] | None = None
    messages: Annotated[list[RequestMessage], FailFast(), Field(min_length=1, max_length=500)] | None = None
    schema_name: Annotated[
        Annotated[str, AfterValidator(_known)] | None,
        Field(alias="schema", description="The document's schema; plain text without one."),
    ] = None
    model: Annotated[
        str | None, Field(min_length=1, max_length=200, description="A name of the models' file.")
    ] = None
    max_output_tokens: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63, strict=True)] | None = None
    stop: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]], FailFast(), Field(max_length=4)
    ] = []
    reasoning_effort: Annotated[str, Field(pattern=r"^[a-z_]{1,20}$")] | None = None
    service_tier: Annotated[str, Field(pattern=r"^[a-z_]{1,20}$")] | None = None
    extra_body: Annotated[
        dict[str, Any], Field(max_length=50, description="Members for the provider that it alone knows.")
    ] = {}
    timeout_ms: Annotated[
        int | None, Field(ge=1, le=900_000, strict=True, description="The caller's own deadline, from now.")
    ] = None
    include: Annotated[
        list[Include], FailFast(), Field(max_length=3, description="Which events to stream.")
    ] = ["delta", "value"]
    max_cost: Annotated[
        str | None,
        Field(
            pattern=r"^\d{1,6}(\.\d{1,9})?$",
            description="The most that the request may cost, in USD; where it may cost more it is refused.",
        ),
    ] = None
    release: Annotated[
        Literal["raw", "validated"],
        Field(
            description="When text leaves: the moment it comes, or once the value that holds it has validated."
        ),
    ] = "raw"
    on_violation: Annotated[
        Literal["stop", "finish", "retry"],
        Field(description="At the first violation: stop the model, let it finish, or ask once more."),
    ] = "stop"
    tags: Annotated[
        dict[BillTag, BillTag], BeforeValidator(_few), Field(max_length=10, description="Names for the bill.")
    ] = {}

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("expected exactly one of prompt and messages")
        return self

    def params(self) -> GenerationParams:
        """The request in words of no endpoint."""
        if self.messages is not None:
            messages = tuple(message.as_message() for message in self.messages)
        else:
            messages = (Message("user", (TextPart(self.prompt or ""),)),)
        same = {name: getattr(self, name) for name in type(self).model_fields if name not in _WORDED}
        return GenerationParams(messages, stop=tuple(self.stop), include=tuple(self.include), **same)


# What `params` says in words of its own.
_WORDED = {"prompt", "messages", "stop", "include"}


def parse_json(body: bytes) -> Any:
    """The value of a body that has been checked. Raises Problem."""
    try:
        return from_json(body)
    except ValueError as error:
        raise Problem(Outcome.BAD_REQUEST, f"body: {error}", status=400) from None


def parse_body(body: bytes) -> GenerationParams:
    """Read a body that has been checked. Raises Problem."""
    try:
        return GenerationRequest.model_validate_json(body).params()
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        if found[0]["type"] == "json_invalid":
            raise Problem(Outcome.BAD_REQUEST, f"body: {found[0]['msg']}", status=400) from None
        given = parse_json(body)
        raise invalid_fields(
            [(_pointer(item["loc"], item["type"], given), item["msg"]) for item in found[:MAX_ERRORS]]
        ) from None


def _pointer(loc: tuple[int | str, ...], kind: str, value: Any) -> str:
    """The place of an error in a body; which choice of a union it was is no part of that."""
    pointer = ""
    for number, part in enumerate(loc):
        match value:
            case dict() if part in value:
                value = value[part]
            case list() if isinstance(part, int):
                value = value[part]
            case dict() if kind == "missing" and number == len(loc) - 1:
                pass
            case _:
                continue
        pointer += f"/{_token(part)}"
    return pointer


def _token(part: int | str) -> str:
    return str(part)[:64].replace("~", "~0").replace("/", "~1")
