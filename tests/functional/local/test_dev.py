"""`python -m infra.local dev`: up with its URLs, and gone without a trace."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from infra.local.dev import free_of
from infra.local.stack import LocalAws, LocalAwsConfig

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
async def dev() -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "infra.local", "dev", "--any-port", cwd=ROOT, stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("WEIR_")},
    )  # fmt: skip
    yield process
    if process.returncode is None:
        process.kill()
    await process.wait()


def children_of(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def exists(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


async def lines_until(process: asyncio.subprocess.Process, last: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(60):
        while not (lines and lines[-1].startswith(last)):
            line = await process.stdout.readline()
            assert line, f"expected a line that starts with {last!r}, got the end after {lines}"
            lines.append(line.decode().rstrip())
    return lines


def listens(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_the_lines_to_paste_work_and_ctrl_c_leaves_nothing(dev: asyncio.subprocess.Process):
    lines = await lines_until(dev, "Ctrl-C")
    pairs = [line.split()[:2] for line in lines if line[:1].islower()]
    urls = {name: url for name, url in pairs if url.startswith("http://")}
    assert urls.keys() >= {"generate", "finance", "moto"}
    command = "\n".join(line for line in lines if line.startswith(("  curl -N", "    -d")))
    shell = await asyncio.create_subprocess_shell(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out, _ = await shell.communicate()
    assert shell.returncode == 0
    assert out.count(b"event: delta\n") > 10
    assert out.rstrip().split(b"\n\n")[-1].startswith(b"event: done\n")
    async with httpx.AsyncClient(timeout=30) as client:
        assert (await client.get(urls["finance"])).status_code == 200
    children = children_of(dev.pid)
    assert len(children) >= 3  # simulator, moto, generate
    dev.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(dev.wait(), 20) == 0
    assert not any(listens(url) for url in urls.values())
    assert not any(map(exists, children))


async def test_a_base_url_without_a_model_is_refused():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "infra.local", "dev", "--any-port", cwd=ROOT, stderr=subprocess.PIPE,
        env={**os.environ, "WEIR_UPSTREAM_BASE_URL": "http://127.0.0.1:1/v1", "WEIR_UPSTREAM_MODEL": ""},
    )  # fmt: skip
    _, error = await process.communicate()
    assert process.returncode == 2
    assert b"expected WEIR_UPSTREAM_MODEL" in error


def test_in_place_of_a_usual_port_that_is_taken_comes_another_which_is_said(
    capsys: pytest.CaptureFixture[str],
):
    with socket.socket() as taken, socket.socket() as closed:
        for one in (taken, closed):
            one.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"GenerateFunction": taken.getsockname()[1], "lambda": closed.getsockname()[1]}
        closed.close()
        assert free_of(ports) == {"lambda": ports["lambda"]}
    assert (
        f"port {ports['GenerateFunction']} is taken: GenerateFunction gets a free one"
        in capsys.readouterr().err
    )


def test_make_does_the_same_in_a_folder_whose_name_has_a_space(tmp_path: Path):
    checkout = tmp_path / "a checkout"
    checkout.mkdir()
    for entry in ROOT.iterdir():
        (checkout / entry.name).symlink_to(entry)
    targets = ["demo", "dev", "test", "lint", "validate", "build", "smoke", "deploy", "schemas", "prices"]
    done = subprocess.run(
        ["make", "-n", *targets, "ARGS=--quiet"], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert "infra.local dev  --quiet" in done.stdout
    # make takes the space for the end of a word: no recipe may know where it is.
    assert checkout.name not in done.stdout


async def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match=f"port {taken.getsockname()[1]} on 127.0.0.1"):
            LocalAws(LocalAwsConfig(ports={"moto": taken.getsockname()[1]}))
