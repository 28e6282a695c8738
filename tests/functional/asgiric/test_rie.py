"""Acceptance by AWS's own Runtime Interface Emulator, the binary inside SAM CLI's package.

It buffers streams, leaves preludes in and drops trailers, so it judges the protocol only; timing, trailers
and preludes are judged by the scripted Runtime API.
"""

import asyncio
import json
import os
import platform
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
WRAPPER = ROOT / "functions" / "generate" / "bootstrap"
PRELUDE_END = b"\0" * 8


def find_emulator() -> Path:
    """The emulator's binary for this machine, or a skip that says how to get it."""
    if named := os.environ.get("RIE_BINARY"):
        return Path(named)
    architecture = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(
        platform.machine(), "unknown"
    )
    pattern = f".venv-sam/lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-{architecture}"
    found = sorted(ROOT.glob(pattern))
    if sys.platform != "linux" or not found:
        pytest.skip(
            f"no Runtime Interface Emulator: set RIE_BINARY, or install aws-sam-cli into .venv-sam ({pattern})"
        )
    return found[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Emulator:
    """A running emulator."""

    client: httpx.AsyncClient
    output: Path

    async def invoke(self, event: object) -> httpx.Response:
        """Invoke, again while a managed instance has no free poller: there the emulator queues nobody."""
        async with asyncio.timeout(10):
            while True:
                path = "/2015-03-31/functions/function/invocations"
                response = await self.client.post(path, content=json.dumps(event))
                if b"Runtime.Unavailable" not in response.content:
                    return response
                await asyncio.sleep(0.02)

    async def logged(self, text: str) -> None:
        """Wait until its processes have written `text`. Raises TimeoutError."""
        async with asyncio.timeout(10):
            while text not in self.output.read_text():  # noqa: ASYNC110  # another process writes it
                await asyncio.sleep(0.02)


@asynccontextmanager
async def emulator(
    handler: str,
    *,
    command: Sequence[str] = (str(WRAPPER), sys.executable),
    prefix: Sequence[str] = (),
    **environ: str,
) -> AsyncIterator[Emulator]:
    """The emulator with our bootstrap; its own process group is killed at the end."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "log"
        with output.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *prefix,
                str(find_emulator()),
                "--runtime-interface-emulator-address",
                f"127.0.0.1:{port}",
                "--runtime-api-address",
                f"127.0.0.1:{free_port()}",
                *command,
                env={
                    "PATH": os.environ["PATH"],
                    "LAMBDA_TASK_ROOT": str(HERE),
                    "PYTHONPATH": str(ROOT / "shared"),
                    "_HANDLER": f"apps.{handler}",
                    "AWS_LAMBDA_FUNCTION_TIMEOUT": "10",
                    **environ,
                },
                cwd=HERE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
                await listening(port, process, output)
                yield Emulator(client, output)
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            await process.wait()
            print(output.read_text())  # shown with a failure


async def listening(port: int, process: asyncio.subprocess.Process, output: Path) -> None:
    while process.returncode is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
    raise AssertionError(f"the emulator ended with {process.returncode}: {output.read_text()}")


async def test_a_streamed_answer_is_accepted_again_and_again():
    event = json.loads((ROOT / "tests" / "events" / "url_generate.json").read_text())
    async with emulator("echo") as rie:
        for number in range(3):
            response = await rie.invoke(event | {"body": f"number {number}"})
            prelude, _, body = response.content.partition(PRELUDE_END)
            assert json.loads(prelude)["statusCode"] == 200
            assert body == b"number %d" % number


async def test_under_sam_local_the_answer_is_an_ordinary_proxy_object():
    event = json.loads((ROOT / "tests" / "events" / "rest_generate.json").read_text())
    async with emulator("echo", AWS_SAM_LOCAL="true") as rie:
        answer = (await rie.invoke(event)).json()
        assert (answer["statusCode"], answer["body"]) == (200, event["body"])


async def test_an_error_reaches_the_caller_in_lambdas_format_and_the_loop_goes_on():
    async with emulator("raises_before") as rie:
        for _ in range(2):
            answer = (await rie.invoke({})).json()
            assert (answer["errorType"], answer["errorMessage"]) == ("ValueError", "no such thing")


async def test_error_trailers_in_the_middle_are_accepted():
    async with emulator("raises_after") as rie:
        for _ in range(2):
            assert (await rie.invoke({})).content == b"half"


async def test_an_init_error_reaches_the_caller():
    async with emulator("no_such_attribute") as rie:
        assert (await rie.invoke({})).json()["errorType"] == "Runtime.HandlerNotFound"


async def test_more_than_six_mebibytes_are_refused_and_the_loop_goes_on():
    async with emulator("huge") as rie:
        response = await rie.invoke({"bytes": 7 * 1024 * 1024})
        assert response.status_code == 413 or b"ResponseSizeTooLarge" in response.content, response.content[
            :200
        ]
        assert (await rie.invoke({"bytes": 5})).content == b"xxxxx"


async def test_the_last_words_at_the_deadline_arrive_before_the_timeout():
    async with emulator("patient", AWS_LAMBDA_FUNCTION_TIMEOUT="3") as rie:
        began_s = time.monotonic()
        assert (await rie.invoke({})).content.endswith(b"cancelled by deadline")
        assert 0.8 < time.monotonic() - began_s < 2


async def test_a_process_that_blocks_is_killed_at_the_timeout():
    async with emulator("sleeper", AWS_LAMBDA_FUNCTION_TIMEOUT="1") as rie:
        assert b"Task timed out after 1.00 seconds" in (await rie.invoke({})).content


async def test_a_process_that_ends_is_an_exit_error():
    async with emulator("leaves") as rie:
        response = await rie.invoke({})
        assert response.status_code == 502
        assert response.json()["errorType"] == "Runtime.ExitError"


@pytest.fixture
async def managed_instances(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Emulator]]]:
    """The emulator in managed-instances mode, where the bootstrap must be /var/runtime/bootstrap.

    A private mount namespace lays /var out as Lambda does: interpreter, code and bootstrap, all of them within
    reach of the unprivileged user as which the emulator starts it. Only root can make one.
    """
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip(
            "managed-instances mode needs root and unshare, to have a /var/runtime/bootstrap of its own"
        )
    python = f"/var/lang/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for folder in ("runtime", "task", "lang"):
        (tmp_path / folder).mkdir()
    tmp_path.chmod(0o755)
    bootstrap = tmp_path / "runtime" / "bootstrap"
    layout = 'mount --bind "$0" /var && mount --bind "$1" /var/lang && mount --bind "$2" /var/task && shift 2'
    async with AsyncExitStack() as running:

        async def start(
            handler: str, command: str = "/var/task/functions/generate/bootstrap {python}"
        ) -> Emulator:
            bootstrap.write_text(f"#!/bin/sh\nexec {command.format(python=python)}\n")
            bootstrap.chmod(0o755)
            return await running.enter_async_context(
                emulator(
                    handler,
                    command=["/var/runtime/bootstrap"],
                    prefix=[
                        *("unshare", "--mount", "sh", "-c", f'{layout} && exec "$@"'),
                        *(str(tmp_path), sys.base_prefix, str(ROOT)),
                    ],
                    LD_LIBRARY_PATH="/var/lang/lib",
                    PYTHONPATH=f"/var/task/shared:/var/task/{HERE.relative_to(ROOT)}",
                    AWS_LAMBDA_MAX_CONCURRENCY="3",
                    AWS_LAMBDA_INITIALIZATION_TYPE="lambda-managed-instances",
                )
            )

        yield start


async def test_concurrent_invokes_of_a_managed_instance_share_one_process(
    managed_instances: Callable[..., Awaitable[Emulator]],
):
    rie = await managed_instances("ticking")
    await rie.invoke({})
    began_s = time.monotonic()
    answers = await asyncio.gather(*(rie.invoke({"n": number}) for number in range(3)))
    assert [answer.content for answer in answers] == [b"tick 0tick 1tick 2tick 3tick 4"] * 3
    assert time.monotonic() - began_s < 1.2, "three answers of half a second each, one after the other"


async def test_the_echoed_invocation_id_is_what_a_managed_instance_checks(
    managed_instances: Callable[..., Awaitable[Emulator]],
):
    client = f"/var/task/{HERE.relative_to(ROOT)}/tampering_client.py"
    rie = await managed_instances("", f"{{python}} {client}")
    assert (await rie.invoke("right")).content.startswith(b"answered with ")
    # The wrong answer is refused with 410, and the loop lives to give the right one.
    right = (await rie.invoke("wrong, then right")).content
    assert right.startswith(b"answered with ") and right != b"answered with wrong"
    await rie.logged("refused the response: 410")
    assert (await rie.invoke("missing")).content == b"answered with None"
