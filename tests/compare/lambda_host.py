"""`python -m tests.compare.lambda_host SPECIFICATION`: one function on the laptop's Lambda, for the comparison.

SPECIFICATION is JSON: `code`, `layer`, `handler`, `environment`, `memory_mb`, `streams`, `max_concurrency`. The process prints
the function's address, then answers each line on stdin with one line of JSON: `pids` of the environments, `drop` ends
them and says how long their INIT took, `reports` are the metrics of platform.report since the last look.
It is a process of its own so that the work of carrying streams is not the callers'.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from infra.local.sam.function import FunctionConfig, FunctionUrl
from infra.local.stack import LocalAws, LocalAwsConfig

NAME = "compared"


def config_of(specification: dict[str, Any]) -> FunctionConfig:
    """The function that a specification describes."""
    return FunctionConfig(
        name=NAME,
        code=Path(specification["code"]),
        handler=specification["handler"],
        timeout_s=900.0,
        memory_mb=specification["memory_mb"],
        environment=specification["environment"],
        log_group="/aws/lambda/compared",
        url=FunctionUrl(streams=specification["streams"]),
        max_concurrency=specification["max_concurrency"],
    )


class Host:
    """Answers what is asked about the running function."""

    def __init__(self, aws: LocalAws) -> None:
        self._aws = aws
        self._function = aws.functions[NAME]
        self._seen = 0

    async def answer(self, asked: str) -> object:
        """One line's answer."""
        environments = self._function.environments
        if asked == "pids":
            return [environment.process_id for environment in environments if environment.alive]
        if asked == "drop":
            dropped, environments[:] = list(environments), []
            for environment in dropped:
                await environment.close()
            return [environment.init_ms for environment in dropped]
        await self._function.idle()  # an invocation reports after its caller has all of it
        events = self._aws.log_events(NAME)
        records = [event.record or {} for event in events[self._seen :]]
        self._seen = len(events)
        return [record["record"]["metrics"] for record in records if record.get("type") == "platform.report"]


async def serve(specification: dict[str, Any]) -> None:
    """Until stdin ends."""
    config = LocalAwsConfig(
        functions=[config_of(specification)], layer=Path(specification["layer"]), services=False
    )
    async with LocalAws(config) as aws:
        print(aws.function_url(NAME), flush=True)
        host = Host(aws)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await host.answer(line.strip())), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
