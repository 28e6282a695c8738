"""generate against llama.cpp, by llama-cpp-python's server: a real model's arithmetic, with weights that are random.

It runs as a process from an environment of its own (`make test-llama-cpp`, which compiles it and writes the model). What
the model writes is noise, one byte a token, held to JSON only by a grammar: half a character a chunk, strings without
end, and no usage at all in its streams.
"""

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.functional.generate.door import Answer, Door, door, facts

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "size": {"enum": ["small", "large"]},
        "gift": {"type": "boolean"},
        "extras": {"type": "array", "items": {"enum": ["milk", "sugar"]}, "minItems": 1, "maxItems": 3},
    },
    "required": ["size", "gift", "extras"],
    "additionalProperties": False,
}
# A grammar that keeps to a blog post's fields, and not to what their validators want.
POST: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"const": "On noise"},
        "slug": {"enum": ["No Slug"]},
        "summary": {"type": "string"},
    },
    "required": ["title", "slug", "summary"],
}


def llama_python() -> Path:
    """The interpreter of llama.cpp's environment; skips, saying how to make it, where there is none."""
    python = Path(os.environ.get("LLAMA_CPP_PYTHON") or ROOT / ".venv-llama-cpp/bin/python")
    if not python.exists():
        pytest.skip(f"llama.cpp's environment is missing ({python}): `make test-llama-cpp` creates it")
    return python


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    python, folder = llama_python(), tmp_path_factory.mktemp("llama")
    model = folder / "random.gguf"
    subprocess.run([python, ROOT / "tests/peers/random_llama.py", model], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["--model", str(model), "--model_alias", "random", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log.txt").open("w+") as log:
        process = subprocess.Popen(
            [
                python,
                "-m",
                "llama_cpp.server",
                *arguments,
                "--n_ctx",
                "8192",
                "--n_threads",
                "1",
                "--n_threads_batch",
                "1",
            ],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            stdout=log,
            stderr=log,
        )
        try:
            until = time.monotonic() + START_TIMEOUT_S
            while True:
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/v1/models", timeout=1).status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)  # another program's start sends no event
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    pytest.fail(f"llama.cpp's server did not answer:\n{log.read()[-4000:]}")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()  # it ends no generation for less
            process.wait()


@pytest.fixture
def ask(base_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    def route(grammar: Any) -> dict[str, Any]:
        # This server takes a schema as a member of JSON mode, and no json_schema.
        told = {
            "response_format": {"type": "json_object", "schema": grammar} if grammar else {"type": "text"}
        }
        return {"base_url": base_url, "model": "random", "provider": "llama.cpp", "structured_output": "json",
                "extra_body": told}  # fmt: skip

    models = {"plain": route(None), "order": route(ORDER), "post": route(POST)}

    def ask(path: str, *bodies: dict[str, Any], accept: str = "text/event-stream") -> list[Answer]:
        async def one(generate: Door, body: dict[str, Any]) -> Answer:
            return await generate.request(body, path=path, headers={"accept": accept})

        async def all_of_them() -> list[Answer]:
            listed = json.dumps({"models": models, "clocks": {"first_token_s": 30, "between_tokens_s": 30}})
            async with door(base_url, monkeypatch, WEIR_MODELS=listed) as generate:
                return [await one(generate, body) for body in bodies]

        return asyncio.run(all_of_them())

    return ask


def test_noise_is_text_that_a_strict_reader_takes_and_the_cap_holds(
    ask: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    [answer] = ask(
        "/v1/generations", {"model": "plain", "prompt": "Write.", "max_output_tokens": 200, "seed": 3}
    )
    kind, final = answer.final
    assert (kind, final["outcome"]) in (("done", "truncated_output"), ("done", "ok"))
    assert answer.text and answer.text.encode()  # no half characters
    usage = final["usage"]
    assert usage["source"] == "estimated" and usage["complete"] is False  # it counts nothing where it streams
    assert 0 < usage["output_tokens"] <= 200 and usage["input_tokens"] > 0
    assert facts(capsys.readouterr().out)[-1]["model_returned"] == "random"


def test_a_document_of_the_callers_own_schema_is_what_the_grammar_made(ask: Any) -> None:
    asked = {
        "model": "order",
        "messages": [{"role": "user", "content": "One coffee."}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "order", "schema": ORDER}},
        "max_tokens": 400,
    }
    [answer] = ask("/v1/chat/completions", asked, accept="application/json")
    [choice] = answer.json["choices"]
    assert (answer.status, choice["finish_reason"]) == (200, "stop")
    Draft202012Validator(ORDER).validate(json.loads(choice["message"]["content"]))


def test_noise_where_a_document_is_due_is_known_at_once_and_the_server_is_free_again(ask: Any) -> None:
    wrong = {"model": "plain", "prompt": "Write.", "schema": "blog_post", "max_output_tokens": 1_000}
    answers = ask("/v1/generations", wrong, wrong, {"model": "plain", "prompt": "x", "max_output_tokens": 5})
    for answer in answers[:2]:
        assert answer.final[1]["outcome"] == "invalid_output", answer.final[1]
        assert len(answer.text) < 100  # of 1,000 tokens
    assert answers[2].final[0] == "done"


def test_what_is_valid_of_a_document_is_handed_out_and_what_is_not_ends_the_call(ask: Any) -> None:
    asked = {"model": "post", "prompt": "Write.", "schema": "blog_post", "max_output_tokens": 600}
    [answer] = ask("/v1/generations", asked)
    assert answer.final[1]["outcome"] == "invalid_output"
    assert [violation["path"] for violation in answer.final[1]["violations"]] == ["/slug"]
    assert [(value["path"], value["value"]) for value in answer.of("value")] == [("/title", "On noise")]
    assert "summary" not in answer.text
