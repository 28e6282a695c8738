"""The ledger as a table: one row a request, flat and typed, the same for Parquet, DuckDB, Athena, API and exports.

The columns are made from what row.py and the prices declare. Types are Trino's. Money is DECIMAL(38, 15), as `Cost`
rounds it, so sums are exact; times are milliseconds; null is unknown. `entry` is `request`, or `correction`: what came
after a month was closed is a row of its own, whose quantities and money are the differences to what was booked, so that
a sum over both is right; or `metering`, what the ledger itself cost (metering.py).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime
from operator import attrgetter
from types import NoneType
from typing import Any, get_args

from weir.ledger.row import MONEY, Declared, Role, Row
from weir.pricing.cost import Components
from weir.pricing.money import plain
from weir.pricing.phases import Phases
from weir.pricing.usage import Usage

__all__ = ["COLUMNS", "COMPONENTS", "MONEY", "PHASES", "TOKENS", "Column", "flat", "markdown"]

COMPONENTS = (*(f"cost_{column.name}" for column in fields(Components)), "cost_metering")
PHASES = tuple(f"phase_{column.name}" for column in fields(Phases))
TOKENS = tuple(name for name in Usage._fields if name.endswith("_tokens") and name != "total_tokens")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type in Trino, where it stands in the API's JSON, and its value in a row.

    The value is JSON's: text for money, dates and instants.
    """

    name: str
    type: str
    path: tuple[str, ...]
    description: str
    unit: str | None
    role: Role
    nullable: bool
    value: Callable[[Row], Any]

    @property
    def glue_type(self) -> str:
        """The type in Glue's words."""
        return {
            "varchar": "string",
            "timestamp(3)": "timestamp",
            "map(varchar,varchar)": "map<string,string>",
            "array(varchar)": "array<string>",
        }.get(self.type, self.type)


def flat(row: Row) -> dict[str, Any]:
    """The row as one JSON object of the table's columns."""
    return {column.name: column.value(row) for column in COLUMNS}


def markdown() -> str:
    """The columns as a table for a README."""
    lines = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    for column in COLUMNS:
        lines.append(f"| `{column.name}` | {column.type} | {column.unit or ''} | {column.description} |")
    return "\n".join(lines) + "\n"


def _fixed(value: str | None) -> Callable[[Row], str | None]:
    return lambda row: value


def _json(kind: str) -> Callable[[Any], Any]:
    """How a value of a type is written in JSON."""
    if kind.startswith("decimal"):
        return plain
    written: dict[str, Callable[[Any], Any]] = {
        "timestamp(3)": _timestamp,
        "date": date.isoformat,
        "map(varchar,varchar)": lambda tags: dict(sorted(tags.items())),
        "array(varchar)": list,
    }
    return written.get(kind, lambda value: value)


def _timestamp(at: datetime) -> str:
    # UTC without a zone: Athena reads Parquet's timestamps so.
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds")


def _made(name: str, declared: Declared, get: Callable[[Row], Any], *, nullable: bool) -> Column:
    write, path = _json(declared.type), tuple((declared.path or name).split("."))

    def value(row: Row) -> Any:
        found = get(row)
        return None if found is None else write(found)

    return Column(
        name, declared.type, path, declared.description, declared.unit, declared.role, nullable, value
    )


def _members(kind: type, group: str, prefix: str, said: str) -> Iterator[Column]:
    for member in fields(kind):
        words = member.name.replace("_", " ")
        path = f"cost.{group}.{member.name}"
        declared = Declared(MONEY, said.format(words), "USD", "quantity", path=path)
        yield _made(f"{prefix}_{member.name}", declared, attrgetter(path), nullable=True)


def _usage() -> Iterator[Column]:
    for name in TOKENS:
        words = name.replace("_tokens", "").replace("_", " ")
        path = f"usage.{name}"
        declared = Declared("bigint", f"Tokens over all attempts: {words}", "tokens", "quantity", path=path)
        yield _made(name, declared, attrgetter(path), nullable=True)
    for name, kind, said, role, nullable in (
        ("source", "varchar", "Who counted: provider, estimated or none", "dimension", False),
        ("service_tier", "varchar", "The provider's tier that served", "dimension", True),
        ("provider_cost_usd", MONEY, "What the provider itself says that it charged", "quantity", True),
        ("complete", "boolean", "False where the counts are a lower bound", "state", False),
    ):
        unit = "USD" if kind == MONEY else None
        declared = Declared(kind, said, unit, role, path=f"usage.{name}")  # type: ignore[arg-type]  # the table's
        known = name if name in ("service_tier", "provider_cost_usd") else f"usage_{name}"
        yield _made(known, declared, attrgetter(f"usage.{name}"), nullable=nullable)


def _cost() -> Iterator[Column]:
    yield from _members(Components, "components", "cost", "The charge for {}; the charges sum to the total")
    # A charge of the ledger's own entries: no request has it.
    declared = Declared(
        MONEY,
        "What the ledger itself cost; in entries of their own, and null in requests",
        "USD",
        "quantity",
        path="cost.components.metering",
    )
    yield _made("cost_metering", declared, _fixed(None), nullable=True)
    yield from _members(
        Phases, "phases", "phase", "Of the charge for duration: {}; the phases sum to that charge"
    )
    for name, kind, said, role in (
        ("total", MONEY, "What it cost; a lower bound where `unpriced` has reasons", "quantity"),
        ("is_estimate", "boolean", "Tokens were estimated, because the provider's count never came", "state"),
        ("price_book_version", "varchar", "The prices that made the row", "state"),
        ("unpriced", "array(varchar)", "Why something is not priced, or not priced in full", "state"),
    ):
        unit = "USD" if kind == MONEY else None
        declared = Declared(kind, said, unit, role, path=f"cost.{name}")  # type: ignore[arg-type]  # the table's
        yield _made(name, declared, attrgetter(f"cost.{name}"), nullable=False)


def _columns() -> Iterator[Column]:
    for member in fields(Row):
        if member.name == "usage":
            yield from _usage()
        elif member.name == "cost":
            yield from _cost()
        else:
            kind, declared = get_args(member.type)
            nullable = NoneType in get_args(kind)
            yield _made(declared.name or member.name, declared, attrgetter(member.name), nullable=nullable)
        yield from _BESIDE.get(member.name, ())


# What no field of a request holds, by the field that it stands after.
_BESIDE: dict[str, tuple[Column, ...]] = {
    "request_id": (
        _made(
            "entry",
            Declared(
                "varchar",
                "request; correction: its quantities and money are differences to what was booked; or metering: "
                "what the ledger itself cost in an hour",
                role="key",
            ),
            _fixed("request"),
            nullable=False,
        ),
        _made(
            "corrects",
            Declared("varchar", "The closed month, YYYY-MM, that a correction is for", role="key"),
            _fixed(None),
            nullable=True,
        ),
        _made(
            "corrects_at",
            Declared("timestamp(3)", "When the corrected request was reported, UTC", role="key"),
            _fixed(None),
            nullable=True,
        ),
    ),
    "at": (
        _made(
            "day",
            Declared("date", "The UTC day it belongs to", role="key"),
            attrgetter("day"),
            nullable=False,
        ),
    ),
    "billed_invocations": (
        _made(
            "gb_s",
            Declared(MONEY, "GB-seconds billed", "GB-s", "quantity"),
            attrgetter("gb_s"),
            nullable=True,
        ),
    ),
}

COLUMNS: tuple[Column, ...] = tuple(_columns())
