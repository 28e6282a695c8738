"""The arrow: functions -> use cases -> adapters -> core, and never back; core is sans-IO; asgiric stands alone."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "shared"
# What each room may import of ours, itself included.
MAY_IMPORT = {
    "weir.core": {"weir.core", "weir.schemas"},
    "weir.schemas": {"weir.schemas"},
    "weir.adapters": {"weir.adapters", "weir.core", "weir.schemas"},
    "weir.usecases": {"weir.usecases", "weir.adapters", "weir.core", "weir.schemas"},
    "asgiric": {"asgiric"},
    "functions": {"weir.usecases", "weir.adapters", "weir.core", "weir.schemas"},
}
# Sans-IO: nothing here opens, waits, asks the clock or reads the environment.
IO_MODULES = {
    "asyncio", "boto3", "botocore", "httpx", "multiprocessing", "os", "random", "secrets", "select", "selectors",
    "signal", "socket", "ssl", "subprocess", "threading", "time", "urllib.request", "aws_lambda_powertools",
}  # fmt: skip


def modules() -> list[Path]:
    return [*SHARED.rglob("*.py"), *(ROOT / "functions").rglob("*.py")]


def name_of(path: Path) -> str:
    base = SHARED if path.is_relative_to(SHARED) else ROOT
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    package = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            yield ".".join([*parent, *([node.module] if node.module else [])])


def room_of(name: str) -> str | None:
    return next((room for room in MAY_IMPORT if name == room or name.startswith(room + ".")), None)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_follow_the_arrow(path: Path) -> None:
    room = room_of(name_of(path))
    if room is None:
        assert name_of(path) in ("weir", "functions"), f"{path}: expected a room of {sorted(MAY_IMPORT)}"
        return
    ours = {
        name
        for name in imports(path)
        if name.split(".")[0] in ("weir", "asgiric", "functions", "infra", "tests")
    }
    wrong = {name for name in ours if room_of(name) not in MAY_IMPORT[room]}
    assert not wrong, f"{name_of(path)} imports {sorted(wrong)}; {room} may import {sorted(MAY_IMPORT[room])}"


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if room_of(name_of(path)) in ("weir.core", "weir.schemas")],
    ids=name_of,
)
def test_core_is_sans_io(path: Path) -> None:
    wrong = {name for name in imports(path) if name in IO_MODULES or name.split(".")[0] in IO_MODULES}
    assert not wrong, f"{name_of(path)} imports {sorted(wrong)}"


@pytest.mark.parametrize(
    "path", [path for path in modules() if room_of(name_of(path)) == "asgiric"], ids=name_of
)
def test_the_runtime_client_needs_the_standard_library_alone(path: Path) -> None:
    optional = {"snapshot_restore_py"}  # the hooks' registry, where the function brings it
    foreign = {
        name
        for name in (name.split(".")[0] for name in imports(path))
        if name not in sys.stdlib_module_names and name != "asgiric" and name not in optional
    }
    assert not foreign, f"{name_of(path)} imports {sorted(foreign)}"


def test_the_rule_would_catch_an_import_against_the_arrow() -> None:
    assert room_of("weir.adapters.store") not in MAY_IMPORT["weir.core"]
    assert room_of("weir.usecases.generate") not in MAY_IMPORT["weir.adapters"]
