"""The usual way to do generate's work on Lambda: FastAPI behind Mangum, httpx, the same Pydantic models.

It checks the request, calls the provider, joins the deltas, validates the document and answers; no prices, no
facts, no metrics, and nothing is streamed, since Mangum can't. It is what a careful author would write: one
client per process, made while the module is imported, where a cold start is cheapest. `app` runs under uvicorn too.
"""

import json
import os
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException
from mangum import Mangum

from weir.generate.requests import GenerationRequest
from weir.providers.chat_completions_request import response_format
from weir.providers.profiles import PROFILES
from weir.providers.structured_output import structured_output
from weir.schemas import load_schema

app = FastAPI()
client = httpx.AsyncClient(timeout=httpx.Timeout(10.0, read=None))


@app.post("/v1/generations")
async def generations(request: GenerationRequest) -> dict[str, Any]:
    """Generate one document."""
    payload: dict[str, Any] = {
        "model": request.model or os.environ["WEIR_UPSTREAM_MODEL"],
        "messages": [{"role": turn.role, "content": turn.text} for turn in request.params().messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.schema_name is not None:
        payload["response_format"] = response_format(
            structured_output(
                request.schema_name, load_schema(request.schema_name).model_json_schema(), PROFILES["openai"]
            )
        )
    text, usage = [], None
    url = f"{os.environ['WEIR_UPSTREAM_BASE_URL']}/chat/completions"
    async with client.stream("POST", url, json=payload) as response:
        if response.status_code != 200:
            raise HTTPException(502, f"provider: expected 200, got {response.status_code}")
        async for line in response.aiter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            chunk = json.loads(line.removeprefix("data: "))
            usage = chunk.get("usage") or usage
            text += [choice["delta"].get("content") or "" for choice in chunk["choices"]]
    if request.schema_name is None:
        return {"text": "".join(text), "usage": usage}
    document = load_schema(request.schema_name).model_validate_json("".join(text))
    return {"document": document.model_dump(mode="json", by_alias=True), "usage": usage}


handler = Mangum(app, lifespan="off")
