"""The import budget of a cold start, by module list: times differ between machines, lists do not."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import asgiric
from asgiric import errors

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


@pytest.mark.parametrize("name", asgiric.__all__)
def test_every_public_name_is_there_when_it_is_asked_for(name: str):
    assert getattr(asgiric, name) is not None


def test_no_other_name_is_made_up():
    with pytest.raises(AttributeError, match="no attribute 'Mangum'"):
        asgiric.Mangum  # noqa: B018


def public_errors() -> list[str]:
    """The names of the tree that errors.py draws, each with its depth."""
    drawn = [
        line for line in (errors.__doc__ or "").splitlines() if re.search(r"[A-Za-z]+ {2,}|^ {4}\w+$", line)
    ]
    return [re.sub(r"^[ │├└─]*(\w+).*", r"\1", line) for line in drawn]


def test_the_tree_of_errors_is_the_one_that_its_docstring_draws():
    for module in pkgutil.walk_packages(asgiric.__path__, "asgiric."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(kind: type[BaseException]) -> set[str]:
        return {kind.__name__}.union(*(below(child) for child in kind.__subclasses__()))

    assert below(errors.AsgiricError) == set(public_errors())


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
