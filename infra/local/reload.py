"""Changes of the code while the stack runs: which files changed, and what is wrong with them before they are taken."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from .execution.code import ROOT

_CODE = (".py", ".sql", ".json", ".js", ".css", ".html", ".toml")
_IMPORT_CHECK = Path(__file__).with_name("import_check.py")


class Watched:
    """Folders whose files are looked at again and again; what lies in caches and hidden folders does not count."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(folders)
        self._seen = self._stamps()

    def changes(self) -> list[Path]:
        """The files that were made, written or removed since the last call."""
        now = self._stamps()
        before, self._seen = self._seen, now
        return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))

    def _stamps(self) -> dict[Path, tuple[int, int]]:
        stamps = {}
        for folder in self._folders:
            for path in folder.rglob("*"):
                if path.suffix in _CODE and "__pycache__" not in path.parts:
                    try:
                        stat = path.stat()
                    except FileNotFoundError:  # an editor writes a new file and moves it
                        continue
                    stamps[path] = (stat.st_mtime_ns, stat.st_size)
        return stamps


def mistakes(changed: Iterable[Path]) -> list[str]:
    """What is wrong with changed files, with file and line: syntax, and modules that cannot be imported."""
    found, modules = [], []
    for path in changed:
        if path.suffix != ".py" or not path.exists():
            continue
        relative = path.relative_to(ROOT)
        modules += _modules(relative)
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except SyntaxError as error:
            found.append(f"{relative}:{error.lineno}: {error.msg}: {(error.text or '').strip()}")
    return found or (_not_imported(modules) if modules else [])


def broken_functions() -> list[str]:
    """Which functions cannot be imported, with file and line: something that they need was changed, or is gone."""
    apps = sorted((ROOT / "functions").glob("*/app.py"))
    return _not_imported([f"functions.{path.parent.name}.app" for path in apps])


def _not_imported(modules: list[str]) -> list[str]:
    checked = subprocess.run(
        [sys.executable, "-P", _IMPORT_CHECK, ROOT, *modules],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'shared'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return [] if checked.returncode == 0 else (checked.stdout or checked.stderr).rstrip().splitlines()[-12:]


def _modules(path: Path) -> list[str]:
    """What has to be importable for a file below the root."""
    if path.name == "__main__.py":
        return []
    parts = path.with_suffix("").parts
    named = parts[1:] if parts[0] == "shared" else parts
    if path.name == "__init__.py":
        named = named[:-1]
    return [".".join(named)] if named else []
