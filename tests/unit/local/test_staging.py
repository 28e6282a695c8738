"""Folders of staged code."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from infra.local.execution.code import remove, staging_folder


def test_what_a_killed_stack_left_is_removed_and_what_a_running_one_uses_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f"local-aws-{ended.pid}-abc"
    (left / "tasks").mkdir(parents=True)
    (left / "tasks").chmod(0o555)
    others = tmp_path / "local-aws-else"
    others.mkdir()
    first, second = staging_folder(), staging_folder()
    assert first.exists() and second.exists() and first != second
    assert not left.exists()
    assert others.exists()
    remove(first)
    assert not first.exists()
