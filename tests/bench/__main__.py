"""`python -m tests.bench [PART ...] [--out FILE]`: run parts of the benchmark; exit 1 if a bound is missed.

A part is a module of this folder with `run() -> list[Table]`, or one that prints for itself. Each takes a minute or so;
other work on the machine shows in the medians before it shows in the minima.
"""

import argparse
import importlib
import platform
import subprocess
import sys
from pathlib import Path

from tests.bench.tables import Table, bounds_of

PARTS = (
    "cold",
    "throttled",
    "relay",
    "forwarding",
    "decoders",
    "access_latency",
    "memory",
    "validation",
    "loop_gap",
    "hostile",
    "access",
    "ledger_ingest",
    "ledger_units",
    "ledger_day",
    "ledger_month",
    "ledger_export",
    "ledger_report",
    "ledger_whatif",
    "ledger_page",
)


def main() -> int:
    """Run what was asked for, print it, and say whether all bounds hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without any")
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"expected parts of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")

    text = [f"CPython {platform.python_version()}, {platform.machine()}, {platform.system()}\n"]
    print(text[0], flush=True)
    tables: list[Table] = []
    for name in asked.parts or PARTS:
        part = importlib.import_module(f"tests.bench.{name}")
        if not hasattr(part, "run"):
            command = [sys.executable, "-m", f"tests.bench.{name}"]
            text.append(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            print(text[-1], flush=True)
            continue
        for table in part.run():
            tables.append(table)
            text.append(table.markdown())
            print(text[-1], flush=True)
    bounds = list(bounds_of(tables))
    missed = [bound for bound in bounds if not bound.met]
    text.append(f"{len(bounds) - len(missed)} of {len(bounds)} bounds met\n")
    print(text[-1], end="")
    if asked.out:
        asked.out.write_text("\n".join(text))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
