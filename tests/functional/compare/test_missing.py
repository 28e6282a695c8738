"""Variants that are not installed, do not start or die under load: each becomes a row, and the others go on."""

import asyncio
import json
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.compare.callers import STREAMED
from tests.compare.documents import FAST, SMALL
from tests.compare.measure import Comparison
from tests.compare.provider import Provider
from tests.compare.report import table
from tests.compare.running import Missing, Running, RunningFunction
from tests.compare.starting import Surroundings, free_port
from tests.compare.variants import ADAPTER, LITELLM, NODE, STEP_1, STEP_4, VARIANTS, Variant

# Answers its first request as a server would that then ends: with half of an answer.
DIES = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    caller, _ = server.accept()
    if caller.recv(65536):
        print("MemoryError: too much", file=sys.stderr, flush=True)
        caller.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\nevent: delta\\n\\n")
        sys.exit(1)
"""


def named(name: str) -> Variant:
    return next(variant for variant in VARIANTS if variant.name == name)


@pytest.mark.parametrize("name", [STEP_1, STEP_4, LITELLM, ADAPTER, NODE])
def test_what_is_not_installed_says_what_is_missing_and_what_makes_it(name: str, tmp_path: Path) -> None:
    here = Surroundings("http://127.0.0.1:9/v1", tmp_path, root=tmp_path)
    with pytest.raises(Missing, match="not installed: .* is missing \\(make .* makes it\\)"):
        named(name).start(here)


@pytest.mark.parametrize(("name", "program"), [(NODE, "node"), (ADAPTER, "cc")])
def test_a_program_that_is_not_on_the_path_is_named(
    name: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    python = tmp_path / ".venv-compare/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    with pytest.raises(Missing, match=program):
        named(name).start(Surroundings("http://127.0.0.1:9/v1", tmp_path, root=tmp_path))


def test_what_ends_at_its_start_is_missing_with_its_last_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such module')"]
    with pytest.raises(Missing, match="ended with 1: no such module"):
        Running(command, {}, tmp_path / "log").wait_until_listening(free_port())
    with pytest.raises(Missing, match="did not answer"):
        RunningFunction(command, {}, tmp_path / "log").read_line()


async def test_what_dies_under_load_is_a_row_that_says_so_and_the_others_are_measured(tmp_path: Path) -> None:
    def dying(here: Surroundings) -> Running:
        port = free_port()
        command = [sys.executable, "-c", DIES, str(port)]
        running = Running(command, {}, here.folder / "dying.log")
        running.port = port
        while running.alive:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return running
        raise AssertionError(running.said())

    def absent(here: Surroundings) -> Running:
        raise Missing("no npm")

    provider = Provider()
    variants = [
        Variant("absent", absent, STREAMED, "what people pick"),
        Variant("dying", dying, STREAMED, "the article"),
    ]
    said: list[str] = []
    compared = Comparison(variants, Surroundings(provider.base_url, tmp_path), provider, said.append)
    try:
        compared.start()
        await compared.many_callers(FAST, 2)
        rows = compared.rows()
    finally:
        compared.close()
        provider.close()
    assert [row.missing for row in rows] == ["no npm", "crashed: MemoryError: too much"]
    text = table(rows, (1, 2), []).markdown()
    assert "NOT MEASURED: no npm" in text and "NOT MEASURED: crashed: MemoryError" in text
    assert "NOT MEASURED: absent: no npm" in said


# Answers once as it should, and then takes what is asked and says nothing more.
HANGS = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
asked = 0
while True:
    caller, _ = server.accept()
    asked += 1
    if asked > 2:
        time.sleep(1000)
    while caller.recv(65536)[-1:] not in (b"}", b""):
        pass
    caller.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\nevent: delta\\n\\nevent: done\\n\\n")
    caller.close()
"""
# A function's host that says where it is, and is gone when it is asked anything.
GONE = "import sys; print('http://127.0.0.1:%s' % sys.argv[1], flush=True); sys.stdin.readline(); sys.exit('killed')"


async def test_what_hangs_or_whose_host_is_gone_in_any_phase_is_its_own_row_and_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.compare.measure.LIMIT_S", 2.0)

    def hanging(here: Surroundings) -> Running:
        port = free_port()
        command = [sys.executable, "-c", HANGS, str(port)]
        running = Running(command, {}, here.folder / "hanging.log")
        running.port = port
        while running.alive and "LISTEN" not in _sockets(port):
            pass
        return running

    def gone(here: Surroundings) -> Running:
        command = [sys.executable, "-c", GONE, str(free_port())]
        running = RunningFunction(command, {}, here.folder / "gone.log")
        running.port = int(running.read_line().rsplit(":", 1)[1])
        return running

    provider = Provider()
    variants = [
        Variant("hanging", hanging, STREAMED, "the article"),
        Variant("gone", gone, STREAMED, "what people pick", function=True),
    ]
    said: list[str] = []
    compared = Comparison(variants, Surroundings(provider.base_url, tmp_path), provider, said.append)
    try:
        compared.start()
        await compared.one_caller()  # the first asks a host that is gone, and a server that still answers
        await compared.many_callers(SMALL, 2)
        await compared.knees()
        await compared.bursts()
        await compared.cold_starts()
        rows = compared.rows()
    finally:
        compared.close()
        provider.close()
    assert rows[1].missing.startswith(("crashed: killed", "failed: "))
    text = table(rows, (1, 2), []).markdown()
    assert "1 (2 of 3 failed)" in text and "NOT MEASURED: no answer as expected: no end within 2 s" in text
    assert not any(one.running is not None and one.running.alive for one in compared.measured)


def _sockets(port: int) -> str:
    """What the kernel says of who listens there, without a connection, which would count as asking."""
    wanted = f":{port:04X} 00000000:0000 0A"
    return "LISTEN" if wanted in Path("/proc/net/tcp").read_text() else ""


async def test_the_provider_keeps_its_pace_and_notices_who_hangs_up() -> None:
    provider = Provider()
    try:
        body = json.dumps({"model": "post-2k-fast", "stream": True}).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body)
        reader, writer = await asyncio.open_connection("127.0.0.1", provider.port, limit=1 << 20)
        begun_s = time.monotonic()
        writer.write(head + body)
        whole = await reader.readuntil(b"0\r\n\r\n")
        # 300 ms until the first, 679 more at 4,000 a second.
        assert time.monotonic() - begun_s >= 0.3 + 679 / 4_000
        assert whole.count(b'"content":') == 681
        writer.write(head + body)  # the connection is kept
        await reader.readuntil(b'"content":')
        writer.close()
        await writer.wait_closed()
        for _ in range(1_000):
            stats = await provider.stats()
            if stats["hung_up"]:
                break
            await asyncio.sleep(0.01)
        assert stats["requests"] == {"post-2k-fast": 2} and stats["streaming"] == 0
        assert 680 < stats["tokens"]["post-2k-fast"] < 1360
    finally:
        provider.close()
