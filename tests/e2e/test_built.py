"""What `make build` made, zipped as SAM zips it and unzipped as Lambda does: it imports, and its bytecode is used."""

import hashlib
import importlib.util
import json
import os
import re
import struct
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cloudformation import ROOT
from tests.unit.test_packaging import pins, reachable

BUILT = ROOT / ".aws-sam/build"
RUNTIME = ROOT / ".aws-sam/runtime"
FUNCTIONS = {
    "GenerateFunction": "generate",
    "LedgerFunction": "ledger",
    "FinanceFunction": "finance",
    "LedgerJobsFunction": "ledger_jobs",
}
AWS_CLIENTS = {
    "generate": ("s3", "secretsmanager", "ssm"),
    "ledger": ("s3",),
    "finance": ("athena", "lambda", "s3", "ssm"),
    "ledger_jobs": ("cloudwatch", "lambda", "logs", "s3", "ssm"),
}
# Of a function and its layers, unpacked. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_UNPACKED_BYTES = 250 * 1024 * 1024
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_REGION": "eu-central-1",
    "WEIR_LEDGER_BUCKET": "books",
    "WEIR_UPSTREAM_BASE_URL": "http://127.0.0.1:9/v1",
    "WEIR_UPSTREAM_MODEL": "any",
}

pytestmark = [
    pytest.mark.build,
    pytest.mark.skipif(not BUILT.exists(), reason="nothing built: `make build` (CPython 3.13) does it"),
]


@pytest.fixture(scope="session")
def python_3_13() -> str:
    found = subprocess.run(
        ["sh", ROOT / "infra/build/find_python.sh", "3.13"], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


@pytest.fixture(scope="session")
def on_lambda(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A built artifact after SAM's zip and Lambda's unzip: all files of 1980, none writable."""
    folder = tmp_path_factory.mktemp("lambda")

    def unzipped(name: str) -> Path:
        destination = folder / name
        if destination.exists():
            return destination
        # SAM's own function, in SAM's own environment.
        zipper = (
            "import sys; from samcli.lib.package.utils import make_zip_with_lambda_permissions as make_zip\n"
            "print(make_zip(sys.argv[1], sys.argv[2]))"
        )
        made = subprocess.run(
            [ROOT / ".venv-sam/bin/python", "-c", zipper, folder / f"{name}-artifact", BUILT / name],
            capture_output=True,
            text=True,
            check=True,
        )
        with zipfile.ZipFile(made.stdout.strip()) as archive:
            for entry in archive.infolist():
                path = Path(archive.extract(entry, destination))
                stamp = time.mktime((*entry.date_time, 0, 0, -1))
                os.utime(path, (stamp, stamp))
                if not path.is_dir():
                    path.chmod(entry.external_attr >> 16 & 0o555)
        return destination

    return unzipped


def run(python: str, paths: list[Path], code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run code as a fresh process that sees the standard library and `paths`, nothing of this environment."""
    return subprocess.run(
        [python, "-S", "-P", *options, "-c", code],
        env=ENVIRONMENT | {"PYTHONPATH": ":".join(map(str, paths)), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", [*FUNCTIONS, "SharedLayer"])
def test_every_module_has_bytecode_that_no_timestamp_can_make_stale(name: str) -> None:
    modules = list((BUILT / name).rglob("*.py"))
    assert modules
    for module in modules:
        compiled = module.parent / "__pycache__" / f"{module.stem}.cpython-313.pyc"
        assert compiled.exists(), f"{module} would be compiled at every cold start"
        header = compiled.read_bytes()[:16]
        # PEP 552: bit 0 says hash-based, bit 1 that the importer checks the source.
        assert struct.unpack("<I", header[4:8])[0] == 0b01, compiled
        assert header[8:16] == importlib.util.source_hash(module.read_bytes()), (
            f"{compiled} is of another source"
        )


@pytest.mark.parametrize("name", [*FUNCTIONS, "SharedLayer"])
def test_nothing_is_shipped_that_is_not_run(name: str) -> None:
    shipped = [path.relative_to(BUILT / name) for path in (BUILT / name).rglob("*")]
    for path in shipped:
        # The page's chart library is a package, too: its licence lies beside it.
        if path.parts[0] == "licenses" or path.match("page/vendor/*.LICENSE.md"):
            continue
        assert path.suffix not in (".pyi", ".c", ".h", ".md"), path
        assert not {"tests", "test", "bin"} & set(path.parts), path
        assert path.name not in ("Makefile", "requirements.txt", "requirements.in", "RECORD"), path
    services = {path.name for path in (BUILT / name / "botocore/data").glob("*") if path.is_dir()}
    assert services == set(AWS_CLIENTS.get(FUNCTIONS.get(name, ""), ()))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_and_its_layer_fit_into_lambda(name: str) -> None:
    both = [path for part in (name, "SharedLayer") for path in (BUILT / part).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in both) < MAX_UNPACKED_BYTES


@pytest.mark.parametrize("name", FUNCTIONS)
def test_licences_travel_with_the_code(name: str) -> None:
    licences = {path.name.rsplit("-", 1)[0] for path in (BUILT / name / "licenses").iterdir()}
    assert {"boto3", "botocore"} <= licences


def test_the_layer_holds_our_code_and_nothing_else() -> None:
    assert {path.name for path in (BUILT / "SharedLayer").iterdir()} == {"licenses", "python"}
    held = {path.name for path in (BUILT / "SharedLayer/python").iterdir()}
    assert held == {"asgiric", "pydantic_streaming", "weir"}
    assert list((BUILT / "SharedLayer/python/weir").rglob("*.json")), "the price book's data"


@pytest.mark.parametrize(("name", "folder"), FUNCTIONS.items())
def test_a_function_starts_from_its_zip_and_compiles_nothing(
    name: str, folder: str, on_lambda: Callable[[str], Path], python_3_13: str
) -> None:
    task, layer = on_lambda(name), on_lambda("SharedLayer") / "python"
    done = run(python_3_13, [task, layer, RUNTIME], "import app", "-v")
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = re.findall(r"^# code object from '?([^'\n]+)'?$", done.stderr, re.M)
    ours = [path for path in loaded if path.startswith((str(task), str(layer)))]
    assert any(path.endswith("app.cpython-313.pyc") for path in ours)
    assert [path for path in ours if not path.endswith(".pyc")] == []
    assert not re.search(r"bytecode is stale|wrote '", done.stderr)


@pytest.mark.parametrize(("name", "folder"), FUNCTIONS.items())
def test_what_a_function_imports_later_is_there_too(
    name: str, folder: str, on_lambda: Callable[[str], Path], python_3_13: str
) -> None:
    later = sorted(reachable(ROOT / "functions" / folder / "app.py"))
    code = f"""
import importlib, json, app
for module in {later!r}:
    importlib.import_module(module)
import boto3
for service in {AWS_CLIENTS[folder]!r}:
    boto3.client(service)
print(json.dumps("ok"))
"""
    done = run(python_3_13, [on_lambda(name), on_lambda("SharedLayer") / "python", RUNTIME], code)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == "ok"


def test_generate_writes_its_metrics_and_reads_its_key_with_what_was_kept(
    on_lambda: Callable[[str], Path], python_3_13: str
) -> None:
    code = """
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from aws_lambda_powertools.utilities import parameters
metrics = EphemeralMetrics(namespace="Weir", service="generate")
metrics.add_metric(name="Ok", unit=MetricUnit.Count, value=1)
metrics.flush_metrics()
parameters.SecretsProvider(), parameters.SSMProvider()
"""
    done = run(python_3_13, [on_lambda("GenerateFunction"), on_lambda("SharedLayer") / "python"], code)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["Ok"] == [1.0]


@pytest.mark.parametrize("name", ["FinanceFunction", "LedgerJobsFunction"])
def test_duckdb_reads_and_writes_parquet_with_what_was_kept(
    name: str, on_lambda: Callable[[str], Path], python_3_13: str, tmp_path: Path
) -> None:
    code = f"""
from weir.ledger.duck import connect
with connect() as connection:
    path = {str(tmp_path / "one.parquet")!r}
    connection.execute(f"COPY (SELECT TIMESTAMP '2026-11-22 12:00:00' AS at_utc) TO '{{path}}' (FORMAT parquet)")
    local = "at_utc AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin'"
    print(connection.execute(f"SELECT extract(hour FROM {{local}}) FROM read_parquet('{{path}}')").fetchall())
"""
    done = run(python_3_13, [on_lambda(name), on_lambda("SharedLayer") / "python"], code)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "[(13,)]"


@pytest.mark.parametrize("name", ["FinanceFunction", "LedgerJobsFunction"])
def test_time_zones_are_known_whatever_the_system_has(
    name: str, on_lambda: Callable[[str], Path], python_3_13: str
) -> None:
    code = """
import zoneinfo
from datetime import datetime
zoneinfo.reset_tzpath([])
print(datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")).utcoffset())
"""
    done = run(python_3_13, [on_lambda(name)], code)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "2:00:00"


def test_the_bootstrap_may_be_executed_after_the_zip(on_lambda: Callable[[str], Path]) -> None:
    assert os.access(on_lambda("GenerateFunction") / "bootstrap", os.X_OK)


def test_the_managed_function_is_the_same_code() -> None:
    one, other = BUILT / "GenerateFunction", BUILT / "GenerateManagedFunction"
    assert {path.relative_to(one) for path in one.rglob("*.py")} == {
        path.relative_to(other) for path in other.rglob("*.py")
    }


@pytest.mark.parametrize("name", [*FUNCTIONS, "SharedLayer"])
def test_a_bill_of_materials_names_every_package_and_its_licence(name: str) -> None:
    document = json.loads((BUILT / name / "licenses/sbom.cdx.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    components = {one["name"]: one for one in document["components"]}
    if name == "SharedLayer":
        assert components == {}
        return
    locked = {
        package: version
        for package, (version, _) in pins(f"functions/{FUNCTIONS[name]}/requirements.txt").items()
        if package in components
    }
    assert {package: one["version"] for package, one in components.items() if "pypi" in one["purl"]} == locked
    assert all(one["licenses"] for one in components.values())
    if name == "FinanceFunction":
        assert "chart.js" in components


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", [*FUNCTIONS, "SharedLayer"])
def test_a_second_build_by_somebody_else_is_the_same_to_the_byte(
    name: str, tmp_path: Path, python_3_13: str
) -> None:
    kind = ["layer", "shared"] if name == "SharedLayer" else ["function", f"functions/{FUNCTIONS[name]}"]
    stamp = next((ROOT / ".aws-sam").glob(".built-*"), None)
    architecture = stamp.name.removeprefix(".built-") if stamp else "x86_64"
    again = tmp_path / "a longer path than the first"
    # A careful umask: what it takes away, Lambda's user would miss.
    subprocess.run(
        ["sh", "-c", 'umask 077; exec "$@"', "sh", python_3_13, "infra/build/assemble.py",
         "--architecture", architecture, *kind, again],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, check=True,
    )  # fmt: skip
    assert zipped(tmp_path / "a", BUILT / name) == zipped(tmp_path / "b", again)


def zipped(destination: Path, folder: Path) -> str:
    """The digest of SAM's own zip of a folder."""
    code = (
        "import sys; from samcli.lib.package.utils import make_zip_with_lambda_permissions as make_zip\n"
        "print(make_zip(sys.argv[1], sys.argv[2]))"
    )
    made = subprocess.run(
        [ROOT / ".venv-sam/bin/python", "-c", code, destination, folder],
        capture_output=True,
        text=True,
        check=True,
    )
    return hashlib.sha256(Path(made.stdout.strip()).read_bytes()).hexdigest()
