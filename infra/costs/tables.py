"""A report as tables for a terminal. Money is shown to six decimals; unknown is a dash and never 0.

Names of tags and models come from outside: they are shown as they are, neither as rich's markup nor as control codes.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

type Json = dict[str, Any]

UNKNOWN = "–"
_SAVED = {
    "early_stop": "stopped early",
    "idempotency_key": "repeated by key",
    "cache": "answered from the cache",
}


def usd(amount: str | None) -> str:
    """Six decimals, half-even, with separators."""
    return UNKNOWN if amount is None else f"{Decimal(amount):,.6f}"


def count(number: float | None) -> str:
    """A whole number with separators."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def percent(number: float | str | None) -> str:
    """One decimal."""
    return UNKNOWN if number is None else f"{float(number):.1f} %"


def minute(instant: str | None) -> str:
    """An instant in its own zone, to the minute."""
    return UNKNOWN if instant is None else f"{datetime.fromisoformat(instant):%Y-%m-%d %H:%M}"


def at_least(amount: str | None, is_lower_bound: bool) -> str:
    """Money that may be more: what is in it is not all priced."""
    return f"{'≥ ' if is_lower_bound and amount is not None else ''}{usd(amount)}"


def show_report(report: Json, console: Console) -> None:
    """Everything that a person asks first: the sum, what it is made of, who caused it, and how far to trust it."""
    totals, span = report["totals"], report["range"]
    book = report["price_book"]
    start, end = minute(span["from"]), minute(span["to"])
    console.print(
        f"[bold]{start} to {end}[/bold], {span['time_zone']}, rows as of {minute(report['as_of'])} UTC"
    )
    console.print(
        f"{count(totals['requests'])} requests, "
        f"[bold]{at_least(totals['total'], totals['is_lower_bound'])} {report['currency']}[/bold]"
    )
    print_table(
        console,
        "by component",
        ("", "USD"),
        [
            (name, at_least(amount, name in totals["unpriced"]["components"]))
            for name, amount in totals["components"].items()
        ],
    )
    print_table(
        console,
        "by phase of the duration",
        ("", "USD"),
        [(name, usd(amount)) for name, amount in totals["phases"].items()],
    )
    groups = report["breakdowns"]
    if report["series"]["by"] not in ("component", *groups):
        groups = {report["series"]["by"].replace("tag:", "tag "): report["series"]["totals"], **groups}
    for by, entries in groups.items():
        rows = [
            (
                entry["name"],
                count(entry["requests"]),
                at_least(entry["total"], entry["is_lower_bound"]),
                percent(entry["share_percent"]),
            )
            for entry in entries
        ]
        print_table(console, f"by {by}", ("", "requests", "USD", "share"), rows)
    waste = [
        (entry["name"], at_least(entry["total"], entry["is_lower_bound"]), percent(entry["share_percent"]))
        for entry in report["waste"]
    ]
    print_table(console, "waste", ("", "USD", "share"), waste)
    saved = [
        (_SAVED[entry["how"]], count(entry["requests"]), count(entry["tokens"]), usd(entry["total"]))
        for entry in totals["saved"]["by"]
        if entry["requests"]
    ]
    print_table(console, "saved, an estimate", ("", "requests", "tokens", "USD"), saved)
    units = report["unit_economics"]
    economics = [
        (name, at_least(amount, units["is_lower_bound"]))
        for name, amount in units.items()
        if name != "is_lower_bound"
    ]
    print_table(console, "unit economics", ("", "USD"), economics)
    print_table(console, "latency, ms", ("", "p50", "p95", "p99"), _latency(report["latency"]))
    console.print()
    for line in notes(report):
        console.print(Text(printable(line)))
    warning = f", {book['warning']}" if book["warning"] else ""
    used = ", ".join(book["versions_in_rows"]) or "none, as there are no rows"
    console.print(f"priced with book {used}", style="dim")
    console.print(
        f"price book of today {book['version']}, as of {book['as_of']}, {book['age_days']} days old{warning}",
        style="dim",
    )


def notes(report: Json) -> list[str]:
    """What a reader has to know before the sum is believed: each is a line, none where all is well."""
    totals, complete, budget = report["totals"], report["completeness"], report["budget"]
    book = report["price_book"]
    lines = []
    if budget is not None:
        spent = at_least(budget["spent"], budget["is_lower_bound"])
        said = f"{spent} of {usd(budget['limit'])} USD ({percent(budget['percent'])})"
        if budget["forecast"] is None:
            forecast = f"no forecast: {budget['method']}"
        else:
            amount = at_least(budget["forecast"], budget["forecast_is_lower_bound"])
            forecast = f"forecast {amount} ({percent(budget['forecast_percent'])})"
        lines.append(f"budget {budget['month']}: {said}, {forecast}")
    if totals["unpriced"]["rows"]:
        reasons = ", ".join(f"{reason}: {rows}" for reason, rows in totals["unpriced"]["reasons"].items())
        lines.append(
            f"the sum is a lower bound: {totals['unpriced']['rows']} rows are not priced whole ({reasons})"
        )
    if len(book["versions_in_rows"]) > 1:
        lines.append(f"rows of this range were priced with {len(book['versions_in_rows'])} price books")
    halves = {name: complete[name] for name in ("bill_only", "usage_only", "started_only") if complete[name]}
    if halves:
        listed = ", ".join(f"{name.replace('_', ' ')}: {rows}" for name, rows in halves.items())
        lines.append(f"rows with one half: {listed}")
    missing = sum(hour["missing"] or 0 for hour in complete["hours"])
    if missing:
        lines.append(f"{missing} requests that Lambda reported have no row")
    for name, words in (
        ("set_aside", "log records were set aside as unreadable"),
        ("unreadable_objects", "objects of the ledger cannot be read"),
        ("logs_dropped", "times the platform says that log lines were dropped"),
    ):
        if complete[name]:
            lines.append(f"{complete[name]} {words}")
    if complete["counted_until"]:
        lines.append(f"counted against the log until {complete['counted_until']}")
    return lines


def show_reprice(repriced: Json, console: Console) -> None:
    """Booked against today's prices."""
    console.print(
        f"{count(repriced['requests'])} requests of {repriced['days']} days, {repriced['changed']} with other money"
    )
    for title, changes in (("by component", repriced["components"]), ("by model", repriced["models"])):
        rows = [
            (name, usd(change["booked"]), usd(change["now"]), usd(change["difference"]))
            for name, change in changes.items()
        ]
        print_table(console, title, ("", "booked", "now", "difference"), rows)
    total = repriced["total"]
    console.print(
        f"total {usd(total['booked'])} -> {usd(total['now'])} USD ({usd(total['difference'])})", style="bold"
    )
    if repriced["not_compared"]:
        console.print(
            f"{repriced['not_compared']} requests were not compared: their facts have changed since"
        )


def _latency(latency: Json) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [
        (label, *(count(latency[name][point]) for point in ("p50", "p95", "p99")))
        for label, name in (("first token", "ttft_ms"), ("duration", "duration_ms"))
    ]
    return [*rows, ("cold starts", percent(latency["cold_start_percent"]), "", "")]


def print_table(console: Console, title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table with a title; nothing where there are no rows."""
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", overflow="fold")
    for name, *cells in rows:
        table.add_row(Text(printable(name.replace("_", " "))), *cells)
    if table.row_count:
        console.print(f"\n[bold]{title}[/bold]")
        console.print(table)


def printable(text: str) -> str:
    """A text from outside without control characters."""
    return "".join(character if character.isprintable() else "?" for character in text)
