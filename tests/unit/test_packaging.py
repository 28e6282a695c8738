"""What is installed, built and promised: locks agree, functions carry what they import, the README is run."""

import ast
import importlib.metadata
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cloudformation import ROOT, load

FUNCTIONS = ("generate", "ledger", "finance", "ledger_jobs")
# One lock per environment; those beside the application's own may want other versions.
ROOT_LOCK = "requirements.lock"
FUNCTION_LOCKS = tuple(f"functions/{name}/requirements.txt" for name in FUNCTIONS)
PARTIAL_LOCKS = (*FUNCTION_LOCKS, "infra/build/runtime.txt", "infra/container/requirements.txt")
OTHER_LOCKS = (
    "infra/build/uv.lock", "infra/sam.lock", "tests/bench/peers.lock", "tests/compare/peers.lock",
    "tests/peers/litellm.lock", "tests/peers/llama-cpp.lock", "tests/peers/llama-cpp-backend.lock",
    "tests/peers/oldest-pydantic.lock",
)  # fmt: skip
# Lambda's managed runtime has these; asgiric and the functions may look for them there.
IN_THE_RUNTIME = {"awslambdaric", "snapshot-restore-py"}
# Powertools' parameters import boto3 without asking for it, so whoever imports them must.
BROUGHT_FOR_ANOTHER = {"aws-lambda-powertools": {"boto3"}}
# Data that zoneinfo looks for where the system has none.
NEVER_NAMED = {"tzdata"}
# Who runs what the README shows: a command's beginning, a file, and the words with which that file runs it.
README_COMMANDS = {
    r"git clone \S+( <?this repository>?)?.*": (".ci/run", "on a fresh clone"),
    r"make demo": (".ci/run", "make demo"),
    r"make demo BUILT=1": (".ci/run", "make demo BUILT=1"),
    r"make test": (".ci/run", " test "),
    r"make lint": (".ci/run", "make lint"),
    r"make validate": (".ci/run", "make validate"),
    r"make build": (".ci/run", "test-built"),
    r"make sam-local": (".ci/run", "sam-local"),
    r"make smoke STAGE=local": (".ci/run", "make smoke STAGE=local"),
    r"make test-litellm": (".ci/run", ".venv-litellm/.installed"),
    r"make fuzz( SECONDS=\d+)?": (".ci/run", "make fuzz"),
    r"make focus": (".ci/run", "make focus"),
    r"infra/costs/costs \w+ .*": (
        "tests/functional/costs/test_commands.py",
        'startswith("infra/costs/costs ")',
    ),
    r"(WEIR_[A-Z_]+=\S+ )*make dev": ("tests/e2e/test_readme.py", '"dev"'),
    r'curl -N "\$URL/v1/generations" --aws-sigv4 .*': ("tests/e2e/test_readme.py", "--aws-sigv4"),
    r"curl -N http://127\.0\.0\.1:\d+/v1/generations .*": ("tests/e2e/test_readme.py", "curl"),
}

PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)( ; [^\\]+)? \\$")


def pins(lock: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes of every package in a lock."""
    found: dict[str, tuple[str, set[str]]] = {}
    name = ""
    for number, line in enumerate((ROOT / lock).read_text().splitlines(), 1):
        if line.startswith("#"):
            continue
        if pin := PINNED.match(line):
            name = pin[1]
            assert name not in found, f"{lock}:{number}: {name} twice"
            found[name] = (pin[2], set())
        else:
            digest = re.fullmatch(r"    --hash=(sha256:[0-9a-f]{64})( \\)?", line)
            assert digest, f"{lock}:{number}: expected a pin or a hash, got {line!r}"
            found[name][1].add(digest[1])
    return {name: (version, frozenset(hashes)) for name, (version, hashes) in found.items()}


def asked(path: str) -> set[str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / path).read_text().splitlines())
    return {re.split(r"[\[=<>~ ;]", line)[0] for line in lines if line}


@pytest.mark.parametrize("lock", [ROOT_LOCK, *PARTIAL_LOCKS, *OTHER_LOCKS])
def test_every_package_of_a_lock_is_pinned_and_hashed_and_no_address_is_in_it(lock: str) -> None:
    packages = pins(lock)
    assert packages
    assert all(hashes for _, hashes in packages.values())
    assert "://" not in (ROOT / lock).read_text()
    assert (ROOT / lock).read_text().splitlines()[1] == "#    make lock"


@pytest.mark.parametrize("lock", PARTIAL_LOCKS)
def test_functions_run_the_versions_that_the_tests_run(lock: str) -> None:
    tested = pins(ROOT_LOCK)
    for name, pin in pins(lock).items():
        assert pin == tested[name], f"{lock}: {name} differs from {ROOT_LOCK}: `make lock`"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_lock_holds_what_its_function_asks_for(name: str) -> None:
    assert asked(f"functions/{name}/requirements.in") <= set(pins(f"functions/{name}/requirements.txt"))


def test_the_lock_holds_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    assert {re.split(r"[\[=<>~ ;]", one)[0] for one in wanted} <= set(pins(ROOT_LOCK))


def our_imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Absolute module names that a file imports, anywhere in it but under TYPE_CHECKING."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = list(path.relative_to(ROOT / "shared").parent.parts) if node.level else []
            base = [*package[: len(package) - node.level + 1], *([node.module] if node.module else [])]
            yield ".".join(base), False
            # `from package import name`: the name may be a module.
            yield from ((".".join([*base, alias.name]), True) for alias in node.names)


def reachable(entry: Path) -> set[str]:
    """Top-level names of other people's modules that a function can import, through every module of ours."""
    queue, seen, others = [entry], set(), set()
    while queue:
        path = queue.pop()
        if path in seen:
            continue
        seen.add(path)
        for name, guessed in our_imports(path):
            top = name.split(".")[0]
            if top not in ("weir", "asgiric", "pydantic_streaming"):
                others |= set() if guessed else {top}
                continue
            base = ROOT / "shared" / Path(*name.split("."))
            if name == "weir.schemas":
                queue += base.glob("*.py")  # found by name while running
            queue += [file for file in (base.with_suffix(".py"), base / "__init__.py") if file.exists()]
            parents = name.split(".")[:-1]
            queue += [ROOT / "shared" / Path(*parents[: i + 1]) / "__init__.py" for i in range(len(parents))]
        queue = [file for file in queue if file.exists()]
    return others - sys.stdlib_module_names


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_carries_what_it_imports_and_nothing_else(name: str) -> None:
    distributions = importlib.metadata.packages_distributions()
    imported = {
        distributions[top][0].lower().replace("_", "-")
        for top in reachable(ROOT / "functions" / name / "app.py")
    }
    imported -= IN_THE_RUNTIME
    carried = set(pins(f"functions/{name}/requirements.txt"))
    assert imported <= carried, f"missing: {imported - carried}"
    listed = asked(f"functions/{name}/requirements.in")
    for name, others in BROUGHT_FOR_ANOTHER.items():
        listed -= others if name in listed else set()
    listed -= NEVER_NAMED
    assert listed <= imported, f"listed in requirements.in, imported nowhere: {listed - imported}"


def test_the_runtime_client_imports_the_standard_library_alone() -> None:
    for path in (ROOT / "shared/asgiric").rglob("*.py"):
        for name, guessed in our_imports(path):
            top = name.split(".")[0]
            assert (
                guessed or top == "asgiric" or top in sys.stdlib_module_names or top == "snapshot_restore_py"
            ), path


@pytest.mark.parametrize("script", ["functions/generate/bootstrap", "infra/costs/costs", ".ci/run"])
def test_scripts_are_executable(script: str) -> None:
    assert (ROOT / script).stat().st_mode & stat.S_IXUSR


def bootstrap_runs(tmp_path: Path, **environment: str) -> list[str]:
    """What `bootstrap PYTHON ...` executes: its arguments and the import path, told by a stand-in for PYTHON."""
    python = tmp_path / "python3.13"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$*" "$PYTHONPATH"\n')
    python.chmod(0o755)
    run = subprocess.run(
        [ROOT / "functions/generate/bootstrap", python, "/var/runtime/bootstrap.py"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.splitlines()


def test_the_bootstrap_starts_our_client_with_task_layers_and_runtime_in_this_order(tmp_path: Path) -> None:
    arguments, path = bootstrap_runs(
        tmp_path,
        PATH=os.environ["PATH"],
        LAMBDA_TASK_ROOT="/task",
        LAMBDA_RUNTIME_DIR="/rt",
        PYTHONPATH="/more",
    )
    assert arguments.endswith("-m asgiric")
    assert path.split(":") == [
        "/task",
        "/opt/python/lib/python3.13/site-packages",
        "/opt/python",
        "/more",
        "/rt",
    ]


def test_the_build_compiles_for_the_runtime_that_the_template_names() -> None:
    assembled = re.search(r"^PYTHON = \((\d+), (\d+)\)", (ROOT / "infra/build/assemble.py").read_text(), re.M)
    assert assembled
    assert load("template.yaml")["Globals"]["Function"]["Runtime"] == f"python{assembled[1]}.{assembled[2]}"


def test_find_python_says_what_it_looked_for_when_there_is_none(tmp_path: Path) -> None:
    shim = tmp_path / "python3.13"  # as pyenv leaves it: there, and failing
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    run = subprocess.run(
        ["sh", ROOT / "infra/build/find_python.sh", "3.13"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "PYTHON": str(shim)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stdout == ""
    assert "No CPython 3.13 that runs" in run.stderr
    assert str(shim) in run.stderr


def test_find_python_passes_over_a_shim_that_fails(tmp_path: Path) -> None:
    for version in ("3.12", "3.13"):
        shim = tmp_path / f"python{version}"
        shim.write_text("#!/bin/sh\nexit 127\n")
        shim.chmod(0o755)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    versions = tmp_path / "pyenv/versions" / f"{here}.99/bin"
    versions.mkdir(parents=True)
    (versions / "python").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
    run = subprocess.run(
        ["sh", ROOT / "infra/build/find_python.sh", here],
        env={
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PYENV_ROOT": str(tmp_path / "pyenv"),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(run.stdout.strip()).exists()


def commands(document: str) -> list[str]:
    """Every command in a document's sh blocks, without its comment."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [
        re.sub(r"\s+#.*$", "", line).strip() for line in lines if line.strip() and not line.startswith("#")
    ]


READMES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "functions/*/README.md", "infra/README.md", "shared/README.md", "tests/README.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("document", READMES)
def test_every_command_of_a_readme_is_run_by_a_test_or_by_ci(document: str) -> None:
    for command in commands(document):
        runs = [run for pattern, run in README_COMMANDS.items() if re.fullmatch(pattern, command)]
        assert runs, f"{document}: nothing runs {command!r}: add who does to README_COMMANDS"
        for file, words in runs:
            assert words in (ROOT / file).read_text(), f"{file} no longer runs {command!r}"


def test_the_readme_leads_every_reader_to_a_page_of_their_own_and_fits_one_screen() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 70
    for page in ("functions/generate", "functions/finance", "infra", "shared", "tests"):
        assert f"({page}/README.md)" in text


@pytest.mark.parametrize("document", READMES)
def test_every_link_of_a_readme_to_this_repository_leads_somewhere(document: str) -> None:
    folder = (ROOT / document).parent
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / document).read_text()):
        if "://" not in link and not link.startswith("#"):
            assert (folder / link.partition("#")[0]).exists(), f"{document}: {link}"


def test_every_target_of_the_makefile_is_listed_and_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split())  # type: ignore[index]
    explained = set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.M))
    assert phony == explained
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  ([a-z-]+) ", listed, re.M)) == phony
    groups = re.findall(r"^(\S.*)$", listed, re.M)
    assert groups == re.findall(r"^# ---- (.*?) -+$", makefile, re.M) and len(groups) > 4
    mentioned = set(re.findall(r"`make ([a-z][a-z-]*)", (ROOT / "README.md").read_text()))
    assert mentioned <= phony
