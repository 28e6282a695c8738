"""Where a function's files come from, and where its process sees them.

Decided here: `Source` stages the working tree as SAM would lay it out (a function's folder, the layer's folder),
compiled, with third-party packages from this virtual environment; `Built` takes what `sam build` made, with only its
own packages. Where the machine can make mount namespaces, both appear at /var/task and /opt/python, read-only, and
/dev/shm is gone, as on Lambda; elsewhere a copy without write permission is used where it lies.
"""

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from ..sam.function import FunctionConfig

LAUNCHER = Path(__file__).with_name("launcher.py")
ROOT = Path(__file__).resolve().parents[3]
BUILT_PYTHON = (3, 13)
_STAGED = "local-aws-"
_NOT_CODE = shutil.ignore_patterns("Makefile", "requirements.*", "pyproject.toml", "*.md")


class CodeError(Exception):
    """A function's files are not where they have to be."""


@dataclass(frozen=True, slots=True)
class Placement:
    """How a process finds its code: `mounts` for the launcher (None: none are made), and the paths it sees."""

    python: str
    task: str
    layer: str
    runtime: str
    mounts: Mapping[str, str | None] | None


class Code(Protocol):
    """A source of functions' files."""

    def place(self, function: FunctionConfig) -> Placement:
        """Where this function's files are; the same at every call."""
        ...


@cache
def isolates() -> bool:
    """Whether this machine makes mount namespaces for us; asked of it once, in a process of its own."""
    if sys.platform != "linux":
        return False
    command = [sys.executable, "-I", "-S", str(LAUNCHER), "probe"]
    return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


def describe_isolation() -> str:
    """One line for people: what holds on this machine."""
    if isolates():
        return "/var/task and /opt/python read-only, no /dev/shm (mount namespace)"
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return "task folder not protected: no mount namespaces here, and root may write anywhere"
    return "task folder without write permission, /dev/shm stays (no mount namespaces here)"


class Source:
    """The working tree, staged in `folder`, which belongs to the caller.

    `layer` holds the packages that /opt/python shows; None is an empty layer.
    """

    def __init__(self, folder: Path, layer: Path | None = ROOT / "shared") -> None:
        self._folder = folder
        self._placed: dict[str, Placement] = {}
        self._layer = folder / "layer"
        if layer is None:
            self._layer.mkdir()
        else:
            _stage(layer, self._layer, "/opt/python")

    def place(self, function: FunctionConfig) -> Placement:
        if function.name not in self._placed:
            task = self._folder / "tasks" / function.name
            _stage(function.code, task, "/var/task")
            self._placed[function.name] = _placement(sys.executable, task, self._layer, None)
        return self._placed[function.name]


class Built:
    """What `sam build` left in `folder` (.aws-sam), for CPython 3.13.

    Raises:
        CodeError: no CPython 3.13 here, or nothing is built.
    """

    def __init__(self, copies: Path, folder: Path = ROOT / ".aws-sam") -> None:
        if sys.version_info[:2] != BUILT_PYTHON:
            have = ".".join(map(str, sys.version_info[:2]))
            raise CodeError(
                f"built artifacts hold bytecode and wheels of CPython 3.13: expected it here, got {have}"
            )
        self._folder = folder
        self._copies = copies
        # The interpreter below the virtual environment: its packages must not stand in for missing ones.
        self._python = getattr(sys, "_base_executable", sys.executable)

    def place(self, function: FunctionConfig) -> Placement:
        task = self._folder / "build" / function.name
        layer = self._folder / "build" / "SharedLayer" / "python"
        runtime = self._folder / "runtime"
        for folder in (task, layer, runtime):
            if not folder.is_dir():
                raise CodeError(
                    f"expected built artifacts in {folder}, which does not exist; `make build` makes them"
                )
        if not isolates():
            target = self._copies / function.name
            if not target.exists():
                shutil.copytree(task, target)
                _protect(target)
            task = target
        return _placement(self._python, task, layer, runtime)


def _placement(python: str, task: Path, layer: Path, runtime: Path | None) -> Placement:
    if isolates():
        mounts: dict[str, str | None] = {"/var/task": str(task), "/opt/python": str(layer), "/dev/shm": None}
        if runtime is not None:
            mounts["/var/runtime"] = str(runtime)
        return Placement(python, "/var/task", "/opt/python", "/var/runtime", mounts)
    return Placement(python, str(task), str(layer), str(runtime or "/var/runtime"), None)


def _stage(source: Path, target: Path, shown_as: str) -> None:
    if not source.is_dir():
        raise CodeError(f"expected a folder of code at {source}")
    shutil.copytree(source, target, ignore=_NOT_CODE)
    # Compiled, as the build does it: the folder is read-only, so a cold start could not keep what it compiled. What
    # Python has compiled in the working tree came with the copy, and is not compiled again.
    compileall.compile_dir(
        target, quiet=2, stripdir=str(target), prependdir=shown_as if isolates() else str(target),
        invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP,
    )  # fmt: skip
    _protect(target)


def _protect(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)


def staging_folder() -> Path:
    """A new folder for staged code; those of stacks that were killed are removed on the way."""
    for left in Path(tempfile.gettempdir()).glob(f"{_STAGED}*"):
        process = left.name.removeprefix(_STAGED).partition("-")[0]
        with suppress(OSError):
            if process.isdecimal() and not _runs(int(process)):
                remove(left)
    return Path(tempfile.mkdtemp(prefix=f"{_STAGED}{os.getpid()}-"))


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def remove(folder: Path) -> None:
    """Remove a staged folder although nobody may write to it."""
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        path.chmod(0o700)
    shutil.rmtree(folder)
