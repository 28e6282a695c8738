"""A runtime that answers as its event says: with the invocation id as given, with a wrong one, or with none."""

import asyncio
import os

from asgiric.runtime_api import RuntimeApi


async def main() -> None:
    api = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        invocation = await api.next_invocation()
        told = {
            b'"right"': [invocation],
            b'"wrong, then right"': [invocation._replace(invocation_id="wrong"), invocation],
            b'"missing"': [invocation._replace(invocation_id=None)],
        }[invocation.body]
        for answer in told:
            stream = await api.begin_response(answer, "application/octet-stream")
            await stream.write(f"answered with {answer.invocation_id}".encode())
            stream.end()
            await stream.wait_for_ack()


asyncio.run(main())
