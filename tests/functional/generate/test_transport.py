"""httpx's engine of ours, over real sockets; httpx's own is the oracle for what a caller of httpx sees."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trustme

from tests.functional.generate.scripted import (
    END,
    HEAD,
    Provider,
    Step,
    completion,
    framed,
    provider,
    status,
    text,
)  # fmt: skip
from weir.providers.transport import IDLE_S, StreamTransport, _Arrival, make_transport
from weir.providers.upstream import UpstreamResponse

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Each test on both loops: whoever serves the application chooses one."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@asynccontextmanager
async def client(
    transport: StreamTransport | None = None, *, timeout: httpx.Timeout | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    timeout = timeout or httpx.Timeout(5, read=None)
    async with httpx.AsyncClient(transport=transport or StreamTransport(), timeout=timeout) as made:
        yield made


async def post(made: httpx.AsyncClient, upstream: Provider) -> httpx.Response:
    return await made.post(upstream.base_url, json={})


async def test_a_chunk_is_there_before_the_next_one_is_sent() -> None:
    go_on = asyncio.Event()
    async with provider([HEAD, text("a"), go_on, text("b"), END]) as upstream, client() as made:
        async with made.stream("POST", upstream.base_url, json={}) as response:
            parts = response.aiter_bytes()
            assert b'"a"' in await anext(parts)
            go_on.set()
            assert b'"b"' in await anext(parts)
            assert [part async for part in parts] == []


@pytest.mark.parametrize(
    "script",
    [
        completion("Té", "xt"),
        [PLAIN],
        [b"HTTP/1.1 100 Continue\r\n\r\n", PLAIN],
        [b"HTTP/1.0 200 OK\r\n\r\nuntil the ", b"end", "close"],
        [b"HTTP/1.1 200 OK\r\nX-Twice: 1\r\nx-twice: 2\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 204 No Content\r\n\r\n"],
        [b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n"],
        [bytes([byte]) for byte in HEAD + framed(b"one byte at a time") + END],
        status(429, {"error": {"message": "slow down"}}, "retry-after: 7"),
    ],
)
async def test_it_gives_what_httpx_s_own_engine_gives(script: Sequence[Step]) -> None:
    async with provider(script) as upstream, client() as ours, httpx.AsyncClient() as own:
        answers = [await post(made, upstream) for made in (ours, own)]
    first, second = (
        (answer.status_code, answer.headers.raw, answer.content, answer.http_version, answer.reason_phrase)
        for answer in answers
    )
    assert first == second


@pytest.mark.parametrize(
    "script",
    [
        ["close"],
        ["reset"],
        [b"not HTTP at all\r\n\r\n", "close"],
        [HEAD, b"zz\r\nno size\r\n"],
        [HEAD, text("a"), "close"],
        [HEAD, text("a"), "reset"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "close"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "close"],
        [b"HTTP/1.1 200 OK\r\nx: " + b"a" * 200_000, "close"],
    ],
)
async def test_it_fails_as_httpx_s_own_engine_fails(script: Sequence[Step]) -> None:
    kinds: list[type[Exception]] = []
    async with provider(script) as upstream, client() as ours, httpx.AsyncClient() as own:
        for made in (ours, own):
            with pytest.raises(httpx.TransportError) as raised:
                await post(made, upstream)
            kinds.append(raised.type)
    assert kinds[0] is kinds[1]


async def test_a_connection_is_used_again_when_its_response_was_read_to_the_end() -> None:
    async with provider(completion("a"), completion("b")) as upstream, client() as made:
        for letter in (b'"a"', b'"b"'):
            assert letter in (await post(made, upstream)).content
        assert upstream.connections == 1


async def test_an_end_that_came_with_text_which_was_the_last_that_was_read_is_not_the_next_answers() -> None:
    at_once = b"".join(step for step in completion("a") if isinstance(step, bytes))
    async with provider([at_once], [PLAIN]) as upstream, client() as made:
        async with made.stream("POST", upstream.base_url, json={}) as response:
            assert b'"a"' in await anext(response.aiter_raw())
        assert (await post(made, upstream)).content == b"hello"


async def test_a_large_response_leaves_a_connection_that_still_reads() -> None:
    large = framed(b"x" * 1_000_000)
    async with provider([HEAD, large, END], [PLAIN]) as upstream, client() as made:
        assert len((await post(made, upstream)).content) == 1_000_000
        assert (await post(made, upstream)).content == b"hello"
        assert upstream.connections == 1


async def test_a_response_left_in_the_middle_closes_its_connection() -> None:
    async with provider([HEAD, text("a"), "stall"]) as upstream, client() as made:
        async with made.stream("POST", upstream.base_url, json={}) as response:
            await anext(response.aiter_bytes())
        async with asyncio.timeout(5):
            await upstream.hung_up.wait()


@pytest.mark.parametrize("script", [["stall"], [HEAD, text("a"), "stall"]])
async def test_being_cancelled_closes_the_connection(script: Sequence[Step]) -> None:
    async with provider(script) as upstream, client() as made:
        call = asyncio.create_task(post(made, upstream))
        async with asyncio.timeout(5):
            while not upstream.requests:  # noqa: ASYNC110 - the server is a script, it sets no event
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await upstream.hung_up.wait()


async def test_a_connection_that_the_peer_closed_meanwhile_is_not_used() -> None:
    connections, closed = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"{}")
        writer.write(PLAIN)
        writer.close()
        await writer.wait_closed()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, client() as made, asyncio.timeout(5):
        for number in (1, 2, 3):
            # The goodbye lies in the socket, and the loop may not have come to read it.
            assert (await made.post(f"http://{host}:{port}", json={})).content == b"hello"
            await closed.wait()
            closed.clear()
            assert connections == number


async def test_bytes_that_nobody_asked_for_do_not_pass_for_an_answer() -> None:
    smuggled = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
    sent = asyncio.Event()
    async with provider([PLAIN, sent, smuggled], [PLAIN]) as upstream, client() as made:
        assert (await post(made, upstream)).content == b"hello"
        sent.set()
        async with asyncio.timeout(5):
            await upstream.hung_up.wait()
        assert (await post(made, upstream)).content == b"hello"
        assert upstream.connections == 2


async def test_bytes_glued_behind_an_answer_do_not_pass_for_the_next_one() -> None:
    async with provider([PLAIN + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"], [PLAIN]) as upstream:
        async with client() as made:
            assert [(await post(made, upstream)).content for _ in range(2)] == [b"hello", b"hello"]
        assert upstream.connections == 2


async def test_a_connection_idle_for_too_long_by_the_wall_clock_is_not_used() -> None:
    now_s = 1_000_000.0
    transport = StreamTransport(clock=lambda: now_s)
    async with provider([PLAIN]) as upstream, client(transport) as made:
        await post(made, upstream)
        now_s += IDLE_S - 1
        await post(made, upstream)
        assert upstream.connections == 1
        now_s += IDLE_S + 1
        await post(made, upstream)
        assert upstream.connections == 2


async def test_fresh_connections_take_the_place_of_idle_ones_and_do_not_add_up() -> None:
    async with provider([PLAIN]) as upstream, client() as made, asyncio.timeout(5):
        for _ in range(20):
            await made.post(upstream.base_url, json={}, extensions={"fresh": True})
        while upstream.connections - upstream.ended > 1:  # noqa: ASYNC110 - an end sets no event
            await asyncio.sleep(0.01)
        assert upstream.connections == 20


@pytest.mark.parametrize("waits", [True, False])
async def test_a_connection_opened_ahead_carries_nothing_and_is_the_next_requests(waits: bool) -> None:
    transport, seen = StreamTransport(), []

    async def trace(event: str, info: object) -> None:
        seen.append(event)

    async with provider([PLAIN]) as upstream, client(transport) as made:
        for _ in range(2):  # once is enough
            transport.open_ahead(httpx.URL(upstream.base_url), 5)
        if waits:
            await asyncio.wait_for(upstream.connected.wait(), 5)
            transport.open_ahead(httpx.URL(upstream.base_url), 5)
        assert not upstream.requests
        for _ in range(2):
            await made.post(upstream.base_url, json={}, extensions={"trace": trace})
            transport.open_ahead(httpx.URL(upstream.base_url), 5)
        assert (len(upstream.requests), upstream.connections) == (2, 1)
    assert seen.count("connection.connect_tcp.started") == 1  # a failure on it is no idle connection's


async def test_a_connection_ahead_that_fails_is_told_to_who_waits_and_tried_again_by_who_comes_later() -> (
    None
):
    async with provider([PLAIN]) as upstream:
        url = httpx.URL(upstream.base_url)
    transport = StreamTransport()  # and nobody listens there any more
    async with client(transport) as made:
        transport.open_ahead(url, 5)
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                await made.post(url, json={})


async def test_whoever_gives_up_waiting_for_a_connection_ahead_leaves_it_to_the_next() -> None:
    transport = StreamTransport()
    async with provider([PLAIN]) as upstream, client(transport) as made:
        transport.open_ahead(httpx.URL(upstream.base_url), 5)
        given_up = asyncio.create_task(post(made, upstream))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert (await post(made, upstream)).content == b"hello"
        assert len(upstream.requests) == upstream.connections == 1


async def test_idle_connections_that_a_peak_left_are_closed_when_they_are_not_needed_for_long() -> None:
    now_s = 1_000_000.0
    transport = StreamTransport(clock=lambda: now_s)
    async with provider([PLAIN]) as upstream, client(transport) as made, asyncio.timeout(5):
        await asyncio.gather(*(post(made, upstream) for _ in range(8)))
        opened = upstream.connections
        assert opened > 1
        now_s += IDLE_S - 1
        await post(made, upstream)  # the last one that was kept is the first to be taken
        now_s += 2
        await post(made, upstream)
        while upstream.connections - upstream.ended > 1:  # noqa: ASYNC110 - an end sets no event
            await asyncio.sleep(0.01)
        assert upstream.connections == opened


async def test_a_reader_that_does_not_read_holds_the_provider_back() -> None:
    part, sent = framed(b"x" * 65_536), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"{}")
        writer.write(HEAD)
        try:
            while True:
                writer.write(part)
                await writer.drain()
                sent += len(part)
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, client() as made:
        async with made.stream("POST", f"http://{host}:{port}", json={}):
            before = -1
            while before != sent:  # until the sockets' own buffers are full
                before = sent
                await asyncio.sleep(0.1)
            assert sent < 32_000_000


async def test_an_answer_to_half_a_request_is_an_answer() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    async def body() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 65_536

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, client() as made, asyncio.timeout(5):
        assert (await made.post(f"http://{host}:{port}", content=body())).status_code == 413


async def test_nobody_listening_is_a_connect_error() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    server.close()
    async with client() as made:
        with pytest.raises(httpx.ConnectError):
            await made.post(f"http://{host}:{port}", json={})


async def test_timeouts_say_what_took_too_long() -> None:
    async with provider(["stall"]) as upstream:
        async with client(timeout=httpx.Timeout(5, read=0.05)) as made:
            with pytest.raises(httpx.ReadTimeout):
                await post(made, upstream)
        # It accepts connections, and never answers a TLS handshake.
        secure = upstream.base_url.replace("http:", "https:")
        # The certificates are there, and the time is long enough for a busy machine to be in the handshake by its end:
        # cancelled in the step before, asyncio's race of addresses leaves a socket behind.
        transport = StreamTransport()
        await transport.prepare_tls()
        async with client(transport, timeout=httpx.Timeout(5, connect=0.4)) as made:
            with pytest.raises(httpx.ConnectTimeout):
                await made.post(secure, json={})


async def test_a_peer_that_takes_nothing_is_a_write_timeout() -> None:
    taken = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await taken.wait()  # reads no more than a buffer's worth
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1)
    host, port = server.sockets[0].getsockname()
    async with server, client(timeout=httpx.Timeout(5, write=0.1)) as made:
        with pytest.raises(httpx.WriteTimeout):
            await made.post(f"http://{host}:{port}", content=b"x" * 64_000_000)
        taken.set()


@asynccontextmanager
async def secure_server(authority: trustme.CA, name: str) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"{}"):
                writer.write(PLAIN)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()  # and no wait for handshakes that a client broke off


async def test_tls_takes_a_trusted_certificate_of_the_right_name_and_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trusted, stranger = trustme.CA(), trustme.CA()
    trusted.cert_pem.write_to_path(tmp_path / "trusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    async with client() as made:
        async with secure_server(trusted, "localhost") as port:
            for _ in range(2):
                answer = await made.post(f"https://localhost:{port}", json={})
                assert answer.content == b"hello"
        for authority, name in ((stranger, "localhost"), (trusted, "elsewhere.example")):
            async with secure_server(authority, name) as port:
                with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                    await made.post(f"https://localhost:{port}", json={})


async def test_httpx_s_own_engine_stays_where_a_proxy_is_set() -> None:
    assert make_transport(False, {"https_proxy": "http://proxy:3128"}) is None
    assert make_transport(False, {"HTTPS_PROXY": "", "NO_PROXY": "*"}) is not None


async def test_what_came_at_once_is_one_part_and_what_came_apart_is_not() -> None:
    go_on = asyncio.Event()
    backlog = HEAD + b"".join(framed(b"%d," % number) for number in range(100))
    async with provider([backlog, go_on, framed(b"last"), END]) as upstream, client() as made:
        async with made.stream("POST", upstream.base_url, json={}) as response:
            parts = response.aiter_bytes()
            assert await anext(parts) == b"".join(b"%d," % number for number in range(100))
            go_on.set()
            assert [part async for part in parts] == [b"last"]
        await post(made, upstream)
    assert upstream.connections == 1


async def test_what_came_before_a_broken_frame_is_read_before_the_error() -> None:
    async with provider([HEAD + framed(b"a") + framed(b"b") + b"no size\r\n"]) as upstream, client() as made:
        async with made.stream("POST", upstream.base_url, json={}) as response:
            parts = response.aiter_bytes()
            assert await anext(parts) == b"ab"
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(parts)


SPLIT_KEY = "sk-abcabcabd-0123456789"


@pytest.mark.parametrize("size", [1, 3, 7, 10_000])
@pytest.mark.parametrize(
    "said",
    [
        f"the key {SPLIT_KEY} is wrong",
        SPLIT_KEY * 2,
        f"sk-abc{SPLIT_KEY}",
        "sk-abc, which begins like one",
        "nothing",
        "sk-",
    ],
)
async def test_a_key_is_masked_wherever_the_network_cuts_it(said: str, size: int) -> None:
    body = said.encode()

    class Pieces(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for start in range(0, len(body), size):
                yield body[start : start + size]

    response = UpstreamResponse(httpx.Response(200, stream=Pieces()), (SPLIT_KEY.encode(),))
    received = b"".join([data async for data in response]).decode()
    assert received == said.replace(SPLIT_KEY, "[key]")


class Given(httpx.AsyncByteStream):
    """A body whose pieces are there already: nobody waits for any."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


async def test_between_the_pieces_of_much_that_came_at_once_others_have_their_turn() -> None:
    turns: list[str] = []

    async def neighbour() -> None:
        while True:
            turns.append("neighbour")
            await asyncio.sleep(0)

    large = bytes(range(256)) * 400
    response = UpstreamResponse(httpx.Response(200, stream=Given(b"head", large, b"tail")))
    beside = asyncio.create_task(neighbour())
    received = []
    async for piece in response:
        received.append(piece)
        turns.append("piece")
    beside.cancel()
    assert b"".join(received) == b"head" + large + b"tail" and max(map(len, received)) <= 8_192
    inside = turns[turns.index("piece", turns.index("piece") + 1) :]
    assert all("neighbour" in inside[at : at + 2] for at in range(len(received) - 3))


async def test_what_is_put_back_comes_before_what_was_not_given_out_yet() -> None:
    large = b"a" * 16_384 + b"b" * 16_384 + b"c"
    response = UpstreamResponse(httpx.Response(200, stream=Given(large, b"d")))
    first = await anext(response)
    response.put_back([first])
    assert b"".join([piece async for piece in response]) == large + b"d"


async def test_whoever_waits_goes_on_where_bytes_come_and_a_task_that_brings_them_is_not_interrupted() -> (
    None
):
    gone_on: list[str] = []

    async def wait(arrival: _Arrival, name: str) -> None:
        await arrival
        gone_on.append(name)

    def come(arrival: _Arrival) -> None:
        arrival.arrive()
        gone_on.append("came")

    for name, bring in (
        ("by the loop", asyncio.get_running_loop().call_soon),
        ("by a task", lambda f, *a: f(*a)),
    ):
        arrival = _Arrival()
        waiting = asyncio.create_task(wait(arrival, name))
        await asyncio.sleep(0)
        bring(come, arrival)
        await waiting
    assert gone_on == ["by the loop", "came", "came", "by a task"]


async def test_whoever_is_cancelled_while_nothing_comes_does_not_wait_on() -> None:
    arrival = _Arrival()

    async def wait() -> None:
        await arrival

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    arrival.arrive()
    with pytest.raises(asyncio.CancelledError):
        await waiting
