"""An ASGI application that sends what it is asked for: the body says how many chunks, and the pause before each.

A chunk is the monotonic clock, which all processes of a machine share, in nanoseconds and at the moment of `send`,
and padding up to the 200 bytes of a usual server-sent event.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

PADDING = b"x" * 180


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer one request; has no lifespan."""
    if scope["type"] != "http":
        raise RuntimeError(f"expected a scope of type http, got {scope['type']}")
    count, pause_s = (await receive())["body"].split()
    pause_s = float(pause_s)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(int(count)):
        if pause_s:
            await asyncio.sleep(pause_s)
        body = b"%020d" % time.monotonic_ns() + PADDING
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
