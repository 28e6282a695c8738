"""OpenAI's own SDK before generate's door, over real sockets, with a provider made of bytes behind."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from infra.local.endpoints.http_server import HttpServer

from .door import BLOG_POST, door
from .scripted import DONE, END, HEAD, Provider, Step, chunk, completion, provider, text

DOCUMENT = json.dumps(BLOG_POST)


class Recipe(BaseModel):
    """A schema that no file here has."""

    title: str
    steps: list[str]
    minutes: int
    parent: "Recipe | None"


@asynccontextmanager
async def sdk(
    monkeypatch: pytest.MonkeyPatch, *answers: list[Step]
) -> AsyncIterator[tuple[AsyncOpenAI, Provider]]:
    async with (
        provider(*(answers or (completion("unused"),))) as asked,
        door(asked.base_url, monkeypatch) as opened,
    ):
        server = HttpServer(opened.app)  # type: ignore[arg-type]
        server.start()
        client = AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0)
        try:
            yield client, asked
        finally:
            await client.close()
            await server.close()


def pieces(document: str, size: int = 7) -> list[str]:
    return [document[at : at + size] for at in range(0, len(document), size)]


def broken_then_rest() -> list[list[Step]]:
    """An answer that breaks the schema at its tags, and the one to a retry."""
    so_far = json.dumps(dict(BLOG_POST, tags="none"))
    so_far = so_far[: so_far.index('"author"')]
    missing = {name: BLOG_POST[name] for name in list(BLOG_POST)[3:]}
    return [[HEAD, *map(text, pieces(so_far)), "stall"], completion(*pieces(json.dumps(missing)))]


VALID_BEFORE_GATE = DOCUMENT[: DOCUMENT.index('"slug"') + len('"slug": "on-streams"')]


def gated(gate: asyncio.Event) -> list[Step]:
    """The document, which stops within its summary until the gate opens."""
    at = DOCUMENT.index('"summary"') + 20
    return [HEAD, text(DOCUMENT[:at]), gate, text(DOCUMENT[at:]), chunk(finish="stop"), DONE, END]
