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
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from weir.core.pricing.pricerecords import (
    LambdaItem,
    LambdaKey,
    Names,
    Price,
    PriceBookError,
    Tier,
    TokenKind,
    expect,
    in_order,
    lambda_records,
    model_records,
    read_document,
    source_of,
)

__all__ = ["LambdaItem", "Price", "PriceBook", "PriceBookError", "Tier", "TokenKind"]

_FOLDER = Path(__file__).parent / "data"


class PriceBook:
    """Every price that is known, by item, region, architecture or model, and day."""

    def __init__(self, documents: Mapping[str, Mapping[str, Any]], version: str) -> None:
        self.version = version
        self.as_of = max((str(document.get("as_of", "")) for document in documents.values()), default="")
        self._lambda: dict[LambdaKey, list[Price]] = {}
        self._contract: dict[LambdaKey, list[Price]] = {}
        self._models: list[tuple[Names, dict[str, list[Price]]]] = []
        self._contract_models: list[tuple[Names, dict[str, list[Price]]]] = []
        self._matches: dict[tuple[bool, str], dict[str, list[Price]] | None] = {}
        for where, document in documents.items():
            contract = document.get("kind") == "contract"
            expect(document.get("currency", "USD") == "USD", where, "currency USD", document.get("currency"))
            source = source_of(document)
            lambda_prices = self._contract if contract else self._lambda
            models = self._contract_models if contract else self._models
            for key, price in lambda_records(where, document.get("records", []), source):
                lambda_prices.setdefault(key, []).append(price)
            models.extend(model_records(where, document.get("models", []), source))
        for prices, gaps_allowed in ((self._lambda, False), (self._contract, True)):
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

    def lambda_price(
        self, item: LambdaItem, *, region: str | None, architecture: str | None, at: datetime
    ) -> Price | None:
        """The price of a Lambda `item` at an instant, a contract's before the list's; None is not known."""
        if region is None:
            return None
        day = at.astimezone(UTC).date()
        for prices in (self._contract, self._lambda):
            for key in ((item, region, architecture), (item, region, None)):
                for price in prices.get(key, ()):
                    if price.holds(day):
                        return price
        return None

    def token_price(self, kind: TokenKind, *, model: str | None, at: datetime) -> Price | None:
        """The price of a million tokens of `model`, by the name the provider returned; None is not known.

        A model without a price for cached input sells none: its cached tokens cost what others do.
        """
        if model is None:
            return None
        day = at.astimezone(UTC).date()
        for contract in (True, False):
            kinds = self._match(model.lower(), contract) or {}
            for price in kinds.get(kind, ()):
                if price.holds(day):
                    return price
        return None

    def _match(self, name: str, contract: bool) -> dict[str, list[Price]] | None:
        key = (contract, name)
        if key not in self._matches:
            listed = self._contract_models if contract else self._models
            ranked = [(names.rank(name), names.model, kinds) for names, kinds in listed]
            best = max(ranked, key=lambda entry: entry[:2], default=(0, "", {}))
            if len(self._matches) > 1024:  # names come from outside: a cache of them must not grow for ever
                self._matches.clear()
            self._matches[key] = best[2] if best[0] else None
        return self._matches[key]
