"""Calls generate through OpenAI's SDK, as a program that has it already: only an address and a key are ours.

The document is the caller's own model: the endpoint has never seen it. The SDK is installed for the tests, whose judge
it is; importing it takes a second, so only who calls by it does.
"""

import time
from collections.abc import Mapping

import httpx
from openai import APIError, APIStatusError, AsyncOpenAI
from pydantic import BaseModel

from .caller import Generation

PROMPT = "Write a recipe for a supper after repairing old bicycles."


class Recipe(BaseModel):
    """What the caller wants."""

    title: str
    minutes: int
    ingredients: list[str]
    steps: list[str]


class SdkCaller:
    """One caller by its key. The SDK knows no stop: `client` asks for it."""

    def __init__(self, client: httpx.AsyncClient, base_url: str, key: str) -> None:
        # What is refused is shown, and not asked for again.
        self._sdk = AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0)
        self._client = client

    async def aclose(self) -> None:
        """Close the SDK's connections."""
        await self._sdk.close()

    async def ask(
        self, model: str, headers: Mapping[str, str], *, stop: Generation | None = None
    ) -> tuple[Generation, Recipe | None]:
        """Stream one recipe; the document as the SDK has parsed it. With `stop` it is stopped at its first text."""
        generation, started_s, recipe = Generation(), time.perf_counter(), None

        def elapsed_ms() -> float:
            return (time.perf_counter() - started_s) * 1000

        try:
            async with self._sdk.chat.completions.stream(
                model=model,
                messages=[{"role": "user", "content": PROMPT}],
                response_format=Recipe,
                stream_options={"include_usage": True},
                extra_headers=headers,
            ) as stream:
                generation.status = 200
                async for event in stream:
                    if event.type == "chunk":
                        generation.request_id = event.chunk.id.removeprefix("chatcmpl-")
                    if event.type != "content.delta" or not event.delta:
                        continue
                    generation.deltas += 1
                    generation.text.append(event.delta)
                    generation.ttlt_ms = elapsed_ms()
                    if generation.ttft_ms is None:
                        generation.ttft_ms = generation.ttlt_ms
                        if stop is not None:
                            await self._stop(generation, stop)
                recipe = (await stream.get_final_completion()).choices[0].message.parsed
            generation.final = {"outcome": "ok"}
        except APIStatusError as error:
            generation.status, generation.request_id = error.status_code, error.request_id
            generation.final = {"outcome": error.code}
        except APIError as error:  # in a stream that had begun
            generation.final = {"outcome": error.code}
        generation.duration_ms = elapsed_ms()
        return generation, recipe

    async def _stop(self, generation: Generation, stop: Generation) -> None:
        url = f"{self._sdk.base_url}generations/{generation.request_id}"
        response = await self._client.delete(url, headers=self._sdk.auth_headers)
        stop.status, stop.request_id = response.status_code, response.headers["x-request-id"]
        stop.final = {"outcome": "ok"} if response.status_code == 204 else response.json()
