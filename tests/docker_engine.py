"""A Docker engine for tests: the one that runs, or one of our own; and the simulator, where containers see it."""

import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.cloudformation import ROOT

START_TIMEOUT_S = 60.0


def wait_until(condition: Any, what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if process is not None and process.poll() is not None:
            pytest.fail(f"{what}: ended with exit code {process.returncode}")
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {START_TIMEOUT_S} s")
        time.sleep(0.1)  # another program's start sends no event


def answers(environment: dict[str, str]) -> bool:
    return (
        subprocess.run(["docker", "info"], env=environment, capture_output=True, check=False).returncode == 0
    )


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which a Docker engine answers: the one that runs, or one of our own for the session."""
    # Without credentials sam does not ask AWS who we are.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-central-1"}
    if shutil.which("docker") is None:
        pytest.skip("no docker client on PATH (Debian: apt-get install docker.io)")
    if answers(environment):
        yield environment
        return
    if os.geteuid() != 0 or shutil.which("dockerd", path="/usr/sbin:" + os.environ["PATH"]) is None:
        pytest.skip("no Docker engine runs, and starting one takes root and dockerd (Debian: docker.io)")
    folder = tmp_path_factory.mktemp("docker")
    environment["DOCKER_HOST"] = f"unix://{folder}/docker.sock"
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            ["dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid",
             "--host", environment["DOCKER_HOST"]],
            stdout=log, stderr=log, env=environment | {"PATH": "/usr/sbin:/sbin:" + os.environ["PATH"]},
        )  # fmt: skip
    try:
        wait_until(lambda: answers(environment), f"dockerd ({folder / 'log'})", daemon)
        yield environment
    finally:
        daemon.terminate()
        daemon.wait(30)
        shutil.rmtree(folder / "data", ignore_errors=True)


@pytest.fixture(scope="session")
def simulator(engine: dict[str, str]) -> Iterator[str]:
    """The simulator, listening where containers see this machine: on the engine's own bridge."""
    inspected = subprocess.run(
        ["docker", "network", "inspect", "bridge", "--format", "{{json (index .IPAM.Config 0)}}"],
        env=engine,
        capture_output=True,
        text=True,
        check=True,
    )
    bridge = json.loads(inspected.stdout)
    # Without a gateway in its description the bridge has the first address of its subnet.
    gateway = bridge.get("Gateway") or str(next(ipaddress.ip_network(bridge["Subnet"]).hosts()))
    with socket.create_server((gateway, 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.local.simulator", "--fd", str(listener.fileno())],
            cwd=ROOT,
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
        )
        host, port = listener.getsockname()
        try:
            assert process.stdout is not None
            assert process.stdout.readline()  # accepts connections
            yield f"http://{host}:{port}/v1"
        finally:
            process.terminate()
            process.communicate(timeout=10)
