"""A provider that says what it is told to, in any of their protocols: the upstream of tests, benchmarks and the demo.

`python -m infra.local.simulator --port 9000` runs it by hand; `async with Simulator() as sim` runs it for a
test. The request's `model` chooses the script: `sim-1` answers well, `sim-cut`, `sim-429`, `sim-invalid` and
so on do not.
"""

from .journal import Exchange
from .process import Simulator
from .script import Fault, HttpError, Script
from .scripts import SCRIPTS

__all__ = ["SCRIPTS", "Exchange", "Fault", "HttpError", "Script", "Simulator"]
