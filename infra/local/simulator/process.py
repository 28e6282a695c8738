"""The simulator as a process of its own: what a test measures in its event loop is then never the simulator's
work.

The child reads one line of JSON (scripts, key) from its standard input and ends when that is closed, so that
it cannot outlive its parent, however that ends. It prints one line, its base URL, when it accepts
connections.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from .journal import Exchange
from .script import Script
from .scripts import SCRIPTS

_START_TIMEOUT_S = 20.0


class Simulator:
    """An OpenAI-compatible server on loopback, as a context manager, with or without `async`.

    `scripts` are added to the built-in ones and replace those of the same name. With an `api_key` every
    request must carry it. `port` 0 is any free port. `base_url` ends with /v1 and is known from construction
    on.
    """

    def __init__(self, *, port: int = 0, scripts: Iterable[Script] = (), api_key: str | None = None) -> None:
        self._scripts = tuple(scripts)
        self._api_key = api_key
        self._child: subprocess.Popen[str] | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self.base_url = f"{self.origin}/v1"

    def start(self) -> Self:
        """Start the child and wait until it accepts connections.

        Raises RuntimeError when it does not come up.
        """
        # The listening socket is handed over: the port is known before the child has imported anything.
        self._socket.listen(256)
        fd = self._socket.fileno()
        arguments = [sys.executable, "-m", "infra.local.simulator", "--fd", str(fd), "--supervised"]
        # A session of its own: Ctrl-C is for the parent, which ends it in its turn.
        self._child = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(fd,),
            cwd=_root(),
            start_new_session=True,
        )
        self._socket.close()
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(_settings(self._scripts, self._api_key) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError(
                "simulator: expected a line with its address, it ended without one; see its messages"
            )
        return self

    def stop(self) -> None:
        """End the child. Nothing is left behind; a second call does nothing."""
        self._socket.close()
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.close()
        except BrokenPipeError:
            pass  # It ended before it read its settings; `start` says so.
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()

    def requests(self) -> list[Exchange]:
        """What was asked and sent so far, oldest first; it answers within a millisecond or two."""
        return self._fetch("/requests")

    async def settled_requests(self, timeout_s: float = 5.0) -> list[Exchange]:
        """The same once no exchange is open, without blocking the loop. Raises TimeoutError."""
        return await asyncio.to_thread(self._fetch, f"/requests?settled={timeout_s}")

    def reset(self) -> None:
        """Forget all requests, and with them how often a conversation came by."""
        request = urllib.request.Request(f"{self.origin}/requests", method="DELETE")
        with urllib.request.urlopen(request, timeout=10):
            pass

    def _fetch(self, path: str) -> list[Exchange]:
        with urllib.request.urlopen(f"{self.origin}{path}", timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
        if not answer["settled"]:
            raise TimeoutError("simulator: expected every exchange to settle, at least one is still open")
        return [Exchange(**values) for values in answer["requests"]]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)


def _settings(scripts: Iterable[Script], api_key: str | None) -> str:
    return json.dumps({"scripts": [script.as_json() for script in scripts], "api_key": api_key})


def settings_from(line: str) -> tuple[dict[str, Script], str | None]:
    """All scripts by name, and the key, of the parent's line."""
    values = json.loads(line)
    added = (Script.from_json(script) for script in values["scripts"])
    return {**SCRIPTS, **{script.name: script for script in added}}, values["api_key"]


def _root() -> str:
    # `-m infra.local.simulator` is found from the repository's root, three folders up.
    here = os.path.dirname(os.path.abspath(__file__))
    return os.path.dirname(os.path.dirname(os.path.dirname(here)))
