"""The buffer between a function and its caller."""

import asyncio

from infra.local.execution.invocation import BUFFER_BYTES, FunctionError, Response


async def test_a_function_waits_for_a_slow_reader_and_goes_on_when_it_reads():
    response = Response()
    await response.write(bytes(BUFFER_BYTES))
    more = asyncio.ensure_future(response.write(b"more"))
    await asyncio.sleep(0)
    assert not more.done()
    parts = response.parts()
    assert len(await anext(parts)) == BUFFER_BYTES
    await more
    response.end()
    assert [part async for part in parts] == [b"more"]


async def test_a_caller_that_has_gone_holds_nothing_back_and_its_bytes_are_counted():
    response = Response()
    await response.write(bytes(BUFFER_BYTES))
    waiting = asyncio.ensure_future(response.write(b"x"))
    await asyncio.sleep(0)
    response.abandon()
    await waiting
    for _ in range(3):
        await response.write(bytes(BUFFER_BYTES))
    response.end()
    assert await response.body() == b""
    assert response.produced_bytes == 4 * BUFFER_BYTES + 1


async def test_only_the_first_end_counts_and_what_was_written_before_it_is_read():
    response = Response()
    await response.write(b"half")
    response.end(FunctionError.of("First", "one"))
    response.end(FunctionError.of("Second", "two"))
    await response.write(b"late")
    assert await response.body() == b"half"
    assert response.error is not None
    assert response.error.kind == "First"
