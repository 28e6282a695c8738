"""The price book: dated, sourced prices as data, and the one price that held at an instant.

A record holds from `valid_from` (inclusive, UTC midnight) to `valid_to` (exclusive; null is open), and the
records of one key must join without gap or overlap, or the book refuses to load: a wrong price is worse than
none. Contract prices are records of the same shape that win over the list while they hold. The book's version
is a hash of its content, so a row can say which prices made it.

Two kinds of tier, and they differ in law. AWS's are monthly, per payer, region and architecture: a request
cannot know where its month stands, so `Price.amount` is the first tier, and `at_quantity` serves whoever
holds a month's sum. Token tiers are set by the request's own input: past the threshold (inclusive: n still
pays the lower tier) every token of the request pays the higher price.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from weir.pricing.price_records import (
    BY_ARCHITECTURE,
    AwsItem,
    AwsKey,
    Names,
    Price,
    PriceBookError,
    Tier,
    TokenKind,
    aws_records,
    day_of,
    expect,
    in_order,
    model_records,
    read_document,
    source_of,
)

__all__ = ["BY_ARCHITECTURE", "Age", "AwsItem", "Price", "PriceBook", "PriceBookError", "Tier", "TokenKind"]

_FOLDER = Path(__file__).parent / "data"
_OLD_AFTER_DAYS = 90
_MAX_CACHED = (
    4096  # names, regions and architectures come from outside: a cache of them must not grow for ever
)


@dataclass(frozen=True, slots=True)
class Age:
    """How long ago the book's oldest file was checked against its source; `warning` where that is too long."""

    as_of: date
    days: int
    warning: str | None


class PriceBook:
    """Every price that is known, by item, region, architecture or model, and day."""

    def __init__(self, documents: Mapping[str, Mapping[str, Any]], version: str) -> None:
        self.version = version
        self._checked: dict[str, date] = {}
        self._aws: dict[AwsKey, list[Price]] = {}
        self._contract: dict[AwsKey, list[Price]] = {}
        self._models: list[tuple[Names, dict[str, list[Price]]]] = []
        self._contract_models: list[tuple[Names, dict[str, list[Price]]]] = []
        self._matches: dict[tuple[bool, str], tuple[Names, dict[str, list[Price]]] | None] = {}
        self._found: dict[tuple[str | date | None, ...], Price | None] = {}
        for where, document in documents.items():
            contract = document.get("kind") == "contract"
            expect(document.get("currency", "USD") == "USD", where, "currency USD", document.get("currency"))
            source = source_of(document)
            if not contract:
                self._checked[where] = day_of(f"{where} as_of", document.get("as_of"))
            aws_prices = self._contract if contract else self._aws
            models = self._contract_models if contract else self._models
            for key, price in aws_records(where, document.get("records", []), source):
                aws_prices.setdefault(key, []).append(price)
            models.extend(model_records(where, document.get("models", []), source))
        for prices, gaps_allowed in ((self._aws, False), (self._contract, True)):
            for key, records in prices.items():
                prices[key] = in_order(str(key), records, gaps_allowed)
        for listed, gaps_allowed in ((self._models, False), (self._contract_models, True)):
            for names, kinds in listed:
                for kind, records in kinds.items():
                    kinds[kind] = in_order(f"{names.model} {kind}", records, gaps_allowed)

    @classmethod
    def load(cls, overrides: Mapping[str, Any] | None = None, folder: Path | None = None) -> Self:
        """The book of this package, with a contract's `overrides` (`records`, `models`) on top.

        Raises PriceBookError.
        """
        digest = sha256()
        documents: dict[str, Mapping[str, Any]] = {}
        for path in sorted((folder or _FOLDER).glob("*.json")):
            content = path.read_bytes()
            digest.update(path.name.encode() + b"\0" + content)
            documents[path.name] = read_document(path.name, content)
        expect(bool(documents), str(folder or _FOLDER), "price files (*.json)", "none")
        if overrides:
            digest.update(json.dumps(overrides, sort_keys=True, default=str).encode())
            documents["overrides"] = {**overrides, "kind": "contract"}
        as_of = max((str(document.get("as_of", "")) for document in documents.values()), default="")
        return cls(documents, f"{as_of}+{digest.hexdigest()[:12]}")

    def age(self, now: datetime) -> Age:
        """How old the oldest file of list prices is at `now`; a contract's age is the contract's business."""
        as_of = min(self._checked.values())
        days = (now.astimezone(UTC).date() - as_of).days
        old = sorted(name for name, checked in self._checked.items() if checked == as_of)
        warning = f"prices of {', '.join(old)} were last checked {days} days ago, on {as_of}"
        return Age(as_of, days, warning if days > _OLD_AFTER_DAYS else None)

    def aws_price(
        self, item: AwsItem, *, region: str | None, architecture: str | None, at: datetime
    ) -> Price | None:
        """The price of an AWS `item` at an instant, a contract's before the list's; None is not known."""
        if region is None:
            return None
        day = _utc_day(at)
        known = (item, region, architecture, day)
        if known not in self._found:
            keys: tuple[AwsKey, ...] = ((item, region, architecture), (item, region, None))
            listed = [prices.get(key, ()) for prices in (self._contract, self._aws) for key in keys]
            self._keep(known, _holding(listed, day))
        return self._found[known]

    def token_price(self, kind: TokenKind, *, model: str | None, at: datetime) -> Price | None:
        """The price of a million tokens of `model`, by the name the provider returned; None is not known.

        A model without a price for cached input sells none: its cached tokens cost what others do.
        """
        if model is None:
            return None
        day = _utc_day(at)
        known = (kind, model, day)
        if known not in self._found:
            listed = [kinds.get(kind, ()) for _, kinds in self._matching(model)]
            self._keep(known, _holding(listed, day))
        return self._found[known]

    def provider(self, model: str) -> str | None:
        """Who sells `model`, by the name that answered; None where neither a contract nor the list says it."""
        return next((names.provider for names, _ in self._matching(model) if names.provider), None)

    def _matching(self, model: str) -> Iterator[tuple[Names, dict[str, list[Price]]]]:
        """The prices that fit a model's name best: a contract's, then the list's."""
        for contract in (True, False):
            if match := self._match(model.lower(), contract):
                yield match

    def _keep(self, known: tuple[str | date | None, ...], price: Price | None) -> None:
        if len(self._found) >= _MAX_CACHED:
            self._found.clear()
        self._found[known] = price

    def _match(self, name: str, contract: bool) -> tuple[Names, dict[str, list[Price]]] | None:
        key = (contract, name)
        if key not in self._matches:
            listed = self._contract_models if contract else self._models
            ranked = [(names.rank(name), names.model, number) for number, (names, _) in enumerate(listed)]
            rank, _, number = max(ranked, default=(0, "", 0))
            if len(self._matches) >= _MAX_CACHED:
                self._matches.clear()
            self._matches[key] = listed[number] if rank else None
        return self._matches[key]


def _holding(listed: Iterable[Iterable[Price]], day: date) -> Price | None:
    return next((price for prices in listed for price in prices if price.holds(day)), None)


def _utc_day(at: datetime) -> date:
    return at.date() if at.tzinfo is UTC else at.astimezone(UTC).date()
