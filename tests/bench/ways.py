"""The ways from an application to the Runtime API that forwarding compares, each with the processes it needs.

A way that this machine cannot build or run is left out, and said to be: the proxy wants a C compiler, Node's runtime
an environment with its native part. What they run lies in ./peers.
"""

import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.artifacts import PEERS, ROOT
from tests.bench.ends import cpu_s
from tests.bench.script import function_url_event

PAUSE_S = 0.002  # before an invocation, so that it comes to processes that sleep
TIMEOUT_S = 10.0
FRAME_BYTES = len(b"c8\r\n") + 200 + len(b"\r\n")  # as forwarding_app's chunks are framed

FLOOR, OURS, NODE = "blocking socket", "asgiric", "Node, aws-lambda-ric streamifyResponse"
UVICORN = {parser: f"uvicorn ({parser}) + proxy" for parser in ("h11", "httptools")}
# make's environments of those that this one does not have.
PEERS_PYTHON = ROOT / ".venv-peers/bin/python"
NODE_PEERS = ROOT / ".node-peers"


class Way:
    """The processes of one way, and the Runtime API they poll: a server of one invocation at a time."""

    def __init__(self, *commands: list[str], **environ: str) -> None:
        """`environ` is added to Lambda's own variables. Raises RuntimeError when no process polls."""
        self._server = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'shared'}:{ROOT}",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.getsockname()[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": "bench",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/bench",
            "AWS_LAMBDA_LOG_STREAM_NAME": "bench",
            **environ,
        }
        self._processes = [subprocess.Popen(command, env=environment, cwd=PEERS) for command in commands]
        try:
            self._poll, _ = self._read_head(b"GET ")
        except RuntimeError:
            self.close()
            raise

    def invoke(self, count: int, pause_s: float = 0.0) -> tuple[float, list[float]]:
        """Microseconds to the prelude, and of each chunk if they are paced; it has polled before and polls after."""
        event = json.dumps(function_url_event() | {"body": f"{count} {pause_s}"}).encode()
        time.sleep(PAUSE_S)
        answer = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Lambda-Runtime-Aws-Request-Id: 6c1f6c7a-1b1e-4c57-9d52-6f6f3f4d2b10\r\n"
            b"Lambda-Runtime-Deadline-Ms: %d\r\n"
            b"Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0\r\n"
            b"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:f\r\n\r\n%b"
            % (len(event), int((time.time() + TIMEOUT_S) * 1000), event)
        )
        began_ns = time.monotonic_ns()
        self._poll.sendall(answer)
        response, data = self._read_head(b"POST ")
        while b'{"statusCode"' not in data:
            data += _receive(response)
        prelude_us = (time.monotonic_ns() - began_ns) / 1000
        delays_us: list[float] = []
        while not data.endswith(b"\r\n0\r\n\r\n"):
            new = _receive(response)
            now_ns = time.monotonic_ns()
            data = (data if pause_s else data[-7:]) + new
            while pause_s and (start := data.find(b"c8\r\n")) >= 0 and len(data) >= start + FRAME_BYTES:
                delays_us.append((now_ns - int(data[start + 4 : start + 24])) / 1000)
                data = data[start + FRAME_BYTES - 2 :]  # its CRLF stays: the end is looked for with one
        response.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        self._poll, _ = self._read_head(b"GET ")
        return prelude_us, delays_us

    def cpu_s(self) -> float:
        """Spent so far, by all processes."""
        return sum(cpu_s(process.pid) for process in self._processes)

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.wait()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _read_head(self, method: bytes) -> tuple[socket.socket, bytes]:
        """The connection on which the next call comes, and what came behind its head."""
        while True:
            ready = self._selector.select(TIMEOUT_S)
            if not ready:
                raise RuntimeError(f"expected {method!r} within {TIMEOUT_S} s")
            connection = ready[0][0].fileobj
            assert isinstance(connection, socket.socket)
            if connection is self._server:
                connection, _ = self._server.accept()
                connection.settimeout(TIMEOUT_S)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._selector.register(connection, selectors.EVENT_READ)
            elif data := connection.recv(262_144):
                while b"\r\n\r\n" not in data:
                    data += _receive(connection)
                if not data.startswith(method):
                    raise RuntimeError(f"expected {method!r}, got {data[:300]!r}")
                return connection, data.partition(b"\r\n\r\n")[2]
            else:
                self._selector.unregister(connection)
                connection.close()


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(262_144)
    if not data:
        raise RuntimeError("the connection ended within a call")
    return data


def start_ways(folder: Path, missing: list[str]) -> dict[str, Way]:
    """Start all that this machine has, by name, with what is built in `folder`; `missing` gets a line for each other."""
    ways = {
        FLOOR: Way([sys.executable, "-m", "tests.bench.peers.blocking_sender"]),
        OURS: Way([sys.executable, "-m", "asgiric"], _HANDLER="forwarding_app.app"),
    }
    return ways | _uvicorns(folder, missing) | _node(missing)


def _uvicorns(folder: Path, missing: list[str]) -> dict[str, Way]:
    """uvicorn behind the proxy, with each of its parsers that an environment has."""
    compiler = shutil.which("cc")
    if compiler is None:
        missing.append("NOT MEASURED: uvicorn + proxy, since there is no C compiler (cc) to build the proxy.")
        return {}
    proxy = str(folder / "proxy")
    subprocess.run([compiler, "-O2", "-D_GNU_SOURCE", "-o", proxy, str(PEERS / "proxy.c")], check=True)
    ways = {}
    for parser, name in UVICORN.items():
        imports = f"import uvicorn, {parser}"
        pythons = [
            python
            for python in (sys.executable, str(PEERS_PYTHON))
            if shutil.which(python)
            and subprocess.run([python, "-c", imports], capture_output=True).returncode == 0
        ]
        if not pythons:
            missing.append(f"NOT MEASURED: {name}, since no environment has both uvicorn and {parser}.")
            continue
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        server = [pythons[0], "-m", "uvicorn", "forwarding_app:app", "--port", port, "--http", parser]
        server += ["--loop", "asyncio", "--lifespan", "off", "--no-access-log", "--log-level", "warning"]
        ways[name] = Way(server, [proxy], PORT=port)
    return ways


def _node(missing: list[str]) -> dict[str, Way]:
    """Node's runtime, where it is installed and starts."""
    runtime = NODE_PEERS / "node_modules/aws-lambda-ric/index.mjs"
    node = shutil.which("node")
    if node is None or not runtime.with_name("rapid-client.node").exists():
        what = "node" if node is None else "aws-lambda-ric with its native part (make .node-peers/.installed)"
        missing.append(f"NOT MEASURED: {NODE}, since there is no {what}.")
        return {}
    task = str(PEERS / "node")
    try:
        return {NODE: Way([node, str(runtime)], LAMBDA_TASK_ROOT=task, _HANDLER="handler.handler")}
    except RuntimeError as error:  # a version of Node that it does not run on, which it says above
        missing.append(f"NOT MEASURED: {NODE}: {error}.")
        return {}
