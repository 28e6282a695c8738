"""A stand-in for Lambda's Python image, made of this machine: `sam local` needs one, and not everyone can pull it.

The layout is that of public.ecr.aws/lambda/python:3.13 as far as a function can tell: CPython at /var/lang, the
managed client at /var/runtime behind the same `bootstrap` (with AWS_LAMBDA_EXEC_WRAPPER), /var/task, /opt, a writable
/tmp, the same environment. The files are this machine's own: its CPython 3.13, shell and C library, and the runtime
that `make build` took from the lock. It is no image to deploy.
"""

import io
import platform
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
MACHINE = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
# The name that sam looks for, with --skip-pull-image on this machine only.
NAME = f"public.ecr.aws/lambda/python:3.13-{MACHINE}"

# What bootstrap, sam's own build step (mv, chmod) and a person in the container call.
PROGRAMS = ("bash", "sh", "cat", "chmod", "cp", "dirname", "env", "ls", "mkdir", "mv", "rm", "uname")
# All of the C library, whatever a wheel links to; the resolver's parts are opened by name while running.
LIBRARIES = ("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libresolv.so.2",
             "libnss_dns.so.2", "libnss_files.so.2", "libgcc_s.so.1", "libstdc++.so.6")  # fmt: skip
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
LEFT_OUT = re.compile(
    r"/(test|tests|idlelib|lib2to3|tkinter|turtledemo|ensurepip|site-packages|__pycache__|config-.*)(/|$)"
)

ENVIRONMENT = {
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}


def build(docker: str, python: Path, runtime: Path, environment: Mapping[str, str]) -> str:
    """Import the image into the engine that `docker`, run in `environment`, talks to; returns its name.

    `python` is the prefix of a CPython 3.13, `runtime` the folder that `make build` made of the managed client.
    Raises: subprocess.CalledProcessError if the engine refuses it.
    """
    changes = [f"ENV {name}={value}" for name, value in ENVIRONMENT.items()]
    changes += ["WORKDIR /var/task", 'ENTRYPOINT ["/lambda-entrypoint.sh"]']
    command = [docker, "import", *(f"--change={change}" for change in changes), "-", NAME]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    ) as importing:
        assert importing.stdin is not None
        # An engine that refuses stops reading; its own message and exit code say why.
        with suppress(BrokenPipeError), tarfile.open(fileobj=importing.stdin, mode="w|") as archive:
            _fill(archive, python, runtime)
        with suppress(BrokenPipeError):
            importing.stdin.close()
        if code := importing.wait():
            raise subprocess.CalledProcessError(code, command)
    return NAME


def _fill(archive: tarfile.TarFile, python: Path, runtime: Path) -> None:
    for folder in ("/opt", "/var/task", "/var/lang/bin", "/usr/local/bin", "/etc/ssl/certs", "/root"):
        _folder(archive, folder, 0o755)
    _folder(archive, "/tmp", 0o1777)
    _text(
        archive,
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nsbx_user1051:x:993:990::/home/sbx_user1051:/bin/sh\n",
    )
    _text(archive, "/etc/group", "root:x:0:\n")
    _text(archive, "/etc/nsswitch.conf", "passwd: files\nhosts: files dns\n")
    if CERTIFICATES.exists():
        _file(archive, CERTIFICATES, str(CERTIFICATES))

    binary = python / "bin/python3.13"
    _file(archive, binary.resolve(), "/var/lang/bin/python3.13")
    for library in sorted((python / "lib").glob("libpython3*.so*")):
        _file(archive, library.resolve(), f"/var/lang/lib/{library.name}")
    archive.add(python / "lib/python3.13", "/var/lang/lib/python3.13", filter=_without_what_lambda_lacks)

    archive.add(runtime, "/var/runtime")
    for name in ("bootstrap", "bootstrap.py"):
        _file(archive, HERE / name, f"/var/runtime/{name}")
    _file(archive, HERE / "lambda-entrypoint.sh", "/lambda-entrypoint.sh")
    add_system(archive, python, *runtime.rglob("*.so"))


def add_system(archive: tarfile.TarFile, python: Path, *users: Path) -> None:
    """A shell, a few programs, and every shared library that they, CPython (by its prefix) and `users` need."""
    needed: dict[str, Path] = {}
    programs = [Path(path) for name in PROGRAMS if (path := shutil.which(name))]
    for program in programs:
        _file(archive, program.resolve(), f"/bin/{program.name}")
    modules = (python / "lib/python3.13/lib-dynload").glob("*.so")
    for user in [*programs, python / "bin/python3.13", *modules, *users]:
        needed.update(_libraries(user))
    libc = next(path for name, path in needed.items() if name.startswith("libc.so")).parent
    needed.update({name: libc / name for name in LIBRARIES if (libc / name).exists()})
    for library in sorted(set(needed.values())):
        if not library.is_relative_to(python):
            _file(archive, library.resolve(), str(library))


def _without_what_lambda_lacks(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if LEFT_OUT.search(f"/{entry.name}") else entry


def _libraries(program: Path) -> Iterator[tuple[str, Path]]:
    """Name and path of every shared library that the loader maps for a program, the loader itself included."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for path in re.findall(r"(/\S+) \(0x", listed):
        yield Path(path).name, Path(path)


def _folder(archive: tarfile.TarFile, path: str, mode: int) -> None:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    archive.addfile(entry)


def _file(archive: tarfile.TarFile, source: Path, path: str) -> None:
    entry = archive.gettarinfo(source, path.lstrip("/"))
    with source.open("rb") as content:
        archive.addfile(entry, content)


def _text(archive: tarfile.TarFile, path: str, text: str) -> None:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.mode, entry.size = 0o644, len(text.encode())
    archive.addfile(entry, io.BytesIO(text.encode()))
