"""`python -m infra.local demo` as a user runs it: what it prints, how it ends, and what it leaves behind."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from infra.local.simulator import Simulator
from infra.local.terminal.live_view import width

ROOT = Path(__file__).parents[2]
MAX_DURATION_S = 150.0  # against a demo that hangs; on a machine that is busy with other tests
# Adopts every orphan of the demo, so that whatever it leaves running is found: prctl(PR_SET_CHILD_SUBREAPER).
SUPERVISOR = """
import ctypes, os, signal, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1)
signal.signal(signal.SIGINT, lambda *_: demo.send_signal(signal.SIGINT))
demo = subprocess.Popen([sys.executable, "-m", "infra.local", "demo"])
code = demo.wait()
until = time.monotonic() + 3
left = True
while left and time.monotonic() < until:
    try:
        left = os.waitpid(-1, os.WNOHANG) == (0, 0)
        time.sleep(0.02)
    except ChildProcessError:
        left = False
if left:
    children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
    print("LEFT RUNNING", [open(f"/proc/{child}/cmdline").read() for child in children])
sys.exit(code)
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="orphans are found by Linux's child subreaper")


def environment(**settings: str) -> dict[str, str]:
    # Without a home, as some CI runners are: nothing of it is needed.
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("WEIR_") and name != "HOME"
    }
    return {**kept, "PYTHONUNBUFFERED": "1", **settings}


def run(**settings: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", SUPERVISOR]
    return subprocess.run(
        command, cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=MAX_DURATION_S
    )


@LINUX
def test_the_demo_shows_a_document_and_its_cost_and_leaves_nothing_running() -> None:
    done = run(TERM="xterm-256color")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stdout), "control characters in a file"
    assert max(map(width, lines)) <= 80
    assert "LEFT RUNNING" not in done.stdout
    assert sum(line.startswith("  ✓ /sections/") for line in lines) == 4
    for label in ("time to first token", "time to last token", "cold start (init)", "billed duration"):
        assert re.search(rf"^  {re.escape(label)} +[\d,]+ ms", done.stdout, re.MULTILINE), label
    for label in (
        "cold start",
        "waiting for the model",
        "streaming",
        "validating",
        "rest of the invocation",
        "total",
    ):
        ledger, estimate = re.findall(rf"^  {label} +(\d\.\d+) +(\d\.\d+)$", done.stdout, re.MULTILINE)[0]
        assert float(ledger) > 0 and float(estimate) > 0, label
    table = [line.split() for line in lines[lines.index("More requests, from the ledger") + 2 :]]
    assert [(row[-7], row[-6]) for row in table[:5]] == [
        ("ok", "cold"),
        ("ok", "warm"),
        ("ok", "cold"),
        ("invalid_output", "warm"),
        ("upstream_error", "warm"),
    ]
    spent = [line.split() for line in lines[lines.index("Who may spend what, from the ledger") + 2 :]]
    assert [(row[-7], row[-2]) for row in spent[:6]] == [
        ("budget_exceeded", "–"),
        ("ok", spent[1][-2]),
        ("ok", "–"),
        ("ok", "–"),
        ("stopped", spent[4][-2]),
        ("ok", "–"),
    ]
    sdk = re.search(r"^  openai-python [\d.]+, chat\.completions\.stream\(response_format=Recipe\):\n"
                    r"  [1-9]\d* pieces of validated text, parsed: '.+$", done.stdout, re.MULTILINE)  # fmt: skip
    assert sdk
    for said in ("the key again", "from the cache"):
        assert re.search(rf"^  {said}: [1-9]\d* tokens for 0\.\d+ USD not bought$", done.stdout, re.MULTILINE)
    stopped = re.search(r"stopped ([\d.]+) s after it was asked for, .*: token (\d+) of (\d+)", done.stdout)
    assert stopped and int(stopped[2]) < int(stopped[3])
    figures = lines[lines.index("The ledger's own figures, of all of them") :]
    assert re.match(r"  USD by component +11 requests", figures[1])
    together = re.search(r"^  together (\S+) USD$", done.stdout, re.MULTILINE)
    amounts = {
        line.split()[0]: Decimal(line.split()[-1]) for line in figures if re.match(r"  \w+ +\d\.\d+$", line)
    }
    # What the ledger took itself is no request's.
    assert together and f"{amounts['total'] - amounts.get('metering', 0):.7f}" == together[1]
    assert "  completeness: of 11 reports in Lambda's log 11 are booked" in figures
    assert "  compacted to Parquet: 1 day, 11 rows" in figures
    what_if = lines[lines.index("What if, in USD") + 1 :][:3]
    for line, title in zip(what_if, ("First token 200 ms sooner", "Memory of", "On "), strict=True):
        assert line.startswith(f"  {title}") and line.endswith(" %"), line
    assert re.search(r"closed at token \d+ of \d+, [1-9]\d* not bought \(/sections/1/heading\)", done.stdout)


@LINUX
def test_the_demo_asks_bedrock_with_the_functions_role() -> None:
    done = run(PROVIDER="bedrock")
    assert (done.returncode, done.stderr) == (0, "")
    assert "not sent, and billed by such a provider" in done.stdout


def test_a_provider_that_nobody_simulates_is_refused() -> None:
    done = run(PROVIDER="nobody")
    assert done.returncode == 2
    assert (
        "PROVIDER: expected one of openai, responses, anthropic, bedrock, gemini, got 'nobody'" in done.stderr
    )


@LINUX
def test_interrupted_it_ends_and_leaves_nothing_running() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("  ✓ /title"):
            break
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "LEFT RUNNING" not in rest
    assert "Traceback" not in errors


def test_an_upstream_that_is_down_is_named_and_the_demo_fails() -> None:
    done = run(WEIR_UPSTREAM_BASE_URL="http://127.0.0.1:9/v1", WEIR_UPSTREAM_MODEL="any")
    assert done.returncode == 1
    assert "demo: request" in done.stdout
    assert "expected outcome ok, got upstream_error (status 502): provider: ConnectError" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_endpoint_without_a_model_is_refused() -> None:
    done = run(WEIR_UPSTREAM_BASE_URL="http://127.0.0.1:9/v1")
    assert done.returncode == 2
    assert "expected WEIR_UPSTREAM_MODEL" in done.stderr


def test_two_settings_choose_a_real_endpoint_and_a_terminal_sees_it_live() -> None:
    with Simulator() as endpoint:
        master, slave = pty.openpty()
        settings = {"WEIR_UPSTREAM_BASE_URL": endpoint.base_url, "WEIR_UPSTREAM_MODEL": "sim-bursty"}
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.local", "demo"],
            cwd=ROOT,
            env=environment(TERM="xterm", NO_COLOR="1", **settings),
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        written = read_until_closed(master)
        assert process.wait(5) == 0, written
        assert {exchange.model for exchange in endpoint.requests()} == {"sim-bursty"}
    assert "\x1b[1A" in written, "the line of progress is rewritten"
    assert not re.search(r"\x1b\[[0-9;]*m", written), "NO_COLOR"
    assert "invalid output" not in written, "a real endpoint cannot be told to fail"


def read_until_closed(master: int) -> str:
    data, until = b"", time.monotonic() + MAX_DURATION_S
    while time.monotonic() < until:
        if select.select([master], [], [], 0.5)[0]:
            try:
                piece = os.read(master, 65_536)
            except OSError:  # Linux's way of saying that the other side is closed
                break
            if not piece:
                break
            data += piece
    os.close(master)
    return data.decode()
