"""`python -m infra.local dev`: the stack, kept up until Ctrl-C, with lines to paste.

The upstream is the simulator, or any OpenAI-compatible endpoint by WEIR_UPSTREAM_BASE_URL and WEIR_UPSTREAM_MODEL
(and WEIR_UPSTREAM_KEY, the key itself: it is put into the local Secrets Manager, and goes nowhere else), or what a
models' file says, by WEIR_MODELS (a key that it calls secretsmanager:openai is WEIR_KEY_OPENAI).
WEIR_PRICE_OVERRIDES is a contract's prices, as JSON or as the path of a file. CORS_ORIGINS=http://localhost:3000 lets
pages of that origin call generate. What functions print is shown, and a change of the code is taken at once.
AuthType AWS_IAM is not enforced: the local function URLs listen on loopback and need no signature.
"""

import argparse
import asyncio
import errno
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from .aws_services import CREDENTIALS
from .chosen_models import chosen_models
from .chosen_upstream import UpstreamSettingsError, chosen_upstream, price_overrides
from .endpoints.loopback import listening_socket
from .execution.code import ROOT, CodeError
from .logs.log_groups import LogEvent
from .reload import Watched, broken_functions, mistakes
from .sam.cloudformation import TemplateError
from .stack import LocalAws, LocalAwsConfig
from .terminal.log_view import LogView

# Any other is a free one: whoever does not know the port of the secrets does not find them.
PORTS = {"GenerateFunction": 8080, "FinanceFunction": 8081, "lambda": 9001}
_LOOK_S = 0.4


def main(argv: list[str]) -> int:
    """Run until Ctrl-C or SIGTERM; 0 then, 2 for what cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.local dev",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--built", action="store_true", help="run what `make build` made (CPython 3.13)")
    parser.add_argument("--any-port", action="store_true", help="any free ports instead of the usual ones")
    parser.add_argument("--quiet", action="store_true", help="do not show what functions print")
    given = parser.parse_args(argv)
    try:
        ports = {} if given.any_port else free_of(PORTS)
        asyncio.run(_run(given.built, ports, os.environ, show=not given.quiet))
    except (CodeError, TemplateError, UpstreamSettingsError, OSError) as error:
        print(f"dev: {error}", file=sys.stderr)
        return 2
    return 0


def free_of(ports: Mapping[str, int]) -> dict[str, int]:
    """The usual ports that are free; in place of one that is taken comes any other, which is said."""
    free = {}
    for name, port in ports.items():
        try:
            listening_socket(port).close()
            free[name] = port
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            print(f"dev: port {port} is taken: {name} gets a free one", file=sys.stderr)
    return free


async def _run(built: bool, ports: Mapping[str, int], environ: Mapping[str, str], *, show: bool) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with AsyncExitStack() as stack:
        models = chosen_models(environ)
        if models is None:
            upstream = await stack.enter_async_context(chosen_upstream(environ))
            name = upstream.name
            config = LocalAwsConfig(
                upstream_base_url=upstream.base_url,
                upstream_model=upstream.model,
                upstream_key=upstream.key,
                parameters=upstream.parameters,
            )
        else:
            prices = price_overrides(environ.get("WEIR_PRICE_OVERRIDES", ""))
            parameters = {"Models": models.models, "PriceOverrides": prices}
            config = LocalAwsConfig(secrets=models.secrets, parameters=parameters)
            name = f"the models' file: {', '.join(models.names)}"
        config = replace(
            config,
            built=built,
            parameters={**config.parameters, "CorsOrigins": environ.get("CORS_ORIGINS", "")},
            variables={"WEIR_LOG_ERROR_TEXT": "1"},  # on a laptop whose errors quote nobody else's text
            schedules=True,
            ports=ports,
        )
        aws = await stack.enter_async_context(LocalAws(config))
        print("\n".join(describe(aws, name)), flush=True)
        if show:
            _show_logs(aws)
        watching = asyncio.create_task(_take_changes(aws)) if not built else None
        await ended.wait()
        if watching is not None:
            watching.cancel()
        print("ending", flush=True)


def _show_logs(aws: LocalAws) -> None:
    view = LogView(colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    for name, function in aws.functions.items():

        def show(event: LogEvent, name: str = name) -> None:
            for line in view.lines(name, event):
                print(line, flush=True)

        function.log.subscribe(show)


async def _take_changes(aws: LocalAws) -> None:
    watched = Watched([ROOT / "functions", ROOT / "shared"])
    waiting: set[Path] = set()  # what was not taken for a mistake in it, or in another file
    while True:
        await asyncio.sleep(_LOOK_S)
        if not (changes := watched.changes()):
            continue
        waiting.update(changes)
        changed = sorted(waiting)
        if found := await asyncio.to_thread(mistakes, changed):
            print("\n".join([*found, "not reloaded: the code from before goes on running"]), flush=True)
            continue
        try:
            await aws.reload()
        except CodeError as error:
            print(f"dev: {error}", flush=True)
            continue
        waiting.clear()
        names = ", ".join(str(path.relative_to(ROOT)) for path in changed[:3]) + (" …" if changed[3:] else "")
        print(f"reloaded: {names}", flush=True)
        # The functions take longer to import than a change may take to be seen.
        if found := await asyncio.to_thread(broken_functions):
            print("\n".join(found), flush=True)


def describe(aws: LocalAws, upstream: str) -> list[str]:
    """What runs where, and lines to paste."""
    generate, finance = aws.function_url("GenerateFunction"), aws.function_url("FinanceFunction")
    request = json.dumps({"prompt": "Write about repairing old bicycles.", "schema": "blog_post"})
    bucket = aws.functions["FinanceFunction"].config.environment["WEIR_LEDGER_BUCKET"]
    keys = " ".join(f"{name}={value}" for name, value in CREDENTIALS.items() if "TOKEN" not in name)
    return [
        f"generate    {generate}/v1/generations",
        f"finance     {finance}/   the dashboard, in a browser",
        f"Lambda API  {aws.lambda_endpoint}   boto3.client('lambda', endpoint_url=...)",
        f"moto        {aws.moto_endpoint}   Secrets Manager, S3, DynamoDB (the key's name is this run's own)",
        f"upstream    {upstream}",
        f"functions   {aws.isolation}",
        "Signatures are not checked here (AuthType AWS_IAM is enforced by AWS only).",
        "",
        "A validated document, streamed:",
        f"  curl -N {generate}/v1/generations -H 'content-type: application/json' \\",
        f"    -d '{request}'",
        "What it cost:",
        f"  curl {finance}/api/requests",
        f"  curl {finance}/api/report",
        "On the command line:",
        f"  export {keys} AWS_REGION={aws.config.region}",
        f"  export AWS_ENDPOINT_URL={aws.moto_endpoint} WEIR_LEDGER_BUCKET={bucket}",
        *(
            ["  export WEIR_PRICE_OVERRIDES=infra/local/prices.json"]
            if aws.config.parameters["PriceOverrides"]
            else []
        ),
        "  infra/costs/costs report",
        "  infra/costs/costs export --format xlsx --out .artifacts",
        "The ledger jobs compact every 15 minutes, or at once:",
        "  infra/costs/costs compact",
        "",
        "Ctrl-C ends it.",
    ]
