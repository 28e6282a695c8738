"""What finance asks beyond the report, from the command line: what latency costs, and what if."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from weir.reports.charge_lines import as_csv, requests_as_csv
from weir.reports.params import FieldError, by_of, period_before, zone_of
from weir.reports.parquet_cache import RowFiles
from weir.reports.report import LedgerReader, range_json
from weir.reports.row_queries import SORTS
from weir.reports.studies import Studies
from weir.reports.supposition import ARCHITECTURES, Supposed

from .filters import add_filters, filters_of
from .ledger import Ledger, UsageError
from .progress import Tell, progress
from .study_tables import (
    show_charges,
    show_compare,
    show_latency,
    show_line,
    show_requests,
    show_unpriced,
    show_what_if,
)


def decimal(text: str) -> Decimal:
    """A number, as it is written. Raises ValueError."""
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error


# The options of `whatif`, by the names of the API's parameters.
_SUPPOSED: dict[str, tuple[Any, str]] = {
    "ttft_ms": (int, "added to the wait for the first token; default: -200"),
    "memory_mb": (int, "of every function whose peak it fits; default: what is recommended"),
    "environments": (int, "kept warm for each function; default: what its busiest minute needs"),
    "concurrency": (int, "requests that share an environment on Managed Instances; default: 10"),
    "instance_usd_hour": (decimal, "what an instance costs; default: what the price book has"),
    "instance_memory_gb": (decimal, "the memory of that instance"),
    "instance_fee_percent": (decimal, "AWS's fee, of that price; default: what the price book has"),
    "cache_percent": (float, "of the input, read from a cache; default: that of requests which do"),
    "from_model": (str, "whose tokens another model writes; default: all"),
    "to_model": (str, "the model that answers instead"),
    "to_region": (str, "the Region in which the functions run instead"),
}

_WHICH_DAYS = (
    "As WEIR_PRICE_OVERRIDES it prices the days that begin after. Days that have their prices, today among them, keep"
    " them until `costs reprice --apply` gives them these."
)


def now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


def latency(ledger: Ledger, given: argparse.Namespace) -> int:
    """What latency costs."""
    asked, zone = filters_of(given, now()), zone_of(given.tz)
    with _studies(ledger) as (studies, tell):
        found = studies.latency(asked, zone, tell)
    _show(found, given.json, show_latency)
    return 0


def requests(ledger: Ledger, given: argparse.Namespace) -> int:
    """Requests, one a line, in an order."""
    asked, zone = filters_of(given, now()), zone_of(given.tz)
    with _reader(ledger) as (reader, _):
        found = {
            "range": range_json(asked, zone),
            **reader.page(asked, given.sort, given.limit, given.cursor),
        }
    _show(found, given.json, show_requests)
    return 0


def what_if(ledger: Ledger, given: argparse.Namespace) -> int:
    """What a range would have cost."""
    asked, zone = filters_of(given, now()), zone_of(given.tz)
    said = {name: getattr(given, name) for name in (*_SUPPOSED, "architecture")}
    supposed = Supposed(**{name: value for name, value in said.items() if value is not None})
    with _studies(ledger) as (studies, tell):
        found = studies.what_if(asked, supposed, zone, tell)
    _show(found, given.json, show_what_if)
    return 0


def compare(ledger: Ledger, given: argparse.Namespace) -> int:
    """Two periods."""
    asked, zone, by = filters_of(given, now()), zone_of(given.tz), by_of(given.by)
    if by == "component":
        raise FieldError(
            "by", "expected what requests have: outcome, tenant, feature, model, function or tag:NAME"
        )
    before = period_before(asked, given.before_from, given.before_to, zone)
    with _studies(ledger) as (studies, tell):
        found = studies.compare(before, asked, by, zone, tell)
    _show(found, given.json, show_compare)
    return 0


def explain(ledger: Ledger, given: argparse.Namespace) -> int:
    """One request's charges, or the lines of a range's sums."""
    asked, zone = filters_of(given, now()), zone_of(given.tz)
    if given.line is not None:
        return _explain_line(ledger, given)
    with _studies(ledger) as (studies, tell):
        if given.request is None:
            found = studies.charges(asked, zone, tell)
        else:
            one = studies.explain(given.request, asked.days if given.start or given.end else None)
            if one is None:
                raise UsageError(f"explain: expected the id of a request, got {given.request[:60]!r}")
            found = one
    if given.csv:
        print(as_csv(found["lines"]), end="")
    else:
        _show(found, given.json, show_charges)
    return 0


def _explain_line(ledger: Ledger, given: argparse.Namespace) -> int:
    """The requests that make a line; as CSV all of them."""
    asked, zone = filters_of(given, now()), zone_of(given.tz)
    with _studies(ledger) as (studies, tell):
        found = studies.charge_requests(asked, zone, given.line, given.limit, given.cursor, tell)
        if given.csv:
            pages = studies.all_charge_requests(asked, zone, given.line)
            for part in requests_as_csv(found["line"], (share for page in pages for share in page["rows"])):
                print(part, end="")
            return 0
    _show(found, given.json, show_line)
    return 0


def unpriced(ledger: Ledger, given: argparse.Namespace) -> int:
    """What is not priced; with --override, the record that would price it, as a file on standard output."""
    asked, zone = filters_of(given, now()), zone_of(given.tz)
    with _studies(ledger) as (studies, tell):
        if given.override is None:
            _show(studies.unpriced(asked, zone, tell), given.json, show_unpriced)
            return 0
        prices = {"input": given.input, "cached_input": given.cached_input, "output": given.output}
        found = studies.override(asked, given.override, prices, tell)
    print(f"{found['requests']} requests of the range would cost {found['adds']} USD more", file=sys.stderr)
    print(_WHICH_DAYS, file=sys.stderr)
    _show(found["override"], True, None)
    return 0


def add_commands(command: Any) -> None:
    """The options of these commands; `command` makes one by its name and text."""
    made = command("latency", "what each phase of the billed time costs, by day, model, tenant and function")
    add_filters(made)
    made.add_argument("--json", action="store_true", help="all of it, as /api/latency has it")
    made = command("requests", "the requests of a range, the newest or the dearest first")
    add_filters(made)
    made.add_argument("--sort", choices=SORTS, default="newest", metavar="ORDER", help=", ".join(SORTS))
    made.add_argument("--limit", type=int, default=25, help="at most so many; default: 25")
    made.add_argument("--cursor", help="next_cursor of what came before")
    made.add_argument("--json", action="store_true", help="all of it, as /api/requests has it")
    made = command("explain", "quantity by unit price of each charge: of one request, or of a range's sums")
    made.add_argument("request", nargs="?", help="a request's id; without one, the range")
    add_filters(made)
    made.add_argument("--line", metavar="ID", help="the requests that make a line of the range, by its id")
    made.add_argument("--limit", type=int, default=25, help="with --line: at most so many; default: 25")
    made.add_argument("--cursor", help="with --line: next_cursor of what came before")
    made.add_argument("--csv", action="store_true", help="the lines; with --line all of its requests")
    made.add_argument(
        "--json",
        action="store_true",
        help="as /api/charges (/requests) and /api/requests/{id}/charges have it",
    )
    made = command("compare", "two periods: what the cost changed by, and what made it")
    add_filters(made)
    made.add_argument("--before-from", metavar="WHEN", help="default: a period as long, or as many months")
    made.add_argument("--before-to", metavar="WHEN", help="default: --from")
    made.add_argument("--by", default="model", help="outcome, tenant, feature, model, function or tag:NAME")
    made.add_argument("--json", action="store_true", help="all of it, as /api/compare has it")
    made = command("unpriced", "what has no price, as a queue of work; and the record that would price it")
    add_filters(made)
    made.add_argument("--override", metavar="MODEL", help="print the record that prices this model's tokens")
    for name in ("input", "cached-input", "output"):
        made.add_argument(f"--{name}", metavar="USD", help="with --override: a million tokens")
    made.add_argument("--json", action="store_true", help="all of it, as /api/unpriced has it")
    made = command("whatif", "what a range would have cost, had one thing been another")
    add_filters(made)
    group = made.add_argument_group("suppositions, each by itself")
    for name, (kind, text) in _SUPPOSED.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, help=text)
    group.add_argument("--architecture", choices=ARCHITECTURES, help="default: the other one")
    made.add_argument("--json", action="store_true", help="all of it, as /api/whatif has it")


@contextmanager
def _reader(ledger: Ledger) -> Iterator[tuple[LedgerReader, Tell]]:
    with TemporaryDirectory(prefix="costs-") as folder, progress() as tell:
        files = RowFiles(ledger.store, ledger.book, Path(folder), now)
        yield LedgerReader(ledger.store, ledger.book, files, now), tell


@contextmanager
def _studies(ledger: Ledger) -> Iterator[tuple[Studies, Tell]]:
    with _reader(ledger) as (reader, tell):
        yield Studies(reader, ledger.store, ledger.book, now), tell


def _show(found: dict[str, Any], as_json: bool, show: Any) -> None:
    if as_json:
        json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
        print()
    else:
        show(found, Console())
