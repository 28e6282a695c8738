"""What the kernel knows of this process."""

import os
import time
from pathlib import Path


def process_age_ms() -> float:
    """Time since this process was started, in ms, to the kernel's clock tick (10 ms); through an `exec` it goes on.

    On Lambda that is the part of INIT which we can see: the platform's own work comes before. See proc(5).
    """
    # The second field is the command in parentheses, which may hold anything; field 22 counts from behind it.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return (time.clock_gettime(time.CLOCK_BOOTTIME) - started_s) * 1e3
