"""generate's OpenAPI 3.1 document, from the Pydantic models of its request and of its events.

The models of what is sent live here and not on the hot path, which writes bytes; a test reads real events back
through them, so that the document and the stream cannot part.
https://spec.openapis.org/oas/v3.1.1
"""

import json
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import models_json_schema

from weir.generate.body import MAX_BODY_BYTES
from weir.generate.requests import GenerationRequest
from weir.outcomes import Outcome
from weir.pricing.cost import Components
from weir.pricing.phases import Phases

type Money = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", description="USD, in plain notation.")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class UsageCounts(_Model):
    """Tokens, summed over the attempts; null or absent is unknown.

    Input includes what was read from and written to a cache, output the reasoning.
    """

    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    reasoning_tokens: int | None
    total_tokens: int | None
    source: Literal["provider", "estimated", "none"]
    cache_write_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_30m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    cache_write_12h_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    tool_prompt_tokens: int | None = None
    service_tier: Annotated[
        str | None, Field(description="The tier that served, in the provider's words.")
    ] = None
    provider_cost_usd: Annotated[
        Money | None, Field(description="What the provider says that it charged.")
    ] = None
    complete: Annotated[
        bool, Field(description="False where the counts are a lower bound: at least these.")
    ] = True
    fell: Annotated[
        bool, Field(description="A later count was smaller than an earlier one, which stands.")
    ] = False


class LoopGapTimes(_Model):
    """How late the event loop was during the request, in ms."""

    p99: float
    max: float


class Timing(_Model):
    """Where the time went, in ms; null where a phase was not reached."""

    duration_ms: float
    wait_ms: float | None
    stream_ms: float | None
    validate_ms: float | None
    ttft_ms: float | None
    ttlt_ms: float | None
    event_loop_gap_ms: LoopGapTimes | None


def _amounts(name: str, of: type, doc: str) -> type[BaseModel]:
    """A model with an amount, or null, for each member of what the prices declare."""
    members: dict[str, Any] = {member.name: (Money | None, ...) for member in fields(of)}
    return create_model(name, __base__=_Model, __doc__=doc, **members)


CostComponents = _amounts(
    "CostComponents",
    Components,
    "The charges; null is unpriced, and `logs` always is: no line is written yet.",
)
CostPhases = _amounts("CostPhases", Phases, "The Lambda duration's charge by what the time went to.")


class CostEstimate(_Model):
    """What the request cost, as far as can be known before it is over: the ledger has the final row."""

    components: CostComponents  # type: ignore[valid-type]  # a model made from the table
    phases: CostPhases  # type: ignore[valid-type]  # a model made from the table
    total: Money
    currency: Literal["USD"]
    price_book_version: str
    unpriced: list[str]
    is_estimate: Literal[True]


class _Event(_Model):
    attempt: Annotated[int, Field(ge=1)]


class DeltaEvent(_Event):
    """Text of the model, the moment it came."""

    text: str


class ValueEvent(_Event):
    """A completed, validated part of the document; provisional until `done`."""

    path: Annotated[str, Field(description="A JSON Pointer into the result.")]
    value: Any


class RetryEvent(_Event):
    """A new attempt begins; deltas of earlier attempts are void, values not named stay."""

    reason: str
    discarded_paths: list[str]


class ResultEvent(_Event):
    """A part of the document's JSON text; join `json` of all parts in order."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    part: int
    last: bool
    json_: Annotated[str, Field(alias="json")]


class Replayed(_Model):
    """The answer was there already, and nothing was bought for this request."""

    answered_from: Literal["cache", "idempotency_key"]
    request_id: Annotated[str, Field(description="The request that bought it.")]
    saved_usd: Annotated[Money | None, Field(description="What its tokens cost then.")]


class _Account(_Event):
    usage: UsageCounts
    timing: Timing
    cost: CostEstimate | None
    replayed: Annotated[Replayed | None, Field(description="Only of an answer that was given again.")] = None


class DoneEvent(_Account):
    """The final event of a request that gave what was asked."""

    outcome: Annotated[
        Literal[Outcome.OK, Outcome.TRUNCATED_OUTPUT],
        Field(description="Plain text that the token limit cut is given, too: it was paid for."),
    ]


class ViolationItem(_Model):
    """Where the text broke the schema, in Pydantic's words; a union's loc is no pointer."""

    path: str | None
    loc: list[int | str]
    type: str
    message: str


class ErrorItem(_Model):
    """A field of the request that is wrong."""

    pointer: str
    detail: str


class ProviderStatus(_Model):
    """What the provider answered; null where it gave no status, or none of its own."""

    status: int | None
    code: str | None


class ErrorEvent(_Account):
    """The final event of every other request; before the stream begins, the problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    outcome: Outcome
    violations: list[ViolationItem] | None = None
    errors: list[ErrorItem] | None = None
    provider: ProviderStatus | None = None


class SDKErrorMembers(_Model):
    """An error in OpenAI's members."""

    message: str
    type: str
    param: Annotated[str | None, Field(description="The member of the request that is wrong.")]
    code: Outcome


class SDKError(_Model):
    """An error as OpenAI's SDKs read it."""

    error: SDKErrorMembers


class ValidValue(_Model):
    """A part of the document that was valid."""

    path: str
    value: Any


class BufferedError(ErrorEvent):
    """The problem document of a buffered response, with what a stream would have held by then."""

    text: str | None = None
    values: list[ValidValue] | None = None


class TextResponse(DoneEvent):
    """The buffered response to a request without a schema."""

    text: str


class DocumentResponse(DoneEvent):
    """The buffered response to a request with a schema."""

    document: Any


EVENTS: dict[str, type[BaseModel]] = {
    "delta": DeltaEvent,
    "value": ValueEvent,
    "retry": RetryEvent,
    "result": ResultEvent,
    "done": DoneEvent,
    "error": ErrorEvent,
}

_PROBLEMS = {
    400: "The body is not JSON, or the provider found the request wrong",
    401: "Nobody is known, where callers have to be",
    403: "The tenant may not ask this model",
    405: "The method is not allowed",
    409: "The first request under the Idempotency-Key still runs",
    410: "An answer under the Idempotency-Key is no longer what its schema asks for",
    413: f"The body is over {MAX_BODY_BYTES} bytes",
    415: "The body is not application/json",
    422: "A field is wrong; `errors` names it",
    429: "The provider limits the rate, or the tenant has no room left: rate, tokens, requests at once, budget",
    500: "An error of our own",
    502: "The provider failed",
    503: "The quota is used up, or the request was stopped",
    504: "The provider, or the function's time, did not last",
}


# What OpenAI's SDKs ask for, and what is described where they are.
_REFERENCE = "https://platform.openai.com/docs/api-reference"
_SDK_PATHS = {
    "/v1/chat/completions": (
        "post",
        "complete",
        "A chat completion of OpenAI's",
        f"{_REFERENCE}/chat/create",
    ),
    "/v1/responses": ("post", "respond", "A response of OpenAI's", f"{_REFERENCE}/responses/create"),
    "/v1/models": ("get", "models", "The models that a caller may ask", f"{_REFERENCE}/models/list"),
}


def _sdk_path(method: str, operation: str, summary: str, url: str, error: dict[str, str]) -> dict[str, Any]:
    """A path whose members are OpenAI's, and whose errors are ours in their envelope."""
    answers: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
    described: dict[str, Any] = {}
    if method == "post":
        answers["text/event-stream"] = {"schema": {"description": "With `stream`: the protocol's events."}}
        content = {"application/json": {"schema": {"type": "object"}}}
        described["requestBody"] = {"required": True, "content": content}
    refused = {"application/json": {"schema": error}}
    return {
        method: {
            "operationId": operation,
            "summary": summary,
            "externalDocs": {"url": url},
            **described,
            "responses": {
                "200": {"description": "As OpenAI answers it", "content": answers},
                "default": {"description": "Refused or failed", "content": refused},
            },
        }
    }


@cache
def openapi_document() -> dict[str, Any]:
    """The document as JSON values."""
    models: list[type[BaseModel]] = [
        GenerationRequest, *EVENTS.values(), TextResponse, DocumentResponse, SDKError,
    ]  # fmt: skip
    _, definitions = models_json_schema(
        [(model, "validation" if model is GenerationRequest else "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )

    def ref(model: type[BaseModel]) -> dict[str, str]:
        return {"$ref": f"#/components/schemas/{model.__name__}"}

    problem = {"application/problem+json": {"schema": ref(ErrorEvent)}}
    stream = "\n".join(f"- `{name}`: {(model.__doc__ or '').strip()}" for name, model in EVENTS.items())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "weir generate",
            "version": "1",
            "description": "Stream a validated document from a language model, with what it cost.",
        },
        "paths": {
            "/v1/generations": {
                "post": {
                    "operationId": "generate",
                    "summary": "Generate a document or text",
                    "parameters": [
                        {
                            "name": "Idempotency-Key",
                            "in": "header",
                            "description": "One purchase under a key, and its answer again for 24 hours.",
                            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                        }
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": ref(GenerationRequest)}},
                    },
                    "responses": {
                        "200": {
                            "description": f"The stream of events, or one object.\n\n{stream}",
                            "content": {
                                "text/event-stream": {
                                    "schema": {
                                        "description": "The data of each event, by its type.",
                                        "anyOf": [ref(model) for model in EVENTS.values()],
                                    }
                                },
                                "application/json": {
                                    "schema": {"anyOf": [ref(TextResponse), ref(DocumentResponse)]}
                                },
                            },
                        },
                        **{
                            str(code): {"description": text, "content": problem}
                            for code, text in _PROBLEMS.items()
                        },
                    },
                }
            },
            "/v1/generations/{id}": {
                "delete": {
                    "operationId": "stop",
                    "summary": "Stop a generation of the same caller's that runs",
                    "parameters": [
                        {
                            "name": "id",
                            "in": "path",
                            "required": True,
                            "description": "Its x-request-id, or the id that an SDK of OpenAI's has of it.",
                            "schema": {"type": "string"},
                        }
                    ],
                    "responses": {
                        "204": {"description": "It is stopped; its stream ends in outcome `stopped`"},
                        **{
                            str(code): {"description": text, "content": problem}
                            for code, text in (
                                (401, "Nobody is known"),
                                (404, "None of this caller's runs under the id"),
                                (503, "Nobody can say"),
                            )
                        },
                    },
                }
            },
            **{path: _sdk_path(*about, ref(SDKError)) for path, about in _SDK_PATHS.items()},
            "/openapi.json": {
                "get": {
                    "operationId": "describe",
                    "summary": "This document",
                    "responses": {
                        "200": {
                            "description": "OpenAPI 3.1",
                            "content": {"application/json": {"schema": {"type": "object"}}},
                        }
                    },
                }
            },
        },
        "components": {"schemas": definitions["$defs"]},
    }


@cache
def openapi_json() -> bytes:
    """The document as bytes."""
    return json.dumps(openapi_document(), indent=1).encode()
