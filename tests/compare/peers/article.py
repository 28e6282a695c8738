"""The article's steps 2 to 4 as it means them, what a careful author makes of the last, and the SDK's own way.

Each is a factory of a FastAPI application, for an environment of its own (peers.in); the schema is ours, so that all
validate the same. The article's bugs are not measured: lines and characters that a read cuts are joined, `choices` is
a list, a document that does not fit its schema is an error of the answer and not a broken connection.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ValidationError

from weir.schemas.blog_post import BlogPost

COMPLETIONS = f"{os.environ['COMPARE_UPSTREAM']}/chat/completions"
RESPONSE_FORMAT = json.loads(os.environ["COMPARE_RESPONSE_FORMAT"])
HEADERS = {"Authorization": "Bearer x"}
TIMEOUT_S = 1800.0


class Question(BaseModel):
    """What a caller asks."""

    prompt: str
    model: str


def payload(question: Question, stream: bool) -> dict[str, Any]:
    """The request to the provider."""
    messages = [{"role": "user", "content": question.prompt}]
    asked = {"model": question.model, "messages": messages, "response_format": RESPONSE_FORMAT}
    return asked | ({"stream": True, "stream_options": {"include_usage": True}} if stream else {})


def delta(text: str) -> bytes:
    """One event of text."""
    return b"event: delta\ndata: " + json.dumps({"text": text}).encode() + b"\n\n"


def last(text: str) -> bytes:
    """The event that ends a stream, whatever becomes of the document."""
    try:
        return (
            b"event: done\ndata: " + BlogPost.model_validate_json(text).model_dump_json().encode() + b"\n\n"
        )
    except ValidationError as error:
        return b"event: error\ndata: " + error.json().encode() + b"\n\n"


def buffered() -> FastAPI:
    """Step 2: asynchronous, a client for each call, the answer when it is whole."""
    app = FastAPI()

    @app.post("/v1/generations")
    async def generations(question: Question) -> Response:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            response = await client.post(COMPLETIONS, headers=HEADERS, json=payload(question, False))
            response.raise_for_status()
        try:
            post = BlogPost.model_validate_json(response.json()["choices"][0]["message"]["content"])
        except ValidationError as error:
            return Response(error.json(), 422, media_type="application/json")
        return Response(post.model_dump_json(), media_type="application/json")

    return app


async def deltas(client: httpx.AsyncClient, question: Question) -> AsyncIterator[str]:
    """The article's loop over the bytes, with what a read cut kept for the next."""
    rest = b""
    async with client.stream("POST", COMPLETIONS, headers=HEADERS, json=payload(question, True)) as response:
        response.raise_for_status()
        async for chunk in response.aiter_bytes():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"data: ") and line != b"data: [DONE]":
                    choices = json.loads(line[6:])["choices"]
                    if choices and (text := choices[0]["delta"].get("content")):
                        yield text


def _streaming(*, in_thread: bool, shared_client: bool) -> FastAPI:
    app = FastAPI()
    # Without a limit of its own: whoever asks is served.
    limits = httpx.Limits(max_connections=None)
    shared = httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits) if shared_client else None

    async def events(question: Question, client: httpx.AsyncClient) -> AsyncIterator[bytes]:
        text = []
        async for piece in deltas(client, question):
            text.append(piece)
            yield delta(piece)
        if in_thread:
            yield await asyncio.to_thread(last, "".join(text))
        else:
            yield last("".join(text))

    async def with_own_client(question: Question) -> AsyncIterator[bytes]:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            async for event in events(question, client):
                yield event

    @app.post("/v1/generations")
    async def generations(question: Question) -> StreamingResponse:
        stream = events(question, shared) if shared else with_own_client(question)
        return StreamingResponse(stream, media_type="text/event-stream")

    return app


def streaming_inline() -> FastAPI:
    """Step 3: streamed, a client for each call, validated on the loop when the text is whole."""
    return _streaming(in_thread=False, shared_client=False)


def streaming_thread() -> FastAPI:
    """Step 4: the same, validated in a thread."""
    return _streaming(in_thread=True, shared_client=False)


def careful() -> FastAPI:
    """Step 4 with one client for the process: without it the comparison flatters."""
    return _streaming(in_thread=True, shared_client=True)


def sdk() -> FastAPI:
    """What its SDK offers: `.stream()` with the Pydantic model."""
    import openai

    app = FastAPI()
    client = openai.AsyncOpenAI(
        base_url=os.environ["COMPARE_UPSTREAM"], api_key="x", timeout=TIMEOUT_S, max_retries=0
    )

    async def events(question: Question) -> AsyncIterator[bytes]:
        try:
            async with client.chat.completions.stream(
                model=question.model,
                messages=[{"role": "user", "content": question.prompt}],
                response_format=BlogPost,
                stream_options={"include_usage": True},
            ) as stream:
                async for event in stream:
                    if event.type == "content.delta":
                        yield delta(event.delta)
                final = await stream.get_final_completion()
        except ValidationError as error:
            yield b"event: error\ndata: " + error.json().encode() + b"\n\n"
            return
        post = final.choices[0].message.parsed
        assert post is not None
        yield b"event: done\ndata: " + post.model_dump_json().encode() + b"\n\n"

    @app.post("/v1/generations")
    async def generations(question: Question) -> StreamingResponse:
        return StreamingResponse(events(question), media_type="text/event-stream")

    return app
