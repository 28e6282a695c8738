"""The house: rooms by product, imports one way; pure modules decide, named adapter modules act; each package that
others can install stands alone."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "shared"
# The ground floor: words and values that all rooms share. Each may be imported from everywhere.
GROUND = {"weir.errors", "weir.outcomes", "weir.problems", "weir.embedded_metrics", "weir.light_tuples"}
# What each room may import of ours, beside itself and the ground floor; the rooms stand from the ground up.
MAY_IMPORT = {
    "pydantic_streaming": set(),
    "asgiric": set(),
    "weir.pricing": set(),
    "weir.schemas": set(),
    "weir.providers": {"weir.pricing"},
    "weir.access": {"weir.providers", "weir.pricing"},
    "weir.ledger": {"weir.pricing"},
    "weir.reports": {"weir.pricing", "weir.ledger"},
    "weir.generate": {"weir.access", "weir.pricing", "weir.schemas", "weir.providers", "weir.ledger", "pydantic_streaming"},
    "functions": {"weir.access", "weir.pricing", "weir.schemas", "weir.ledger", "weir.reports", "weir.generate", "weir.providers"},
}  # fmt: skip
# The modules that act: each is named after what it talks to. Everything else is sans-IO.
ADAPTERS = {
    "weir.access.admission", "weir.access.answer_store", "weir.access.dynamodb", "weir.access.leases",
    "weir.access.stop_flags",
    "weir.schemas",  # the folder of schemas
    "weir.pricing.price_book",  # the book's own files
    "weir.pricing.overrides",  # where a contract's prices lie
    "weir.pricing.aws_offers",  # AWS's price list
    "weir.ledger.current_book",
    "weir.providers.secret", "weir.providers.transport", "weir.providers.upstream", "weir.providers.role",
    "weir.providers.role_credentials",
    "weir.ledger.duck", "weir.ledger.fast_join", "weir.ledger.log_groups", "weir.ledger.rollups", "weir.ledger.store", "weir.ledger.compact",
    "weir.ledger.close", "weir.ledger.reprice", "weir.ledger.fact_files", "weir.ledger.row_hash", "weir.ledger.ingest",
    "weir.ledger.completeness", "weir.ledger.one_request", "weir.ledger.meter", "weir.ledger.kept_books",
    "weir.reports.athena", "weir.reports.engine", "weir.reports.export", "weir.reports.export_files",
    "weir.reports.export_jobs", "weir.reports.parquet_cache", "weir.reports.report", "weir.reports.studies", "weir.reports.web",
    "weir.reports.statements",  # the files of SQL
    "weir.reports.xlsx",
    "weir.generate.settings",  # the models' file
    "weir.generate.service", "weir.generate.gate", "weir.generate.question", "weir.generate.hedge",
    "weir.generate.validator_process", "weir.generate.process", "weir.generate.stopping",
    "weir.generate.loop_gap", "weir.generate.asgi_responses", "weir.generate.pulse", "weir.generate.token_timer", "weir.generate.telemetry",
    "weir.generate.late_imports",
    "weir.generate.stored_prices",
}  # fmt: skip
OURS = ("weir", "asgiric", "pydantic_streaming", "functions", "infra", "tests")
# Sans-IO: nothing here opens, waits, asks the clock, reads files or the environment.
IO_MODULES = {
    "asyncio", "boto3", "botocore", "duckdb", "httpx", "importlib.resources", "multiprocessing", "os", "pathlib",
    "random", "secrets", "select", "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "tempfile",
    "threading", "time", "urllib.request", "aws_lambda_powertools",
}  # fmt: skip


def modules() -> list[Path]:
    return [*SHARED.rglob("*.py"), *(ROOT / "functions").rglob("*.py")]


def name_of(path: Path) -> str:
    base = next((base for base in (SHARED, ROOT) if path.is_relative_to(base)), path.parent)
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> Iterator[tuple[str, str | None]]:
    """Each import of a file, wherever it stands: the module, and what is taken out of it."""
    package = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parent, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def imports(path: Path) -> Iterator[str]:
    for module, name in imported(path):
        yield module
        if name and module in ("weir", "importlib"):  # `from weir import outcomes` names a module, too
            yield f"{module}.{name}"


def module_imports(path: Path, names: set[str]) -> set[str]:
    """Those of `names` that a module imports, whole or something out of them."""
    inner = ((module, f"{module}.{name}") for module, name in imported(path))
    return {whole if whole in names else module for module, whole in inner} & names


def acts(path: Path) -> set[str]:
    """What a module imports that opens, waits, or asks the outside."""
    return {name for name in imports(path) if name in IO_MODULES or name.split(".")[0] in IO_MODULES}


def room_of(name: str) -> str | None:
    return next(
        (room for room in (*MAY_IMPORT, *GROUND) if name == room or name.startswith(room + ".")), None
    )


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_follow_the_arrow(path: Path) -> None:
    room = room_of(name_of(path))
    if room is None:
        assert name_of(path) in ("weir", "functions"), f"{path}: expected a room of {sorted(MAY_IMPORT)}"
        return
    ours = {name for name in imports(path) if name.split(".")[0] in OURS}
    allowed = GROUND if room in GROUND else {room, *GROUND, *MAY_IMPORT[room]}
    wrong = {name for name in ours if room_of(name) not in allowed}
    assert not wrong, f"{name_of(path)} imports {sorted(wrong)}; {room} may import {sorted(allowed)}"


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in modules()
        if name_of(path).split(".")[0] in ("weir", "pydantic_streaming") and name_of(path) not in ADAPTERS
    ],
    ids=name_of,
)
def test_what_is_no_adapter_is_sans_io(path: Path) -> None:
    assert not acts(path), f"{name_of(path)} imports {sorted(acts(path))}"


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_an_adapter_exists_and_acts(name: str) -> None:
    """So that the list names no module that decides."""
    path = SHARED / name.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    adapters = {other for other in imports(path) if other in ADAPTERS}
    assert acts(path) or adapters, f"{name}: expected an import of {sorted(IO_MODULES)} or of an adapter"


def test_rooms_are_at_most_eight_and_in_no_circle() -> None:
    rooms = [room for room in MAY_IMPORT if room.startswith("weir.")]
    assert len(rooms) <= 8
    done: set[str] = set()
    for room, below in MAY_IMPORT.items():  # the table stands from the ground up
        assert below <= done, f"{room} may import {sorted(below - done)}, which stand above it"
        done.add(room)


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """The modules of one circle, in its order; none where there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return way[way.index(name) :]
        if name in done:
            return []
        for other in sorted(arrows[name]):
            if found := walk(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(arrows) if (found := walk(name, []))), [])


def test_no_two_modules_import_each_other_by_any_way() -> None:
    """Late imports and those for types count: each half of a circle can be read only with the other."""
    paths = {name_of(path): path for path in [*modules(), *(ROOT / "infra").rglob("*.py")]}
    arrows = {}
    for name, path in paths.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        # A package's __init__ is no module of its own to those inside it.
        arrows[name] = {other for other in module_imports(path, set(paths)) if other not in (name, package)}
    assert sum(map(len, arrows.values())) > len(arrows), "expected more imports than modules"
    assert circle(arrows) == []


def test_a_circle_would_be_found() -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}
    assert circle(arrows) == ["b", "c"]
    assert circle(arrows | {"c": {"d"}}) == []


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


def test_the_rules_would_catch_what_they_forbid(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import time\nfrom pathlib import Path\nfrom importlib import resources\nfrom weir import outcomes\n"
    )
    assert acts(wrong) == {"time", "pathlib", "importlib.resources"}
    assert "weir.outcomes" in set(imports(wrong))
    assert room_of("weir.reports.report") not in MAY_IMPORT["weir.ledger"]
