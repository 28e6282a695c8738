"""The README's `make dev` and its curl lines, run as they stand, but for the port and the provider's address."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.local.simulator import Simulator
from tests.unit.cloudformation import ROOT
from tests.unit.test_packaging import commands

CURL = [command for command in commands("README.md") if command.startswith("curl ")]
SET_BY_A_PERSON = ("WEIR_", "AWS_")


@contextmanager
def dev(**settings: str) -> Iterator[str]:
    """`make dev` on free ports, ended by Ctrl-C; yields the address of generate that it prints."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(SET_BY_A_PERSON)}
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.local", "dev", "--any-port"],
        cwd=ROOT,
        env=own | settings,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    printed = []
    try:
        for line in process.stdout:
            printed.append(line)
            if line.startswith("Ctrl-C"):
                break
        found = re.search(r"^generate +(http://127\.0\.0\.1:\d+)/", "".join(printed), re.M)
        assert found, printed
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, [*printed, rest]


def run(command: str, address: str) -> list[str]:
    """Run a curl line of the README against `address`; the names of the events that came."""
    here = re.sub(r"http://127\.0\.0\.1:\d+", address, command)
    done = subprocess.run(shlex.split(here), capture_output=True, text=True, timeout=100, check=True)
    return re.findall(r"^event: (\w+)$", done.stdout, re.M)


@pytest.mark.skipif(not CURL, reason="the README shows no curl line")
def test_the_curl_lines_of_the_readme_stream_a_validated_document_from_make_dev() -> None:
    with dev() as address:
        for command in CURL:
            events = run(command, address)
            assert {"delta", "value"} <= set(events)
            assert events[-1] == "done"


def test_two_settings_put_another_provider_in_the_simulators_place() -> None:
    assert any(
        re.match(r"WEIR_UPSTREAM_BASE_URL=\S+ WEIR_UPSTREAM_MODEL=\S+ make dev", line)
        for line in commands("README.md")
    )
    with (
        Simulator() as provider,
        dev(WEIR_UPSTREAM_BASE_URL=provider.base_url, WEIR_UPSTREAM_MODEL="sim-1") as address,
    ):
        events = run(
            f"curl -N {address}/v1/generations -d '{{\"prompt\": \"Why?\"}}' -H 'content-type: application/json'",
            address,
        )
        assert events[-1] == "done"
        assert len(provider.requests()) == 1
