"""Refresh the token prices of the price book from the genai-prices package.

    make prices                                 # in an environment of its own: the functions never import genai-prices
    make lock UPGRADE=--upgrade                 # a newer genai-prices, before that

genai-prices holds dated, sourced prices, but importing it takes most of a second, so what is needed is
extracted here, once, and committed. The file is append-only: a record that was written never changes its
prices; only the day on which they were checked is written anew. Where the source has a new price, the open
record is closed at today and a new one begins; a model that the source has dropped stays, because old requests
still need its price. Price history that the source itself dates (a start date) is taken over when a model is
first written.
https://github.com/pydantic/genai-prices
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "shared" / "weir" / "core" / "pricing" / "data" / "tokens.json"
MODELS: Mapping[str, Sequence[str]] = {
    "openai": (
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-4.1",
        "gpt-4.1-mini",
        "gpt-4.1-nano",
        "gpt-5",
        "gpt-5-mini",
        "gpt-5-nano",
        "gpt-5.5",
        "gpt-6-astra",
        "gpt-6-luna",
        "gpt-6-sol",
        "gpt-6.1-sol",
        "gpt-6.1-terra",
        "o3",
        "o4-mini",
    ),
    "anthropic": (
        "claude-haiku-4-5",
        "claude-haiku-5-5",
        "claude-sonnet-4-5",
        "claude-sonnet-4-6",
        "claude-sonnet-5",
        "claude-sonnet-5-5",
        "claude-opus-4-8",
        "claude-opus-5",
        "claude-opus-5-5",
    ),
}
KINDS = {"input": "input_mtok", "cached_input": "cache_read_mtok", "output": "output_mtok"}


def tiers_of(value: Any) -> list[dict[str, str | None]]:
    """A price as tiers by input tokens: one token over a tier's start, its price holds for all of them."""
    if isinstance(value, Decimal):
        return [{"up_to": None, "price": format(value, "f")}]
    starts = [tier.start for tier in value.tiers]
    amounts = [value.base, *(tier.price for tier in value.tiers)]
    bounds: list[str | None] = [str(start) for start in starts]
    return [
        {"up_to": bound, "price": format(amount, "f")}
        for bound, amount in zip([*bounds, None], amounts, strict=True)
    ]


def records_of(prices: Any) -> list[dict[str, Any]]:
    """The dated records of one model, oldest first; each ends where the next begins."""
    conditional = prices if isinstance(prices, list) else None
    dated = (
        [(None, prices)]
        if conditional is None
        else [(_start_date(entry.constraint), entry.prices) for entry in conditional]
    )
    starts = [start for start, _ in dated]
    return [
        {
            "valid_from": start,
            "valid_to": end,
            "prices": {
                kind: tiers_of(amount)
                for kind, name in KINDS.items()
                if (amount := getattr(price, name, None)) is not None
            },
        }
        for (start, price), end in zip(dated, [*starts[1:], None], strict=True)
    ]


def _start_date(constraint: Any) -> str | None:
    if constraint is None:
        return None
    if not hasattr(constraint, "start_date"):
        raise SystemExit(
            f"expected a price with a start date, got {constraint!r}: prices by time of day have no room"
        )
    return str(constraint.start_date.isoformat())


def names_of(match: Any) -> dict[str, list[str]]:
    """The source's match clause as exact names, prefixes and patterns."""
    names: dict[str, list[str]] = {"equals": [], "prefixes": [], "patterns": []}
    for clause in getattr(match, "or_", [match]):
        for kind, attribute in (("equals", "equals"), ("prefixes", "starts_with"), ("patterns", "regex")):
            if isinstance(value := getattr(clause, attribute, None), str):
                names[kind].append(value)
                break
        else:
            raise SystemExit(f"expected a clause equals, starts_with or regex, got {clause!r}")
    return names


def merge(
    old: Iterable[Mapping[str, Any]], fresh: Iterable[Mapping[str, Any]], today: str
) -> list[dict[str, Any]]:
    """The models of `old` with what `fresh` adds; no record of `old` changes its prices."""
    merged = {entry["model"]: dict(entry) for entry in old}
    for entry in fresh:
        known = merged.setdefault(entry["model"], dict(entry))
        for kind in ("equals", "prefixes", "patterns"):
            known[kind] = list(dict.fromkeys([*known[kind], *entry[kind]]))
        *closed, last = known["records"]
        current = entry["records"][-1]
        if last["prices"] != current["prices"]:
            start = current["valid_from"] or ""
            if start <= (last["valid_from"] or ""):
                start = today  # the source does not say when: no day before today is priced anew
            if start <= (last["valid_from"] or ""):
                raise SystemExit(
                    f"{entry['model']}: expected a change after {last['valid_from']}, got one on {start}"
                )
            known["records"] = [
                *closed,
                {**last, "valid_to": start},
                {"valid_from": start, "valid_to": None, "prices": current["prices"]},
            ]
    return [merged[model] for model in sorted(merged)]


def extract() -> list[dict[str, Any]]:
    """What the installed genai-prices says of the models we list. Raises SystemExit where it has lost one."""
    from genai_prices.data import providers

    models = []
    for provider in providers:
        wanted = MODELS.get(provider.id, ())
        known = {model.id: model for model in provider.models}
        if missing := sorted(set(wanted) - set(known)):
            raise SystemExit(f"genai-prices no longer has {provider.id}: {', '.join(missing)}")
        for name in wanted:
            model = known[name]
            models.append(
                {
                    "model": name,
                    "provider": provider.id,
                    **names_of(model.match),
                    "records": records_of(model.prices),
                }
            )
    return models


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file anew and load it; print what changed."""
    parser = argparse.ArgumentParser(description="Refresh the token prices of the price book.")
    parser.add_argument(
        "--today", default=datetime.now(UTC).date().isoformat(), help="day a changed price begins"
    )
    today = parser.parse_args(arguments).today
    old = json.loads(TARGET.read_text()) if TARGET.exists() else {"models": []}
    models = merge(old["models"], extract(), today)
    if models == old["models"] and today == old.get("as_of"):
        print(
            f"nothing has changed today: {len(models)} models, genai-prices {metadata.version('genai-prices')}"
        )
        return 0
    document = {
        "kind": "tokens",
        "currency": "USD",
        "as_of": today,
        "source": {
            "name": f"genai-prices {metadata.version('genai-prices')}, extracted {today}",
            "url": "https://github.com/pydantic/genai-prices",
            "note": "USD per 1,000,000 tokens; without valid_from: as far back as the source knows.",
        },
        "models": models,
    }
    TARGET.write_text(json.dumps(document, indent=1) + "\n")
    sys.path.insert(0, str(ROOT / "shared"))  # run as a script, before anything of ours is installed
    from weir.pricing.price_book import PriceBook

    changed = sum(model not in old["models"] for model in models)
    print(
        f"{changed} of {len(models)} models have changed since {old.get('as_of', 'ever')}; "
        f"{TARGET.relative_to(ROOT)} is of today: price book {PriceBook.load().version}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
