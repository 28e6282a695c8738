"""Two periods held against each other: the change of the cost, split into what made it, with nothing left over.

A period is cells: a name that it is split by, and a model. Of a cell that both periods have, a request's cost is tokens
by their price, milliseconds by theirs, and the rest. One after the other is taken from the first period to the second:

- volume: more requests, of the same mix and the same cost each
- mix: other shares of the cells; a cell that only one period has is mix, too
- tokens: more tokens a request, at the first period's price
- latency: more billed milliseconds a request, at the first period's price
- price: what tokens and milliseconds cost; memory and processor are in that of a millisecond
- other: what is charged by the request, by bytes and by log lines
- corrections: what was found of closed months in each period

The parts are exact fractions, rounded to 1e-15 dollars at the end. The largest takes what rounding left, so
that they sum to the change to the last digit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from weir.pricing.money import MONEY, PLACES, plain
from weir.reports.report_math import percent

type Row = Mapping[str, Any]
type Cells = Mapping[tuple[str, str], "Cell"]

PARTS = ("volume", "mix", "tokens", "latency", "price", "other", "corrections")
TOP = 10
# What each charge for tokens is charged for: the first count without the others.
_COUNTED = {
    "input_tokens": ("input_tokens", "cached_input_tokens", "cache_write_tokens", "audio_input_tokens"),
    "cached_input_tokens": ("cached_input_tokens",),
    "cache_write_tokens": ("cache_write_tokens",),
    "audio_input_tokens": ("audio_input_tokens",),
    "output_tokens": ("output_tokens", "audio_output_tokens"),
    "audio_output_tokens": ("audio_output_tokens",),
}


@dataclass(slots=True)
class Cell:
    """Requests that are alike in name and model: how many, what they used, and what that cost."""

    requests: int = 0
    cost: Fraction = Fraction(0)
    ms: int = 0
    ms_cost: Fraction = Fraction(0)
    tokens: dict[str, int] = field(default_factory=dict)
    token_cost: dict[str, Fraction] = field(default_factory=dict)

    @classmethod
    def of_row(cls, row: Row) -> "Cell":
        """From a row of sql/period.sql."""
        counted = {
            name: _count(row, first) - sum(_count(row, part) for part in parts)
            for name, (first, *parts) in _COUNTED.items()
        }
        charged = {name: _money(row[f"cost_{name}"]) for name in _COUNTED}
        return cls(
            _count(row, "requests"),
            _money(row["total"]),
            _count(row, "billed_ms"),
            _money(row["cost_lambda_duration"]),
            counted,
            charged,
        )


@dataclass(frozen=True, slots=True)
class Period:
    """One period's cells, and what else is known of it."""

    cells: Cells
    corrections: Mapping[str, Fraction]
    bounds: frozenset[str]

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> "Period":
        """From the rows of sql/period.sql."""
        cells, corrections, bounds = {}, dict[str, Fraction](), set()
        for row in rows:
            if row["is_request"]:
                cells[row["name"], row["model_name"]] = Cell.of_row(row)
            else:
                corrections[row["name"]] = corrections.get(row["name"], Fraction(0)) + _money(row["total"])
            if row["lower_bounds"]:
                bounds.add(row["name"])
        return cls(cells, corrections, frozenset(bounds))

    @property
    def names(self) -> set[str]:
        """What the period is split by."""
        return {name for name, _ in self.cells} | set(self.corrections)

    @property
    def requests(self) -> int:
        """Requests, without corrections."""
        return sum(cell.requests for cell in self.cells.values())

    @property
    def total(self) -> Fraction:
        """What it cost, corrections included."""
        return sum((cell.cost for cell in self.cells.values()), sum(self.corrections.values(), Fraction(0)))

    def as_json(self) -> dict[str, Any]:
        """Its sums."""
        return {"requests": self.requests, "total": _text(self.total), "is_lower_bound": bool(self.bounds)}


def compared(before: Period, after: Period) -> dict[str, Any]:
    """The change and its parts, of the whole and of the names that moved most."""
    parts = [_by_name(period) for period in (before, after)]
    nothing = Period({}, {}, frozenset())
    grouped = {
        name: (parts[0].get(name, nothing), parts[1].get(name, nothing))
        for name in before.names | after.names
    }
    moved = sorted(grouped, key=lambda name: (-abs(grouped[name][1].total - grouped[name][0].total), name))
    rest = sum((grouped[name][1].total - grouped[name][0].total for name in moved[TOP:]), Fraction(0))
    return {
        **_change(before, after),
        "groups": [{"name": name, **_change(*grouped[name])} for name in moved[:TOP]],
        "others": {"groups": len(moved[TOP:]), "change": _text(rest)},
    }


def split(before: Period, after: Period) -> dict[str, Fraction]:
    """What the change from one period to the other is made of; the parts sum to it exactly."""
    parts = dict.fromkeys(PARTS, Fraction(0))
    corrected = (sum(period.corrections.values(), Fraction(0)) for period in (after, before))
    parts["corrections"] = next(corrected) - next(corrected)
    many, were = after.requests, before.requests
    cost, costs_now = (
        sum((cell.cost for cell in period.cells.values()), Fraction(0)) for period in (before, after)
    )
    if not were:
        parts["volume"] = costs_now - cost
        return parts
    parts["volume"] = (many - were) * cost / were
    for key in before.cells.keys() | after.cells.keys():
        old, new = before.cells.get(key), after.cells.get(key)
        if old is None or not old.requests:
            parts["mix"] += (new.cost if new else 0) - (old.cost * many / were if old else 0)
            continue
        now = new.requests if new else 0
        parts["mix"] += old.cost / old.requests * (now - Fraction(many * old.requests, were))
        if new is not None and now:
            _rates(parts, old, new)
        elif new is not None:
            parts["mix"] += new.cost
    return parts


def _rates(parts: dict[str, Fraction], old: Cell, new: Cell) -> None:
    """What the requests of a cell cost otherwise than as many did before."""
    ratio = Fraction(new.requests, old.requests)
    rest = new.cost - old.cost * ratio
    used = [("latency", old.ms, old.ms_cost, new.ms, new.ms_cost)] + [
        ("tokens", old.tokens[name], old.token_cost[name], new.tokens[name], new.token_cost[name])
        for name in _COUNTED
    ]
    for part, old_count, old_cost, new_count, new_cost in used:
        # What was not used before has no price of that time: all of it is more use, at today's.
        price = Fraction(old_cost, old_count) if old_count else Fraction(new_cost, new_count or 1)
        more = (new_count - old_count * ratio) * price
        change = new_cost - old_cost * ratio
        parts[part] += more
        parts["price"] += change - more
        rest -= change
    parts["other"] += rest


def _change(before: Period, after: Period) -> dict[str, Any]:
    change = after.total - before.total
    return {
        "before": before.as_json(),
        "after": after.as_json(),
        "change": _text(change),
        "percent": percent(_decimal(change), _decimal(before.total)),
        "parts": _rounded(split(before, after), change),
    }


def _rounded(parts: Mapping[str, Fraction], whole: Fraction) -> dict[str, str]:
    """The parts with 15 places, which sum to the whole."""
    rounded = {name: _decimal(part) for name, part in parts.items()}
    largest = max(rounded, key=lambda name: abs(rounded[name]))
    others = sum((amount for name, amount in rounded.items() if name != largest), Decimal(0))
    rounded[largest] = MONEY.subtract(_decimal(whole), others)
    return {name: plain(amount) for name, amount in rounded.items()}


def _by_name(period: Period) -> dict[str, Period]:
    cells: dict[str, dict[tuple[str, str], Cell]] = {name: {} for name in period.names}
    for key, cell in period.cells.items():
        cells[key[0]][key] = cell
    corrected = {name: {name: amount} for name, amount in period.corrections.items()}
    return {name: Period(cells[name], corrected.get(name, {}), period.bounds & {name}) for name in cells}


def _count(row: Row, name: str) -> int:
    return int(row[name] or 0)


def _money(amount: Decimal | None) -> Fraction:
    return Fraction(amount or 0)


def _decimal(amount: Fraction) -> Decimal:
    return MONEY.quantize(MONEY.divide(Decimal(amount.numerator), Decimal(amount.denominator)), PLACES)


def _text(amount: Fraction) -> str:
    return plain(_decimal(amount))
