"""Refresh the token prices of the price book from the genai-prices package: all of its sellers and models.

    make prices                                 # in an environment of its own: the functions never import genai-prices
    make lock UPGRADE=--upgrade                 # a newer genai-prices, before that

genai-prices holds dated, sourced prices, but importing it takes most of a second, so what is needed is
extracted here, once, and committed: a file for each seller, a line for each model. The files are append-only: a record
that was written never changes its prices; only the day on which they were checked is written anew. What the source
lacks stands in overlays: files beside these, kept by hand, which come after its own. Where the source
has a new price, the open record is closed at today and a new one begins; a model that the source has dropped stays,
because old requests still need its price. Price history that the source itself dates (a start date) is taken over when
a model is first written.
https://github.com/pydantic/genai-prices
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script, before anything of ours is installed
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "shared")]

from infra.prices.index import DATA, write_index
from weir.pricing.token_records import DEFAULT_TIERS

KINDS = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_5m": "cache_write_5m_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "audio_input": "input_audio_mtok",
    "cached_audio_input": "cache_audio_read_mtok",
    "output": "output_mtok",
    "audio_output": "output_audio_mtok",
    "reasoning": "output_reasoning_mtok",
}
# What a variant's condition is called in an answer: the service tier that served it.
TIER_CONDITIONS = ("service_tier", "processing", "speed")
NAME_LISTS = {
    "equals": "equals",
    "prefixes": "starts_with",
    "suffixes": "ends_with",
    "contains": "contains",
    "patterns": "regex",
}


def tiers_of(value: Any) -> str | list[dict[str, str | None]]:
    """A price, or tiers by input tokens: one token over a tier's start, its price holds for all of them."""
    if isinstance(value, Decimal):
        return format(value, "f")
    amounts = [value.base, *(tier.price for tier in value.tiers)]
    bounds: list[str | None] = [str(tier.start) for tier in value.tiers]
    return [
        {"up_to": bound, "price": format(amount, "f")}
        for bound, amount in zip([*bounds, None], amounts, strict=True)
    ]


def prices_of(price: Any) -> dict[str, Any]:
    """Prices by our kinds of token; kinds that no request of ours counts (images, searches) are left out."""
    return {
        kind: tiers_of(amount)
        for kind, name in KINDS.items()
        if (amount := getattr(price, name, None)) is not None
    }


def records_of(model: Any) -> list[dict[str, Any]]:
    """The dated records of one model: for the whole day, oldest first; by the hour; by service tier."""
    listed = model.prices if isinstance(model.prices, list) else [None]
    dated: list[tuple[str | None, Any]] = []
    hourly: list[dict[str, Any]] = []
    for entry in listed:
        constraint, price = (None, model.prices) if entry is None else (entry.constraint, entry.prices)
        if constraint is not None and hasattr(constraint, "start_time"):
            hours = [constraint.start_time.strftime("%H:%M"), constraint.end_time.strftime("%H:%M")]
            hourly.append(_record(None, None, prices_of(price), hours=hours))
        else:
            dated.append((_start_date(constraint), prices_of(price)))
    tiers: dict[str, list[tuple[str | None, Any]]] = {}
    for variant in model.price_variants or ():
        conditions = dict(variant.when)
        tier = next((conditions.pop(name) for name in TIER_CONDITIONS if name in conditions), None)
        # A tier that names no price of its own costs what the standard does.
        prices = prices_of(variant.prices) or (dated[-1][1] if dated else {})
        if tier and str(tier).lower() not in DEFAULT_TIERS and not conditions and prices:
            tiers.setdefault(str(tier).lower(), []).append((_start_date(variant.constraint), prices))
    if model.id.endswith(":free") and not any(prices for _, prices in dated):
        dated = [(None, {"input": "0", "output": "0"})]
    return [
        *_chain(dated),
        *hourly,
        *(record for tier, chain in sorted(tiers.items()) for record in _chain(chain, tier=tier)),
    ]


def _chain(dated: Sequence[tuple[str | None, Any]], **members: Any) -> list[dict[str, Any]]:
    dated = sorted(((start, prices) for start, prices in dated if prices), key=lambda entry: entry[0] or "")
    ends = [*(start for start, _ in dated[1:]), None][: len(dated)]
    return [_record(start, end, prices, **members) for (start, prices), end in zip(dated, ends, strict=True)]


def _record(start: str | None, end: str | None, prices: Any, **members: Any) -> dict[str, Any]:
    return {"valid_from": start, "valid_to": end, **members, "prices": prices}


def _start_date(constraint: Any) -> str | None:
    if constraint is None:
        return None
    if not hasattr(constraint, "start_date"):
        raise SystemExit(f"expected a price with a start date or hours, got {constraint!r}")
    return str(constraint.start_date.isoformat())


def names_of(match: Any) -> dict[str, list[str]]:
    """The source's match clause as lists of alternatives; those that are empty are left out."""
    names: dict[str, list[str]] = {}
    for clause in _alternatives(match):
        if hasattr(clause, "and_"):
            names.setdefault("patterns", []).append("".join(map(_lookahead, clause.and_)))
            continue
        for kind, attribute in NAME_LISTS.items():
            if isinstance(value := getattr(clause, attribute, None), str):
                names.setdefault(kind, []).append(value if kind == "patterns" else value.lower())
                break
        else:
            raise SystemExit(f"expected a clause of {sorted(NAME_LISTS.values())}, got {clause!r}")
    return names


def _alternatives(match: Any) -> list[Any]:
    """The clauses of which one is enough; the source nests them."""
    return (
        [part for clause in match.or_ for part in _alternatives(clause)] if hasattr(match, "or_") else [match]
    )


def _lookahead(clause: Any) -> str:
    """One part of a clause that needs all of its parts, as a pattern that consumes nothing."""
    for attribute, before, after in (
        ("starts_with", "^", ""), ("equals", "^", "$"), ("contains", "^.*", ""), ("ends_with", "^.*", "$"),
    ):  # fmt: skip
        if isinstance(value := getattr(clause, attribute, None), str):
            return f"(?={before}{re.escape(value)}{after})"
    if isinstance(value := getattr(clause, "regex", None), str):
        return f"(?=.*?{value})" if not value.startswith("^") else f"(?={value})"
    raise SystemExit(f"expected a clause of {sorted(NAME_LISTS.values())}, got {clause!r}")


def merge(
    old: Iterable[Mapping[str, Any]], fresh: Iterable[Mapping[str, Any]], today: str
) -> list[dict[str, Any]]:
    """The models of `fresh`, in its order, with the history of `old`, and those that only `old` has behind them.

    No record of `old` changes its prices. A record's place in history is its tier and its hours.
    """
    known = {entry["model"]: dict(entry) for entry in old}
    merged = []
    for entry in fresh:
        before = known.pop(entry["model"], None)
        if before is None:
            merged.append(dict(entry))
            continue
        names = {
            kind: list(dict.fromkeys([*before.get(kind, []), *entry.get(kind, [])]))
            for kind in NAME_LISTS
            if kind in before or kind in entry
        }
        records: list[dict[str, Any]] = []
        chains = {_place(record): None for record in (*before["records"], *entry["records"])}
        for place in chains:
            was = [dict(record) for record in before["records"] if _place(record) == place]
            now = [dict(record) for record in entry["records"] if _place(record) == place]
            records += _extended(entry["model"], was, now, today)
        merged.append({**entry, **names, "records": records})
    return [*merged, *known.values()]


def _place(record: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...] | None]:
    hours = record.get("hours")
    return record.get("tier"), tuple(hours) if hours else None


def _extended(
    model: str, was: list[dict[str, Any]], now: list[dict[str, Any]], today: str
) -> list[dict[str, Any]]:
    if not was:
        return [{**now[0], "valid_from": now[0]["valid_from"] or today}, *now[1:]]
    if not now:
        return was if was[-1]["valid_to"] else [*was[:-1], {**was[-1], "valid_to": today}]
    *closed, last = was
    current = now[-1]
    if last["prices"] == current["prices"] and last["valid_to"] is None:
        return was
    start = current["valid_from"] or ""
    if start <= (last["valid_from"] or ""):
        start = today  # the source does not say when: no day before today is priced anew
    if start <= (last["valid_from"] or ""):
        raise SystemExit(f"{model}: expected a change after {last['valid_from']}, got one on {start}")
    return [*closed, {**last, "valid_to": last["valid_to"] or start}, {**current, "valid_from": start}]


def extract() -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """What the installed genai-prices says: the sellers, and the models of each."""
    from genai_prices.data import providers

    sellers, models = [], {}
    for provider in providers:
        sellers.append(
            {
                "name": provider.id,
                "address": provider.api_pattern,
                "names": names_of(provider.provider_match) if provider.provider_match else {},
                "models": names_of(provider.model_match) if provider.model_match else {},
                "also": list(provider.fallback_model_providers or ()),
            }
        )
        models[provider.id] = [
            {
                "model": model.id,
                "provider": provider.id,
                **names_of(model.match),
                **({"request_fee": True} if _has_request_fee(model) else {}),
                "records": records_of(model),
            }
            for model in provider.models
        ]
    return sellers, models


def with_overlays(sellers: Iterable[Mapping[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """The sellers with the files that are kept by hand: models that the source lacks, addresses, whole sellers."""
    known = {seller["name"]: dict(seller) for seller in sellers}
    for path in sorted(folder.glob("tokens/*.json")):
        overlay = json.loads(path.read_text()).get("overlay")
        if overlay is None:
            continue
        name, address = overlay["seller"], overlay.get("address")
        seller = known.setdefault(
            name, {"name": name, "address": address, "names": {}, "models": {}, "also": []}
        )
        if path.stem != name:
            seller["also"] = [*seller["also"], path.stem]
            if address:
                seller["address"] = f"(?:{seller['address']}|{address})"
    return list(known.values())


def _has_request_fee(model: Any) -> bool:
    listed = model.prices if isinstance(model.prices, list) else [model]
    return any(getattr(entry.prices, "requests_kcount", None) is not None for entry in listed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files anew, and load them all; print what changed."""
    parser = argparse.ArgumentParser(description="Refresh the token prices of the price book.")
    parser.add_argument(
        "--today", default=datetime.now(UTC).date().isoformat(), help="day a changed price begins"
    )
    parser.add_argument("--folder", type=Path, default=DATA, help="the book's folder")
    options = parser.parse_args(arguments)
    version = metadata.version("genai-prices")
    sellers, models = extract()
    changed = total = 0
    (options.folder / "tokens").mkdir(parents=True, exist_ok=True)
    for seller, fresh in models.items():
        target = options.folder / "tokens" / f"{seller}.json"
        old = json.loads(target.read_text())["models"] if target.exists() else []
        merged = merge(old, fresh, options.today) if old else fresh
        changed += sum(model not in old for model in merged)
        total += len(merged)
        head = {
            "kind": "tokens",
            "currency": "USD",
            "as_of": options.today,
            "source": {
                "name": f"genai-prices {version}, extracted {options.today}",
                "url": "https://github.com/pydantic/genai-prices",
                "note": "USD per 1,000,000 tokens; without valid_from: as far back as the source knows.",
            },
        }
        lines = ",\n".join("  " + json.dumps(model) for model in merged)
        target.write_text(f'{json.dumps(head, indent=1)[:-2]},\n "models": [\n{lines}\n ]\n}}\n')
    book_version = write_index(options.folder, with_overlays(sellers, options.folder))
    from weir.pricing.price_book import PriceBook

    PriceBook.load(folder=options.folder).check()
    print(f"{changed} of {total} models have changed; price book {book_version}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
