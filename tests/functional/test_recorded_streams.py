"""Recorded chat.completions streams over HTTP, cut at random: our text is what the provider's own SDK reads.

Both read the same chunks from the same server. A stream that reports an error is compared up to the error:
the SDK raises where our decoder says `Failed`.
"""

import asyncio
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from infra.local.replay import Replay, cut
from tests.corpora import corpus
from weir.providers.chat_completions import ChatCompletionsDecoder
from weir.providers.events import Failed, Finished, Refusal, Served, Text, UsageReported
from weir.providers.secret import Secret
from weir.providers.upstream import Upstream

RECORDED = 31
CHUNKINGS = ("whole", "lines", "random-1", "random-2", "random-3", "7")
ONE_BYTE_UP_TO_BYTES = 8_000  # One HTTP chunk a byte: the small streams suffice for that over HTTP.


@dataclass
class Reading:
    """What was read from one stream."""

    text: str = ""
    refusal: str = ""
    finish_reason: str | None = None
    model: str | None = None
    tokens: tuple[int, int] | None = None
    failed: bool = False


@functools.cache
def recordings() -> dict[str, bytes]:
    """The bodies of the recorded chat.completions streams by file name."""
    manifest: Path = corpus("streams/manifest.json")
    listed = [entry for entry in json.loads(manifest.read_text()) if entry["api"] == "chat.completions"]
    return {entry["file"]: manifest.with_name(entry["file"]).read_bytes() for entry in listed}


async def read_with_sdk(base_url: str, name: str) -> Reading:
    reading = Reading()
    async with openai.AsyncOpenAI(base_url=base_url, api_key="unused", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "replayed"}]
        try:
            stream = await client.chat.completions.create(model=name, messages=messages, stream=True)
            async for chunk in stream:
                reading.model = chunk.model or reading.model
                for choice in chunk.choices:
                    if choice.index == 0 and choice.delta is not None:
                        reading.text += choice.delta.content or ""
                        reading.refusal += choice.delta.refusal or ""
                        reading.finish_reason = choice.finish_reason or reading.finish_reason
                if chunk.usage is not None:
                    reading.tokens = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        except openai.APIError:
            reading.failed = True
    return reading


def take(reading: Reading, decoder: ChatCompletionsDecoder, data: bytes) -> None:
    for event in decoder.feed(data):
        match event:
            case Text(text):
                reading.text += text
            case Refusal(text):
                reading.refusal += text
            case Finished(_, reason):
                reading.finish_reason = reason
            case Served(model):
                reading.model = model or reading.model
            case UsageReported(usage):
                assert usage.input_tokens is not None and usage.output_tokens is not None
                reading.tokens = (usage.input_tokens, usage.output_tokens)
            case Failed():
                reading.failed = True


async def read_with_weir(base_url: str, name: str) -> Reading:
    reading = Reading()
    decoder = ChatCompletionsDecoder()
    upstream = Upstream(base_url, Secret(""))
    try:
        response = await upstream.call({"model": name, "messages": [], "stream": True})
        async for data in response:
            take(reading, decoder, data)
        decoder.close()
        await response.close(drain=False)
    finally:
        await upstream.close()
    return reading


def test_all_recorded_streams_are_here() -> None:
    assert len(recordings()) == RECORDED


@pytest.mark.parametrize("chunking", [*CHUNKINGS, "1"])
def test_recorded_streams_read_as_the_openai_sdk_reads_them(chunking: str) -> None:
    async def compare() -> None:
        async with Replay(recordings()) as replay:
            base_url = replay.base_url(chunking)
            for name, body in recordings().items():
                if chunking == "1" and len(body) > ONE_BYTE_UP_TO_BYTES:
                    continue
                theirs = await read_with_sdk(base_url, name)
                ours = await read_with_weir(base_url, name)
                if theirs.failed and theirs.tokens is None:
                    # The SDK drops the chunk that reports the error whole; what was charged stands in it.
                    theirs.tokens = ours.tokens
                assert ours == theirs, f"{name}, cut as {chunking}"

    asyncio.run(compare())


def test_every_byte_alone_gives_the_text_of_the_whole_body() -> None:
    for name, body in recordings().items():
        whole, single = Reading(), Reading()
        take(whole, ChatCompletionsDecoder(), body)
        decoder = ChatCompletionsDecoder()
        for piece in cut(body, "1"):
            take(single, decoder, piece)
        assert single == whole, name


def test_the_recordings_hold_text_refusals_of_tools_and_errors() -> None:
    # The comparison above would also pass on 31 empty streams.
    readings = []
    for body in recordings().values():
        readings.append(Reading())
        take(readings[-1], ChatCompletionsDecoder(), body)
    assert sum(1 for reading in readings if reading.text) >= 20
    assert sum(1 for reading in readings if reading.failed) >= 1
    assert sum(1 for reading in readings if reading.tokens) >= 5
    assert sum(len(reading.text) for reading in readings) > 4_000


def test_the_chunks_of_the_replay_arrive_as_they_were_cut() -> None:
    async def read() -> list[bytes]:
        body = "data: é—☕🧭\n\n".encode()
        async with Replay({"one": body}) as replay, httpx.AsyncClient() as client:
            url = f"{replay.base_url('1')}/chat/completions"
            async with client.stream("POST", url, json={"model": "one"}) as response:
                return [piece async for piece in response.aiter_raw()]

    pieces = asyncio.run(read())
    assert b"".join(pieces) == "data: é—☕🧭\n\n".encode()
    assert {len(piece) for piece in pieces} == {1}
