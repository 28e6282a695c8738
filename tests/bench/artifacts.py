"""The folders that the processes of a benchmark run from, laid out as on Lambda: task, layer, runtime.

Three kinds, alike for us and for those we are compared with:

- sources without bytecode: what `sam build` alone ships (its zip makes the bytecode stale);
- sources with bytecode: the same files, compiled, with what `make build` finds of the schemas;
- built: what `make build` made. The peers' are put together from the same build: finance has FastAPI and Mangum,
  generate has httpx, so that trimming and bytecode are the same.
"""

import compileall
import importlib.metadata
import py_compile
import re
import shutil
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from infra.schemas import stamp

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).parent / "peers"
BUILD = ROOT / ".aws-sam/build"
BUILT_PYTHON = (3, 13)

# Called only where a key or a bucket is configured; 25 MB that no process here imports.
_LEFT_OUT = {"boto3", "botocore", "s3transfer", "python-dateutil", "six", "urllib3"}
_RUNTIME = ("awslambdaric", "snapshot-restore-py", "simplejson")
_SERVER = ("uvicorn", "click", "h11")
# Top-level names that FastAPI behind Mangum with httpx wants from the two built functions.
_BUILT_FINANCE = ("fastapi", "starlette", "mangum", "opentelemetry", "opentelemetry_api-*.dist-info",
                  "pydantic", "pydantic_core", "annotated_types", "annotated_doc", "typing_extensions.py",
                  "typing_inspection", "anyio", "sniffio", "idna", "__pycache__")  # fmt: skip
_BUILT_GENERATE = ("httpx", "httpcore", "h11", "certifi")


@dataclass(frozen=True, slots=True)
class Artifacts:
    """One kind of folders."""

    name: str
    generate: Path
    peer: Path
    empty: Path
    layer: Path
    runtime: Path
    server: Path  # uvicorn, for what runs without Lambda


def interpreter(folder: Path) -> str:
    """A CPython with nothing installed, as on Lambda: what lies in site-packages would cost, or help, a start."""
    venv.create(folder, with_pip=False)
    return str(folder / "bin/python")


def sources(folder: Path, *, bytecode: bool) -> Artifacts:
    """Copies of the working tree, with their packages as installed in this environment."""
    generate, peer, empty = folder / "generate", folder / "peer", folder / "empty"
    layer, runtime, server = folder / "layer", folder / "runtime", folder / "server"
    ours, finance = _locked("generate"), _locked("finance")
    _install(ours - _LEFT_OUT, generate)
    _install((ours | finance) - _LEFT_OUT - {"aws-lambda-powertools"}, peer)
    _install(_RUNTIME, runtime)
    _install(_SERVER, server)
    _copy(ROOT / "functions/generate", generate)
    _copy(PEERS / "fastapi_mangum", peer)
    _copy(PEERS / "empty", empty)
    for package in ("asgiric", "pydantic_streaming", "weir"):
        _copy(ROOT / "shared" / package, layer / package)
    if bytecode:
        (layer / "weir/schemas/checked.json").write_text(stamp())
        for task in (generate, peer, empty):
            _compile(task)
        _compile(layer)
    # The managed runtime's own files have bytecode whatever a function ships.
    _compile(runtime)
    _compile(server)
    return Artifacts(
        "sources with bytecode" if bytecode else "sources without bytecode",
        generate, peer, empty, layer, runtime, server,
    )  # fmt: skip


def built(folder: Path) -> Artifacts | str:
    """What `make build` made, with peers of the same kind; a sentence saying why there is none."""
    if sys.version_info[:2] != BUILT_PYTHON:
        return f"built artifacts hold bytecode of CPython 3.13; this is {sys.version.split()[0]}"
    finance, generate = BUILD / "FinanceFunction", BUILD / "GenerateFunction"
    if not (finance / "fastapi").exists() or not (generate / "httpx").exists():
        return "nothing was built: run `make build` first"
    peer, empty, runtime, server = folder / "peer", folder / "empty", folder / "runtime", folder / "server"
    peer.mkdir(parents=True)
    for source, patterns in ((finance, _BUILT_FINANCE), (generate, _BUILT_GENERATE)):
        for pattern in patterns:
            for path in source.glob(pattern):
                _copy(path, peer / path.name, bytecode=True)
    (peer / "__pycache__" / f"app.{sys.implementation.cache_tag}.pyc").unlink(missing_ok=True)
    _copy(PEERS / "fastapi_mangum", peer)
    _copy(PEERS / "empty", empty)
    _compile(peer, only="app.py")
    _compile(empty)
    _install(_RUNTIME, runtime)
    _install(_SERVER, server)
    _compile(runtime)
    _compile(server)
    return Artifacts("built", generate, peer, empty, BUILD / "SharedLayer/python", runtime, server)


def _locked(function: str) -> set[str]:
    text = (ROOT / f"functions/{function}/requirements.txt").read_text()
    return set(re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE))


def _install(names: set[str] | tuple[str, ...], folder: Path) -> None:
    """Copy installed distributions, metadata too (Pydantic reads it), and no bytecode."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(names):
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # locked for another Python or platform
        for file in distribution.files or ():
            if ".." in file.parts or file.suffix == ".pyc":
                continue
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target)


def _copy(source: Path, target: Path, *, bytecode: bool = False) -> None:
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        return
    ignored = shutil.ignore_patterns() if bytecode else shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=ignored)


def _compile(folder: Path, only: str = "") -> None:
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if only:
        compiled = compileall.compile_file(folder / only, quiet=1, invalidation_mode=mode)
    else:
        compiled = compileall.compile_dir(folder, quiet=1, invalidation_mode=mode)
    if not compiled:
        raise RuntimeError(f"{folder}: not every module compiled, see above")
