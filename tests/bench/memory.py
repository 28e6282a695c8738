"""Memory of many streams in one environment: AWS_LAMBDA_MAX_CONCURRENCY=N, as on Lambda Managed Instances.

Ours serves N invocations from one process, awslambdaric forks a process for each (behind it FastAPI, Mangum and
httpx, which do less and stream nothing). The provider keeps all streams open until each has all its deltas; then the
memory of all processes is added up, pages that they share once (Pss). The peak is the kernel's high-water mark.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.artifacts import PEERS, ROOT
from tests.bench.script import blog_post, deltas, function_url_event, sse_events
from tests.bench.tables import Bound, Table

STREAMS, PROCESSES = 64, 8
SECTIONS, PACE_S = 7, 0.02  # some 200 deltas in 4 s
TIMEOUT_S = 60.0
RATIO_BOUND = 1.5
OURS, FORKS = "asgiric, generate", "awslambdaric, Mangum + FastAPI"


@dataclass
class Ends:
    """The Runtime API and the provider of one environment with `count` invocations, all at once."""

    count: int
    runtime_api: str = ""
    provider: str = ""
    whole: int = 0  # responses with the document's end in them
    _served: int = 0

    def __post_init__(self) -> None:
        """One gate for each thing that all `count` have to reach before any goes on."""
        self.polled, self.asked, self.held, self.answered = (_Gate(self.count) for _ in range(4))
        self.released = asyncio.Event()
        self._chunks = list(sse_events(deltas(blog_post(SECTIONS))))

    async def serve_runtime_api(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: polls and responses in turn; after `count` invocations polls wait."""
        while head := await _head(reader):
            if head.startswith(b"GET "):
                self.polled.reach()
                await self.polled.wait()
                if self._served == self.count:
                    continue
                self._served += 1
                body = json.dumps(function_url_event()).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                    b"Lambda-Runtime-Aws-Request-Id: request-%d\r\nLambda-Runtime-Deadline-Ms: %d\r\n"
                    b"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:f\r\n"
                    b"\r\n%b" % (len(body), self._served, int((time.time() + TIMEOUT_S) * 1000), body)
                )
            else:
                body = await _body(reader, head)
                self.whole += b"https://example.org" in body
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
                self.answered.reach()

    async def serve_provider(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One stream, begun and ended together with all others."""
        await _body(reader, await _head(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        self.asked.reach()
        await self.asked.wait()
        for chunk in self._chunks[:-3]:
            writer.write(chunk)
            await asyncio.sleep(PACE_S)
        self.held.reach()
        await self.released.wait()
        writer.write(b"".join(self._chunks[-3:]))
        writer.close()


class _Gate:
    """Opens when so many have reached it."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._open = asyncio.Event()

    def reach(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._open.set()

    async def wait(self) -> None:
        await self._open.wait()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if length := re.search(rb"(?i)content-length: (\d+)", head):
        return await reader.readexactly(int(length[1]))
    body = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return bytes(body)


async def _measure(command: list[str], task: Path, count: int) -> tuple[float, float]:
    """MB of all processes while all streams are open, and the peak of the first process."""
    ends = Ends(count)
    # Every poller connects at once.
    front = await asyncio.start_server(ends.serve_runtime_api, "127.0.0.1", 0, backlog=256)
    back = await asyncio.start_server(ends.serve_provider, "127.0.0.1", 0, backlog=256)
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT / "shared"),
        "_HANDLER": "app.app",
        "LAMBDA_TASK_ROOT": str(task),
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{front.sockets[0].getsockname()[1]}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances",
        "AWS_LAMBDA_MAX_CONCURRENCY": str(count),
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048",
        "AWS_REGION": "us-east-1",
        "POWERTOOLS_METRICS_NAMESPACE": "Weir",
        "WEIR_UPSTREAM_BASE_URL": f"http://127.0.0.1:{back.sockets[0].getsockname()[1]}/v1",
        "WEIR_UPSTREAM_MODEL": "test-model",
    }
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - asyncio's own would watch it from this loop
            command, cwd=task, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await ends.held.wait()
                open_mb = sum(_figure_mb(f"/proc/{pid}/smaps_rollup", "Pss") for pid in _tree(process.pid))
                ends.released.set()
                await ends.answered.wait()
            peak_mb = _figure_mb(f"/proc/{process.pid}/status", "VmHWM")
        except TimeoutError:
            output.seek(0)
            raise RuntimeError(
                f"{command}: {count} streams did not end in {TIMEOUT_S} s; it printed {output.read()!r}"
            ) from None
        finally:
            for pid in reversed(_tree(process.pid)):
                os.kill(pid, 9)
            process.wait()
            front.close()
            back.close()
        if ends.whole != count:
            output.seek(0)
            raise RuntimeError(
                f"expected {count} documents, got {ends.whole}; it printed {output.read()[:2000]!r}"
            )
    return open_mb, peak_mb


def _tree(pid: int) -> list[int]:
    """A process, then its children and theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for child in children for below in _tree(int(child)))]


def _figure_mb(path: str, name: str) -> float:
    return int(re.search(rf"^{name}:\s+(\d+) kB", Path(path).read_text(), re.MULTILINE)[1]) / 1024  # type: ignore[index]


def run() -> list[Table]:
    """One environment after the other, each with new processes."""
    bootstrap = ROOT / "functions/generate/bootstrap"
    ours = ([str(bootstrap), sys.executable, "bootstrap.py"], bootstrap.parent)
    forks = ([sys.executable, "-m", "awslambdaric", "app.handler"], PEERS / "fastapi_mangum")
    rows: list[tuple[str, int, float, float | None, float]] = []
    peaks: list[float] = []
    for name, command, counts in ((OURS, ours, (1, STREAMS)), (FORKS, forks, (1, PROCESSES))):
        one_mb = 0.0
        for count in counts:
            open_mb, peak_mb = asyncio.run(_measure(*command, count))
            one_mb = one_mb or open_mb
            if name == OURS:
                peaks.append(peak_mb)
            rows.append((name, count, open_mb, peak_mb if name == OURS else None, open_mb / one_mb))
    return [
        Table(
            f"Memory of concurrent streams, {len(deltas(blog_post(SECTIONS)))} deltas each",
            ("way", "streams", "all open, MB", "peak, MB", "x of one, all open"),
            rows,
            (Bound(f"peak memory, {STREAMS} streams / one", peaks[1] / peaks[0], RATIO_BOUND),),
            (
                f"awslambdaric is measured with {PROCESSES} processes, since {STREAMS} need more memory than it is worth;",
                "it forks before the application is imported, so each more stream costs as much as the one before.",
            ),
        )
    ]
