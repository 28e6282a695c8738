"""Code that changes while the stack runs is taken at once, and a mistake in it is shown with its place."""

import asyncio
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local import reload
from infra.local.execution.code import CodeError
from infra.local.reload import Watched, broken_functions, mistakes

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


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root of its own, whose code may be broken."""
    ignored = shutil.ignore_patterns("__pycache__", "page")
    for folder in ("shared", "functions"):
        shutil.copytree(reload.ROOT / folder, tmp_path / folder, ignore=ignored)
    (tmp_path / "functions/finance/page").mkdir()  # what it serves is no code
    monkeypatch.setattr(reload, "ROOT", tmp_path)
    return tmp_path


RECIPE = "from pydantic import BaseModel\n\n\nclass Recipe(BaseModel):\n    title: str\n"


@pytest.mark.parametrize(
    ("file", "content", "shown"),
    [
        (
            "shared/weir/schemas/recipe.py",
            RECIPE.replace("(BaseModel):", "(BaseModel)"),
            "shared/weir/schemas/recipe.py:4: expected ':': class Recipe(BaseModel)",
        ),
        (
            "shared/weir/schemas/recipe.py",
            RECIPE.replace("str", "Strin"),
            "shared/weir/schemas/recipe.py:5: NameError: name 'Strin' is not defined",
        ),
        (
            "shared/weir/schemas/recipe.py",
            RECIPE.replace("Recipe", "Recpie"),
            "SchemaFileError: schemas/recipe.py: expected a Pydantic model Recipe, in whatever capitals, got Recpie",
        ),
        (
            "functions/ledger/app.py",
            "import json\n\nimport nothing_there\n",
            "functions/ledger/app.py:3: ModuleNotFoundError: No module named 'nothing_there'",
        ),
        (
            "shared/weir/pricing/money.py",
            "from weir.outcomes import Outcom\n",
            "shared/weir/pricing/money.py:1: ImportError: cannot import name 'Outcom' from 'weir.outcomes'",
        ),
        ("shared/weir/schemas/recipe.py", RECIPE, ""),
    ],
)
def test_a_mistake_is_shown_with_file_and_line(checkout: Path, file: str, content: str, shown: str) -> None:
    (checkout / file).write_text(content)
    found = mistakes([checkout / file])
    assert [line[: len(shown)] for line in found] == ([shown] if shown else [])


def test_a_file_that_is_gone_and_is_needed_is_shown_where_it_is(checkout: Path) -> None:
    gone = checkout / "shared/weir/ledger/landing.py"
    gone.unlink()
    assert mistakes([gone]) == []
    [line] = broken_functions()
    assert re.fullmatch(
        r"shared/weir/ledger/ingest.py:\d+: ModuleNotFoundError: No module named 'weir.ledger.landing'", line
    )
