"""Code that changes while the stack runs is taken at once, and a mistake in it is shown with its place."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local import reload
from infra.local.execution.code import CodeError
from infra.local.reload import Watched, mistakes

from .conftest import HANDLERS, PLAIN, Start, invoke


async def test_the_next_invocation_runs_the_code_as_it_is_now(start: Start, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").write_text("def handler(event, context):\n    return 'old'\n")
    aws = await start(replace(PLAIN, code=code))
    assert (await invoke(aws, "Plain")).json() == "old"
    (code / "app.py").write_text("def handler(event, context):\n    return 'new'\n")
    assert (await invoke(aws, "Plain")).json() == "old"
    await aws.reload()
    assert (await invoke(aws, "Plain")).json() == "new"


async def test_an_invocation_that_runs_while_the_code_changes_ends_with_its_own(
    start: Start, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    shutil.copytree(HANDLERS / "plain", code)
    (code / "app.py").write_text(
        "import time\ndef handler(event, context):\n    time.sleep(event['s'])\n    return 'old'\n"
    )
    aws = await start(replace(PLAIN, code=code))
    running = asyncio.create_task(invoke(aws, "Plain", s=1.5))
    await aws.wait_for_log("Plain", lambda event: (event.record or {}).get("type") == "platform.start")
    (code / "app.py").write_text("def handler(event, context):\n    return 'new'\n")
    await aws.reload()
    assert (await invoke(aws, "Plain")).json() == "new"
    assert (await running).json() == "old"
    await aws.functions["Plain"].idle()
    assert len(aws.functions["Plain"].environments) == 1


async def test_code_that_is_gone_keeps_the_old_one_running(start: Start, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").write_text("def handler(event, context):\n    return 'old'\n")
    aws = await start(replace(PLAIN, code=code))
    shutil.rmtree(code)
    with pytest.raises(CodeError, match="expected a folder of code"):
        await aws.reload()
    assert (await invoke(aws, "Plain")).json() == "old"


def test_files_that_were_made_written_or_removed_are_seen_once(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    watched = Watched([tmp_path])
    assert watched.changes() == []
    (tmp_path / "a.py").write_text("12")
    (tmp_path / "b.sql").write_text("SELECT 1")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("x")
    assert [path.name for path in watched.changes()] == ["a.py", "b.sql"]
    (tmp_path / "b.sql").unlink()
    assert [path.name for path in watched.changes()] == ["b.sql"]
    assert watched.changes() == []


def test_a_mistake_is_shown_with_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "ROOT", tmp_path)
    broken = tmp_path / "recipe.py"
    broken.write_text("from pydantic import BaseModel\n\nclass Recipe(BaseModel)\n    title: str\n")
    assert mistakes([broken]) == ["recipe.py:3: expected ':': class Recipe(BaseModel)"]
    broken.write_text("x = 1\n")
    assert mistakes([broken]) == []


def test_a_schema_that_cannot_be_imported_is_shown_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shutil.copytree(reload.ROOT / "shared", shared, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(reload, "ROOT", tmp_path)
    monkeypatch.setattr(reload, "_SCHEMAS", shared / "weir" / "schemas")
    broken = shared / "weir" / "schemas" / "recipe.py"
    broken.write_text("from pydantic import BaseModel\n\n\nclass Recipe(BaseModel):\n    title: Strin\n")
    shown = "\n".join(mistakes([broken]))
    assert "recipe.py" in shown and "line 5" in shown and "Strin" in shown
