"""Secrets Manager, S3 and DynamoDB: moto's server, as a child process so that this event loop stays free.

Run as a module it is that child: it serves the listening socket whose descriptor it is given, and ends when its
standard input closes, so that it cannot outlive its parent, however that ends.
"""

import asyncio
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .endpoints.loopback import around_proxies, listening_socket

_ROOT = Path(__file__).resolve().parents[2]
# moto keeps accounts apart by key: these two name its default account, as ours does.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
}


class AwsServices:
    """The child; `url` is known from construction on, and answers once the child is up."""

    def __init__(self, region: str, port: int = 0) -> None:
        self._region = region
        self._socket = listening_socket(port)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._child: asyncio.subprocess.Process | None = None
        self._s3: Any = None  # what landing objects are written with, made at the first

    async def start(
        self,
        *,
        buckets: Iterable[str] = (),
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """Start it, and make what has to exist."""
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, str(self._socket.fileno()),
            stdin=asyncio.subprocess.PIPE, pass_fds=(self._socket.fileno(),), cwd=_ROOT,
            # Ctrl-C is for the parent: in its group the child would end too early and noisily.
            start_new_session=True,
            env=around_proxies(os.environ),
        )  # fmt: skip
        self._socket.close()
        await asyncio.to_thread(self._prepare, list(buckets), tables or {}, dict(secrets or {}))

    async def close(self) -> None:
        if self._child is not None:
            assert self._child.stdin is not None
            self._child.stdin.close()
            await self._child.wait()
        self._socket.close()

    def client(self, service: str) -> Any:
        """A boto3 client of one of the services."""
        # They take half a second: not everybody who starts the stack asks for a client.
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=self._region,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=CREDENTIALS["AWS_SESSION_TOKEN"],
            config=Config(proxies={}),  # loopback: no proxy of this machine is asked
        )

    async def put_object(self, bucket: str, key: str, data: bytes) -> None:
        """Write one object."""
        if self._s3 is None:
            self._s3 = await asyncio.to_thread(self.client, "s3")
        await asyncio.to_thread(self._s3.put_object, Bucket=bucket, Key=key, Body=data)

    def _prepare(
        self, buckets: list[str], tables: Mapping[str, Mapping[str, Any]], secrets: dict[str, str]
    ) -> None:
        if buckets:
            s3 = self.client("s3")
            for bucket in buckets:
                s3.create_bucket(Bucket=bucket)
            s3.close()
        if tables:
            dynamodb = self.client("dynamodb")
            for name, described in tables.items():
                dynamodb.create_table(TableName=name, **described)
            dynamodb.close()
        if secrets:
            manager = self.client("secretsmanager")
            for name, value in secrets.items():
                manager.create_secret(Name=name, SecretString=value)
            manager.close()


def _serve(descriptor: int) -> None:
    import os
    import threading
    from functools import cache

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_: Any) -> None:
            pass

    from .endpoints.own_pages import own_pages_wsgi

    class Dispatcher(DomainDispatcherApplication):
        @cache  # noqa: B019 - one lives as long as the process; it lists a folder and tries all services' patterns
        def get_backend_for_host(self, host: str | None) -> Any:
            return super().get_backend_for_host(host)

    application = Dispatcher(create_backend_app)
    server = make_server(
        "127.0.0.1", 0, own_pages_wsgi(application), threaded=True, fd=descriptor, request_handler=Quiet
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)  # threads that still answer have nobody left to answer to


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
