"""From the first import to the first poll: initialisation, lifespan, SnapStart."""

import asyncio
from pathlib import Path

import pytest

from tests.functional.asgiric.conftest import StartRuntime
from tests.functional.asgiric.scripted_api import ScriptedRuntimeApi


@pytest.mark.parametrize(
    ("handler", "error_type", "message"),
    [
        ("no_such_module.app", "Runtime.ImportModuleError", "Unable to import module 'no_such_module'"),
        ("apps.no_such_attribute", "Runtime.HandlerNotFound", "expected a callable 'no_such_attribute'"),
        ("apps.not_callable", "Runtime.HandlerNotFound", "expected a callable 'not_callable'"),
        ("apps.classic", "Runtime.HandlerNotAsgi", "got function classic(event: Any, context: Any) -> Any"),
        (
            "apps.asgi_2",
            "Runtime.HandlerNotAsgi",
            "expected an ASGI application, a coroutine function of (scope,",
        ),
        ("apps.sync", "Runtime.HandlerNotAsgi", "handler apps.sync: expected an ASGI application"),
        ("apps.mangum", "Runtime.HandlerNotAsgi", "got Mangum (event"),
        (".app", "Runtime.MalformedHandlerName", "expected module.attribute"),
        ("broken_syntax.app", "Runtime.UserCodeSyntaxError", "Syntax error in module 'broken_syntax'"),
        ("broken_import.app", "ZeroDivisionError", "division by zero"),
        ("sys.app", "Runtime.BuiltInModuleConflict", "built-in module sys"),
    ],
)
async def test_an_application_that_cannot_be_imported_is_an_init_error(
    api: ScriptedRuntimeApi,
    start_runtime: StartRuntime,
    tmp_path: Path,
    handler: str,
    error_type: str,
    message: str,
):
    (tmp_path / "broken_syntax.py").write_text("def app(:\n")
    (tmp_path / "broken_import.py").write_text("1 / 0\n")
    from tests.functional.asgiric.conftest import HERE, ROOT

    process = await start_runtime(handler, PYTHONPATH=f"{ROOT / 'shared'}:{HERE}:{tmp_path}")
    call = await api.init_error
    assert call.json["errorType"] == error_type
    assert call.json["errorMessage"].startswith(message) or message in call.json["errorMessage"]
    assert call.headers["lambda-runtime-function-error-type"].split(".")[-1] == error_type.split(".")[-1]
    assert "." in call.headers["lambda-runtime-function-error-type"]
    assert not any("asgiric" in frame or "importlib" in frame for frame in call.json["stackTrace"])
    assert await process.exit_status() == 1
    assert api.polls == 0
    assert process.records[-1]["errorType"] == error_type


@pytest.mark.parametrize("name", ["decimal", "wsgiref", "_bisect"], ids=["module", "package", "extension"])
async def test_a_file_of_the_task_cannot_take_the_place_of_the_standard_librarys(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, tmp_path: Path, name: str
):
    (tmp_path / f"{name}.py").write_text("raise ImportError('the task has a module of this name, too')\n")
    (tmp_path / "standard.py").write_text(f"import {name}\nfrom apps import echo as app\n")
    from tests.functional.asgiric.conftest import HERE, ROOT

    await start_runtime("standard.app", PYTHONPATH=f"{tmp_path}:{ROOT / 'shared'}:{HERE}")
    async with asyncio.timeout(20):
        assert (await api.invoke({}).answer()).body


async def test_the_trace_of_a_failed_import_begins_in_the_application(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, tmp_path: Path
):
    (tmp_path / "broken_import.py").write_text("value = 1\nvalue / 0\n")
    from tests.functional.asgiric.conftest import ROOT

    await start_runtime("broken_import.app", PYTHONPATH=f"{ROOT / 'shared'}:{tmp_path}")
    call = await api.init_error
    assert ['broken_import.py", line 2' in frame for frame in call.json["stackTrace"]] == [True]


async def test_a_setting_that_cannot_be_meant_ends_the_process(start_runtime: StartRuntime):
    process = await start_runtime("echo", ASGIRIC_DEADLINE_MARGIN_MS="two seconds")
    assert await process.exit_status() == 1
    assert process.records[-1]["message"] == (
        "expected ASGIRIC_DEADLINE_MARGIN_MS to be a whole number from 0, got 'two seconds'"
    )


async def test_a_failed_startup_is_an_init_error(api: ScriptedRuntimeApi, start_runtime: StartRuntime):
    process = await start_runtime("failing_lifespan")
    call = await api.init_error
    assert call.json["errorMessage"] == "the model store is not there"
    assert call.headers["lambda-runtime-function-error-type"] == "Function.LifespanStartupFailed"
    assert await process.exit_status() == 1


async def test_a_slow_startup_is_awaited_before_the_first_poll_and_its_state_is_shared(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    await start_runtime("with_lifespan")
    known = (await api.invoke({}).answer()).json
    assert known["state"] == {"opened": "at start"}


async def test_snapstart_runs_the_hooks_on_both_sides_of_the_snapshot(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime
):
    process = await start_runtime(
        "echo", AWS_LAMBDA_INITIALIZATION_TYPE="snap-start", APP_OPTIONS="--snapshot-hooks"
    )
    await api.polled.wait()
    await process.record(hook="before-1")
    assert [record["hook"] for record in process.records] == ["before-2", "before-1"]
    assert api.polls == 0
    api.restored.set()
    assert (await api.invoke({"n": 1}).answer()).json == {"n": 1}
    assert [record["hook"] for record in process.records][2:] == ["after-1", "after-2"]
    assert api.calls[0].path.endswith("/restore/next")
    assert api.paths()[:3] == ["next", "next", "response"]
    assert api.connections == 2, "a socket does not live through a snapshot"


@pytest.mark.parametrize(
    ("failing", "status", "error_type"),
    [
        ("before-2", 64, "Runtime.BeforeSnapshotError"),
        ("after-1", 65, "Runtime.AfterRestoreError"),
    ],
)
async def test_a_failing_snapshot_hook_is_reported_and_ends_the_process(
    api: ScriptedRuntimeApi, start_runtime: StartRuntime, failing: str, status: int, error_type: str
):
    process = await start_runtime(
        "echo", AWS_LAMBDA_INITIALIZATION_TYPE="snap-start", APP_OPTIONS=f"--snapshot-hooks {failing}"
    )
    api.restored.set()
    told: asyncio.Future[object] = api.init_error if status == 64 else api.restore_error
    call = await told
    assert call.headers["lambda-runtime-function-error-type"] == error_type  # type: ignore[attr-defined]
    assert call.json["errorMessage"] == f"{failing} failed"  # type: ignore[attr-defined]
    assert await process.exit_status() == status
