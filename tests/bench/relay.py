"""Added latency: from a chunk that the provider writes to the same chunk at the Runtime API.

Ours is the whole path: httpx, the event decoder, validation of a blog post, asgiric. It is held against a process
that copies bytes between two blocking sockets, with and without TLS on the provider's side. Both ends are threads with
blocking sockets in this process. The provider answers as they do: in HTTP chunks, each with one delta of 16 characters,
over a connection that it keeps. Chunks come paced, so that each wakes every process on the way from sleep, or all as
fast as they are taken, for the CPU that a chunk costs. What a request costs apart from its chunks is told by documents
of two lengths, several of each in turn: one request alone says more of what ran before it. Rounds take turns.
"""

import json
import re
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.artifacts import PEERS, ROOT
from tests.bench.certificates import Certificates, make_certificates
from tests.bench.ends import cpu_s
from tests.bench.script import blog_post, deltas, function_url_event, sse_events
from tests.bench.tables import Bound, Table, percentile, spread

ROUNDS = 12
SECTIONS = 7  # some 200 deltas
PACE_S = 0.005
TIMEOUT_S = 60.0
LONG_SECTIONS = 21
BURSTS = 5  # of each length a round
RATIO_BOUND, TLS_RATIO_BOUND, FIXED_MS_BOUND = 2.2, 2.0, 2.0
FLOOR, OURS = "blocking sockets, bytes copied", "ours"


@dataclass
class Figures:
    """Of one process, one figure a round."""

    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    paced_cpu_us: list[float] = field(default_factory=list)
    burst_cpu_us: list[float] = field(default_factory=list)
    fixed_cpu_ms: list[float] = field(default_factory=list)


class Ends:
    """The provider and the Runtime API for one process, as threads that block; one invocation at a time."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.ended_s = 0.0  # when the last response was whole
        self.front = socket.create_server(("127.0.0.1", 0))
        self.back = socket.create_server(("127.0.0.1", 0))
        for server in (self.front, self.back):
            server.settimeout(TIMEOUT_S)
        self.runtime_api = f"127.0.0.1:{self.front.getsockname()[1]}"
        self.provider = f"127.0.0.1:{self.back.getsockname()[1]}"
        self._next: socket.socket | None = None
        self._kept: socket.socket | None = None  # to the provider, after an answer

    def wait_for_poll(self) -> None:
        """Until the process asks for an invocation."""
        if self._next is None:
            self._next, _ = self.front.accept()
            self._next.settimeout(TIMEOUT_S)
            self._next.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        while b"\r\n\r\n" not in data:
            part = self._next.recv(65_536)
            if not part:  # a process that polls on a new connection
                self._next.close()
                self._next = None
                return self.wait_for_poll()
            data += part

    def invoke(
        self,
        chunks: list[bytes],
        marker: bytes,
        end: bytes,
        pace_s: float,
        first_s: float = 0.0,
        event: dict[str, Any] | None = None,
    ) -> tuple[list[float], list[float]]:
        """Run one invocation: when each chunk left the provider, and when each marker came to the Runtime API.

        The process has polled before, and has polled again when this returns. A response without `end` in it is no
        whole one, and raises.
        """
        sent_s: list[float] = []
        provider = threading.Thread(target=self._provide, args=(chunks, pace_s, sent_s, first_s))
        provider.start()
        assert self._next is not None
        body = json.dumps(event or function_url_event()).encode()
        deadline_ms = int((time.time() + TIMEOUT_S) * 1000)
        self._next.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Lambda-Runtime-Aws-Request-Id: 6c1f6c7a\r\nLambda-Runtime-Deadline-Ms: %d\r\n"
            b"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:f\r\n\r\n%b"
            % (len(body), deadline_ms, body)
        )
        arrived_s: list[float] = []
        tail = everything = b""
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            data = self._next.recv(262_144)
            now_s = time.perf_counter()
            if not data:
                raise RuntimeError(f"the response broke off: {everything[-500:]!r}")
            everything += data
            searched = tail + data
            # What was counted before ends in front of the tail's last marker-sized part.
            arrived_s += [now_s] * (searched.count(marker) - tail.count(marker))
            tail = searched[-max(len(marker) - 1, 7) :]
        self.ended_s = time.perf_counter()
        self._next.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}")
        provider.join()
        if end not in everything:
            raise RuntimeError(f"expected a whole document, got {everything[-500:]!r}")
        self.wait_for_poll()
        return sent_s, arrived_s

    def _provide(self, chunks: list[bytes], pace_s: float, sent_s: list[float], first_s: float) -> None:
        connection, data = self._asked()
        head, _, rest = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        missing = int(length[1]) - len(rest) if length else 0
        while missing > 0:
            missing -= len(connection.recv(65_536))
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        framed = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
        time.sleep(first_s)
        due_s = time.perf_counter()
        for chunk in framed:
            if pace_s:
                due_s += pace_s
                time.sleep(max(0.0, due_s - time.perf_counter()))
            sent_s.append(time.perf_counter())
            connection.sendall(chunk)
        connection.sendall(b"0\r\n\r\n")
        self._kept = connection

    def _asked(self) -> tuple[socket.socket, bytes]:
        """The connection on which a request comes, the kept one or a new one, and the request's head."""
        if (kept := self._kept) is not None:
            select.select([kept, self.back], [], [], TIMEOUT_S)
            with suppress(OSError):
                if kept in select.select([kept], [], [], 0)[0] and (data := kept.recv(65_536)):
                    return kept, self._whole_head(kept, data)
            kept.close()
            self._kept = None
        connection, _ = self.back.accept()
        connection.settimeout(TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        return connection, self._whole_head(connection, b"")

    @staticmethod
    def _whole_head(connection: socket.socket, data: bytes) -> bytes:
        while b"\r\n\r\n" not in data:
            data += connection.recv(65_536)
        return data

    def close(self) -> None:
        """Stop listening."""
        for server in (self.front, self.back, self._next, self._kept):
            if server is not None:
                server.close()


class Process:
    """A relay that has started and polled."""

    def __init__(
        self,
        command: list[str],
        task: Path,
        marker: bytes,
        end: bytes,
        certificates: Certificates | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._marker = marker
        self._end = end
        self.ends = Ends(certificates.server if certificates else None)
        scheme, port = ("https", self.ends.provider.rpartition(":")[2]) if certificates else ("http", "")
        provider = f"localhost:{port}" if certificates else self.ends.provider
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT / "shared"),
            "_HANDLER": "app.app",
            "LAMBDA_TASK_ROOT": str(task),
            "AWS_LAMBDA_RUNTIME_API": self.ends.runtime_api,
            "AWS_LAMBDA_FUNCTION_NAME": "bench",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "POWERTOOLS_METRICS_NAMESPACE": "Weir",
            "WEIR_UPSTREAM_BASE_URL": f"{scheme}://{provider}/v1",
            "WEIR_UPSTREAM_MODEL": "test-model",
            **(variables or {}),
        }
        if certificates:
            environment["SSL_CERT_FILE"] = str(certificates.trusted)
        self._output = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            command, cwd=task, env=environment, stdout=self._output, stderr=subprocess.STDOUT
        )
        self.ends.wait_for_poll()

    def measure(self, chunks: list[bytes], pace_s: float) -> tuple[list[float], float]:
        """Latency of each delta, and CPU per delta, in microseconds."""
        deltas_sent = len(chunks) - 3
        before_s = cpu_s(self._process.pid)
        sent_s, arrived_s = self.ends.invoke(chunks, self._marker, self._end, pace_s)
        cpu_us = (cpu_s(self._process.pid) - before_s) / deltas_sent * 1e6
        if len(arrived_s) < deltas_sent:
            self._output.seek(0)
            raise RuntimeError(
                f"expected {deltas_sent} deltas, got {len(arrived_s)}; it printed {self._output.read()[-2000:]!r}"
            )
        pairs = zip(sent_s[:deltas_sent], arrived_s[:deltas_sent], strict=True)
        return [(arrived - sent) * 1e6 for sent, arrived in pairs], cpu_us

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def close(self) -> None:
        """End the process; raises where it logged an error of its own, whose work is none of a request's."""
        self._process.kill()
        self._process.wait()
        self.ends.close()
        with self._output as output:
            output.seek(0)
            errors = [line for line in output.read().splitlines() if b'"level":"ERROR"' in line]
        if errors:
            raise RuntimeError(f"expected no error, got {len(errors)}, the first {errors[0][:500]!r}")


def run() -> list[Table]:
    """Alternate rounds between the two processes, without TLS and with it."""
    with tempfile.TemporaryDirectory() as name:
        certificates = make_certificates(Path(name))
        return [_measured(None, RATIO_BOUND), _measured(certificates, TLS_RATIO_BOUND)]


def _measured(certificates: Certificates | None, bound: float) -> Table:
    chunks, long = (list(sse_events(deltas(blog_post(count)))) for count in (SECTIONS, LONG_SECTIONS))
    bootstrap = ROOT / "functions/generate/bootstrap"
    commands = {
        FLOOR: ([sys.executable, str(PEERS / "blocking_relay.py")], PEERS, b"data: {", b"data: [DONE]"),
        OURS: (
            [str(bootstrap), sys.executable, "bootstrap.py"],
            bootstrap.parent,
            b"event: delta",
            b"event: done",
        ),
    }
    figures = {name: Figures() for name in commands}
    processes = {name: Process(*command, certificates) for name, command in commands.items()}
    try:
        for number in range(ROUNDS + 1):
            # In turn, and each as often first: what comes after the other finds the caches differently.
            for name, process in sorted(processes.items(), reverse=bool(number % 2)):
                paced_us, paced_cpu_us = process.measure(chunks, PACE_S)
                bursts = [[process.measure(each, 0.0)[1] for each in (chunks, long)] for _ in range(BURSTS)]
                burst_cpu_us, long_cpu_us = (median(each) for each in zip(*bursts, strict=True))
                if number:  # the first round is each process's cold start
                    of = figures[name]
                    of.p50_us.append(percentile(paced_us, 50))
                    of.p99_us.append(percentile(paced_us, 99))
                    of.paced_cpu_us.append(paced_cpu_us)
                    of.burst_cpu_us.append(burst_cpu_us)
                    short, more = len(chunks) - 3, len(long) - len(chunks)
                    each_us = (long_cpu_us * (len(long) - 3) - burst_cpu_us * short) / more
                    of.fixed_cpu_ms.append((burst_cpu_us - each_us) * short / 1e3)
    finally:
        for process in processes.values():
            process.close()
    rows = [
        (
            name,
            spread(of.p50_us),
            spread(of.p99_us),
            spread(of.paced_cpu_us),
            spread(of.burst_cpu_us),
            spread(of.fixed_cpu_ms, 2),
        )
        for name, of in figures.items()
    ]
    # Round by round: what else the machine does in a round falls on both.
    ratios = [ours / floor for ours, floor in zip(figures[OURS].p50_us, figures[FLOOR].p50_us, strict=True)]
    over = " over TLS" if certificates else ""
    bounds = [
        Bound(f"relay latency{over}, p50, ours / blocking sockets, median of rounds", median(ratios), bound)
    ]
    if not certificates:
        fixed_ms = median(figures[OURS].fixed_cpu_ms)
        bounds.append(Bound("CPU of a request, apart from its chunks", fixed_ms, FIXED_MS_BOUND, "ms"))
    return Table(
        f"Relay{over}, provider's chunk to the Runtime API, {len(chunks) - 3} chunks, one each {PACE_S * 1e3:g} ms",
        ("way", "p50 us", "p99 us", "CPU us/chunk", "CPU us/chunk back to back", "CPU ms/request fixed"),
        rows,
        bounds,
        (f"{ROUNDS} rounds of each in turn, minimum (median). Ratios of p50: {spread(ratios, 2)}.",),
    )
