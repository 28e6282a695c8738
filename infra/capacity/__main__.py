"""`make capacity`: the tables that infra/README.md shows, from constants.json and the price book."""

import json
from collections.abc import Callable
from pathlib import Path

from infra.capacity.model import RATES, Capacity, Day, constants
from weir.pricing.price_book import PriceBook

_ROWS: tuple[tuple[str, Callable[[Day], str]], ...] = (
    ("objects written", lambda day: f"{day.objects:,.0f}"),
    ("S3 GETs", lambda day: f"{day.gets:,.0f}"),
    ("S3 PUTs and LISTs", lambda day: f"{day.puts:,.0f}"),
    ("units of a day", lambda day: f"{day.units:,}"),
    ("function seconds", lambda day: f"{day.function_s:,.0f}"),
    ("GB read by Athena", lambda day: f"{day.athena_bytes / 1e9:,.1f}"),
)


def tables() -> str:
    """A day at each rate, what it costs, and where each part breaks, in Markdown."""
    model = Capacity(constants(), PriceBook.load())
    days = [model.day(rate) for rate in RATES]
    head = ["a day at", *(f"{rate:,}/s" for rate in RATES)]
    rows = [[name, *(write(day) for day in days)] for name, write in _ROWS]
    rows += [[f"USD, {part}", *(_usd(day.usd[part]) for day in days)] for part in days[0].usd]
    rows.append(["**USD**", *(f"**{_usd(sum(day.usd.values()))}**" for day in days)])
    rows.append(["USD of Lambda metered", *(_usd(day.lambda_usd) for day in days)])
    rows.append(["**share of it**", *(f"**{100 * day.share:.1f} %**" for day in days)])
    broken = [["what", "breaks at"], *map(list, model.breaks())]
    return f"{_table([head, *rows])}\n{_table(broken)}"


def assumed() -> list[str]:
    """The constants that nothing measures."""
    listed = json.loads((Path(__file__).parent / "constants.json").read_text())
    return [name for name, entry in listed.items() if entry["measured_by"] == "assumed"]


def _usd(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.2f}" if amount >= 0.1 else f"{amount:.4f}"


def _table(rows: list[list[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    line = "|---" * len(rows[0]) + "|"
    return "\n".join([head, line, *body]) + "\n"


if __name__ == "__main__":
    print(tables())
    print(f"Assumed, not measured: {', '.join(assumed())} (infra/capacity/constants.json).")
