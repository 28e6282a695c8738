"""How each variant is started.

Every server runs on asyncio's loop with h11, the same for all (LiteLLM brings its own choice); a function runs on the laptop's Lambda, which gives
each environment one request at a time. What is not installed raises Missing, which becomes the variant's row.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.local.execution.code import ROOT
from tests.compare.documents import BURST, FAST, SIZES, WRONG, response_format_json
from tests.compare.running import Missing, Running, RunningFunction

PEERS = Path(__file__).parent / "peers"
WORKERS = 8
MANY_IN_ONE, MANAGED_MB = 64, 2_048  # the least that Managed Instances give
LITELLM_KEY = f"sk-{secrets.token_hex(16)}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every variant is given: the provider, a folder of its own files, where environments are looked for."""

    upstream: str
    folder: Path
    root: Path = ROOT
    python: str = sys.executable  # the application's environment

    def installed(self, name: str, made_by: str) -> str:
        """A file of an environment that make makes. Raises Missing."""
        path = self.root / name
        if not path.exists():
            raise Missing(f"not installed: {name} is missing ({made_by} makes it)")
        return str(path)

    def variables(self, **more: str) -> dict[str, str]:
        """The environment of a server."""
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}",
            **self.given(),
            **more,
        }

    def given(self) -> dict[str, str]:
        """What the peers read."""
        return {
            "COMPARE_UPSTREAM": self.upstream,
            "COMPARE_RESPONSE_FORMAT": json.dumps(response_format_json()),
        }


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _watched(
    here: Surroundings, python: str, name: str, arguments: list[str], port: int, **more: str
) -> Running:
    stall, log = here.folder / f"{name}.stall", here.folder / f"{name}.log"
    command = [python, "-m", "tests.compare.watch", str(stall), *arguments]
    return Running(command, here.variables(**more), log, stall).wait_until_listening(port)


def uvicorn(factory: str) -> Callable[[Surroundings], Running]:
    def start(here: Surroundings) -> Running:
        python = here.installed(".venv-compare/bin/python", "make .venv-compare/.installed")
        port = free_port()
        server = ["uvicorn", "--factory", f"tests.compare.peers.article:{factory}", "--port", str(port)]
        server += ["--lifespan", "off", "--no-access-log", "--log-level", "error"]
        return _watched(here, python, factory, server, port)

    return start


def gunicorn(here: Surroundings) -> Running:
    python = here.installed(".venv-compare/bin/python", "make .venv-compare/.installed")
    port = free_port()
    command = [python, "-m", "gunicorn", "--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}"]
    command += ["--timeout", "1800", "--log-level", "error", "tests.compare.peers.blocking:app"]
    return Running(command, here.variables(), here.folder / "blocking.log").wait_until_listening(port)


def litellm(here: Surroundings) -> Running:
    python = here.installed(".venv-litellm/bin/python", "make .venv-litellm/.installed")
    listed = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_key": "x", "api_base": here.upstream}}
        for size in (FAST, BURST, *SIZES)
        for name in (size.name, size.name + WRONG)
    ]  # fmt: skip
    configuration = here.folder / "litellm.json"
    configuration.write_text(
        json.dumps({"model_list": listed, "router_settings": {"num_retries": 0, "disable_cooldowns": True}})
    )
    port = free_port()
    arguments = [str(Path(python).with_name("litellm")), "--config", str(configuration)]
    arguments += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    # It would fetch its price list otherwise.
    more = {"LITELLM_MASTER_KEY": LITELLM_KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    return _watched(here, python, "litellm", arguments, port, **more)


def container(here: Surroundings) -> Running:
    port = free_port()
    more = {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}:{ROOT / 'functions/generate'}",
        "PORT": str(port), "HOST": "127.0.0.1", "WEIR_AUTHENTICATED_BY": "nobody",
        "COMPARE_LOOP": "asyncio", **_settings(here),
    }  # fmt: skip
    serve = str(ROOT / "infra/container/serve.py")
    return _watched(here, here.python, "container", [serve], port, **more)


def _settings(here: Surroundings) -> dict[str, str]:
    """What the template gives to generate, with a price for the documents' models."""
    prices = {"input": [{"up_to": None, "price": "0.15"}], "output": [{"up_to": None, "price": "0.60"}]}
    records = [{"valid_from": None, "valid_to": None, "prices": prices}]
    models = [{"model": SIZES[0].name, "prefixes": ["post-"], "records": records}]
    source = {"name": "the prices of the model that the comparison stands for"}
    return {
        "WEIR_UPSTREAM_BASE_URL": here.upstream,
        "WEIR_UPSTREAM_MODEL": SIZES[0].name,
        "WEIR_UPSTREAM_KEY": "",
        "WEIR_PRICE_OVERRIDES": json.dumps({"source": source, "models": models}),
        "POWERTOOLS_METRICS_NAMESPACE": "Weir",
    }


def _function(
    here: Surroundings,
    name: str,
    code: Path,
    environment: Mapping[str, str],
    *,
    handler: str = "app.app",
    wrapped: bool = True,
    streams: bool = True,
    many_in_one: int = 1,
    memory_mb: int = 512,
    layer: Path = ROOT / "shared",
) -> RunningFunction:
    """A function on the laptop's Lambda."""
    wrapper = {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/bootstrap"} if wrapped else {}
    specification = {
        "code": str(code), "layer": str(layer), "handler": handler, "environment": {**here.given(), **wrapper, **environment},
        "memory_mb": memory_mb, "streams": streams, "max_concurrency": many_in_one,
    }  # fmt: skip
    command = [here.python, "-m", "tests.compare.lambda_host", json.dumps(specification)]
    running = RunningFunction(command, here.variables(), here.folder / f"{name}.log")
    running.port = int(running.read_line().rsplit(":", 1)[1])
    return running


def generate(
    here: Surroundings,
    name: str,
    *,
    many_in_one: int = 1,
    memory_mb: int = 512,
    layer: Path = ROOT / "shared",
) -> RunningFunction:
    """The application's function, with what the template gives to it."""
    more = {"ASGIRIC_DEADLINE_MARGIN_MS": "2000", "WEIR_EPHEMERAL_STORAGE_MB": "512"}
    return _function(
        here, name, ROOT / "functions/generate", {**_settings(here), **more},
        many_in_one=many_in_one, memory_mb=memory_mb, layer=layer,
    )  # fmt: skip


def on_demand(here: Surroundings) -> Running:
    return generate(here, "on-demand")


def managed(here: Surroundings) -> Running:
    return generate(here, "managed", many_in_one=MANY_IN_ONE, memory_mb=MANAGED_MB)


def mangum(here: Surroundings) -> Running:
    return _function(
        here, "mangum", PEERS / "mangum", {}, handler="app.handler", wrapped=False, streams=False
    )


def adapter(here: Surroundings) -> Running:
    python = here.installed(".venv-compare/bin/python", "make .venv-compare/.installed")
    compiler = shutil.which("cc")
    if compiler is None:
        raise Missing("no C compiler (cc) to build the proxy process")
    proxy = here.folder / "proxy"
    source = ROOT / "tests/bench/peers/proxy.c"
    made = subprocess.run(
        [compiler, "-O2", "-D_GNU_SOURCE", "-o", str(proxy), str(source)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode != 0:
        raise Missing(f"the proxy process does not compile: {made.stderr.strip()[:200]}")
    environment = {
        "COMPARE_PYTHON": python, "COMPARE_PROXY": str(proxy), "COMPARE_ROOT": str(ROOT),
        "COMPARE_APP": "tests.compare.peers.article:careful",
    }  # fmt: skip
    return _function(here, "adapter", PEERS / "adapter", environment)


def node(here: Surroundings) -> Running:
    node = shutil.which("node")
    if node is None:
        raise Missing("no node on PATH")
    runtime = here.installed(".node-peers/node_modules/aws-lambda-ric/index.mjs", "make node-peers")
    here.installed(".node-peers/node_modules/aws-lambda-ric/rapid-client.node", "make node-peers, with cmake")
    environment = {"COMPARE_NODE": node, "COMPARE_RIC": runtime}
    return _function(here, "node", PEERS / "node", environment, handler="handler.handler")
