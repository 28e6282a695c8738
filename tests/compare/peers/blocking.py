"""The article's step 1: `requests` in a worker process, which does nothing else until the answer is whole. WSGI."""

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

import requests
from pydantic import ValidationError

from weir.schemas.blog_post import BlogPost

COMPLETIONS = f"{os.environ['COMPARE_UPSTREAM']}/chat/completions"
RESPONSE_FORMAT = json.loads(os.environ["COMPARE_RESPONSE_FORMAT"])


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """One request, one document."""
    question = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    messages = [{"role": "user", "content": question["prompt"]}]
    asked = {"model": question["model"], "messages": messages, "response_format": RESPONSE_FORMAT}
    response = requests.post(COMPLETIONS, headers={"Authorization": "Bearer x"}, json=asked, timeout=1800)
    response.raise_for_status()
    try:
        post = BlogPost.model_validate_json(response.json()["choices"][0]["message"]["content"])
        status, body = "200 OK", post.model_dump_json().encode()
    except ValidationError as error:
        status, body = "422 Unprocessable Content", error.json().encode()
    start_response(status, [("content-type", "application/json"), ("content-length", str(len(body)))])
    return [body]
