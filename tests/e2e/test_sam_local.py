"""`sam local` for real: a container of the built functions, run by sam's own emulator, against the simulator.

sam exits 0 whatever became of the function, so every test reads what came out. Without a Docker engine, and without
the means to start one, all of it is skipped and says so.
"""

import json
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from infra.local import lambda_image
from tests.docker_engine import wait_until
from tests.readme_blocks import files_and_output
from tests.unit.cloudformation import ROOT

BUILT = ROOT / ".aws-sam/build/template.yaml"
SAM = ROOT / ".venv-sam/bin/sam"
EVENT = ROOT / "tests/events/url_generate.json"
REQUEST = {"prompt": "Write a blog post about weirs.", "schema": "blog_post"}
START_TIMEOUT_S = 60.0

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not BUILT.exists(), reason="nothing built: `make sam-local` builds first"),
]


@dataclass(frozen=True)
class Sam:
    """sam with what it needs to run the built functions in containers here."""

    environment: dict[str, str]
    options: tuple[str, ...]

    def command(self, *arguments: str) -> list[str]:
        return [str(SAM), "local", *arguments, *self.options]


@pytest.fixture(scope="module")
def sam(engine: dict[str, str], simulator: str, tmp_path_factory: pytest.TempPathFactory) -> Sam:
    docker = shutil.which("docker", path=engine["PATH"])
    python = subprocess.run(
        ["sh", ROOT / "infra/build/find_python.sh", "3.13"], capture_output=True, text=True, check=True
    )
    prefix = subprocess.run(
        [python.stdout.strip(), "-c", "import sys; print(sys.base_prefix)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert docker is not None
    lambda_image.build(docker, Path(prefix.stdout.strip()), ROOT / ".aws-sam/runtime", engine)
    variables = tmp_path_factory.mktemp("sam") / "variables.json"
    settings = {"WEIR_UPSTREAM_BASE_URL": simulator, "WEIR_UPSTREAM_MODEL": "sim-1"}
    variables.write_text(json.dumps({"GenerateFunction": settings}))
    overrides = f"Architecture={lambda_image.MACHINE} EnableRestApi=true"
    options = {"--env-vars": str(variables), "--template": str(BUILT), "--parameter-overrides": overrides}
    return Sam(engine, ("--skip-pull-image", *(word for option in options.items() for word in option)))


def invoke(sam: Sam, event: Path, function: str = "GenerateFunction") -> dict[str, Any]:
    """What `sam local invoke` prints as the function's answer."""
    done = subprocess.run(
        sam.command("invoke", function, "--event", str(event)),
        env=sam.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    printed = done.stdout.strip().splitlines()
    assert printed, f"no answer; sam said: {done.stderr[-2000:]}"
    answer = json.loads(printed[-1])
    assert isinstance(answer, dict)
    return answer


@contextmanager
def serving(sam: Sam, command: str) -> Iterator[str]:
    """`sam local start-...` on a free port, until the block ends; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        sam.command(command, "--host", "127.0.0.1", "--port", str(port)),
        env=sam.environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, f"sam local {command}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def post(url: str, body: dict[str, Any], accept: str) -> tuple[int, str | None, str]:
    """Status, content type and text of an answer."""
    request = urllib.request.Request(
        f"{url}/v1/generations",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", "accept": accept},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.headers["content-type"], response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["content-type"], error.read().decode()


def assert_is_a_whole_stream(body: str) -> None:
    events = [line.removeprefix("event: ") for line in body.splitlines() if line.startswith("event: ")]
    assert events[-1] == "done"
    assert {"delta", "value"} <= set(events)
    last = json.loads(body.rstrip().rpartition("\ndata: ")[2])
    assert last["outcome"] == "ok"


def test_sam_local_invoke_shows_a_whole_stream_as_readable_json(sam: Sam) -> None:
    answer = invoke(sam, EVENT)
    assert answer["statusCode"] == 200, answer["body"][:2000]
    assert answer["headers"]["content-type"].startswith("text/event-stream")
    assert_is_a_whole_stream(answer["body"])


def test_sam_local_invoke_shows_a_refused_request(sam: Sam, tmp_path: Path) -> None:
    event = json.loads(EVENT.read_text())
    event["body"], event["isBase64Encoded"] = '{"prompt": "hello", "schema": "no_such_schema"}', False
    changed = tmp_path / "event.json"
    changed.write_text(json.dumps(event))
    answer = invoke(sam, changed)
    assert answer["statusCode"] == 422, answer
    assert "no_such_schema" in answer["body"]


def test_sam_local_invoke_runs_a_function_of_the_managed_client(sam: Sam) -> None:
    answer = invoke(sam, ROOT / "tests/events/url_get_openapi.json", "FinanceFunction")
    assert answer["statusCode"] == 200, answer
    assert json.loads(answer["body"])["openapi"].startswith("3.1")


def test_sam_local_invoke_loads_the_ledger_jobs_with_what_they_carry(sam: Sam, tmp_path: Path) -> None:
    # No bucket is at hand: what is no task is refused after everything has been imported.
    event = tmp_path / "event.json"
    event.write_text('{"task": "none"}')
    answer = invoke(sam, event, "LedgerJobsFunction")
    assert answer["errorType"] == "TaskError", answer
    assert "expected a task of compact" in answer["errorMessage"]


def test_the_runtime_clients_readme_example_runs_under_sam_local(sam: Sam, tmp_path: Path) -> None:
    files, printed = files_and_output(ROOT / "shared/asgiric/README.md")
    shutil.copytree(ROOT / "shared/asgiric", tmp_path / "hello/asgiric")
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "hello/bootstrap").chmod(0o755)
    done = subprocess.run(
        [SAM, "local", "invoke", "Hello", "--event", "-", "--skip-pull-image"],
        env=sam.environment, cwd=tmp_path, input="{}", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == printed, done.stderr[-2000:]


def test_sam_local_start_api_answers_curl(sam: Sam) -> None:
    with serving(sam, "start-api") as url:
        curl = ["curl", "--silent", "--show-error", "--no-buffer", "--include", f"{url}/v1/generations"]
        curl += ["--header", "content-type: application/json", "--data", json.dumps(REQUEST)]
        shown = subprocess.run(curl, capture_output=True, text=True, check=True).stdout
        head, _, body = shown.replace("\r\n", "\n").partition("\n\n")
        assert head.split()[1] == "200", shown[:2000]
        assert_is_a_whole_stream(body)
        status, content_type, text = post(url, REQUEST, "application/json")
        assert (status, content_type) == (200, "application/json"), text[:2000]
        assert json.loads(text)["outcome"] == "ok"


def test_sam_local_start_lambda_answers_boto3(sam: Sam) -> None:
    with serving(sam, "start-lambda") as url:
        client = boto3.client(
            "lambda",
            endpoint_url=url,
            region_name="eu-central-1",
            config=Config(signature_version=UNSIGNED, read_timeout=120, retries={"max_attempts": 0}),
        )
        result = client.invoke(FunctionName="GenerateFunction", Payload=EVENT.read_bytes())
        answer = json.loads(result["Payload"].read())
        assert "FunctionError" not in result, answer
        assert answer["statusCode"] == 200, answer["body"][:2000]
        assert_is_a_whole_stream(answer["body"])
