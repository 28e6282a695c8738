"""FastAPI behind Mangum: the provider's answer in one piece, validated, and given to Lambda in one piece.

Careful in what it can be: one client for the process, made while the module is imported.
"""

import json
import os

import httpx
from fastapi import FastAPI
from fastapi.responses import Response
from mangum import Mangum
from pydantic import BaseModel, ValidationError

from weir.schemas.blog_post import BlogPost

COMPLETIONS = f"{os.environ['COMPARE_UPSTREAM']}/chat/completions"
RESPONSE_FORMAT = json.loads(os.environ["COMPARE_RESPONSE_FORMAT"])
app = FastAPI()
client = httpx.AsyncClient(timeout=1800.0)


class Question(BaseModel):
    """What a caller asks."""

    prompt: str
    model: str


@app.post("/v1/generations")
async def generations(question: Question) -> Response:
    """One document."""
    messages = [{"role": "user", "content": question.prompt}]
    asked = {"model": question.model, "messages": messages, "response_format": RESPONSE_FORMAT}
    response = await client.post(COMPLETIONS, headers={"Authorization": "Bearer x"}, json=asked)
    response.raise_for_status()
    try:
        post = BlogPost.model_validate_json(response.json()["choices"][0]["message"]["content"])
    except ValidationError as error:
        return Response(error.json(), 422, media_type="application/json")
    return Response(post.model_dump_json(), media_type="application/json")


handler = Mangum(app, lifespan="off")
