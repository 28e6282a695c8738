"""Cold and warm, frozen and thawed, killed and gone: a function's process as on Lambda."""

import asyncio
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local.execution.code import CodeError, isolates

from .conftest import HANDLERS, PLAIN, STREAMS, Start, invoke, report

needs_isolation = pytest.mark.skipif(not isolates(), reason="this machine makes no mount namespaces")


async def test_the_first_request_starts_cold_and_the_next_one_reuses_its_environment(start: Start):
    aws = await start(PLAIN)
    cold = await invoke(aws, "Plain", do="about")
    warm = await invoke(aws, "Plain", do="about")
    assert (cold.json()["count"], warm.json()["count"]) == (1, 2)
    assert cold.json()["pid"] == warm.json()["pid"]
    first, second = await report(aws, "Plain", cold), await report(aws, "Plain", warm)
    assert first["metrics"]["initDurationMs"] > 1
    assert "initDurationMs" not in second["metrics"]


async def test_billed_duration_is_init_and_duration_in_started_milliseconds(start: Start):
    aws = await start(PLAIN)
    for response in [await invoke(aws, "Plain", do="sleep", seconds=0.02) for _ in range(2)]:
        metrics = (await report(aws, "Plain", response))["metrics"]
        assert metrics["durationMs"] >= 20
        init_ms = metrics.get("initDurationMs", 0)
        assert metrics["billedDurationMs"] == math.ceil(round(metrics["durationMs"] + init_ms, 6))
        assert metrics["memorySizeMB"] == 256
        assert metrics["maxMemoryUsedMB"] > 5


async def test_platform_events_have_their_shape_and_order(start: Start):
    aws = await start(PLAIN)
    response = await invoke(aws, "Plain", do="talk", lines=["one", '{"two": 2}'])
    request_id = response.headers["x-amzn-requestid"]
    await report(aws, "Plain", response)
    lines = [event.message for event in aws.log_events("Plain")]
    platform = [json.loads(line) for line in lines if '"platform.' in line]
    assert [line["type"].removeprefix("platform.") for line in platform] == [
        "initStart", "initRuntimeDone", "initReport", "start", "runtimeDone", "report",
    ]  # fmt: skip
    assert all(line.keys() == {"time", "type", "record"} for line in platform)
    assert all("requestId" not in line["record"] for line in platform[:3])
    assert platform[3]["record"] == {"requestId": request_id, "version": "$LATEST"}
    done = platform[4]["record"]
    assert done["requestId"] == request_id
    assert done["status"] == "success"
    assert done["metrics"]["producedBytes"] == len(response.content)
    assert [span["name"] for span in done["spans"]] == [
        "responseLatency",
        "responseDuration",
        "runtimeOverhead",
    ]
    # The function's own lines stand between start and runtimeDone, standard error among them.
    own = lines[lines.index(json.dumps(platform[3], separators=(",", ":"))) + 1 : -2]
    assert own == ["one", '{"two": 2}', "to standard error"]


async def test_overlapping_requests_get_environments_of_their_own(start: Start, tmp_path: Path):
    aws = await start(PLAIN)
    calls = [
        asyncio.ensure_future(invoke(aws, "Plain", do="wait", begun=f"{tmp_path}/{n}", go=f"{tmp_path}/go"))
        for n in range(3)
    ]
    await until(lambda: len(list(tmp_path.iterdir())) == 3)
    (tmp_path / "go").touch()
    pids = {(await call).json() for call in calls}
    assert len(pids) == 3
    again = await invoke(aws, "Plain", do="about")
    assert again.json()["pid"] in pids


async def test_reserved_concurrency_throttles(start: Start, tmp_path: Path):
    aws = await start(replace(PLAIN, max_environments=1))
    first = asyncio.ensure_future(invoke(aws, "Plain", do="wait", begun=f"{tmp_path}/1", go=f"{tmp_path}/go"))
    await until((tmp_path / "1").exists)
    refused = await invoke(aws, "Plain", do="about")
    (tmp_path / "go").touch()
    assert refused.status_code == 429
    assert refused.headers["x-amzn-errortype"] == "TooManyRequestsException"
    assert (await first).status_code == 200


async def test_between_invocations_time_stands_still(start: Start):
    aws = await start(PLAIN)
    before = (await invoke(aws, "Plain", do="ticks")).json()
    await asyncio.sleep(0.5)  # the point of the test: half a second in which nothing may run
    after = (await invoke(aws, "Plain", do="ticks")).json()
    assert before >= 5
    assert after - before < 15, "a background thread ran while the environment was frozen"


async def test_processes_that_a_function_started_are_frozen_too_and_end_with_it(start: Start, tmp_path: Path):
    aws = await start(PLAIN)
    file = tmp_path / "growing"
    await report(aws, "Plain", await invoke(aws, "Plain", do="child", file=str(file)))
    await asyncio.sleep(0.1)
    size = file.stat().st_size
    await asyncio.sleep(0.2)
    assert file.stat().st_size == size
    await aws.functions["Plain"].close()
    assert file.stat().st_size == size


@needs_isolation
async def test_the_task_folder_is_read_only_and_shared_memory_missing(start: Start):
    aws = await start(PLAIN)
    assert (await invoke(aws, "Plain", do="write")).json() == f"OSError: {30}"  # EROFS
    assert (await invoke(aws, "Plain", do="shared_memory")).json() == "FileNotFoundError"
    about = (await invoke(aws, "Plain", do="about")).json()
    assert about["cwd"] == "/var/task"
    assert about["path"][:2] == ["/var/task", "/opt/python"]


async def test_the_environment_is_lambdas_and_nothing_of_the_callers(
    start: Start, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OF_THE_CALLER", "secret")
    aws = await start(replace(PLAIN, environment={"OWN": "1"}))
    about = (await invoke(aws, "Plain", do="about")).json()
    found = about["environment"]
    assert "OF_THE_CALLER" not in found
    assert found["OWN"] == "1"
    expected = {
        "AWS_LAMBDA_FUNCTION_NAME": "Plain",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_REGION": "us-east-1",
        "_HANDLER": "app.handler",
        "TZ": ":UTC",
    }
    assert {name: found[name] for name in expected} == expected
    assert 15_000 < about["remaining_ms"] <= 20_000
    assert about["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:Plain"
    assert about["log_group"] == "/test/plain"


async def test_a_function_that_takes_too_long_is_killed_and_the_next_one_starts_cold(start: Start):
    aws = await start(replace(PLAIN, timeout_s=0.5))
    first = await invoke(aws, "Plain", do="about")
    late = await invoke(aws, "Plain", do="sleep", seconds=30)
    assert late.headers["x-amz-function-error"] == "Unhandled"
    assert late.json()["errorType"] == "Sandbox.Timedout"
    assert late.json()["errorMessage"].endswith("Error: Task timed out after 0.50 seconds")
    record = await report(aws, "Plain", late)
    assert record["status"] == "timeout"
    assert record["metrics"]["billedDurationMs"] == 500
    assert any("Task timed out after 0.50 seconds" in event.message for event in aws.log_events("Plain"))
    with pytest.raises(ProcessLookupError):
        os.kill(first.json()["pid"], 0)
    assert (await invoke(aws, "Plain", do="about")).json()["count"] == 1


@pytest.mark.parametrize(
    ("status", "text"),
    [(0, "Runtime exited without providing a reason"), (3, "Runtime exited with error: exit status 3")],
)
async def test_a_process_that_leaves_fails_its_invocation_only(start: Start, status: int, text: str):
    aws = await start(PLAIN)
    gone = await invoke(aws, "Plain", do="leave", status=status)
    request_id = gone.headers["x-amzn-requestid"]
    assert gone.json() == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {request_id} Error: {text}",
    }
    record = await report(aws, "Plain", gone)
    assert (record["status"], record["errorType"]) == ("error", "Runtime.ExitError")
    assert any(event.message == "going" for event in aws.log_events("Plain"))
    assert (await invoke(aws, "Plain", do="about")).json()["count"] == 1


async def test_an_exception_is_lambdas_error(start: Start):
    aws = await start(PLAIN)
    failed = await invoke(aws, "Plain", do="fail", why="as asked")
    assert failed.headers["x-amz-function-error"] == "Unhandled"
    assert failed.json()["errorType"] == "ValueError"
    assert failed.json()["errorMessage"] == "as asked"
    record = await report(aws, "Plain", failed)
    assert (record["status"], record["errorType"]) == ("error", "ValueError")
    assert (await invoke(aws, "Plain", do="about")).json()["count"] == 2


async def test_a_module_that_cannot_be_imported_fails_in_init(start: Start):
    aws = await start(replace(PLAIN, handler="nowhere.handler"))
    failed = await invoke(aws, "Plain", do="about")
    assert failed.json()["errorType"] == "Runtime.ImportModuleError"
    record = await report(aws, "Plain", failed)
    assert (record["status"], record["errorType"]) == ("error", "Runtime.ImportModuleError")
    assert record["metrics"]["billedDurationMs"] >= record["metrics"]["initDurationMs"] > 0


async def test_the_template_log_level_decides_about_runtime_done(start: Start):
    aws = await start(replace(PLAIN, system_log_level="INFO"))
    await report(aws, "Plain", await invoke(aws, "Plain", do="echo", payload=1))
    kinds = [(event.record or {}).get("type") for event in aws.log_events("Plain")]
    assert "platform.report" in kinds
    assert "platform.runtimeDone" not in kinds


async def until(condition: Callable[[], bool]) -> None:
    """Wait for another process, which has no event for us."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_nothing_is_left_when_the_stack_is_killed(tmp_path: Path):
    program = """if True:
        import asyncio, sys
        from pathlib import Path
        sys.path.insert(0, "."); sys.path.insert(0, "shared")
        from infra.local.stack import LocalAws, LocalAwsConfig
        from infra.local.sam.function import FunctionConfig
        from infra.local.execution.invocation import Invocation

        async def main():
            code = Path("tests/functional/local/handlers/plain")
            function = FunctionConfig(name="Plain", code=code, handler="app.handler", timeout_s=20)
            async with LocalAws(LocalAwsConfig(functions=[function], layer=None)) as aws:
                running = aws.functions["Plain"].invoke(Invocation(b'{"do": "echo", "payload": 1}'))
                await running.finished.wait()
                print(aws.functions["Plain"].environments[0].process_id, flush=True)
                await asyncio.sleep(60)

        asyncio.run(main())
    """
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    function = int(await parent.stdout.readline())
    children = _children(parent.pid)
    assert len(children) == 2, "expected moto's server and the function's launcher"
    assert any(function in _children(child) for child in children)
    parent.kill()
    await parent.wait()
    await until(lambda: not any(_runs(child) for child in [*children, function]))


def _mode(path: Path) -> int:
    return path.stat().st_mode


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_without_namespaces_a_copy_without_write_permission_is_used(
    start: Start, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("infra.local.execution.code.isolates", lambda: False)
    aws = await start(PLAIN, STREAMS)
    about = (await invoke(aws, "Plain", do="about")).json()
    task = Path(about["environment"]["LAMBDA_TASK_ROOT"])
    assert about["cwd"] == str(task)
    assert about["path"][0] == str(task)
    assert _mode(task) & 0o222 == 0
    if os.geteuid() == 0:
        assert "not protected" in aws.isolation
    else:
        assert (await invoke(aws, "Plain", do="write")).json() == f"PermissionError: {13}"  # EACCES
    # An exec wrapper is found in the copy, too.
    assert (await invoke(aws, "Streams", parts=["x"])).content == b"x"


async def test_an_init_that_does_not_end_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("infra.local.execution.environment.INIT_TIMEOUT_S", 0.5)
    aws = await start(replace(PLAIN, code=HANDLERS / "slow_start"))
    failed = await invoke(aws, "Plain", do="about")
    assert failed.json()["errorType"] == "Sandbox.Timedout"
    record = await report(aws, "Plain", failed)
    assert record["status"] == "error"
    assert record["metrics"]["billedDurationMs"] >= 500


async def test_a_function_without_code_is_refused_by_its_folder(start: Start, tmp_path: Path):
    with pytest.raises(CodeError, match=r"expected a folder of code at .*/nowhere"):
        await start(replace(PLAIN, code=tmp_path / "nowhere"))
