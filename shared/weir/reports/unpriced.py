"""What is not priced, as a queue of work: each reason with its requests, its tokens, and what they would cost at the
nearest price; and the record that would price them, checked before anybody takes it into use.

The nearest price is that of the listed model whose name is most like the unpriced one's; of what AWS charges for, that
of the other architecture there, or else of the Region whose name is most like it. It says how much is at stake,
and is no price of theirs. A record made of it has to be written by whoever knows the contract.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from weir.ledger.facts import format_timestamp
from weir.pricing.money import MONEY, PLACES, charge, plain
from weir.pricing.price_book import AwsItem, PriceBook, PriceBookError
from weir.pricing.quantities import TokensBought
from weir.pricing.token_charges import price_of_sum
from weir.pricing.usage import COUNTS, Usage
from weir.reports.params import FieldError

type Row = Mapping[str, Any]

_TOKENS = "no_price:tokens:"
# What is charged by AWS's items: a sum of the rows, and how much of it is one unit.
_OF_AWS: Mapping[AwsItem, tuple[str, int]] = {
    "duration": ("gb_s", 1),
    "request": ("billed_invocations", 1),
    "logs_ingestion": ("log_bytes", 1024**3),
}
_ARCHITECTURES = ("arm64", "x86_64")
_LEAST_ALIKE = 0.3
_MOST_USD = 1_000_000  # a dollar a token
# The prices that a record may have, by the query's names.
KINDS = ("input", "cached_input", "output")


def queue(rows: Iterable[Row], book: PriceBook) -> list[dict[str, Any]]:
    """The reasons, those with most requests first; of a missing price all days together."""
    found: dict[tuple[str, str | None], dict[str, Any]] = {}
    for row in rows:
        reason = row["reason"].rpartition(":")[0] if row["reason"].startswith("no_price:") else row["reason"]
        model = reason.removeprefix(_TOKENS) if reason.startswith(_TOKENS) else None
        new = {"requests": 0, "first": row["first_at"], "last": row["last_at"], "tokens": {}, "billed": {}}
        entry = found.setdefault((reason, model), new)
        entry["requests"] += int(row["requests"])
        entry["first"], entry["last"] = (
            min(entry["first"], row["first_at"]),
            max(entry["last"], row["last_at"]),
        )
        for name in COUNTS:
            if row.get(name) is not None:
                entry["tokens"][name] = entry["tokens"].get(name, 0) + int(row[name])
        for name, _ in _OF_AWS.values():
            if row.get(name) is not None:
                entry["billed"][name] = entry["billed"].get(name, 0) + row[name]
    names = sorted({name for name, _ in book.listed_models()}) if any(model for _, model in found) else []
    listed = [_item(reason, model, entry, names, book) for (reason, model), entry in found.items()]
    return sorted(listed, key=lambda item: (-item["requests"], item["reason"]))


def _item(
    reason: str, model: str | None, entry: Mapping[str, Any], names: list[str], book: PriceBook
) -> dict[str, Any]:
    like = get_close_matches(model, names, 20, _LEAST_ALIKE) if model else []
    # Some are listed without a price of their own, or only since later.
    nearest = next((name for name in like if {"input", "output"} <= _prices(name, entry, book).keys()), None)
    cost = _cost(nearest, entry, book) if nearest else None
    prices = _prices(nearest, entry, book) if nearest else {}
    if model is None:
        nearest, cost = _at_nearest_place(reason, entry, book)
    tokens = entry["tokens"]
    return {
        "reason": reason,
        "requests": entry["requests"],
        "first_at": format_timestamp(entry["first"]),
        "last_at": format_timestamp(entry["last"]),
        "input_tokens": tokens.get("input_tokens"),
        "output_tokens": tokens.get("output_tokens"),
        "model": model,
        "nearest": nearest,
        "at_nearest": None if cost is None else plain(cost),
        "prices": prices,
    }


def _at_nearest_place(
    reason: str, entry: Mapping[str, Any], book: PriceBook
) -> tuple[str | None, Decimal | None]:
    """The nearest place at which an item of AWS's has a price, and what was billed at it; None is not known."""
    item = next((item for item in _OF_AWS if reason.startswith(f"no_price:{item}:")), None)
    if item is None:
        return None, None
    name, unit = _OF_AWS[item]
    region, _, architecture = reason.removeprefix(f"no_price:{item}:").partition("/")
    others = [other for other in book.regions if other != region]
    places = [(region, other) for other in _ARCHITECTURES if architecture and other != architecture]
    places += [(other, architecture) for other in get_close_matches(region, others, max(len(others), 1), 0)]
    for there, processor in places:
        price = book.aws_price(item, region=there, architecture=processor or None, at=entry["last"])
        if price is not None and name in entry["billed"]:
            cost = charge(Decimal(entry["billed"][name]) / unit, price.amount)
            return (f"{there}/{processor}" if processor else there), cost
    return None, None


def record(model: str, prices: Mapping[str, str | None]) -> dict[str, Any]:
    """The override that prices a model's tokens, as WEIR_PRICE_OVERRIDES takes it. Raises FieldError."""
    given = {kind: amount for kind, amount in prices.items() if amount is not None}
    if "input" not in given or "output" not in given:
        raise FieldError(
            "input" if "input" not in given else "output", "expected USD a million tokens, got nothing"
        )
    made = {"source": "contract", "models": [{"model": model, "records": [{"prices": given}]}]}
    try:
        PriceBook.load(made)
    except PriceBookError as error:
        wrong = next((kind for kind in given if f" {kind}:" in str(error)), "model")
        raise FieldError(wrong, str(error)) from error
    for kind, amount in given.items():
        if Decimal(amount) > _MOST_USD:
            raise FieldError(kind, f"expected at most {_MOST_USD} USD a million tokens, got {amount}")
    return made


def repriced(rows: Iterable[Row], model: str, override: Mapping[str, Any]) -> dict[str, Any]:
    """What a range's unpriced tokens of a model would cost with that record."""
    book = PriceBook.load(override)
    items = _of_model(rows, model)
    cost = sum(
        (amount for row in items if (amount := _cost(model, _entry(row), book)) is not None), Decimal(0)
    )
    return {
        "model": model,
        "requests": sum(int(row["requests"]) for row in items),
        "adds": plain(cost),
        "override": override,
    }


def _of_model(rows: Iterable[Row], model: str) -> list[Row]:
    return [row for row in rows if row["reason"].rpartition(":")[0] == f"{_TOKENS}{model}"]


def _entry(row: Row) -> dict[str, Any]:
    tokens = {name: int(row[name]) for name in COUNTS if row.get(name) is not None}
    return {"requests": int(row["requests"]), "last": row["last_at"], "tokens": tokens}


def _cost(model: str, entry: Mapping[str, Any], book: PriceBook) -> Decimal | None:
    """Tokens at a model's price, as if each request had the mean input; None where the model has no price then."""
    tokens = entry["tokens"]
    each = tokens.get("input_tokens", 0) // max(entry["requests"], 1)
    reasons: list[str] = []
    cost = price_of_sum(TokensBought(model, Usage(**tokens)), each, entry["last"], book, reasons)
    return None if any(reason.startswith(_TOKENS) for reason in reasons) else MONEY.quantize(cost, PLACES)


def _prices(model: str, entry: Mapping[str, Any], book: PriceBook) -> dict[str, str]:
    found = book.token_prices(model=model, at=entry["last"])
    kinds = found.kinds if found else {}
    return {kind: plain(kinds[kind].amount) for kind in KINDS if kind in kinds}
