"""The filters of the API as options, with the same names and the same meaning, read by the same code."""

import argparse
from dataclasses import replace
from datetime import datetime

from weir.outcomes import Outcome
from weir.reports.params import range_of, tags_of, zone_of
from weir.reports.report import Filters

from .ledger import UsageError


def add_range(parser: argparse.ArgumentParser, what: str = "range, by default seven days with today") -> None:
    """--from, --to and --tz."""
    group = parser.add_argument_group(what)
    group.add_argument(
        "--from", dest="start", metavar="WHEN", help="first day (of --tz), or instant with its zone"
    )
    group.add_argument("--to", dest="end", metavar="WHEN", help="first day or instant after the range")
    group.add_argument(
        "--tz", default="UTC", help="IANA time zone of days, such as Europe/Berlin; default: UTC"
    )


def add_filters(parser: argparse.ArgumentParser) -> None:
    """The range and everything that chooses rows."""
    add_range(parser)
    group = parser.add_argument_group("filters")
    outcomes = ", ".join([*Outcome, "unknown"])
    group.add_argument("--outcome", help=f"one of {outcomes}")
    for name in ("model", "function", "tenant"):
        group.add_argument(f"--{name}", help="(unknown) finds rows without one")
    group.add_argument("--served-model", help="what answered, or else was asked for: as breakdowns have it")
    group.add_argument(
        "--tag", action="append", default=[], help="name=value, or name for any value; all must hold"
    )


def span_of(given: argparse.Namespace, now: datetime) -> Filters:
    """The range alone. Raises FieldError."""
    return range_of(given.start, given.end, zone_of(given.tz), now)


def filters_of(given: argparse.Namespace, now: datetime) -> Filters:
    """All of them. Raises FieldError and UsageError."""
    if given.outcome is not None and given.outcome not in {*Outcome, "unknown"}:
        raise UsageError(f"--outcome: expected an outcome or unknown, got {given.outcome[:60]!r}")
    return replace(
        span_of(given, now),
        outcome=given.outcome,
        model=given.model,
        served_model=given.served_model,
        function=given.function,
        tenant=given.tenant,
        tags=tags_of(given.tag),
    )
