"""The price book: dated, sourced prices as data, and the one price that held at an instant.

A record holds from `valid_from` (inclusive, UTC midnight) to `valid_to` (exclusive; null is open), and the
records of one key must join without gap or overlap, or the book refuses to load: a wrong price is worse than
none. Contract prices are records of the same shape that win over the list while they hold. The book's version
is a hash of its content, so a row can say which prices made it.

The list is a folder with an index (made by `make prices`), a file for each Region of AWS and one for each seller of
tokens: what a request does not need is not read.

Two kinds of tier, and they differ in law. AWS's are monthly, per payer, region and architecture: a request
cannot know where its month stands, so `Price.amount` is the first tier, and `at_quantity` serves whoever
holds a month's sum. Token tiers are set by the request's own input: past the threshold (inclusive: n still
pays the lower tier) every token of the request pays the higher price.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from weir.light_tuples import LightTuple
from weir.pricing.price_records import (
    BY_ARCHITECTURE,
    AwsItem,
    AwsKey,
    Price,
    PriceBookError,
    Tier,
    aws_records,
    day_of,
    entries_of,
    expect,
    in_order,
    only_keys,
    read_document,
    source_of,
)
from weir.pricing.token_records import (
    NAME_LISTS,
    ModelEntry,
    TokenKind,
    TokenPrices,
    check_names,
    fits,
    model_entry,
    with_dashed_date,
)

__all__ = [
    "BY_ARCHITECTURE",
    "Age",
    "AwsItem",
    "Price",
    "PriceBook",
    "PriceBookError",
    "Tier",
    "TokenKind",
    "TokenPrices",
]

_FOLDER = Path(__file__).parent / "data"
_OLD_AFTER_DAYS = 90
# Names, regions and architectures come from outside: a cache of them must not grow for ever.
_MAX_CACHED = 4096
# What a pattern begins with that stands for itself; a letter before a quantifier may be absent.
_LITERAL = r"(?:(?:[\w:/-]|\\\.)(?![?*+{]))*"
_OVERRIDE_KEYS = ("as_of", "currency", "kind", "models", "note", "records", "source")


class Age(LightTuple):
    """How long ago the book's oldest file was checked against its source; `warning` where that is too long."""

    as_of: date
    days: int
    warning: str | None


class Seller(LightTuple):
    """Who sells tokens: by the address that serves them, by the names that it goes by, by the models it is known for.

    `also` are the sellers whose models it sells at their prices, where it lists none of its own.
    """

    name: str
    address: str
    names: Mapping[str, Any]
    models: Mapping[str, Any]
    also: tuple[str, ...]

    def serves(self, base_url: str) -> bool:
        """Whether its address, a pattern, fits; compiled only where the letters that it begins with do.

        Half a hundred patterns take ten times as long as the rest of a book. `check` holds each to one alternative.
        """
        begin = re.match(_LITERAL, self.address)
        literal = begin[0].replace("\\", "") if begin else ""
        return base_url.startswith(literal) and re.match(self.address, base_url) is not None


class PriceBook:
    """Every price that is known, by item, region, architecture or by seller, model and tier, and day."""

    def __init__(
        self,
        folder: Path,
        overrides: Mapping[str, Any] | None = None,
        fresher: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """The list in `folder`, with a contract's `overrides` (`records`, `models`) on top. Raises PriceBookError.

        `fresher` are Regions' files that were refreshed since: each goes before the list's, unless that was checked
        later.
        """
        self._folder = folder
        self._over = {"overrides": overrides, "fresher": fresher}
        index = read_document("index.json", _read(folder / "index.json"))
        self._checked = {
            str(name): day_of(f"index.json {name}", day) for name, day in dict(index.get("files", {})).items()
        }
        expect(bool(self._checked), str(folder), "price files in its index", "none")
        self.version = str(index.get("version"))
        self.sellers = {seller.name: seller for seller in _sellers(index)}
        self._aws: dict[str, dict[AwsKey, list[Price]]] = {}
        self._fresher: dict[str, Mapping[str, Any]] = {}
        self._listed: dict[str, tuple[str, list[Mapping[str, Any]]]] = {}
        self._contract: dict[AwsKey, list[Price]] = {}
        self._contract_models: list[tuple[Mapping[str, Any], ModelEntry]] = []
        self._found: dict[tuple[str | date | None, ...], Price | None] = {}
        self._token_found: dict[tuple[str | date | None, ...], TokenPrices | None] = {}
        self._addresses: dict[str, str | None] = {}
        self._matches: dict[tuple[str | None, str], tuple[ModelEntry | None, ModelEntry | None]] = {}
        for region, document in (fresher or {}).items():
            self._take_fresher(region, document)
        if overrides:
            digest = sha256(json.dumps(overrides, sort_keys=True, default=str).encode()).hexdigest()[:6]
            self.version = f"{self.version}-{digest}"
            self._read_contract(overrides)

    @classmethod
    def load(
        cls,
        overrides: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        fresher: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Self:
        """The book of this package, with a contract's `overrides` on top. Raises PriceBookError."""
        return cls(folder or _FOLDER, overrides, fresher)

    def packed(self) -> bytes:
        """All of it in one file, from which `unpacked` makes the same book."""
        import gzip

        names = ("index.json", *self._checked)
        files = {name: _read(self._folder / name).decode() for name in names}
        return gzip.compress(json.dumps({"files": files, **self._over}).encode(), mtime=0)

    @classmethod
    def unpacked(cls, content: bytes, folder: Path) -> Self:
        """The book that was packed; its files are written to `folder`. Raises PriceBookError."""
        import gzip

        try:
            packed = json.loads(gzip.decompress(content))
            for name, text in packed["files"].items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise PriceBookError(f"kept price book: expected a packed one, got {error}") from error
        return cls(folder, packed["overrides"], packed["fresher"])

    def check(self) -> None:
        """Read every file that the index names. Raises PriceBookError for the first that cannot be trusted."""
        for seller in self.sellers.values():
            for lists, texts in (("names", seller.names), ("models", seller.models)):
                check_names(f"index.json {seller.name} {lists}", texts)
            _check_address(seller)
        for name in self._checked:
            kind, _, rest = name.partition("/")
            expect(kind in ("aws", "tokens"), name, "a file in aws/ or tokens/", name)
            if kind == "aws":
                self._region(rest.removesuffix(".json"))
            else:
                source, entries = self._listing(rest.removesuffix(".json"))
                for entry in entries:
                    model_entry(name, entry, source, gaps_allowed=False)
                names = [entry.get("model") for entry in entries]
                expect(len(set(names)) == len(names), name, "each model once", sorted(map(str, names)))

    def age(self, now: datetime) -> Age:
        """How old the oldest file of list prices is at `now`; a contract's age is the contract's business."""
        as_of = min(self._checked.values())
        days = (now.astimezone(UTC).date() - as_of).days
        old = sorted(name for name, checked in self._checked.items() if checked == as_of)
        named = ", ".join(old[:3]) + (f" and {len(old) - 3} more" if len(old) > 3 else "")
        warning = f"prices of {named} were last checked {days} days ago, on {as_of}"
        return Age(as_of, days, warning if days > _OLD_AFTER_DAYS else None)

    @property
    def regions(self) -> tuple[str, ...]:
        """AWS's Regions that the list has prices for."""
        names = (name for name in self._checked if name.startswith("aws/"))
        return tuple(sorted(name.removeprefix("aws/").removesuffix(".json") for name in names))

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
            listed = [
                prices.get(key, ()) for prices in (self._contract, self._region(region)) for key in keys
            ]
            if len(self._found) >= _MAX_CACHED:
                self._found.clear()
            self._found[known] = _holding(listed, day)
        return self._found[known]

    def token_prices(
        self, *, model: str | None, at: datetime, seller: str | None = None, tier: str | None = None
    ) -> TokenPrices | None:
        """What a million tokens of each kind cost, by the name of the model that answered; None is not known.

        A contract's prices come before the list's, kind by kind. Without a `seller` it is the one whose models go by
        such names; `aws/eu-west-1` is a seller in a Region, where that has prices of its own. `tier` is the service
        tier that served the request; None is the default one.
        """
        if model is None:
            return None
        key = (seller, model, tier, _utc_day(at))
        if key in self._token_found:
            return self._token_found[key]
        contract, listed = self._matching(seller, model)
        prices = self._merged(contract, listed, at, tier)
        if not self.varies_by_hour(model=model, seller=seller):
            if len(self._token_found) >= _MAX_CACHED:
                self._token_found.clear()
            self._token_found[key] = prices
        return prices

    def varies_by_hour(self, *, model: str, seller: str | None = None) -> bool:
        """Whether a model's prices change within a day."""
        return any(entry and entry.by_hour for entry in self._matching(seller, model))

    def _merged(
        self, contract: ModelEntry | None, listed: ModelEntry | None, at: datetime, tier: str | None
    ) -> TokenPrices | None:
        of_list = listed.prices(at, tier) if listed else None
        of_contract = contract.prices(at, tier) if contract else None
        if of_contract is None or of_list is None:
            return of_contract or of_list
        kinds = {**of_list.kinds, **of_contract.kinds}
        return TokenPrices(kinds, of_contract.tier_unknown and of_list.tier_unknown, of_list.request_fee)

    def token_price(
        self,
        kind: TokenKind,
        *,
        model: str | None,
        at: datetime,
        seller: str | None = None,
        tier: str | None = None,
    ) -> Price | None:
        """The price of a million tokens of one kind; None is not known, or not in this tier."""
        prices = self.token_prices(model=model, at=at, seller=seller, tier=tier)
        return None if prices is None or prices.tier_unknown else prices.kinds.get(kind)

    def provider(self, model: str, seller: str | None = None) -> str | None:
        """Who sells `model`, by the name that answered; None where neither a contract nor the list says it."""
        contract, listed = self._matching(seller, model)
        return next((entry.provider for entry in (contract, listed) if entry and entry.provider), None)

    def listed_models(self) -> Iterator[tuple[str, str]]:
        """Every model that the list has prices for, with who sells it: all files are read."""
        for seller in self.sellers:
            if f"tokens/{seller}.json" in self._checked:
                yield from ((str(entry["model"]), seller) for entry in self._listing(seller)[1])

    def seller_of(self, base_url: str) -> str | None:
        """Who sells the tokens that come from an address; None where the list knows nobody there."""
        if base_url not in self._addresses:
            host = urlsplit(base_url).hostname or ""
            # A number, or a name of one word, is a machine of one's own: no pattern is compiled to know that.
            is_public = "." in host and not host.replace(".", "").isdecimal()
            serving = (
                seller.name for seller in self.sellers.values() if is_public and seller.serves(base_url)
            )
            if len(self._addresses) >= _MAX_CACHED:
                self._addresses.clear()
            self._addresses[base_url] = next(serving, None)
        return self._addresses[base_url]

    def _matching(self, seller: str | None, model: str) -> tuple[ModelEntry | None, ModelEntry | None]:
        """The entries that fit a model's name: the contract's, the list's."""
        key = (seller, model.lower())
        if key not in self._matches:
            if len(self._matches) >= _MAX_CACHED:
                self._matches.clear()
            self._matches[key] = self._contract_entry(key[1]), self._listed_entry(seller, key[1])
        return self._matches[key]

    def _contract_entry(self, model: str) -> ModelEntry | None:
        # A contract is short and in no order: the exact name wins, then the longest prefix.
        ranked = (
            (model in names.get("equals", ()), _longest_prefix(names, model), -number)
            for number, (names, _) in enumerate(self._contract_models)
            if fits(names, model)
        )
        best = max(ranked, default=None)
        return None if best is None else self._contract_models[-best[2]][1]

    def _listed_entry(self, seller: str | None, model: str) -> ModelEntry | None:
        seller, _, region = (seller or "").partition("/")
        found = self._seller(seller or None, model)
        listings = (found.name, *found.also) if found is not None else ()
        for listing in listings if region else ():
            source, entries = self._listing(listing)
            for entry in entries:
                if f"{region}/{model}" in entry.get("equals", ()):
                    return model_entry(f"tokens/{listing}.json", entry, source, gaps_allowed=False)
        for name in dict.fromkeys((model, with_dashed_date(model))):
            for listing in listings:
                source, entries = self._listing(listing)
                for entry in entries:
                    if fits(entry, name):
                        return model_entry(f"tokens/{listing}.json", entry, source, gaps_allowed=False)
        if not seller and "/" in model:  # `openai/gpt-4o`, as gateways name models
            vendor, _, rest = model.partition("/")
            if (named := self._seller(vendor, rest)) is not None:
                return self._listed_entry(named.name, rest)
        return None

    def _seller(self, name: str | None, model: str) -> Seller | None:
        if name is None:
            return next((seller for seller in self.sellers.values() if fits(seller.models, model)), None)
        lower = name.lower()
        by_name = (seller for seller in self.sellers.values() if fits(seller.names, lower))
        return self.sellers.get(lower) or next(by_name, None)

    def _listing(self, seller: str) -> tuple[str, list[Mapping[str, Any]]]:
        """A seller's source and models, as they stand in its file."""
        if seller not in self._listed:
            document = self._document(f"tokens/{seller}.json")
            entries = entries_of(f"tokens/{seller}.json models", document.get("models", []))
            self._listed[seller] = source_of(document), entries
        return self._listed[seller]

    def _region(self, region: str) -> Mapping[AwsKey, list[Price]]:
        if region not in self._aws:
            where = f"aws/{region}.json"
            if where not in self._checked:
                return {}
            document = self._document(where)
            self._aws[region] = _ordered(where, document, gaps_allowed=False)
        return self._aws[region]

    def _take_fresher(self, region: str, document: Mapping[str, Any]) -> None:
        where = f"aws/{region}.json"
        as_of = day_of(f"refreshed {where}", document.get("as_of"))
        if as_of <= self._checked.get(where, date.min):
            return
        expect(
            document.get("currency") == "USD", f"refreshed {where}", "currency USD", document.get("currency")
        )
        self._aws[region] = _ordered(f"refreshed {where}", document, gaps_allowed=False)
        if document["records"] != self.region_document(region).get("records"):
            digest = sha256(json.dumps(document["records"], sort_keys=True).encode()).hexdigest()[:6]
            self.version = f"{self.version}.{digest}"
        self._checked[where] = as_of
        self._fresher[region] = document

    def region_document(self, region: str) -> Mapping[str, Any]:
        """A Region's file of the list, the fresher one where there is one; empty for none. Raises PriceBookError."""
        where = f"aws/{region}.json"
        if region in self._fresher:
            return self._fresher[region]
        return self._document(where) if where in self._checked else {}

    def _document(self, where: str) -> Mapping[str, Any]:
        expect(where in self._checked, where, "a file that the index names", where)
        document = read_document(where, _read(self._folder / where))
        expect(document.get("currency", "USD") == "USD", where, "currency USD", document.get("currency"))
        return document

    def _read_contract(self, overrides: Mapping[str, Any]) -> None:
        where = "overrides"
        only_keys(where, overrides, _OVERRIDE_KEYS)
        expect(overrides.get("currency", "USD") == "USD", where, "currency USD", overrides.get("currency"))
        self._contract = _ordered(where, overrides, gaps_allowed=True)
        seen: set[str] = set()
        for entry in entries_of(f"{where} models", overrides.get("models", [])):
            lower = {
                key: [str(text).lower() for text in value]
                if key in NAME_LISTS and key != "patterns" and isinstance(value, list)
                else value
                for key, value in entry.items()
            }
            read = model_entry(where, lower, source_of(overrides), gaps_allowed=True)
            expect(read.model not in seen, where, "a model's name, once", read.model)
            seen.add(read.model)
            lower["equals"] = [*lower.get("equals", []), read.model.lower()]
            self._contract_models.append((lower, read))


def _ordered(where: str, document: Mapping[str, Any], *, gaps_allowed: bool) -> dict[AwsKey, list[Price]]:
    prices: dict[AwsKey, list[Price]] = {}
    for key, price in aws_records(where, document.get("records", []), source_of(document)):
        prices.setdefault(key, []).append(price)
    return {key: in_order(str(key), records, gaps_allowed) for key, records in prices.items()}


def _sellers(index: Mapping[str, Any]) -> Iterable[Seller]:
    for entry in entries_of("index.json sellers", index.get("sellers", [])):
        name, address = str(entry.get("name")), str(entry.get("address"))
        yield Seller(name, address, entry["names"] or {}, entry["models"] or {}, tuple(entry["also"]))


def _check_address(seller: Seller) -> None:
    try:
        re.compile(seller.address)
    except re.error as error:
        raise PriceBookError(
            f"price book, index.json {seller.name}: expected a pattern, got {error}"
        ) from None
    depth, alone = 0, True
    for character in seller.address:
        depth += (character == "(") - (character == ")")
        alone = alone and not (character == "|" and depth == 0)
    expect(alone, f"index.json {seller.name}", "alternatives in brackets", seller.address)


def _longest_prefix(names: Mapping[str, Any], model: str) -> int:
    return max((len(prefix) for prefix in names.get("prefixes", ()) if model.startswith(prefix)), default=0)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PriceBookError(f"price book, {path.name}: expected a file, got {error}") from error


def _holding(listed: Iterable[Iterable[Price]], day: date) -> Price | None:
    return next((price for prices in listed for price in prices if price.holds(day)), None)


def _utc_day(at: datetime) -> date:
    return at.date() if at.tzinfo is UTC else at.astimezone(UTC).date()
