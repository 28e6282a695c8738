"""Processes of a variant: what they have used, and what they hold. Linux's /proc and clocks."""

import time
from pathlib import Path


def tree(root: int) -> list[int]:
    """A process, its children and theirs, as far as they live."""
    found, left = [], [root]
    while left:
        pid = left.pop()
        try:
            threads = list(Path(f"/proc/{pid}/task").iterdir())
            children = [child for thread in threads for child in (thread / "children").read_text().split()]
        except OSError:  # it has ended meanwhile
            continue
        found.append(pid)
        left += map(int, children)
    return found


def cpu_s(pid: int) -> float:
    """Processor time of a process, threads that have ended included; 0 of one that has ended."""
    try:
        # The kernel's name for another process's clock: clock_getcpuclockid(3).
        return time.clock_gettime_ns((~pid << 3) | 2) / 1e9
    except OSError:
        return 0.0


def peak_mb(pid: int) -> float:
    """The kernel's high-water mark of resident memory, since it was last reset."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def reset_peak(pid: int) -> None:
    """Let the high-water mark begin at what is resident now."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        return
