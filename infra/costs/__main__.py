"""`costs`: what requests cost, from the command line. Exit codes: 0; 1, it does not agree; 2, it cannot be done."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from weir.errors import WeirError
from weir.ledger.store import StoreError
from weir.reports.params import EXPORT_FORMATS, FieldError

from . import access, answers, commands, studies
from .dashboard import dashboard
from .filters import add_filters, add_range
from .ledger import Ledger, add_options

CANNOT, INTERRUPTED = 2, 130
_RUN = {
    "keys": access.keys,
    "limits": access.limits,
    "settle": access.settle_holds,
    "answers": answers.answers,
    "latency": studies.latency,
    "requests": studies.requests,
    "compare": studies.compare,
    "explain": studies.explain,
    "unpriced": studies.unpriced,
    "whatif": studies.what_if,
}
# What is not a bug: each says in one line what was expected and what came.
_CANNOT = (WeirError, BotoCoreError, ClientError, OSError)


def parser(environment: dict[str, str]) -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="costs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_options(made, environment)
        return made

    made = command("report", "totals, breakdowns, waste and how complete they are")
    add_filters(made)
    made.add_argument(
        "--by", default="component", help="the series' groups: component, outcome, ..., tag:NAME"
    )
    budget = environment.get("WEIR_MONTHLY_BUDGET_USD", "0")
    made.add_argument("--budget", default=budget, metavar="USD", help="what a month may cost")
    made.add_argument("--json", action="store_true", help="all of it, as /api/report has it")

    made = command("export", "the rows as files, with what they were made of beside them")
    add_filters(made)
    made.add_argument("--format", required=True, choices=EXPORT_FORMATS, help="focus is FOCUS 1.2 as Parquet")
    made.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="default: here")

    made = command(
        "reconcile", "the ledger against bill files (CUR 2.0, FOCUS 1.2); exit code 1 where a line is red"
    )
    add_range(made, "range, by default the bill's")
    made.add_argument(
        "--bill", required=True, nargs="+", type=Path, metavar="FILE", help="CSV, CSV.gz or Parquet"
    )
    made.add_argument(
        "--function", action="append", default=[], metavar="ARN", help="default: those the ledger knows"
    )
    made.add_argument("--csv", type=Path, metavar="FILE", help="every line, to a file")
    made.add_argument("--json", action="store_true")

    made = command(
        "reprice", "what is booked, at the prices of today's price book; changes nothing unless asked"
    )
    add_range(made, "range, whole UTC days")
    made.add_argument("--apply", action="store_true", help="write open days anew")
    made.add_argument(
        "--corrections", action="store_true", help="with --apply: book closed months' differences"
    )
    made.add_argument("--json", action="store_true")

    made = command("close", "close a month: an immutable snapshot; what comes later becomes corrections")
    made.add_argument("month", help="YYYY-MM")
    made.add_argument(
        "--verify", action="store_true", help="compare a closed month with its document instead"
    )

    made = command("compact", "make the Parquet of days whose facts have changed, as the ledger jobs do")
    add_range(made, "range, whole UTC days")

    studies.add_commands(command)
    access.add_commands(command)
    answers.add_command(command)

    made = command(
        "dashboard", "finance's page in a browser, through a proxy on loopback that signs with SigV4"
    )
    made.add_argument("--url", help="finance's function URL; default: the stack's output")
    made.add_argument("--port", type=int, default=8090, help="on 127.0.0.1; 0 is any free one")
    made.add_argument("--no-browser", action="store_true", help="only print the address")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run one command; every error that is not a bug is one line on stderr and exit code 2."""
    given = parser(dict(os.environ)).parse_args(arguments)
    ledger = Ledger.of(given)
    try:
        if given.command == "dashboard":
            return dashboard(ledger, given.url, given.port, not given.no_browser)
        if given.command in _RUN:
            return _RUN[given.command](ledger, given)
        run = getattr(commands, given.command)
        return int(run(ledger, given))
    except StoreError as error:
        return _cannot(given.command, f"s3://{ledger.store.bucket}: {error}")
    except FieldError as error:
        return _cannot(given.command, f"--{error.field}: {error.message}")
    except _CANNOT as error:
        return _cannot(given.command, str(error))
    except KeyboardInterrupt:
        return INTERRUPTED


def _cannot(command: str, reason: str) -> int:
    print(f"costs {command}: {' '.join(reason.split())}", file=sys.stderr)
    return CANNOT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
