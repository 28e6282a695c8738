"""The timer between tokens, on a real event loop with waits of milliseconds."""

import asyncio

import pytest

from weir.generate.token_timer import TokenTimer


async def test_no_token_in_time_ends_the_wait() -> None:
    with pytest.raises(TimeoutError):
        with TokenTimer(0.01):
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None and not task.cancelling()


async def test_each_token_begins_the_wait_anew() -> None:
    loop = asyncio.get_running_loop()
    with TokenTimer(0.2) as timer:
        ends = loop.time() + 0.5
        while loop.time() < ends:
            await asyncio.sleep(0.02)
            timer.reset()


async def test_while_it_is_paused_nothing_is_late() -> None:
    with TokenTimer(0.02) as timer:
        timer.paused = True
        await asyncio.sleep(0.1)
        timer.paused = False
        timer.reset()


async def test_a_cancellation_from_elsewhere_goes_on() -> None:
    async def wait() -> None:
        with TokenTimer(60):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
