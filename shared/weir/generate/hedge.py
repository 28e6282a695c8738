"""Hedging: a call whose first token is late is made once more beside itself, and the first to answer is taken.

A route asks for it with `hedge_s`; none does by itself. The other call is hung up on at once, which is why a route may
hedge only where that stops the provider's meter. What it may have cost all the same is a line of the bill.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from weir.generate.policy import Policy
from weir.providers.events import Decoder, Reasoning, Refusal, Text, ToolCall
from weir.providers.failed import Failed
from weir.providers.upstream import CallFailed, UpstreamResponse

_ANSWERS = (Text, Reasoning, Refusal, ToolCall, Failed)


async def first_to_answer(
    call: Callable[[], Coroutine[Any, Any, UpstreamResponse]],
    decoder: Callable[[], Decoder],
    hedge_s: float,
    policy: Policy,
    lost: list[CallFailed | None],
) -> UpstreamResponse:
    """Make the call, and once more if no token has come after `hedge_s`; give the one whose first token came first.

    `lost` takes in how the other one ended: with a failure, or hung up on (None). Being cancelled hangs up on both.

    Raises:
        CallFailed: the call failed before the other one was made; or both did, and this is the later failure.
    """
    calls = [asyncio.create_task(_begun(call(), decoder(), policy))]
    try:
        await asyncio.wait(calls, timeout=hedge_s)
        if not calls[0].done():
            calls.append(asyncio.create_task(_begun(call(), decoder(), policy)))
        while True:
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            for each in [each for each in calls if each.done()]:
                calls.remove(each)
                error = each.exception()
                if error is None:
                    lost += [None] * len(calls)
                    return each.result()
                if not isinstance(error, CallFailed) or not calls:
                    raise error
                lost.append(error)
    except asyncio.CancelledError:
        lost += [None] * (len(calls) - 1)  # the other one is the attempt itself
        raise
    finally:
        for each in calls:
            if not each.cancel() and each.exception() is None:
                await each.result().close(drain=False)
        await asyncio.gather(*calls, return_exceptions=True)


async def _begun(
    call: Coroutine[Any, Any, UpstreamResponse], decoder: Decoder, policy: Policy
) -> UpstreamResponse:
    """A response of which the first token has come, to be read from its beginning."""
    clocks = policy.clocks
    try:
        async with asyncio.timeout(clocks.headers_s):
            response = await call
    except TimeoutError:
        raise _late(f"expected a status within {clocks.headers_s:g} s") from None
    read: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(clocks.first_token_s):
            async for chunk in response:
                read.append(chunk)
                size += len(chunk)
                if any(isinstance(event, _ANSWERS) for event in decoder.feed(chunk)) or decoder.finish:
                    break
                if size > policy.caps.event_bytes:
                    break  # whoever says as much and nothing is judged as any other answer
    except TimeoutError:
        await response.close(drain=False)
        raise _late(f"expected the first token within {clocks.first_token_s:g} s") from None
    except BaseException:
        await response.close(drain=False)
        raise
    response.put_back(read)
    return response


def _late(message: str) -> CallFailed:
    return CallFailed(Failed(message, kind="timeout", retryable="yes", maybe_served=True))
