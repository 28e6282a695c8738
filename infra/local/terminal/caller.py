"""Calls generate as a customer's program would: an HTTP POST whose answer is read event by event.

It depends on nothing of the product, so that what it shows is what any caller sees.
"""

import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

type Event = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class Generation:
    """One call: what came back, and when, in milliseconds from sending the request.

    `final` is the data of the event that ended the stream, or the problem document of an answer that never began
    to stream. None means that the answer broke off.
    """

    status: int = 0
    request_id: str | None = None
    ttft_ms: float | None = None
    ttlt_ms: float | None = None
    duration_ms: float = 0.0
    deltas: int = 0
    values: int = 0
    final_kind: str | None = None
    final: dict[str, Any] | None = None
    text: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """The outcome that the final event names; `broken_off` where none came."""
        return str(self.final.get("outcome", "unnamed")) if self.final else "broken_off"


async def generate(
    client: httpx.AsyncClient,
    url: str,
    body: dict[str, Any],
    generation: Generation,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Event]:
    """Send `body` and yield the events of the answer as they arrive, while `generation` is filled in.

    Raises:
        httpx.HTTPError: the endpoint cannot be reached, or the connection broke.
    """
    started_s = time.perf_counter()

    def elapsed_ms() -> float:
        return (time.perf_counter() - started_s) * 1000

    async with client.stream(
        "POST", url, json=body, headers={"accept": "text/event-stream", **(headers or {})}
    ) as response:
        generation.status = response.status_code
        generation.request_id = response.headers.get("x-request-id")
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            generation.final_kind, generation.final = "problem", json.loads(await response.aread())
            generation.duration_ms = elapsed_ms()
            return
        async for name, data in _events(response):
            if name == "delta":
                generation.deltas += 1
                generation.text.append(data["text"])
                generation.ttlt_ms = elapsed_ms()
                if generation.ttft_ms is None:
                    generation.ttft_ms = generation.ttlt_ms
            elif name == "value":
                generation.values += 1
            elif name in ("done", "error"):
                generation.final_kind, generation.final = name, data
            yield name, data
    generation.duration_ms = elapsed_ms()


async def _events(response: httpx.Response) -> AsyncIterator[Event]:
    # generate writes one event: and one data: line each, ended by \n; httpx's own line iterator would also split at
    # U+2028, which may stand in a text.
    pending = b""
    async for chunk in response.aiter_bytes():
        *complete, pending = (pending + chunk).split(b"\n\n")
        for block in complete:
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if not line.startswith(b":"))
            if b"data" in fields:
                yield fields.get(b"event", b"message").decode(), json.loads(fields[b"data"])
