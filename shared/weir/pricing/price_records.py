"""Price records as they stand in the files: read, checked, and refused with a message that says where.

The laws: an amount is a string (a JSON number has been through binary floating point), tiers rise and the
last has no end, a record begins before it ends, and the records of one key join without gap or overlap.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any, Literal

from weir.errors import ConfigurationError
from weir.light_tuples import LightTuple

type AwsItem = Literal[
    "duration",
    "request",
    "streamed_bytes",
    "ephemeral_storage",
    "provisioned_concurrency",
    "provisioned_duration",
    "snapstart_cache",
    "snapstart_restore",
    "managed_instances_memory",
    "managed_instances_fee",
    "api_gateway_request",
    "logs_ingestion",
    "logs_storage",
    "s3_put_request",
    "s3_get_request",
    "s3_storage",
    "firehose_ingestion",
    "athena_scan",
]
type AwsKey = tuple[str, str, str | None]  # item, region, architecture (None: the same for all)

# Whose price differs between arm64 and x86_64.
BY_ARCHITECTURE = frozenset(
    {"duration", "provisioned_concurrency", "provisioned_duration", "managed_instances_memory"}
)
_AWS_KEYS = ("item", "region", "architecture", "unit", "valid_from", "valid_to", "tiers", "source")
_AWS_ITEMS = frozenset(AwsItem.__value__.__args__)


class PriceBookError(ConfigurationError, ValueError):
    """A price file or a contract cannot be trusted; says where, what was expected, what was found."""


class Tier(LightTuple):
    """One price up to a quantity, inclusive; None is without end."""

    up_to: Decimal | None
    amount: Decimal


class Price(LightTuple):
    """What one `unit` costs in USD from `valid_from` to `valid_to` (exclusive), and who says so."""

    item: str
    unit: str
    tiers: tuple[Tier, ...]
    valid_from: date | None
    valid_to: date | None
    source: str

    @property
    def amount(self) -> Decimal:
        """The first tier's price, which is what a single request is priced at."""
        return self.tiers[0].amount

    def at_quantity(self, quantity: Decimal | int) -> Decimal:
        """The price of the tier that `quantity` falls in; a tier's upper bound still belongs to it."""
        for tier in self.tiers:
            if tier.up_to is None or quantity <= tier.up_to:
                return tier.amount
        raise AssertionError("unreachable: a book loads only if its last tier is without end")

    def holds(self, day: date) -> bool:
        """Whether this price is the one of `day` (UTC)."""
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_to is None or day < self.valid_to
        )


def expect(condition: bool, where: str, expected: str, got: object) -> None:
    """Raises PriceBookError unless the condition holds."""
    if not condition:
        raise PriceBookError(f"price book, {where}: expected {expected}, got {got!r}")


def only_keys(where: str, entry: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises PriceBookError for a member that nobody reads: a mistyped one would be a price that does not hold."""
    for key in entry:
        if key not in known:
            from difflib import get_close_matches  # what is right pays for no search of what it is like

            near = get_close_matches(key, known, 1)
            expect(False, where, f"one of {list(known)}" + (f", perhaps {near[0]!r}" if near else ""), key)


def read_document(where: str, content: bytes) -> Mapping[str, Any]:
    """One file's JSON object. Raises PriceBookError."""
    try:
        document = json.loads(content)
    except ValueError as error:
        raise PriceBookError(f"price book, {where}: expected JSON, got {error}") from error
    if not isinstance(document, dict):
        raise PriceBookError(f"price book, {where}: expected an object, got {type(document).__name__}")
    return document


def source_of(document: Mapping[str, Any]) -> str:
    """Who says so: a file names its source, a contract's overrides may."""
    source = document.get("source")
    return str(source.get("name", "")) if isinstance(source, Mapping) else str(source or "contract")


def entries_of(where: str, value: object) -> list[Mapping[str, Any]]:
    """A list of JSON objects. Raises PriceBookError."""
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise PriceBookError(f"price book, {where}: expected a list of objects, got {value!r}")
    return value


def day_of(where: str, value: object) -> date:
    """A day as it is written. Raises PriceBookError."""
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise PriceBookError(f"price book, {where}: expected a day YYYY-MM-DD, got {value!r}") from None


def bound_of(where: str, value: object) -> date | None:
    """A day, or null for no bound. Raises PriceBookError."""
    return None if value is None else day_of(where, value)


def _decimal(where: str, value: object) -> Decimal:
    # A JSON number has been through binary floating point already: money is written as a string.
    try:
        number = Decimal(value) if isinstance(value, str) else Decimal("nan")
    except InvalidOperation:
        number = Decimal("nan")
    expect(number.is_finite() and number >= 0, where, "an amount >= 0, as a string", value)
    return number


def tiers_of(where: str, value: object) -> tuple[Tier, ...]:
    """Tiers in rising order, the last without end; a text alone is one price without tiers. Raises PriceBookError."""
    if isinstance(value, str):
        return (Tier(None, _decimal(where, value)),)
    entries = entries_of(f"{where} tiers", value)
    expect(bool(entries), where, "at least one tier", value)
    tiers = []
    for entry in entries:
        bound = entry.get("up_to")
        amount = _decimal(where, entry.get("price"))
        tiers.append(Tier(None if bound is None else _decimal(where, bound), amount))
    bounds = [tier.up_to for tier in tiers]
    expect(bounds[-1] is None, where, "a last tier without end (up_to null)", str(bounds[-1]))
    finite = [bound for bound in bounds if bound is not None]
    rising = len(finite) == len(bounds) - 1 and all(a < b for a, b in pairwise(finite))
    expect(rising, where, "tiers in rising order", [str(bound) for bound in bounds])
    return tuple(tiers)


def aws_records(where: str, records: object, source: str) -> Iterator[tuple[AwsKey, Price]]:
    """The prices of AWS's items, with their keys. Raises PriceBookError."""
    for number, record in enumerate(entries_of(f"{where} records", records)):
        place = f"{where} record {number}"
        only_keys(place, record, _AWS_KEYS)
        item, region, architecture = record.get("item"), record.get("region"), record.get("architecture")
        expect(item in _AWS_ITEMS, place, f"an item of {sorted(_AWS_ITEMS)}", item)
        expect(isinstance(region, str), place, "a region", region)
        expect(architecture in (None, "arm64", "x86_64"), place, "arm64, x86_64 or null", architecture)
        price = Price(
            str(item),
            str(record.get("unit", "")),
            tiers_of(place, record.get("tiers")),
            bound_of(place, record.get("valid_from")),
            bound_of(place, record.get("valid_to")),
            str(record.get("source", source)),
        )
        yield (str(item), str(region), architecture), price


def in_order(key: str, prices: list[Price], gaps_allowed: bool) -> list[Price]:
    """The records of one key by day, refused where two hold at once or, in the list, where none does."""
    ordered = sorted(prices, key=lambda price: price.valid_from or date.min)
    for price in ordered:
        start, end = price.valid_from or date.min, price.valid_to or date.max
        expect(start < end, key, "valid_from before valid_to", f"{price.valid_from} to {price.valid_to}")
    for earlier, later in pairwise(ordered):
        end, start = earlier.valid_to or date.max, later.valid_from or date.min
        expect(end <= start, key, f"no overlap: a record from {end} on", f"one from {later.valid_from}")
        joined = gaps_allowed or end == start
        expect(joined, key, f"no gap: a record from {end} on", f"one from {later.valid_from}")
    return ordered
