"""Changes of the code while the stack runs: which files changed, and what is wrong with them before they are taken."""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from .execution.code import ROOT

_CODE = (".py", ".sql", ".json", ".js", ".css", ".html", ".toml")
_CHECK_SCHEMAS = (
    "from weir.schemas import load_schema, schema_names\nfor name in schema_names(): load_schema(name)"
)
_SCHEMAS = ROOT / "shared" / "weir" / "schemas"


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


def mistakes(changed: Sequence[Path]) -> list[str]:
    """What is wrong with changed files, with file and line: syntax, and schemas that cannot be imported."""
    found = []
    for path in changed:
        if path.suffix != ".py" or not path.exists():
            continue
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except SyntaxError as error:
            found.append(
                f"{path.relative_to(ROOT)}:{error.lineno}: {error.msg}: {(error.text or '').strip()}"
            )
    if found or not any(path.is_relative_to(_SCHEMAS) for path in changed):
        return found
    checked = subprocess.run(
        [sys.executable, "-c", _CHECK_SCHEMAS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "shared")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return [] if checked.returncode == 0 else (checked.stderr or checked.stdout).rstrip().splitlines()[-12:]
