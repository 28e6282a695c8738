"""Assembles what SAM zips: a function's code with its third-party packages, or the layer with ours.

Decided here, because a cold start pays for each of them:

- Bytecode is compiled at build time. /var/task is read-only, so a package without it is compiled anew in every new
  environment. It is hash-based and unchecked: SAM's zip stamps all files 1980-01-01, which makes every ordinary
  (timestamp) .pyc stale. https://docs.python.org/3/reference/import.html#cached-bytecode-invalidation
- Paths inside the bytecode are those on Lambda (/var/task, /opt/python): the importer rewrites every code object of
  a module whose path differs.
- Nothing is shipped that no function imports: tests, stubs, console scripts, packages' metadata, AWS services that
  are not called. Pydantic looks for plugins in the metadata of every package it finds at start-up, so what is left
  out is also not read. Licences stay, in licenses/.
- Trusted certificates lie in a directory, of which a handshake reads one (certificates.py).
- Modes are 0755 and 0644, whatever the umask of whoever builds: under 077 Lambda could not run the bootstrap.
- Wheels are taken for the asked architecture and Lambda's glibc, never built here: a build on any machine is the same.

`assemble.py function functions/generate DEST`, `assemble.py layer shared DEST`, `assemble.py runtime DEST` (what the
managed runtime brings along: its client, for a laptop that runs the built functions). Needs CPython 3.13 with pip.
"""

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a script, by a CPython that has nothing of ours
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from infra.build.certificates import write_certificates
from infra.build.sbom import write_sbom

PYTHON = (3, 13)  # template.yaml: Runtime
ROOT = Path(__file__).resolve().parents[2]
STAMP = ROOT / ".aws-sam/schemas.json"

# Lambda's python3.13 stands on Amazon Linux 2023, glibc 2.34. pip wants every tag named that it may take.
GLIBC_TAGS = ("manylinux_2_34", "manylinux_2_31", "manylinux_2_28", "manylinux_2_26", "manylinux_2_24",
              "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010", "manylinux_2_5",
              "manylinux1")  # fmt: skip
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}

# The layer's packages; everything else in shared/ is for building it.
OUR_PACKAGES = ("asgiric", "pydantic_streaming", "weir")

# botocore describes 400 services in 25 MB. generate asks for a key; the others read and write the ledger's bucket;
# finance also asks Athena and starts the ledger jobs, which count in generate's log. A contract's prices may lie in S3
# or Systems Manager for all who price.
AWS_SERVICES = {
    "generate": ("s3", "secretsmanager", "ssm"),
    "ledger": ("s3",),
    "finance": ("athena", "lambda", "s3", "ssm"),
    "ledger_jobs": ("cloudwatch", "lambda", "logs", "s3", "ssm"),
}

# Large parts of packages that none of the functions imports. A test imports what each of them does import.
UNUSED = (
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/utilities/*/",
    "_duckdb-stubs",
    "adbc_driver_duckdb",
    "duckdb/experimental",
    "pydantic/mypy.py",
    "anyio/pytest_plugin.py",
)
USED = (
    "aws_lambda_powertools/utilities/jmespath_utils",
    "aws_lambda_powertools/utilities/parameters",
    "aws_lambda_powertools/utilities/typing",
)
# pydantic.v1 is imported by FastAPI's analysis of routes and by nothing else.
UNUSED_WITHOUT_FASTAPI = ("pydantic/v1",)

NOT_CODE = ("Makefile", "requirements.in", "requirements.txt", "package.json", "package-lock.json", ".npmrc",
            "pyproject.toml", "screenshots", "README.md", "*.pyc", "__pycache__")  # fmt: skip
NEVER_IMPORTED = ("bin", "**/tests", "**/test", "**/__pycache__", "**/*.pyi", "**/*.pyx", "**/*.pxd", "**/*.c",
                  "**/py.typed", "**/.agents", "boto3/examples", "boto3/data")  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in ("function", "layer"):
        one = kinds.add_parser(kind)
        one.add_argument("source", type=Path)
        one.add_argument("destination", type=Path)
    kinds.add_parser("runtime").add_argument("destination", type=Path)
    parser.add_argument("--architecture", choices=MACHINES, default="arm64")
    asked = parser.parse_args(arguments)

    if sys.version_info[:2] != PYTHON:
        raise SystemExit(
            f"assemble.py: expected CPython {PYTHON[0]}.{PYTHON[1]}, whose bytecode Lambda runs, "
            f"got {sys.version.split()[0]} ({sys.executable})"
        )
    asked.destination.mkdir(parents=True, exist_ok=True)
    if asked.kind == "function":
        install(asked.source / "requirements.txt", asked.destination, asked.architecture)
        write_sbom(asked.source.name, asked.destination, asked.source / "package-lock.json")
        trim(asked.destination, AWS_SERVICES[asked.source.name])
        shutil.copytree(asked.source, asked.destination, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns(*NOT_CODE))  # fmt: skip
        if (asked.destination / "bootstrap").exists():  # which names the directory to OpenSSL
            write_certificates(asked.destination / "certifi/cacert.pem", asked.destination / "certificates")
        if asked.source.name == "generate" and (models := os.environ.get("MODELS", "")):
            # The parameter Models names it by the same path.
            (asked.destination / models).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / models, asked.destination / models)
        compile_for(asked.destination, "/var/task")
    elif asked.kind == "layer":
        packages = asked.destination / "python"
        for name in OUR_PACKAGES:
            shutil.copytree(asked.source / name, packages / name, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns(*NOT_CODE))  # fmt: skip
        if STAMP.exists():  # what `make build` found of the schemas: a start need not find it again
            shutil.copy(STAMP, packages / "weir/schemas/checked.json")
        compile_for(packages, "/opt/python")
        write_sbom("layer", asked.destination)
    else:
        install(ROOT / "infra/build/runtime.txt", asked.destination, asked.architecture)
        compile_for(asked.destination, "/var/runtime")
    set_modes(asked.destination)


def set_modes(folder: Path) -> None:
    """Everybody may read, and run what its owner may run."""
    for path in [folder, *folder.rglob("*")]:
        runs = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if runs else 0o644)


def install(requirements: Path, destination: Path, architecture: str) -> None:
    """Unpack the locked wheels for Lambda into `destination`; no code of theirs runs."""
    platforms = [f"--platform={tag}_{MACHINES[architecture]}" for tag in GLIBC_TAGS]
    command = [
        sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input",
        "--require-hashes", "--no-deps", "--only-binary=:all:", "--no-compile", "--upgrade",
        f"--python-version={PYTHON[0]}.{PYTHON[1]}", "--implementation=cp", *platforms,
        f"--target={destination}", f"--requirement={requirements}",
    ]  # fmt: skip
    # pip would warn about its own cache and about being root; neither is the build's business.
    environment = os.environ | {"PIP_ROOT_USER_ACTION": "ignore"}
    subprocess.run(command, check=True, env=environment)


def trim(folder: Path, aws_services: Sequence[str]) -> None:
    """Remove from an unpacked set of packages whatever no function imports."""
    patterns: tuple[str, ...] = NEVER_IMPORTED + UNUSED
    if not (folder / "fastapi").exists():
        patterns += UNUSED_WITHOUT_FASTAPI
    used = {folder / name for name in USED}
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if path not in used:
                remove(path)
    for data in folder.glob("botocore/data"):
        for service in data.iterdir():
            # Files beside the services (endpoints, retry rules, defaults) serve all of them.
            if service.is_dir() and service.name not in aws_services:
                remove(service)
    for metadata in sorted(folder.glob("*.dist-info")):
        keep_licences(metadata, folder / "licenses" / metadata.name.removesuffix(".dist-info"))
        entry_points = metadata / "entry_points.txt"
        context = entry_points.exists() and "[opentelemetry_" in entry_points.read_text()
        if context or metadata.name.startswith("duckdb-"):
            # opentelemetry-api, which FastAPI imports, finds its own default context by entry point, and duckdb
            # looks its version up when it is imported.
            for path in metadata.iterdir():
                if path.name not in ("METADATA", "entry_points.txt"):
                    remove(path)
        else:
            remove(metadata)


def keep_licences(metadata: Path, destination: Path) -> None:
    """Copy a package's licence texts out of its metadata."""
    for path in sorted(metadata.rglob("*")):
        if path.is_file() and path.name.upper().startswith(("LICEN", "COPYING", "NOTICE")):
            destination.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, destination / path.name)


def compile_for(folder: Path, on_lambda: str) -> None:
    """Write unchecked-hash bytecode for every module in `folder`, as if it lay at `on_lambda`.

    Raises: SystemExit if a module does not compile.
    """
    compiled = compileall.compile_dir(
        folder,
        quiet=1,
        force=True,
        stripdir=str(folder),
        prependdir=on_lambda,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        raise SystemExit(f"assemble.py: {folder}: not every module compiled, see above")


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()


if __name__ == "__main__":
    main()
