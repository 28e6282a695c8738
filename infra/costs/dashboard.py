"""`costs dashboard`: finance's page in a browser, through the signing proxy, until Ctrl-C."""

import asyncio
import signal
import sys
import webbrowser
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from infra.local.endpoints.http_server import HttpServer

from .ledger import Ledger, UsageError
from .proxy import NoCredentials, SigningProxy


def dashboard(ledger: Ledger, url: str | None, port: int, browser: bool) -> int:
    """Serve until Ctrl-C; 0 then. Raises UsageError, OSError for a port that is taken, and botocore's errors."""
    target = url or ledger.output("finance")
    _check(target)
    if not 0 <= port <= 65535:
        raise UsageError(f"--port: expected 0 to 65535, got {port}")
    region = ledger.session.region_name or _region_of(target)
    if region is None:
        raise UsageError("expected --region, or a profile that names one: the signature covers it")
    credentials(ledger)()  # what is not there is told before a browser opens
    asyncio.run(_serve(SigningProxy(target, region, credentials(ledger)), port, target, browser))
    return 0


def credentials(ledger: Ledger) -> Callable[[], Any]:
    """Asks for the credentials as they are now: botocore renews those that expire. Raises NoCredentials."""

    def now() -> Any:
        found = ledger.session.get_credentials()
        if found is None:
            raise NoCredentials("expected AWS credentials in the environment or a profile, got none")
        return found.get_frozen_credentials()

    return now


async def _serve(proxy: SigningProxy, port: int, target: str, browser: bool) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = HttpServer(proxy.app, port)
    server.start()
    try:
        print(f"{server.url}/  signs for {target}; Ctrl-C ends it", flush=True)
        if browser and not await asyncio.to_thread(webbrowser.open, f"{server.url}/"):
            print("costs dashboard: no browser to open: open the address yourself", file=sys.stderr)
        await ended.wait()
    finally:
        await server.close()
        await proxy.aclose()


def _check(target: str) -> None:
    try:
        parts = urlsplit(target)
    except ValueError:
        raise UsageError(f"--url: expected a URL, got {target[:200]!r}") from None
    if parts.username is not None or not parts.hostname:
        raise UsageError("--url: expected a host, and no user in front of it")
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise UsageError(f"--url: expected https://... (http only on loopback), got {target[:200]!r}")
    if parts.path not in ("", "/") or parts.query:
        raise UsageError(f"--url: expected a function URL without path and query, got {target[:200]!r}")


def _region_of(target: str) -> str | None:
    # https://<id>.lambda-url.<region>.on.aws/
    labels = (urlsplit(target).hostname or "").split(".")
    return labels[2] if labels[1:2] == ["lambda-url"] and len(labels) > 2 else None
