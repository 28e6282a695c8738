"""Each recorded stream of each protocol: what our decoder reads is what the provider's own SDK reads.

Text, thoughts, arguments of tools, why it finished, who answered, and the tokens, by each protocol's arithmetic. And
it is the same where the body comes over HTTP, cut where the network never cut it.
"""

import asyncio

import httpx
import pytest

from infra.local.replay import Replay
from tests.functional.sdks import ORACLES, SDKReading
from tests.recorded_prices import priced
from tests.recordings import DECODERS, Reading, read, read_pieces, recordings
from weir.pricing.price_book import PriceBook

COUNT = {
    "chat.completions": 121,
    "responses": 76,
    "messages": 82,
    "gemini": 54,
    "bedrock.converse": 25,
    "bedrock.invoke": 15,
}
# Servers that go on counting candidates and leave them out of their last chunk: the largest that was said stands.
LEFT_OUT_AT_THE_END = {"gemini-6725a6cc14.sse"}
# Vercel's gateway counts without the thoughts that it charges; its own figure of the charge is what is held against.
COUNTED_WITHOUT_THOUGHTS = {
    "chat_completions-0561c6d424.sse",
    "chat_completions-0b28ca03b3.sse",
    "chat_completions-258c4dba2e.sse",
}
# A charge that no count of tokens gives: a search; and OpenRouter's price, which follows whom it passed the request on to.
CHARGED_OTHERWISE = {
    "chat_completions-57ed8aa467.sse",
    "chat_completions-2b38c3a5a0.sse",
    "responses-f0afdba31f.sse",
}
# A model that took over inside the stream: it is the one to be priced, and the SDK's plain client does not say so.
SWITCHED = {"messages-1f6c57ba8c.sse": "claude-sonnet-4-5"}


@pytest.mark.parametrize("api", list(DECODERS))
def test_all_recorded_streams_are_here(api: str) -> None:
    assert len(recordings(api)) == COUNT[api]


@pytest.mark.parametrize("api", list(DECODERS))
def test_recorded_streams_read_as_the_providers_sdk_reads_them(api: str) -> None:
    for recording in recordings(api):
        theirs, ours = ORACLES[api](recording.body), read(api, recording.body)
        assert (ours.text, ours.reasoning if theirs.reasoning else "") == (theirs.text, theirs.reasoning), (
            recording.name
        )
        assert bool(ours.failures) == theirs.failed, recording.name
        if theirs.failed:
            continue  # what an SDK had read until then it does not all hand out
        assert (ours.finish.raw if ours.finish else None) == theirs.finish, recording.name
        model = SWITCHED.get(recording.name, theirs.model)
        assert ours.model == model or model is None, recording.name
        if theirs.arguments:
            assert ours.arguments == theirs.arguments, recording.name
        if recording.name not in LEFT_OUT_AT_THE_END | COUNTED_WITHOUT_THOUGHTS:
            assert _tokens(ours, theirs) == _their_tokens(theirs), recording.name


def _tokens(ours: Reading, theirs: SDKReading) -> tuple[int | None, ...]:
    if ours.usage is None or theirs.input_tokens is None:
        return _their_tokens(theirs) if theirs.input_tokens is None else (None, None, None)
    cached = ours.usage.cached_input_tokens if theirs.cached_tokens is not None else None
    return ours.usage.input_tokens, ours.usage.output_tokens, cached


def _their_tokens(theirs: SDKReading) -> tuple[int | None, ...]:
    return theirs.input_tokens, theirs.output_tokens, theirs.cached_tokens


def test_the_recordings_hold_what_the_comparison_is_about() -> None:
    # It would also pass on empty streams.
    readings = [read(api, recording.body) for api in DECODERS for recording in recordings(api)]
    assert sum(1 for reading in readings if reading.text) >= 280
    assert sum(1 for reading in readings if reading.usage) >= 330
    assert sum(1 for reading in readings if reading.reasoning) >= 45
    assert sum(1 for reading in readings if reading.arguments) >= 40
    assert sum(1 for reading in readings if reading.failures) >= 3
    assert {reading.finish.normal for reading in readings if reading.finish} >= {
        "stop",
        "length",
        "tool",
        "refused",
    }
    assert sum(len(reading.text) for reading in readings) > 50_000


def test_of_the_recorded_streams_all_but_one_in_twenty_are_priced() -> None:
    found = list(priced(PriceBook.load()))
    assert len(found) == sum(COUNT.values())
    assert sum(1 for stream in found if not stream.unpriced) >= 0.95 * len(found)
    for stream in found:  # and the rest says why
        for reason in stream.unpriced:
            kind, _, what = reason.partition(":")
            assert (kind == "no_price" and what) or kind == "usage_inconsistent", reason


def test_where_a_provider_says_what_it_charged_the_price_book_says_the_same() -> None:
    charged = [stream for stream in priced(PriceBook.load()) if stream.charged_usd and not stream.unpriced]
    assert len(charged) >= 30
    assert {stream.name for stream in charged if not stream.as_charged} == CHARGED_OTHERWISE


@pytest.mark.parametrize("api", list(DECODERS))
def test_a_recording_reads_the_same_over_http_cut_at_random(api: str) -> None:
    bodies = {recording.name: recording.body for recording in recordings(api)}

    async def compare() -> None:
        async with Replay(bodies) as replay, httpx.AsyncClient() as client:
            url = f"{replay.base_url('random-1')}/chat/completions"
            for name, body in bodies.items():
                async with client.stream("POST", url, json={"model": name}) as response:
                    pieces = [piece async for piece in response.aiter_raw()]
                assert read_pieces(api, pieces) == read(api, body), name

    asyncio.run(compare())


def test_the_chunks_of_the_replay_arrive_as_they_were_cut() -> None:
    async def fetch() -> list[bytes]:
        body = "data: é—☕🧭\n\n".encode()
        async with Replay({"one": body}) as replay, httpx.AsyncClient() as client:
            url = f"{replay.base_url('1')}/chat/completions"
            async with client.stream("POST", url, json={"model": "one"}) as response:
                return [piece async for piece in response.aiter_raw()]

    pieces = asyncio.run(fetch())
    assert b"".join(pieces) == "data: é—☕🧭\n\n".encode()
    assert {len(piece) for piece in pieces} == {1}
