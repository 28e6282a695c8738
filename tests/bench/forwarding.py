"""Forwarding: from ASGI `send` to the byte at the Runtime API, against a blocking socket; CPU per chunk.

Prints one JSON object. Each sender is a process of its own that stamps every chunk with CLOCK_MONOTONIC, which
all processes share; the receiver is a blocking reader in this one, so that both ways have the same reader.
The ways take turns in short rounds, since a shared machine's mood changes more between minutes than between
rounds; figures are medians of the rounds, ratios are medians of each round's own ratio.

    python -m tests.bench.forwarding [--rounds 7]
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHUNKS, PAUSE_S, BURST = 150, 0.002, 20_000
SHORT_INVOCATIONS = 30  # of one chunk, for the time to the prelude
PADDING = b"x" * 180  # an SSE event of a usual delta is about 200 bytes

# Both senders stamp a chunk the moment before they hand it over.
APPLICATION = """
import asyncio, resource, time
from tests.bench.forwarding import BURST, CHUNKS, PADDING, PAUSE_S

def cpu():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime

async def app(scope, receive, send):
    assert scope["type"] == "http"
    wanted = (await receive())["body"]
    burst = wanted == b"burst"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    began = cpu()
    for _ in range({b"burst": BURST, b"paced": CHUNKS, b"short": 1}[wanted]):
        if not burst:
            await asyncio.sleep(PAUSE_S)
        data = b"%020d" % time.monotonic_ns() + PADDING
        await send({"type": "http.response.body", "body": data, "more_body": True})
    spent = cpu() - began
    await send({"type": "http.response.body", "body": b"cpu %.9f" % spent, "more_body": False})
"""

BLOCKING = """
import resource, socket, sys, time
from tests.bench.forwarding import BURST, CHUNKS, PADDING, PAUSE_S

def cpu():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime

host, port = sys.argv[1].split(":")
connection = socket.create_connection((host, int(port)))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while True:
    connection.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n")
    event = connection.recv(65536)
    burst = b"burst" in event
    prelude = b'{"statusCode":200,"headers":{}}' + bytes(8)
    connection.sendall(b"POST /2018-06-01/runtime/invocation/1/response HTTP/1.1\\r\\nHost: h\\r\\n"
                       b"Transfer-Encoding: chunked\\r\\n\\r\\n%x\\r\\n%b\\r\\n" % (len(prelude), prelude))
    began = cpu()
    for _ in range(BURST if burst else CHUNKS if b"paced" in event else 1):
        if not burst:
            time.sleep(PAUSE_S)
        data = b"%020d" % time.monotonic_ns() + PADDING
        connection.sendall(b"%x\\r\\n%b\\r\\n" % (len(data), data))
    data = b"cpu %.9f" % (cpu() - began)
    connection.sendall(b"%x\\r\\n%b\\r\\n0\\r\\n\\r\\n" % (len(data), data))
    connection.recv(65536)
"""


class Receiver:
    """A Runtime API of one blocking connection."""

    def __init__(self, command: list[str], folder: str, **environ: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.address = f"127.0.0.1:{server.getsockname()[1]}"
            self._process = subprocess.Popen(
                [*command, *([self.address] if command[-1] == BLOCKING else [])],
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": f"{ROOT / 'shared'}:{ROOT}:{folder}",
                    "AWS_LAMBDA_RUNTIME_API": self.address,
                    **environ,
                },
            )
            self._connection, _ = server.accept()
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _read_head(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._connection.recv(1 if len(head) else 4096)

    def invoke(self, what: str) -> tuple[float, list[float], float]:
        """us to the prelude, us of each chunk, CPU us per chunk."""
        self._read_head()
        event = json.dumps(
            {
                "version": "2.0",
                "rawPath": "/",
                "requestContext": {"http": {"method": "POST"}},
                "body": what,
            }
        ).encode()
        if what == "short":
            time.sleep(PAUSE_S)  # an invocation comes to a process that sleeps
        deadline_ms = int(time.time() * 1000) + 60_000
        began_ns = time.monotonic_ns()
        self._connection.sendall(
            b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\nLambda-Runtime-Deadline-Ms: %d\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (deadline_ms, len(event), event)
        )
        prelude_us, delays_us, cpu_us = 0.0, [], 0.0
        buffer = b""
        count = {"burst": BURST, "paced": CHUNKS, "short": 1}[what]
        while not buffer.endswith(b"\r\n0\r\n\r\n"):
            data = self._connection.recv(262_144)
            now_ns = time.monotonic_ns()
            if not prelude_us and b'{"statusCode"' in buffer + data:
                prelude_us = (now_ns - began_ns) / 1000
            if what == "burst":
                buffer = (buffer + data)[-300:]
                continue
            buffer += data
            while (start := buffer.find(b"c8\r\n")) >= 0 and len(buffer) >= start + 206:
                delays_us.append((now_ns - int(buffer[start + 4 : start + 24])) / 1000)
                buffer = buffer[start + 206 :]
        cpu_us = float(buffer.partition(b"cpu ")[2][:11]) * 1e6 / count
        self._connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        return prelude_us, delays_us, cpu_us


def rounds(receivers: dict[str, Receiver], count: int) -> Iterator[dict[str, dict[str, float]]]:
    for number in range(count + 1):
        measured: dict[str, dict[str, float]] = {}
        for name, receiver in receivers.items():
            _, delays_us, _ = receiver.invoke("paced")
            prelude_us = statistics.median(receiver.invoke("short")[0] for _ in range(SHORT_INVOCATIONS))
            _, _, cpu_us = receiver.invoke("burst")
            measured[name] = {
                "send_to_byte_p50_us": statistics.median(delays_us),
                "send_to_byte_p99_us": sorted(delays_us)[int(len(delays_us) * 0.99)],
                "invoke_to_prelude_us": prelude_us,
                "cpu_us_per_chunk": cpu_us,
            }
        if number:  # the first round warms up
            yield measured


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    count = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "forwarding_app.py").write_text(APPLICATION)
        start = "import os, sys, asgiric.runtime; sys.exit(asgiric.runtime.main(os.environ))"
        receivers = {
            "blocking socket": Receiver([sys.executable, "-c", BLOCKING], folder),
            "asgiric": Receiver([sys.executable, "-c", start], folder, _HANDLER="forwarding_app.app"),
        }
        try:
            measured = list(rounds(receivers, count))
        finally:
            for receiver in receivers.values():
                receiver.close()
    names = measured[0]["asgiric"]
    figures = {
        way: {name: round(statistics.median(one[way][name] for one in measured), 1) for name in names}
        for way in receivers
    }
    ratios = {
        name: round(
            statistics.median(one["asgiric"][name] / one["blocking socket"][name] for one in measured), 2
        )
        for name in names
    }
    print(json.dumps({"rounds": count, **figures, "ratio to the blocking socket": ratios}, indent=2))


if __name__ == "__main__":
    main()
