"""`python -m infra.local dev`: the stack, kept up until Ctrl-C, with lines to paste.

The upstream is the simulator, or any OpenAI-compatible endpoint by WEIR_UPSTREAM_BASE_URL and WEIR_UPSTREAM_MODEL
(and WEIR_UPSTREAM_KEY, the key itself: it is put into the local Secrets Manager, and goes nowhere else).
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

from .aws_services import CREDENTIALS
from .chosen_upstream import UpstreamSettingsError, chosen_upstream
from .execution.code import CodeError
from .sam.cloudformation import TemplateError
from .stack import LocalAws, LocalAwsConfig

PORTS = {"GenerateFunction": 8080, "FinanceFunction": 8081, "lambda": 9001, "logs": 9002, "moto": 5001}


def main(argv: list[str]) -> int:
    """Run until Ctrl-C or SIGTERM; 0 then, 2 for what cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.local dev",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--built", action="store_true", help="run what `make build` made (CPython 3.13)")
    parser.add_argument("--any-port", action="store_true", help="any free ports instead of the usual ones")
    given = parser.parse_args(argv)
    try:
        asyncio.run(_run(given.built, {} if given.any_port else PORTS, os.environ))
    except (CodeError, TemplateError, UpstreamSettingsError, OSError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        print(f"dev: {error}{'; --any-port takes free ones' if taken else ''}", file=sys.stderr)
        return 2
    return 0


async def _run(built: bool, ports: Mapping[str, int], environ: Mapping[str, str]) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(chosen_upstream(environ))
        config = LocalAwsConfig(
            upstream_base_url=upstream.base_url,
            upstream_model=upstream.model,
            upstream_key=upstream.key,
            built=built,
            parameters={"PriceOverrides": upstream.price_overrides},
            schedules=True,
            ports=ports,
        )
        aws = await stack.enter_async_context(LocalAws(config))
        print("\n".join(describe(aws, upstream.name)), flush=True)
        await ended.wait()
        print("ending", flush=True)


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
        f"moto        {aws.moto_endpoint}   Secrets Manager, S3, DynamoDB",
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
