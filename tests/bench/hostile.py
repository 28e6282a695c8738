"""Neighbours of a hostile stream: 64 in one process, one of them a megabyte of nonsense or an answer without end.

The service runs as its container's process does. Sixty-three callers stream documents at 25 deltas a second; their
provider and they are here, on one loop, so that each delta has the instant at which it was sent and that at which it came.
The hostile caller and its provider are a process of their own, at a lower priority: what is measured is how the service
shares its loop, not how the machine shares its cores. The gap is the time between two deltas of one stream.
"""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.artifacts import ROOT
from tests.bench.hostile_ends import BODIES, ENDLESS, http
from tests.bench.script import blog_post, deltas, sse_events
from tests.bench.tables import Bound, Cell, Table, percentile

NEIGHBOURS, PACE_S, ROUNDS = 63, 0.04, 2
LIMIT_S = 4.0  # then a hostile caller hangs up, whatever the answer still does
SECTIONS = 2  # some 80 deltas in 3 s
GAP_BOUND, LATE_MS, BODY_MS, EARLY_MS, BODY_MB, STREAM_MB = 2.0, 25.0, 100.0, 20.0, 32.0, 64.0
# Too large to be read, and not of the size or shape that a count tells: these are told before they are parsed.
EARLY = frozenset({"objects", "turns", "include", "members", "depth", "too large"})


@dataclass
class Neighbours:
    """The well-behaved: their provider, they themselves, and what they saw, in ms."""

    gaps_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    whole: int = 0
    _sent_s: dict[str, list[float]] = field(default_factory=dict)

    async def provide(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One document, each delta at its instant."""
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        name = json.loads(await reader.readexactly(size))["messages"][-1]["content"]
        sent = self._sent_s[name] = []
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        began = time.perf_counter()
        for number, event in enumerate(sse_events(deltas(blog_post(SECTIONS)))):
            await asyncio.sleep(max(0.0, began + number * PACE_S - time.perf_counter()))
            sent.append(time.perf_counter())
            writer.write(event)
        writer.close()

    async def ask(self, port: int, name: str) -> None:
        """One caller."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps(
            {"prompt": name, "model": "paced", "schema": "blog_post", "include": ["delta"]}
        ).encode()
        writer.write(http(port, body, "text/event-stream"))
        tail, came, last_s = b"", 0, 0.0
        mark = b"event: delta"
        while data := await reader.read(65_536):
            now_s = time.perf_counter()
            tail += data
            found = tail.count(mark)
            self.whole += tail.count(b"event: done")
            tail = (
                tail[max(tail.rfind(mark) + len(mark), len(tail) - len(mark)) :]
                if found
                else tail[-len(mark) :]
            )
            for _ in range(found):
                self.late_ms.append((now_s - self._sent_s[name][came]) * 1e3)
                came += 1
            if found:
                if last_s:
                    self.gaps_ms.append((now_s - last_s) * 1e3)
                last_s = now_s
        writer.close()


class Service:
    """generate's process, whose provider for `paced` is here and for `hostile` elsewhere."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.port = port
        self._process = process

    def memory_mb(self, name: str) -> float:
        """A figure of the kernel's: VmRSS now, VmHWM the most since `forget_peak`."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)[1]) / 1024  # type: ignore[index]

    def forget_peak(self) -> None:
        """Begin the high-water mark anew."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")


@contextmanager
def _service(paced: int, hostile: int) -> Iterator[Service]:
    models = {
        name: {"base_url": f"http://127.0.0.1:{port}/v1", "model": "m", "provider": "simulator"}
        for name, port in (("paced", paced), ("hostile", hostile))
    }
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT / 'shared'}:{ROOT / 'functions/generate'}",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WEIR_AUTHENTICATED_BY": "nobody",
        "WEIR_MODELS": json.dumps({"models": models}),
        "AWS_REGION": "us-east-1",
        "POWERTOOLS_METRICS_NAMESPACE": "Weir",
    }
    command = [sys.executable, str(ROOT / "infra/container/serve.py")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Service(process, port)
    finally:
        process.kill()
        process.wait()


class Hostile:
    """The other side's process."""

    def __init__(self, process: "asyncio.subprocess.Process") -> None:
        self._process = process

    async def read(self) -> Any:
        """Its next line."""
        assert self._process.stdout is not None
        return json.loads(await self._process.stdout.readline())

    async def run(
        self, service: Service, kind: str, seconds: float, accept: str = "text/event-stream"
    ) -> tuple[int, float]:
        """How many requests of a kind it made in that time, and how long the shortest took, in ms."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([service.port, kind, seconds, LIMIT_S, accept]).encode() + b"\n")
        count, least_ms = await self.read()
        return count, least_ms


async def _beside(service: Service, hostile: Hostile, neighbours: Neighbours, kind: str | None) -> None:
    """All neighbours stream; where there is a kind, it happens meanwhile, again and again."""
    duration_s = len(deltas(blog_post(SECTIONS))) * PACE_S
    work = [neighbours.ask(service.port, f"{kind} {number}") for number in range(NEIGHBOURS)]
    attack = [hostile.run(service, kind, duration_s)] if kind else []
    await asyncio.gather(*work, *attack)
    if neighbours.whole != NEIGHBOURS:
        raise RuntimeError(f"{kind}: expected {NEIGHBOURS} documents, got {neighbours.whole}")


async def _measure() -> list[Table]:
    here = Neighbours()

    async def provide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await here.provide(reader, writer)

    provider = await asyncio.start_server(provide, "127.0.0.1", 0, backlog=256)
    other = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.hostile_ends",
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.nice(15),
    )
    hostile = Hostile(other)
    paced_port = provider.sockets[0].getsockname()[1]
    with _service(paced_port, await hostile.read()) as service:
        await _until_up(service)

        async def beside(kind: str | None) -> Neighbours:
            nonlocal here
            here = Neighbours()
            await _beside(service, hostile, here, kind)
            return here

        await beside(None)  # everything that is made once is made
        idle_mb = service.memory_mb("VmRSS")
        seen: dict[str | None, list[Neighbours]] = {}
        for _ in range(ROUNDS):
            for kind in (None, *BODIES, *ENDLESS):
                seen.setdefault(kind, []).append(await beside(kind))
        tables = [
            _neighbours(seen),
            await _bodies(service, hostile, idle_mb),
            await _endless(service, hostile, idle_mb),
        ]
    other.terminate()
    await other.wait()
    provider.close()
    return tables


async def _until_up(service: Service) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", service.port)
            except ConnectionError:
                await asyncio.sleep(0.05)  # another program's start sends no event
            else:
                writer.close()
                return


def _neighbours(seen: dict[str | None, list[Neighbours]]) -> Table:
    # Of the rounds the one that others on the machine disturbed least, as everywhere here.
    gap_ms = {kind: min(percentile(one.gaps_ms, 99) for one in rounds) for kind, rounds in seen.items()}
    late_ms = {kind: min(percentile(one.late_ms, 99) for one in rounds) for kind, rounds in seen.items()}
    last_ms = {kind: min(max(one.late_ms) for one in rounds) for kind, rounds in seen.items()}
    rows: list[tuple[Cell, ...]] = [
        (kind or "(quiet)", gap_ms[kind], gap_ms[kind] / gap_ms[None], late_ms[kind], last_ms[kind])
        for kind in seen
    ]
    worst = max((*BODIES, *ENDLESS), key=lambda kind: gap_ms[kind])
    body = max(BODIES, key=lambda kind: last_ms[kind])
    return Table(
        f"{NEIGHBOURS} streams beside a hostile one",
        ("hostile", "gap, p99 ms", "x of quiet", "late, p99 ms", "late, max ms"),
        rows,
        (
            Bound(
                f"p99 gap beside a hostile stream ({worst}) / quiet", gap_ms[worst] / gap_ms[None], GAP_BOUND
            ),
            Bound(
                f"a neighbour's latest token beside a megabyte ({body}), later than without",
                last_ms[body] - last_ms[None],
                LATE_MS,
                "ms",
            ),
        ),
    )


async def _bodies(service: Service, hostile: Hostile, idle_mb: float) -> Table:
    rows: list[tuple[Cell, ...]] = []
    grown: dict[str, float] = {}
    took: dict[str, float] = {}
    for kind in BODIES:
        service.forget_peak()
        _, took[kind] = await hostile.run(service, kind, 0.5)
        grown[kind] = service.memory_mb("VmHWM") - idle_mb
        rows.append((kind, took[kind], "early" if kind in EARLY else "parsed", grown[kind]))
    early = max((kind for kind in BODIES if kind in EARLY), key=lambda kind: took[kind])
    parsed = max((kind for kind in BODIES if kind not in EARLY), key=lambda kind: took[kind])
    large = max(grown, key=lambda kind: grown[kind])
    return Table(
        "A body of a megabyte, refused",
        ("body", "least ms", "told", "memory, MB above idle"),
        rows,
        (
            Bound(f"refused by a limit that tells early ({early})", took[early], EARLY_MS, "ms"),
            Bound(f"refused once parsed ({parsed})", took[parsed], BODY_MS, "ms"),
            Bound(f"memory of a body ({large})", grown[large], BODY_MB, "MB"),
        ),
        ("From the first byte sent to the last byte of the answer, over a connection of its own.",),
    )


async def _endless(service: Service, hostile: Hostile, idle_mb: float) -> Table:
    rows: list[tuple[Cell, ...]] = []
    grown: dict[str, float] = {}
    for kind in ENDLESS:
        for accept in ("text/event-stream", "application/json"):
            service.forget_peak()
            _, took_ms = await hostile.run(service, kind, 0.0, accept)
            name = f"{kind}, {'events' if 'event' in accept else 'one object'}"
            grown[name] = service.memory_mb("VmHWM") - idle_mb
            rows.append(
                (
                    name,
                    f"{took_ms / 1e3:.1f}" if took_ms < LIMIT_S * 1e3 else f"not in {LIMIT_S:g}",
                    grown[name],
                )
            )
    worst = max(grown, key=lambda name: grown[name])
    return Table(
        "An answer without end, at the usual caps",
        ("answer", "ended after s", "memory, MB above idle"),
        rows,
        (Bound(f"peak memory of an endless stream ({worst}) above idle", grown[worst], STREAM_MB, "MB"),),
    )


def run() -> list[Table]:
    """One service, all kinds."""
    return asyncio.run(_measure())
