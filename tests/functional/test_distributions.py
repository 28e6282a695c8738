"""What others can install: each wheel alone, in an environment that has it, what it asks for, and nothing else."""

import asyncio
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.functional.asgiric.scripted_api import ScriptedRuntimeApi
from tests.readme_blocks import files_and_output

ROOT = Path(__file__).parents[2]
PARTS = sorted(path.parent.name for path in ROOT.glob("shared/*/pyproject.toml"))
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)[^;]*(;.*extra ==.*)?")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels by the name of what they hold, built as `make dist` builds them."""
    folder = tmp_path_factory.mktemp("dist")
    for source in (".", *(f"./shared/{name}" for name in PARTS)):
        command = [sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check", "--no-index",
                   "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), source]  # fmt: skip
        subprocess.run(command, check=True, cwd=ROOT)
    return {wheel.name.split("-")[0]: wheel for wheel in folder.glob("*.whl")}


def metadata(wheel: Path) -> dict[str, list[str]]:
    with ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        found: dict[str, list[str]] = {}
        for key, value in HeaderParser().parsestr(archive.read(name).decode()).items():
            found.setdefault(key, []).append(value)
    return found


def closure(requirements: list[str]) -> Iterator[importlib.metadata.Distribution]:
    """What is installed here of `requirements`, and of what they require, without extras."""
    seen: set[str] = set()
    while requirements:
        match = REQUIREMENT.match(requirements.pop())
        assert match is not None
        if match[2] or (name := match[1].lower()) in seen:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform or version of Python
        yield distribution
        requirements += distribution.requires or []


def empty_environment(folder: Path, wheel: Path) -> Path:
    """An environment with the wheel and copies of what it requires; returns its interpreter. Nothing is fetched."""
    venv.create(folder, symlinks=True)
    python = folder / "bin/python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    for distribution in closure(list(metadata(wheel).get("Requires-Dist", []))):
        for file in distribution.files or []:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(distribution.locate_file(file), target)
    with ZipFile(wheel) as archive:
        archive.extractall(packages)
    return python


def first_example(readme: Path) -> tuple[str, str]:
    """The first Python block of a README, and the text block behind it: what it prints."""
    match = re.search(r"^```python\n(.*?)^```\n\s*^```text\n(.*?)^```", readme.read_text(), re.M | re.S)
    assert match is not None, f"{readme}: expected a python block, and behind it a text block"
    return match[1], match[2]


def test_the_first_example_prints_what_its_readme_says_where_nothing_but_the_wheel_is(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    code, printed = first_example(ROOT / "shared/pydantic_streaming/README.md")
    python = empty_environment(tmp_path / "empty", wheels["pydantic_streaming"])
    command = [str(python), "-I", "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == (printed, "", 0)
    here = "import importlib.metadata as m; print(sorted(d.name for d in m.distributions()))"
    installed = subprocess.run([str(python), "-I", "-c", here], capture_output=True, text=True, check=True)
    assert installed.stdout == (
        "['annotated-types', 'pydantic', 'pydantic-streaming', 'pydantic_core', 'typing-inspection',"
        " 'typing_extensions']\n"
    )


async def test_the_runtime_clients_first_example_streams_where_nothing_but_its_wheel_is(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    """Against a Runtime API of ours; `make sam-local` runs the same files in a container."""
    readme = ROOT / "shared/asgiric/README.md"
    files, printed = files_and_output(readme)
    (tmp_path / "hello").mkdir()
    for name in ("hello/app.py", "hello/bootstrap"):
        (tmp_path / name).write_text(files[name])
    bootstrap = tmp_path / "hello/bootstrap"
    bootstrap.chmod(0o755)
    with ZipFile(wheels["asgiric"]) as archive:
        archive.extractall(tmp_path / "hello")  # as pip install --target does
    venv.create(tmp_path / "empty", symlinks=True)
    async with ScriptedRuntimeApi() as api:
        process = await asyncio.create_subprocess_exec(
            bootstrap,
            tmp_path / "empty/bin/python",
            env={
                "PATH": os.environ["PATH"],
                "LAMBDA_TASK_ROOT": str(tmp_path / "hello"),
                "AWS_LAMBDA_RUNTIME_API": api.address,
                "_HANDLER": "app.app",
            },
        )
        call = await api.invoke({}).answer()
        process.terminate()
        assert await process.wait() == 0
        assert api.violations == []
    assert call.body.decode() == printed
    assert [chunk.data for chunk in call.chunks] == [b"one ", b"two ", b"three"]
    assert 0.05 < call.chunks[1].at_s - call.chunks[0].at_s


def test_an_older_pydantic_is_refused_at_import(wheels: dict[str, Path], tmp_path: Path) -> None:
    python = empty_environment(tmp_path / "empty", wheels["pydantic_streaming"])
    older = (
        "import pydantic; pydantic.VERSION = '2.13.1'\n"
        "try: import pydantic_streaming\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([str(python), "-I", "-c", older], capture_output=True, text=True, check=True)
    assert done.stdout == "pydantic_streaming: expected pydantic >= 2.13.2, got 2.13.1\n"


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_typed_and_holds_its_package_alone(wheels: dict[str, Path], name: str) -> None:
    with ZipFile(wheels[name]) as archive:
        names = archive.namelist()
    assert f"{name}/py.typed" in names
    assert {
        f"{name}/{path.relative_to(ROOT / 'shared' / name)}"
        for path in (ROOT / "shared" / name).rglob("*.py")
    } == {entry for entry in names if entry.endswith(".py")}
    assert {entry.split("/")[0] for entry in names if ".dist-info/" not in entry} == {name}


def test_the_product_installs_as_a_whole(wheels: dict[str, Path], tmp_path: Path) -> None:
    python = empty_environment(tmp_path / "empty", wheels["weir"])
    code = "import asgiric, pydantic_streaming, weir.generate.service, weir.reports.report; print(weir.schemas.load_schema('blog_post').__name__)"
    done = subprocess.run([str(python), "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("BlogPost\n", "")
