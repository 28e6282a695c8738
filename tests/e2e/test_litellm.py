"""generate against LiteLLM's proxy: an OpenAI-compatible server that nobody here wrote.

It runs as a process from an environment of its own (`make test-litellm`), with mock responses and, for one model,
as a gateway in front of our simulator. Its key is read from Secrets Manager, as on AWS.
"""

import asyncio
import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import openai
import pytest

from infra.local.simulator import SCRIPTS, Simulator
from infra.local.simulator.answer import compose
from tests.buckets import moto_server, new_account
from tests.functional.generate.door import Answer, door, facts
from tests.response_format import response_format
from weir.schemas.blog_post import BlogPost

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 90.0
PROMPT = "Write a blog post about gateways."
REQUEST = {"model": "document", "messages": [{"role": "user", "content": PROMPT}]}
DOCUMENT = compose(SCRIPTS["sim-1"], {**REQUEST, "response_format": response_format("blog_post")}).text
BROKEN = DOCUMENT.replace('"slug":"', '"slug":"Not A Slug ', 1)
MOCKS = {
    "document": DOCUMENT,
    "broken": BROKEN,
    "prose": "Voilà — plain prose, from a café ☕ by the sea.",
    "limited": "litellm.RateLimitError",
    "overlong": "litellm.ContextWindowExceededError",
    "failing": "litellm.InternalServerError",
}


@dataclass(frozen=True)
class Proxy:
    """A running proxy."""

    base_url: str
    key: str


def litellm_python() -> Path:
    """The interpreter of LiteLLM's environment; skips, saying how to make it, where there is none."""
    named = os.environ.get("LITELLM_PYTHON")
    python = Path(named) if named else ROOT / ".venv-litellm/bin/python"
    if not python.with_name("litellm").exists():
        pytest.skip(f"LiteLLM's environment is missing ({python}): `make test-litellm` creates it")
    return python


def configuration(simulator: Simulator) -> dict[str, Any]:
    models = {
        name: {"model": f"openai/{name}", "api_key": "unused", "mock_response": mock}
        for name, mock in MOCKS.items()
    }
    for name in ("sim-split", "sim-cut"):
        models[name] = {"model": f"openai/{name}", "api_key": "unused", "api_base": simulator.base_url}
    listed = [{"model_name": name, "litellm_params": params} for name, params in models.items()]
    # Retries of its own would hide what it answers, and take their time.
    return {"model_list": listed, "router_settings": {"num_retries": 0, "disable_cooldowns": True}}


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    python = litellm_python()
    folder = tmp_path_factory.mktemp("litellm")
    key = f"sk-{secrets.token_hex(24)}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Simulator() as simulator, (folder / "log.txt").open("w+") as log:
        # JSON is YAML, so the configuration needs no library here; but YAML does not join escaped surrogates.
        described = json.dumps(configuration(simulator), ensure_ascii=False)
        (folder / "config.yaml").write_text(described, encoding="utf-8")
        arguments = ["--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LITELLM_MASTER_KEY": key,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would fetch its price list otherwise
        }
        command = [str(python.with_name("litellm")), *arguments, "--num_workers", "1", "--telemetry", "False"]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            wait_until_ready(process, f"http://127.0.0.1:{port}/health/liveliness", log)
            yield Proxy(f"http://127.0.0.1:{port}/v1", key)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Any) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < until:
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    log.seek(0)
    pytest.fail(f"LiteLLM's proxy did not answer at {url}:\n{log.read()[-4000:]}")


@pytest.fixture(scope="module")
def account(proxy: Proxy) -> Iterator[dict[str, str]]:
    """Where the proxy's key lies, as environment variables."""
    with moto_server() as endpoint:
        account = new_account(endpoint)
        client = boto3.client(
            "secretsmanager",
            endpoint_url=endpoint,
            region_name=account["AWS_REGION"],
            aws_access_key_id=account["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=account["AWS_SECRET_ACCESS_KEY"],
        )
        client.create_secret(Name="litellm-key", SecretString=proxy.key)
        client.close()
        yield account


@pytest.fixture
def ask(proxy: Proxy, account: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    environment = {"WEIR_UPSTREAM_KEY": "secretsmanager:litellm-key", **account}

    def ask(model: str, **more: Any) -> Answer:
        async def request() -> Answer:
            async with door(proxy.base_url, monkeypatch, **environment) as generate:
                return await generate.request({"prompt": PROMPT, "model": model, **more})

        return asyncio.run(request())

    return ask


def read_with_sdk(proxy: Proxy, model: str) -> tuple[str, Any]:
    """Text and usage as the openai package reads them from the same proxy."""
    messages: Any = [{"role": "user", "content": PROMPT}]
    text, usage = "", None
    with openai.OpenAI(base_url=proxy.base_url, api_key=proxy.key, max_retries=0) as client:
        options: Any = {"stream": True, "stream_options": {"include_usage": True}}
        for chunk in client.chat.completions.create(model=model, messages=messages, **options):
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            usage = chunk.usage or usage
    return text, usage


def test_a_document_streams_and_is_validated(ask: Any, capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask("document", schema="blog_post", include=["delta", "value", "result"])
    assert answer.status == 200
    assert answer.text == DOCUMENT
    kind, final = answer.final
    assert (kind, final["outcome"]) == ("done", "ok")
    result = "".join(part["json"] for part in answer.of("result"))
    assert BlogPost.model_validate_json(result) == BlogPost.model_validate_json(DOCUMENT)
    assert {event["path"].split("/")[1] for event in answer.of("value")} == set(BlogPost.model_fields)
    (completed,) = (fact for fact in facts(capsys.readouterr().out) if fact["kind"] == "request.completed")
    assert completed["outcome"] == "ok"
    assert completed["attempts"][-1]["usage"]["source"] == "provider"
    assert completed["model_returned"] == "document"


def test_text_and_usage_are_what_the_openai_sdk_reads_from_the_same_server(ask: Any, proxy: Proxy) -> None:
    answer = ask("prose")
    text, usage = read_with_sdk(proxy, "prose")
    assert answer.text == text == MOCKS["prose"]
    counted = answer.final[1]["usage"]
    assert counted["input_tokens"] == usage.prompt_tokens
    assert counted["output_tokens"] == usage.completion_tokens


def test_a_document_that_breaks_the_schema_ends_as_such(ask: Any) -> None:
    kind, final = ask("broken", schema="blog_post").final
    assert (kind, final["outcome"]) == ("error", "invalid_output")
    assert final["violations"][0]["path"] == "/slug"


@pytest.mark.parametrize(
    ("model", "status", "outcome"),
    [
        ("limited", 429, "rate_limited"),
        ("overlong", 400, "upstream_error"),
        ("failing", 502, "upstream_error"),
        ("not-configured", 400, "upstream_error"),
    ],
)
def test_its_errors_become_statuses_and_outcomes(ask: Any, model: str, status: int, outcome: str) -> None:
    answer = ask(model)
    assert (answer.status, answer.problem["outcome"]) == (status, outcome)


def test_behind_it_as_a_gateway_the_document_is_the_simulators(ask: Any) -> None:
    answer = ask("sim-split", schema="blog_post")
    assert answer.final[1]["outcome"] == "ok"
    scripted = compose(
        SCRIPTS["sim-split"],
        {
            "model": "sim-split",
            "messages": REQUEST["messages"],
            "response_format": response_format("blog_post"),
        },
    )
    assert answer.text == scripted.text


def test_behind_it_as_a_gateway_a_cut_is_an_error_and_what_came_before_it_counts(ask: Any) -> None:
    kind, final = ask("sim-cut", schema="blog_post").final
    assert kind == "error"
    assert final["outcome"] in ("upstream_error", "incomplete_stream")
    assert final["usage"]["output_tokens"] > 0
    assert final["usage"]["source"] == "estimated"
