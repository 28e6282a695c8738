"""`python -m asgiric`: the process that Lambda starts."""

import gc

# Before the other imports, hence their noqa: they make no garbage, only objects for the collector to walk in vain.
gc.disable()

import os  # noqa: E402
import sys  # noqa: E402

# Most of what a start imports is the standard library's: looked for there first, it is not looked for in the task and
# in every layer. Their own order stays, and none of them can take a standard module's place.
_LIBRARY = os.path.dirname(os.__file__)
sys.path.sort(key=lambda folder: folder not in (_LIBRARY, os.path.join(_LIBRARY, "lib-dynload")))

from io import TextIOWrapper  # noqa: E402
from typing import cast  # noqa: E402

from asgiric.runtime import main  # noqa: E402

if __name__ == "__main__":
    # Lambda reads a pipe: without this, lines printed by the application would wait for a full block.
    cast("TextIOWrapper", sys.stdout).reconfigure(line_buffering=True)
    sys.exit(main(os.environ))
