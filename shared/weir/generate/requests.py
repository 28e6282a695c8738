"""What a caller may ask: the body of `POST /v1/generations`, read from bytes or refused with the field's name.

How many values a body holds, and how deep, is counted on its bytes before anything is made of them: a megabyte of empty
objects would else become a million errors, and hold every other stream of the process while they are made.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json

from weir.outcomes import Outcome
from weir.problems import Problem
from weir.providers.call import ImagePart, Message, TextPart
from weir.schemas import is_registered, schema_names

MAX_BODY_BYTES = 1_048_576
MAX_VALUES = 2_500
MAX_MEMBERS = 64
MAX_DEPTH = 32
MAX_ERRORS = 20
_TOKENS = re.compile(rb'"[^"]*"?|[{\[]|[}\]]|,')

type Include = Literal["delta", "value", "result"]
type Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:/@-]{1,64}$")]


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
    content: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Content], FailFast(), Field(min_length=1, max_length=64)]
    )

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
        dict[Tag, Tag], BeforeValidator(_few), Field(max_length=10, description="Names for the bill.")
    ] = {}

    # Members of a chat completion that only its protocol has; no body of this endpoint can name them.
    _passed: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def passed(self) -> dict[str, Any]:
        """What goes to the provider as the caller wrote it, where the protocols are the same."""
        return self._passed

    def pass_on(self, members: dict[str, Any]) -> None:
        """Let members go to the provider as the caller wrote them."""
        self._passed = members

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("expected exactly one of prompt and messages")
        return self

    def conversation(self) -> list[Message]:
        """The turns, in words of no protocol."""
        if self.messages is not None:
            return [message.as_message() for message in self.messages]
        return [Message("user", (TextPart(self.prompt or ""),))]


def parse_request(body: bytes, content_type: str) -> GenerationRequest:
    """Read a request.

    Raises:
        Problem: 415 for another media type, 413 over MAX_BODY_BYTES, 400 for what is not JSON, 422 for a wrong
            field, with `errors: [{pointer, detail}]`.
    """
    check_body(body, content_type)
    return parse_body(body)


def check_body(body: bytes, content_type: str) -> None:
    """Refuse what is too large, too deep or of another media type, before anything is made of it. Raises Problem."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in ("application/json", ""):
        raise Problem(
            Outcome.BAD_REQUEST,
            f"content-type: expected application/json, got {media_type[:100]!r}",
            status=415,
            title="Unsupported media type",
        )
    if len(body) > MAX_BODY_BYTES:
        raise body_too_large()
    _count_values(body)


def parse_json(body: bytes, content_type: str) -> Any:
    """The value of a body that has been checked. Raises Problem."""
    check_body(body, content_type)
    try:
        return from_json(body)
    except ValueError as error:
        raise Problem(Outcome.BAD_REQUEST, f"body: {error}", status=400) from None


def parse_body(body: bytes) -> GenerationRequest:
    """Read a body that has been checked. Raises Problem."""
    try:
        return GenerationRequest.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        if found[0]["type"] == "json_invalid":
            raise Problem(Outcome.BAD_REQUEST, f"body: {found[0]['msg']}", status=400) from None
        raise invalid_fields(
            [
                ("".join(f"/{_token(part)}" for part in item["loc"]), item["msg"])
                for item in found[:MAX_ERRORS]
            ]
        ) from None


def invalid_fields(errors: list[tuple[str, str]]) -> Problem:
    """The answer to fields, by their pointers, that are not what they should be."""
    pointer, detail = errors[0]
    return Problem(
        Outcome.BAD_REQUEST,
        f"{pointer or 'body'}: {detail}",
        status=422,
        members={"errors": [{"pointer": pointer, "detail": detail} for pointer, detail in errors]},
    )


def _token(part: int | str) -> str:
    return str(part)[:64].replace("~", "~0").replace("/", "~1")


def _count_values(body: bytes) -> None:
    """Refuse a body of more values, or deeper, than any request has, without making them."""
    # Most bodies are a prompt: a few commas and braces, also within its text.
    if sum(map(body.count, (b",", b"{", b"["))) <= MAX_DEPTH:
        return
    # Without escapes a string ends at the next quote, which a regular expression finds at the speed of a search.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    values = members = depth = 0
    for match in _TOKENS.finditer(plain):
        first = plain[match.start()]
        if first in b"{[":
            depth += 1
            values += 1
        elif first in b"}]":
            depth -= 1
        elif first == 0x2C:
            values += 1
            members += depth == 1
        if values > MAX_VALUES or members > MAX_MEMBERS or depth > MAX_DEPTH:
            limit = f"{MAX_VALUES} values" if values > MAX_VALUES else f"{MAX_DEPTH} levels"
            limit = f"{MAX_MEMBERS} members" if members > MAX_MEMBERS else limit
            raise invalid_fields([("", f"expected at most {limit}, got more")])


def body_too_large() -> Problem:
    """The answer to a body that is over the limit; given as soon as that is known."""
    return Problem(
        Outcome.BAD_REQUEST,
        f"body: expected at most {MAX_BODY_BYTES} bytes, got more",
        status=413,
        title="Content too large",
    )
