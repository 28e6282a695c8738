"""The examples of the READMEs, run as they stand against `make dev`, but for ports and the provider's address."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from infra.local.simulator import Simulator
from tests.browser import Browser, find_chromium
from tests.unit.cloudformation import ROOT
from tests.unit.test_packaging import commands

CALLERS = "functions/generate/README.md"
CURL = [command for command in commands(CALLERS) if command.startswith("curl ")]
SET_BY_A_PERSON = ("WEIR_", "AWS_")


@contextmanager
def dev(**settings: str) -> Iterator[dict[str, str]]:
    """`make dev` on free ports, ended by Ctrl-C; yields the addresses that it prints, by their first word."""
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
        found = dict(re.findall(r"^(\w+)[ \w]* +(http://127\.0\.0\.1:\d+)", "".join(printed), re.M))
        assert {"generate", "finance", "Lambda"} <= found.keys(), printed
        # What functions print comes after that; somebody has to read it.
        Thread(target=process.stdout.read, daemon=True).start()
        yield found
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, [*printed, rest]


def run(command: str, address: str) -> list[str]:
    """Run a curl line of a README against `address`; the names of the events that came."""
    here = re.sub(r"http://127\.0\.0\.1:\d+", address, command)
    # Signatures are not checked here; curl makes one all the same (--aws-sigv4).
    keys = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    environment = {**os.environ, **keys, "AWS_SESSION_TOKEN": "testing", "URL": address}
    done = subprocess.run(
        ["sh", "-c", here], capture_output=True, text=True, timeout=100, check=True, env=environment
    )
    return re.findall(r"^event: (\w+)$", done.stdout, re.M)


def blocks(document: str, language: str) -> list[str]:
    """The code blocks of one language in a README."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    with dev(CORS_ORIGINS="http://localhost:3000") as found:
        yield found


@pytest.mark.parametrize("command", CURL, ids=["plain", "signed"])
def test_a_curl_line_for_callers_streams_a_validated_document(
    command: str, addresses: dict[str, str]
) -> None:
    events = run(command, addresses["generate"])
    assert {"delta", "value"} <= set(events)
    assert events[-1] == "done"


@pytest.mark.parametrize("example", blocks(CALLERS, "python"), ids=["httpx", "boto3"])
def test_a_python_example_for_callers_prints_values_of_the_document(
    example: str, addresses: dict[str, str]
) -> None:
    keys = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    environment = {
        **os.environ, **keys, "URL": addresses["generate"], "LAMBDA_ENDPOINT": addresses["Lambda"],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", example],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "/title" in done.stdout and "/sections/0" in done.stdout


def test_the_browser_example_streams_to_a_page_of_an_origin_that_may_call(
    addresses: dict[str, str], tmp_path: Path
) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("chromium is not on PATH (Debian: apt-get install chromium): the example is not run")
    (example,) = blocks(CALLERS, "js")
    page = tmp_path / "index.html"
    page.write_text("<!doctype html><title>caller</title>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path))
    Thread(target=server.serve_forever, daemon=True).start()
    # The page's origin is the one that was let in: port 3000 leads to the server above.
    rules = f"--host-resolver-rules=MAP localhost:3000 127.0.0.1:{server.server_port}"
    try:
        with Browser(chromium, tmp_path / "profile", "UTC", rules) as browser, browser.page() as tab:
            tab.open("http://localhost:3000/")
            tab.evaluate(
                f"(async () => {{ const url = '{addresses['generate']}'; {example}; window.text = text; }})()"
                ".catch((error) => { window.text = String(error); })"
            )
            tab.until("window.text !== undefined")
            text = tab.evaluate("window.text")
    finally:
        server.shutdown()
        server.server_close()
    assert "event: value" in text and text.rstrip().rpartition("event: ")[2].startswith("done"), text[-300:]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_two_settings_put_another_provider_in_the_simulators_place() -> None:
    assert any(
        re.match(r"WEIR_UPSTREAM_BASE_URL=\S+ WEIR_UPSTREAM_MODEL=\S+ make dev", line)
        for line in commands("infra/README.md")
    )
    with (
        Simulator() as provider,
        dev(WEIR_UPSTREAM_BASE_URL=provider.base_url, WEIR_UPSTREAM_MODEL="sim-1") as found,
    ):
        command = "curl -N http://127.0.0.1:8080/v1/generations -d '{\"prompt\": \"Why?\"}' -H 'content-type: application/json'"
        assert run(command, found["generate"])[-1] == "done"
        assert len(provider.requests()) == 1
