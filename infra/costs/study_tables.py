"""What latency costs and what if, as tables for a terminal."""

from decimal import Decimal
from shlex import quote
from urllib.parse import parse_qsl

from rich.console import Console
from rich.text import Text

from .tables import UNKNOWN, Json, at_least, count, minute, percent, print_table, printable, usd

_WORDS = {"unknown": "unknown", "not_offered": "does not fit"}


def show_latency(found: Json, console: Console) -> None:
    """The phases of the range, then of each day, model, tenant and function."""
    _heading(found, console)
    total = found["total"]
    rows = [
        (
            phase["phase"],
            usd(phase["cost"]),
            count(phase["ms"]),
            phase["cost_per_ms"] or UNKNOWN,
            percent(phase["share_percent"]),
        )
        for phase in total["phases"]
    ]
    rows.append(("tokens, beside them", usd(total["tokens"]), "", "", ""))
    print_table(
        console, "the billed time by phase", ("", "USD", "ms", "USD a ms", "share of the total"), rows
    )
    for by in ("day", "model", "tenant", "function"):
        groups = [
            (
                group["name"],
                count(group["requests"]),
                *(usd(phase["cost"]) for phase in group["phases"]),
                usd(group["tokens"]),
            )
            for group in found[f"by_{by}"]
        ]
        phases = (phase["phase"] for phase in total["phases"])
        print_table(console, f"by {by}, USD", ("", "requests", *phases, "tokens"), groups)
        if query := next((group["phases"][1]["requests_query"] for group in found[f"by_{by}"]), None):
            console.print(Text(f"the requests of a row: {_command(query)}", style="dim"))


def show_requests(found: Json, console: Console) -> None:
    """Requests with their phases, one a line, then where the next begin."""
    _heading(found, console)
    rows = [
        (
            row["request_id"],
            minute(row["at"]),
            _again(row),
            printable(row["model_returned"] or row["model"] or UNKNOWN),
            *(usd(row["cost"]["phases"][name]) for name in ("cold_start", "waiting", "streaming")),
            at_least(row["cost"]["total"], bool(row["cost"]["unpriced"])),
        )
        for row in found["rows"]
    ]
    print_table(
        console,
        "requests, USD",
        ("", "at, UTC", "", "model", "cold start", "waiting", "streaming", "total"),
        rows,
    )
    if found["next_cursor"]:
        console.print(f"more: --cursor {found['next_cursor']}")


def show_what_if(found: Json, console: Console) -> None:
    """Each scenario's difference, then what has to hold for it."""
    _heading(found, console)
    console.print(
        f"{count(found['requests'])} requests, [bold]{at_least(found['total'], found['is_lower_bound'])} USD[/bold]"
    )
    rows = [
        (
            scenario["title"],
            _WORDS.get(scenario["status"]) or change(scenario["difference"]),
            percent(scenario["percent"]),
            count(scenario["requests_changed"]),
            count(scenario["requests_unknown"]),
        )
        for scenario in found["scenarios"]
    ]
    print_table(console, "what if", ("", "USD", "of the total", "requests", "unknown"), rows)
    for scenario in found["scenarios"]:
        console.print(Text(f"\n{printable(scenario['title'])}", style="bold"))
        for line in scenario["assumptions"]:
            console.print(Text(f"  {printable(line)}"))
        for unknown in scenario["unknown"]:
            said = f"  unknown: {printable(unknown['reason'])}, {count(unknown['requests'])} requests"
            console.print(Text(said, style="yellow"))
    sizes = [
        (
            memory["function"],
            count(memory["memory_mb"]),
            count(memory["peak_mb"]),
            count(memory["peak_known"]),
            count(memory["recommended_mb"]),
        )
        for memory in found["memory"]
    ]
    print_table(console, "memory, MB", ("", "now", "peak", "requests that say it", "recommended"), sizes)


def show_compare(found: Json, console: Console) -> None:
    """The change and its parts, and the groups that moved most."""
    for name in ("before_range", "range"):
        _heading({"range": found[name]}, console)
    rows = [
        (name, count(period["requests"]), at_least(period["total"], period["is_lower_bound"]))
        for name, period in (("before", found["before"]), ("after", found["after"]))
    ]
    rows.append((f"change, {percent(found['percent'])}", "", change(found["change"])))
    print_table(console, "two periods", ("", "requests", "USD"), rows)
    parts = [(name, change(amount)) for name, amount in found["parts"].items()]
    print_table(console, "made by", ("", "USD"), parts)
    names = [name for name in found["parts"] if any(float(group["parts"][name]) for group in found["groups"])]
    groups = [
        (group["name"], change(group["change"]), *(change(group["parts"][name]) for name in names))
        for group in found["groups"]
    ]
    by = found["by"].replace("tag:", "tag ")
    print_table(console, f"moved most, by {by}", ("", "change", *names), groups)


def show_unpriced(found: Json, console: Console) -> None:
    """The queue: what is missing, how much of it, and what is at stake at the nearest price."""
    _heading(found, console)
    rows = [
        (
            item["reason"],
            count(item["requests"]),
            count(item["input_tokens"]),
            count(item["output_tokens"]),
            usd(item["at_nearest"]),
            printable(item["nearest"] or UNKNOWN),
        )
        for item in found["items"]
    ]
    heads = ("", "requests", "tokens in", "out", "USD at the nearest price", "whose")
    print_table(console, "not priced in full", heads, rows)
    if not rows:
        console.print("Everything is priced.")


def show_charges(found: Json, console: Console) -> None:
    """Each product on a line, who says what a unit costs, and the charges whose lines do not sum to what is booked."""
    rows = [
        (
            _name(line),
            _shortened(line["quantity"]),
            line["unit"] or UNKNOWN,
            line["unit_price"] or UNKNOWN,
            _shortened(line["amount"]),
            printable(line["model"] or line["region"] or UNKNOWN),
        )
        for line in found["lines"]
    ]
    print_table(console, "charges", ("", "quantity", "of", "at USD", "is USD", "bought of"), rows)
    listed = [
        (
            _name(line),
            printable(line["model"] or line["region"] or UNKNOWN),
            count(line["requests"]),
            line["id"],
        )
        for line in found["lines"]
        if line["requests_query"]
    ]
    heads = ("", "bought of", "requests", "ID")
    print_table(console, "the requests of each, with the same range: costs explain --line ID", heads, listed)
    said = {(line["item"], line["source"], line["valid_from"]) for line in found["lines"] if line["source"]}
    console.print()
    for item, source, since in sorted(said, key=str):
        since_then = f", since {since}" if since else ""
        console.print(Text(f"{item}: {printable(source)}{since_then}", style="dim"))
    sums = found["differs"] if "differs" in found else found["components"]
    totals = [(entry["component"], usd(entry["booked"]), usd(entry["explained"])) for entry in sums]
    print_table(console, "booked, and what the lines come to", ("", "booked", "lines"), totals)


def show_line(found: Json, console: Console) -> None:
    """A line, and the requests that it is made of, with their shares."""
    _heading(found, console)
    line = found["line"]
    console.print(
        f"{_name(line)}, {count(line['requests'])} requests: {line['quantity'] or UNKNOWN} {line['unit'] or ''} at "
        f"{line['unit_price'] or UNKNOWN} is {line['amount'] or UNKNOWN} USD, booked {line['booked'] or UNKNOWN}"
    )
    rows = [
        (
            share["row"]["request_id"],
            minute(share["row"]["at"]),
            *(_shortened(share[name]) for name in ("quantity", "amount", "booked")),
        )
        for share in found["rows"]
    ]
    print_table(console, "its requests", ("", "at, UTC", "quantity", "is USD", "booked"), rows)
    if found["next_cursor"]:
        console.print(f"more: --cursor {found['next_cursor']}")


def _name(line: Json) -> str:
    if line["entry"] != "request":
        return f"{line['component']}, {line['entry']}"
    return f"{line['component']} {line['attempt'] or ''}".rstrip()


def _shortened(amount: str | None) -> str:
    """A decimal of at most 15 places, to be read; what is exact is in JSON and CSV."""
    return UNKNOWN if amount is None else f"{Decimal(amount).quantize(Decimal('1e-15')).normalize():f}"


def change(amount: str | None) -> str:
    """An amount that is more or less than another, with its sign."""
    written = usd(amount)
    return written if amount is None or written.startswith("-") or not amount.strip("0.") else f"+{written}"


def _phases(group: Json) -> list[str]:
    return [usd(phase["cost"]) for phase in group["phases"]]


def _again(row: Json) -> str:
    """How it ended, or by what its answer was there already."""
    outcome = printable(row["outcome"] or UNKNOWN).replace("_", " ")
    how = {"cache": "cached", "idempotency_key": "repeated"}.get(row["answered_from"])
    return f"{outcome}, {how}" if how else outcome


def _command(query: str) -> str:
    """The command that lists what a query does."""
    options = (f"--{name.replace('_', '-')} {quote(value)}" for name, value in parse_qsl(query))
    return printable(f"costs requests {' '.join(options)}")


def _heading(found: Json, console: Console) -> None:
    span = found["range"]
    console.print(f"[bold]{minute(span['from'])} to {minute(span['to'])}[/bold], {span['time_zone']}")
