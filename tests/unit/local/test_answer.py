"""The buffer between a function and its caller."""

import asyncio

from infra.local.execution.invocation import BUFFER_BYTES, Answer, FunctionError


async def test_a_function_waits_for_a_slow_reader_and_goes_on_when_it_reads():
    answer = Answer()
    await answer.write(bytes(BUFFER_BYTES))
    more = asyncio.ensure_future(answer.write(b"more"))
    await asyncio.sleep(0)
    assert not more.done()
    parts = answer.parts()
    assert len(await anext(parts)) == BUFFER_BYTES
    await more
    answer.end()
    assert [part async for part in parts] == [b"more"]


async def test_a_caller_that_has_gone_holds_nothing_back_and_its_bytes_are_counted():
    answer = Answer()
    await answer.write(bytes(BUFFER_BYTES))
    waiting = asyncio.ensure_future(answer.write(b"x"))
    await asyncio.sleep(0)
    answer.abandon()
    await waiting
    for _ in range(3):
        await answer.write(bytes(BUFFER_BYTES))
    answer.end()
    assert await answer.body() == b""
    assert answer.produced_bytes == 4 * BUFFER_BYTES + 1


async def test_only_the_first_end_counts_and_what_was_written_before_it_is_read():
    answer = Answer()
    await answer.write(b"half")
    answer.end(FunctionError.of("First", "one"))
    answer.end(FunctionError.of("Second", "two"))
    await answer.write(b"late")
    assert await answer.body() == b"half"
    assert answer.error is not None
    assert answer.error.kind == "First"
