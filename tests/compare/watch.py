"""`python -m tests.compare.watch FILE SERVER ARGUMENTS...`: runs a server, a module's name or a script's path,
and watches its event loop.

Every 5 ms a timer notes how late it fired and how much processor time its process used meanwhile. The smaller of the
two is the lateness that the process itself caused: what else the machine does is not in it. The longest one lies in
FILE as a double, where whoever compares reads it and writes 0.

COMPARE_LOOP=asyncio hides uvloop, where an environment has it, so that servers differ in what they do alone.
"""

import asyncio
import mmap
import os
import runpy
import struct
import sys
import time
from pathlib import Path
from typing import Any

TICK_S = 0.005


def watch(loop: asyncio.AbstractEventLoop, longest: mmap.mmap) -> None:
    """Note the longest stall that the process caused itself, for as long as the loop runs."""
    due_s, cpu_s = loop.time() + TICK_S, time.process_time()

    def tick() -> None:
        nonlocal due_s, cpu_s
        now_s, used_s = loop.time(), time.process_time()
        own_s = min(now_s - due_s, used_s - cpu_s)
        if own_s > struct.unpack_from("d", longest)[0]:
            struct.pack_into("d", longest, 0, own_s)
        due_s, cpu_s = now_s + TICK_S, used_s
        loop.call_at(due_s, tick)

    loop.call_at(due_s, tick)


def take_stall_ms(file: Path) -> float:
    """The longest stall since the last look."""
    with file.open("r+b") as opened:
        stall_s = float(struct.unpack("d", opened.read(8))[0])
        opened.seek(0)
        opened.write(struct.pack("d", 0.0))
    return stall_s * 1e3


def main() -> None:
    """Put the watch under uvicorn, and become the server."""
    file, module, *arguments = sys.argv[1:]
    Path(file).write_bytes(struct.pack("d", 0.0))
    with Path(file).open("r+b") as opened:
        longest = mmap.mmap(opened.fileno(), 8)
    if os.environ.get("COMPARE_LOOP") == "asyncio":
        sys.modules["uvloop"] = None  # type: ignore[assignment]  # uvicorn then takes asyncio's own
    import uvicorn

    started = uvicorn.Server.startup

    async def startup(server: uvicorn.Server, *given: Any, **named: Any) -> None:
        watch(asyncio.get_running_loop(), longest)
        await started(server, *given, **named)

    uvicorn.Server.startup = startup  # type: ignore[method-assign]
    sys.argv = [module, *arguments]
    if "/" in module:
        runpy.run_path(module, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
