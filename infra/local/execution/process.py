"""A function's process and everything it started, as one thing to freeze, thaw and end.

They are a process group, which signals go to; the launcher stands beside it and tells how it ended. They die with
their parent on Linux (launcher.py), and `atexit` ends every group otherwise, so that nothing stays running, however
the laptop's AWS ends.
"""

import asyncio
import atexit
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .code import LAUNCHER, Placement

_running: set[int] = set()
MAX_LINE_BYTES = 256 * 1024  # CloudWatch cuts longer ones


def _end_all() -> None:
    for group in _running:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


atexit.register(_end_all)


class Process:
    """A function's process and its launcher; its lines go to `on_line` as they come, whole, without the line's end."""

    def __init__(
        self, launcher: asyncio.subprocess.Process, output: int, on_line: Callable[[str], None]
    ) -> None:
        self._launcher = launcher
        self.id = 0  # of the function's own process, which leads its group; 0 before it has begun
        self._output = output
        self._on_line = on_line
        self._partial = b""
        self._peak_kb = 0
        self.started_s = 0.0  # on the loop's clock: when the command itself began
        asyncio.get_running_loop().add_reader(output, self.read_lines)

    @classmethod
    async def start(
        cls,
        placement: Placement,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> "Process":
        output, output_end = os.pipe()
        os.set_blocking(output, False)
        # Both its ends in the launcher close when the command begins: that is when the function's own time does.
        launched, launched_end = os.pipe()
        mounts = None if placement.mounts is None else dict(placement.mounts)
        given = {"parent": os.getpid(), "mounts": mounts, "folder": placement.task, "command": list(command),
                 "launched": launched_end}  # fmt: skip
        try:
            launcher = await asyncio.create_subprocess_exec(
                placement.python, "-I", "-S", str(LAUNCHER), json.dumps(given),
                stdin=asyncio.subprocess.DEVNULL, stdout=output_end, stderr=output_end,
                env=dict(environment), start_new_session=True, pass_fds=(launched_end,),
            )  # fmt: skip
        finally:
            os.close(output_end)
            os.close(launched_end)
        process = cls(launcher, output, on_line)
        try:
            told = await _read_to_end(launched)
        except BaseException:
            process.kill()
            await process.wait()
            process.close()
            raise
        process.started_s = asyncio.get_running_loop().time()
        if told:
            process.id = int(told)
            _running.add(process.id)
        return process

    def freeze(self) -> None:
        """Stop every process of the group where it stands."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the group at once."""
        self._signal(signal.SIGKILL)

    async def wait(self) -> int:
        """The exit status, negative for a signal; what the process left behind in its group is ended, too."""
        status = await self._launcher.wait()
        if self.id:
            self.kill()
            _running.discard(self.id)
        return status

    def close(self) -> None:
        """Read what is left of the output and let go of it; after `wait`."""
        if self._output < 0:
            return
        self.read_lines()
        if self._partial:
            self._emit(self._partial)
        self._let_go()

    def read_lines(self) -> None:
        """Hand on every line that has been written until now."""
        while self._output >= 0:
            try:
                data = os.read(self._output, 65_536)
            except BlockingIOError:
                return
            if not data:
                return self._let_go()
            *lines, self._partial = (self._partial + data).split(b"\n")
            for line in lines:
                self._emit(line)
            while len(self._partial) >= MAX_LINE_BYTES:
                self._emit(self._partial[:MAX_LINE_BYTES])
                self._partial = self._partial[MAX_LINE_BYTES:]

    def peak_memory_mb(self) -> int | None:
        """The most that process and children have held so far; None where the system does not say (not Linux)."""
        if sys.platform != "linux":
            return None
        self._peak_kb = max(self._peak_kb, _peak_kb(self.id))
        return -(-self._peak_kb // 1024)

    def _emit(self, line: bytes) -> None:
        if line.strip():
            self._on_line(line.decode(errors="replace").rstrip("\r"))

    def _let_go(self) -> None:
        asyncio.get_running_loop().remove_reader(self._output)
        os.close(self._output)
        self._output = -1

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if self.id:
                os.killpg(self.id, number)
            else:
                self._launcher.send_signal(number)


def _peak_kb(process: int) -> int:
    proc = Path(f"/proc/{process}")
    with suppress(OSError):
        own = [
            line.split()[1]
            for line in (proc / "status").read_text().splitlines()
            if line.startswith("VmHWM:")
        ]
        children = (proc / "task" / str(process) / "children").read_text().split()
        return sum(map(int, own)) + sum(map(_peak_kb, map(int, children)))
    return 0


async def _read_to_end(descriptor: int) -> bytes:
    loop, data, readable = asyncio.get_running_loop(), b"", asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            part = os.read(descriptor, 64)
            if not part:
                return data
            data += part
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
