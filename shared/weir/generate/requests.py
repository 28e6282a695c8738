"""What a caller may ask: the body of `POST /v1/generations`, read from bytes or refused with the field's name."""

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from weir.outcomes import Outcome
from weir.problems import Problem
from weir.schemas import schema_names

MAX_BODY_BYTES = 1_048_576

type Include = Literal["delta", "value", "result"]
type Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:/@-]{1,64}$")]


def _known(name: str) -> str:
    if name not in schema_names():
        raise ValueError(f"expected one of {', '.join(schema_names())}, got {name[:64]!r}")
    return name


class Message(BaseModel):
    """One turn of a conversation, as the provider takes it."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, Field(min_length=1)]


class GenerationRequest(BaseModel):
    """A document, or plain text, to be generated: from a prompt or from messages, but not both."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    prompt: Annotated[str, Field(min_length=1)] | None = None
    messages: Annotated[list[Message], Field(min_length=1)] | None = None
    schema_name: Annotated[
        Annotated[str, AfterValidator(_known)] | None,
        Field(alias="schema", description="The document's schema; plain text without one."),
    ] = None
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1, strict=True)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    include: Annotated[list[Include], Field(description="Which events to stream.")] = ["delta", "value"]
    on_violation: Annotated[
        Literal["stop", "finish", "retry"],
        Field(description="At the first violation: stop the model, let it finish, or ask once more."),
    ] = "stop"
    tags: Annotated[dict[Tag, Tag], Field(max_length=10, description="Names for the bill.")] = {}

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("expected exactly one of prompt and messages")
        return self

    def conversation(self) -> list[dict[str, str]]:
        """The messages for the provider."""
        if self.messages is not None:
            return [message.model_dump() for message in self.messages]
        return [{"role": "user", "content": self.prompt or ""}]


def parse_request(body: bytes, content_type: str) -> GenerationRequest:
    """Read a request.

    Raises:
        Problem: 415 for another media type, 413 over MAX_BODY_BYTES, 400 for what is not JSON, 422 for a wrong
            field, with `errors: [{pointer, detail}]`.
    """
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
    try:
        return GenerationRequest.model_validate_json(body)
    except ValidationError as error:
        errors = [
            {
                "pointer": "".join(
                    f"/{str(part).replace('~', '~0').replace('/', '~1')[:64]}" for part in item["loc"]
                ),
                "detail": item["msg"],
            }
            for item in error.errors(include_url=False, include_context=False, include_input=False)[:20]
        ]
        not_json = error.errors(include_url=False)[0]["type"] == "json_invalid"
        first = errors[0]
        raise Problem(
            Outcome.BAD_REQUEST,
            f"body: {first['detail']}" if not_json else f"{first['pointer'] or 'body'}: {first['detail']}",
            status=400 if not_json else 422,
            members={} if not_json else {"errors": errors},
        ) from None


def body_too_large() -> Problem:
    """The answer to a body that is over the limit; given as soon as that is known."""
    return Problem(
        Outcome.BAD_REQUEST,
        f"body: expected at most {MAX_BODY_BYTES} bytes, got more",
        status=413,
        title="Content too large",
    )
