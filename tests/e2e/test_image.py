"""The Dockerfile as it is, built by a real engine on a stand-in base, and run: what is not copied is not there.

The base is made of this machine, as for `sam local`: its CPython 3.13 with pip, its shell and C library, and the
locked wheels, which pip takes from a folder of the base where no index can be reached.
"""

import io
import json
import shutil
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local import lambda_image
from tests.docker_engine import wait_until
from tests.unit.cloudformation import ROOT

BASE, IMAGE = "weir-stand-in-base", "weir-generate"
REQUEST = {"prompt": "Write a blog post about weirs.", "schema": "blog_post"}

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Image:
    """The image, and the engine that has it."""

    engine: dict[str, str]
    upstream: str

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", *arguments], env=self.engine, cwd=ROOT, capture_output=True, text=True, check=check
        )

    @contextmanager
    def running(self, **environment: str) -> Iterator[str]:
        """A container; yields its id, and its logs go with it."""
        settings = {"WEIR_UPSTREAM_BASE_URL": self.upstream, "WEIR_UPSTREAM_MODEL": "sim-1", **environment}
        options = [option for name, value in settings.items() for option in ("--env", f"{name}={value}")]
        # Nobody may write but in /tmp, as on Cloud Run and Fargate with a read-only root.
        started = self.docker("run", "--detach", "--read-only", "--tmpfs", "/tmp", *options, IMAGE)
        container = started.stdout.strip()
        try:
            yield container
        finally:
            self.docker("rm", "--force", container, check=False)

    def address(self, container: str) -> str:
        asked = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return self.docker("inspect", "--format", asked, container).stdout.strip()


@pytest.fixture(scope="module")
def image(engine: dict[str, str], simulator: str, tmp_path_factory: pytest.TempPathFactory) -> Image:
    python = subprocess.run(
        ["sh", ROOT / "infra/build/find_python.sh", "3.13"], capture_output=True, text=True, check=True
    ).stdout.strip()
    wheels = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        [python, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps", "--require-hashes",
         "--only-binary=:all:", "--dest", wheels, "--requirement", ROOT / "infra/container/requirements.txt"],
        check=True,
    )  # fmt: skip
    make_base(engine, python, wheels)
    made = Image(engine, simulator)
    digest = made.docker("inspect", "--format", "{{.Id}}", BASE).stdout.strip()
    built = made.docker(
        "build", "--file", "infra/container/Dockerfile", "--build-arg", f"BASE={digest}", "--tag", IMAGE, ".",
        check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    return made


def make_base(engine: dict[str, str], python: str, wheels: Path) -> None:
    """Import the base: what python:3.13-slim has, as far as the Dockerfile asks for it."""
    prefix = Path(
        subprocess.run(
            [python, "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True, check=True
        ).stdout.strip()
    )
    changes = ["ENV PATH=/usr/local/bin:/bin:/usr/bin", "ENV LD_LIBRARY_PATH=/usr/local/lib",
               "ENV PIP_NO_INDEX=1", "ENV PIP_FIND_LINKS=/wheels", "ENV PIP_ROOT_USER_ACTION=ignore"]  # fmt: skip
    command = ["docker", "import", *(f"--change={change}" for change in changes), "-", BASE]
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        lambda_image.add_system(archive, prefix)
        binary = (prefix / "bin/python3.13").resolve()
        archive.add(binary, "/usr/local/bin/python")
        for library in sorted((prefix / "lib").glob("libpython3*.so*")):
            archive.add(library.resolve(), f"/usr/local/lib/{library.name}")
        archive.add(prefix / "lib/python3.13", "/usr/local/lib/python3.13", filter=without_packages)
        for package in (prefix / "lib/python3.13/site-packages").glob("pip*"):
            archive.add(package, f"/usr/local/lib/python3.13/site-packages/{package.name}")
        archive.add(wheels, "/wheels")
    subprocess.run(command, input=content.getvalue(), env=engine, check=True, stdout=subprocess.DEVNULL)


def without_packages(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = Path(entry.name).parts
    return (
        None
        if {"test", "tests", "site-packages", "idlelib", "tkinter", "__pycache__"} & set(parts)
        else entry
    )


def health(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}:8080/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def post(address: str) -> str:
    request = urllib.request.Request(
        f"http://{address}:8080/v1/generations",
        data=json.dumps(REQUEST).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        text: str = response.read().decode()
    return text


def test_the_image_streams_a_validated_document_and_ends_when_it_is_told_to(image: Image) -> None:
    with image.running(WEIR_AUTHENTICATED_BY="platform") as container:
        address = image.address(container)
        wait_until(lambda: health(address), "the container's health path")
        body = post(address)
        assert "event: value" in body and '"outcome":"ok"' in body.replace(" ", "")
        began = time.monotonic()
        image.docker("stop", "--time", "30", container)
        assert time.monotonic() - began < 25
        state: dict[str, Any] = json.loads(
            image.docker("inspect", "--format", "{{json .State}}", container).stdout
        )
        # 137 would be SIGKILL: SIGTERM had not reached the server.
        assert state["ExitCode"] in (0, 143), state


def test_the_image_does_not_start_open(image: Image) -> None:
    with image.running() as container:
        code = image.docker("wait", container).stdout.strip()
        assert code == "2"
        assert "WEIR_AUTHENTICATED_BY: expected platform or nobody" in image.docker("logs", container).stderr


def test_the_image_runs_as_nobody_and_holds_only_what_the_dockerfile_copies(image: Image) -> None:
    config = json.loads(image.docker("inspect", "--format", "{{json .Config}}", IMAGE).stdout)
    assert config["User"] == "65534:65534"
    listed = image.docker("run", "--rm", "--entrypoint", "ls", IMAGE, "/app").stdout.split()
    assert set(listed) == {
        "__pycache__", "app.py", "pydantic_streaming", "requirements.txt", "serve.py", "weir",
    }  # fmt: skip
    assert shutil.which("docker") is not None
