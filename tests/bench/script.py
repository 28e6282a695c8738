"""The one document that benchmarks let a model write, as a provider streams it, and the event that asks for it."""

import json
from collections.abc import Iterator
from typing import Any

REQUEST = {"prompt": "Write a post about streaming.", "schema": "blog_post"}


def blog_post(sections: int = 2) -> str:
    """A valid document's JSON text; each section is 0.5 KB."""
    content = (
        "Tokens arrive one by one, and each of them can be shown at once — if nothing on the way waits. " * 4
    )
    return json.dumps(
        {
            "title": "On streams",
            "slug": "on-streams",
            "summary": "Why waiting is the costliest thing to do.",
            "tags": ["aws", "llm"],
            "author": {"name": "Ada", "bio": None, "email": "ada@example.org"},
            "sections": [
                {"heading": f"Part {number}", "content": content, "keywords": ["streams", "waiting"]}
                for number in range(1, sections + 1)
            ],
            "conclusion": "Stream.",
            "references": ["https://example.org"],
        },
        ensure_ascii=False,
    )


def deltas(text: str) -> list[str]:
    """The text in pieces of 16 characters, about four tokens each."""
    return [text[start : start + 16] for start in range(0, len(text), 16)]


def sse_events(pieces: list[str]) -> Iterator[bytes]:
    """The pieces as chat.completions chunks, one event each, then the finish, the usage and the terminator."""
    for piece in pieces:
        yield _chunk([{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
    yield _chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    usage = {"prompt_tokens": 12, "completion_tokens": len(pieces), "total_tokens": 12 + len(pieces)}
    yield _chunk([], usage=usage)
    yield b"data: [DONE]\n\n"


def function_url_event(*, accept: str = "text/event-stream") -> dict[str, Any]:
    """A function URL's event, payload format 2.0, as Lambda's documentation shows it."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/v1/generations",
        "rawQueryString": "",
        "headers": {
            "accept": accept,
            "content-type": "application/json",
            "host": "abc.lambda-url.us-east-1.on.aws",
            "user-agent": "bench",
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc",
            "domainName": "abc.lambda-url.us-east-1.on.aws",
            "domainPrefix": "abc",
            "http": {
                "method": "POST",
                "path": "/v1/generations",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "bench",
            },
            "requestId": "8f5cd0f3-6d2e-4c39-8f0d-1f0c8d7c3a51",
            "routeKey": "$default",
            "stage": "$default",
            "time": "22/Nov/2026:18:46:31 +0000",
            "timeEpoch": 1795373191123,
        },
        "body": json.dumps(REQUEST),
        "isBase64Encoded": False,
    }


def _chunk(choices: list[dict[str, Any]], **members: Any) -> bytes:
    data = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1795373191,
        "model": "test-model",
        "choices": choices,
        **members,
    }
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"
