"""The stream's bytes: how events become writes, when they leave, and what the simulator knows afterwards."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.simulator import SCRIPTS, Exchange, Simulator
from infra.local.simulator.answer import compose
from infra.local.simulator.dialects import ChatCompletions
from infra.local.simulator.writes import writes

from .conftest import CRAWLING, PACED
from .schemas import BLOG_POST


def request(model: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Write about the tides."}]
    return {"model": model, "messages": messages, "stream": True, "response_format": BLOG_POST, **more}


@asynccontextmanager
async def streaming(simulator: Simulator, model: str, **more: Any) -> AsyncIterator[httpx.Response]:
    url = f"{simulator.base_url}/chat/completions"
    async with httpx.AsyncClient(timeout=10) as client:
        async with client.stream("POST", url, json=request(model, **more)) as response:
            yield response


def last(exchanges: list[Exchange], model: str) -> Exchange:
    return next(exchange for exchange in reversed(exchanges) if exchange.model == model)


def all_writes(model: str) -> list[Any]:
    script, asked = SCRIPTS[model], request(model, stream_options={"include_usage": True})
    return list(writes(ChatCompletions().events(compose(script, asked), script, asked), script))


def test_several_deltas_leave_in_one_write() -> None:
    parts = all_writes("sim-bursty")
    assert {part.data.count(b"data: ") for part in parts[:-1]} == {8}


def test_writes_end_inside_characters_where_there_are_any() -> None:
    parts = all_writes("sim-split")
    broken = 0
    for part in parts:
        try:
            part.data.decode()
        except UnicodeDecodeError:
            broken += 1
    assert broken > 10
    b"".join(part.data for part in parts).decode()
    assert sum(part.tokens for part in parts) == len(
        compose(SCRIPTS["sim-split"], request("sim-split")).tokens
    )


@pytest.mark.parametrize("model", ["sim-crlf", "sim-cr"])
def test_line_ends_are_the_scripts(model: str) -> None:
    data = b"".join(part.data for part in all_writes(model))
    assert set(re.findall(rb"[\r\n]+", data)) == {SCRIPTS[model].newline.encode() * 2}


def test_tokens_leave_at_their_instant_and_lateness_does_not_add_up(simulator: Simulator) -> None:
    assert PACED.tokens_per_s is not None
    rate = PACED.tokens_per_s

    async def read() -> list[float]:
        instants: list[float] = []
        began = time.monotonic()
        async with streaming(simulator, PACED.name) as response:
            async for line in response.aiter_lines():
                if '"content":"' in line:
                    if len(instants) == 20:
                        await asyncio.sleep(0.2)  # a reader that is late once
                    instants.append(time.monotonic() - began)
        return instants[1:]  # the first carries the role

    instants = asyncio.run(read())
    ttft_s = PACED.ttft_ms / 1000
    assert instants[0] >= ttft_s
    assert all(instant >= ttft_s + number / rate - 0.002 for number, instant in enumerate(instants))
    # A sleep of 1 ms after each token takes 2 ms and more: hundreds of them would be late by half a second.
    assert len(instants) > 500
    assert instants[-1] <= ttft_s + len(instants) / rate + 0.4


def test_a_close_is_noticed_within_a_few_tokens(simulator: Simulator) -> None:
    async def read() -> Exchange:
        async with streaming(simulator, CRAWLING.name) as response:
            seen = 0
            async for line in response.aiter_lines():
                seen += '"content":"' in line
                if seen == 6:
                    break
        return last(await simulator.settled_requests(), CRAWLING.name)

    exchange = asyncio.run(read())
    assert exchange.closed_at_token is not None
    assert 5 <= exchange.closed_at_token <= 8
    assert exchange.tokens_sent == exchange.closed_at_token
    assert exchange.tokens_scripted > 100


def test_a_close_during_a_stall_is_noticed(simulator: Simulator) -> None:
    async def read() -> Exchange:
        async with streaming(simulator, "sim-stall-early") as response:
            assert response.status_code == 200
        return last(await simulator.settled_requests(), "sim-stall-early")

    exchange = asyncio.run(read())
    assert (exchange.closed_at_token, exchange.tokens_sent) == (0, 0)


@pytest.mark.parametrize("model", ["sim-pings", "sim-drip"])
def test_bytes_without_tokens_keep_coming(simulator: Simulator, model: str) -> None:
    async def read() -> bytes:
        tail = b""
        async with streaming(simulator, model) as response:
            async for data in response.aiter_raw():
                tail = data
                exchange = last(await asyncio.to_thread(simulator.requests), model)
                if exchange.tokens_sent >= int(0.25 * exchange.tokens_scripted) and len(data) < 10:
                    break
        return tail

    assert len(asyncio.run(read())) < 10


def test_a_line_without_end_stops_with_its_reader(simulator: Simulator) -> None:
    async def read() -> Exchange:
        got = 0
        async with streaming(simulator, "sim-endless-line") as response:
            async for data in response.aiter_raw():
                got += len(data)
                if got > 3_000_000:
                    break
        return last(await simulator.settled_requests(), "sim-endless-line")

    assert asyncio.run(read()).bytes_sent < 30_000_000


def test_text_that_is_no_utf8_and_events_of_another_shape_are_sent(simulator: Simulator) -> None:
    async def read(model: str) -> bytes:
        async with streaming(simulator, model) as response:
            return await response.aread()

    data = asyncio.run(read("sim-invalid-utf8"))
    with pytest.raises(UnicodeDecodeError):
        data.decode()
    assert data.endswith(b"data: [DONE]\n\n")
    assert b'"surprise":[null,-1]' in asyncio.run(read("sim-odd-event"))
    assert asyncio.run(read("sim-html")).startswith(b"<!doctype html>")
    assert asyncio.run(read("sim-error-event-early")).startswith(b'data: {"error":')


def test_broken_compression_is_not_gzip_after_its_beginning(simulator: Simulator) -> None:
    async def read() -> None:
        async with streaming(simulator, "sim-broken-gzip") as response:
            assert response.headers["content-encoding"] == "gzip"
            with pytest.raises(httpx.DecodingError):
                await response.aread()

    asyncio.run(read())


def test_what_was_scripted_and_sent_is_counted(simulator: Simulator) -> None:
    async def read() -> Exchange:
        async with streaming(simulator, "sim-cut") as response:
            with pytest.raises(httpx.RemoteProtocolError):
                await response.aread()
        return last(await simulator.settled_requests(), "sim-cut")

    exchange = asyncio.run(read())
    assert exchange.tokens_sent == exchange.tokens_scripted // 2
    assert exchange.closed_at_token is None, "the simulator closed, not the caller"
    assert (exchange.response_format, exchange.messages, exchange.status) == ("json_schema", 1, 200)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "could not parse"),
        (b"[]", "JSON object"),
        (b'{"messages":[]}', "model parameter"),
        (b'{"model":"sim-1"}', "messages"),
        (b'{"model":"sim-1","messages":[{}],"n":2}', "unsupported"),
        (
            b'{"model":"sim-1","messages":[{}],"stream_options":{}, "stream_options":{"a":1}}',
            "stream_options",
        ),
        (b'{"model":"sim-1","messages":[{}],"response_format":{"type":"json_schema"}}', "json_schema"),
    ],
)
def test_a_bad_request_is_refused_in_openais_shape(simulator: Simulator, body: bytes, words: str) -> None:
    response = httpx.post(f"{simulator.base_url}/chat/completions", content=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert words in error["message"]
    assert set(error) == {"message", "type", "param", "code"}


def test_the_simulator_does_not_outlive_a_parent_that_was_killed() -> None:
    code = (
        "import time\nfrom infra.local.simulator import Simulator\n"
        "with Simulator() as sim:\n  print(sim.origin, flush=True)\n  time.sleep(60)\n"
    )
    root = Path(__file__).parents[3]
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root)
    assert parent.stdout is not None
    origin = parent.stdout.readline().strip()
    assert httpx.get(f"{origin}/healthz").json() == {"status": "ok"}
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            httpx.get(f"{origin}/healthz", timeout=1)
        except httpx.TransportError:
            return
        time.sleep(0.01)
    pytest.fail("the simulator still answers ten seconds after its parent was killed")


def test_in_the_foreground_it_prints_its_address_and_ends_with_ctrl_c() -> None:
    command = [sys.executable, "-m", "infra.local.simulator", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    assert process.stdout is not None
    base_url = process.stdout.readline().strip()
    assert httpx.get(f"{base_url}/models").json()["object"] == "list"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) in (130, -signal.SIGINT)
    process.stdout.close()
