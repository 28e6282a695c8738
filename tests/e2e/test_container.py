"""The container without its engine: the folder that the Dockerfile lays out, and the command that it starts."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local.simulator import Simulator
from tests.functional.generate.door import facts
from tests.unit.cloudformation import ROOT

DOCKERFILE = (ROOT / "infra/container/Dockerfile").read_text()
START_TIMEOUT_S = 30.0
REQUEST = {"prompt": "Write a blog post about weirs.", "schema": "blog_post"}


@dataclass(frozen=True)
class Container:
    """The running command."""

    port: int
    process: subprocess.Popen[str]

    def post(self, body: dict[str, Any]) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", "/v1/generations", json.dumps(body), {"content-type": "application/json"})
        return connection


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """/app of the image: what the COPY lines bring."""
    folder = tmp_path / "app"
    folder.mkdir()
    for source, target in re.findall(r"^COPY (\S+) (\S+)$", DOCKERFILE, re.M):
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / target)
        else:
            shutil.copy(ROOT / source, folder / target)
    return folder


def environment(port: int, upstream: str, **more: str) -> dict[str, str]:
    """What the platform sets, and nothing of whoever runs the tests."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PORT": str(port),
        "HOST": "127.0.0.1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "",
        "WEIR_AUTHENTICATED_BY": "nobody",
        "WEIR_UPSTREAM_BASE_URL": upstream,
        "WEIR_UPSTREAM_MODEL": "sim-1",
        **more,
    }


@contextmanager
def started(app: Path, upstream: str) -> Iterator[Container]:
    """The Dockerfile's command on a free port, until the block ends."""
    command = re.search(r"^CMD (\[.+\])$", DOCKERFILE, re.M)
    assert command
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        json.loads(command[1]),
        cwd=app,
        env=environment(port, upstream),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None and time.monotonic() < deadline, "it does not listen on $PORT"
            time.sleep(0.05)  # another program's start sends no event
        yield Container(port, process)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def completed(container: Container) -> dict[str, Any]:
    """The next request.completed fact on standard output."""
    assert container.process.stdout is not None
    for line in container.process.stdout:
        if '"message":"request.completed"' in line:
            return facts(line)[0]
    raise AssertionError("the process ended without the fact")


def test_the_container_streams_a_validated_document(app: Path) -> None:
    with Simulator() as simulator, started(app, simulator.base_url) as container:
        connection = container.post(REQUEST)
        response = connection.getresponse()
        events = re.findall(r"^event: (\w+)$", response.read().decode(), re.M)
        connection.close()
        assert response.status == 200
        assert {"delta", "value"} <= set(events)
        assert events[-1] == "done"
        assert completed(container)["outcome"] == "ok"


def test_a_caller_who_hangs_up_ends_the_call_upstream_within_a_second(app: Path) -> None:
    with Simulator() as simulator, started(app, simulator.base_url) as container:
        connection = container.post(REQUEST)
        response = connection.getresponse()
        while not response.readline().startswith(b"event: delta"):
            pass
        hung_up = time.monotonic()
        response.close()
        connection.close()
        fact = completed(container)
        assert time.monotonic() - hung_up < 1.0
        assert fact["outcome"] == "client_disconnected"
        while not (closed := simulator.requests()[0].closed_at_token) and time.monotonic() - hung_up < 1.0:
            time.sleep(0.02)  # the simulator notices by itself
        assert closed


def test_a_container_that_is_told_to_end_ends(app: Path) -> None:
    with Simulator() as simulator, started(app, simulator.base_url) as container:
        container.process.send_signal(signal.SIGTERM)
        assert container.process.wait(20) in (0, -signal.SIGTERM)


def test_the_platform_is_told_that_it_lives_and_no_fact_comes_of_it(app: Path) -> None:
    with Simulator() as simulator, started(app, simulator.base_url) as container:
        connection = http.client.HTTPConnection("127.0.0.1", container.port, timeout=30)
        connection.request("GET", "/health")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"ok\n")
        connection.close()
        connection = container.post(REQUEST)
        connection.getresponse().read()
        connection.close()
        # The first fact is the document's.
        assert completed(container)["outcome"] == "ok"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"WEIR_AUTHENTICATED_BY": ""}, "WEIR_AUTHENTICATED_BY: expected platform or nobody, got ''"),
        ({"WEIR_AUTHENTICATED_BY": "everybody"}, "expected platform or nobody, got 'everybody'"),
        ({"PORT": "http"}, "PORT: expected a port, got 'http'"),
    ],
)
def test_it_does_not_start_open_unless_told_to(app: Path, changed: dict[str, str], said: str) -> None:
    done = subprocess.run(
        ["python", "serve.py"],
        cwd=app,
        env=environment(1, "http://127.0.0.1:9/v1") | changed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2 and said in done.stderr


def test_the_image_runs_as_nobody_and_from_the_lock_alone() -> None:
    assert re.search(r"^USER 65534", DOCKERFILE, re.M)
    assert re.findall(r"pip install .*", DOCKERFILE) == [
        "pip install --no-cache-dir --require-hashes --no-deps --requirement requirements.txt"
    ]
