"""`python -m infra.local.simulator [--port N]`: the simulator in the foreground, until Ctrl-C."""

import argparse
import asyncio
import os
import socket
import sys
import threading

import uvicorn

from .app import create_app
from .connection import FaultyProtocol
from .process import settings_from
from .scripts import SCRIPTS


def main(argv: list[str]) -> int:
    """Serve until interrupted, or, supervised, until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.simulator", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=9000, help="port on 127.0.0.1 (default 9000; 0: any free one)"
    )
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    scripts, api_key = settings_from(sys.stdin.readline()) if options.supervised else (SCRIPTS, None)
    listener = socket.socket(fileno=options.fd) if options.fd is not None else _listen(options.port)
    app = create_app(scripts, api_key=api_key)
    # lifespan: the application has none; without a keep-alive limit idle pools of clients stay usable.
    config = uvicorn.Config(
        app, http=FaultyProtocol, ws="none", lifespan="off", log_level="warning", timeout_keep_alive=600
    )
    try:
        asyncio.run(_serve(uvicorn.Server(config), listener, supervised=options.supervised))
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(server: uvicorn.Server, listener: socket.socket, *, supervised: bool) -> None:
    loop = asyncio.get_running_loop()
    # A listening socket accepts into its backlog from here on, so the line below is never too early.
    loop.call_soon(print, f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
    loop.call_soon(sys.stdout.flush)
    if supervised:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    await server.serve(sockets=[listener])


def _end_with_parent() -> None:
    sys.stdin.read()
    # Nothing is worth flushing: the simulator's state lives and ends with its process.
    os._exit(0)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(256)
    return listener


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
