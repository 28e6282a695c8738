"""An ASGI application on a loopback port, in this event loop."""

import contextlib
from asyncio import Task, create_task
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

from .loopback import listening_socket
from .own_pages import OwnPages


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: whoever runs the stack decides about Ctrl-C."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves `app` until `close`, to programs of this machine, to its own pages and to those of `allowed_origins`.

    `port` 0 is any free one, and `url` is known from construction on.
    """

    def __init__(self, app: ASGIApp, port: int = 0, allowed_origins: Sequence[str] = ()) -> None:
        self._socket = listening_socket(port)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        # The log is silent: an aborted answer is not an error here, and functions log for themselves.
        config = uvicorn.Config(
            OwnPages(app, allowed_origins),
            log_level="critical",
            lifespan="off",
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        self._server = _Server(config)
        self._task: Task[None] | None = None

    def start(self) -> None:
        # The socket listens already: nobody has to wait for the server to be up.
        self._task = create_task(self._server.serve(sockets=[self._socket]))

    async def close(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await self._task
        self._socket.close()
