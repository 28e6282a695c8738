"""The import budget of a cold start, by module list: times differ between machines, lists do not."""

import ast
import subprocess
import sys
from pathlib import Path

SHARED = Path(__file__).parents[3] / "shared"
PROBE = "import sys, {first}; before = set(sys.modules); import {then}; print(*(set(sys.modules) - before))"


def imported(first: str, then: str) -> set[str]:
    """Modules that `then` brings, where `first` is there already."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(first=first, then=then)],
        env={"PYTHONPATH": str(SHARED)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_the_runtime_brings_nothing_but_itself_and_json_to_asyncio():
    brought = imported("asyncio", "asgiric.runtime")
    own = {name for name in brought if name == "asgiric" or name.startswith("asgiric.")}
    assert brought - own == {
        "json",
        "json.decoder",
        "json.encoder",
        "json.scanner",
        "_json",
        "gc",
        "__future__",
    }
    assert "asgiric.snapstart" not in own, "few functions are snapshots"


def test_importing_the_package_itself_brings_nothing():
    assert imported("sys", "asgiric") == {"asgiric"}


def test_the_wire_needs_no_event_loop():
    assert "asyncio" not in imported("sys", "asgiric.wire")
    assert "asyncio" not in imported("sys", "asgiric.events")


def test_nothing_outside_the_standard_library_is_imported_anywhere():
    """Read from the source: an import inside a function would escape a look at sys.modules."""
    for path in (SHARED / "asgiric").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                assert top == "asgiric" or top in sys.stdlib_module_names, f"{path.name} imports {name}"
