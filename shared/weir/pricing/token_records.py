"""Prices of tokens as they stand in the files: by seller, model, service tier, kind of token, day and hour.

A seller's models stand in an order, and the first whose names fit is the one: the source's own rule
(https://github.com/pydantic/genai-prices). A record holds for every request, or only for a service `tier` (flex,
priority, batch, ...), where it replaces the kinds that it names; or only between two `hours` of a day (UTC), where it
comes before the record of the whole day.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Any, Literal

from weir.light_tuples import LightTuple
from weir.pricing.price_records import (
    Price,
    PriceBookError,
    bound_of,
    entries_of,
    expect,
    in_order,
    only_keys,
    tiers_of,
)

type TokenKind = Literal[
    "input",
    "cached_input",
    "cache_write",
    "cache_write_5m",
    "cache_write_1h",
    "audio_input",
    "cached_audio_input",
    "output",
    "audio_output",
    "reasoning",
]
TOKEN_KINDS = frozenset(TokenKind.__value__.__args__)
DEFAULT_TIERS = frozenset({"", "auto", "default", "standard", "on_demand"})
"""Names of the tier that has no name; `auto` in an answer means that no other tier served it."""

NAME_LISTS = ("equals", "prefixes", "suffixes", "contains", "patterns")
_MODEL_KEYS = ("model", "provider", *NAME_LISTS, "records", "request_fee")
_RECORD_KEYS = ("valid_from", "valid_to", "tier", "hours", "prices")
_COMPACT_DATE = r"(-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)"


class TokenRecord(LightTuple):
    """Prices by kind while they hold: for a service tier only, or between two hours (UTC) of each day only."""

    kinds: Mapping[str, Price]
    tier: str | None
    hours: tuple[time, time] | None

    def holds(self, at: datetime) -> bool:
        """Whether this record is in force at an instant (UTC)."""
        if not next(iter(self.kinds.values())).holds(at.date()):
            return False
        return self.hours is None or self.hours[0] <= at.time() < self.hours[1]


class TokenPrices(LightTuple):
    """What one model's tokens cost at one instant, by kind; kinds that are missing cost what contains them costs.

    `tier_unknown`: the request was served in a tier that the book has no prices for: these are not its prices.
    `request_fee`: its seller also charges each request, which the book does not price.
    """

    kinds: Mapping[str, Price]
    tier_unknown: bool = False
    request_fee: bool = False


class ModelEntry(LightTuple):
    """One model of one seller, and its dated prices."""

    model: str
    provider: str | None
    records: tuple[TokenRecord, ...]
    request_fee: bool

    @property
    def by_hour(self) -> bool:
        """Whether its prices change within a day."""
        return any(record.hours for record in self.records)

    def prices(self, at: datetime, tier: str | None) -> TokenPrices | None:
        """What its tokens cost at an instant, in a service tier; None where no record holds then."""
        at = at if at.tzinfo is UTC else at.astimezone(UTC)
        holding = [record for record in self.records if record.holds(at)]
        standard = [record for record in holding if record.tier is None]
        if not standard:
            return None
        kinds = dict(next((record for record in standard if record.hours), standard[0]).kinds)
        asked = (tier or "").lower()
        if asked in DEFAULT_TIERS:
            return TokenPrices(kinds, request_fee=self.request_fee)
        special = [record for record in holding if record.tier == asked]
        for record in special:
            kinds |= record.kinds
        return TokenPrices(kinds, tier_unknown=not special, request_fee=self.request_fee)


def fits(entry: Mapping[str, Any], name: str) -> bool:
    """Whether a name, in small letters, is one that an entry goes by; its lists are of alternatives.

    Entries are asked as they stand in the file: a seller has up to a thousand models, and a request needs one.
    """
    return (
        name in entry.get("equals", ())
        or name.startswith(tuple(entry.get("prefixes", ())))
        or name.endswith(tuple(entry.get("suffixes", ())))
        or any(part in name for part in entry.get("contains", ()))
        or any(re.search(pattern, name) for pattern in entry.get("patterns", ()))
    )


def check_names(where: str, entry: Mapping[str, Any]) -> None:
    """Raises PriceBookError unless an entry's lists hold texts that `fits` can ask for."""
    for kind in NAME_LISTS:
        texts = entry.get(kind, [])
        good = isinstance(texts, list) and all(isinstance(text, str) and text for text in texts)
        expect(good, f"{where} {kind}", "a list of texts", texts)
        if kind != "patterns":
            lower = all(text == text.lower() for text in texts)
            expect(lower, f"{where} {kind}", "names in small letters", texts)
            continue
        for text in texts:
            try:
                re.compile(text)
            except re.error as error:
                raise PriceBookError(
                    f"price book, {where} {kind}: expected a pattern, got {error}"
                ) from error


def model_entry(where: str, entry: Mapping[str, Any], source: str, *, gaps_allowed: bool) -> ModelEntry:
    """One model of a file, read and checked. Raises PriceBookError."""
    model = str(entry.get("model") or "")
    place = f"{where} {model}".rstrip()
    only_keys(place, entry, _MODEL_KEYS)
    expect(bool(model), where, "a model's name", model)
    check_names(place, entry)
    provider = entry.get("provider")
    expect(
        provider is None or (isinstance(provider, str) and bool(provider)), place, "a name or null", provider
    )
    listed = entries_of(place, entry.get("records", []))
    records = tuple(_record(place, record, source) for record in listed)
    _check(place, records, gaps_allowed)
    return ModelEntry(model, provider, records, entry.get("request_fee") is True)


def with_dashed_date(name: str) -> str:
    """`gpt-5.2-20251211` as `gpt-5.2-2025-12-11`: some gateways write a snapshot's day without dashes."""
    return re.sub(_COMPACT_DATE, r"\1\2-\3-\4", name) if "-20" in name else name


def _record(where: str, record: Mapping[str, Any], source: str) -> TokenRecord:
    only_keys(where, record, _RECORD_KEYS)
    prices = record.get("prices")
    expect(isinstance(prices, Mapping) and bool(prices), where, "prices by kind of token", prices)
    start, end = bound_of(where, record.get("valid_from")), bound_of(where, record.get("valid_to"))
    if isinstance(prices, Mapping):
        only_keys(where, prices, sorted(TOKEN_KINDS))
    kinds = {}
    for kind, tiers in dict(prices or {}).items():
        kinds[kind] = Price(
            f"{kind}_tokens", "1000000 tokens", tiers_of(f"{where} {kind}", tiers), start, end, source
        )
    tier = record.get("tier")
    expect(tier is None or isinstance(tier, str), where, "a tier's name or null", tier)
    return TokenRecord(kinds, tier.lower() if tier else None, _hours(where, record.get("hours")))


def _hours(where: str, value: object) -> tuple[time, time] | None:
    if value is None:
        return None
    try:
        start, end = (time.fromisoformat(str(text)) for text in value)  # type: ignore[attr-defined]  # what is no pair raises below
    except (TypeError, ValueError):
        raise PriceBookError(
            f"price book, {where}: expected hours [HH:MM, HH:MM] or null, got {value!r}"
        ) from None
    expect(start < end, where, "hours of one day, the first before the second", value)
    return start, end


def _check(where: str, records: tuple[TokenRecord, ...], gaps_allowed: bool) -> None:
    chains: dict[tuple[str | None, Any, str], list[Price]] = {}
    for record in records:
        for kind, price in record.kinds.items():
            chains.setdefault((record.tier, record.hours, kind), []).append(price)
    for (tier, hours, kind), prices in chains.items():
        # A tier's prices, or an hour's, may end for a while: then the others hold.
        in_order(f"{where} {kind}", prices, gaps_allowed or tier is not None or hours is not None)
